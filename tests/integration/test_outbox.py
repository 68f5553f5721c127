"""Claims and results: one worker claims a delivery, one result counts, the order is kept."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Attempt, Delivery, Subscription
from flask_woo_events.delivery import claims, results
from flask_woo_events.delivery.retry import AttemptOutcome
from tests.integration.ledger_env import LedgerEnv, at, build

LEASE = dt.timedelta(seconds=10)
OK = AttemptOutcome(delivered=True, reason="200 OK", status_code=200)
FAILED = AttemptOutcome(delivered=False, reason="500", status_code=500)
GONE = AttemptOutcome(delivered=False, reason="410", status_code=410)


@pytest.fixture
def ledger_env(any_database: Database) -> LedgerEnv:
    return build(any_database)


def claim(
    ledger_env: LedgerEnv, seconds: float = 0.0, limit: int = 50
) -> list[claims.ClaimedDelivery]:
    with ledger_env.database.write() as session:
        return claims.claim(session, at(seconds), LEASE, limit)


def write(
    ledger_env: LedgerEnv,
    claimed: claims.ClaimedDelivery,
    outcome: AttemptOutcome,
) -> bool:
    with ledger_env.database.begin() as connection:
        (one,) = results.write(connection, [results.AttemptResult(claimed, outcome)], at(1))
        return one.status is not None


def statuses(ledger_env: LedgerEnv) -> list[str]:
    with ledger_env.database.read() as session:
        return list(session.scalars(sa.select(Delivery.status).order_by(Delivery.id)))


def test_a_claim_is_exclusive(ledger_env: LedgerEnv) -> None:
    """A second worker does not get a claimed delivery."""
    ledger_env.see({"id": 1})
    assert len(claim(ledger_env)) == 1
    assert claim(ledger_env) == []


def test_a_dead_workers_claim_is_taken_over(ledger_env: LedgerEnv) -> None:
    """After the lease another worker can claim the delivery."""
    ledger_env.see({"id": 1})
    claim(ledger_env)
    assert len(claim(ledger_env, seconds=11)) == 1


def test_a_result_without_the_lease_is_refused(ledger_env: LedgerEnv) -> None:
    """A worker that slept past its lease does not overwrite another one's state."""
    ledger_env.see({"id": 1})
    (late,) = claim(ledger_env)
    claim(ledger_env, seconds=11)
    assert not write(ledger_env, late, OK)
    assert statuses(ledger_env) == ["created"]


def test_a_claim_carries_the_events(ledger_env: LedgerEnv) -> None:
    """A claimed delivery contains its notification with the events."""
    ledger_env.see({"id": 1, "total": "5"}, {"id": 2, "total": "6"})
    (claimed,) = claim(ledger_env)
    assert [
        (one.object_id, one.event_type, one.version) for one in claimed.notification.events
    ] == [
        ("1", "CREATED", 1),
        ("2", "CREATED", 1),
    ]


def test_versions_of_one_object_go_in_order(ledger_env: LedgerEnv) -> None:
    """A later version is not due while an earlier one is unsettled; other objects are due."""
    ledger_env.see({"id": 1, "v": 1})
    ledger_env.see({"id": 1, "v": 2})
    ledger_env.see({"id": 2, "v": 1})
    first = claim(ledger_env)
    assert [one.notification.events[0].object_id for one in first] == ["1", "2"]
    write(ledger_env, first[0], FAILED)
    assert claim(ledger_env, seconds=20, limit=1)[0].notification.events[0].object_id == "2"
    again = next(
        one for one in claim(ledger_env, seconds=301) if one.notification.events[0].object_id == "1"
    )
    assert again.notification.events[0].version == 1
    write(ledger_env, again, OK)
    due = {
        (one.notification.events[0].object_id, one.notification.events[0].version)
        for one in claim(ledger_env, seconds=301)
    }
    assert ("1", 2) in due


def test_each_attempt_is_a_row(ledger_env: LedgerEnv) -> None:
    """It keeps what the callback answered."""
    ledger_env.see({"id": 1})
    (claimed,) = claim(ledger_env)
    write(ledger_env, claimed, FAILED)
    with ledger_env.database.read() as session:
        attempt = session.scalars(sa.select(Attempt)).one()
    assert (attempt.status_code, attempt.reason) == (500, "500")


@pytest.mark.parity(54)
def test_a_stopped_subscription_queues_everything(ledger_env: LedgerEnv) -> None:
    """After the last attempt nothing is sent, and nothing is lost."""
    ledger_env.see({"id": 1})
    ledger_env.see({"id": 2})
    claimed = claim(ledger_env, limit=1)[0]
    write(ledger_env, claimed, GONE)
    ledger_env.see({"id": 3})
    assert statuses(ledger_env) == ["queued", "queued", "queued"]
    with ledger_env.database.read() as session:
        assert not session.scalars(sa.select(Subscription.active)).one()
    assert claim(ledger_env, seconds=10_000) == []
