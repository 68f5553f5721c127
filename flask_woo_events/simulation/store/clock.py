"""The simulated store's clock, which follows real time unless it is set, moved or stopped."""

from __future__ import annotations

import datetime as dt
import threading
import time


class SimClock:
    """A clock that can be set, moved and stopped."""

    def __init__(self, start: dt.datetime | None = None) -> None:
        self._lock = threading.Lock()
        self._offset = 0.0
        self._frozen: float | None = None
        if start is not None:
            self.set(start)

    def timestamp(self) -> float:
        """Return the store's time in seconds since the epoch."""
        with self._lock:
            return time.time() + self._offset if self._frozen is None else self._frozen

    def now(self) -> dt.datetime:
        """Return the store's time in UTC."""
        return dt.datetime.fromtimestamp(self.timestamp(), dt.UTC)

    def set(self, moment: dt.datetime) -> None:
        """Set the time; a stopped clock stays stopped.

        :raises ValueError: ``moment`` has no time zone.
        """
        if moment.tzinfo is None:
            raise ValueError("the clock needs an aware datetime")
        with self._lock:
            if self._frozen is None:
                self._offset = moment.timestamp() - time.time()
            else:
                self._frozen = moment.timestamp()

    def advance(self, seconds: float) -> None:
        """Move the clock forward by this many seconds, or back if negative."""
        with self._lock:
            if self._frozen is None:
                self._offset += seconds
            else:
                self._frozen += seconds

    def freeze(self) -> None:
        """Stop the clock until :meth:`thaw`."""
        with self._lock:
            if self._frozen is None:
                self._frozen = time.time() + self._offset

    def thaw(self) -> None:
        """Start a stopped clock again."""
        with self._lock:
            if self._frozen is not None:
                self._offset, self._frozen = self._frozen - time.time(), None
