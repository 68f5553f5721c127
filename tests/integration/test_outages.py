"""A database that is unreachable, locked, full or read-only: nothing is lost, no answer is 500."""

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

import flask_woo_events.db.engines
from flask_woo_events.db import upgrade
from flask_woo_events.db.models import Arrival, Attempt, Instance
from flask_woo_events.instances import webhook_urls
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.values import crypto
from tests import servers
from tests.fault_injection.failing_databases import Image
from tests.fault_injection.installation import Installation
from tests.fault_injection.kill_series import QUICK
from tests.fault_injection.outages import OUTAGES
from tests.integration.host_app import PREFIX, Api, add_account, dispose, make_app, runtime_of
from tests.integration.ledger_env import build
from tests.waiting import HANG_SECONDS, wait_until

T = t.TypeVar("T")
BODY = b'{"id":7,"status":"processing"}'


class Intake:
    """An application that receives the webhooks of one instance."""

    def __init__(self, app: flask.Flask) -> None:
        self.app, self.runtime = app, runtime_of(app)
        instance_id = build(self.runtime.database).stream.instance_id
        keys, hook = self.runtime.settings.encryption_keys, Hook(instance_id, 1)
        self._path = f"{PREFIX}{webhook_urls.PATH}/{webhook_urls.sign(keys, hook)}"
        self._secret = webhook_urls.secrets(keys, hook)[-1]

    def send(self, app: flask.Flask | None = None) -> t.Any:
        """Send a webhook; return the response."""
        signature = crypto._hmac(self._secret.encode(), BODY)
        headers = {"X-WC-Webhook-Topic": "order.updated", "X-WC-Webhook-Signature": signature}
        client = (app or self.app).test_client()
        return client.post(self._path, data=BODY, headers=headers)

    def kept(self) -> int:
        """Return how many webhooks are in the database."""
        with self.runtime.database.read() as session:
            return session.scalars(sa.select(sa.func.count()).select_from(Arrival)).one()


@pytest.fixture
def intake(app: flask.Flask) -> Intake:
    """Return an intake on a SQLite file."""
    app.config["TESTING"] = False
    return Intake(app)


def _assert_refused(response: t.Any) -> None:
    assert response.status_code == 503, response.text
    assert int(response.headers["Retry-After"]) > 0
    assert set(response.json) == {"message", "requestId"}


@pytest.fixture
def folder() -> cabc.Iterator[pathlib.Path]:
    """Create a folder that the servers' own users may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="woo-server-", ignore_cleanup_errors=True) as path:
        yield pathlib.Path(path)


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> cabc.Iterator[None]:
    """Hold the write lock of the file in another connection."""
    with contextlib.closing(sqlite3.connect(folder / "host.sqlite3")) as connection:
        connection.isolation_level = None
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_webhooks_wait_for_a_lock(intake: Intake, tmp_path: pathlib.Path) -> None:
    """While another process writes, webhooks wait and are accepted."""
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


def test_a_stored_webhook_is_answered_200(intake: Intake) -> None:
    """Also if the thread that would process it cannot be woken; the next check finds it."""

    def fail(work: object) -> None:
        raise RuntimeError("can't start new thread")

    woken = list[object]()
    intake.runtime.database.listeners += [fail, woken.append]
    assert intake.send().status_code == 200
    assert intake.kept() == len(woken) == 1


def test_a_long_lock_is_answered_503(
    intake: Intake, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store must send it again; only stored webhooks are answered 200."""
    monkeypatch.setattr(flask_woo_events.db.engines, "SQLITE_BUSY_SECONDS", 0.2)
    impatient = make_app(
        tmp_path, TESTING=False, WOO_EVENTS_ENCRYPTION_KEYS=intake.runtime.settings.encryption_keys
    )
    with _locked(tmp_path):
        _assert_refused(intake.send(impatient))
    assert intake.kept() == 0
    assert intake.send(impatient).status_code == 200
    dispose(impatient)


def test_a_read_only_file(intake: Intake, tmp_path: pathlib.Path) -> None:
    """Webhooks and changes are refused; reading works."""
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


