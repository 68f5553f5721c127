"""Every attempt gets a result that is stored, whatever ends it and whatever is said."""

from __future__ import annotations

import asyncio
import collections.abc as cabc
import dataclasses
import datetime as dt
import itertools
import sys
import time
import types
import typing as t

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import flask_woo_events
from flask_woo_events import Event, WooEvents, subscription_stopped
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Attempt, Delivery, Subscription
from flask_woo_events.delivery import claims, destination, dispatcher, result_writer, results, send
from flask_woo_events.delivery.payload import Sender
from flask_woo_events.delivery.results import AttemptResult, WrittenResult
from flask_woo_events.delivery.retry import CLOUD_ELEMENTS, STANDARD
from flask_woo_events.testing import ServedCallback
from flask_woo_events.values.cloud_elements import Format
from flask_woo_events.worker import celery_tasks
from tests.conftest import BACKENDS
from tests.integration.host_app import runtime_of
from tests.integration.ledger_env import at, build
from tests.integration.test_dispatch import DeliveryEnv, open_env

on_sqlite = pytest.mark.parametrize("any_url", BACKENDS[:1], indirect=True)


class Timeout(BaseException):
    """Like the time-outs of gevent, which are no ``Exception``."""


class Unreadable(Exception):
    """An exception whose text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def _raising(error: BaseException) -> cabc.Callable[[Event], None]:
    def handler(event: Event) -> None:
        raise error

    return handler


def _handlers(env: DeliveryEnv) -> WooEvents:
    """Return an extension object whose handlers get the ledger's events."""
    woo = WooEvents()
    env.runtime.handlers = woo._handlers
    return woo


def _see(env: DeliveryEnv, *bodies: dict[str, t.Any]) -> None:
    env.ledger.routes = env.runtime.handlers.routes()
    env.ledger.see(*bodies)


def _rows(env: DeliveryEnv) -> dict[str, tuple[Delivery, Attempt]]:
    """Return the last delivery and attempt of each subscription."""
    query = (
        sa.select(Subscription.url, Delivery, Attempt)
        .join(Delivery, Delivery.subscription_id == Subscription.id)
        .join(Attempt, Attempt.delivery_id == Delivery.id)
        .order_by(Attempt.id)
    )
    with env.ledger.database.read() as session:
        return {url: (delivery, attempt) for url, delivery, attempt in session.execute(query)}


def test_whatever_a_handler_raises_is_a_failed_attempt(any_database: Database) -> None:
    """It is stored and retried; the exit of a thread neither keeps the claim nor ends the worker.

    A text that a database refuses is escaped.
    """
    raised = {
        "exit": (SystemExit(1), "1 of 1 events: SystemExit: 1"),
        "interrupt": (KeyboardInterrupt(), "1 of 1 events: KeyboardInterrupt"),
        "cancelled": (asyncio.CancelledError(), "1 of 1 events: CancelledError"),
        "timeout": (Timeout("10 seconds"), "1 of 1 events: Timeout: 10 seconds"),
        "surrogate": (ValueError("caf\udce9.xml"), "1 of 1 events: ValueError: caf\\udce9.xml"),
        "nul": (ValueError("a\0b"), "1 of 1 events: ValueError: a\\x00b"),
        "unreadable": (Unreadable(), "1 of 1 events: Unreadable"),
    }
    env = open_env(any_database, "http://127.0.0.1:9/")
    woo = _handlers(env)
    for name, (error, _) in raised.items():
        woo.on(None, name=name)(_raising(error))
    with any_database.write() as session:
        session.execute(sa.update(Subscription).values(current=False))
    _see(env, {"id": 1})
    assert env.dispatch().failed == len(raised)
    assert env.statuses() == {"retry": len(raised)}
    rows = _rows(env)
    assert {name: attempt.reason for name, (_, attempt) in rows.items()} == {
        name: reason for name, (_, reason) in raised.items()
    }
    assert {(one.attempts, one.lease_token) for one, _ in rows.values()} == {(1, None)}


@on_sqlite
def test_a_handler_gets_each_event_that_no_later_one_of_its_replaces(
    any_database: Database,
) -> None:
    """With WOO_EVENTS_COALESCE, a handler of CREATED gets it although an UPDATED waits."""
    env = open_env(any_database, "http://127.0.0.1:9/", coalesce=True)
    with any_database.write() as session:
        session.execute(sa.update(Subscription).values(current=False))
    woo, created, changed = _handlers(env), list[tuple[str, int]](), list[tuple[str, int]]()
    woo.on("orders", "CREATED")(lambda event: created.append((event.object_id, event.version)))
    woo.on("orders", name="all")(lambda event: changed.append((event.object_id, event.version)))
    _see(env, {"id": 1, "v": 1})
    _see(env, {"id": 1, "v": 2}, {"id": 2, "v": 1})
    for _ in range(2):
        env.dispatch()
    assert created == [("1", 1), ("2", 1)]
    assert changed == [("1", 2), ("2", 1)]


