"""The database's clock: machines may disagree on the time, and still keep to their leases."""

from __future__ import annotations

import datetime as dt
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.clock import READ_EVERY, DatabaseClock, utc_now
from flask_woo_events.db.database import Database
from flask_woo_events.db.leases import claim_instance
from flask_woo_events.db.models import Delivery, Instance
from flask_woo_events.delivery import claims
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.sync.instance_poll import due_instances
from flask_woo_events.values.crypto import Cipher
from tests.integration.ledger_env import LedgerEnv, build

LEASE = dt.timedelta(seconds=10)
APART = dt.timedelta(minutes=5)


def _machine(database: Database, off: dt.timedelta) -> Runtime:
    """A machine whose own clock is off, on the same database."""
    here = Database(database.engine)
    here.clock = DatabaseClock(
        database.engine.dialect.name, database.engine.connect, own=lambda: utc_now() + off
    )
    return Runtime(Settings(encryption_keys=(Cipher.generate_key(),)), here)


@pytest.fixture
def stage(any_database: Database) -> LedgerEnv:
    """An instance that is due, and a notification that waits, on a server with a clock."""
    if any_database.engine.dialect.name == "sqlite":
        pytest.skip("a SQLite file has one machine")
    stage = build(any_database)
    stage.see({"id": 1, "v": 1})
    with any_database.write() as session:
        past = utc_now() - dt.timedelta(minutes=1)
        session.execute(sa.update(Instance).values(next_poll_at=past))
        session.execute(sa.update(Delivery).values(due_at=past))
    return stage


def _take(runtime: Runtime, stage: LedgerEnv) -> tuple[bool, int]:
    """Try to take the instance and the delivery."""
    with runtime.database.write() as session:
        lease = claim_instance(session, stage.stream.instance_id, runtime.clock(), LEASE)
        claimed = claims.claim(session, runtime.clock(), LEASE, 10)
    return lease is not None, len(claimed)


@pytest.mark.parametrize("ahead", [APART, -APART], ids=["ahead", "behind"])
def test_a_lease_holds_for_machines_with_other_clocks(
    stage: LedgerEnv, ahead: dt.timedelta
) -> None:
    """Neither a fast nor a slow machine takes over what another one has just claimed."""
    holder, other = _machine(stage.database, ahead), _machine(stage.database, -ahead)
    assert _take(holder, stage) == (True, 1)
    assert _take(other, stage) == (False, 0)
    assert due_instances(other) == []


@pytest.mark.parametrize("ahead", [APART, -APART], ids=["ahead", "behind"])
def test_a_lease_ends_for_machines_with_other_clocks(stage: LedgerEnv, ahead: dt.timedelta) -> None:
    """What a machine held that is gone is taken over when the lease ends, not minutes later."""
    holder, other = _machine(stage.database, ahead), _machine(stage.database, -ahead)
    assert _take(holder, stage) == (True, 1)
    with stage.database.read() as session:
        until = t.cast("dt.datetime", session.scalars(sa.select(Instance.lease_until)).one())
        told = session.scalars(sa.select(Delivery.lease_until)).one()
    for end in (until, told):
        assert end is not None
        assert abs(end - other.clock() - LEASE) < dt.timedelta(seconds=2)
    later = until + dt.timedelta(seconds=1) - other.clock()
    clock, other.clock = other.clock, lambda: clock() + later
    assert _take(other, stage) == (True, 1)


def test_a_clock_counts_on_between_two_readings(stage: LedgerEnv) -> None:
    """Setting the machine's clock changes nothing; a reading a minute corrects what drifted."""
    passed, own = 0.0, utc_now()
    statements: list[str] = []
    engine = stage.database.engine
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
    # In truth hardly any time has passed: the reading takes back what was counted on.
    assert abs(clock() - first) < dt.timedelta(seconds=5)


def test_a_file_goes_by_the_clock_of_its_machine() -> None:
    """SQLite is asked nothing."""
    own = utc_now() + APART

    def refuse() -> t.Any:
        raise AssertionError("a connection was opened")

    assert DatabaseClock("sqlite", refuse, own=lambda: own)() == own
