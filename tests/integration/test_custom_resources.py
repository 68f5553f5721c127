"""Collections other than the default four, each in a configuration block of its own."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import itertools
import pathlib
import shutil
import typing as t

import pytest

from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.simulation.store.products import Products
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import OwnClock, open_env

#: By hub name: the store's path, a body, and a change of it.
RESOURCES: dict[str, tuple[str, dict[str, object], dict[str, object]]] = {
    "products-categories": ("products/categories", {"name": "Mugs"}, {"name": "Cups"}),
    "products-tags": ("products/tags", {"name": "new"}, {"name": "old"}),
    "products-attributes": ("products/attributes", {"name": "Size"}, {"name": "Width"}),
    "products-shipping-classes": ("products/shipping_classes", {"name": "Heavy"}, {"name": "Big"}),
    "taxes": ("taxes", {"rate": "19", "name": "VAT"}, {"rate": "20"}),
    "products-reviews": (
        "products/reviews",
        {"review": "Good", "reviewer": "A", "reviewer_email": "a@b.test", "rating": 4},
        {"review": "Better"},
    ),
    "/wp-json/wc/v3/shipping/zones": ("shipping/zones", {"name": "North"}, {"name": "South"}),
    "/wp-json/wc/v3/coupons": ("coupons", {"code": "spring", "amount": "5"}, {"amount": "6"}),
}


@pytest.mark.parity(9, 10)
@pytest.mark.parametrize(
    ("name", "version"),
    # WooCommerce 8.0 answers 403 for a deleted review.
    [*itertools.product(RESOURCES, ["5.9", "11.0"]), ("products-reviews", "8.0")],
)
def test_life_of_an_object(
    tmp_path: pathlib.Path, tables: pathlib.Path, name: str, version: str
) -> None:
    """Creation, change and deletion emit one event each, under the name of the block."""
    path, body, change = RESOURCES[name]
    shutil.copy(tables, tmp_path / "host.sqlite3")
    url = name if name.startswith("/") else f"/hubs/ecommerce/{name}"
    with contextlib.ExitStack() as stack:
        both = {"mine": {"url": url}, "orders": {"url": "/hubs/ecommerce/orders"}}
        env = open_env(version, tmp_path, stack, resources=both)
        if "review" in body:
            body = {**body, "product_id": env.first("products")}
        number = env.rest("POST", path, **body)["id"]
        assert env.arrivals() == {("mine", str(number), "CREATED")}
        env.store.clock.advance(60)
        env.rest("PUT", f"{path}/{number}", **change)
        assert env.arrivals() == {("mine", str(number), "UPDATED")}
        env.rest("DELETE", f"{path}/{number}", force=True)
        assert env.arrivals() == {("mine", str(number), "DELETED")}
        assert env.arrivals() == set()


def _populated(populate: cabc.Callable[..., None]) -> cabc.Callable[..., None]:
    """Return a ``populate`` after which seven products share each date, as after an import."""

    def populated(store: SimulatedStore, **counts: t.Any) -> None:
        populate(store, **counts)
        table = store.shop.tables["products"]
        for number, row in enumerate(table):
            row.created = row.modified = store.shop.now() - 90 * 86400 - number // 7 * 60
        table.all_changed()

    return populated


@pytest.mark.parametrize("sortable", [True, False])
def test_a_collection_with_equal_dates(
    tmp_path: pathlib.Path,
    tables: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    sortable: bool,
) -> None:
    """Objects that change places between pages send nothing, and deletions are still found."""
    if not sortable:
        rules = dataclasses.replace(Products.rules, orderby=("date", "title"))
        monkeypatch.setattr(Products, "rules", rules)
    monkeypatch.setattr(SimulatedStore, "populate", _populated(SimulatedStore.populate))
    shutil.copy(tables, tmp_path / "host.sqlite3")
    url = "/wp-json/wc/v3/products?orderby=date"
    with contextlib.ExitStack() as stack:
        resources = {"mine": {"url": url}}
        env = open_env("9.4", tmp_path, stack, resources=resources, counts=(0, 303, 0, 0))
        for _ in range(12):
            assert env.arrivals() == set()
        env.store.acts.delete_for_good("products", number := env.first("products"))
        assert env.arrivals() == {("mine", str(number), "DELETED")}


@pytest.mark.parametrize("macro", ["${gmtDate:yyyy-MM-dd'T'HH:mm:ss}", "${date}"])
def test_late_changes_in_a_feed(tmp_path: pathlib.Path, tables: pathlib.Path, macro: str) -> None:
    """A feed shows a change in the second of a poll, and one that is committed two hours late."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    url = f"/hubs/ecommerce/orders?modified_after={macro}&dates_are_gmt=true"
    with contextlib.ExitStack() as stack:
        env = open_env("9.4", tmp_path, stack, resources={"mine": {"url": url}})
        acts, order, own_clock = env.store.acts, env.first("orders"), OwnClock(runtime_of(env.app))
        env.store.clock.freeze()
        acts.status(order, "completed")
        assert {one[1] for one in env.arrivals()} == {str(order)}
        acts.status(order, "cancelled")
        assert env.arrivals() == {("mine", str(order), "UPDATED")}
        for number, seconds in enumerate([901, 7199]):
            env.store.clock.advance(900)
            acts.late_commit("orders", order, seconds, customer_note=f"late {number}")
            # It is dated before what is known, so that a second reading decides.
            assert env.arrivals() == set()
            own_clock.advance(minutes=15)
            assert env.arrivals() == {("mine", str(order), "UPDATED")}
            assert env.arrivals() == set()
