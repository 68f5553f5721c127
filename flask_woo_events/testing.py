"""Pytest fixtures for applications that use the extension.

Load them in the ``conftest.py`` at the root of your tests::

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
    """A simulated store that listens on the loopback interface."""

    #: The store: ``acts`` changes its objects, ``truth()`` returns them as a client reads them.
    store: SimulatedStore
    #: The value for the configuration key ``store.url``.
    url: str


@dataclasses.dataclass(frozen=True)
class ServedCallback:
    """A callback receiver that listens on the loopback interface."""

    #: The receiver: ``received`` and ``events`` hold what arrived, ``wait_for()`` waits for more.
    receiver: CallbackReceiver
    #: The value for the configuration key ``event.notification.callback.url``.
    url: str


@pytest.fixture
def woo_store() -> cabc.Iterator[ServedStore]:
    """Serve an empty WooCommerce 11.0 with the keys ``ck_test`` and ``cs_test``."""
    store = SimulatedStore("11.0", consumer_key="ck_test", consumer_secret="cs_test")
    with store.serve() as url:
        yield ServedStore(store, url)


@pytest.fixture
def woo_callback() -> cabc.Iterator[ServedCallback]:
    """Serve a callback that answers 200 and keeps the notifications."""
    receiver = CallbackReceiver()
    with receiver.serve() as url:
        yield ServedCallback(receiver, url)
