"""The check of a store: its REST API, the keys, its version and its totals."""

from __future__ import annotations

import collections.abc as cabc
import hashlib
import typing as t

from ..errors import StoreAccessError, StoreError, StoreGarbledError, StoreRejectedError
from .addresses import REST
from .client import StoreClient
from .endpoints import Collection, named
from .plugin_journal import NAMESPACE
from .rows import Params, RowReader
from .unreadable import Unreadable

#: Oldest users by which a store is recognized.
USERS = 3


def check_store(client: StoreClient, collections: cabc.Iterable[Collection]) -> dict[str, t.Any]:
    """Read one row of each collection, and return what the store reports about itself.

    :raises UnreachableError: the store cannot be reached.
    :raises StoreAccessError: the keys do not allow reading one of the collections.
    :raises StoreError: the store does not answer as WooCommerce does.
    """
    index = client.index()
    namespaces = index.data.get("namespaces")
    if not isinstance(namespaces, list) or "wc/v3" not in namespaces:
        raise StoreGarbledError(
            f"{client.url} is a WordPress without WooCommerce's REST API (wc/v3)",
            url=client.url,
            status=index.status,
        )
    totals: dict[str, int | None] = {}
    for collection in collections:
        totals |= _totals(client, collection, totals)
    return {
        "name": client.hide(str(index.data.get("name", "")))[:200],
        "home": client.hide(str(index.data.get("home", "")))[:500],
        "totals": totals,
        "date": index.date.isoformat() if index.date is not None else "",
        "journal": NAMESPACE in namespaces,
        "timezone": read_zone(index.data),
        "users": list(oldest_users(client) or ()),
        "root": client.root,
        **({"rest": client.rest} if client.rest != REST else {}),
        **read_system(client),
    }


def read_zone(index: cabc.Mapping[str, t.Any]) -> str:
    """Return the time zone of a site's index: a name, or an offset such as ``+05:30``.

    :return: empty if the index has neither.
    """
    if name := str(index.get("timezone_string") or ""):
        return name[:64]
    try:
        minutes = round(float(index["gmt_offset"]) * 60)
    except (KeyError, TypeError, ValueError, OverflowError):
        return ""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def _totals(
    client: StoreClient, collection: Collection, known: cabc.Mapping[str, int | None]
) -> dict[str, int | None]:
    """Count the objects of a collection; ``None`` if the store does not report the total."""
    below = collection.below
    if below is None:
        path = collection.path
        return {path: known[path] if path in known else _total(client, collection)}
    parents = named(below.parent)
    found = _totals(client, parents, known)
    total: int | None = None
    if not found[parents.path]:
        total = found[parents.path]
    elif below.own_route:
        try:
            total = _total(client, collection)
        except StoreRejectedError as exc:
            # Older versions list them only below their parents: without parents there are none.
            if exc.code != "rest_no_route":
                raise
            if below.parent_filter and _total(client, parents, **dict(below.parent_filter)) == 0:
                total = 0
    return {**found, collection.path: total}


def _total(client: StoreClient, collection: Collection, **filters: str) -> int | None:
    reader = RowReader(client, collection.path, Unreadable())
    return reader.page({"_fields": "id", **filters}, 0, 1).total


def oldest_users(client: StoreClient) -> tuple[str, ...] | None:
    """Return digests of the oldest users of any role; ``None`` if the keys may not read them."""
    query: Params = {
        "role": "all",
        "orderby": "id",
        "order": "asc",
        "_fields": "id,username,date_created_gmt",
    }
    try:
        rows = RowReader(client, "customers", Unreadable()).page(query, 0, USERS, fill=True).data
    except (StoreAccessError, StoreRejectedError, StoreGarbledError):
        return None
    return tuple(_user_digest(row) for row in rows)


def _user_digest(row: cabc.Mapping[str, t.Any]) -> str:
    """Return what is kept of a user: nothing that names a person."""
    text = f"{row.get('id')} {row.get('username')} {row.get('date_created_gmt')}"
    return f"{row.get('id')}:{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"


def read_system(client: StoreClient) -> dict[str, t.Any]:
    """Read version and order storage; return nothing if the keys do not allow it."""
    try:
        status = client.get("system_status", {"_fields": "environment,settings"}).data
        environment, settings = status["environment"], status.get("settings", {})
        return {
            "version": client.hide(str(environment["version"]))[:40],
            "wordpress": client.hide(str(environment.get("wp_version", "")))[:40],
            "hpos": bool(settings.get("HPOS_enabled", False)),
        }
    except (StoreError, KeyError, TypeError, AttributeError):
        # It needs more rights than polling does; without it a poll makes two more requests.
        return {}
