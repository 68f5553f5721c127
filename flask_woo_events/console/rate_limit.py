"""Attempts: how often somebody may try to sign in, or have the server call out."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import math
import threading

#: Calls to stores and callbacks that one user may cause in a while, so that nobody makes a hammer
#: of the console. To connect a store takes about three.
CALLS, WITHIN = 30, dt.timedelta(minutes=5)
#: Addresses that are remembered at most.
_REMEMBERED = 10_000


@dataclasses.dataclass
class Attempts:
    """So many of one origin in a while; kept by each process for itself.

    :param most: attempts in that while.
    :param within: how long each counts.
    """

    most: int
    within: dt.timedelta

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._made: collections.OrderedDict[str, collections.deque[dt.datetime]] = (
            collections.OrderedDict()
        )

    def forgive(self, origin: str) -> None:
        """Take the last attempt back: it was a good one."""
        with self._lock:
            if made := self._made.get(origin):
                made.pop()

    def wait(self, origin: str, now: dt.datetime) -> float:
        """Count an attempt; seconds to wait when there were too many, else 0."""
        with self._lock:
            made = self._made.setdefault(origin, collections.deque())
            self._made.move_to_end(origin)
            while made and now - made[0] >= self.within:
                made.popleft()
            if len(made) >= self.most:
                return (made[0] + self.within - now).total_seconds()
            made.append(now)
            while len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)
            return 0.0


def refusal(seconds: float) -> str:
    """What somebody is told who has to wait."""
    minutes = math.ceil(seconds / 60)
    return (
        f"That were {CALLS} calls to stores and callbacks within "
        f"{WITHIN.total_seconds() // 60:.0f} minutes. "
        f"Try again in {minutes} {'minute' if minutes == 1 else 'minutes'}."
    )
