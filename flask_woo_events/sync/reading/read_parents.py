"""Read parents: the parents in the window whose children were read at their present date."""

from __future__ import annotations

import collections
import collections.abc as cabc
import datetime as dt
import typing as t

from ...values.dates import parse_store_date
from ..ledger.lookup import is_fresh

#: Parents that are kept. An id takes about seven bytes of the cursor's memory.
MAX_PARENTS = 20_000

Row = cabc.Mapping[str, t.Any]


class ReadParents:
    """What the cursor's memory holds of them.

    A parent that was read less than ten seconds after its date is not held: a second change may
    carry the same date.
    """

    def __init__(self, memory: cabc.Mapping[str, t.Any]) -> None:
        #: The date of each parent at the last read, as the store writes it.
        self._dates: dict[int, str] = {}
        for date, ids in memory.get("parents_read", {}).items():
            self._dates.update(dict.fromkeys(ids, date))
        # Earlier releases kept one member for each parent.
        for number, date in memory.get("read_at", {}).items():
            self._dates.setdefault(int(number), str(date))

    def holds(self, row: Row) -> bool:
        """Return whether a parent's children were read at its present date."""
        return self._dates.get(row["id"], "") == row.get("date_modified_gmt")

    def add(self, row: Row, seen_at: dt.datetime) -> None:
        """Hold a parent whose children have just been read.

        :param seen_at: by the store's clock.
        """
        modified = modified_at(row)
        if modified is not None and not is_fresh(modified, seen_at):
            self._dates[row["id"]] = str(row["date_modified_gmt"])
        else:
            self._dates.pop(row["id"], None)

    def remember(self, memory: cabc.Mapping[str, t.Any], begin: dt.datetime) -> dict[str, t.Any]:
        """Return a cursor's memory with the latest of them.

        :param begin: of the window; earlier dates are left out, since windows only move on.
        """
        start = begin.replace(tzinfo=None).isoformat(timespec="seconds")
        held = ((number, date) for number, date in self._dates.items() if date > start)
        latest = sorted(held, key=lambda one: one[1])[-MAX_PARENTS:]
        by_date: dict[str, list[int]] = collections.defaultdict(list)
        for number, date in latest:
            by_date[date].append(number)
        kept = {name: value for name, value in memory.items() if name != "read_at"}
        return {**kept, "parents_read": dict(by_date)}


def modified_at(row: Row) -> dt.datetime | None:
    """Return a parent's modified date."""
    return parse_store_date(row.get("date_modified_gmt"))
