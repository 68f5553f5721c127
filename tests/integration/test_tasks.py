"""The Celery tasks: with real workers and a real broker, both killed."""

from __future__ import annotations

import collections.abc as cabc
import pathlib
import threading

import celery
import pytest
from kombu.transport import memory

from flask_woo_events import Flask
from flask_woo_events.db.database import Work
from flask_woo_events.errors import ConfigurationError
from flask_woo_events.worker.celery_tasks import QUEUES, beat_schedule, init_celery, make_celery
from tests import servers
from tests.conftest import BACKENDS
from tests.fault_injection import kills
from tests.fault_injection.installation import Installation
from tests.fault_injection.kill_series import QUICK
from tests.fault_injection.server_processes import Intake, ServerProcesses
from tests.integration.host_app import runtime_of
from tests.ports import reserve_port
from tests.waiting import HANG_SECONDS, wait_until


@pytest.fixture
def redis() -> cabc.Iterator[servers.Redis]:
    """Start a broker."""
    server = servers.require(servers.Redis)
    server.start()
    yield server
    server.kill()


@pytest.mark.slow
@pytest.mark.parametrize("any_url", BACKENDS[1:2], indirect=True)
def test_killed_workers_and_a_killed_broker_lose_nothing(
    any_url: str, tmp_path: pathlib.Path, redis: servers.Redis
) -> None:
    """The next check replaces messages that are lost with the broker or a worker.

    ``make chaos`` does the same on SQLite.
    """
    port = reserve_port()
    intake, public = Intake(port), f"http://127.0.0.1:{port}"
    with Installation(
        any_url, tmp_path, seed=3, public=public, settings=QUICK
    ).running() as installation:
        processes = ServerProcesses(installation.environment, redis, tmp_path)
        try:
            outcome = kills.with_celery(installation, processes, redis, intake, 3)
        finally:
            processes.end()
        assert outcome.wrong == [], outcome.log
        assert outcome.events


def test_a_commit_sends_a_message(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a beat a commit with work sends a message, several commits send one."""
    # The process has one broker of this kind, with what other tests have sent.
    monkeypatch.setattr(memory.Channel, "queues", {})
    app.config["CELERY"] = {"broker_url": "memory://"}
    made = make_celery(app)
    for _ in range(5):
        runtime_of(app).database.notify(Work.DELIVERIES)
    runtime_of(app).database.notify(Work.ARRIVALS)

    def waiting(queue: str) -> int:
        with made.connection_for_read() as connection:
            return int(connection.default_channel._size(queue))  # type: ignore[attr-defined]

    wait_until(lambda: waiting("woo_deliver") >= 1 and waiting("woo_settle") >= 1)
    assert waiting("woo_deliver") <= 2
    assert waiting("woo_poll") == 0


def test_an_unreachable_broker_delays_no_commit(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit does not wait for the broker."""
    sending, available = threading.Event(), threading.Event()

    def send_task(*_args: object, **_options: object) -> None:
        sending.set()
        available.wait(HANG_SECONDS)

    made = make_celery(app)
    monkeypatch.setattr(made, "send_task", send_task)
    runtime_of(app).database.notify(Work.DELIVERIES)  # It returns while the broker is away.
    assert sending.wait(HANG_SECONDS)
    available.set()


def test_celery_needs_the_extension() -> None:
    """Without the extension the tasks are refused."""
    with pytest.raises(ConfigurationError):
        init_celery(celery.Celery("bare"), Flask("bare"))


def test_each_scheduled_task_has_a_queue() -> None:
    """The beat sends only tasks that have a queue."""
    assert {entry["task"] for entry in beat_schedule().values()} <= set(QUEUES)
