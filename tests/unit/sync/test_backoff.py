"""The delay before a failing resource is tried again."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from flask_woo_events.sync.backoff import retry_delay

MINUTE = dt.timedelta(minutes=1)


def test_delay_doubles_up_to_the_interval() -> None:
    """The delay doubles with each failure, up to the poll interval."""
    delays = [retry_delay(number, interval=90 * MINUTE) for number in range(1, 10)]
    assert [delay / MINUTE for delay in delays] == [1, 2, 4, 8, 16, 32, 64, 90, 90]


@given(st.integers(1, 10_000), st.integers(1, 100_000))
def test_delay_is_at_most_the_interval_or_an_hour(failures: int, minutes: int) -> None:
    """Without a ``Retry-After`` the delay is at most the longer of an hour and the interval."""
    interval = minutes * MINUTE
    assert MINUTE <= retry_delay(failures, interval=interval) <= max(interval, 60 * MINUTE)


@given(st.integers(1, 100), st.floats(0, 1e9))
def test_retry_after_is_respected(failures: int, retry_after: float) -> None:
    """The delay is at least the ``Retry-After``, up to six hours."""
    delay = retry_delay(failures, interval=15 * MINUTE, retry_after=retry_after)
    assert delay >= min(dt.timedelta(seconds=retry_after), dt.timedelta(hours=6))
    assert delay <= dt.timedelta(hours=6)
