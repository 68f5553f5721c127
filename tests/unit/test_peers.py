"""The comparison with other pollers: its actions change the same objects as on a real store."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt

import pytest

from benchmarks.peers import running
from benchmarks.peers.actions import CHANGES, Action, Scene, actions
from benchmarks.peers.judge import Kind, differences
from benchmarks.peers.shop import Shop
from flask_woo_events.simulation.store import SimClock

#: Actions that do not change exactly one object, and their changes on a real WooCommerce 11.0.1.
SEVERAL: dict[str, list[tuple[str, Kind]]] = {
    "subscriber registered": [],
    "order note added in the store": [],
    "order created by REST (stock falls)": [
        ("customers", "UPDATED"), ("orders", "CREATED"), ("products", "UPDATED"),
    ],
    "order with coupon (usage counted)": [
        ("coupons", "UPDATED"), ("orders", "CREATED"), ("products", "UPDATED"),
    ],
    "order trashed by REST": [("orders", "DELETED"), ("products", "UPDATED")],
    "order restored in admin": [("orders", "CREATED"), ("products", "UPDATED")],
    "order deleted permanently": [
        ("customers", "UPDATED"), ("orders", "DELETED"), ("products", "UPDATED"),
    ],
}  # fmt: skip


@pytest.fixture
def shop() -> Shop:
    """Create a store with the sizes of the comparison, at a fixed time."""
    return Shop(SimClock(dt.datetime(2026, 1, 1, tzinfo=dt.UTC)), **running.SHOP)


def _changes(shop: Shop, played: cabc.Iterable[Action]) -> dict[str, list[tuple[str, Kind]]]:
    scene = Scene(shop.store)
    scene.prepare()
    before = shop.objects()
    changes: dict[str, list[tuple[str, Kind]]] = {}
    for name, action in played:
        shop.store.clock.advance(900)
        action(scene)
        after = shop.objects()
        found = differences(before, after)
        changes[name] = sorted((key[0], kind) for key, kind in found.items())
        before = after
    return changes


def test_actions_make_the_changes_of_a_real_store(shop: Shop) -> None:
    """Forty actions make 46 changes, as on a real store; others would distort the comparison."""
    changes = _changes(shop, actions())
    several = {name: found for name, found in changes.items() if len(found) != 1}
    assert several == SEVERAL
    assert sum(map(len, changes.values())) == CHANGES == 46
    assert len(changes) == 40
