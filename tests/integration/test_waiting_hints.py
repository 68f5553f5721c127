"""Webhooks whose objects cannot be read: each waits for itself alone."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import shutil

import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Arrival
from flask_woo_events.simulation.store.broken_objects import BrokenAddresses, BrokenObjects
from flask_woo_events.sync.webhooks import inbox, waiting
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import Event, OwnClock, StoreToCallback, open_env


@pytest.fixture
def env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        yield open_env("11.0", tmp_path, stack, counts=(20, 40, 3, 5), hooked=True)


@pytest.fixture
def own_clock(env: StoreToCallback) -> OwnClock:
    return OwnClock(runtime_of(env.app))


def _pending(env: StoreToCallback) -> list[tuple[str | None, int | None]]:
    with runtime_of(env.app).database.read() as session:
        rows = session.execute(sa.select(Arrival.collection, Arrival.object_id))
        return [(row[0], row[1]) for row in rows]


def _updated(resource: str, *numbers: int) -> set[Event]:
    return {(resource, str(number), "UPDATED") for number in numbers}


def test_a_deletion_that_cannot_be_confirmed(
    env: StoreToCallback, own_clock: OwnClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits alone; what came with it and what comes later is sent."""
    monkeypatch.setattr(inbox, "BATCH_SIZE", 5)
    products, order = list(env.store.truth("products")), env.first("orders")
    gone, others = products[0], products[1:13]
    env.store.lies.begin(BrokenAddresses("products", {gone}))
    env.store.acts.delete_for_good("products", gone)
    for number in others:
        env.store.acts.post_update(number)
        env.store.acts.stock(number, 77)
    env.store.acts.status(order, "completed")
    assert env.hooks() >= {*_updated("products", *others), *_updated("orders", order)}
    assert _pending(env) == [("products", gone)]
    assert env.hooks() == set()  # It is not tried again before its time.
    own_clock.advance(seconds=30)
    assert env.hooks() == set()
    assert _pending(env) == [("products", gone)]
    env.store.lies.end()
    own_clock.advance(minutes=10)
    assert ("products", str(gone), "DELETED") in env.hooks()
    assert _pending(env) == []


def test_a_product_that_is_a_fatal_error(env: StoreToCallback, own_clock: OwnClock) -> None:
    """Of forty products, the one that cannot be shown waits alone."""
    products = list(env.store.truth("products"))
    env.store.lies.begin(BrokenObjects("products", {products[17]}))
    for number in products:
        env.store.acts.stock(number, 77)
    before = len(env.store.requests)
    assert env.hooks() == _updated("products", *products) - _updated("products", products[17])
    assert len(env.store.requests) - before <= 20
    assert _pending(env) == [("products", products[17])]
    env.store.lies.end()
    own_clock.advance(minutes=10)
    assert env.hooks() == _updated("products", products[17])


def test_a_resource_that_fails(env: StoreToCallback, own_clock: OwnClock) -> None:
    """Its webhooks wait, and later ones with them; those of other resources are processed."""
    first, second, *_ = env.store.truth("products")
    order = env.first("orders")
    everything = lambda _method, path, _params: path.endswith("/products")  # noqa: E731
    env.store.faults.add("status", match=everything, times=1_000)
    env.store.acts.stock(first, 77)
    env.store.acts.status(order, "completed")
    emitted = _settled(env)
    assert emitted >= _updated("orders", order)
    assert {one[0] for one in emitted} == {"orders", "customers"}
    env.store.acts.stock(second, 77)
    before = len(env.store.requests)
    assert _settled(env) == set()
    assert len(env.store.requests) == before
    assert set(_pending(env)) >= {("products", first), ("products", second)}
    env.store.faults.clear()
    own_clock.advance(minutes=10)
    assert env.hooks() >= _updated("products", first, second)


def test_an_object_that_takes_too_long(env: StoreToCallback) -> None:
    """A product that never comes with others is no outage: it is read alone."""
    first, second, *_ = env.store.truth("products")
    order = env.first("orders")

    def names_first(_method: str, path: str, params: cabc.Mapping[str, str]) -> bool:
        named = params.get("include", "").split(",")
        return path.endswith("/products") and str(first) in named and len(named) > 1

    env.store.faults.add("reset", match=names_first, times=1_000)
    for number in (first, second):
        env.store.acts.stock(number, 77)
    env.store.acts.status(order, "completed")
    emitted = _settled(env)
    assert emitted >= {*_updated("orders", order), *_updated("products", first, second)}
    assert _pending(env) == []


def _settled(env: StoreToCallback) -> set[Event]:
    """Process the store's webhooks, of which some may fail; return what is sent."""
    env.receiver.clear()
    env.store.webhooks.run_queue()
    Worker(runtime_of(env.app)).settle_once()
    return env.delivered()


@pytest.mark.parametrize(("count", "bad"), [(1, {0}), (2, {1}), (97, {3, 50, 96}), (8, set())])
def test_halving(count: int, bad: set[int]) -> None:
    """All that cannot be read are found, and nothing else."""
    asked = []

    def read(part: cabc.Sequence[int]) -> bool:
        asked.append(part)
        return not bad & set(part)

    assert set(waiting.unreadable(range(count), read)) == (bad or {0} if count == 1 else bad)
    assert len(asked) <= 8 * max(1, len(bad)) * 2


def test_halving_ends_if_everything_fails() -> None:
    """After twenty objects, the others count as unreadable without an attempt each."""
    asked = []

    def read(part: cabc.Sequence[int]) -> bool:
        asked.append(part)
        return False

    assert len(waiting.unreadable(range(1_000), read)) == 1_000
    assert len(asked) < 80
