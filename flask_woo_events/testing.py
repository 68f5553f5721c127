"""Fixtures for tests of applications that use the extension.

Name them in the ``conftest.py`` at the root of your tests::

    pytest_plugins = ["flask_woo_events.testing"]
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses

import pytest

from .simulation.callback_receiver import CallbackReceiver
from .simulation.store import SimulatedStore


@dataclasses.dataclass(frozen=True)
class ServedStore:
    """A simulated store that listens on loopback."""

    #: The store itself: ``acts`` changes it, ``truth()`` tells what a client would read.
    store: SimulatedStore
    #: For ``store.url``.
    url: str


@dataclasses.dataclass(frozen=True)
class ServedCallback:
    """A callback receiver that listens on loopback."""

    #: What arrived: ``received``, ``events``, ``wait_for()``.
    receiver: CallbackReceiver
    #: For ``event.notification.callback.url``.
    url: str


@pytest.fixture
def woo_store() -> cabc.Iterator[ServedStore]:
    """An empty WooCommerce 11.0 with the keys ``ck_test`` and ``cs_test``."""
    store = SimulatedStore("11.0", consumer_key="ck_test", consumer_secret="cs_test")
    with store.serve() as url:
        yield ServedStore(store, url)


@pytest.fixture
def woo_callback() -> cabc.Iterator[ServedCallback]:
    """A callback that answers 200 and keeps what it gets."""
    receiver = CallbackReceiver()
    with receiver.serve() as url:
        yield ServedCallback(receiver, url)
