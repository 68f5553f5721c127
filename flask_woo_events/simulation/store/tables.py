"""Tables of the simulated store: rows sorted by id, with cached representations and listings."""

from __future__ import annotations

import bisect
import collections.abc as cabc
import dataclasses
import typing as t

from .encoding import Json

#: Called with a changed row, or None for all rows, and the operation.
Listener = cabc.Callable[["Row | None", str], None]
#: Maximum number of cached listings of a table.
REMEMBERED_LISTINGS = 64


@dataclasses.dataclass(slots=True)
class Row:
    """One object; ``fields`` holds the values that differ from the defaults of its kind."""

    id: int
    #: The status without the prefix ``wc-``, for example ``publish`` or ``trash``.
    status: str
    #: Seconds since the epoch, UTC.
    created: int
    #: Seconds since the epoch, UTC; None if the store has no date yet.
    modified: int | None
    fields: Json
    #: The id of the parent product or order.
    parent: int = 0
    #: The encoded representation in pieces, or empty if it is not cached.
    pieces: tuple[bytes, ...] = ()
    #: The last requested value of ``_fields``, and its representation.
    trimmed: tuple[str, bytes] | None = None

    def forget(self) -> None:
        """Drop the cached representations."""
        self.pieces = ()
        self.trimmed = None


class Table:
    """Holds the rows of one kind."""

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}
        self._sorted: list[Row] = []
        self._listings: dict[cabc.Hashable, list[Row]] = {}
        self.listeners: list[Listener] = []

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> cabc.Iterator[Row]:
        return iter(self._sorted)

    def get(self, row_id: int) -> Row | None:
        """Return the row of this id, if there is one."""
        return self._rows.get(row_id)

    def sorted(self) -> list[Row]:
        """Return all rows by ascending id; do not change the list."""
        return self._sorted

    def add(self, row: Row) -> Row:
        """Add a row, or replace the row of the same id."""
        if row.id in self._rows:
            self.remove(row.id)
        self._rows[row.id] = row
        if not self._sorted or self._sorted[-1].id < row.id:
            self._sorted.append(row)
        else:
            bisect.insort(self._sorted, row, key=_id_of)
        self._listings.clear()
        self._notify(row, "create")
        return row

    def remove(self, row_id: int) -> Row | None:
        """Remove a row."""
        row = self._rows.pop(row_id, None)
        if row is not None:
            del self._sorted[bisect.bisect_left(self._sorted, row_id, key=_id_of)]
            self._listings.clear()
            self._notify(row, "delete")
        return row

    def changed(self, row: Row) -> None:
        """Record that a row changed."""
        row.forget()
        self._listings.clear()
        self._notify(row, "trash" if row.status == "trash" else "update")

    def all_changed(self, *, notify: bool = False) -> None:
        """Record that every representation may have changed.

        :param notify: whether to notify the listeners.
        """
        for row in self._sorted:
            row.forget()
        self._listings.clear()
        if notify:
            self._notify(None, "update")

    def _notify(self, row: Row | None, operation: str) -> None:
        for listener in self.listeners:
            listener(row, operation)

    def listing(self, key: cabc.Hashable, make: cabc.Callable[[], list[Row]]) -> list[Row]:
        """Return the rows of a listing, cached by key until the table changes."""
        found = self._listings.get(key)
        if found is None:
            if len(self._listings) >= REMEMBERED_LISTINGS:
                self._listings.clear()
            found = self._listings[key] = make()
        return found

    def copy(self) -> list[Row]:
        """Return copies of all rows."""
        return [
            dataclasses.replace(row, fields=_deep(row.fields), pieces=(), trimmed=None)
            for row in self._sorted
        ]

    def replace(self, rows: cabc.Iterable[Row]) -> None:
        """Replace all rows."""
        self._sorted = sorted(rows, key=_id_of)
        self._rows = {row.id: row for row in self._sorted}
        self._listings.clear()


def _id_of(row: Row) -> int:
    return row.id


def _deep(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: _deep(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_deep(member) for member in value]
    return value
