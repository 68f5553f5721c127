"""The row limit: the most rows that one store can show in one answer, learned from its failures."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import typing as t

#: When a longer page is tried after a shorter one was learned; it doubles with each failure.
FIRST_TRIAL = dt.timedelta(minutes=10)
LAST_TRIAL = dt.timedelta(hours=24)
#: Rows of a page at which a store has no limit any more: WooCommerce allows no more.
MOST_ROWS = 100
#: Failed requests of one poll, of those that search for what a store can show.
MOST_FAILURES = 60


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class RowLimit:
    """What one poll learns of one store, kept with the instance.

    :param clock: our own clock.
    """

    def __init__(
        self,
        rows: int | None = None,
        *,
        try_at: dt.datetime | None = None,
        failures: int = 0,
        clock: cabc.Callable[[], dt.datetime] = _now,
    ) -> None:
        #: The limit; ``None``: none is known.
        self.rows = rows
        self._try_at = try_at
        self._failures = failures
        self._clock = clock
        #: Failed requests that this poll may still make to find out what works.
        self.left = MOST_FAILURES
        #: Nothing has worked since a request failed at every size.
        self.down = False

    @classmethod
    def from_json(cls, stored: object, clock: cabc.Callable[[], dt.datetime] = _now) -> RowLimit:
        """Return what ``to_json`` returned."""
        if not isinstance(stored, dict) or not isinstance(stored.get("limit"), int):
            return cls(clock=clock)
        return cls(
            stored["limit"],
            try_at=dt.datetime.fromisoformat(stored["tryAt"]),
            failures=int(stored.get("failures", 0)),
            clock=clock,
        )

    def to_json(self) -> dict[str, t.Any] | None:
        """Return what an instance keeps; ``None`` for no limit."""
        if self.rows is None or self._try_at is None:
            return None
        return {
            "limit": self.rows, "tryAt": self._try_at.isoformat(), "failures": self._failures
        }  # fmt: skip

    def allowed(self, wanted: int) -> int:
        """Return how many of these rows to ask for: sometimes twice the limit, to try it."""
        if self.rows is None:
            return wanted
        trial = self._try_at is None or self._clock() >= self._try_at
        return min(wanted, self.rows * 2 if trial else self.rows)

    def worked(self, rows: int) -> None:
        """Note that an answer had this many rows."""
        self.down = False
        if self.rows is not None and rows > self.rows:
            self.rows = None if rows >= MOST_ROWS else rows
            self._failures = 0

    def failed(self, rows: int) -> None:
        """Note that this many rows fail, and half of them do not."""
        if self.rows is None or rows <= self.rows:
            self.rows, self._failures = max(rows // 2, 1), 0
        else:
            self._failures += 1
        self._try_at = self._clock() + min(FIRST_TRIAL * 2 ** min(self._failures, 10), LAST_TRIAL)

    def capped(self, rows: int) -> None:
        """Note that the store shows no more rows than this, whatever is asked for."""
        known = self.rows == rows
        self._failures = self._failures + 1 if known else 0
        self.rows = rows
        self._try_at = self._clock() + min(FIRST_TRIAL * 2 ** min(self._failures, 10), LAST_TRIAL)
