"""``gunicorn --preload``, whose processes begin as copies of one that has used the database."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import contextlib
import os
import pathlib
import signal
import subprocess
import sys

import pytest
import requests
import sqlalchemy as sa

from benchmarks.intake_apps import PREFIX
from benchmarks.serving import wait_for
from flask_woo_events.db import upgrade
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Arrival
from flask_woo_events.instances import webhook_urls
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.values import crypto
from flask_woo_events.values.crypto import Cipher
from tests.integration import ledger_env
from tests.ports import reserve_port

WEBHOOKS = 80


@contextlib.contextmanager
def _gunicorn(url: str, key: str, log: pathlib.Path) -> cabc.Iterator[str]:
    """Serve the application with four processes, and yield its URL."""
    port = reserve_port()
    command = [
        sys.executable, "-m", "gunicorn", "--preload", "--bind", f"127.0.0.1:{port}",
        "--workers", "4", "--threads", "4", "tests.fault_injection.used_before_fork:make_app()",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "FLASK_SQLALCHEMY_DATABASE_URI": url,
        "FLASK_WOO_EVENTS_ENCRYPTION_KEYS": key,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}{PREFIX}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_every_webhook_is_stored(any_url: str, tmp_path: pathlib.Path) -> None:
    """No process uses a connection that another one uses, too."""
    engine, key = sa.create_engine(any_url), Cipher.generate_key()
    database = Database(engine)
    upgrade.upgrade(database.engine)
    hook = Hook(ledger_env.build(database).stream.instance_id, 1)
    secret = webhook_urls.secrets([key], hook)[-1].encode()
    with _gunicorn(any_url, key, tmp_path / "log") as root:

        def post(number: int) -> int:
            body = f'{{"id": {number}}}'.encode()
            headers = {
                "X-WC-Webhook-Topic": "order.updated",
                "X-WC-Webhook-Signature": crypto._hmac(secret, body),
            }
            address = webhook_urls.url(root, [key], hook)
            return requests.post(address, body, headers=headers, timeout=60).status_code

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(post, range(1, WEBHOOKS + 1)))
    assert answers == [200] * WEBHOOKS, (tmp_path / "log").read_text("utf-8", "replace")[-3000:]
    with database.read() as session:
        stored = set(session.scalars(sa.select(Arrival.object_id)))
    assert stored == set(range(1, WEBHOOKS + 1))
    database.dispose()
    engine.dispose()
