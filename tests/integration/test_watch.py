"""The watch: an outage of the intake is noticed, and what it lost is polled without waiting."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import pathlib
import shutil
import socket
import sqlite3
import threading
import time
import typing as t

import flask
import pytest
import sqlalchemy as sa
import werkzeug.serving

import flask_woo_events.db.database
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
from tests.integration.store_to_callback import Event, StoreToCallback, open_line

Make = cabc.Callable[..., StoreToCallback]


class _Quiet(werkzeug.serving.WSGIRequestHandler):
    def log_request(self, *what: object) -> None:
        """Not a word."""


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


class Intake:
    """The web process: up and down at one address, and as old as it is said to be."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._up = contextlib.ExitStack()
        #: Ages of the processes that answer in turn, seconds; the real one without them.
        self.ages: list[float] = []
        self.app: t.Any = None

    def start(self) -> None:
        self._up.enter_context(_serving(self._answer, self._port))

    def stop(self) -> None:
        self._up.close()

    def _answer(self, environ: t.Any, start: t.Any) -> t.Any:
        if self.ages:
            runtime_of(self.app).began = time.monotonic() - self.ages[0]
            self.ages = [*self.ages[1:], self.ages[0]]
        return self.app(environ, start)


def _page(environ: t.Any, start: t.Any) -> list[bytes]:
    start("200 OK", [("Content-Type", "text/html")])
    return [b"<!doctype html><title>Soon here</title>"]


