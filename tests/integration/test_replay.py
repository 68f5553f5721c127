"""Replay and retention: what was told can be told again, until it is old and has arrived."""

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
from tests.integration.ledger_env import NOW, at
from tests.integration.store_to_callback import StoreToCallback
from tests.integration.test_dispatch import Post, open_post


def _plan(post: Post, **chosen: t.Any) -> list[list[tuple[str, int]]]:
    with post.stage.database.read() as session:
        planned = replay.plan(session, ReplaySelection(**chosen), 100)
    return [[(event.object_id, event.version) for event in one.events] for one in planned]


def _again(post: Post, **chosen: t.Any) -> int:
    with post.stage.database.write() as session:
        planned = replay.plan(session, ReplaySelection(**chosen), 100)
        return replay.to_callbacks(session, planned, post.clock())


@pytest.fixture
def receiver() -> CallbackReceiver:
    return CallbackReceiver()


@pytest.fixture
def post(any_database: Database, receiver: CallbackReceiver) -> t.Iterator[Post]:
    """Three notifications, delivered: 1 and 2 created, 1 changed, 2 gone."""
    with receiver.serve() as url:
        post = open_post(any_database, url)
        post.stage.see({"id": 1, "v": 1}, {"id": 2, "v": 1})
        post.clock.move(60)
        post.stage.see({"id": 1, "v": 2}, seconds=60)
        post.clock.move(60)
        post.stage.see(gone=("2",), seconds=120)
        post.dispatch()
        assert post.statuses() == {"delivered": 3}
        yield post


def test_events_are_chosen(post: Post) -> None:
    """By id, object, type, resource and time of recording."""
    everything = [[("1", 1), ("2", 1)], [("1", 2)], [("2", 2)]]
    assert _plan(post, instance_id=post.stage.stream.instance_id) == everything
    assert _plan(post, object_id="1") == [[("1", 1)], [("1", 2)]]
    assert _plan(post, types=("DELETED",)) == [[("2", 2)]]
    assert _plan(post, event_ids=(2,)) == [[("2", 1)]]
    assert _plan(post, resource="products") == []
    assert _plan(post, since=at(30)) == [[("1", 2)], [("2", 2)]]
    assert _plan(post, since=at(30), until=at(90)) == [[("1", 2)]]


def test_replayed_notifications_arrive_again(post: Post, receiver: CallbackReceiver) -> None:
    """Whole notifications, with the ids that they had."""
    before = sorted((one.json for one in receiver.received), key=lambda one: int(one["id"]))
    receiver.clear()
    assert _again(post, object_id="1") == 2
    post.dispatch()
    assert [one.json for one in receiver.received] == before[:2]
    assert post.statuses() == {"delivered": 3}


def test_what_is_on_its_way_is_not_doubled(post: Post, receiver: CallbackReceiver) -> None:
    """A notification that waits for its retry is left as it is."""
    receiver.answer = lambda _: 500
    post.stage.see({"id": 3}, seconds=180)
    post.clock.move(60)
    post.dispatch()
    assert _again(post, object_id="3") == 0


def test_replay_reaches_a_callback_that_was_not_there(any_database: Database) -> None:
    """Events that were recorded without a callback can be told once there is one."""
    receiver = CallbackReceiver()
    with receiver.serve() as url:
        post = open_post(any_database, url)
        with any_database.write() as session:
            session.execute(sa.update(Subscription).values(current=False))
        post.stage.see({"id": 1})
        with any_database.write() as session:
            session.execute(sa.update(Subscription).values(current=True))
        assert post.statuses() == {}
        assert _again(post, object_id="1") == 1
        post.dispatch()
    assert receiver.events == [("orders", "1", "CREATED")]


