"""Dates ahead: objects whose modified date is far ahead of the store's clock, in every window."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import typing as t

from ...woocommerce import oddities
from ...woocommerce.listing import LIGHT_FIELDS, Fetch, Listing
from ..ledger.lookup import DATED_AHEAD

#: Where the dates begin that are listed only after their number has changed, from now.
_LIMIT_AHEAD = dt.timedelta(days=1)
#: Objects that are read a second time.
_MAX_AGAIN = 5_000


class DatesAhead:
    """The objects dated ahead in one resource's windows, and what its memory holds of them.

    No clock ever reaches their dates, so they are not read until it does. Each is read once more by
    the next poll, which shows the rest of a change that was being written. If they fill more than a
    page, they are listed only after their number has changed, or once a day.
    """

    def __init__(self, listing: Listing, memory: cabc.Mapping[str, t.Any]) -> None:
        kept = memory.get("ahead") or {}
        #: The end of the window, if those after it have not changed.
        self.until: dt.datetime | None = None
        self._listing = listing
        self._limit = dt.datetime.fromisoformat(kept["from"]) if kept else None
        self._count = int(kept.get("count", 0))
        self._again = frozenset(kept.get("again", ()))
        self._beyond: set[int] = set()
        self._fresh: list[int] = []

    def windows(self, begin: dt.datetime, fields: str = LIGHT_FIELDS) -> list[Fetch]:
        """Return the lists of a window that begins at this date."""
        if self._is_unchanged(begin, fields):
            self.until = self._limit
        else:
            self._limit = None
        return self._listing.windows(begin, fields, until=self.until)

    def _is_unchanged(self, begin: dt.datetime, fields: str) -> bool:
        """Ask for their number, and for the store's time: it must be well before their dates."""
        limit = self._limit
        if limit is None or begin >= limit or self._again:
            return False
        if self._count <= self._listing.page_size:
            return False
        answers = [fetch(0, 1) for fetch in self._listing.windows(limit, fields)]
        if any(one.date is None or one.date > limit - DATED_AHEAD for one in answers):
            return False
        return sum(one.total or 0 for one in answers) == self._count

    def is_ahead(self, row_id: int, modified: dt.datetime | None, date: dt.datetime) -> bool:
        """Return whether a row of the window is dated ahead, and count it."""
        if self._limit is None:
            self._limit = date + _LIMIT_AHEAD
        if modified is not None and modified > self._limit:
            self._beyond.add(row_id)
        return modified is not None and modified > date + DATED_AHEAD

    def is_due_again(self, row_id: int) -> bool:
        """Return whether the last poll read an object that was dated ahead for the first time."""
        return row_id in self._again

    def read_first(self, row_id: int) -> None:
        """Have the next poll read an object again."""
        if len(self._fresh) < _MAX_AGAIN:
            self._fresh.append(row_id)

    def remember(self, memory: cabc.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Return a cursor's memory after a whole window."""
        kept = {name: value for name, value in memory.items() if name != "ahead"}
        count = self._count if self.until is not None else len(self._beyond)
        if count:
            what = f"{count:,} of {self._listing.collection.path}"
            self._listing.client.oddities.add(oddities.DATED_AHEAD, what)
        if self._limit is None or not (count or self._fresh):
            return kept
        return {
            **kept,
            "ahead": {"from": self._limit.isoformat(), "count": count, "again": self._fresh},
        }
