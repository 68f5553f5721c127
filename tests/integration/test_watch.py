"""Reachability: after an outage of the web process, the lost webhooks' changes are polled."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import pathlib
import shutil
import sqlite3
import threading
import time
import typing as t

import flask
import pytest
import sqlalchemy as sa
import werkzeug.serving

import flask_woo_events.db.engines
from flask_woo_events.db import upgrade
from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.db.models import Instance
from flask_woo_events.instances import webhooks
from flask_woo_events.sync.instance_poll import due_instances
from flask_woo_events.sync.webhooks import reachability
from flask_woo_events.sync.webhooks.reachability import Watch
from flask_woo_events.worker import worker as workers
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import PREFIX, runtime_of
from tests.integration.store_to_callback import Event, StoreToCallback, open_env
from tests.ports import reserve_port
from tests.waiting import HANG_SECONDS

Make = cabc.Callable[..., StoreToCallback]


class _Quiet(werkzeug.serving.WSGIRequestHandler):
    def log_request(self, *what: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def _serving(app: t.Any, port: int) -> cabc.Iterator[None]:
    server = werkzeug.serving.make_server(
        "127.0.0.1", port, app, threaded=True, request_handler=_Quiet
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class WebProcess:
    """The web process at one address, started and stopped by a test, with a chosen uptime."""

    def __init__(self) -> None:
        self._port = reserve_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._up = contextlib.ExitStack()
        #: Uptimes of the processes that respond in turn, in seconds; empty for the real one.
        self.uptimes: list[float] = []
        self.app: t.Any = None

    def start(self) -> None:
        self._up.enter_context(_serving(self._answer, self._port))

    def stop(self) -> None:
        self._up.close()

    def _answer(self, environ: t.Any, start: t.Any) -> t.Any:
        if self.uptimes:
            runtime_of(self.app).began = time.monotonic() - self.uptimes[0]
            self.uptimes = [*self.uptimes[1:], self.uptimes[0]]
        return self.app(environ, start)


def _page(environ: t.Any, start: t.Any) -> list[bytes]:
    start("200 OK", [("Content-Type", "text/html")])
    return [b"<!doctype html><title>Soon here</title>"]


class Ticks:
    """The watch's clock in seconds, moved by a test."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def web_process() -> cabc.Iterator[WebProcess]:
    made = WebProcess()
    yield made
    made.stop()


@pytest.fixture
def make_env(
    tmp_path: pathlib.Path, tables: pathlib.Path, web_process: WebProcess
) -> cabc.Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def make(**how: t.Any) -> StoreToCallback:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            env = open_env("11.0", tmp_path, stack, hooked=True, public=web_process.url, **how)
            web_process.app = env.app
            return env

        yield make


@dataclasses.dataclass
class WatchEnv:
    """A worker that checks when a test wants it, and polls only what is due."""

    env: StoreToCallback
    watch: Watch
    ticks: Ticks

    def check(self, seconds: float = 15.0) -> bool:
        """Let time pass and check; return whether a poll became due."""
        self.ticks.now += seconds
        self.watch.check()
        return due_instances(runtime_of(self.env.app)) == [self.env.instance_id]

    def arrivals(self) -> set[Event]:
        """Return the events of the poll that is due now."""
        assert due_instances(runtime_of(self.env.app)) == [self.env.instance_id]
        emitted = self.env.arrivals()
        assert due_instances(runtime_of(self.env.app)) == []
        return emitted


@pytest.fixture
def env(make_env: Make) -> StoreToCallback:
    return make_env()


@pytest.fixture
def watching(env: StoreToCallback) -> WatchEnv:
    ticks = Ticks()
    return WatchEnv(env, Watch(runtime_of(env.app), ticks), ticks)


def _renewer_of(app: flask.Flask) -> LeaseRenewer:
    runtime = runtime_of(app)
    return LeaseRenewer(runtime.database, runtime.clock, dt.timedelta(seconds=8))


