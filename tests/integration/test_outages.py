"""A database that is away, locked, full or read-only: nothing is lost, nobody is told 500."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import os
import pathlib
import resource
import signal
import sqlite3
import tempfile
import threading
import time
import typing as t

import flask
import pytest
import sqlalchemy as sa

import flask_woo_events.db.database
from flask_woo_events.db import upgrade
from flask_woo_events.db.models import Arrival, Attempt, Instance
from flask_woo_events.instances import webhook_urls
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.values import crypto
from tests import servers
from tests.fault_injection.failing_databases import Image
from tests.fault_injection.installation import Installation, wait_until
from tests.fault_injection.kill_series import QUICK
from tests.fault_injection.outages import OUTAGES
from tests.integration.host_app import PREFIX, Api, add_account, dispose, make_app, runtime_of
from tests.integration.ledger_env import build

T = t.TypeVar("T")
BODY = b'{"id":7,"status":"processing"}'


class Intake:
    """An application that takes the webhooks of one instance."""

    def __init__(self, app: flask.Flask) -> None:
        self.app, self.runtime = app, runtime_of(app)
        instance_id = build(self.runtime.database).stream.instance_id
        keys, hook = self.runtime.settings.encryption_keys, Hook(instance_id, 1)
        self._path = f"{PREFIX}{webhook_urls.PATH}/{webhook_urls.sign(keys, hook)}"
        self._secret = webhook_urls.secrets(keys, hook)[-1]

    def send(self, app: flask.Flask | None = None) -> t.Any:
        """Send a webhook; returns the response."""
        signature = crypto._hmac(self._secret.encode(), BODY)
        headers = {"X-WC-Webhook-Topic": "order.updated", "X-WC-Webhook-Signature": signature}
        client = (app or self.app).test_client()
        return client.post(self._path, data=BODY, headers=headers)

    def kept(self) -> int:
        """Webhooks that are in the database."""
        with self.runtime.database.read() as session:
            return session.scalars(sa.select(sa.func.count()).select_from(Arrival)).one()


@pytest.fixture
def intake(app: flask.Flask) -> Intake:
    """On a SQLite file."""
    app.config["TESTING"] = False
    return Intake(app)


def _assert_refused(response: t.Any) -> None:
    assert response.status_code == 503, response.text
    assert int(response.headers["Retry-After"]) > 0
    assert set(response.json) == {"message", "requestId"}


@pytest.fixture
def folder() -> cabc.Iterator[pathlib.Path]:
    """A folder that the servers' own users may enter, which pytest's is not."""
    with tempfile.TemporaryDirectory(prefix="woo-server-", ignore_cleanup_errors=True) as path:
        yield pathlib.Path(path)


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> cabc.Iterator[None]:
    """Somebody else writes to the file, and does not come to an end."""
    with contextlib.closing(sqlite3.connect(folder / "host.sqlite3")) as connection:
        connection.isolation_level = None
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_a_lock_is_waited_for(intake: Intake, tmp_path: pathlib.Path) -> None:
    """While another process writes, webhooks wait and are taken."""
    lock = contextlib.ExitStack()
    lock.enter_context(_locked(tmp_path))
    answers: list[int] = []
    sender = threading.Thread(target=lambda: answers.append(intake.send().status_code))
    sender.start()
    sender.join(0.5)
    assert sender.is_alive()
    lock.close()
    sender.join()
    assert answers == [200]
    assert intake.kept() == 1


def test_a_lock_that_lasts_is_told(
    intake: Intake, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store shall send it again; nothing is answered 200 that was not stored."""
    monkeypatch.setattr(flask_woo_events.db.database, "SQLITE_BUSY_SECONDS", 0.2)
    impatient = make_app(
        tmp_path, TESTING=False, WOO_EVENTS_ENCRYPTION_KEYS=intake.runtime.settings.encryption_keys
    )
    with _locked(tmp_path):
        _assert_refused(intake.send(impatient))
    assert intake.kept() == 0
    assert intake.send(impatient).status_code == 200
    dispose(impatient)


def test_a_file_that_may_only_be_read(intake: Intake, tmp_path: pathlib.Path) -> None:
    """Webhooks and changes are refused for now; what can be read is shown."""
    uri = f"sqlite:///file:{tmp_path}/host.sqlite3?mode=ro&uri=true"
    keys = intake.runtime.settings.encryption_keys
    headers = add_account(intake.app, "ann", "acme").headers
    readonly = make_app(
        tmp_path, TESTING=False, SQLALCHEMY_DATABASE_URI=uri, WOO_EVENTS_ENCRYPTION_KEYS=keys
    )
    _assert_refused(intake.send(readonly))
    shown = Api(readonly.test_client(), headers, "").call(
        "GET", "/elements/woocommercerest/metadata"
    )
    assert shown.status_code == 200
    assert intake.kept() == 0
    dispose(readonly)


def test_a_disk_that_is_full(intake: Intake, tmp_path: pathlib.Path) -> None:
    """What was acknowledged is there, what does not fit is refused, and later it fits."""
    taken = 0
    largest = max(one.stat().st_size for one in tmp_path.glob("host.sqlite3*")) + 65_536
    with _no_file_larger_than(largest):
        for _ in range(2000):
            response = intake.send()
            if response.status_code != 200:
                break
            taken += 1
    _assert_refused(response)
    assert taken
    assert intake.kept() == taken
    assert intake.send().status_code == 200
    assert intake.kept() == taken + 1


