"""The own route: whether a store lists the variations or refunds of all parents together."""

from __future__ import annotations

import dataclasses
import datetime as dt

from ..errors import StoreRejectedError
from ..woocommerce.client import StoreClient
from ..woocommerce.endpoints import Collection
from ..woocommerce.rows import RowReader
from ..woocommerce.unreadable import Unreadable
from .cursor import Cursor, ListPosition

#: How long it is assumed that a store has no such route.
ROUTE_MAX_AGE = dt.timedelta(hours=24)


def check(client: StoreClient, collection: Collection, cursor: Cursor, now: dt.datetime) -> Cursor:
    """Return a cursor that knows whether the collection has a route of its own."""
    below, memory = collection.below, cursor.memory
    if below is None:
        return cursor
    kept = memory.get("own_route")
    if kept and "route_failed" not in memory:
        return cursor
    asked = memory.get("route_asked_at")
    if kept is False and now - dt.datetime.fromisoformat(str(asked)) < ROUTE_MAX_AGE:
        return cursor
    own = below.own_route and _has_route(client, collection)
    memory = {**memory, "own_route": own, "route_asked_at": now.isoformat()}
    memory.pop("route_failed", None)
    cursor = dataclasses.replace(cursor, memory=memory)
    if kept in (None, own):
        return cursor
    # A position in one route's listing means nothing in the other's.
    return dataclasses.replace(cursor, compare=ListPosition(), baseline=ListPosition())


def _has_route(client: StoreClient, collection: Collection) -> bool:
    try:
        RowReader(client, collection.path, Unreadable()).page({"_fields": "id"}, 0, 1)
    except StoreRejectedError as exc:
        if exc.code == "rest_no_route":
            return False
        raise
    return True
