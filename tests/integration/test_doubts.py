"""What a poll refuses: another store, a restored backup, a store that is suddenly empty."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import pathlib
import shutil

import pytest

from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.db.models import Instance
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.sync.instance_poll import InstancePoll, due_instances
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import Event, OwnClock, StoreToCallback, open_env


@pytest.fixture
def env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        yield open_env("11.0", tmp_path, stack, counts=(60, 40, 30, 50))


@pytest.fixture
def own_clock(env: StoreToCallback) -> OwnClock:
    return OwnClock(runtime_of(env.app))


def test_a_restored_backup(env: StoreToCallback, own_clock: OwnClock) -> None:
    """After a restore the events lead to what the store has now."""
    store = env.store
    backup = store.acts.snapshot()
    store.clock.advance(80_000)
    orders = list(store.truth("orders"))[:15]
    for order in orders:
        store.acts.status(order, "cancelled")
    new = [store.acts.new_product(f"New {number}") for number in range(5)]
    env.arrivals()
    store.clock.advance(6_400)
    store.acts.restore_backup(backup)
    emitted: set[Event] = set()
    for _ in range(3):
        own_clock.advance(minutes=15)
        emitted |= env.arrivals()
    assert emitted >= {("orders", str(order), "UPDATED") for order in orders}
    assert emitted >= {("products", str(number), "DELETED") for number in new}
    again = store.acts.new_product("After the restore")
    store.acts.status(orders[0], "completed")
    emitted = env.arrivals()
    assert {("orders", str(orders[0]), "UPDATED"), ("products", str(again), "CREATED")} <= emitted
    own_clock.advance(minutes=15)
    assert env.arrivals() == set()


def test_versions_go_on_after_a_restore(env: StoreToCallback) -> None:
    """Versions keep growing after a restore, for receivers that keep the greatest one."""
    store, order = env.store, env.first("orders")
    store.clock.advance(-86_400)
    backup = store.acts.snapshot()
    store.clock.advance(80_000)
    for number in list(store.truth("orders"))[:10]:
        store.acts.status(number, "cancelled")
    env.arrivals()
    before = _version(env, order)
    store.clock.advance(6_400)
    store.acts.restore_backup(backup)
    env.arrivals()
    store.acts.status(order, "completed")
    env.arrivals()
    assert _version(env, order) > before


def _version(env: StoreToCallback, order: int) -> int:
    events = [event for one in env.receiver.received for event in one.events]
    return max(int(one["version"]) for one in events if one["objectId"] == str(order))


def test_another_store_at_the_url(env: StoreToCallback) -> None:
    """Another store's objects emit no events, and the right store continues where it was."""
    other = SimulatedStore("11.0", consumer_key="ck_test", consumer_secret="cs_test")
    other.clock.advance(-400 * 86_400)
    other.populate(orders=70, products=50, coupons=20, customers=45)
    other.clock.advance(400 * 86_400)
    ours = env.store.routes
    env.store.routes = other.routes
    errors = env.errors()
    assert set(errors) == {"orders", "products", "discounts", "customers"}
    reasons = "another store", "missing from the store"
    assert all(any(reason in text for reason in reasons) for text in errors.values())
    env.store.routes = ours
    product = env.first("products")
    env.store.acts.stock(product, 77)
    assert env.arrivals() == {("products", str(product), "UPDATED")}


def test_mass_deletion_is_emitted_after_confirmation(
    env: StoreToCallback, own_clock: OwnClock
) -> None:
    """The deletion of most products is emitted if they are still missing ten minutes later."""
    for order in env.store.truth("orders"):
        env.store.acts.sql_update("orders", order, line_items=[])
    env.arrivals()
    gone = list(env.store.truth("products"))[:30]
    for number in gone:
        env.store.acts.delete_for_good("products", number)
    errors = env.errors()
    assert "30 of 40 products are missing" in errors["products"]
    assert f"flask woo instances accept {env.instance_id}" in errors["products"]
    own_clock.advance(minutes=5)
    assert "products" in env.errors()
    own_clock.advance(minutes=6)
    assert env.arrivals() == {("products", str(number), "DELETED") for number in gone}