@contextlib.contextmanager
def _no_file_larger_than(size: int) -> cabc.Iterator[None]:
    """As a quota does it: each write beyond fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


#: What a restart and a crash of PostgreSQL do is tested below.
BRIEF = [
    "SQLite, disk full",
    pytest.param("PostgreSQL, failed over", marks=pytest.mark.postgresql),
    pytest.param("PostgreSQL, read-only", marks=pytest.mark.postgresql),
    pytest.param("PostgreSQL, disk full", marks=pytest.mark.postgresql),
]


@pytest.mark.parametrize("name", BRIEF)
def test_what_a_database_could_not_take_is_refused_and_nothing_else(
    name: str, tmp_path: pathlib.Path, folder: pathlib.Path
) -> None:
    """With a pool full of connections: those which died cost no webhook, and nobody helps."""
    with _allowed(OUTAGES[name](folder)) as place, _app(place.url, tmp_path) as app:
        intake, taken = Intake(app), 0
        for _ in range(3):
            taken += _assert_taken(intake.send())
        place.begin()
        for _ in range(5000):  # A disk that is full has room in files that are there.
            response = intake.send()
            if response.status_code != 200:
                break
            taken += 1
        _assert_refused(response)
        place.end()
        taken += _assert_taken(intake.send())
        assert intake.kept() == taken


@pytest.mark.parametrize("trusting", [False, True], ids=["FULL", "NORMAL"])
def test_what_was_acknowledged_outlives_a_power_cut(trusting: bool, tmp_path: pathlib.Path) -> None:
    """A SQLite file on a disk that loses what was not synchronised.

    That it does shows with ``synchronous=NORMAL``, which we do not use.
    """
    with _allowed(Image(tmp_path)) as image:
        with _app(f"sqlite:///{image.path}/cut.sqlite3", tmp_path) as app:
            intake = Intake(app)
            if trusting:
                sa.event.listen(
                    intake.runtime.database.engine,
                    "checkout",
                    lambda connection, *_: connection.execute("PRAGMA synchronous=NORMAL"),
                )
            taken = sum(_assert_taken(intake.send()) for _ in range(20))
            image.cut()
            runtime_of(app).database.dispose()
            image.restore()
            assert (intake.kept() == taken) is not trusting


@contextlib.contextmanager
def _allowed(context: contextlib.AbstractContextManager[T]) -> cabc.Iterator[T]:
    """Skip where servers are missing, or nothing may be mounted."""
    with contextlib.ExitStack() as stack:
        try:
            entered = stack.enter_context(context)
        except servers.Missing as exc:
            if os.environ.get("CI") == "true" and "mounted" not in str(exc):
                raise
            pytest.skip(str(exc))
        yield entered


@contextlib.contextmanager
def _app(url: str, folder: pathlib.Path) -> cabc.Iterator[flask.Flask]:
    app = make_app(folder, TESTING=False, SQLALCHEMY_DATABASE_URI=url)
    upgrade.upgrade(runtime_of(app).database.engine)
    try:
        yield app
    finally:
        dispose(app)


def _assert_taken(response: t.Any) -> int:
    assert response.status_code == 200, response.text
    return 1


@pytest.fixture
def server(folder: pathlib.Path) -> cabc.Iterator[servers.Postgresql]:
    """A PostgreSQL of this test's own, which it may stop."""
    try:
        server = servers.Postgresql(folder / "postgresql")
    except servers.Missing as exc:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(exc))
    server.start()
    yield server
    server.stop()


@pytest.mark.postgresql
def test_a_server_that_restarts_costs_no_webhook(
    server: servers.Postgresql, tmp_path: pathlib.Path
) -> None:
    """While it is away a store is asked to come again; the first one after that is taken."""
    app = make_app(tmp_path, TESTING=False, SQLALCHEMY_DATABASE_URI=server.url)
    upgrade.upgrade(runtime_of(app).database.engine)
    intake = Intake(app)
    assert intake.send().status_code == 200
    for how in (signal.SIGINT, signal.SIGQUIT):
        server.stop(how)
        server.start()
        assert intake.send().status_code == 200, "the pool held a connection that had died"
    server.stop()
    _assert_refused(intake.send())
    _assert_refused(app.test_client().get(f"{PREFIX}/instances", headers=_somebody()))
    server.start()
    assert intake.send().status_code == 200
    assert intake.kept() == 4
    with runtime_of(app).database.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("ALTER DATABASE postgres SET default_transaction_read_only = on")
    runtime_of(app).database.engine.dispose()
    _assert_refused(intake.send())
    dispose(app)


def _somebody() -> dict[str, str]:
    return {"Authorization": "User nobody, Organization nowhere"}


@pytest.mark.postgresql
def test_an_outage_causes_no_second_delivery(
    server: servers.Postgresql, tmp_path: pathlib.Path
) -> None:
    """What a callback took while the database was away is written down when it is back.

    Leases end meanwhile; two other workers stand by and leave it alone.
    """
    with Installation(server.url, tmp_path, settings=QUICK).running() as stand:
        asked, answer = threading.Event(), threading.Event()

        def slow(_received: t.Any) -> int:
            asked.set()
            answer.wait(60)
            return 200

        stand.receiver.answer = slow
        workers = [stand.nursery.start("poll") for _ in range(3)]
        for _ in range(6):
            stand.act()
        stand.poll_now()
        assert asked.wait(30)
        wait_until(lambda: stand.free)
        server.stop()
        stand.engine.dispose()
        answer.set()
        outage = float(os.environ.get("CHAOS_OUTAGE", "4"))
        time.sleep(outage)  # Real processes: their leases, of a second, shall end.
        server.start()
        assert stand.verdict().clean
        with stand.database.read() as session:
            assert session.scalars(sa.select(Attempt.status_code).distinct()).all() == [200]
            assert session.get_one(Instance, stand.instance_id).lease_fence
        assert set(stand.came.values()) == {1}
        assert all(worker.alive for worker in workers)
        for worker in workers:
            worker.kill()
