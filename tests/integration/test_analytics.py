"""Counts over time, on every database."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa

from flask_woo_events.api import analytics
from flask_woo_events.api.analytics import Bucket
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Delivery, Notification, Organization
from flask_woo_events.db.states import DeliveryStatus
from tests.integration.ledger_env import NOW, LedgerEnv, build

DATES = ("2024-12-30T00:00:00", "2025-12-31T23:59:59", "2026-01-01T00:00:00", "2026-11-23T12:00:07")


@pytest.fixture
def stage(any_database: Database) -> LedgerEnv:
    """One notification at each date: delivered, failing, not tried, queued."""
    stage = build(any_database)
    for number, date in enumerate(DATES, start=1):
        stage.see({"id": number}, {"id": number + 100})
        with any_database.write() as session:
            row = session.get_one(Notification, number)
            row.created_at = dt.datetime.fromisoformat(date).replace(tzinfo=dt.UTC)
    with any_database.write() as session:
        rows = session.scalars(sa.select(Delivery).order_by(Delivery.id)).all()
        rows[0].status, rows[0].attempts = DeliveryStatus.DELIVERED, 2
        rows[1].status, rows[1].attempts = DeliveryStatus.RETRY, 1
        rows[3].status = DeliveryStatus.QUEUED
    return stage


def _buckets(stage: LedgerEnv, since: str, until: str, interval: str) -> list[Bucket]:
    ends = [dt.datetime.fromisoformat(one).replace(tzinfo=dt.UTC) for one in (since, until)]
    with stage.database.read() as session:
        home = session.scalars(sa.select(Organization.id)).one()
        return analytics.buckets(session, home, ends[0], ends[1], interval)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ("year", {"2024-01-01": 2, "2025-01-01": 2, "2026-01-01": 4}),
        ("quarter", {"2024-10-01": 2, "2025-10-01": 2, "2026-01-01": 2, "2026-10-01": 2}),
        ("month", {"2024-12-01": 2, "2025-12-01": 2, "2026-01-01": 2, "2026-11-01": 2}),
        # Both new years are in weeks that begin on a Monday in December.
        ("week", {"2024-12-30": 2, "2025-12-29": 4, "2026-11-23": 2}),
        ("day", {"2024-12-30": 2, "2025-12-31": 2, "2026-01-01": 2, "2026-11-23": 2}),
    ],
)
def test_buckets_of_the_calendar(stage: LedgerEnv, interval: str, expected: dict[str, int]) -> None:
    """Every event is in the year, quarter, month, week or day of its recording."""
    found = _buckets(stage, "2024-12-01", "2026-11-30", interval)
    counted = {f"{one.start:%Y-%m-%d}": one.total for one in found if one.total}
    assert counted == expected
    starts = [one.start for one in found]
    assert starts == sorted(set(starts))


def test_buckets_of_seconds(stage: LedgerEnv) -> None:
    """Buckets are exact to the second, and both ends have one."""
    found = _buckets(stage, "2026-11-23T12:00:00", "2026-11-23T12:00:10", "second")
    assert [one.total for one in found] == [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]


def test_success_and_failure(stage: LedgerEnv) -> None:
    """Delivered counts as success; a failed attempt or queued as failed; others as neither."""
    found = _buckets(stage, "2024-12-01", "2026-11-30", "day")
    counts = [one for bucket in found for one in bucket.counts]
    assert [(one.count, one.success, one.failed) for one in counts] == [
        (2, 2, 0),
        (2, 0, 2),
        (2, 0, 0),
        (2, 0, 2),
    ]


def test_another_organisation_counts_for_nothing(stage: LedgerEnv) -> None:
    """Events of other organizations are not counted."""
    build(stage.database).see({"id": 1})
    with stage.database.read() as session:
        homes = session.scalars(sa.select(Organization.id).order_by(Organization.id)).all()
        hour = dt.timedelta(hours=1)
        counted = [
            sum(
                one.total
                for one in analytics.buckets(session, home, NOW - hour, NOW + hour, "minute")
            )
            for home in homes
        ]
    assert counted == [2, 1]
