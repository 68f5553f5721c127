"""The ground truth: what a client that reads the whole simulated store would see."""

from __future__ import annotations

import functools
import typing as t

import orjson

from ...sync.ledger.digest import digest_of
from ..store import SimulatedStore
from .judge import ObjectKey

#: Polled resources, and the simulator's names of them.
KINDS = {
    "orders": "orders",
    "products": "products",
    "discounts": "coupons",
    "customers": "customers",
    "variations": "variations",
    "refunds": "refunds",
}


def truth(store: SimulatedStore) -> dict[ObjectKey, bytes]:
    """Return the digest of every live object of a store."""
    return {
        (resource, str(number)): _digest(body, _shown_parent(store, kind, number))
        for resource, kind in KINDS.items()
        for number, body in store.encoded(kind).items()
        if not _hidden(store, kind, number)
    }


def parent_of(store: SimulatedStore, kind: str, number: int) -> int:
    """Return the id of the order or product that an object belongs to."""
    row = store.shop.tables[kind].get(number)
    if row is None:
        raise KeyError(f"the simulated store has no {kind} {number}")
    return row.parent


def _hidden(store: SimulatedStore, kind: str, number: int) -> bool:
    """Return whether a refund is not listed: its order is in the trash, without ``/refunds``."""
    if kind != "refunds" or store.shop.version.refunds_collection:
        return False
    order = store.shop.tables["orders"].get(parent_of(store, kind, number))
    return order is None or order.status == "trash"


def _shown_parent(store: SimulatedStore, kind: str, number: int) -> int | None:
    """Return the parent that the extension adds to an object, if it has one."""
    return parent_of(store, kind, number) if kind in ("variations", "refunds") else None


@functools.lru_cache(4096)
def _digest(encoded: bytes, parent: int | None) -> bytes:
    """Digest one object; most are the same at each call of ``truth``."""
    body: dict[str, t.Any] = orjson.loads(encoded)
    return digest_of(body if parent is None else {**body, "parent_id": parent})