@on_sqlite
def test_an_error_of_the_worker_is_a_failed_attempt(
    any_database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, retried and given up like a failure of the callback."""

    def attempt(*_args: object, **_options: object) -> t.NoReturn:
        raise OverflowError("a secret")

    env = open_env(any_database, "http://127.0.0.1:9/")
    env.ledger.see({"id": 1})
    monkeypatch.setattr(send, "attempt", attempt)
    assert env.dispatch().failed == 1
    ((delivery, made),) = _rows(env).values()
    assert (delivery.status, delivery.attempts, delivery.lease_token) == ("retry", 1, None)
    assert "OverflowError" in made.reason and "secret" not in made.reason
    assert "a secret" in caplog.text


@on_sqlite
def test_an_instance_that_cannot_be_read_stops_no_other(
    any_database: Database, monkeypatch: pytest.MonkeyPatch, woo_callback: ServedCallback
) -> None:
    """Its deliveries fail with the reason, the others are sent."""
    env = open_env(any_database, "http://127.0.0.1:9/")
    env.ledger.see({"id": 1})
    build(any_database, callback=woo_callback.url).see({"id": 2})
    load = destination.load_sender

    def load_sender(session: orm.Session, instance_id: int, chosen: Format | None = None) -> Sender:
        if instance_id == env.ledger.stream.instance_id:
            raise TypeError("a fault")
        return load(session, instance_id, chosen)

    monkeypatch.setattr(destination, "load_sender", load_sender)
    env.dispatch()
    assert env.statuses() == {"retry": 1, "delivered": 1}
    assert "TypeError" in _rows(env)["http://127.0.0.1:9/"][1].reason


@on_sqlite
@pytest.mark.parametrize(
    "error",
    [
        sa.exc.DataError("INSERT", {}, Exception("incorrect string value")),
        sa.exc.OperationalError("INSERT", {}, Exception(1366, "Incorrect string value")),
        sa.exc.InternalError("INSERT", {}, Exception(1105, "a code that is not known")),
        sa.exc.OperationalError("INSERT", {}, Exception(2006), connection_invalidated=True),
        UnicodeEncodeError("latin-1", "x", 0, 1, "ordinal not in range"),
    ],
    ids=["data", "code of data", "unknown", "dropped", "codec"],
)
def test_a_result_that_the_database_refuses_is_stored_without_its_texts(
    any_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    woo_callback: ServedCallback,
    error: Exception,
) -> None:
    """The notification is not sent again, also if the database answers other statements only."""
    row_of = results._attempt

    def refused(one: AttemptResult, now: dt.datetime) -> dict[str, t.Any]:
        if one.outcome.answer:
            raise error
        return row_of(one, now)

    monkeypatch.setattr(result_writer, "WRITE_AGAIN", 0.01)
    env = open_env(any_database, woo_callback.url)
    env.ledger.see({"id": 1})
    monkeypatch.setattr(results, "_attempt", refused)
    assert env.dispatch().delivered == 1
    assert env.statuses() == {"delivered": 1}
    ((_, made),) = _rows(env).values()
    assert made.reason == "200; the database refused to store the rest"


def _refuse_attempts(env: DeliveryEnv, _patch: pytest.MonkeyPatch) -> None:
    """Refuse each row of ``woo_attempt``, as a sequence does that a restore left behind."""
    trigger = "CREATE TRIGGER full BEFORE INSERT ON woo_attempt BEGIN SELECT RAISE(ABORT, 'x'); END"
    with env.ledger.database.write() as session:
        session.execute(sa.text(trigger))


def _refuse_conditions(env: DeliveryEnv, _patch: pytest.MonkeyPatch) -> None:
    """Refuse the counters of subscriptions that fail; claims write other columns."""
    trigger = (
        "CREATE TRIGGER full BEFORE UPDATE OF failures ON woo_subscription "
        "BEGIN SELECT RAISE(ABORT, 'x'); END"
    )
    with env.ledger.database.write() as session:
        session.execute(sa.text(trigger))


def _lose_attempts(env: DeliveryEnv, _patch: pytest.MonkeyPatch) -> None:
    """Remove the table of attempts, as a restore of chosen tables does."""
    with env.ledger.database.write() as session:
        session.execute(sa.text("DROP TABLE woo_attempt"))


def _fail(module: types.ModuleType, name: str) -> cabc.Callable[..., None]:
    def begin(_env: DeliveryEnv, patch: pytest.MonkeyPatch) -> None:
        def failing(*_args: object, **_options: object) -> t.NoReturn:
            raise OverflowError("date value out of range")

        patch.setattr(module, name, failing)

    return begin


@pytest.mark.slow
@on_sqlite
@pytest.mark.parametrize(
    ("schedule", "status"),
    [("standard", 200), ("standard", 410), ("standard", 500), ("cloud-elements", 500)],
)
@pytest.mark.parametrize(
    "begin",
    [
        _refuse_attempts,
        _refuse_conditions,
        _lose_attempts,
        _fail(results, "decide"),
        _fail(results, "_change"),
        _fail(results, "deactivate"),
        _fail(results, "_attempt"),
    ],
    ids=["attempts", "conditions", "no table", "decide", "change", "deactivate", "row"],
)
def test_no_failure_to_write_a_result_repeats_an_attempt(
    any_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    woo_callback: ServedCallback,
    begin: cabc.Callable[..., None],
    schedule: t.Literal["standard", "cloud-elements"],
    status: int,
) -> None:
    """No attempt is made earlier than the schedule says, and none after its last one."""
    monkeypatch.setattr(result_writer, "WRITE_AGAIN", 0.0)
    monkeypatch.setattr(result_writer, "WRITE_ATTEMPTS", 2)
    receiver, env = woo_callback.receiver, open_env(any_database, woo_callback.url)
    env.runtime.settings = dataclasses.replace(env.runtime.settings, retry_schedule=schedule)
    env.ledger.see({"id": 1})
    made = list[float]()

    def answer(_request: object) -> int:
        made.append((env.clock() - at(0)).total_seconds())
        return status

    receiver.answer = answer
    begin(env, monkeypatch)
    for _ in range(150):
        env.dispatch()
        env.clock.move(7200)
        if set(env.statuses()) <= {"queued", "delivered"}:
            break
    env.dispatch()
    dates = [0.0, *itertools.accumulate(STANDARD)]
    if schedule == "cloud-elements":
        dates = [0.0, *CLOUD_ELEMENTS]
    assert len(made) <= len(dates if status == 500 else [0.0])
    assert all(one >= date for one, date in zip(made, dates, strict=False))
    assert env.statuses() == {"delivered" if status == 200 else "queued": 1}


@on_sqlite
def test_a_receiver_of_a_signal_that_exits_keeps_no_claim(
    any_database: Database, woo_callback: ServedCallback
) -> None:
    """What was sent together with the notification that stopped the subscription is written."""
    woo_callback.receiver.answer = lambda _: 410

    def leave(app: object, **values: object) -> None:
        sys.exit(1)

    env = open_env(any_database, woo_callback.url)
    for number in range(3):
        env.ledger.see({"id": number})
    with subscription_stopped.connected_to(leave):
        env.dispatch()
    assert env.statuses() == {"queued": 3}
    with any_database.read() as session:
        assert session.scalars(sa.select(Delivery.lease_token)).all() == [None] * 3


def test_a_task_that_ends_in_an_outage_writes_its_results(
    app: flask_woo_events.Flask,
    monkeypatch: pytest.MonkeyPatch,
    woo_callback: ServedCallback,
) -> None:
    """Its seconds are over while the database is away: what was sent is not sent again."""
    write, refused = results.write, list[object]()

    def away(*args: t.Any) -> list[WrittenResult]:
        if len(refused) < 3:
            refused.append(args)
            raise sa.exc.OperationalError("UPDATE", {}, Exception("the server has gone away"))
        return write(*args)

    runtime = runtime_of(app)
    runtime.clock = lambda: at(1)
    runtime.settings = dataclasses.replace(runtime.settings, allow_private_callbacks=True)
    build(runtime.database, callback=woo_callback.url).see({"id": 1})
    monkeypatch.setattr(results, "write", away)
    monkeypatch.setattr(result_writer, "WRITE_AGAIN", 0.01)
    clock = types.SimpleNamespace(monotonic=lambda: 1000.0 * len(refused), sleep=time.sleep)
    monkeypatch.setattr(celery_tasks, "time", clock)
    app.config["CELERY"] = {"broker_url": "memory://"}
    made = celery_tasks.make_celery(app)
    made.tasks["woo_events.deliver"].apply()
    with runtime.database.read() as session:
        assert session.scalars(sa.select(Delivery.status)).all() == ["delivered"]
    assert len(woo_callback.receiver.received) == 1


@on_sqlite
def test_who_finds_the_database_back_lets_others_write_first(
    any_database: Database, monkeypatch: pytest.MonkeyPatch, woo_callback: ServedCallback
) -> None:
    """Also a task that began after the outage, in a process whose last one met it."""
    env = open_env(any_database, woo_callback.url)
    env.ledger.see({"id": 1})
    claim = claims.claim

    def away(*args: t.Any, **options: t.Any) -> t.NoReturn:
        raise sa.exc.OperationalError("SELECT", {}, Exception("the server has gone away"))

    monkeypatch.setattr(dispatcher, "AFTER_OUTAGE", 0.0)
    monkeypatch.setattr(claims, "claim", away)
    with pytest.raises(sa.exc.OperationalError):
        env.dispatch()
    monkeypatch.setattr(claims, "claim", claim)
    assert any_database.away
    assert env.dispatch().delivered == 1
    assert not any_database.away
