"""A database that was restored from a backup: its receivers drop nothing as a repetition."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import json
import logging
import pathlib
import typing as t

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.db import epochs
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Epoch, Instance, Notification
from flask_woo_events.delivery import feed
from flask_woo_events.delivery.payload import without_nulls
from flask_woo_events.errors import ConfigurationError
from flask_woo_events.events.feed import FeedChoice
from flask_woo_events.events.feed_cursor import FeedScope
from flask_woo_events.instances import restored
from flask_woo_events.simulation.callback_receiver import Received
from flask_woo_events.simulation.loss_suite.judge import ObjectKey, events_in
from flask_woo_events.sync.ledger.digest import digest_of
from flask_woo_events.worker.worker import Worker
from tests.conftest import BACKENDS
from tests.integration import backups
from tests.integration.host_app import dispose, make_app, runtime_of
from tests.integration.store_to_callback import OwnClock, StoreToCallback, open_env

#: Resources, each with its name in the store.
KINDS = {name: name for name in ("customers", "orders", "products")} | {"discounts": "coupons"}


def truth_of(env: StoreToCallback) -> dict[ObjectKey, bytes]:
    """Return what the store holds, as digests."""
    return {
        (resource, str(number)): digest_of(without_nulls(body))
        for resource, kind in KINDS.items()
        for number, body in env.store.truth(kind).items()
    }


class Deduplicating:
    """A receiver that drops what it has already, as documented, and keeps what remains.

    :param truth: what it knows in the beginning.
    """

    def __init__(self, truth: dict[ObjectKey, bytes]) -> None:
        self.known = dict(truth)
        self.versions: dict[ObjectKey, int] = {}
        self._ids: set[str] = set()
        self._numbers: set[str] = set()

    def take(self, received: cabc.Iterable[Received]) -> None:
        """Apply notifications in the order of their arrival."""
        self.apply(one.json for one in received)

    def apply(self, bodies: cabc.Iterable[dict[str, t.Any]]) -> None:
        """Apply the bodies of notifications in their order."""
        for one in bodies:
            message, number = one["message"], one["id"]
            if message["eventId"] in self._ids or number in self._numbers:
                continue
            self._ids.add(message["eventId"])
            self._numbers.add(number)
            seen = events_in(message)
            for event, (key, _kind, content) in zip(message["events"], seen, strict=True):
                if event["version"] <= self.versions.get(key, 0):
                    continue
                self.versions[key] = event["version"]
                if content is None:
                    self.known.pop(key, None)
                else:
                    self.known[key] = content


@dataclasses.dataclass
class Installation:
    """An application that is stopped, restored and started again."""

    env: StoreToCallback
    url: str
    folder: pathlib.Path
    receiver: Deduplicating
    changes: int = 0

    def poll(self, times: int = 1) -> None:
        """Poll and deliver; the receiver takes what arrives."""
        for _ in range(times):
            self.env.arrivals()
            self.receiver.take(self.env.receiver.received)

    def back_up(self) -> None:
        """Make a backup while everything runs."""
        backups.back_up(self.url, self.folder / "backup")

    def restart(self) -> None:
        """Stop the application, and start it in another process's stead."""
        dispose(self.env.app)
        self.env.app = make_app(self.folder, **self.settings)

    def restore(self, *, running: bool = False) -> None:
        """Restore the backup, and start the application again unless it goes on running."""
        dispose(self.env.app)
        backups.restore(self.url, self.folder / "backup")
        if not running:
            self.restart()

    def epochs(self) -> list[int]:
        """Return the numbers of the epochs."""
        with runtime_of(self.env.app).database.read() as session:
            return list(session.scalars(sa.select(Epoch.number).order_by(Epoch.number)))

    def change(self, times: int = 1) -> None:
        """Change a product and an order, so that ids and versions are used."""
        acts, env = self.env.store.acts, self.env
        for _ in range(times):
            self.changes += 1
            acts.post_update(env.first("products"), f"Renamed {self.changes}")
            acts.status(env.first("orders"), ("completed", "on-hold")[self.changes % 2])
            self.poll()

    def forget(self) -> None:
        """Remove the state file, as a new machine does not have it."""
        path = runtime_of(self.env.app).state_file.path
        assert path is not None
        path.unlink()

    @property
    def settings(self) -> dict[str, object]:
        """The settings of the application."""
        kept = ("SQLALCHEMY_DATABASE_URI", "WOO_EVENTS_")
        return {name: value for name, value in self.env.app.config.items() if name.startswith(kept)}


