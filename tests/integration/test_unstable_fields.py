"""Fields that differ at each read: they are found, and hide no change of another field."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import shutil
import typing as t

import pytest

from flask_woo_events.simulation.store.manners import UnstableFields
from flask_woo_events.simulation.store.unstable_fields import UnstableField
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import Event, OwnClock, StoreToCallback, open_env

BLOCK = {"url": "/hubs/ecommerce/products"}
HOUR = 61 * 60


@pytest.fixture
def env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        yield open_env("11.0", tmp_path, stack, counts=(3, 30, 3, 5), resources={"products": BLOCK})


@pytest.fixture
def own_clock(env: StoreToCallback) -> OwnClock:
    return OwnClock(runtime_of(env.app))


def _later(env: StoreToCallback, own_clock: OwnClock, hours: int = 1) -> set[Event]:
    env.store.clock.advance(hours * HOUR)
    own_clock.advance(seconds=hours * HOUR)
    return env.arrivals()


def _updated(env: StoreToCallback) -> set[Event]:
    return {("products", str(number), "UPDATED") for number in env.store.truth("products")}


def _configure(env: StoreToCallback, **more: t.Any) -> int:
    blocks = {"event.poller.configuration": {"products": {**BLOCK, **more}}}
    path = f"/instances/{env.instance_id}"
    return int(env.api.call("PATCH", path, {"configuration": blocks}).status_code)


def test_a_field_that_differs_at_each_read(env: StoreToCallback, own_clock: OwnClock) -> None:
    """After three times an hour apart it counts no more, and other changes still do."""
    env.store.lies.begin(UnstableField("products", "signed_url"))
    for _ in range(4):
        assert _later(env, own_clock) == _updated(env)
    before = len(env.store.requests)
    assert _later(env, own_clock) == set()
    assert len(env.store.requests) - before <= 4
    shown = env.api.call("GET", f"/instances/{env.instance_id}").json["pollers"]
    assert [one["ignoredFields"] for one in shown] == [["signed_url"]]
    product = env.first("products")
    env.store.acts.price_meta(product, "12.34")
    assert _later(env, own_clock) == {("products", str(product), "UPDATED")}
    [event] = [one for batch in env.receiver.received for one in batch.events]
    assert event["changedFields"] == ["regular_price"]
    # A day later it is still unstable; after its end it is checked once more and counts again.
    assert _later(env, own_clock, 25) == set()
    env.store.lies.end()
    assert _later(env, own_clock) == set()
    assert _later(env, own_clock, 25) == set()
    assert _later(env, own_clock) == _updated(env)
    assert _later(env, own_clock) == set()


def test_polls_of_one_hour_are_one_time(env: StoreToCallback, own_clock: OwnClock) -> None:
    """However often the store is polled within an hour, the field goes on to count."""
    env.store.lies.begin(UnstableField("products", "signed_url"))
    for _ in range(6):
        own_clock.advance(seconds=60)
        assert env.arrivals() == _updated(env)


def test_a_bulk_write_is_not_unstable(env: StoreToCallback, own_clock: OwnClock) -> None:
    """A field that an ERP writes every hour goes on to count."""
    env.store.lies.begin(UnstableField("products", "erp_stock", every=HOUR))
    for _ in range(8):
        assert _later(env, own_clock) == _updated(env)


def test_a_documented_field_is_never_ignored(env: StoreToCallback, own_clock: OwnClock) -> None:
    """A price that differs at each read is sent at each poll."""
    env.store.lies.begin(UnstableField("products", "price"))
    for _ in range(6):
        assert _later(env, own_clock) == _updated(env)


def test_ignored_fields_of_the_configuration(env: StoreToCallback, own_clock: OwnClock) -> None:
    """To add a field sends nothing; to remove it sends the objects in which it differs."""
    env.store.lies.begin(UnstableField("products", "signed_url"))
    assert _later(env, own_clock) == _updated(env)
    assert _configure(env, ignoredFields=["signed_url"]) == 200
    assert _later(env, own_clock) == set()
    product = env.first("products")
    env.store.acts.price_meta(product, "12.34")
    assert _later(env, own_clock) == {("products", str(product), "UPDATED")}
    assert _configure(env, ignoredFields=[]) == 200
    for _ in range(6):  # An empty list means that none is left out, and none is looked for.
        assert _later(env, own_clock) == _updated(env)


@pytest.mark.parametrize("name", ["id", "status", "", "billing.email"])
def test_fields_that_cannot_be_ignored(env: StoreToCallback, name: str) -> None:
    """Identity and deletion depend on them, and only top-level fields can be left out."""
    assert _configure(env, ignoredFields=[name]) == 400


def test_two_fields_that_differ_at_each_read(env: StoreToCallback, own_clock: OwnClock) -> None:
    """Two plugins that each add such a field hide neither of them."""
    env.store.lies.begin(UnstableFields())
    for _ in range(4):
        assert _later(env, own_clock) == _updated(env)
    assert _later(env, own_clock) == set()
    assert set(env.poller("products").memory["ignored"]) == set(UnstableFields.NAMES)


@pytest.mark.parametrize("version", ["5.9", "11.0"])
def test_unstable_fields_of_children(
    tmp_path: pathlib.Path, tables: pathlib.Path, version: str
) -> None:
    """They are found in variations, of which one poll reads only some, and in few objects."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    blocks = {name: {"url": f"/hubs/ecommerce/{name}"} for name in ("products", "variations")}
    with contextlib.ExitStack() as stack:
        env = open_env(version, tmp_path, stack, counts=(0, 1, 0, 1), resources=blocks)
        clock = OwnClock(runtime_of(env.app))
        attribute = {"name": "Size", "options": ["a", "b"], "variation": True}
        product = {"name": "V", "type": "variable", "attributes": [attribute]}
        for _ in range(2):
            number = env.rest("POST", "products", **product)["id"]
            env.rest("POST", f"products/{number}/variations", regular_price="5")
        env.arrivals()
        env.store.lies.begin(UnstableFields())
        for _ in range(6):
            env.store.clock.advance(HOUR)
            clock.advance(seconds=HOUR)
            env.poll()
        for name in blocks:
            assert set(env.poller(name).memory["ignored"]) == set(UnstableFields.NAMES)
        Worker(runtime_of(env.app)).deliver_once()
        assert _later(env, clock) == set()