@pytest.mark.parity(88)
def test_old_notifications_go_and_what_waits_stays(post: Post, receiver: CallbackReceiver) -> None:
    """After the retention what arrived is deleted with all that belongs to it, nothing else."""
    receiver.answer = lambda _: 500
    post.stage.see({"id": 3}, seconds=180)
    post.stage.see({"id": 3, "v": 2}, seconds=181)
    post.clock.move(120)
    post.dispatch()
    with post.stage.database.write() as session:
        number = post.stage.stream.instance_id
        session.add(Usage(instance_id=number, hour=NOW, turns=1, requests=2, seconds=0.5))
    post.clock.move(8 * 86_400)
    post.stage.see({"id": 4}, seconds=8 * 86_400)
    assert retention.purge(post.runtime).notifications == 3
    with post.stage.database.read() as session:
        objects = session.scalars(sa.select(StoredEvent.object_id).order_by(StoredEvent.id)).all()
        counts = [
            session.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (Notification, Delivery, Wait, Usage, Connection)
        ]
        attempts = session.scalars(sa.select(Attempt.status_code)).all()
    assert list(objects) == ["3", "3", "4"]
    assert counts == [3, 3, 1, 0, 0]
    assert set(attempts) == {500}


def test_purging_is_done_in_small_steps(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is, it goes on to the end, and can be stopped between two commits."""
    monkeypatch.setattr(retention, "AT_ONCE", 1)
    post.clock.move(8 * 86_400)
    answers = iter([False, True])
    assert retention.purge(post.runtime, lambda: next(answers)).notifications == 1
    assert retention.purge(post.runtime).notifications == 2


def _run(line: StoreToCallback, *args: str) -> click.testing.Result:
    result = line.app.test_cli_runner().invoke(args=["woo", *args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_replay_by_command(line: StoreToCallback) -> None:
    """A dry run says what would be told; the run has the worker tell it."""
    number = line.first("orders")
    line.store.acts.status(number, "completed")
    line.arrivals()
    dry = _run(line, "events", "replay", "--resource", "orders", "--dry-run")
    assert f"UPDATED {number} v2: would be told" in dry.output
    line.receiver.clear()
    done = _run(line, "events", "replay", "--object", str(number), "--json")
    assert json.loads(done.output)["deliveries"] == 1
    assert ("orders", str(number), "UPDATED") in line.delivered()


def test_replay_to_another_address(line: StoreToCallback) -> None:
    """Only the chosen events are posted, signed, and nothing is written."""
    line.store.acts.new_coupon("one")
    line.store.acts.new_coupon("two")
    line.arrivals()
    other = CallbackReceiver()
    with other.serve() as url:
        listed = _run(line, "events", "list", "--resource", "discounts", "--json").output
        event = json.loads(listed.splitlines()[0])
        done = _run(line, "events", "replay", str(event["id"]), "--to", url)
    assert done.exit_code == 0 and "200 OK" in done.output
    (received,) = other.received
    assert [one["objectId"] for one in received.events] == [event["object_id"]]
    assert received.is_signed_with("a-signature-key")
    failed = _run(line, "events", "replay", str(event["id"]), "--to", "http://127.0.0.1:9/")
    assert failed.exit_code == 1 and "refuses connections" in failed.output


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "say which events"),
        (("--since", "yesterday"), "write a date"),
        (("1", "--to", "ftp://x"), "http://"),
        (("--type", "GONE"), "GONE"),
    ],
)
def test_replay_refuses_in_words(line: StoreToCallback, args: tuple[str, ...], said: str) -> None:
    """A wrong call says what a right one is."""
    result = _run(line, "events", "replay", *args)
    assert result.exit_code != 0 and said in result.output


def test_deliveries_by_command(line: StoreToCallback) -> None:
    """What waits is listed and sent again."""
    line.receiver.answer = lambda _: 410
    line.store.acts.new_coupon("one")
    line.poll()
    line.delivered()
    listed = _run(line, "deliveries", "list", "--instance", str(line.instance_id))
    assert "queued" in listed.output
    line.receiver.answer = lambda _: 200
    line.receiver.clear()
    done = _run(line, "deliveries", "redeliver", "--instance", str(line.instance_id), "--json")
    assert json.loads(done.output)["redelivered"] == 1
    assert {one[0] for one in line.delivered()} == {"discounts"}
