"""Variations, refunds and order notes, on versions that list them and on those that do not."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import shutil

import pytest

from tests.integration.store_to_callback import StoreToCallback, open_line

NAMES = ("orders", "products", "variations", "refunds", "orders-comments")
VERSIONS = ["5.9", "9.4", "11.0"]

Make = cabc.Callable[[str], StoreToCallback]


@pytest.fixture
def make_line(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def make(version: str) -> StoreToCallback:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            blocks = {name: {"url": f"/hubs/ecommerce/{name}"} for name in NAMES}
            return open_line(version, tmp_path, stack, resources=blocks)

        yield make


def _variable(line: StoreToCallback) -> tuple[int, int, int]:
    """A product with two variations."""
    attribute = {"name": "Size", "options": ["a", "b"], "variation": True}
    product = line.rest("POST", "products", name="V", type="variable", attributes=[attribute])["id"]
    variations = [
        line.rest("POST", f"products/{product}/variations", regular_price=price)["id"]
        for price in ("5", "7")
    ]
    return product, variations[0], variations[1]


def _order(line: StoreToCallback) -> int:
    lines = [{"product_id": line.first("products"), "quantity": 2}]
    return int(line.rest("POST", "orders", status="completed", line_items=lines)["id"])


def _events(**told: tuple[str, tuple[int, ...]]) -> set[tuple[str, str, str]]:
    return {
        (resource.replace("_", "-"), str(number), kind)
        for resource, (kind, numbers) in told.items()
        for number in numbers
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_variations(make_line: Make, version: str) -> None:
    """A variation is told with its product, and goes and comes back with it."""
    line = make_line(version)
    product, cheap, dear = _variable(line)
    assert line.arrivals() == _events(
        products=("CREATED", (product,)), variations=("CREATED", (cheap, dear))
    )
    line.store.clock.advance(60)
    line.rest("PUT", f"products/{product}/variations/{cheap}", regular_price="4")
    assert line.arrivals() == _events(
        products=("UPDATED", (product,)), variations=("UPDATED", (cheap,))
    )
    line.store.clock.advance(60)
    line.rest("DELETE", f"products/{product}/variations/{dear}", force=True)
    assert line.arrivals() == _events(
        products=("UPDATED", (product,)), variations=("DELETED", (dear,))
    )
    line.store.acts.trash_post(product)
    assert line.arrivals() == _events(
        products=("DELETED", (product,)), variations=("DELETED", (cheap,))
    )
    line.store.acts.untrash_post(product)
    assert line.arrivals() == _events(
        products=("CREATED", (product,)), variations=("CREATED", (cheap,))
    )
    assert line.arrivals() == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_silent_change_of_a_variation(make_line: Make, version: str) -> None:
    """A variation that is written to without any date is found in its turn."""
    line = make_line(version)
    product, cheap, _dear = _variable(line)
    line.arrivals()
    line.store.clock.advance(60)
    line.arrivals()
    line.store.acts.sql_update("variations", cheap, regular_price="1", price="1")
    told = line.arrivals()
    assert ("variations", str(cheap), "UPDATED") in told
    assert told <= _events(products=("UPDATED", (product,)), variations=("UPDATED", (cheap,)))


@pytest.mark.parametrize("version", VERSIONS)
def test_refunds(make_line: Make, version: str) -> None:
    """A refund is told with its order, also when it is deleted, which moves no date."""
    line = make_line(version)
    order = _order(line)
    line.arrivals()
    line.store.clock.advance(60)
    refund = line.rest("POST", f"orders/{order}/refunds", amount="1.00", api_refund=False)["id"]
    told = line.arrivals() - {("orders-comments", str(one), "CREATED") for one in range(1000)}
    assert told == _events(orders=("UPDATED", (order,)), refunds=("CREATED", (refund,)))
    line.store.acts.delete_refund(refund)
    assert line.arrivals() == _events(orders=("UPDATED", (order,)), refunds=("DELETED", (refund,)))
    assert line.arrivals() == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_order_notes(make_line: Make, version: str) -> None:
    """A note is told although nothing else moves, and goes with its order."""
    line = make_line(version)
    order = _order(line)
    line.arrivals()
    for _ in range(3):  # Ten orders are looked at in one poll, and there are thirteen.
        line.arrivals()
    note = line.rest("POST", f"orders/{order}/notes", note="call back")["id"]
    told = line.arrivals() | line.arrivals()
    assert told == _events(orders_comments=("CREATED", (note,)))
    line.store.acts.delete_for_good("orders", order)
    told = line.arrivals()
    assert _events(orders=("DELETED", (order,)), orders_comments=("DELETED", (note,))) <= told
    assert not [one for one in told if one[0] == "orders-comments" and one[2] != "DELETED"]
    assert line.arrivals() == set()


def test_representation_names_the_parent(make_line: Make) -> None:
    """On a version that leaves ``parent_id`` out it is filled in."""
    line = make_line("5.9")
    product, cheap, _dear = _variable(line)
    line.arrivals()
    raws = [one.json["message"]["raw"] for one in line.receiver.received]
    rows = [row for raw in raws for row in raw.get("variations", ())]
    assert {row["parent_id"] for row in rows if row["id"] == cheap} == {product}


def test_store_that_learns_to_list_variations(make_line: Make) -> None:
    """An upgrade of WooCommerce changes how variations are read, and tells nothing by itself."""
    line = make_line("11.0")
    collections = line.store.routes._collections
    route = collections.pop("variations")
    assert line.errors().keys() == {"variations"}
    product, cheap, _dear = _variable(line)
    line.arrivals()
    collections["variations"] = route
    line.store.clock.advance(60)
    line.rest("PUT", f"products/{product}/variations/{cheap}", regular_price="4")
    assert ("variations", str(cheap), "UPDATED") in line.arrivals()
    assert line.arrivals() == set()
