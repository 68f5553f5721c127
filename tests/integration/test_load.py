"""Load: what many changed objects cost, at the poll that finds them and at the quiet ones after."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import pathlib
import shutil
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Object
from flask_woo_events.simulation.store import bulk
from flask_woo_events.simulation.store.untotalled import NoTotalPastTheEnd
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import OwnClock, StoreToCallback, open_env

Make = cabc.Callable[..., StoreToCallback]


@pytest.fixture
def make(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def make(*names: str, version: str = "11.0", **more: t.Any) -> StoreToCallback:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            blocks = {name: {"url": f"/hubs/ecommerce/{name}"} for name in names}
            return open_env(version, tmp_path, stack, resources=blocks, **more)

        yield make


class Cost:
    """What happens in a block: requests to the store, and rows of the ledger that are written."""

    def __init__(self, env: StoreToCallback) -> None:
        self._env = env
        self.rows = 0
        self.paths: list[str] = []

    def __enter__(self) -> t.Self:
        self._env.store.requests.clear()
        self._engine = runtime_of(self._env.app).database.engine
        sa.event.listen(self._engine, "before_cursor_execute", self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._engine, "before_cursor_execute", self._count)
        self.paths = [one.path for one in self._env.store.requests]

    def _count(
        self, _c: t.Any, _d: t.Any, statement: str, values: t.Any, _x: t.Any, many: bool
    ) -> None:
        if statement.startswith(("UPDATE", "INSERT")) and Object.__tablename__ in statement:
            self.rows += len(values) if many else 1

    def of(self, end: str) -> int:
        """Return the number of requests whose path ends so."""
        return sum(path.endswith(end) for path in self.paths)


def test_notes_are_read_once_for_each_change(make: Make) -> None:
    """The notes of changed orders are read once, and not again while nothing happens."""
    env = make("orders", "orders-comments", counts=(60, 6, 3, 5))
    env.store.clock.advance(86_400)
    env.arrivals()
    changed = bulk.change_statuses(env.store, "completed")
    env.store.clock.advance(60)
    with Cost(env) as cost:
        emitted = env.arrivals()
    assert {one for one in emitted if one[0] == "orders"} == {
        ("orders", str(number), "UPDATED") for number in changed
    }
    assert {one[2] for one in emitted if one[0] == "orders-comments"} == {"CREATED"}
    assert len({one for one in cost.paths if one.endswith("/notes")}) == 60
    assert cost.of("/notes") == 60
    for _ in range(3):
        with Cost(env) as cost:
            assert env.arrivals() == set()
        # Those of the next ten orders are compared.
        assert (cost.of("/notes"), cost.rows) == (10, 0)


def test_a_failure_on_the_way_repeats_little(make: Make) -> None:
    """What was read before a failure is not read again, but a deletion is not forgotten."""
    env = make("orders", "orders-comments", counts=(230, 6, 3, 5))
    orders = list(env.store.truth("orders"))
    note = env.rest("POST", f"orders/{orders[0]}/notes", note="call back")["id"]
    env.store.clock.advance(86_400)
    env.arrivals()
    changed = bulk.change_statuses(env.store, "completed")
    env.rest("DELETE", f"orders/{orders[0]}/notes/{note}", force=True)
    env.store.clock.advance(60)
    late = f"/orders/{changed[-1]}/notes"
    env.store.faults.add("status", match=late, times=5, code=503)
    assert env.poll()[-1].error
    env.store.faults.clear()
    with Cost(env) as cost:
        env.poll()
    assert late in "".join(cost.paths)
    assert cost.of("/notes") <= 100 + 10
    assert env.delivered() >= {("orders-comments", str(note), "DELETED")}


@pytest.mark.parametrize("version", ["8.0", "11.0"])
def test_dates_far_ahead(make: Make, version: str) -> None:
    """Products dated years ahead are read twice, and are then listed only if they change."""
    env = make("products", version=version, counts=(5, 130, 3, 5))
    quiet = _quiet(env)
    numbers = list(env.store.truth("products"))
    bulk.date_ahead(env.store, "products", numbers, dt.timedelta(days=1500))
    assert len(env.arrivals()) == 130
    env.arrivals()
    for _ in range(3):
        with Cost(env) as cost:
            assert env.arrivals() == set()
        assert (len(cost.paths), cost.rows) == (quiet + (1 if version == "11.0" else 2), 0)
    env.store.acts.post_update(numbers[7])
    env.store.acts.delete_for_good("products", numbers[9])
    bulk.date_ahead(env.store, "products", [env.store.acts.new_product("New")], dt.timedelta(50))
    emitted = env.arrivals()
    # A date that goes back may be a replica's; a second reading decides.
    OwnClock(runtime_of(env.app)).advance(seconds=15)
    emitted |= env.arrivals()
    assert ("products", str(numbers[7]), "UPDATED") in emitted
    assert ("products", str(numbers[9]), "DELETED") in emitted
    assert len(emitted) == 3
    assert env.arrivals() == set()


def _quiet(env: StoreToCallback) -> int:
    """Return the number of requests of a poll that finds nothing."""
    with Cost(env) as cost:
        assert env.arrivals() == set()
    return len(cost.paths)


def test_orders_dated_ahead(make: Make) -> None:
    """The notes of orders dated years ahead are read twice."""
    env = make("orders", "orders-comments", counts=(30, 6, 3, 5))
    env.store.clock.advance(86_400)
    env.arrivals()
    numbers = list(env.store.truth("orders"))
    bulk.date_ahead(env.store, "orders", numbers, dt.timedelta(days=1500))
    counts = []
    for _ in range(4):
        with Cost(env) as cost:
            env.arrivals()
        counts.append(cost.of("/notes"))
    assert counts[0] <= 40
    assert counts[1] <= 40
    assert counts[2:] == [10, 10]


def test_half_a_change_dated_ahead(make: Make) -> None:
    """What is written after the date of a change that is dated ahead is found by the next poll."""
    env = make("products", counts=(5, 130, 3, 5))
    number = list(env.store.truth("products"))[120]
    bulk.date_ahead(env.store, "products", [number], dt.timedelta(days=1500))
    assert env.arrivals() == {("products", str(number), "UPDATED")}
    env.store.acts.price_meta(number, "12.34")
    assert env.arrivals() == {("products", str(number), "UPDATED")}


@pytest.mark.slow
@pytest.mark.parametrize("away", [1, 3, 6, 20])
def test_a_clock_that_was_ahead(make: Make, away: int) -> None:
    """Changes are found that were made after a clock five hours ahead had been set right."""
    env = make("orders", "products", "orders-comments", counts=(250, 250, 3, 5))
    own_clock, store = OwnClock(runtime_of(env.app)), env.store
    store.clock.advance(5 * 3_600)
    product, order = list(store.truth("products"))[220], list(store.truth("orders"))[120]
    store.acts.post_update(product, "Dated ahead")
    assert env.arrivals() == {("products", str(product), "UPDATED")}
    store.clock.advance(-5 * 3_600 + 60)
    store.acts.post_update(product + 1)
    store.acts.status(order, "cancelled")
    store.clock.advance(away * 3_600)
    own_clock.advance(hours=away)
    emitted = env.arrivals()
    assert {("products", str(product + 1), "UPDATED"), ("orders", str(order), "UPDATED")} <= emitted
    assert any(one[0] == "orders-comments" for one in emitted)
    assert env.arrivals() == set()


@pytest.mark.parametrize("resource", ["orders", "products", "customers"])
@pytest.mark.parametrize("polls", [0, 1])
def test_deletions_before_the_next_page(make: Make, resource: str, polls: int) -> None:
    """The next page is past the end and tells no total; the deletions are found all the same."""
    counts = {"orders": (103, 5, 3, 5), "products": (5, 103, 3, 5), "customers": (5, 5, 3, 103)}
    env = make(resource, counts=counts[resource])
    env.store.lies.begin(NoTotalPastTheEnd())
    env.store.clock.advance(86_400)
    for _ in range(polls):
        env.arrivals()
    gone = list(env.store.truth(resource))[-3:]
    for number in gone:
        env.store.acts.delete_for_good(resource, number)
    assert env.arrivals() == {(resource, str(number), "DELETED") for number in gone}