def test_a_full_disk(intake: Intake, tmp_path: pathlib.Path) -> None:
    """Acknowledged webhooks are stored; others are refused until there is space."""
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
    """Make writes beyond a size fail, as a quota does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


#: A restart and a crash of PostgreSQL are tested below.
BRIEF = [
    "SQLite, disk full",
    pytest.param("PostgreSQL, failed over", marks=pytest.mark.postgresql),
    pytest.param("PostgreSQL, read-only", marks=pytest.mark.postgresql),
    pytest.param("PostgreSQL, disk full", marks=pytest.mark.postgresql),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", BRIEF)
def test_webhooks_are_refused_only_during_an_outage(
    name: str, tmp_path: pathlib.Path, folder: pathlib.Path
) -> None:
    """Also with a pool of connections that died, and without help."""
    with _allowed(OUTAGES[name](folder)) as database, _app(database.url, tmp_path) as app:
        intake, taken = Intake(app), 0
        for _ in range(3):
            taken += _assert_taken(intake.send())
        database.begin()
        for _ in range(5000):  # A full disk has space in existing files.
            response = intake.send()
            if response.status_code != 200:
                break
            taken += 1
        _assert_refused(response)
        database.end()
        taken += _assert_taken(intake.send())
        assert intake.kept() == taken


@pytest.mark.slow
@pytest.mark.power_cut
@pytest.mark.parametrize("synchronous_normal", [False, True], ids=["FULL", "NORMAL"])
def test_acknowledged_webhooks_survive_a_power_cut(
    synchronous_normal: bool, tmp_path: pathlib.Path
) -> None:
    """A SQLite file on a disk that loses what was not synchronised.

    ``synchronous=NORMAL``, which the package does not use, shows that the disk does.
    """
    with _allowed(Image(tmp_path)) as image:
        with _app(f"sqlite:///{image.path}/cut.sqlite3", tmp_path) as app:
            intake = Intake(app)
            if synchronous_normal:
                sa.event.listen(
                    intake.runtime.database.engine,
                    "checkout",
                    lambda connection, *_: connection.execute("PRAGMA synchronous=NORMAL"),
                )
            taken = sum(_assert_taken(intake.send()) for _ in range(20))
            image.cut()
            runtime_of(app).database.dispose()
            image.restore()
            assert (intake.kept() == taken) is not synchronous_normal


@contextlib.contextmanager
def _allowed(context: contextlib.AbstractContextManager[T]) -> cabc.Iterator[T]:
    """Enter a context; skip where servers are missing, or mounting is not allowed."""
    with contextlib.ExitStack() as stack:
        try:
            entered = stack.enter_context(context)
        except servers.UnavailableError as exc:
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
    """Start a PostgreSQL that the test may stop."""
    server = servers.require(lambda: servers.Postgresql(folder / "postgresql"))
    server.start()
    yield server
    server.stop()


@pytest.mark.postgresql
def test_a_server_that_restarts_costs_no_webhook(
    server: servers.Postgresql, tmp_path: pathlib.Path
) -> None:
    """While it is down webhooks get 503; the first one after that is accepted."""
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
    _assert_refused(app.test_client().get(f"{PREFIX}/instances", headers=_other_user()))
    server.start()
    assert intake.send().status_code == 200
    assert intake.kept() == 4
    with runtime_of(app).database.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql("ALTER DATABASE postgres SET default_transaction_read_only = on")
    runtime_of(app).database.engine.dispose()
    _assert_refused(intake.send())
    dispose(app)


def _other_user() -> dict[str, str]:
    return {"Authorization": "User nobody, Organization nowhere"}


@pytest.mark.postgresql
def test_an_outage_causes_no_second_delivery(
    server: servers.Postgresql, tmp_path: pathlib.Path
) -> None:
    """A delivery during the outage is written when the database is back.

    Leases end meanwhile; two other idle workers do not repeat the delivery.
    """
    with Installation(server.url, tmp_path, settings=QUICK).running() as installation:
        asked, answer = threading.Event(), threading.Event()

        def slow(_received: t.Any) -> int:
            asked.set()
            answer.wait(HANG_SECONDS)
            return 200

        installation.receiver.answer = slow
        workers = [installation.spawner.start_worker("poll") for _ in range(3)]
        for _ in range(6):
            installation.change_store()
        installation.poll_now()
        assert asked.wait(HANG_SECONDS)
        wait_until(lambda: installation.idle)
        server.stop()
        installation.engine.dispose()
        answer.set()
        outage = float(os.environ.get("CHAOS_OUTAGE", "4"))
        time.sleep(outage)  # Real processes: their leases of one second must end.
        server.start()
        assert installation.verdict().clean
        with installation.database.read() as session:
            assert session.scalars(sa.select(Attempt.status_code).distinct()).all() == [200]
            assert session.get_one(Instance, installation.instance_id).lease_fence
        assert set(installation.received_counts.values()) == {1}
        assert all(worker.alive for worker in workers)
        for worker in workers:
            worker.kill()
