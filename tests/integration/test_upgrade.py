"""A store whose WooCommerce is upgraded: other fields, and nothing that happened in the shop."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import pathlib
import shutil
import typing as t

import pytest

from tests.integration.store_to_callback import StoreToCallback, open_env


@pytest.fixture
def env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        yield open_env("9.4", tmp_path, stack)


def _shape(env: StoreToCallback, **fields: t.Any) -> None:
    """Show products with these fields added, and without those that are ``None``."""
    looks = env.store.routes.products.representation
    render = type(looks).render

    def shown(row: t.Any, related: t.Any) -> dict[str, t.Any]:
        gone = {name for name, value in fields.items() if value is None}
        body = render(looks, row, related) | fields
        return {name: value for name, value in body.items() if name not in gone}

    looks.render = shown  # type: ignore[method-assign]
    env.store.shop.tables["products"].all_changed()


def _upgrade(env: StoreToCallback, number: str = "9.5.0") -> None:
    env.store.shop.version = dataclasses.replace(env.store.shop.version, number=number)
    # What was read before is older than the upgrade.
    env.store.clock.advance(60)


def test_other_fields_of_a_new_version(env: StoreToCallback) -> None:
    """Fields that the new version adds and drops are taken over without an event."""
    _upgrade(env)
    _shape(env, brands=[], backordered=None)
    assert env.arrivals() == set()
    product = env.first("products")
    env.store.acts.stock(product, 7)
    assert env.arrivals() == {("products", str(product), "UPDATED")}
    shown = env.api.call("GET", f"/instances/{env.instance_id}").json["store"]
    assert shown["version"] == "9.5.0"


def test_changes_while_it_is_upgraded(env: StoreToCallback) -> None:
    """A change of one object is sent for it and also names its new fields."""
    product = env.first("products")
    env.store.acts.price_meta(product, "3.21")
    _upgrade(env)
    _shape(env, brands=[])
    assert env.arrivals() == {("products", str(product), "UPDATED")}
    (event,) = [one for each in env.receiver.received for one in each.events]
    assert {"brands", "regular_price"} <= set(event["changedFields"])


def test_other_fields_of_the_same_version(env: StoreToCallback) -> None:
    """A field that a shop's plugin adds is a change and is sent."""
    env.store.clock.advance(60)
    _shape(env, brands=[])
    assert {kind for kind, _, _ in env.arrivals()} == {"products"}


def test_field_that_comes_after_the_upgrade(env: StoreToCallback) -> None:
    """What was read in the new version already is not excused by it."""
    _upgrade(env)
    _shape(env, brands=[])
    assert env.arrivals() == set()
    env.store.clock.advance(60)
    _shape(env, brands=[], subscription={"period": "month"})
    assert len(env.arrivals()) == len(env.store.truth("products"))


def test_fields_that_are_missing_for_a_while(env: StoreToCallback) -> None:
    """A silent change behind a field that the upgrade dropped for one reading is not lost."""
    product = env.first("products")
    _upgrade(env)
    _shape(env, price=None, regular_price=None)
    assert env.arrivals() == set()
    env.store.acts.price_meta(product, "3.21")
    env.store.clock.advance(60)
    _shape(env)
    assert ("products", str(product), "UPDATED") in env.arrivals()


def test_key_without_the_right_to_ask(env: StoreToCallback) -> None:
    """Without the version, every difference is sent."""
    _upgrade(env)
    _shape(env, brands=[])
    env.store.faults.add("status", times=100, code=403, match="system_status")
    assert len(env.arrivals()) == len(env.store.truth("products"))
