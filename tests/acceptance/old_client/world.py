"""What the calls are made with: the accounts, a store, a callback and the passing of time."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

from tests.acceptance.old_client.client import OldClient
from tests.acceptance.old_client.listener import Listener

SIGNATURE_KEY = "abcd1234efgh5678"


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """The client and its surroundings."""

    client: OldClient
    store_url: str
    store_keys: tuple[str, str]
    callback_url: str
    listener: Listener
    #: A product that was in the store before it was connected.
    product: int
    #: Let the service poll the stores and deliver what is due.
    pass_time: cabc.Callable[[], object]
    #: Change the name of a product in the store itself.
    rename_product: cabc.Callable[[int, str], object]

    def configuration(self, **more: t.Any) -> dict[str, t.Any]:
        """Return a configuration with the store, and with these keys."""
        return {
            "store.url": self.store_url,
            "oauth.api.key": self.store_keys[0],
            "oauth.api.secret": self.store_keys[1],
            **more,
        }

    def events(self) -> dict[str, t.Any]:
        """Return the keys that switch events on (churros, events/common.js)."""
        return {
            "event.notification.enabled": True,
            "event.notification.callback.url": self.callback_url,
            "event.notification.signature.key": SIGNATURE_KEY,
        }


@dataclasses.dataclass(frozen=True)
class Instance:
    """An instance that later calls use."""

    id: int
    token: str
    name: str
    tags: list[str]
