"""Threads of the web server: stores that do not answer hold few, and webhooks get the others."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import flask
import pytest
import requests
import sqlalchemy as sa

from benchmarks.serving import wait_for
from flask_woo_events.db.models import Arrival
from flask_woo_events.instances import webhook_urls
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.values import crypto
from flask_woo_events.values.crypto import Cipher
from tests.integration import ledger_env
from tests.integration.host_app import (
    PREFIX,
    Account,
    Api,
    StubStore,
    add_account,
    body_for,
    dispose,
    make_app,
    runtime_of,
)
from tests.ports import reserve_port
from tests.raw_server import Connection, RawServer, serve_raw
from tests.waiting import HANG_SECONDS, wait_until

#: Threads of the one process, and the calls that it may make: by default 6, 4 of an organization.
THREADS, CALLS, CALLS_OF_ONE = 8, 6, 4
REQUESTS = 16


def drip(connection: Connection) -> None:
    """Answer one byte after the other, so that no time-out between two bytes ends it."""
    connection.read()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    connection.send_slowly(b" " * 100_000, 0.2)


@contextlib.contextmanager
def gunicorn(environment: dict[str, str], log: pathlib.Path) -> cabc.Iterator[str]:
    """Serve the application with one process, and yield its URL."""
    port = reserve_port()
    command = [
        sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1",
        "--threads", str(THREADS), "benchmarks.intake_apps:make_app()",
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **{f"FLASK_{name}": one for name, one in environment.items()}},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def dripping() -> cabc.Iterator[RawServer]:
    with serve_raw(drip) as server:
        yield server


def check_that_it_answers(base: str, key: str, hook: Hook) -> None:
    """Check that health checks and genuine webhooks are accepted."""
    body = b'{"id": 7}'
    secret = webhook_urls.secrets([key], hook)[-1].encode()
    signed = {
        "X-WC-Webhook-Topic": "order.updated",
        "X-WC-Webhook-Signature": crypto._hmac(secret, body),
    }
    for _ in range(3):
        assert requests.get(f"{base}/healthz", timeout=HANG_SECONDS).ok
        address = webhook_urls.url(base, [key], hook)
        assert requests.post(address, body, headers=signed, timeout=HANG_SECONDS).ok


def test_webhooks_and_health_checks_are_answered_while_stores_drip(
    tmp_path: pathlib.Path, tables: pathlib.Path
) -> None:
    """Two organizations connect dripping stores with more requests than there are threads."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    key = Cipher.generate_key()
    app = make_app(tmp_path, WOO_EVENTS_ENCRYPTION_KEYS=[key])
    callers = [add_account(app, name, name).headers for name in ("ann", "bob")]
    database = runtime_of(app).database
    hook = Hook(ledger_env.build(database).stream.instance_id, 1)
    environment = {
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path}/host.sqlite3",
        "WOO_EVENTS_ENCRYPTION_KEYS": key,
        "WOO_EVENTS_ALLOW_PRIVATE_STORES": "true",
        # Longer than the test: the stores end their answers.
        "WOO_EVENTS_WEB_CALL_SECONDS": str(HANG_SECONDS),
        "WOO_EVENTS_STORE_TOTAL_TIMEOUT": str(HANG_SECONDS),
    }
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(gunicorn(environment, tmp_path / "log"))
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(2 * REQUESTS))
        store = stack.enter_context(serve_raw(drip))

        def connect(headers: dict[str, str]) -> requests.Response:
            body = body_for(store.url)
            url = f"{root}{PREFIX}/instances"
            return requests.post(url, json=body, headers=headers, timeout=HANG_SECONDS)

        def settled(those: list[concurrent.futures.Future[requests.Response]]) -> int:
            return sum(one.done() for one in those)

        anns = [pool.submit(connect, callers[0]) for _ in range(REQUESTS)]
        wait_until(lambda: settled(anns) == REQUESTS - CALLS_OF_ONE)
        bobs = [pool.submit(connect, callers[1]) for _ in range(REQUESTS)]
        wait_until(lambda: settled(bobs) == REQUESTS - (CALLS - CALLS_OF_ONE))
        wait_until(lambda: store.connections == CALLS)

        check_that_it_answers(f"{root}{PREFIX}", key, hook)
        # All this while the other requests hang.
        assert settled(anns) + settled(bobs) == 2 * REQUESTS - CALLS
        answers = [one.result().json() for one in (*anns, *bobs) if one.done()]
        assert {one["state"] for one in answers} == {"connecting"}
        assert all(one["token"] and one["problems"] for one in answers)
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count(Arrival.id))) == 3
    dispose(app)


def test_store_that_drips_beyond_the_limit_is_connecting(
    tmp_path: pathlib.Path, tables: pathlib.Path, dripping: RawServer
) -> None:
    """One request has one limit for all its calls, and is answered with the documented body."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    app = make_app(tmp_path, WOO_EVENTS_WEB_CALL_SECONDS=0.3)
    api = Api(app.test_client(), add_account(app, "ann", "acme").headers, dripping.url)
    created = api.create()
    assert created["state"] == "connecting" and created["token"]
    assert [one["code"] for one in created["problems"]] == ["connecting"]
    path = f"/instances/{created['id']}"
    secret = {"configuration": {"oauth.api.secret": "cs_another"}}
    assert api.call("PATCH", path, secret).json["state"] == "connecting"
    assert api.call("PATCH", path, {"name": "renamed"}).json["name"] == "renamed"
    assert dripping.connections == 2  # A name does not concern the store.
    dispose(app)


def test_hub_is_bounded_too(
    app: flask.Flask, account: Account, api: Api, store_server: StubStore
) -> None:
    """A call of the store proxy beyond the bound is answered 429, and is not sent."""
    token = account.element(api.create()["token"])
    calls, store_server.asked[:] = runtime_of(app).web_calls, []
    with contextlib.ExitStack() as stack:
        for _ in range(CALLS_OF_ONE):
            stack.enter_context(calls.limited(1))
        refused = api.call("GET", "/orders", headers=token)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert not store_server.asked
    assert api.call("GET", "/orders", headers=token).status_code == 200
