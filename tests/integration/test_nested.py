"""Variations, refunds and order notes, on versions with and without a list of their own."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import shutil

import pytest

from tests.integration.store_to_callback import StoreToCallback, open_env

NAMES = ("orders", "products", "variations", "refunds", "orders-comments")
VERSIONS = ["5.9", "9.4", "11.0"]

Make = cabc.Callable[[str], StoreToCallback]


@pytest.fixture
def make_env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def make(version: str) -> StoreToCallback:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            blocks = {name: {"url": f"/hubs/ecommerce/{name}"} for name in NAMES}
            return open_env(version, tmp_path, stack, resources=blocks)

        yield make


def _variable(env: StoreToCallback) -> tuple[int, int, int]:
    """Add a product with two variations."""
    attribute = {"name": "Size", "options": ["a", "b"], "variation": True}
    product = env.rest("POST", "products", name="V", type="variable", attributes=[attribute])["id"]
    variations = [
        env.rest("POST", f"products/{product}/variations", regular_price=price)["id"]
        for price in ("5", "7")
    ]
    return product, variations[0], variations[1]


def _order(env: StoreToCallback) -> int:
    lines = [{"product_id": env.first("products"), "quantity": 2}]
    return int(env.rest("POST", "orders", status="completed", line_items=lines)["id"])


def _events(**emitted: tuple[str, tuple[int, ...]]) -> set[tuple[str, str, str]]:
    return {
        (resource.replace("_", "-"), str(number), kind)
        for resource, (kind, numbers) in emitted.items()
        for number in numbers
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_variations(make_env: Make, version: str) -> None:
    """A variation emits events with its product, and is deleted and restored with it."""
    env = make_env(version)
    product, cheap, dear = _variable(env)
    assert env.arrivals() == _events(
        products=("CREATED", (product,)), variations=("CREATED", (cheap, dear))
    )
    env.store.clock.advance(60)
    env.rest("PUT", f"products/{product}/variations/{cheap}", regular_price="4")
    assert env.arrivals() == _events(
        products=("UPDATED", (product,)), variations=("UPDATED", (cheap,))
    )
    env.store.clock.advance(60)
    env.rest("DELETE", f"products/{product}/variations/{dear}", force=True)
    assert env.arrivals() == _events(
        products=("UPDATED", (product,)), variations=("DELETED", (dear,))
    )
    env.store.acts.trash_post(product)
    assert env.arrivals() == _events(
        products=("DELETED", (product,)), variations=("DELETED", (cheap,))
    )
    env.store.acts.untrash_post(product)
    assert env.arrivals() == _events(
        products=("CREATED", (product,)), variations=("CREATED", (cheap,))
    )
    assert env.arrivals() == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_silent_change_of_a_variation(make_env: Make, version: str) -> None:
    """A variation that changes without a new date is found by the comparison."""
    env = make_env(version)
    product, cheap, _dear = _variable(env)
    env.arrivals()
    env.store.clock.advance(60)
    env.arrivals()
    env.store.acts.sql_update("variations", cheap, regular_price="1", price="1")
    emitted = env.arrivals()
    assert ("variations", str(cheap), "UPDATED") in emitted
    assert emitted <= _events(products=("UPDATED", (product,)), variations=("UPDATED", (cheap,)))


@pytest.mark.parametrize("version", VERSIONS)
def test_refunds(make_env: Make, version: str) -> None:
    """A refund emits events with its order, also when it is deleted, which changes no date."""
    env = make_env(version)
    order = _order(env)
    env.arrivals()
    env.store.clock.advance(60)
    refund = env.rest("POST", f"orders/{order}/refunds", amount="1.00", api_refund=False)["id"]
    emitted = env.arrivals() - {("orders-comments", str(one), "CREATED") for one in range(1000)}
    assert emitted == _events(orders=("UPDATED", (order,)), refunds=("CREATED", (refund,)))
    env.store.acts.delete_refund(refund)
    assert env.arrivals() == _events(orders=("UPDATED", (order,)), refunds=("DELETED", (refund,)))
    assert env.arrivals() == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_order_notes(make_env: Make, version: str) -> None:
    """A note emits an event although its order does not change, and is deleted with it."""
    env = make_env(version)
    order = _order(env)
    env.arrivals()
    for _ in range(3):  # One poll compares ten orders, and there are thirteen.
        env.arrivals()
    note = env.rest("POST", f"orders/{order}/notes", note="call back")["id"]
    emitted = env.arrivals() | env.arrivals()
    assert emitted == _events(orders_comments=("CREATED", (note,)))
    env.store.acts.delete_for_good("orders", order)
    emitted = env.arrivals()
    assert _events(orders=("DELETED", (order,)), orders_comments=("DELETED", (note,))) <= emitted
    assert not [one for one in emitted if one[0] == "orders-comments" and one[2] != "DELETED"]
    assert env.arrivals() == set()


def test_representation_names_the_parent(make_env: Make) -> None:
    """``parent_id`` is added for versions that leave it out."""
    env = make_env("5.9")
    product, cheap, _dear = _variable(env)
    env.arrivals()
    raws = [one.json["message"]["raw"] for one in env.receiver.received]
    rows = [row for raw in raws for row in raw.get("variations", ())]
    assert {row["parent_id"] for row in rows if row["id"] == cheap} == {product}


def test_store_that_gets_a_list_of_variations(make_env: Make) -> None:
    """An upgrade of WooCommerce changes how variations are read, and emits no event."""
    env = make_env("11.0")
    collections = env.store.routes._collections
    route = collections.pop("variations")
    assert env.errors().keys() == {"variations"}
    product, cheap, _dear = _variable(env)
    env.arrivals()
    collections["variations"] = route
    env.store.clock.advance(60)
    env.rest("PUT", f"products/{product}/variations/{cheap}", regular_price="4")
    assert ("variations", str(cheap), "UPDATED") in env.arrivals()
    assert env.arrivals() == set()
