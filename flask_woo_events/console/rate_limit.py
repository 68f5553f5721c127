"""Rate limits: how often a client may sign in, or make the server call stores and callbacks."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import math
import threading

#: How many calls to stores and callbacks one user may cause in a period, so that the console cannot
#: be used to flood a server. Connecting a store takes about three.
CALLS, WITHIN = 30, dt.timedelta(minutes=5)
#: The most keys kept in memory.
_REMEMBERED = 10_000


@dataclasses.dataclass
class RateLimiter:
    """A limit on calls per key in a sliding period; each process counts its own.

    :param most: calls allowed in the period.
    :param within: the length of the period.
    """

    most: int
    within: dt.timedelta

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._made: collections.OrderedDict[str, collections.deque[dt.datetime]] = (
            collections.OrderedDict()
        )

    def forgive(self, key: str) -> None:
        """Remove the last call, because it was successful."""
        with self._lock:
            if made := self._made.get(key):
                made.pop()

    def wait(self, key: str, now: dt.datetime) -> float:
        """Count a call; return the seconds to wait if it exceeds the limit, else 0."""
        with self._lock:
            made = self._made.setdefault(key, collections.deque())
            self._made.move_to_end(key)
            while made and now - made[0] >= self.within:
                made.popleft()
            if len(made) >= self.most:
                return (made[0] + self.within - now).total_seconds()
            made.append(now)
            while len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)
            return 0.0


def refusal(seconds: float) -> str:
    """Return the message for a user who exceeded the limit."""
    minutes = math.ceil(seconds / 60)
    return (
        f"You made {CALLS} calls to stores and callbacks within "
        f"{WITHIN.total_seconds() // 60:.0f} minutes. "
        f"Try again in {minutes} {'minute' if minutes == 1 else 'minutes'}."
    )
