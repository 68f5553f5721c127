"""How long a failing resource is left alone."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from flask_woo_events.sync.backoff import pause

MINUTE = dt.timedelta(minutes=1)


def test_doubles_up_to_the_interval() -> None:
    """A short failure is over soon, a long one costs the store no more than polling does."""
    pauses = [pause(number, interval=90 * MINUTE, asked=None) for number in range(1, 10)]
    assert [one / MINUTE for one in pauses] == [1, 2, 4, 8, 16, 32, 64, 90, 90]


@given(st.integers(1, 10_000), st.integers(1, 100_000))
def test_is_never_more_than_the_interval_or_an_hour(failures: int, minutes: int) -> None:
    """Unless the store asks for it a resource is tried once an hour or an interval."""
    interval = minutes * MINUTE
    assert MINUTE <= pause(failures, interval=interval, asked=None) <= max(interval, 60 * MINUTE)


@given(st.integers(1, 100), st.floats(0, 1e9))
def test_store_is_given_what_it_asks_for(failures: int, asked: float) -> None:
    """``Retry-After`` is waited for, but a wrong one does not silence a store for days."""
    given_ = pause(failures, interval=15 * MINUTE, asked=asked)
    assert given_ >= min(dt.timedelta(seconds=asked), dt.timedelta(hours=6))
    assert given_ <= dt.timedelta(hours=6)