@pytest.fixture
def installed(
    any_database: Database, any_url: str, tmp_path: pathlib.Path
) -> cabc.Iterator[Installation]:
    """Yield an installation on a database of each kind, with its baseline."""
    any_database.dispose()
    with contextlib.ExitStack() as stack:
        env = open_env("9.4", tmp_path, stack, SQLALCHEMY_DATABASE_URI=any_url)
        yield (one := Installation(env, any_url, tmp_path, Deduplicating(truth_of(env))))
        dispose(one.env.app)


only_sqlite = pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)


@pytest.mark.parametrize(
    ("any_url", "running"),
    [
        pytest.param("sqlite", False, id="sqlite-restarted"),
        pytest.param("postgresql", True, id="postgresql-running", marks=pytest.mark.postgresql),
        pytest.param("mariadb", False, id="mariadb-restarted", marks=pytest.mark.mariadb),
    ],
    indirect=["any_url"],
)
def test_receivers_have_what_the_store_has(installed: Installation, running: bool) -> None:
    """What is sent after a restore is new to a receiver that drops known ids and versions."""
    env, acts = installed.env, installed.env.store.acts
    product, order, customer, coupon = map(
        env.first, ("products", "orders", "customers", "coupons")
    )
    reverted = max(env.store.truth("products"))
    name = env.store.truth("products")[reverted]["name"]
    installed.change(2)
    installed.back_up()
    installed.change(3)
    acts.new_product("Since the backup")
    acts.profile(customer, "Ann")
    acts.post_update(reverted, "For a while")
    installed.poll()
    sent = dict(installed.receiver.versions)
    assert installed.receiver.known == truth_of(env)

    installed.restore(running=running)
    acts.post_update(product, "After the restore")
    acts.status(order, "refunded")
    acts.profile(customer, "Bea")
    acts.delete_for_good("coupons", coupon)
    acts.new_product("After the restore, too")
    acts.post_update(reverted, name)
    installed.poll(2)
    assert installed.receiver.known == truth_of(env)
    assert all(installed.receiver.versions[key] >= version for key, version in sent.items())
    assert len(installed.epochs()) == 2

    installed.restart()
    acts.status(order, "completed")
    installed.poll(2)
    assert installed.receiver.known == truth_of(env)
    assert len(installed.epochs()) == 2


@only_sqlite
def test_reader_of_the_feed_has_what_the_store_has(installed: Installation) -> None:
    """Its cursor is of a life that is lost; without a repetition it would miss events."""
    env, reader, cursors = installed.env, Deduplicating(truth_of(installed.env)), [feed.NOW]
    chosen = FeedChoice(scope=FeedScope(organization_id=1))

    def read() -> None:
        page = feed.read(runtime_of(env.app), chosen, cursors[-1], 1000)
        reader.apply(map(json.loads, page.events))
        cursors.append(page.cursor)

    read()
    installed.change(2)
    read()
    installed.back_up()
    installed.change(3)
    read()
    assert reader.known == truth_of(env)

    installed.restore()
    env.store.acts.new_product("After the restore")
    read()
    assert len(installed.epochs()) == 2
    installed.change(2)
    installed.poll(2)
    read()
    assert reader.known == truth_of(env)
    before = len(reader.versions)
    # Also one that has slept since the backup.
    cursors.append(cursors[2])
    read()
    assert (reader.known, len(reader.versions)) == (truth_of(env), before)


