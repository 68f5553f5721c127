"""Rates: how many requests a subscription may get now, and when it may get more."""

from __future__ import annotations

import datetime as dt
import math

#: Requests that may go at once after a pause: this part of a second's, and at least one.
BURST = 0.1
#: A worker that wakes late makes up for so many seconds, and half a request at most.
LATE, LATE_MOST = 0.25, 0.5
#: A later date than this is of a clock that was ahead: the slowest rate uses 100 seconds at once.
LONGEST = dt.timedelta(minutes=3)
#: Part of a request by which dates, which have microseconds, may be wrong at the highest rate.
ROUNDING = 0.002
#: The longest time that one attempt of several requests may take for its pauses, seconds: so long
#: waits the end of a worker.
PACED_WITHIN = 5.0


def requests_of_attempt(rate: float, left: int) -> int:
    """Return how many requests one attempt makes that has some left."""
    return min(left, 1 + math.floor(PACED_WITHIN * rate))


def most_at_once(rate: float) -> float:
    """Return how many requests a pause saves at most."""
    return max(1 + min(LATE_MOST, rate * LATE), rate * BURST)


def allowed(rate: float, used_until: dt.datetime | None, now: dt.datetime) -> int:
    """Return how many requests may be made now.

    :param rate: requests per second.
    :param used_until: up to when the rate is used, see :func:`used`.
    """
    return max(0, math.floor(_saved(rate, used_until, now) + ROUNDING))


def used(rate: float, used_until: dt.datetime | None, now: dt.datetime, count: int) -> dt.datetime:
    """Return up to when the rate is used after some more requests; it may be in the future."""
    saved = _saved(rate, used_until, now)
    return now + dt.timedelta(seconds=(count - saved) / rate)


def next_at(rate: float, used_until: dt.datetime | None, now: dt.datetime) -> dt.datetime:
    """Return when at least one request may be made."""
    missing = 1 - _saved(rate, used_until, now)
    return now + dt.timedelta(seconds=max(missing, 0.0) / rate)


def _saved(rate: float, used_until: dt.datetime | None, now: dt.datetime) -> float:
    """Return how many requests were not made since the rate was used; negative: too many."""
    most = most_at_once(rate)
    if used_until is None or used_until - now > LONGEST:
        return max(1.0, rate * BURST)
    return min(most, (now - used_until).total_seconds() * rate)
