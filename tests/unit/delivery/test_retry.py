"""The retry decision, at its first, last and past-last attempt."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_woo_events.db.states import DeliveryStatus
from flask_woo_events.delivery.retry import (
    CLOUD_ELEMENTS,
    DIVIDED_WITHIN,
    JITTER,
    STANDARD,
    AttemptOutcome,
    RetryDecision,
    RetryRules,
    decide,
)
from flask_woo_events.http.headers import RETRY_AFTER_CAP

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
FAILED = AttemptOutcome(delivered=False, reason="500 Internal Server Error", status_code=500)


def _decide(outcome: AttemptOutcome = FAILED, **overrides: object) -> RetryDecision:
    names = {one.name for one in dataclasses.fields(RetryRules)}
    rules = {name: overrides.pop(name) for name in names & overrides.keys()}
    given_: dict[str, object] = {"attempts": 1, "first_failed_at": None, "now": NOW}
    return decide(outcome, RetryRules(**rules), **(given_ | overrides))  # type: ignore[arg-type]


def test_success_settles() -> None:
    """A delivered notification is never tried again."""
    assert _decide(AttemptOutcome(delivered=True, reason="200 OK")) == RetryDecision(
        DeliveryStatus.DELIVERED
    )


@pytest.mark.parametrize(("attempt", "seconds"), list(enumerate(STANDARD, start=1)))
def test_standard_waits(attempt: int, seconds: int) -> None:
    """Each wait of the standard schedule counts from the attempt before."""
    verdict = _decide(attempts=attempt)
    assert verdict.retry_at == NOW + dt.timedelta(seconds=seconds)


@pytest.mark.parametrize(("attempt", "seconds"), list(enumerate(STANDARD, start=1)))
def test_jitter_lengthens_the_wait(attempt: int, seconds: int) -> None:
    """A random part of up to 20 % is added to each wait of the standard schedule."""
    waits = [_decide(attempts=attempt, chance=chance).retry_at for chance in (0.5, 1.0)]
    assert waits == [NOW + dt.timedelta(seconds=seconds * factor) for factor in (1.1, 1.2)]


@pytest.mark.parity(52)
@pytest.mark.parametrize(("attempt", "seconds"), list(enumerate(CLOUD_ELEMENTS, start=1)))
def test_cloud_elements_waits_count_from_the_first_failure(attempt: int, seconds: int) -> None:
    """4^x seconds after the first failure (Cloud Elements, event management tips)."""
    first = NOW - dt.timedelta(seconds=1)
    verdict = _decide(attempts=attempt, first_failed_at=first, schedule="cloud-elements")
    assert verdict.retry_at == first + dt.timedelta(seconds=seconds)


@pytest.mark.parametrize(("schedule", "waits"), [("standard", 9), ("cloud-elements", 9)])
def test_after_the_last_attempt_the_subscription_stops(schedule: str, waits: int) -> None:
    """Once the schedule is used up the notification is queued and the subscription stopped."""
    verdict = _decide(attempts=waits + 1, first_failed_at=NOW, failing_since=NOW, schedule=schedule)
    assert verdict == RetryDecision(DeliveryStatus.QUEUED, deactivate=True)


@pytest.mark.parametrize("later", [None, dt.timedelta(hours=1)])
def test_after_the_last_attempt_the_subscription_goes_on_if_others_succeed(
    later: dt.timedelta | None,
) -> None:
    """Its failures began after the first one of the notification, or there are no others."""
    verdict = _decide(
        attempts=len(STANDARD) + 1,
        first_failed_at=NOW - dt.timedelta(hours=90),
        failing_since=None if later is None else NOW - dt.timedelta(hours=90) + later,
    )
    assert verdict == RetryDecision(DeliveryStatus.QUEUED, exhausted=True, alone=True)


def test_the_second_failure_divides() -> None:
    """Not the first, not when nothing succeeds for long, not when the callback asks for time."""
    failing: dict[str, t.Any] = {"attempts": 2, "first_failed_at": NOW, "failing_since": NOW}
    assert not _decide(failures=1).divides
    assert _decide(failures=2, **failing).divides
    assert not _decide(failures=DIVIDED_WITHIN + 1, **failing).divides
    assert _decide(failures=DIVIDED_WITHIN + 1, **(failing | {"failing_since": None})).divides
    answers: list[dict[str, t.Any]] = [
        {"status_code": 429},
        {"status_code": 503},
        {"retry_after": 1.0},
    ]
    for busy in answers:
        assert not _decide(dataclasses.replace(FAILED, **busy), **failing).divides


def test_gone_stops_at_once() -> None:
    """410 means that the callback never wants anything again (Standard Webhooks)."""
    verdict = _decide(AttemptOutcome(delivered=False, reason="410 Gone", status_code=410))
    assert verdict == RetryDecision(DeliveryStatus.QUEUED, deactivate=True)


def test_queue_policy_never_retries() -> None:
    """With the policy ``queue`` a failed notification waits for a person."""
    assert _decide(policy="queue") == RetryDecision(DeliveryStatus.QUEUED)


def test_retry_after_lengthens_the_wait() -> None:
    """A callback that asks for time gets it."""
    asked = AttemptOutcome(delivered=False, reason="429", status_code=429, retry_after=90.0)
    assert _decide(asked).retry_at == NOW + dt.timedelta(seconds=90)


def test_retry_after_is_capped() -> None:
    """A callback cannot put us to sleep for a year."""
    asked = AttemptOutcome(delivered=False, reason="503", status_code=503, retry_after=1e9)
    assert _decide(asked).retry_at == NOW + dt.timedelta(seconds=RETRY_AFTER_CAP)


@given(st.integers(1, 9), st.floats(0, 1), st.sampled_from(["standard", "cloud-elements"]))
def test_a_retry_is_never_in_the_past(attempt: int, chance: float, schedule: str) -> None:
    """Whatever the chance and the schedule, the next attempt is not before now."""
    long_ago = NOW - dt.timedelta(days=30)
    verdict = _decide(attempts=attempt, first_failed_at=long_ago, schedule=schedule, chance=chance)
    assert verdict.retry_at is not None
    assert NOW <= verdict.retry_at <= NOW + dt.timedelta(seconds=max(STANDARD) * (1 + JITTER))