def _lost(env: StoreToCallback, *quantities: int) -> set[Event]:
    """Change products while their webhooks are lost; return the events to expect."""
    send, products = env.store.webhooks.send, sorted(env.store.truth("products"))
    env.store.webhooks.send = lambda *_: None
    for product, quantity in zip(products, quantities, strict=False):
        env.store.acts.stock(product, quantity)
        env.store.webhooks.run_queue()
    env.store.webhooks.send = send
    assert {row.status for row in env.store.shop.tables["webhooks"]} == {"active"}
    return {("products", str(one), "UPDATED") for one in products[: len(quantities)]}


@pytest.mark.parametrize("interval", ["60", "0"])
def test_short_outage(make_env: Make, web_process: WebProcess, interval: str) -> None:
    """Changes of three lost webhooks are polled as soon as the web process is back."""
    env, ticks = make_env(**{"event.webhook.reconcile_interval": interval}), Ticks()
    watching = WatchEnv(env, Watch(runtime_of(env.app), ticks), ticks)
    web_process.start()
    assert watching.check()
    assert watching.arrivals() == set()
    webhooks.guard(runtime_of(env.app), _renewer_of(env.app), env.instance_id)
    assert not watching.check()
    web_process.stop()
    assert not watching.check(60)
    lost = _lost(env, 3, 4, 5)
    assert not watching.check()
    web_process.start()
    assert webhooks.due(runtime_of(env.app)) == []
    assert watching.check()
    # The store may have disabled them meanwhile.
    assert webhooks.due(runtime_of(env.app)) == [env.instance_id]
    assert watching.arrivals() == lost


def test_running_reconciliation_is_not_disturbed(
    watching: WatchEnv, web_process: WebProcess
) -> None:
    """A reconciliation that holds its lease is not made due."""
    runtime = runtime_of(watching.env.app)
    lease = runtime.clock() + dt.timedelta(seconds=runtime.settings.lease_seconds)
    with runtime.database.write() as session:
        session.get_one(Instance, watching.env.instance_id).hooks_due_at = lease
    web_process.start()
    assert watching.check()
    assert webhooks.due(runtime) == []