class Ticks:
    """Seconds of the watch, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def intake() -> cabc.Iterator[Intake]:
    made = Intake()
    yield made
    made.stop()


@pytest.fixture
def make_line(tmp_path: pathlib.Path, tables: pathlib.Path, intake: Intake) -> cabc.Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def make(**how: t.Any) -> StoreToCallback:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            line = open_line("11.0", tmp_path, stack, hooked=True, public=intake.url, **how)
            intake.app = line.app
            return line

        yield make


@dataclasses.dataclass
class Post:
    """A worker that looks when it is told to, and polls only what is due."""

    line: StoreToCallback
    watch: Watch
    ticks: Ticks

    def look(self, seconds: float = 15.0) -> bool:
        """Let time pass and look; true when the instance is polled because of it."""
        self.ticks.now += seconds
        self.watch.check()
        return due_instances(runtime_of(self.line.app)) == [self.line.instance_id]

    def arrivals(self) -> set[Event]:
        """What the poll tells that is due now."""
        assert due_instances(runtime_of(self.line.app)) == [self.line.instance_id]
        told = self.line.arrivals()
        assert due_instances(runtime_of(self.line.app)) == []
        return told


@pytest.fixture
def line(make_line: Make) -> StoreToCallback:
    return make_line()


@pytest.fixture
def post(line: StoreToCallback) -> Post:
    ticks = Ticks()
    return Post(line, Watch(runtime_of(line.app), ticks), ticks)


def _keeper_of(app: flask.Flask) -> LeaseRenewer:
    runtime = runtime_of(app)
    return LeaseRenewer(runtime.database, runtime.clock, dt.timedelta(seconds=8))


def _lost(line: StoreToCallback, *quantities: int) -> set[Event]:
    """Change products while nobody takes their webhooks; tell which."""
    took, products = line.store.webhooks.send, sorted(line.store.truth("products"))
    line.store.webhooks.send = lambda *_: None
    for product, quantity in zip(products, quantities, strict=False):
        line.store.acts.stock(product, quantity)
        line.store.webhooks.run_queue()
    line.store.webhooks.send = took
    assert {row.status for row in line.store.shop.tables["webhooks"]} == {"active"}
    return {("products", str(one), "UPDATED") for one in products[: len(quantities)]}


@pytest.mark.parametrize("interval", ["60", "0"])
def test_short_outage(make_line: Make, intake: Intake, interval: str) -> None:
    """What three lost webhooks were about is told when the intake is back, at once."""
    line, ticks = make_line(**{"event.webhook.reconcile_interval": interval}), Ticks()
    post = Post(line, Watch(runtime_of(line.app), ticks), ticks)
    intake.start()
    assert post.look()
    assert post.arrivals() == set()
    webhooks.guard(runtime_of(line.app), _keeper_of(line.app), line.instance_id)
    assert not post.look()
    intake.stop()
    assert not post.look(60)
    lost = _lost(line, 3, 4, 5)
    assert not post.look()
    intake.start()
    assert webhooks.due(runtime_of(line.app)) == []
    assert post.look()
    # The store may have disabled them meanwhile.
    assert webhooks.due(runtime_of(line.app)) == [line.instance_id]
    assert post.arrivals() == lost


def test_guardian_at_work_is_left_alone(post: Post, intake: Intake) -> None:
    """Its lease says when the webhooks are due next."""
    runtime = runtime_of(post.line.app)
    lease = runtime.clock() + dt.timedelta(seconds=runtime.settings.lease_seconds)
    with runtime.database.write() as session:
        session.get_one(Instance, post.line.instance_id).hooks_due_at = lease
    intake.start()
    assert post.look()
    assert webhooks.due(runtime) == []


def test_webhooks_that_could_not_be_stored(
    make_line: Make, intake: Intake, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intake answers all the time and refuses what it cannot keep: that is polled as well."""
    monkeypatch.setattr(flask_woo_events.db.database, "SQLITE_BUSY_SECONDS", 0.05)
    line, ticks = make_line(**{"event.webhook.reconcile_interval": "0"}), Ticks()
    post = Post(line, Watch(runtime_of(line.app), ticks), ticks)
    intake.start()
    intake.ages = [500.0]
    assert post.look()
    post.arrivals()
    intake.ages = []
    product = line.first("products")
    line.store.acts.stock(product, 3)
    with contextlib.closing(sqlite3.connect(tmp_path / "host.sqlite3")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        line.store.webhooks.run_queue()
    assert {one.status for one in line.store.webhooks.log if one.topic} == {503}
    assert post.look(60)
    assert post.arrivals() == {("products", str(product), "UPDATED")}
    assert not post.look(60)


def test_restart_between_two_looks(post: Post, intake: Intake) -> None:
    """The web process is another one: what came in between reached nobody."""
    intake.start()
    intake.ages = [500.0]
    assert post.look()
    post.arrivals()
    intake.ages = [560.0]
    assert not post.look(60)
    lost = _lost(post.line, 3)
    intake.ages = [2.0]
    assert post.look()
    assert post.arrivals() == lost
    intake.ages = [17.0]
    assert not post.look()


def test_several_web_processes(post: Post, intake: Intake) -> None:
    """Two that answer in turn are no restart; one of them that is new is one."""
    intake.start()
    intake.ages = [500.0, 400.0]
    assert post.look()
    post.arrivals()
    assert [post.look(0.0) for _ in range(4)] == [False] * 4
    intake.ages = [600.0, 10.0]
    assert [post.look(30.0), post.look(30.0)] == [False, True]


def test_causes_of_one_minute_are_one_poll(post: Post, intake: Intake) -> None:
    """An intake that comes and goes has stores polled once a minute, then less often."""
    intake.start()
    intake.ages = [0.0]  # A new process at every look.
    polled = []
    for second in range(0, 1200, 15):
        if post.look():
            polled.append(second)
            post.arrivals()
    assert polled == [0, 60, 180, 420, 720, 1020]
    intake.ages = [100.0]
    post.look(0.0)
    lost = _lost(post.line, 9)
    intake.ages = [0.0]
    assert not post.look()
    intake.ages = [300.0]
    assert post.look(300.0)  # Later, but not never.
    assert post.arrivals() == lost


def test_never_reached(post: Post) -> None:
    """Where the worker's network does not lead to the intake, nothing follows but a word."""
    assert [post.look(60) for _ in range(5)] == [False] * 5
    output = post.line.app.test_cli_runner().invoke(args=["woo", "doctor"]).output
    assert "does not answer from here" in output
    assert "WOO_EVENTS_PUBLIC_URL" in output


def test_doctor_is_content(post: Post, intake: Intake) -> None:
    """When the intake answers, nothing is said of it."""
    intake.start()
    result = post.line.app.test_cli_runner().invoke(args=["woo", "doctor"])
    assert result.exit_code == 0, result.output


def test_page_of_a_proxy_is_not_the_intake(post: Post, intake: Intake) -> None:
    """Whatever answers 200 at the address without being us takes no webhooks."""
    app = post.line.app
    intake.app = _page
    intake.start()
    assert not post.look()
    assert reachability.seconds_up(runtime_of(app), f"{intake.url}{PREFIX}") is None


def test_poll_that_is_under_way(post: Post, intake: Intake) -> None:
    """It may have read before the change; so another one follows."""
    intake.start()
    post.look()
    runtime = runtime_of(post.line.app)
    lost: set[Event] = set()
    read = post.line.store.routes.answer

    def answer(*what: t.Any) -> t.Any:
        answered = read(*what)
        if not lost and "products" in str(what[1]):
            lost.update(_lost(post.line, 3))
            intake.stop()
            post.look(61)
            intake.start()
            post.look(0.0)
        return answered

    post.line.store.routes.answer = answer  # type: ignore[assignment, method-assign]
    told = post.line.arrivals()
    assert due_instances(runtime) == [post.line.instance_id]
    assert told | post.line.arrivals() == lost


def test_polling_instances_are_left_alone(post: Post, intake: Intake) -> None:
    """An outage of the intake is nothing to them."""
    other = post.line.api.create(**{"event.vendor.type": "polling", "name": "other"})["id"]
    Worker(runtime_of(post.line.app)).poll_once([other])
    intake.start()
    assert post.look()


def test_on_every_database(any_url: str, make_line: Make, intake: Intake) -> None:
    """The one statement that has stores polled does the same everywhere."""
    engine = sa.create_engine(any_url)
    upgrade.upgrade(engine)
    engine.dispose()
    line, ticks = make_line(SQLALCHEMY_DATABASE_URI=any_url), Ticks()
    post = Post(line, Watch(runtime_of(line.app), ticks), ticks)
    intake.start()
    assert post.look()
    assert post.arrivals() == set()
    assert not post.look()


def test_worker_watches(make_line: Make, intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running worker tells what an outage lost, of a store that is never polled otherwise."""
    monkeypatch.setattr(workers, "WATCH_EVERY", 0.05)
    line = make_line(**{"event.webhook.reconcile_interval": "0"})
    worker = Worker(runtime_of(line.app))
    thread = threading.Thread(target=worker.run)
    lost = _lost(line, 3, 4, 5)
    line.receiver.clear()
    thread.start()
    try:
        intake.start()
        seen = 0
        while set(line.receiver.events) != lost:
            assert line.receiver.wait_for(seen + 1, 30.0)
            seen = len(line.receiver.received)
    finally:
        worker.stop()
        thread.join()
