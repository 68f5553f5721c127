"""A store whose WooCommerce is upgraded: other fields, and nothing that happened in the shop."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import pathlib
import shutil
import typing as t

import pytest

from tests.integration.store_to_callback import StoreToCallback, open_line


@pytest.fixture
def line(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        yield open_line("9.4", tmp_path, stack)


def _shape(line: StoreToCallback, **fields: t.Any) -> None:
    """Show products with these fields added, and without those that are ``None``."""
    looks = line.store.routes.products.representation
    render = type(looks).render

    def shown(row: t.Any, related: t.Any) -> dict[str, t.Any]:
        gone = {name for name, value in fields.items() if value is None}
        body = render(looks, row, related) | fields
        return {name: value for name, value in body.items() if name not in gone}

    looks.render = shown  # type: ignore[method-assign]
    line.store.shop.tables["products"].all_changed()


def _upgrade(line: StoreToCallback, number: str = "9.5.0") -> None:
    line.store.shop.version = dataclasses.replace(line.store.shop.version, number=number)
    # What was read before is older than the upgrade.
    line.store.clock.advance(60)


def test_other_fields_of_a_new_version(line: StoreToCallback) -> None:
    """Fields that the new version adds and drops are taken over without an event."""
    _upgrade(line)
    _shape(line, brands=[], backordered=None)
    assert line.arrivals() == set()
    product = line.first("products")
    line.store.acts.stock(product, 7)
    assert line.arrivals() == {("products", str(product), "UPDATED")}
    shown = line.api.call("GET", f"/instances/{line.instance_id}").json["store"]
    assert shown["version"] == "9.5.0"


def test_changes_while_it_is_upgraded(line: StoreToCallback) -> None:
    """A change of one object is sent for it and also names its new fields."""
    product = line.first("products")
    line.store.acts.price_meta(product, "3.21")
    _upgrade(line)
    _shape(line, brands=[])
    assert line.arrivals() == {("products", str(product), "UPDATED")}
    (event,) = [one for each in line.receiver.received for one in each.events]
    assert {"brands", "regular_price"} <= set(event["changedFields"])


def test_other_fields_of_the_same_version(line: StoreToCallback) -> None:
    """A field that a shop's plugin adds is a change and is sent."""
    line.store.clock.advance(60)
    _shape(line, brands=[])
    assert {kind for kind, _, _ in line.arrivals()} == {"products"}


def test_field_that_comes_after_the_upgrade(line: StoreToCallback) -> None:
    """What was read in the new version already is not excused by it."""
    _upgrade(line)
    _shape(line, brands=[])
    assert line.arrivals() == set()
    line.store.clock.advance(60)
    _shape(line, brands=[], subscription={"period": "month"})
    assert len(line.arrivals()) == len(line.store.truth("products"))


def test_fields_that_are_missing_for_a_while(line: StoreToCallback) -> None:
    """A silent change behind a field that the upgrade dropped for one reading is not lost."""
    product = line.first("products")
    _upgrade(line)
    _shape(line, price=None, regular_price=None)
    assert line.arrivals() == set()
    line.store.acts.price_meta(product, "3.21")
    line.store.clock.advance(60)
    _shape(line)
    assert ("products", str(product), "UPDATED") in line.arrivals()


def test_key_without_the_right_to_ask(line: StoreToCallback) -> None:
    """Without the version, every difference is sent."""
    _upgrade(line)
    _shape(line, brands=[])
    line.store.faults.add("status", times=100, code=403, match="system_status")
    assert len(line.arrivals()) == len(line.store.truth("products"))
