"""Backoff: the delay before a failed poll is tried again."""

from __future__ import annotations

import datetime as dt

#: Delay after the first failure; it doubles with each further failure in a row.
FIRST_DELAY = dt.timedelta(minutes=1)
#: The longest delay, unless the instance is polled less often anyway.
MAX_DELAY = dt.timedelta(hours=1)
#: The longest delay that a store's Retry-After can ask for.
MAX_RETRY_AFTER = dt.timedelta(hours=6)


def retry_delay(
    failures: int, *, interval: dt.timedelta, retry_after: float | None = None
) -> dt.timedelta:
    """Return how long to wait after a failure before the next attempt.

    :param failures: failures in a row, this one included.
    :param interval: the instance's poll interval.
    :param retry_after: seconds in the store's Retry-After header.
    """
    doubled: dt.timedelta = FIRST_DELAY * 2 ** min(failures - 1, 20)
    delay = min(doubled, max(interval, MAX_DELAY))
    if retry_after is not None:
        delay = max(delay, min(dt.timedelta(seconds=max(retry_after, 0.0)), MAX_RETRY_AFTER))
    return delay
