"""The address and the keys of one store."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class StoreAccess:
    """The address of a store's REST API, and its keys."""

    url: str
    consumer_key: str = dataclasses.field(repr=False)
    consumer_secret: str = dataclasses.field(repr=False)
