"""Behind PgBouncer in transaction mode, where each transaction may get another server session."""

from __future__ import annotations

import collections.abc as cabc
import pathlib
import tempfile

import pytest
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.settings import read_settings
from flask_woo_events.simulation.loss_suite.harness import CrashableDatabase
from flask_woo_events.values.crypto import Cipher
from tests import servers
from tests.model.history_env import ACTS, HistoryEnv

pytestmark = [pytest.mark.slow, pytest.mark.postgresql]


@pytest.fixture(scope="module")
def pooled_url() -> cabc.Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="woo-pgbouncer-", ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        server = servers.require(lambda: servers.Postgresql(folder / "postgresql"))
        pooler = servers.require(lambda: servers.Pgbouncer(folder / "pgbouncer", server.port))
        try:
            server.start()
            pooler.start()
            yield pooler.url
        finally:
            pooler.stop()
            server.stop()


@pytest.fixture
def pooled(pooled_url: str) -> cabc.Iterator[CrashableDatabase]:
    """Yield our tables behind PgBouncer; the application leaves psycopg's settings as they are."""
    engine = sa.create_engine(pooled_url)
    database = CrashableDatabase(engine)
    upgrade.upgrade(database.engine)
    yield database
    engine.dispose()


def test_a_history_arrives_complete(pooled: CrashableDatabase) -> None:
    """Polls find every change once, with the connections that other threads use, too."""
    settings = read_settings(
        {"WOO_EVENTS_ENCRYPTION_KEYS": [Cipher.generate_key()], "WOO_EVENTS_POLL_PAGE_SIZE": 5}
    )
    env = HistoryEnv(settings, pooled, "11.0")
    for value, name in enumerate(sorted(ACTS) * 2):
        env.act((name, value, value))
        if value % 5 == 0:
            assert not [one.error for one in env.poll() if one.error]
    env.converge(12)


def test_limits_stay_in_our_transactions(pooled: CrashableDatabase, pooled_url: str) -> None:
    """The sessions of the server, which other clients get next, keep their settings."""
    shown = sa.text("SHOW idle_in_transaction_session_timeout")
    for _ in range(4):
        with pooled.write() as session:
            assert session.scalar(shown) == "10s"
    engine = sa.create_engine(pooled_url, poolclass=sa.pool.NullPool)
    for _ in range(4):
        with engine.connect() as connection:
            assert connection.scalar(shown) == "0"