def test_a_notification_that_is_divided_after_a_restore(installed: Installation) -> None:
    """A process that only delivers gives the parts ids that were not sent before."""
    env, acts = installed.env, installed.env.store.acts
    first, second = sorted(env.store.truth("orders"))[:2]
    for order in (first, second):
        acts.status(order, "on-hold")
    env.poll()
    installed.back_up()
    env.delivered()
    installed.change(3)

    installed.restore()
    runtime = runtime_of(env.app)
    clock = OwnClock(runtime)
    env.receiver.clear()

    def two_orders(received: Received) -> bool:
        return {"orders"} == {one["objectType"] for one in received.events} and (
            len(received.events) == 2
        )

    env.receiver.answer = lambda received: 500 if two_orders(received) else 200
    for _ in range(3):
        Worker(runtime, poll=False).deliver_once()
        clock.advance(seconds=10)
    # Of different objects, in any order; the second has a notification of its own.
    parts = {
        one.events[0]["objectId"]: int(one.json["id"])
        for one in [one for one in env.receiver.received if not two_orders(one)][-2:]
    }
    assert parts.keys() == {str(first), str(second)}
    assert parts[str(second)] > installed.epochs()[-1] * 1_000_000 > 0


def test_only_a_restore_begins_an_epoch(
    installed: Installation, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Restarts, other workers, other machines and purged notifications begin none."""
    other = tmp_path / "other machine"
    other.mkdir()
    second = make_app(other, **{**installed.settings, "WOO_EVENTS_STATE_FOLDER": str(other)})
    for number in range(3):
        installed.change()
        assert installed.receiver.versions["orders", str(installed.env.first("orders"))] > number
        restored.look(runtime_of(second))
        installed.restart()
    with runtime_of(second).database.write() as session:
        session.execute(sa.delete(Notification))
    installed.restart()
    for app in (second, installed.env.app):
        restored.look(runtime_of(app))
    dispose(second)
    assert installed.epochs() == [0]
    assert list(other.iterdir())
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_workers_begin_one_epoch_together(installed: Installation) -> None:
    """All workers notice a restore at the same time, and one of them begins the epoch."""
    installed.change()
    installed.back_up()
    installed.change()
    installed.restore()
    apps = [make_app(installed.folder, **installed.settings) for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(len(apps)) as pool:
        list(pool.map(lambda app: restored.look(runtime_of(app)), apps))
    for app in apps:
        restored.look(runtime_of(app))
        dispose(app)
    assert len(installed.epochs()) == 2


def test_an_operator_says_that_it_was_restored(installed: Installation) -> None:
    """On a new machine, each restore of the same backup has a greater number, ids and versions."""
    env, key = installed.env, ("products", str(installed.env.first("products")))
    installed.change()
    installed.back_up()
    for again in range(2):
        installed.change(2)
        before = installed.receiver.versions[key]
        installed.forget()
        # A restored dump shows itself on PostgreSQL; a whole copy of the server would not.
        installed.restore()
        runtime = runtime_of(env.app)
        clock = OwnClock(runtime)
        clock.advance(minutes=again)
        epoch = restored.declare(runtime, "said so")
        installed.change()
        assert installed.receiver.versions[key] > epoch.version_floor >= before
        assert installed.receiver.known == truth_of(env)
        with runtime.database.read() as session:
            ids = session.execute(
                sa.select(Notification.id, Notification.event_id)
                .order_by(Notification.id.desc())
                .limit(1)
            ).one()
        assert ids.id > epoch.number * 1_000_000
        assert len(ids.event_id) == 20
        assert ids.event_id[4:8] == epoch.token


@pytest.mark.parametrize("any_url", BACKENDS[1:2], indirect=True)
def test_a_restored_dump_shows_itself(
    installed: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL creates the tables anew, so that no state file is needed."""
    installed.change()
    installed.back_up()
    installed.change()
    installed.forget()
    installed.restore()
    installed.poll()
    assert len(installed.epochs()) == 2
    assert "as pg_restore makes them" in caplog.text


@only_sqlite
def test_a_recreated_database_begins_an_epoch(
    installed: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """An empty database at the same place repeats all ids."""
    installed.change()
    with runtime_of(installed.env.app).database.write() as session:
        session.execute(sa.delete(Instance))
        session.execute(sa.delete(Epoch))
    installed.restart()
    restored.look(runtime_of(installed.env.app))
    assert installed.epochs()[0] == 0
    assert len(installed.epochs()) == 2
    assert "a worker knew another epoch 0" in caplog.text


@only_sqlite
@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"number": 1}',
        '{"number": -1, "token": "", "notification": 0, "event_id": ""}',
        '{"number": 99999999, "token": "", "notification": 0, "event_id": ""}',
        '{"number": 0, "token": "", "notification": "4", "event_id": ""}',
    ],
)
def test_a_damaged_state_file(
    installed: Installation, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported once and replaced."""
    installed.change()
    path = runtime_of(installed.env.app).state_file.path
    assert path is not None
    before = json.loads(path.read_bytes())
    path.write_text(content)
    installed.restart()
    installed.poll()
    assert json.loads(path.read_bytes()) == before
    (warning,) = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert "cannot be read" in warning.getMessage()


@only_sqlite
def test_a_folder_that_cannot_be_written(
    installed: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker goes on; one warning names the command and the setting."""
    (installed.folder / "file").touch()
    installed.env.app.config["WOO_EVENTS_STATE_FOLDER"] = str(installed.folder / "file" / "below")
    installed.restart()
    installed.change(2)
    assert installed.receiver.known == truth_of(installed.env)
    (warning,) = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert "flask woo db restored" in warning.getMessage()
    assert "WOO_EVENTS_STATE_FOLDER" in warning.getMessage()


def _woo(app: flask.Flask, *args: str, **options: t.Any) -> str:
    result = app.test_cli_runner().invoke(args=["woo", *args], **options)
    return f"{result.exit_code}: {result.output}"


def test_commands(env: StoreToCallback) -> None:
    """The doctor shows the epoch and names the command, which asks and shows both epochs."""
    assert "epoch 0: ok" in _woo(env.app, "doctor")
    state_file = runtime_of(env.app).state_file
    known = state_file.known
    assert known is not None
    state_file.keep(dataclasses.replace(known, notification=1_000, event_id="x"))
    said = _woo(env.app, "doctor")
    assert "the database looks restored from a backup: it has not assigned the id of" in said
    assert "fix: flask woo db restored" in said
    assert "Aborted" in _woo(env.app, "db", "restored", input="n\n")
    said = _woo(env.app, "db", "restored", input="y\n")
    assert said.startswith("0: Before: epoch 0 (")
    assert "Now: epoch " in said
    assert "ok" in _woo(env.app, "doctor").splitlines()[0]
    assert _woo(env.app, "db", "restored", "--yes").startswith("0: Before: epoch ")
    assert (
        json.loads(_woo(env.app, "doctor", "--json")[3:].splitlines()[0])["epoch"]["number"]
        > 400_000
    )


def test_commands_before_the_first_worker(app: flask.Flask) -> None:
    """There is no epoch that a restore could end, but one can begin."""
    assert "no epoch yet: ok" in _woo(app, "doctor")
    assert _woo(app, "db", "restored", "--yes").startswith("0: Before: no epoch, because")
    assert "no epoch yet" not in _woo(app, "doctor")


def _day(year: int) -> dt.datetime:
    return dt.datetime(year, 1, 1, tzinfo=dt.UTC)


@only_sqlite
@pytest.mark.parametrize(
    ("now", "above", "number"),
    [
        (_day(2027), 0, 365 * 24 * 60),
        (_day(2027), 900_000, 900_001),
        (_day(2020), 0, 1),
        (dt.datetime.max.replace(tzinfo=dt.UTC), 7, 8),
        (_day(2027), epochs.MOST - 1, epochs.MOST),
    ],
)
def test_numbers_rise(any_database: Database, now: dt.datetime, above: int, number: int) -> None:
    """Whatever the clock shows, a number is above all that are known, and versions have 32 bits."""
    with any_database.write() as session:
        epochs.begin_first(session, now)
        first = epochs.current(session)
        assert first is not None
        epoch = epochs.begin(session, first, above, "", now)
        assert epoch is not None
        assert epoch.number == number
        assert epoch.version_floor + 2**28 < 2**31
        assert epochs.begin(session, first, above, "", now) is None
        ids = {epochs.new_event_id(epoch) for _ in range(100)}
        assert {len(one) for one in ids} == {20}
        assert len(ids) == 100
        assert len({one[:8] for one in ids}) == 1


@only_sqlite
def test_numbers_end(any_database: Database) -> None:
    """The error says what to do when there is no higher number."""
    with any_database.write() as session:
        epochs.begin_first(session, _day(2027))
        first = epochs.current(session)
        assert first is not None
        with pytest.raises(ConfigurationError, match="Create new tables in an empty database"):
            epochs.begin(session, first, epochs.MOST, "", _day(2027))
