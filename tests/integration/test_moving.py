"""``flask woo db copy``: an installation goes on in another database as if nothing had been."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import os
import pathlib
import threading

import alembic.command
import pytest
import sqlalchemy as sa

from flask_woo_events.db import copy, upgrade
from flask_woo_events.db.clock import utc_now
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import (
    Base,
    Instance,
    Organization,
    StoredEvent,
    WorkerProcess,
)
from flask_woo_events.db.presence import Presence, present
from flask_woo_events.errors import ConfigurationError
from flask_woo_events.worker.worker import Worker
from tests.conftest import BACKENDS
from tests.integration.host_app import PREFIX, dispose, make_app, runtime_of
from tests.integration.ledger_env import build
from tests.integration.store_to_callback import StoreToCallback
from tests.waiting import wait_until


def _copy(env: StoreToCallback, url: str) -> str:
    result = env.app.test_cli_runner().invoke(args=["woo", "db", "copy", "--to", url])
    return f"{result.exit_code}: {result.output}"


def _rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = {
            one.name: [
                tuple(row)
                for row in connection.execute(sa.select(one).order_by(*one.primary_key.columns))
            ]
            for one in Base.metadata.sorted_tables
        }
    engine.dispose()
    return found


def _happen(env: StoreToCallback) -> None:
    env.store.acts.stock(env.first("products"), 3)
    env.store.acts.status(env.first("orders"), "completed")


def test_an_installation_goes_on_elsewhere(
    env: StoreToCallback, any_url: str, tmp_path: pathlib.Path
) -> None:
    """Ids continue, no event is sent again, and waiting deliveries are sent from the copy."""
    _happen(env)
    assert env.arrivals()
    cursor = env.api.call("GET", "/events/feed").json["cursor"]
    env.receiver.answer = lambda _received: 500
    env.store.acts.new_product("Waits")
    env.poll()
    Worker(runtime_of(env.app)).deliver_once()
    env.receiver.answer = lambda _received: 200
    env.receiver.clear()
    url = any_url.replace("woo.sqlite3", "moved.sqlite3")
    assert _copy(env, url).startswith("0: "), _copy(env, url)
    before = _rows(str(env.app.config["SQLALCHEMY_DATABASE_URI"]))
    after = _rows(url)
    assert after | {"woo_epoch": []} == before | {"woo_epoch": []}
    # The epoch goes on; only PostgreSQL's number of its table is another one.
    number, token = before["woo_epoch"][0][:2]
    assert [row[:2] for row in after["woo_epoch"]] == [(number, token)]
    assert before["woo_event"]
    keys = env.app.config["WOO_EVENTS_ENCRYPTION_KEYS"]
    moved = make_app(
        tmp_path,
        SQLALCHEMY_DATABASE_URI=url,
        WOO_EVENTS_ENCRYPTION_KEYS=keys,
        WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS=True,
    )
    there = StoreToCallback(moved, env.store, env.receiver, env.api, env.instance_id)
    runtime = runtime_of(moved)
    runtime.clock = lambda: utc_now() + dt.timedelta(hours=1)
    assert there.delivered() == {("products", str(max(env.store.truth("products"))), "CREATED")}
    # A reader of the feed goes on with its cursor, too.
    path = f"{PREFIX}/events/feed?cursor={cursor}"
    [unread] = moved.test_client().get(path, headers=env.api.headers).json["events"]  # type: ignore[index]
    assert unread["message"]["events"][0]["eventType"] == "CREATED"
    assert there.arrivals() == set()
    _happen(there)
    env.store.acts.stock(env.first("products"), 4)
    there.poll()
    with runtime.database.read() as session:
        ids = session.scalars(sa.select(StoredEvent.id).order_by(StoredEvent.id)).all()
    assert ids[: len(before["woo_event"])] == [row[0] for row in before["woo_event"]]
    assert len(ids) > len(before["woo_event"])
    assert [row[:2] for row in _rows(url)["woo_epoch"]] == [(number, token)]
    dispose(moved)


def test_a_filled_database_is_refused(env: StoreToCallback, any_url: str) -> None:
    """A second copy would mix two installations up."""
    url = any_url.replace("woo.sqlite3", "moved.sqlite3")
    assert _copy(env, url).startswith("0: ")
    before = _rows(url)
    assert "is not empty: woo_epoch, woo_organization" in _copy(env, url)
    assert _rows(url) == before


def test_a_running_worker_is_noticed(env: StoreToCallback, tmp_path: pathlib.Path) -> None:
    """What it would write while it is copied would be lost."""
    with runtime_of(env.app).database.write() as session:
        session.execute(sa.update(Instance).values(lease_until=utc_now() + dt.timedelta(seconds=5)))
    said = _copy(env, f"sqlite:///{tmp_path}/moved.sqlite3")
    assert said.startswith("1: ")
    assert "Stop flask woo poll" in said


def test_an_idle_worker_is_noticed(env: StoreToCallback, tmp_path: pathlib.Path) -> None:
    """A worker without anything to do holds no lease, and would go on with the old database."""
    runtime = runtime_of(env.app)
    worker = Worker(runtime, poll=False)
    thread = threading.Thread(target=worker.run)
    thread.start()
    url = f"sqlite:///{tmp_path}/moved.sqlite3"
    try:
        wait_until(lambda: bool(_present(runtime.database, utc_now())))
        said = _copy(env, url)
    finally:
        worker.stop()
        thread.join()
    assert said.startswith("1: ")
    assert f"A worker uses this database: process {os.getpid()} on " in said
    assert _copy(env, url).startswith("0: ")


def test_a_killed_worker_counts_for_seconds(any_database: Database) -> None:
    """What it noted last is too old then, and the next worker removes it."""
    now = utc_now()
    Presence(any_database, lambda: now).renew()
    for seconds, alive in ((0, True), (20, True), (21, False), (-3600, False)):
        then = now + dt.timedelta(seconds=seconds)
        assert bool(_present(any_database, then)) is alive, seconds
    later = Presence(any_database, lambda: now + dt.timedelta(minutes=1))
    for _ in range(2):
        later.renew()
    with any_database.read() as session:
        assert len(session.scalars(sa.select(WorkerProcess.name)).all()) == 1
    later.end()
    assert not _present(any_database, now + dt.timedelta(minutes=1))


def test_a_worker_at_the_target_is_noticed(env: StoreToCallback, any_url: str) -> None:
    """It would poll the copied stores while they are still being copied."""
    url = any_url.replace("woo.sqlite3", "moved.sqlite3")
    engine = sa.create_engine(url)
    target = Database(engine)
    upgrade.upgrade(target.engine)
    presence = Presence(target, target.clock)
    presence.renew()
    assert "A worker uses the database of --to: process" in _copy(env, url)
    presence.end()
    assert _copy(env, url).startswith("0: ")
    target.dispose()
    engine.dispose()


def _present(database: Database, now: dt.datetime) -> list[str]:
    with database.engine.connect() as connection:
        return present(connection, now)


#: A statement after which a write that has to wait fails, at once or after one second.
IMPATIENT = {
    "sqlite": "PRAGMA busy_timeout = 1",
    "postgresql": "SET lock_timeout = '1ms'",
    "mysql": "SET SESSION lock_wait_timeout = 0",
}


def _write(url: str) -> str:
    """Write to a database, without waiting for others; return the error."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text(IMPATIENT[engine.dialect.name]))
            connection.execute(sa.update(Organization).values(name="written"))
    except sa.exc.OperationalError as exc:
        return str(exc.orig)
    return ""


