"""Rates of subscriptions, with times that a worker chooses."""

from __future__ import annotations

import datetime as dt

from hypothesis import given, settings
from hypothesis import strategies as st

from flask_woo_events.delivery import rate
from tests.examples import examples

NOW = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
RATES = st.floats(0.01, 1000)


@settings(deadline=None, max_examples=examples(50))
@given(RATES, st.lists(st.floats(0, 2), min_size=2, max_size=60))
def test_no_second_has_more_than_its_rate(speed: float, pauses: list[float]) -> None:
    """Beyond the burst, whatever the times at which a worker looks; and it is never stuck."""
    now, until, made = NOW, None, list[dt.datetime]()
    for pause in pauses:
        now += dt.timedelta(seconds=pause)
        count = rate.allowed(speed, until, now)
        assert count >= 1 or rate.next_at(speed, until, now) > now
        made += [now] * count
        if count:
            until = rate.used(speed, until, now, count)
    burst = rate.most_at_once(speed)
    for number, first in enumerate(made):
        within = [one for one in made[number:] if one - first < dt.timedelta(seconds=1)]
        assert len(within) <= burst + speed + 1e-3


@settings(deadline=None, max_examples=examples(50))
@given(RATES, st.floats(0, 1), st.integers(2, 40))
def test_a_worker_that_wakes_late_keeps_the_rate(speed: float, late: float, count: int) -> None:
    """Late by a quarter of a second at each, the requests take the time that their rate says."""
    now, until = NOW, None
    for _ in range(count):
        behind = late * min(rate.LATE, rate.LATE_MOST / speed)
        now = rate.next_at(speed, until, now) + dt.timedelta(seconds=behind)
        assert rate.allowed(speed, until, now) >= 1
        until = rate.used(speed, until, now, 1)
    seconds = (now - NOW).total_seconds()
    burst = rate.most_at_once(speed)
    assert (count - burst) / speed - 1e-3 <= seconds <= (count + 1) / speed + 1e-3


def test_slow_rates_begin_slowly() -> None:
    """The second request comes after the whole interval."""
    until = rate.used(0.01, None, NOW, 1)
    assert rate.next_at(0.01, until, NOW) - NOW == dt.timedelta(seconds=100)


def test_a_clock_that_was_ahead_stops_nothing() -> None:
    """A rate that is used up for a day cannot be right."""
    assert rate.allowed(0.01, NOW + dt.timedelta(days=1), NOW) == 1


def test_many_requests_of_one_delivery_are_paid_later() -> None:
    """Twenty at two a second: the next one is ten seconds later."""
    until = rate.used(2, None, NOW, 20)
    assert rate.allowed(2, until, NOW + dt.timedelta(seconds=9)) == 0
    at = rate.next_at(2, until, NOW)
    assert dt.timedelta(seconds=9) < at - NOW <= dt.timedelta(seconds=10)
    assert rate.allowed(2, until, at) == 1
