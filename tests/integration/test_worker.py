"""The worker's loops: none ends alone, whatever fails."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import shutil
import threading
import typing as t

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database, is_away
from flask_woo_events.db.models import Instance
from flask_woo_events.delivery import result_writer
from flask_woo_events.errors import SchemaError
from flask_woo_events.sync.instance_poll import InstancePoll
from flask_woo_events.sync.report import PollReport
from flask_woo_events.worker import retention, worker
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import StoreToCallback, open_env
from tests.waiting import wait_until


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unexpected"),
        SystemExit(1),
        sa.exc.OperationalError("DELETE", None, Exception("away")),
    ],
    ids=["unexpected", "exit", "database"],
)
def test_a_loop_continues_after_an_error(
    app: flask.Flask,
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The error is logged with the loop's action, and the loop calls its function again."""
    calls: list[None] = []

    def purge(*_: t.Any) -> retention.Purged:
        calls.append(None)
        if len(calls) == 1:
            raise error
        running.stop()
        return retention.Purged()

    monkeypatch.setattr(worker, "PURGE_AFTER", 0.0)
    monkeypatch.setattr(worker, "PURGE_EVERY", 0.01)
    monkeypatch.setattr(retention, "purge", purge)
    running = Worker(runtime_of(app), poll=False)
    running.run()
    assert len(calls) == 2
    actions = [vars(one)["action"] for one in caplog.records if one.levelname != "INFO"]
    assert actions == ["database_away" if isinstance(error, sa.exc.SQLAlchemyError) else "purge"]


@pytest.fixture
def env(
    tmp_path: pathlib.Path, tables: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> cabc.Iterator[StoreToCallback]:
    """Connect a store with webhooks; the worker's loops do not wait long."""
    for name in ("CHECK_EVERY", "SETTLE_EVERY", "WATCH_EVERY", "PURGE_EVERY", "PURGE_AFTER"):
        monkeypatch.setattr(worker, name, 0.01)
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        yield open_env("9.4", tmp_path, stack, hooked=True, WOO_EVENTS_LEASE_SECONDS=1)


@contextlib.contextmanager
def _running(env: StoreToCallback) -> cabc.Iterator[Worker]:
    """Run a worker in the block, with work for each of its loops."""
    env.receiver.clear()
    env.store.acts.status(env.first("orders"), "completed")
    env.store.webhooks.run_queue()
    runtime = runtime_of(env.app)
    with runtime.database.write() as session:
        due = {"next_poll_at": runtime.clock(), "hooks_due_at": runtime.clock()}
        session.execute(sa.update(Instance).values(**due, regular_poll_at=None))
    running = Worker(runtime)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        yield running
    finally:
        running.stop()
        thread.join()


def test_the_loops_survive_that_the_tables_are_away(
    env: StoreToCallback, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a database is restored, every loop fails; then all of them go on."""
    # A result that is being written waits for its tables for ten minutes, and the loop for it.
    monkeypatch.setattr(result_writer, "WRITE_ATTEMPTS", 2)
    database = runtime_of(env.app).database
    names = ("woo_instance", "woo_subscription", "woo_notification", "woo_usage")

    def rename(old: str, new: str) -> None:
        with database.begin() as connection:
            for name in names:
                connection.exec_driver_sql(f"ALTER TABLE {name}{old} RENAME TO {name}{new}")

    def failing() -> set[object]:
        return {vars(one).get("action") for one in caplog.records if one.levelname == "ERROR"}

    with _running(env):
        wait_until(lambda: bool(env.receiver.events))
        rename("", "_away")
        wait_until(lambda: failing() >= {"poll", "settle", "watch", "deliver", "purge"})
        rename("_away", "")
        env.store.acts.new_coupon("later")
        env.store.webhooks.run_queue()
        wait_until(lambda: any(one[::2] == ("discounts", "CREATED") for one in env.receiver.events))


def test_the_loops_survive_that_no_thread_can_be_started(
    env: StoreToCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be started is started a moment later."""
    start, refused = threading.Thread.start, set()

    def start_later(thread: threading.Thread) -> None:
        kind = thread.name.partition("_")[0]
        if kind in ("woo-poll", "woo-settle", "woo-guard", "woo-deliver") and kind not in refused:
            refused.add(kind)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_later)
    with _running(env):
        wait_until(lambda: len(refused) == 4 and bool(env.receiver.events))
        runtime = runtime_of(env.app)

        def due() -> bool:
            with runtime.database.read() as session:
                instance = session.get_one(Instance, env.instance_id)
            dates = instance.next_poll_at, instance.hooks_due_at
            return any(one is not None and one <= runtime.clock() for one in dates)

        wait_until(lambda: not due())


def test_an_unexpected_error_does_not_stop_the_other_instances(
    app: flask.Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``flask woo poll --once`` reports the instance, and polls the others."""

    def run(_: InstancePoll, instance_id: int) -> list[PollReport]:
        if instance_id == 1:
            raise ValueError("unexpected")
        return [PollReport(instance=instance_id, resource="orders")]

    monkeypatch.setattr(InstancePoll, "run", run)
    failed, polled = Worker(runtime_of(app)).poll_once([1, 2])
    assert (failed.instance, failed.error) == (1, "unexpected ValueError, which the log shows")
    assert (polled.instance, polled.error) == (2, None)
    assert "the poll of instance 1 failed" in caplog.text


@pytest.mark.parametrize("name", ["woo_purge_loop", "woo-leases"])
def test_a_loop_that_cannot_begin_ends_the_process(
    app: flask.Flask, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other loops end, too, so that the process is started again."""
    start, before = threading.Thread.start, set(threading.enumerate())

    def refuse(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        Worker(runtime_of(app)).run()
    assert set(threading.enumerate()) <= before


def test_a_missing_database_is_not_a_missing_table(any_database: Database) -> None:
    """A database that is being restored may be back soon; tables need an upgrade."""
    with pytest.raises(SchemaError), any_database.read() as session:
        session.execute(sa.text("SELECT id FROM woo_elsewhere"))
    with pytest.raises(SchemaError), any_database.read() as session:
        session.execute(sa.text("SELECT elsewhere FROM woo_instance"))
    if any_database.engine.dialect.name == "sqlite":
        return
    engine = sa.create_engine(any_database.engine.url.set(database="elsewhere"))
    with pytest.raises(sa.exc.OperationalError) as raised, Database(engine).read() as session:
        session.execute(sa.select(1))
    assert is_away(raised.value)
    engine.dispose()
