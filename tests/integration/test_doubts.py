"""What a poll does not believe: another store, an earlier day, a store that is suddenly empty."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import pathlib
import shutil

import pytest

from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.runtime import Runtime
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.sync.instance_poll import InstancePoll, due_instances
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import StoreToCallback, open_line


class Hands:
    """Our own clock, moved by hand."""

    def __init__(self, runtime: Runtime) -> None:
        self._ahead = dt.timedelta()
        runtime.clock = lambda: dt.datetime.now(dt.UTC) + self._ahead

    def advance(self, **how: float) -> None:
        self._ahead += dt.timedelta(**how)


@pytest.fixture
def line(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        yield open_line("11.0", tmp_path, stack, counts=(60, 40, 30, 50))


@pytest.fixture
def hands(line: StoreToCallback) -> Hands:
    return Hands(runtime_of(line.app))


def test_backup_played_in(line: StoreToCallback, hands: Hands) -> None:
    """What a restored store took back is said once, and is not told as changes."""
    store = line.store
    store.clock.advance(-86_400)
    backup = store.acts.snapshot()
    store.clock.advance(80_000)
    orders = list(store.truth("orders"))[:20]
    for order in orders:
        store.acts.status(order, "cancelled")
    new = [store.acts.new_product(f"New {number}") for number in range(5)]
    line.arrivals()
    store.clock.advance(6_400)
    store.acts.restore_backup(backup)
    told = line.arrivals()
    assert len(told) <= len(new)
    (notice,) = line.notices
    assert notice["kind"] == "restored"
    assert "backup" in notice["text"]
    again = store.acts.new_product("After the restore")
    store.acts.status(orders[0], "completed")
    told = line.arrivals()
    assert {("orders", str(orders[0]), "UPDATED"), ("products", str(again), "CREATED")} <= told
    assert line.arrivals() == set()
    assert len(line.notices) == 1


def test_versions_go_on_after_a_restore(line: StoreToCallback) -> None:
    """A receiver that keeps the greatest version is not left behind by a restored store."""
    store, order = line.store, line.first("orders")
    store.clock.advance(-86_400)
    backup = store.acts.snapshot()
    store.clock.advance(80_000)
    for number in list(store.truth("orders"))[:10]:
        store.acts.status(number, "cancelled")
    line.arrivals()
    before = _version(line, order)
    store.clock.advance(6_400)
    store.acts.restore_backup(backup)
    line.arrivals()
    store.acts.status(order, "completed")
    line.arrivals()
    assert _version(line, order) > before


def _version(line: StoreToCallback, order: int) -> int:
    events = [event for one in line.receiver.received for event in one.events]
    return max(int(one["version"]) for one in events if one["objectId"] == str(order))


def test_another_store_at_the_address(line: StoreToCallback) -> None:
    """Another shop's objects are not told, and the right one goes on where it was."""
    other = SimulatedStore("11.0", consumer_key="ck_test", consumer_secret="cs_test")
    other.clock.advance(-400 * 86_400)
    other.populate(orders=70, products=50, coupons=20, customers=45)
    other.clock.advance(400 * 86_400)
    ours = line.store.routes
    line.store.routes = other.routes
    errors = line.errors()
    assert set(errors) == {"orders", "products", "discounts", "customers"}
    assert all("another store" in text or "gone from the store" in text for text in errors.values())
    line.store.routes = ours
    product = line.first("products")
    line.store.acts.stock(product, 77)
    assert line.arrivals() == {("products", str(product), "UPDATED")}


def test_many_deletions_are_told_at_the_second_look(line: StoreToCallback, hands: Hands) -> None:
    """That most products are gone is told when it is still so ten minutes later."""
    for order in line.store.truth("orders"):
        line.store.acts.sql_update("orders", order, line_items=[])
    line.arrivals()
    gone = list(line.store.truth("products"))[:30]
    for number in gone:
        line.store.acts.delete_for_good("products", number)
    errors = line.errors()
    assert "30 of 40 products are gone" in errors["products"]
    assert f"flask woo instances accept {line.instance_id}" in errors["products"]
    hands.advance(minutes=5)
    assert "products" in line.errors()
    hands.advance(minutes=6)
    assert line.arrivals() == {("products", str(number), "DELETED") for number in gone}


def test_many_deletions_that_a_person_accepts(line: StoreToCallback) -> None:
    """``flask woo instances accept`` tells the deletions at the next poll."""
    for number in list(line.store.truth("coupons"))[:25]:
        line.store.acts.delete_for_good("coupons", number)
    assert "discounts" in line.errors()
    runner = line.app.test_cli_runner()
    result = runner.invoke(args=["woo", "instances", "accept", str(line.instance_id)])
    assert result.output == "The next poll tells what is gone of: discounts.\n"
    assert len(line.arrivals()) == 25
    result = runner.invoke(args=["woo", "instances", "accept", str(line.instance_id)])
    assert (result.exit_code, "misses nothing" in result.output) == (1, True)


def test_empty_store_needs_a_person(line: StoreToCallback, hands: Hands) -> None:
    """When nothing of the whole store is left no time makes it true."""
    for kind in ("orders", "products", "coupons", "customers"):
        for number in list(line.store.truth(kind)):
            line.store.acts.delete_for_good(kind, number)
    for _ in range(3):
        errors = line.errors()
        assert set(errors) == {"orders", "products", "discounts", "customers"}
        hands.advance(hours=1)
    assert "another store or a broken one" in errors["orders"]
    line.app.test_cli_runner().invoke(args=["woo", "instances", "accept", str(line.instance_id)])
    assert len(line.arrivals()) == 60 + 40 + 30 + 50


def _poll_due(line: StoreToCallback) -> set[str]:
    """Poll as a worker does, and tell which resources were."""
    runtime = runtime_of(line.app)
    with LeaseRenewer(runtime.database, runtime.clock, dt.timedelta(seconds=10)) as keeper:
        turn = InstancePoll(runtime, keeper)
        reports = [one for number in due_instances(runtime) for one in turn.run(number)]
    return {one.resource for one in reports}


def test_failures_wait_longer_and_longer(line: StoreToCallback, hands: Hands) -> None:
    """A failing resource is tried after one minute, two and four; the others keep their time."""
    line.store.faults.add("status", match="/wc/v3/coupons", times=1000, code=500)
    asked = []
    for minute in range(30):
        hands.advance(minutes=1)
        if "discounts" in _poll_due(line):
            asked.append(minute)
    assert asked
    shown = line.api.call("GET", f"/instances/{line.instance_id}").json["pollers"]
    states = {one["resource"]: (one["failures"], one["nextRetry"] is None) for one in shown}
    assert states["discounts"] == (len(asked), False)
    assert states["orders"] == (0, True)
    gaps = [right - left for left, right in zip(asked, asked[1:], strict=False)]
    assert gaps[:3] == [1, 2, 4]
    line.store.faults.clear()
    hands.advance(hours=2)
    _poll_due(line)
    assert line.poller("discounts").failures == 0


def test_retry_after_is_waited_for(line: StoreToCallback, hands: Hands) -> None:
    """A store that asks for an hour gets it."""
    line.store.faults.add("status", times=1000, code=429, retry_after=3600)
    line.errors()
    waits = line.poller("orders").retry_at
    assert waits is not None
    left = waits - runtime_of(line.app).clock()
    assert dt.timedelta(minutes=59) < left <= dt.timedelta(hours=1)
