"""What the dates of objects show about the store."""

from __future__ import annotations

import datetime as dt

import pytest

from flask_woo_events.db.models import Source
from flask_woo_events.errors import AnotherStoreError, StoreRestoredError
from flask_woo_events.sync.ledger.lookup import Known
from flask_woo_events.sync.ledger.observation import Observation, ObservationBatch
from flask_woo_events.sync.ledger.store_identity import StoreEvidence, read_evidence

NOON = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def _known(created: dt.datetime, modified: dt.datetime) -> Known:
    return Known(live=True, digest=b"x", modified_at=modified, seen_at=modified, created_at=created)


def _evidence(
    known: dict[str, Known],
    shown: dict[str, tuple[dt.datetime, dt.datetime]],
    *,
    polled_at: dt.datetime = NOON,
    now: dt.datetime = NOON + HOUR,
) -> StoreEvidence:
    seen = [
        Observation(object_id=name, body={}, seen_at=now, created_at=created, modified_at=modified)
        for name, (created, modified) in shown.items()
    ]
    observed = ObservationBatch(
        source=Source.COMPARE, observations=seen, read_revision=1, poll_date=now
    )
    return read_evidence(known, observed, polled_at)


def _years_ago(number: int) -> dt.datetime:
    return NOON - number * dt.timedelta(days=365)


def test_other_creation_dates_are_another_store() -> None:
    """Known ids with other creation dates belong to another store."""
    known = {str(one): _known(_years_ago(1), _years_ago(1)) for one in range(4)}
    shown = {name: (_years_ago(2), _years_ago(2)) for name in known}
    evidence = _evidence(known, shown)
    assert evidence == StoreEvidence(matched=4, mismatched=4)
    with pytest.raises(AnotherStoreError, match="4 of 4 orders have another creation date"):
        evidence.judge("orders")


def test_two_wrong_dates_are_not_another_store() -> None:
    """A plugin may set the dates of single orders."""
    known = {str(one): _known(_years_ago(1), _years_ago(1)) for one in range(50)}
    shown = {name: (_years_ago(2 if int(name) < 2 else 1), _years_ago(1)) for name in known}
    _evidence(known, shown).judge("orders")


def test_dates_that_lead_back_are_a_restored_store() -> None:
    """Three objects that lost a known change, and none with a new one, show a restore."""
    known = {str(one): _known(_years_ago(1), NOON - HOUR) for one in range(3)}
    shown = {name: (_years_ago(1), NOON - 24 * HOUR) for name in known}
    evidence = _evidence(known, shown)
    assert evidence == StoreEvidence(matched=3, reverted=3)
    with pytest.raises(StoreRestoredError, match="restored from a backup"):
        evidence.judge("orders")


def test_an_id_that_was_given_again_is_a_restored_store() -> None:
    """After a restore, new orders get the ids of lost ones."""
    known = {str(one): _known(NOON - HOUR, NOON - HOUR) for one in range(3)}
    made = NOON + dt.timedelta(minutes=30)
    assert _evidence(known, {name: (made, made) for name in known}) == StoreEvidence(
        matched=3, reverted=3
    )


def test_a_late_commit_is_not_a_restore() -> None:
    """A date before the known one but within ten minutes of the last poll is a new change."""
    known = {str(one): _known(_years_ago(1), NOON) for one in range(3)}
    shown = {name: (_years_ago(1), NOON - dt.timedelta(minutes=5)) for name in known}
    assert _evidence(known, shown) == StoreEvidence(matched=3, advanced=3)


def test_a_clock_that_was_set_back_is_not_a_restore() -> None:
    """After the clock was set back, dates before the last poll belong to new changes."""
    known = {str(one): _known(_years_ago(1), NOON) for one in range(3)}
    earlier = NOON - 24 * HOUR
    evidence = _evidence(known, {name: (_years_ago(1), earlier) for name in known}, now=earlier)
    assert evidence.reverted == 0


def test_more_changes_than_reverted_objects_are_no_restore() -> None:
    """A busy store may show a few objects with older dates."""
    StoreEvidence(matched=100, reverted=5, advanced=6).judge("orders")
