"""Deliveries: claimed by one worker, settled once, never out of order."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Attempt, Delivery, DeliveryStatus, StoredEvent, Subscription
from flask_woo_events.delivery import claims, results
from flask_woo_events.delivery.retry import AttemptOutcome, RetryDecision
from flask_woo_events.events import search
from tests.conftest import BACKENDS
from tests.integration.ledger_env import LedgerEnv, at, build

LEASE = dt.timedelta(seconds=10)
OK = AttemptOutcome(delivered=True, reason="200 OK", status_code=200)
FAILED = AttemptOutcome(delivered=False, reason="500", status_code=500)


@pytest.fixture
def stage(any_database: Database) -> LedgerEnv:
    return build(any_database)


def claim(stage: LedgerEnv, seconds: float = 0.0, limit: int = 50) -> list[claims.ClaimedDelivery]:
    with stage.database.write() as session:
        return claims.claim(session, at(seconds), LEASE, limit)


def settle(
    stage: LedgerEnv,
    claimed: claims.ClaimedDelivery,
    outcome: AttemptOutcome,
    verdict: RetryDecision,
) -> bool:
    with stage.database.begin() as connection:
        (one,) = results.write(
            connection, [results.AttemptResult(claimed, outcome, verdict)], at(1)
        )
        return one.ours


def statuses(stage: LedgerEnv) -> list[str]:
    with stage.database.read() as session:
        return list(session.scalars(sa.select(Delivery.status).order_by(Delivery.id)))


def test_a_claim_is_exclusive(stage: LedgerEnv) -> None:
    """What one worker has claimed another one does not get."""
    stage.see({"id": 1})
    assert len(claim(stage)) == 1
    assert claim(stage) == []


def test_a_dead_workers_claim_is_taken_over(stage: LedgerEnv) -> None:
    """After its lease a delivery is free again."""
    stage.see({"id": 1})
    claim(stage)
    assert len(claim(stage, seconds=11)) == 1


def test_who_lost_the_lease_cannot_settle(stage: LedgerEnv) -> None:
    """A worker that slept past its lease must not write over its successor."""
    stage.see({"id": 1})
    (late,) = claim(stage)
    claim(stage, seconds=11)
    assert not settle(stage, late, OK, RetryDecision(DeliveryStatus.DELIVERED))
    assert statuses(stage) == ["created"]


def test_a_claim_carries_the_events(stage: LedgerEnv) -> None:
    """The notification travels with what it has to tell."""
    stage.see({"id": 1, "total": "5"}, {"id": 2, "total": "6"})
    (claimed,) = claim(stage)
    assert [
        (one.object_id, one.event_type, one.version) for one in claimed.notification.events
    ] == [
        ("1", "CREATED", 1),
        ("2", "CREATED", 1),
    ]


def test_versions_of_one_object_go_in_order(stage: LedgerEnv) -> None:
    """A later version is not due while an earlier one is unsettled; other objects are."""
    stage.see({"id": 1, "v": 1})
    stage.see({"id": 1, "v": 2})
    stage.see({"id": 2, "v": 1})
    first = claim(stage)
    assert [one.notification.events[0].object_id for one in first] == ["1", "2"]
    settle(stage, first[0], FAILED, RetryDecision(DeliveryStatus.RETRY, at(300)))
    assert claim(stage, seconds=20, limit=1)[0].notification.events[0].object_id == "2"
    again = next(
        one for one in claim(stage, seconds=301) if one.notification.events[0].object_id == "1"
    )
    assert again.notification.events[0].version == 1
    settle(stage, again, OK, RetryDecision(DeliveryStatus.DELIVERED))
    due = {
        (one.notification.events[0].object_id, one.notification.events[0].version)
        for one in claim(stage, seconds=301)
    }
    assert ("1", 2) in due


def test_each_attempt_is_a_row(stage: LedgerEnv) -> None:
    """Who asks later can see what the callback answered."""
    stage.see({"id": 1})
    (claimed,) = claim(stage)
    settle(stage, claimed, FAILED, RetryDecision(DeliveryStatus.RETRY, at(5)))
    with stage.database.read() as session:
        attempt = session.scalars(sa.select(Attempt)).one()
    assert (attempt.status_code, attempt.reason) == (500, "500")


@pytest.mark.parity(54)
def test_a_stopped_subscription_queues_everything(stage: LedgerEnv) -> None:
    """After the last attempt nothing is sent any more, and nothing is lost."""
    stage.see({"id": 1})
    stage.see({"id": 2})
    claimed = claim(stage, limit=1)[0]
    settle(stage, claimed, FAILED, RetryDecision(DeliveryStatus.QUEUED, deactivate=True))
    stage.see({"id": 3})
    assert statuses(stage) == ["queued", "queued", "queued"]
    with stage.database.read() as session:
        assert not session.scalars(sa.select(Subscription.active)).one()
    assert claim(stage, seconds=10_000) == []


# A SQLite file has one writer at a time.
@pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)
def test_tail_shows_events_that_are_committed_late(stage: LedgerEnv) -> None:
    """Another worker's event may have the lower id and be committed after a higher one."""
    stage.see({"id": 1, "v": 1})
    with stage.database.read() as session:
        tail = search.Tail(session, search.EventFilter())
        row = dict(session.execute(sa.select(StoredEvent.__table__)).mappings().one())

    def more() -> list[int]:
        with stage.database.read() as session:
            return [one.version for one in tail.more(session)]

    del row["id"]
    with stage.database.begin() as slower:
        slower.execute(sa.insert(StoredEvent).values(row | {"version": 2}))
        with stage.database.begin() as faster:
            faster.execute(sa.insert(StoredEvent).values(row | {"version": 3}))
        assert more() == [3]
    assert more() == [2]
    assert more() == []
