"""What the dates of objects say of the store that shows them."""

from __future__ import annotations

import datetime as dt

import pytest

from flask_woo_events.db.models import Source
from flask_woo_events.errors import AnotherStoreError, StoreRestoredError
from flask_woo_events.sync.ledger.lookup import Known
from flask_woo_events.sync.ledger.observation import Observation, ObservationBatch
from flask_woo_events.sync.ledger.store_identity import StoreEvidence, read_signs

NOON = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def _known(created: dt.datetime, modified: dt.datetime) -> Known:
    return Known(live=True, digest=b"x", modified_at=modified, seen_at=modified, created_at=created)


def _signs(
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
    sighting = ObservationBatch(source=Source.COMPARE, observations=seen, ticket=1, poll_date=now)
    return read_signs(known, sighting, polled_at)


def _years_ago(number: int) -> dt.datetime:
    return NOON - number * dt.timedelta(days=365)


def test_other_creation_dates_are_another_store() -> None:
    """The same ids with other dates are other objects."""
    known = {str(one): _known(_years_ago(1), _years_ago(1)) for one in range(4)}
    shown = {name: (_years_ago(2), _years_ago(2)) for name in known}
    signs = _signs(known, shown)
    assert signs == StoreEvidence(met=4, strangers=4)
    with pytest.raises(AnotherStoreError, match="4 of 4 orders have another creation date"):
        signs.judge("orders")


def test_two_wrong_dates_are_not_another_store() -> None:
    """A plugin may set the dates of single orders."""
    known = {str(one): _known(_years_ago(1), _years_ago(1)) for one in range(50)}
    shown = {name: (_years_ago(2 if int(name) < 2 else 1), _years_ago(1)) for name in known}
    _signs(known, shown).judge("orders")


def test_dates_that_lead_back_are_a_restored_store() -> None:
    """Three objects as they were before a change that was seen, and none that went on."""
    known = {str(one): _known(_years_ago(1), NOON - HOUR) for one in range(3)}
    shown = {name: (_years_ago(1), NOON - 24 * HOUR) for name in known}
    signs = _signs(known, shown)
    assert signs == StoreEvidence(met=3, back=3)
    with pytest.raises(StoreRestoredError, match="restored from a backup"):
        signs.judge("orders")


def test_an_id_that_was_given_again_is_a_restored_store() -> None:
    """After a restore the next orders carry the ids of lost ones."""
    known = {str(one): _known(NOON - HOUR, NOON - HOUR) for one in range(3)}
    made = NOON + dt.timedelta(minutes=30)
    assert _signs(known, {name: (made, made) for name in known}) == StoreEvidence(met=3, back=3)


def test_a_late_commit_is_not_a_restore() -> None:
    """Dates before the known one but within ten minutes of the last poll are news."""
    known = {str(one): _known(_years_ago(1), NOON) for one in range(3)}
    shown = {name: (_years_ago(1), NOON - dt.timedelta(minutes=5)) for name in known}
    assert _signs(known, shown) == StoreEvidence(met=3, onward=3)


def test_a_clock_that_was_put_back_is_not_a_restore() -> None:
    """Then changes carry dates before the last poll, and are changes."""
    known = {str(one): _known(_years_ago(1), NOON) for one in range(3)}
    earlier = NOON - 24 * HOUR
    signs = _signs(known, {name: (_years_ago(1), earlier) for name in known}, now=earlier)
    assert signs.back == 0


def test_more_changes_than_steps_back_are_no_restore() -> None:
    """A busy shop may well hold some objects with odd dates."""
    StoreEvidence(met=100, back=5, onward=6).judge("orders")
