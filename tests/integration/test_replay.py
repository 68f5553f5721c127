"""Replay and retention: events can be sent again until they are old and delivered."""

from __future__ import annotations

import json
import typing as t

import click.testing
import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import (
    Attempt,
    Connection,
    Delivery,
    Notification,
    StoredEvent,
    Subscription,
    Usage,
    Wait,
)
from flask_woo_events.delivery import replay
from flask_woo_events.delivery.replay import ReplaySelection
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.worker import retention
from tests.integration.host_app import runtime_of
from tests.integration.ledger_env import NOW, at
from tests.integration.store_to_callback import StoreToCallback
from tests.integration.test_dispatch import DeliveryEnv, open_env


def _plan(delivery_env: DeliveryEnv, **chosen: t.Any) -> list[list[tuple[str, int]]]:
    with delivery_env.ledger.database.read() as session:
        planned = replay.plan(session, ReplaySelection(**chosen), 100)
    return [[(event.object_id, event.version) for event in one.events] for one in planned]


def _replay(delivery_env: DeliveryEnv, **chosen: t.Any) -> int:
    with delivery_env.ledger.database.write() as session:
        planned = replay.plan(session, ReplaySelection(**chosen), 100)
        return replay.to_callbacks(session, planned, delivery_env.clock())


@pytest.fixture
def receiver() -> CallbackReceiver:
    return CallbackReceiver()


@pytest.fixture
def delivery_env(any_database: Database, receiver: CallbackReceiver) -> t.Iterator[DeliveryEnv]:
    """Three notifications, delivered: 1 and 2 created, 1 updated, 2 deleted."""
    with receiver.serve() as url:
        delivery_env = open_env(any_database, url)
        delivery_env.ledger.see({"id": 1, "v": 1}, {"id": 2, "v": 1})
        delivery_env.clock.move(60)
        delivery_env.ledger.see({"id": 1, "v": 2}, seconds=60)
        delivery_env.clock.move(60)
        delivery_env.ledger.see(gone=("2",), seconds=120)
        delivery_env.dispatch()
        assert delivery_env.statuses() == {"delivered": 3}
        yield delivery_env


def test_events_are_selected(delivery_env: DeliveryEnv) -> None:
    """By id, object, type, resource and time of recording."""
    everything = [[("1", 1), ("2", 1)], [("1", 2)], [("2", 2)]]
    assert _plan(delivery_env, instance_id=delivery_env.ledger.stream.instance_id) == everything
    assert _plan(delivery_env, object_id="1") == [[("1", 1)], [("1", 2)]]
    assert _plan(delivery_env, types=("DELETED",)) == [[("2", 2)]]
    assert _plan(delivery_env, event_ids=(2,)) == [[("2", 1)]]
    assert _plan(delivery_env, resource="products") == []
    assert _plan(delivery_env, since=at(30)) == [[("1", 2)], [("2", 2)]]
    assert _plan(delivery_env, since=at(30), until=at(90)) == [[("1", 2)]]


def test_replayed_notifications_are_delivered_again(
    delivery_env: DeliveryEnv, receiver: CallbackReceiver
) -> None:
    """Whole notifications, with the ids that they had."""
    before = sorted((one.json for one in receiver.received), key=lambda one: int(one["id"]))
    receiver.clear()
    assert _replay(delivery_env, object_id="1") == 2
    delivery_env.dispatch()
    assert [one.json for one in receiver.received] == before[:2]
    assert delivery_env.statuses() == {"delivered": 3}


def test_an_unsettled_delivery_is_not_repeated(
    delivery_env: DeliveryEnv, receiver: CallbackReceiver
) -> None:
    """A notification that waits for its retry keeps its state."""
    receiver.answer = lambda _: 500
    delivery_env.ledger.see({"id": 3}, seconds=180)
    delivery_env.clock.move(60)
    delivery_env.dispatch()
    assert _replay(delivery_env, object_id="3") == 0


def test_replay_reaches_a_callback_that_was_not_there(any_database: Database) -> None:
    """Events that were recorded without a callback can be sent once there is one."""
    receiver = CallbackReceiver()
    with receiver.serve() as url:
        delivery_env = open_env(any_database, url)
        with any_database.write() as session:
            session.execute(sa.update(Subscription).values(current=False))
        delivery_env.ledger.see({"id": 1})
        with any_database.write() as session:
            session.execute(sa.update(Subscription).values(current=True))
        assert delivery_env.statuses() == {}
        assert _replay(delivery_env, object_id="1") == 1
        delivery_env.dispatch()
    assert receiver.events == [("orders", "1", "CREATED")]


@pytest.mark.parity(88)
def test_old_notifications_are_deleted_unless_unsettled(
    delivery_env: DeliveryEnv, receiver: CallbackReceiver
) -> None:
    """After the retention delivered notifications are deleted with their rows, and no others."""
    receiver.answer = lambda _: 500
    delivery_env.ledger.see({"id": 3}, seconds=180)
    delivery_env.ledger.see({"id": 3, "v": 2}, seconds=181)
    delivery_env.clock.move(120)
    delivery_env.dispatch()
    with delivery_env.ledger.database.write() as session:
        number = delivery_env.ledger.stream.instance_id
        session.add(Usage(instance_id=number, hour=NOW, turns=1, requests=2, seconds=0.5))
    delivery_env.clock.move(8 * 86_400)
    delivery_env.ledger.see({"id": 4}, seconds=8 * 86_400)
    assert retention.purge(delivery_env.runtime).notifications == 3
    with delivery_env.ledger.database.read() as session:
        objects = session.scalars(sa.select(StoredEvent.object_id).order_by(StoredEvent.id)).all()
        counts = [
            session.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (Notification, Delivery, Wait, Usage, Connection)
        ]
        attempts = session.scalars(sa.select(Attempt.status_code)).all()
    assert list(objects) == ["3", "3", "4"]
    assert counts == [3, 3, 1, 0, 0]
    assert set(attempts) == {500}


