"""The check of a store: whether it can be reached with these keys, and what it is."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..errors import StoreError, StoreGarbledError
from .catalogue import Collection, named
from .client import StoreClient


def check_store(client: StoreClient, collections: cabc.Iterable[Collection]) -> dict[str, t.Any]:
    """Ask a store for one row of each collection, and what it tells of itself.

    :raises UnreachableError: the store cannot be reached.
    :raises StoreAccessError: the keys are not good for one of the collections.
    :raises StoreError: the store answers otherwise than WooCommerce does.
    """
    index = client.index()
    namespaces = index.data.get("namespaces")
    if not isinstance(namespaces, list) or "wc/v3" not in namespaces:
        raise StoreGarbledError(
            f"{client.url} is a WordPress without WooCommerce's REST API (wc/v3)",
            url=client.url,
            status=index.status,
        )
    totals = {
        path: client.get_list(path, {"per_page": 1, "_fields": "id"}).total
        for path in dict.fromkeys(listed_at(collection) for collection in collections)
    }
    return {
        "name": str(index.data.get("name", ""))[:200],
        "home": str(index.data.get("home", ""))[:500],
        "totals": totals,
        "date": index.date.isoformat() if index.date is not None else "",
        "timezone": str(index.data.get("timezone_string", ""))[:100],
        **_system(client),
    }


def listed_at(collection: Collection) -> str:
    """A list that every version has; of what is below another collection, that one's."""
    return collection.path if collection.below is None else named(collection.below.parent).path


def _system(client: StoreClient) -> dict[str, t.Any]:
    """Version and order storage, where the keys may read them."""
    try:
        status = client.get("system_status", {"_fields": "environment,settings"}).data
        environment, settings = status["environment"], status.get("settings", {})
        return {
            "version": str(environment["version"])[:40],
            "wordpress": str(environment.get("wp_version", ""))[:40],
            "hpos": bool(settings.get("HPOS_enabled", False)),
        }
    except (StoreError, KeyError, TypeError, AttributeError):
        # It needs more rights than polling does; without it two requests more are made.
        return {}
