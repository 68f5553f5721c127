"""The back-off: when a poll that failed is tried again."""

from __future__ import annotations

import datetime as dt

#: The pause after the first failure, seconds; it doubles with each one that follows.
FIRST = 60.0
#: The longest pause, unless the instance is polled less often anyway.
LONGEST = dt.timedelta(hours=1)
#: The longest wait that a store's Retry-After can ask for.
ASKED_MOST = dt.timedelta(hours=6)


def pause(failures: int, *, interval: dt.timedelta, asked: float | None = None) -> dt.timedelta:
    """How long to leave a resource alone after a failure.

    :param failures: in a row, this one included.
    :param interval: of the instance's polls.
    :param asked: seconds of the store's Retry-After.
    """
    doubled = dt.timedelta(seconds=FIRST * 2 ** min(failures - 1, 20))
    wait = min(doubled, max(interval, LONGEST))
    if asked is not None:
        wait = max(wait, min(dt.timedelta(seconds=max(asked, 0.0)), ASKED_MOST))
    return wait
