"""The ground truth: what a client that reads the whole simulated store would see."""

from __future__ import annotations

import typing as t

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
        (resource, str(number)): digest_of(_shown(store, kind, number, body))
        for resource, kind in KINDS.items()
        for number, body in store.truth(kind).items()
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


def _shown(
    store: SimulatedStore, kind: str, number: int, body: dict[str, t.Any]
) -> dict[str, t.Any]:
    if kind in ("variations", "refunds"):
        return {**body, "parent_id": parent_of(store, kind, number)}
    return body
