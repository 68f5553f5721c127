"""What a database does not take of an object costs no other object, and is no outage."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import typing as t

import orjson
import pytest
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import StoredEvent
from flask_woo_events.db.states import Source
from flask_woo_events.simulation.store.large_objects import LargeObjects
from flask_woo_events.sync import refusals
from flask_woo_events.sync.ledger.observation import Observation, ObservationBatch
from flask_woo_events.woocommerce.oddities import BODY_TRUNCATED, NOT_RECORDED, Oddity
from tests.conftest import BACKENDS
from tests.integration.host_app import runtime_of
from tests.integration.ledger_env import NOW
from tests.integration.store_to_callback import StoreToCallback, open_env


@pytest.fixture
def env(any_url: str, tmp_path: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    with _opened(any_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def hooked(any_url: str, tmp_path: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    with _opened(any_url, tmp_path, hooked=True) as opened:
        yield opened


@contextlib.contextmanager
def _opened(
    any_url: str, folder: pathlib.Path, *, hooked: bool = False
) -> cabc.Iterator[StoreToCallback]:
    engine = sa.create_engine(any_url)
    upgrade.upgrade(Database(engine).engine)
    engine.dispose()
    with contextlib.ExitStack() as stack:
        yield open_env("11.0", folder, stack, hooked=hooked, SQLALCHEMY_DATABASE_URI=any_url)


@contextlib.contextmanager
def _packets_of(env: StoreToCallback, size: int) -> cabc.Iterator[None]:
    """Let MariaDB take statements of this size, on new connections."""
    engine = runtime_of(env.app).database.engine
    with engine.connect() as connection:
        before = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
        connection.exec_driver_sql(f"SET GLOBAL max_allowed_packet = {size}")
        engine.dispose()
    engine.dispose()
    try:
        yield
    finally:
        engine.dispose()
        with engine.connect() as connection:
            connection.exec_driver_sql(f"SET GLOBAL max_allowed_packet = {before}")


def _problems(env: StoreToCallback) -> list[dict[str, t.Any]]:
    shown = env.api.call("GET", f"/instances/{env.instance_id}").json
    return [one for one in shown["problems"] if one["code"] == BODY_TRUNCATED.code]


@pytest.mark.parametrize("any_url", BACKENDS[2:], indirect=True)
def test_an_object_that_is_larger_than_a_packet(env: StoreToCallback) -> None:
    """Its event has no body, the others have theirs, and nothing waits or is sent again."""
    orders = [row.id for row in env.store.shop.tables["orders"]][:6]
    large = orders[2]
    env.store.lies.begin(LargeObjects("orders", {large: 3 * 2**20}))
    for number in orders:
        env.store.acts.status(number, "on-hold")
    product = env.first("products")
    env.store.acts.stock(product, 3)
    with _packets_of(env, 2**20):
        found = env.arrivals()
        assert {("orders", str(one), "UPDATED") for one in orders} <= found
        assert ("products", str(product), "UPDATED") in found
        assert env.arrivals() == set()
        assert str(large) in _problems(env)[0]["text"]
    with runtime_of(env.app).database.read() as session:
        rows = session.execute(sa.select(StoredEvent.object_id, StoredEvent.body))
        bodies = {number: orjson.loads(body) for number, body in rows}
    assert bodies.pop(str(large)) == {"id": large, "bodyTruncated": True}
    assert not any("bodyTruncated" in one for one in bodies.values())
    env.store.lies.end()
    env.store.acts.status(large, "completed")
    assert ("orders", str(large), "UPDATED") in env.arrivals()
    assert _problems(env) == []


@pytest.mark.parametrize("any_url", BACKENDS[2:], indirect=True)
def test_a_large_object_that_a_webhook_names(hooked: StoreToCallback) -> None:
    """The problem begins with the event without a body, and ends with one that has it."""
    large = hooked.first("orders")
    event = ("orders", str(large), "UPDATED")
    hooked.store.lies.begin(LargeObjects("orders", {large: 3 * 2**20}))
    hooked.store.acts.status(large, "on-hold")
    with _packets_of(hooked, 2**20):
        assert event in hooked.hooks()
        assert str(large) in _problems(hooked)[0]["text"]
        assert hooked.arrivals() == set()
        assert str(large) in _problems(hooked)[0]["text"]
    hooked.store.lies.end()
    hooked.store.acts.status(large, "completed")
    assert event in hooked.hooks()
    assert _problems(hooked) == []


@pytest.mark.parametrize("any_url", BACKENDS[2:], indirect=True)
def test_a_batch_that_is_larger_than_a_packet(env: StoreToCallback) -> None:
    """If each object fits, each event has its body."""
    orders = [row.id for row in env.store.shop.tables["orders"]]
    env.store.lies.begin(LargeObjects("orders", dict.fromkeys(orders, 50_000)))
    for number in orders:
        env.store.acts.status(number, "on-hold")
    with _packets_of(env, 2**17):
        assert {("orders", str(one), "UPDATED") for one in orders} <= env.arrivals()
        assert _problems(env) == []
    with runtime_of(env.app).database.read() as session:
        query = sa.select(StoredEvent.body).where(StoredEvent.resource == "orders")
        assert all(len(body) > 50_000 for body in session.scalars(query))


class _Answering:
    """A database that answers, or does not."""

    def __init__(self, answers: bool) -> None:
        self._answers = answers

    def answers(self) -> bool:
        return self._answers


GONE = sa.exc.OperationalError("INSERT", None, Exception(2006, "gone"), connection_invalidated=True)
LOCKED = sa.exc.OperationalError("INSERT", None, Exception("database is locked"))
REFUSED = sa.exc.DataError("INSERT", None, Exception(1406, "too long"))


def _write(
    sizes: dict[str, int], refused: dict[str, Exception], *, answers: bool = True, at_first: int = 0
) -> tuple[list[str], list[bool], dict[str, Oddity]]:
    """Write objects of these sizes; return those committed, which were last, and the rest.

    :param refused: the error of each object with its body.
    :param at_first: the number of commits that fail, whatever they contain.
    """
    committed, lasts, left = list[str](), list[bool](), [at_first]

    def commit(part: ObservationBatch, *, last: bool) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise GONE
        for one in part.observations:
            if one.object_id in refused and not one.without_body:
                raise refused[one.object_id]
        committed.extend(one.object_id + "-" * one.without_body for one in part.observations)
        lasts.append(last)

    seen = [
        Observation(object_id=name, body={"text": "x" * size}, seen_at=NOW)
        for name, size in sizes.items()
    ]
    batch = ObservationBatch(source=Source.POLL, observations=seen, read_revision=0, poll_date=NOW)
    database = t.cast("Database", _Answering(answers))
    return committed, lasts, refusals.write(database, batch, commit)


SIZES = {"1": 10, "2": 10**5, "3": 10, "4": 10}


def test_only_the_refused_object_is_shortened() -> None:
    """The order stays, and only the last part has the cursor."""
    committed, lasts, found = _write(SIZES, {"2": GONE})
    assert committed == ["1", "2-", "3", "4"]
    assert lasts[-1] and not any(lasts[:-1])
    assert found == {"2": BODY_TRUNCATED}


def test_a_small_refused_object_is_left_out() -> None:
    """The cursor moves on although it is the last one."""
    committed, lasts, found = _write(SIZES, {"4": REFUSED})
    assert (committed, lasts[-1]) == (["1", "2", "3"], True)
    assert found == {"4": NOT_RECORDED}


@pytest.mark.parametrize("failures", range(1, 4))
def test_a_short_outage_costs_no_body(failures: int) -> None:
    """The database that answers again takes everything."""
    committed, _, found = _write(SIZES, {}, at_first=failures)
    assert (committed, found) == (list(SIZES), {})


@pytest.mark.parametrize(
    ("refused", "answers"),
    [({"1": GONE}, True), ({"2": GONE}, False), ({"2": LOCKED}, True)],
    ids=["small", "away", "locked"],
)
def test_an_outage_is_raised(refused: dict[str, Exception], answers: bool) -> None:
    """No object is recorded without its body, or left out."""
    with pytest.raises(sa.exc.OperationalError):
        _write(SIZES, refused, answers=answers)
