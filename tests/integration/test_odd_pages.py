"""Rows and pages that a store fails to show stop no resource, and lose no event."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import pathlib
import shutil
import typing as t

import orjson
import pytest

from flask_woo_events.db.models import Instance
from flask_woo_events.db.states import PollerState
from flask_woo_events.simulation.store.lies import Asked, Lie
from flask_woo_events.simulation.store.manners import (
    CappedPages,
    FailingTotals,
    FailsAbove,
    Manner,
    RefusedPages,
    RefusedStatus,
    UnreadableRows,
)
from flask_woo_events.simulation.store.responses import SimulatedResponse
from flask_woo_events.simulation.store.routes import Routes
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import Event, OwnClock, StoreToCallback, open_env

Make = cabc.Callable[..., StoreToCallback]


@pytest.fixture
def make_env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def make(version: str = "11.0", **how: t.Any) -> StoreToCallback:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            return open_env(version, tmp_path, stack, **how)

        yield make


def _requests(env: StoreToCallback) -> int:
    """Poll a quiet store; return the number of requests."""
    before = len(env.store.requests)
    assert env.arrivals() == set()
    return len(env.store.requests) - before


def _orders(env: StoreToCallback) -> set[Event]:
    """Poll; return the events of orders, whose changes move customers and products, too."""
    return {one for one in env.arrivals() if one[0] == "orders"}


def _facts(env: StoreToCallback) -> dict[str, t.Any]:
    with runtime_of(env.app).database.read() as session:
        return session.get_one(Instance, env.instance_id).store_facts


def _is_well(env: StoreToCallback) -> bool:
    names = ("orders", "products", "customers", "discounts")
    return all(env.poller(name).state == PollerState.ACTIVE for name in names)


NAMES = {
    "orders": "orders", "products": "products", "customers": "customers", "coupons": "discounts"
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("kind", NAMES)
def test_one_unreadable_row(make_env: Make, kind: str, light: bool) -> None:
    """The others are read, it is not deleted, and its change is sent when it can be read."""
    env = make_env(counts=(30, 30, 30, 30))
    clock = OwnClock(runtime_of(env.app))
    numbers = list(env.store.truth(kind))
    odd, edited, gone = numbers[7], numbers[12], numbers[3]
    resource = NAMES[kind]
    env.store.lies.begin(UnreadableRows(kind, {odd}, light=light))
    assert env.arrivals() == set()
    _edit(env, kind, odd)
    _edit(env, kind, edited)
    env.store.acts.delete_for_good(kind, gone)
    sent = {one for one in env.arrivals() if one[0] == resource}
    assert sent == {(resource, str(edited), "UPDATED"), (resource, str(gone), "DELETED")}
    assert list(env.poller(resource).memory["unreadable"]) == [str(odd)]
    env.arrivals()
    assert env.arrivals() == set()
    env.store.lies.end()
    clock.advance(hours=1)
    assert (resource, str(odd), "UPDATED") in env.arrivals()
    assert "unreadable" not in env.poller(resource).memory
    assert env.arrivals() == set()
    assert _is_well(env)


def _edit(env: StoreToCallback, kind: str, number: int) -> None:
    match kind:
        case "orders":
            env.store.acts.status(number, "completed")
        case "products":
            env.store.acts.stock(number, 77)
        case "coupons":
            env.store.acts.coupon_use(number)
        case "customers":
            env.rest("PUT", f"customers/{number}", first_name="Another")


def test_unreadable_row_costs_little(make_env: Make) -> None:
    """After it was found, a poll makes the requests of other polls, and a few to try it again."""
    env = make_env(counts=(120, 6, 3, 5))
    clock = OwnClock(runtime_of(env.app))
    usual = _requests(env)
    odd = list(env.store.truth("orders"))[60]
    env.store.lies.begin(UnreadableRows("orders", {odd}))
    first = _requests(env)
    assert first < usual + 40
    assert _requests(env) == usual
    clock.advance(hours=1)
    env.store.clock.advance(3600)
    # Four for the trial; the others are made once an hour, or because the clocks were moved.
    assert _requests(env) <= usual + 4 + 3


@pytest.mark.parametrize("light", [False, True])
def test_unreadable_row_of_the_baseline(make_env: Make, light: bool) -> None:
    """The baseline reads the others; the object is no new one when it can be read."""
    manner = {}

    def begin(store: t.Any) -> None:
        manner["odd"] = list(store.truth("orders"))[11]
        store.lies.begin(UnreadableRows("orders", {manner["odd"]}, light=light))

    env = make_env(counts=(30, 6, 3, 5), prepare=begin)
    clock, odd = OwnClock(runtime_of(env.app)), manner["odd"]
    edited = list(env.store.truth("orders"))[12]
    env.store.acts.status(edited, "completed")
    assert _orders(env) == {("orders", str(edited), "UPDATED")}
    env.store.lies.end()
    clock.advance(hours=1)
    assert env.arrivals() == set()
    env.store.acts.status(odd, "completed")
    assert _orders(env) == {("orders", str(odd), "UPDATED")}


def test_unreadable_row_is_deleted(make_env: Make) -> None:
    """An object that is deleted while it cannot be read is DELETED, once."""
    env = make_env(counts=(30, 6, 3, 5))
    clock = OwnClock(runtime_of(env.app))
    odd = list(env.store.truth("orders"))[11]
    env.store.lies.begin(UnreadableRows("orders", {odd}))
    assert env.arrivals() == set()
    env.store.acts.delete_for_good("orders", odd)
    clock.advance(hours=1)
    assert env.arrivals() == {("orders", str(odd), "DELETED")}
    assert env.arrivals() == set()


def test_row_that_only_its_own_address_shows(make_env: Make) -> None:
    """An object whose lists fail is read at its own address."""
    env = make_env(counts=(30, 6, 3, 5))
    clock = OwnClock(runtime_of(env.app))
    odd = list(env.store.truth("orders"))[11]
    env.store.lies.begin(UnreadableRows("orders", {odd}, alone=True))
    assert env.arrivals() == set()
    env.store.acts.status(odd, "completed")
    clock.advance(hours=1)
    assert _orders(env) == {("orders", str(odd), "UPDATED")}
    assert env.arrivals() == set()


@pytest.mark.parametrize("mode", ["hooked", "journal"])
def test_hint_at_an_unreadable_row(make_env: Make, mode: str) -> None:
    """A hint at an object that cannot be read holds no other hint."""
    env = make_env(counts=(30, 6, 3, 5), **{mode: True})
    read = env.hooks if mode == "hooked" else env.arrivals
    if mode == "journal":
        env.arrivals()
    odd, other = list(env.store.truth("orders"))[11:13]
    env.store.lies.begin(UnreadableRows("orders", {odd}))
    for number in (odd, other):
        env.store.acts.status(number, "completed")
    assert ("orders", str(other), "UPDATED") in read()
    assert str(odd) in env.poller("orders").memory["unreadable"]
    env.store.lies.end()
    env.store.acts.status(odd, "processing")
    assert ("orders", str(odd), "UPDATED") in read()


def test_several_unreadable_rows_in_pages(make_env: Make) -> None:
    """Unreadable objects on several pages, at their ends and side by side."""
    env = make_env(counts=(60, 6, 3, 5), WOO_EVENTS_POLL_PAGE_SIZE=10)
    clock = OwnClock(runtime_of(env.app))
    numbers = list(env.store.truth("orders"))
    odd = {numbers[at] for at in (0, 9, 10, 11, 33, 59)}
    env.store.lies.begin(UnreadableRows("orders", odd))
    for _ in range(8):
        assert env.arrivals() == set()
    env.store.acts.status(numbers[5], "completed")
    assert ("orders", str(numbers[5]), "UPDATED") in env.arrivals()
    env.store.acts.delete_for_good("orders", numbers[20])
    assert ("orders", str(numbers[20]), "DELETED") in env.arrivals()
    env.store.lies.end()
    for number in odd:
        env.store.acts.status(number, "completed")
    clock.advance(hours=2)
    found = env.arrivals() | env.arrivals()
    assert {one[1] for one in found if one[0] == "orders"} == {str(one) for one in odd}
    assert env.arrivals() == set()


def test_store_that_is_down(make_env: Make) -> None:
    """A store that fails at every size gets few requests more, and nothing is learned."""
    env = make_env(counts=(30, 30, 3, 5))
    before = len(env.store.requests)
    env.store.lies.begin(FailsAbove(-1, light=False))
    errors = env.errors()
    assert set(errors) == {"orders", "products", "customers", "discounts"}
    assert len(env.store.requests) - before <= 12
    env.store.lies.end()
    assert "rows" not in _facts(env)
    OwnClock(runtime_of(env.app)).advance(minutes=20)
    assert env.arrivals() == set()
    assert _is_well(env)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "orders", "light", "slow"),
    [(1, 15, False, False), (4, 60, True, True), (30, 60, False, True)],
)
def test_store_that_fails_above_some_rows(
    make_env: Make, rows: int, orders: int, light: bool, slow: bool
) -> None:
    """Pages shrink, also in the baseline, and grow again when the store can answer longer ones."""
    manner = FailsAbove(rows, light=light, slow=slow)
    env = make_env(counts=(orders, 8, 3, 5), prepare=lambda store: store.lies.begin(manner))
    clock = OwnClock(runtime_of(env.app))
    assert 1 <= _facts(env)["rows"]["limit"] <= rows
    numbers = list(env.store.truth("orders"))
    changed, deleted = numbers[: orders * 3 // 4], numbers[-3]
    for number in changed:
        env.store.acts.status(number, "completed")
    env.store.acts.delete_for_good("orders", deleted)
    found = _orders(env)
    assert {one for one in found if one[2] == "DELETED"} == {("orders", str(deleted), "DELETED")}
    assert {one[1] for one in found} == {*map(str, changed), str(deleted)}
    for _ in range(3):
        assert _orders(env) == set()
    failed = len([one for one in env.store.requests if one.status == 500])
    assert env.arrivals() == set()
    assert len([one for one in env.store.requests if one.status == 500]) <= failed + 2
    env.store.lies.end()
    clock.advance(hours=25)
    for _ in range(3):
        assert env.arrivals() == set()
    assert _facts(env).get("rows", {}).get("limit", 100) > rows
    assert _is_well(env)


def test_error_of_small_pages_names_the_setting(make_env: Make) -> None:
    """A store that fails in too many ways fails its resource, and the error names ``pageSize``."""
    env = make_env(counts=(90, 6, 3, 5))
    numbers = list(env.store.truth("orders"))
    env.store.lies.begin(UnreadableRows("orders", set(numbers[10:50])))
    assert "pageSize" in env.errors()["orders"]


@pytest.mark.slow
@pytest.mark.parametrize("manner", [CappedPages(50), RefusedPages(50), CappedPages(7)])
def test_store_with_a_limit_of_its_own(make_env: Make, manner: Lie) -> None:
    """A plugin that shortens or refuses pages delays no change and no deletion."""
    env = make_env(counts=(160, 120, 3, 5))
    env.store.lies.begin(manner)
    assert env.arrivals() == set()
    orders, products = list(env.store.truth("orders")), list(env.store.truth("products"))
    for number in orders[:97]:
        env.store.acts.status(number, "completed")
    for number in (orders[120], orders[140], orders[155]):
        env.store.acts.delete_for_good("orders", number)
    found = _orders(env)
    assert {one[1] for one in found if one[2] == "DELETED"} == {
        str(orders[120]), str(orders[140]), str(orders[155])
    }  # fmt: skip
    assert {one[1] for one in found if one[2] == "UPDATED"} == {*map(str, orders[:97])}
    env.arrivals()
    env.store.acts.price_meta(products[100], "1.23")
    env.store.acts.stock(products[3], 3)
    assert ("products", str(products[3]), "UPDATED") in env.arrivals()
    for _ in range(2):
        env.arrivals()
    assert env.arrivals() == set()
    assert _is_well(env)


def test_configured_page_size_for_named_objects(make_env: Make) -> None:
    """A ``pageSize`` is the most objects of every request, also of those that the journal names."""
    resources = {"products": {"url": "/hubs/ecommerce/products", "pageSize": 10}}
    env = make_env(counts=(3, 60, 3, 5), journal=True, resources=resources)
    env.arrivals()
    env.store.lies.begin(FailsAbove(10, light=False))
    products = list(env.store.truth("products"))[:30]
    for number in products:
        env.store.acts.price_meta(number, "1.23")
    assert {one[1] for one in env.arrivals()} == {str(one) for one in products}
    sizes = [int(one.params.get("per_page", 0)) for one in env.store.requests]
    assert max(sizes[-20:]) <= 10
    assert "rows" not in _facts(env)


@pytest.mark.parametrize("body", [None, {"a": 1}, [{"slug": 7}], [[1]], "text", []])
def test_totals_that_fail(make_env: Make, body: object) -> None:
    """Orders are read with the statuses known before, or with ``any``."""
    env = make_env(
        counts=(12, 6, 3, 5), prepare=lambda store: store.lies.begin(FailingTotals(body))
    )
    orders = list(env.store.truth("orders"))
    env.store.acts.status(orders[0], "completed")
    env.store.acts.trash_post(orders[1])
    assert _orders(env) == {
        ("orders", str(orders[0]), "UPDATED"), ("orders", str(orders[1]), "DELETED")
    }  # fmt: skip
    env.store.lies.end()
    OwnClock(runtime_of(env.app)).advance(hours=2)
    assert env.arrivals() == set()
    assert "completed" in env.poller("orders").memory["statuses"]


@pytest.mark.parametrize("mode", ["polling", "hooked"])
def test_status_that_orders_refuse(make_env: Make, mode: str) -> None:
    """A listed status that the orders refuse is found, left out, and tried again after a day."""
    env = make_env(counts=(12, 6, 3, 5), **({"hooked": True} if mode == "hooked" else {}))
    clock = OwnClock(runtime_of(env.app))
    env.store.lies.begin(RefusedStatus())
    clock.advance(hours=2)
    order = env.first("orders")
    env.store.acts.status(order, "completed")
    read = env.hooks if mode == "hooked" else env.arrivals
    assert ("orders", str(order), "UPDATED") in read()
    assert list(env.poller("orders").memory["statuses_refused"]) == ["wc-quote"]
    env.arrivals()
    clock.advance(hours=2)
    refused = len([one for one in env.store.requests if one.status == 400])
    assert env.arrivals() == set()
    assert len([one for one in env.store.requests if one.status == 400]) == refused
    clock.advance(hours=25)
    assert env.arrivals() == set()
    assert len([one for one in env.store.requests if one.status == 400]) > refused
    env.store.lies.end()
    clock.advance(hours=25)
    assert env.arrivals() == set()
    assert "statuses_refused" not in env.poller("orders").memory


BLOCKS = {
    name: {"url": f"/hubs/ecommerce/{name}"}
    for name in ("orders", "products", "variations", "orders-comments")
}


@pytest.mark.parametrize("version", ["5.9", "11.0"])
def test_unreadable_variation(make_env: Make, version: str) -> None:
    """A variation that cannot be read stops no other one, below its product or not."""
    env = make_env(version, counts=(4, 4, 3, 3), resources=BLOCKS)
    clock = OwnClock(runtime_of(env.app))
    attribute = {"name": "Size", "options": ["a", "b"], "variation": True}
    product = env.rest("POST", "products", name="V", type="variable", attributes=[attribute])["id"]
    odd, other = (
        env.rest("POST", f"products/{product}/variations", regular_price=price)["id"]
        for price in ("5", "7")
    )
    env.arrivals()
    env.store.lies.begin(UnreadableRows("variations", {odd}))
    for number, price in ((odd, "6"), (other, "8")):
        env.rest("PUT", f"products/{product}/variations/{number}", regular_price=price)
    found = {one for one in env.arrivals() if one[0] == "variations"}
    assert found == {("variations", str(other), "UPDATED")}
    clock.advance(minutes=20)
    assert env.arrivals() == set()
    env.store.lies.end()
    clock.advance(hours=2)
    found = env.arrivals() | env.arrivals()
    assert ("variations", str(odd), "UPDATED") in found
    assert env.arrivals() == set()


def test_order_whose_notes_fail(make_env: Make) -> None:
    """Notes of one order that cannot be read stop no other notes, and are not deleted."""
    env = make_env(counts=(8, 4, 3, 3), resources=BLOCKS)
    clock = OwnClock(runtime_of(env.app))
    odd, other = list(env.store.truth("orders"))[2:4]
    note = env.rest("POST", f"orders/{odd}/notes", note="one")["id"]
    env.store.acts.status(odd, "completed")
    env.arrivals()
    env.store.lies.begin(UnreadableRows("notes", {note}))
    for order in (odd, other):
        env.rest("POST", f"orders/{order}/notes", note="two")
        env.store.acts.status(order, "cancelled")
    found = {one for one in env.arrivals() if one[0] == "orders-comments"}
    assert found and all(one[2] == "CREATED" for one in found)
    clock.advance(minutes=20)
    assert {one for one in env.arrivals() if one[0] == "orders-comments"} == set()
    env.store.lies.end()
    clock.advance(hours=2)
    late = {one for one in env.arrivals() if one[0] == "orders-comments"}
    assert late and all(one[2] == "CREATED" for one in late)
    assert env.arrivals() == set()


class _LeftOut(Manner):
    """Lists of more than two customers lack one of them."""

    def __init__(self, number: int) -> None:
        self._number = number

    def spoil(self, live: Routes, asked: Asked, given: SimulatedResponse) -> SimulatedResponse:
        """Return the list without it."""
        rows = orjson.loads(given.body)
        if asked.listed != "customers" or len(rows) <= 2:
            return given
        kept = [row for row in rows if row["id"] != self._number]
        return dataclasses.replace(given, body=orjson.dumps(kept))


def test_customer_that_one_list_lacks(make_env: Make) -> None:
    """A customer that a shortened list lacks is not one without the polled role."""
    env = make_env(counts=(3, 6, 3, 30))
    env.store.lies.begin(_LeftOut(list(env.store.truth("customers"))[10]))
    for _ in range(3):
        assert env.arrivals() == set()
    assert _is_well(env)