def test_a_purge_commits_in_small_steps(
    delivery_env: DeliveryEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It deletes everything that is old, and can be stopped between two commits."""
    monkeypatch.setattr(retention, "AT_ONCE", 1)
    delivery_env.clock.move(8 * 86_400)
    answers = iter([False, True])
    assert retention.purge(delivery_env.runtime, lambda: next(answers)).notifications == 1
    assert retention.purge(delivery_env.runtime).notifications == 2


def _run(env: StoreToCallback, *args: str) -> click.testing.Result:
    result = env.app.test_cli_runner().invoke(args=["woo", *args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_replay_by_command(env: StoreToCallback) -> None:
    """A dry run lists what would be sent; without it the worker sends it."""
    number = env.first("orders")
    env.store.acts.status(number, "completed")
    env.arrivals()
    dry = _run(env, "events", "replay", "--resource", "orders", "--dry-run")
    assert f"UPDATED {number} v2: would be sent" in dry.output
    env.receiver.clear()
    done = _run(env, "events", "replay", "--object", str(number), "--json")
    assert json.loads(done.output)["deliveries"] == 1
    assert ("orders", str(number), "UPDATED") in env.delivered()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "retry"}, "not delivered yet (retry)"),
        ({"status": "queued"}, "not delivered yet (queued)"),
        (None, "there is no callback URL"),
    ],
)
def test_dry_run_agrees_with_the_replay(
    env: StoreToCallback, changes: dict[str, str] | None, reason: str
) -> None:
    """A notification that the replay leaves out is not shown as one that would be sent."""
    env.store.acts.status(number := env.first("orders"), "completed")
    env.arrivals()
    with runtime_of(env.app).database.write() as session:
        if changes is None:
            session.execute(sa.update(Subscription).values(current=False))
        else:
            session.execute(sa.update(Delivery).values(**changes))
    selected = ("events", "replay", "--object", str(number))
    dry = _run(env, *selected, "--dry-run")
    assert dry.output.endswith(f"v2: would not be sent: {reason}\n")
    done = _run(env, *selected)
    assert done.stdout.startswith("0 deliveries scheduled")
    assert done.stderr == f"1 notification left out: {reason}.\n"


def test_replay_to_another_address(env: StoreToCallback) -> None:
    """Only the selected events are posted, signed, and nothing is written."""
    env.store.acts.new_coupon("one")
    env.store.acts.new_coupon("two")
    env.arrivals()
    other = CallbackReceiver()
    with other.serve() as url:
        listed = _run(env, "events", "list", "--resource", "discounts", "--json").output
        event = json.loads(listed.splitlines()[0])
        done = _run(env, "events", "replay", str(event["id"]), "--to", url)
    assert done.exit_code == 0 and "200 OK" in done.output
    (received,) = other.received
    assert [one["objectId"] for one in received.events] == [event["object_id"]]
    assert received.is_signed_with("a-signature-key")
    failed = _run(env, "events", "replay", str(event["id"]), "--to", "http://127.0.0.1:9/")
    assert failed.exit_code == 1 and "refuses connections" in failed.output


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "select events"),
        (("--since", "yesterday"), "use a date"),
        (("1", "--to", "ftp://x"), "http://"),
        (("--type", "GONE"), "GONE"),
    ],
)
def test_replay_explains_wrong_calls(
    env: StoreToCallback, args: tuple[str, ...], said: str
) -> None:
    """The message says what is missing or wrong."""
    result = _run(env, "events", "replay", *args)
    assert result.exit_code != 0 and said in result.output


def test_list_refuses_a_limit_below_one(env: StoreToCallback) -> None:
    """PostgreSQL refuses a negative limit, and SQLite takes it for none."""
    result = _run(env, "events", "list", "--limit", "-1")
    assert result.exit_code != 0 and "-1 is not in the range" in result.output


def test_deliveries_by_command(env: StoreToCallback) -> None:
    """Unsettled deliveries are listed and sent again."""
    env.receiver.answer = lambda _: 410
    env.store.acts.new_coupon("one")
    env.poll()
    env.delivered()
    instance = ("--instance", str(env.instance_id))
    for status, expected in (("queued", 1), ("delivered", 0)):
        listed = _run(env, "deliveries", "list", *instance, "--status", status, "--json")
        assert len(listed.output.splitlines()) == expected, listed.output
    env.receiver.answer = lambda _: 200
    env.receiver.clear()
    done = _run(env, "deliveries", "redeliver", *instance, "--json")
    assert json.loads(done.output)["redelivered"] == 1
    assert {one[0] for one in env.delivered()} == {"discounts"}