def test_webhooks_that_could_not_be_stored(
    make_env: Make, web_process: WebProcess, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Webhooks that were answered with 503, since the database was locked, are polled for."""
    monkeypatch.setattr(flask_woo_events.db.engines, "SQLITE_BUSY_SECONDS", 0.05)
    env, ticks = make_env(**{"event.webhook.reconcile_interval": "0"}), Ticks()
    watching = WatchEnv(env, Watch(runtime_of(env.app), ticks), ticks)
    web_process.start()
    web_process.uptimes = [500.0]
    assert watching.check()
    watching.arrivals()
    web_process.uptimes = []
    product = env.first("products")
    env.store.acts.stock(product, 3)
    with contextlib.closing(sqlite3.connect(tmp_path / "host.sqlite3")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        env.store.webhooks.run_queue()
    assert {one.status for one in env.store.webhooks.log if one.topic} == {503}
    assert watching.check(60)
    assert watching.arrivals() == {("products", str(product), "UPDATED")}
    assert not watching.check(60)


def test_restart_between_two_checks(watching: WatchEnv, web_process: WebProcess) -> None:
    """A new web process at the address means that webhooks may be lost."""
    web_process.start()
    web_process.uptimes = [500.0]
    assert watching.check()
    watching.arrivals()
    web_process.uptimes = [560.0]
    assert not watching.check(60)
    lost = _lost(watching.env, 3)
    web_process.uptimes = [2.0]
    assert watching.check()
    assert watching.arrivals() == lost
    web_process.uptimes = [17.0]
    assert not watching.check()


def test_several_web_processes(watching: WatchEnv, web_process: WebProcess) -> None:
    """Two processes that respond in turn are no restart, until one of them is new."""
    web_process.start()
    web_process.uptimes = [500.0, 400.0]
    assert watching.check()
    watching.arrivals()
    assert [watching.check(0.0) for _ in range(4)] == [False] * 4
    web_process.uptimes = [600.0, 10.0]
    assert [watching.check(30.0), watching.check(30.0)] == [False, True]


def test_repeated_outages_are_polled_less_often(
    watching: WatchEnv, web_process: WebProcess
) -> None:
    """Repeated outages cause a poll a minute, then fewer."""
    web_process.start()
    web_process.uptimes = [0.0]  # A new process at every check.
    polled = []
    for second in range(0, 1200, 15):
        if watching.check():
            polled.append(second)
            watching.arrivals()
    assert polled == [0, 60, 180, 420, 720, 1020]
    web_process.uptimes = [100.0]
    watching.check(0.0)
    lost = _lost(watching.env, 9)
    web_process.uptimes = [0.0]
    assert not watching.check()
    web_process.uptimes = [300.0]
    assert watching.check(300.0)
    assert watching.arrivals() == lost


def test_never_reached(watching: WatchEnv) -> None:
    """If the worker cannot reach the address at all, only the doctor reports it."""
    assert [watching.check(60) for _ in range(5)] == [False] * 5
    output = watching.env.app.test_cli_runner().invoke(args=["woo", "doctor"]).output
    assert "does not respond from here" in output
    assert "WOO_EVENTS_PUBLIC_URL" in output


def test_doctor_finds_nothing(watching: WatchEnv, web_process: WebProcess) -> None:
    """The doctor reports nothing about an address that responds."""
    web_process.start()
    result = watching.env.app.test_cli_runner().invoke(args=["woo", "doctor"])
    assert result.exit_code == 0, result.output


def test_page_of_a_proxy_does_not_count(watching: WatchEnv, web_process: WebProcess) -> None:
    """A page with status 200 that is not ours counts as unreachable."""
    app = watching.env.app
    web_process.app = _page
    web_process.start()
    assert not watching.check()
    assert reachability.seconds_up(runtime_of(app), f"{web_process.url}{PREFIX}") is None


def test_running_poll(watching: WatchEnv, web_process: WebProcess) -> None:
    """A running poll may have read before the change, so another one follows."""
    web_process.start()
    watching.check()
    runtime = runtime_of(watching.env.app)
    lost: set[Event] = set()
    read = watching.env.store.routes.answer

    def answer(*what: t.Any) -> t.Any:
        answered = read(*what)
        if not lost and "products" in str(what[1]):
            lost.update(_lost(watching.env, 3))
            web_process.stop()
            watching.check(61)
            web_process.start()
            watching.check(0.0)
        return answered

    watching.env.store.routes.answer = answer  # type: ignore[assignment, method-assign]
    emitted = watching.env.arrivals()
    assert due_instances(runtime) == [watching.env.instance_id]
    assert emitted | watching.env.arrivals() == lost


def test_polling_instances_are_not_concerned(watching: WatchEnv, web_process: WebProcess) -> None:
    """An outage causes no poll of an instance without webhooks."""
    other = watching.env.api.create(**{"event.vendor.type": "polling", "name": "other"})["id"]
    Worker(runtime_of(watching.env.app)).poll_once([other])
    web_process.start()
    assert watching.check()


def test_on_every_database(any_url: str, make_env: Make, web_process: WebProcess) -> None:
    """A check brings polls forward on every database."""
    engine = sa.create_engine(any_url)
    upgrade.upgrade(engine)
    engine.dispose()
    env, ticks = make_env(SQLALCHEMY_DATABASE_URI=any_url), Ticks()
    watching = WatchEnv(env, Watch(runtime_of(env.app), ticks), ticks)
    web_process.start()
    assert watching.check()
    assert watching.arrivals() == set()
    assert not watching.check()


def test_worker_watches(
    make_env: Make, web_process: WebProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running worker finds lost changes of a store without regular polls."""
    monkeypatch.setattr(workers, "WATCH_EVERY", 0.05)
    env = make_env(**{"event.webhook.reconcile_interval": "0"})
    worker = Worker(runtime_of(env.app))
    thread = threading.Thread(target=worker.run)
    lost = _lost(env, 3, 4, 5)
    env.receiver.clear()
    thread.start()
    try:
        web_process.start()
        seen = 0
        while set(env.receiver.events) != lost:
            assert env.receiver.wait_for(seen + 1, HANG_SECONDS)
            seen = len(env.receiver.received)
    finally:
        worker.stop()
        thread.join()