def test_mass_deletion_that_an_operator_accepts(env: StoreToCallback) -> None:
    """After ``flask woo instances accept``, the next poll emits the deletions."""
    for number in list(env.store.truth("coupons"))[:25]:
        env.store.acts.delete_for_good("coupons", number)
    assert "discounts" in env.errors()
    runner = env.app.test_cli_runner()
    result = runner.invoke(args=["woo", "instances", "accept", str(env.instance_id)])
    assert result.output == "The next poll sends the deletions of: discounts.\n"
    assert len(env.arrivals()) == 25
    result = runner.invoke(args=["woo", "instances", "accept", str(env.instance_id)])
    assert (result.exit_code, "is held back" in result.output) == (1, True)


def test_empty_store_needs_an_operator(env: StoreToCallback, own_clock: OwnClock) -> None:
    """No waiting time confirms the deletion of all objects of a store."""
    for kind in ("orders", "products", "coupons", "customers"):
        for number in list(env.store.truth(kind)):
            env.store.acts.delete_for_good(kind, number)
    for _ in range(3):
        errors = env.errors()
        assert set(errors) == {"orders", "products", "discounts", "customers"}
        own_clock.advance(hours=1)
    assert "it is empty, or broken" in errors["orders"]
    env.app.test_cli_runner().invoke(args=["woo", "instances", "accept", str(env.instance_id)])
    assert len(env.arrivals()) == 60 + 40 + 30 + 50


def _poll_due(env: StoreToCallback) -> set[str]:
    """Poll as a worker does, and return the resources that were polled."""
    runtime = runtime_of(env.app)
    with LeaseRenewer(runtime.database, runtime.clock, dt.timedelta(seconds=10)) as renewer:
        poll = InstancePoll(runtime, renewer)
        reports = [one for number in due_instances(runtime) for one in poll.run(number)]
    return {one.resource for one in reports}


def test_delay_grows_with_failures(env: StoreToCallback, own_clock: OwnClock) -> None:
    """A failing resource is tried after one, two and four minutes; the others are on time."""
    env.store.faults.add("status", match="/wc/v3/coupons", times=1000, code=500)
    tried = []
    for minute in range(30):
        own_clock.advance(minutes=1)
        if "discounts" in _poll_due(env):
            tried.append(minute)
    assert tried
    shown = env.api.call("GET", f"/instances/{env.instance_id}").json["pollers"]
    states = {one["resource"]: (one["failures"], one["nextRetry"] is None) for one in shown}
    assert states["discounts"] == (len(tried), False)
    assert states["orders"] == (0, True)
    gaps = [right - left for left, right in zip(tried, tried[1:], strict=False)]
    assert gaps[:3] == [1, 2, 4]
    env.store.faults.clear()
    own_clock.advance(hours=2)
    _poll_due(env)
    assert env.poller("discounts").failures == 0


def test_retry_after_is_respected(env: StoreToCallback, own_clock: OwnClock) -> None:
    """A resource is not read before the store's ``Retry-After`` has passed."""
    env.store.faults.add("status", times=1000, code=429, retry_after=3600)
    env.errors()
    retry_at = env.poller("orders").retry_at
    assert retry_at is not None
    left = retry_at - runtime_of(env.app).clock()
    assert dt.timedelta(minutes=59) < left <= dt.timedelta(hours=1)


def test_a_hold_concerns_one_instance(env: StoreToCallback, own_clock: OwnClock) -> None:
    """One poll object serves many instances: a hold changes when its own instance is due."""
    runtime = runtime_of(env.app)
    with LeaseRenewer(runtime.database, runtime.clock, dt.timedelta(seconds=10)) as renewer:
        poll = InstancePoll(runtime, renewer)
        other = SimulatedStore("11.0", consumer_key="ck_test", consumer_secret="cs_test")
        ours, env.store.routes = env.store.routes, other.routes
        own_clock.advance(minutes=16)
        poll.run(env.instance_id)
        assert _due_in(env) == dt.timedelta(minutes=5)
        env.store.routes = ours
        own_clock.advance(minutes=6)
        assert not [one.error for one in poll.run(env.instance_id) if one.error]
        assert _due_in(env) == dt.timedelta(minutes=15)


def _due_in(env: StoreToCallback) -> dt.timedelta:
    runtime = runtime_of(env.app)
    with runtime.database.read() as session:
        due = session.get_one(Instance, env.instance_id).next_poll_at
    assert due is not None
    left = due - runtime.clock()
    return dt.timedelta(minutes=round(left.total_seconds() / 60))
