"""The database's clock: leases hold on machines whose clocks differ."""

from __future__ import annotations

import datetime as dt
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db import clock as clocks
from flask_woo_events.db.clock import READ_EVERY, DatabaseClock, utc_now
from flask_woo_events.db.database import Database
from flask_woo_events.db.leases import claim_instance
from flask_woo_events.db.models import Delivery, Instance
from flask_woo_events.delivery import claims
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.sync.instance_poll import due_instances
from flask_woo_events.values.crypto import Cipher
from tests.conftest import BACKENDS
from tests.integration.ledger_env import LedgerEnv, build

LEASE = dt.timedelta(seconds=10)
APART = dt.timedelta(minutes=5)


def _machine(database: Database, off: dt.timedelta) -> Runtime:
    """Return a machine with a wrong clock, on the same database."""
    here = Database(database.engine)
    here.clock = DatabaseClock(
        database.engine.dialect.name, database.engine.connect, own=lambda: utc_now() + off
    )
    return Runtime(Settings(encryption_keys=(Cipher.generate_key(),)), here)


@pytest.fixture
def ledger_env(any_database: Database) -> LedgerEnv:
    """Return a due instance and a due delivery, on a server with a clock."""
    if any_database.engine.dialect.name == "sqlite":
        pytest.skip("a SQLite file has one machine")
    ledger_env = build(any_database)
    ledger_env.see({"id": 1, "v": 1})
    with any_database.write() as session:
        past = utc_now() - dt.timedelta(minutes=1)
        session.execute(sa.update(Instance).values(next_poll_at=past))
        session.execute(sa.update(Delivery).values(due_at=past))
    return ledger_env


def _take(runtime: Runtime, ledger_env: LedgerEnv) -> tuple[bool, int]:
    """Try to claim the instance and the delivery."""
    with runtime.database.write() as session:
        lease = claim_instance(session, ledger_env.stream.instance_id, runtime.clock, LEASE)
        claimed = claims.claim(session, runtime.clock(), LEASE, 10)
    return lease is not None, len(claimed)


@pytest.mark.parametrize("ahead", [APART, -APART], ids=["ahead", "behind"])
def test_a_lease_holds_for_machines_with_other_clocks(
    ledger_env: LedgerEnv, ahead: dt.timedelta
) -> None:
    """Neither a fast nor a slow clock takes over a new lease."""
    holder, other = _machine(ledger_env.database, ahead), _machine(ledger_env.database, -ahead)
    assert _take(holder, ledger_env) == (True, 1)
    assert _take(other, ledger_env) == (False, 0)
    assert due_instances(other) == []


@pytest.mark.parametrize("ahead", [APART, -APART], ids=["ahead", "behind"])
def test_a_lease_ends_for_machines_with_other_clocks(
    ledger_env: LedgerEnv, ahead: dt.timedelta
) -> None:
    """A dead machine's work is taken over when its lease ends, not minutes later."""
    holder, other = _machine(ledger_env.database, ahead), _machine(ledger_env.database, -ahead)
    assert _take(holder, ledger_env) == (True, 1)
    with ledger_env.database.read() as session:
        until = t.cast("dt.datetime", session.scalars(sa.select(Instance.lease_until)).one())
        delivery_until = session.scalars(sa.select(Delivery.lease_until)).one()
    for end in (until, delivery_until):
        assert end is not None
        assert abs(end - other.clock() - LEASE) < dt.timedelta(seconds=2)
    later = until + dt.timedelta(seconds=1) - other.clock()
    clock, other.clock = other.clock, lambda: clock() + later
    assert _take(other, ledger_env) == (True, 1)


def test_a_clock_counts_on_between_two_readings(ledger_env: LedgerEnv) -> None:
    """Setting the machine's clock changes nothing; a reading each minute corrects the drift."""
    passed, own = 0.0, utc_now()
    statements: list[str] = []
    engine = ledger_env.database.engine
    connect = engine.connect
    clock = DatabaseClock(engine.dialect.name, connect, own=lambda: own, passed=lambda: passed)
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    first = clock()
    own += dt.timedelta(hours=1)
    passed += 30
    assert clock() == first + dt.timedelta(seconds=30)
    with connect() as connection:
        clock.follow(lambda: connection)
    assert len(statements) == 1
    passed += READ_EVERY
    with connect() as connection:
        clock.follow(lambda: connection)
    assert len(statements) == 2
    # Hardly any real time has passed: the reading corrects the counted time.
    assert abs(clock() - first) < dt.timedelta(seconds=5)


def test_sqlite_uses_the_clock_of_its_machine() -> None:
    """No statement is sent to SQLite."""
    own = utc_now() + APART

    def refuse() -> t.Any:
        raise AssertionError("a connection was opened")

    assert DatabaseClock("sqlite", refuse, own=lambda: own)() == own


#: What a database may say, from its first time to its last, and what is no time.
ODD_TIMES = {
    "postgresql": (
        "timestamp 'infinity'", "timestamp '-infinity'", "timestamp '4713-01-01 BC'",
        "timestamp '294276-12-31'", "timestamp '9999-12-31 23:59:59.999999'",
        "timestamp '0001-01-01'", "'NaN'::float8", "'x'", "1", "NULL",
    ),
    "mariadb": (
        "CAST('9999-12-31 23:59:59.999999' AS DATETIME(6))", "CAST('0001-01-01' AS DATETIME(6))",
        "CAST('0000-00-00' AS DATETIME(6))", "9e99", "'x'", "1", "NULL",
    ),
}  # fmt: skip


@pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)
def test_a_time_that_no_clock_shows(
    any_database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The machine's clock is used, with a warning, and work goes on."""
    dialect = any_database.engine.dialect.name
    ledger_env = build(any_database)
    for number, said in enumerate(
        ODD_TIMES["postgresql" if dialect == "postgresql" else "mariadb"]
    ):
        monkeypatch.setitem(clocks._TIME, dialect, sa.text(f"SELECT {said}"))
        caplog.clear()
        machine = _machine(any_database, dt.timedelta())
        ledger_env.see({"id": number, "v": 1})
        with machine.database.write() as session:
            session.execute(sa.update(Instance).values(next_poll_at=machine.clock()))
        assert due_instances(machine) == [ledger_env.stream.instance_id], said
        assert abs(machine.clock() - utc_now()) < dt.timedelta(minutes=1), said
        assert caplog.text.count("shows no time from 1970") == 1, said