@pytest.fixture
def source(any_database: Database) -> cabc.Iterator[Database]:
    """Yield a database with some rows that can be copied."""
    build(any_database)
    with any_database.engine.begin() as connection:
        alembic.command.stamp(upgrade._config(connection), "head")
    yield any_database
    with any_database.engine.begin() as connection:
        connection.execute(sa.text(f"DROP TABLE {upgrade.VERSION_TABLE}"))


def test_nobody_writes_during_a_copy(
    source: Database, any_url: str, tmp_path: pathlib.Path
) -> None:
    """What another process would write meanwhile would be in the old database only."""
    errors: dict[str, str] = {}

    def progress(table: str, _rows: int) -> None:
        if table in ("woo_organization", "woo_wait"):
            errors[table] = _write(any_url)

    target = f"sqlite:///{tmp_path}/moved.sqlite3"
    copy.copy(source, target, utc_now(), progress)
    assert len(errors) == 2
    assert all(errors.values())
    assert _write(any_url) == ""
    assert _rows(target)["woo_organization"] != _rows(any_url)["woo_organization"]


# SQLite waits for the end of a write by itself.
@pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)
def test_copy_does_not_wait_for_ever(
    source: Database, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy is refused if another process does not end what it is writing."""
    # PostgreSQL takes 0 as unlimited, and MariaDB wants whole seconds.
    soon = 0.001 if source.engine.dialect.name == "postgresql" else 0
    monkeypatch.setattr(copy, "LOCKED_WITHIN", soon)
    with source.begin() as writing:
        writing.execute(sa.update(Organization).values(name="written"))
        with pytest.raises(ConfigurationError, match="A worker uses this database. Stop"):
            copy.copy(source, f"sqlite:///{tmp_path}/moved.sqlite3", utc_now())


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://x", "sqlite:////nowhere/at/all"])
def test_a_database_that_cannot_be_used(env: StoreToCallback, url: str) -> None:
    """The message is one sentence."""
    said = _copy(env, url)
    assert said.startswith("1: Error: ")
    assert "Traceback" not in said


@pytest.mark.parametrize("any_url", BACKENDS[2:], indirect=True)
def test_a_row_that_the_other_database_does_not_take(env: StoreToCallback, any_url: str) -> None:
    """The message names the limit of MariaDB, which drops the connection for such a row."""
    _happen(env)
    assert env.arrivals()
    with runtime_of(env.app).database.write() as session:
        session.execute(sa.update(StoredEvent).values(body=b"x" * 2**25))
    assert "max_allowed_packet" in _copy(env, any_url)
