"""An operational event is written with its cause: both or neither, also around kill -9."""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import (
    Delivery,
    Instance,
    Notification,
    OperationalRecord,
    StoredEvent,
    Subscription,
)
from flask_woo_events.db.states import Channel, Source
from flask_woo_events.events import operational, operational_outbox
from flask_woo_events.events.operational import Occurrence
from flask_woo_events.events.outbox import Rules
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.sync import daily_checkpoint
from flask_woo_events.sync.ledger import lookup, record
from flask_woo_events.sync.ledger.observation import Observation, ObservationBatch
from tests.integration.host_app import runtime_of
from tests.integration.ledger_env import NOW, build
from tests.integration.store_to_callback import StoreToCallback

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: Kills a worker before each of its commits in turn, each time with a copy of the database.
SCRIPT = """
import json, os, pathlib, shutil, sqlite3, sys
from flask_woo_events.worker import operations
from flask_woo_events.worker.worker import Worker
from tests.fault_injection import crash_points
from tests.integration.host_app import make_app, runtime_of

folder, found = pathlib.Path(sys.argv[1]), []
make_app(folder)  # What it imports, each child has.
for number in range(30):
    copy = folder / str(number)
    copy.mkdir()
    shutil.copy(folder / "host.sqlite3", copy)
    child = os.fork()
    if not child:
        crash_points.kill_at("before commit", number)
        keys = {"WOO_EVENTS_ENCRYPTION_KEYS": sys.argv[2:]}
        app = make_app(copy, WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS=True, **keys)
        Worker(runtime_of(app)).deliver_once()
        operations.post(runtime_of(app))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    connection = sqlite3.connect(copy / "host.sqlite3")
    count = lambda query: connection.execute(query).fetchone()[0]
    found.append(
        [
            os.WIFSIGNALED(status),
            count("SELECT count(*) FROM woo_subscription WHERE NOT active"),
            count("SELECT count(*) FROM woo_operational"),
            count("SELECT count(*) FROM woo_notification WHERE kind = 'subscription.stopped'"),
        ]
    )
    connection.close()
    if not found[-1][0]:
        break
print(json.dumps(found))
"""


@pytest.mark.slow
def test_killed_around_each_commit(env: StoreToCallback, tmp_path: pathlib.Path) -> None:
    """A worker that stops a subscription leaves the stop and its event, or neither."""
    body = {"callbackUrl": "http://127.0.0.1:9/", "operational": True}
    env.api.call("POST", f"/instances/{env.instance_id}/subscriptions", body)
    env.receiver.answer = lambda _: 410
    env.rest("PUT", f"coupons/{env.first('coupons')}", description="changed")
    env.poll()
    with sa.create_engine(f"sqlite:///{tmp_path}/host.sqlite3").connect() as connection:
        # The copies have all that was committed.
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.rollback()
    times, keys = tmp_path / "killed", runtime_of(env.app).settings.encryption_keys
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), *keys],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "CHAOS_KILL_TIMES": str(times), "PYTHONPATH": str(ROOT)},
        text=True,
    )
    found = json.loads(done.stdout)
    stops = [stopped for _, stopped, _, _ in found]
    assert [killed for killed, *_ in found].count(False) == 1
    assert set(stops) == {0, 1}
    assert all(stopped == waiting + posted for _, stopped, waiting, posted in found), found
    assert {tuple(one[1:]) for one in found} == {(0, 0, 0), (1, 1, 0), (1, 0, 1)}


def _subscribed(database: Database) -> int:
    """Return an instance with an operational subscription."""
    return _subscribe(database, build(database).stream.instance_id)


def _subscribe(database: Database, number: int) -> int:
    with database.write() as session:
        row = Subscription(
            instance_id=number, channel=Channel.OPERATIONAL, url="https://a.test", created_at=NOW,
            options={"checkpoint": True},
        )  # fmt: skip
        session.add(row)
    return number


