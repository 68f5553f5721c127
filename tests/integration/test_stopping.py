"""SIGTERM ends a worker in time, also while a store or a callback does not answer."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa

from flask_woo_events.db.clock import utc_now
from flask_woo_events.db.models import Configuration, Instance, Subscription
from flask_woo_events.settings import Settings
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import StoreToCallback
from tests.waiting import HANG_SECONDS

ROOT = pathlib.Path(__file__).parents[2]


def test_the_default_leaves_ten_seconds() -> None:
    """The rest is for threads that end, and for the interpreter."""
    assert Settings().stop_seconds <= 8


@contextlib.contextmanager
def _worker(env: StoreToCallback, folder: pathlib.Path) -> cabc.Iterator[subprocess.Popen[bytes]]:
    config = env.app.config
    environment = {
        "FLASK_SQLALCHEMY_DATABASE_URI": str(config["SQLALCHEMY_DATABASE_URI"]),
        "FLASK_WOO_EVENTS_ENCRYPTION_KEYS": json.dumps(config["WOO_EVENTS_ENCRYPTION_KEYS"]),
        "FLASK_WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS": "true",
        "FLASK_WOO_EVENTS_STOP_SECONDS": "0.5",
        "PYTHONPATH": str(ROOT),
    }
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "flask", "--app", "example_app", "woo", "poll"]
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _silent() -> cabc.Iterator[tuple[str, threading.Event]]:
    """Accept connections and answer nothing; the event is set at the first request."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(server.accept()[0])
                    if kept[-1].recv(1):
                        asked.set()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for one in kept:
                one.close()
            thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("who", ["store", "callback"])
def test_a_silent_peer_is_abandoned(env: StoreToCallback, tmp_path: pathlib.Path, who: str) -> None:
    """The process ends by itself, and what it had in hand is done by the next worker."""
    runtime, order = runtime_of(env.app), env.first("orders")
    env.store.acts.status(order, "completed")
    with _silent() as (url, asked):
        before = _connect(env, who, url)
        with _worker(env, tmp_path) as process:
            assert asked.wait(HANG_SECONDS)
            process.send_signal(signal.SIGTERM)
            assert process.wait(HANG_SECONDS) == 0
    assert "they are abandoned" in (tmp_path / "log").read_text()
    _connect(env, who, before)
    # The leases of the process have ended by then.
    runtime.clock = lambda: utc_now() + dt.timedelta(minutes=1)
    assert ("orders", str(order), "UPDATED") in env.arrivals()


def _connect(env: StoreToCallback, who: str, url: str) -> str:
    """Set the address of the store or of the callback; return the one before."""
    with runtime_of(env.app).database.write() as session:
        session.execute(sa.update(Instance).values(next_poll_at=utc_now(), regular_poll_at=None))
        if who == "store":
            store = sa.select(Configuration).where(Configuration.key == "store.url")
            row = session.scalars(store).one()
            before, row.value = row.value, url
        else:
            callback = session.scalars(sa.select(Subscription)).one()
            before, callback.url = callback.url, url
        return before
