"""Tables of the simulated store: rows sorted by id, with cached representations and listings."""

from __future__ import annotations

import bisect
import collections.abc as cabc
import dataclasses
import typing as t

from .encoding import Json

#: Told of changes: which row, or all of them, and what happened.
Listener = cabc.Callable[["Row | None", str], None]
#: Listings that a table remembers while nothing changes.
REMEMBERED_LISTINGS = 64


@dataclasses.dataclass(slots=True)
class Row:
    """One object; ``fields`` holds what differs from the defaults of its kind."""

    id: int
    #: Publish, processing, trash: the status without the prefix ``wc-``.
    status: str
    #: Seconds since the epoch, UTC.
    created: int
    #: Seconds since the epoch, UTC; None where the store has no date yet.
    modified: int | None
    fields: Json
    #: The id of the parent product or order.
    parent: int = 0
    #: The encoded representation, in pieces that are joined; empty when it has to be made.
    pieces: tuple[bytes, ...] = ()
    #: The value of ``_fields`` that was asked for last, and its representation.
    trimmed: tuple[str, bytes] | None = None

    def forget(self) -> None:
        """Drop the encoded representations because something changed."""
        self.pieces = ()
        self.trimmed = None


class Table:
    """Rows of one kind."""

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
        """The row of this id."""
        return self._rows.get(row_id)

    def sorted(self) -> list[Row]:
        """All rows by ascending id; not to be changed by the caller."""
        return self._sorted

    def add(self, row: Row) -> Row:
        """Put a new row in; replaces a row of the same id."""
        if row.id in self._rows:
            self.remove(row.id)
        self._rows[row.id] = row
        if not self._sorted or self._sorted[-1].id < row.id:
            self._sorted.append(row)
        else:
            bisect.insort(self._sorted, row, key=_id_of)
        self._listings.clear()
        self._tell(row, "create")
        return row

    def remove(self, row_id: int) -> Row | None:
        """Take a row out."""
        row = self._rows.pop(row_id, None)
        if row is not None:
            del self._sorted[bisect.bisect_left(self._sorted, row_id, key=_id_of)]
            self._listings.clear()
            self._tell(row, "delete")
        return row

    def changed(self, row: Row) -> None:
        """Note that a row is not what it was."""
        row.forget()
        self._listings.clear()
        self._tell(row, "trash" if row.status == "trash" else "update")

    def all_changed(self, *, told: bool = False) -> None:
        """Note that every representation may differ now.

        :param told: and that the listeners hear of it.
        """
        for row in self._sorted:
            row.forget()
        self._listings.clear()
        if told:
            self._tell(None, "update")

    def _tell(self, row: Row | None, operation: str) -> None:
        for listener in self.listeners:
            listener(row, operation)

    def listing(self, key: cabc.Hashable, make: cabc.Callable[[], list[Row]]) -> list[Row]:
        """The rows of a listing: as made for this key before, if nothing changed since."""
        found = self._listings.get(key)
        if found is None:
            if len(self._listings) >= REMEMBERED_LISTINGS:
                self._listings.clear()
            found = self._listings[key] = make()
        return found

    def copy(self) -> list[Row]:
        """Rows that later changes do not touch."""
        return [
            dataclasses.replace(row, fields=_deep(row.fields), pieces=(), trimmed=None)
            for row in self._sorted
        ]

    def replace(self, rows: cabc.Iterable[Row]) -> None:
        """Put these rows in place of all others."""
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