def test_concurrent_workers(any_database: Database) -> None:
    """Workers that meet the same cause record it once, and make one notification of it."""
    number, together = _subscribed(any_database), threading.Barrier(4)
    what = Occurrence(kind="store.unreachable", text="the store does not answer")
    ended = Occurrence(kind="store.reachable", text="the store answers again")

    def cause(session: orm.Session) -> bool:
        instance = session.get_one(Instance, number, with_for_update={"key_share": True})
        return operational.begin(session, instance, what, NOW)

    def end(session: orm.Session) -> bool:
        instance = session.get_one(Instance, number, with_for_update={"key_share": True})
        return operational.end(session, instance, ended, NOW)

    def work(_: int) -> tuple[bool, int, bool, int]:
        together.wait(60)
        begun = any_database.transact(cause)
        together.wait(60)
        posted = any_database.transact(
            lambda session: operational_outbox.post(session, number, (), NOW)
        )
        together.wait(60)
        over = any_database.transact(end)
        together.wait(60)
        return (
            begun,
            posted,
            over,
            any_database.transact(
                lambda session: operational_outbox.post(session, number, (), NOW)
            ),
        )

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    assert [sum(each) for each in zip(*found, strict=True)] == [1, 1, 1, 1]
    with any_database.read() as session:
        assert session.scalars(sa.select(OperationalRecord.id)).all() == []
        kinds = session.scalars(sa.select(Notification.kind).order_by(Notification.id)).all()
        assert kinds == ["store.unreachable", "store.reachable"]
        assert len(session.scalars(sa.select(Delivery.id)).all()) == 2
        first, second = session.scalars(sa.select(StoredEvent).order_by(StoredEvent.id)).all()
        assert first.version < second.version and first.object_id == second.object_id


def test_a_cause_that_is_rolled_back(any_database: Database) -> None:
    """Its event is rolled back with it."""
    number = _subscribed(any_database)
    what = Occurrence(kind="key.rejected", text="the store refuses the key")
    with pytest.raises(ZeroDivisionError), any_database.write() as session:
        instance = session.get_one(Instance, number, with_for_update={"key_share": True})
        operational.begin(session, instance, what, NOW)
        session.flush()
        raise ZeroDivisionError
    with any_database.read() as session:
        assert operational_outbox.waiting(session) == []
        assert session.get_one(Instance, number).reported is None


def test_checkpoints_while_events_are_recorded(any_database: Database) -> None:
    """Each counts all objects with events up to its last notification, and no others."""
    env, more = build(any_database), 12
    number = _subscribe(any_database, env.stream.instance_id)
    runtime = Runtime(Settings(), any_database, lambda: NOW)
    done = threading.Event()

    def write(session: orm.Session, one: int) -> None:
        # As the lease of a poll does.
        session.get_one(Instance, number, with_for_update={"key_share": True})
        observed = ObservationBatch(
            source=Source.POLL,
            observations=[Observation(object_id=str(one), body={"id": one}, seen_at=NOW)],
            read_revision=lookup.revision(session, env.stream.poller_id),
            poll_date=NOW,
        )
        assert record.record(session, env.stream, observed, Rules(now=NOW)).emitted

    def work() -> None:
        for one in range(more):
            any_database.transact(lambda session: write(session, one + 1))  # noqa: B023
        done.set()

    def count(_: int) -> int:
        recorded = 0
        while not done.is_set():
            with any_database.write() as session:
                session.get_one(Instance, number, with_for_update=True).checkpoint_at = NOW
            recorded += daily_checkpoint.record(runtime, number)
        return recorded

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        counts = pool.map(count, range(2))
        pool.submit(work).result(120)
        total = sum(counts)
    with any_database.read() as session:
        records = session.scalars(sa.select(OperationalRecord.record)).all()
        events = session.scalars(sa.select(StoredEvent.notification_id)).all()
    assert len(records) == total > 0
    for one in records:
        [orders] = one["resources"]
        last = int(orders.get("lastNotificationId", 0))
        assert orders["count"] == len([each for each in events if each <= last])
