"""Pages of rows that are filtered or ordered here, because the store cannot do it."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import itertools
import typing as t

from ...errors import InputError
from ...woocommerce.listing import Listing
from ...woocommerce.paging import walk
from ...woocommerce.row_filter import Test, order_key

Row = dict[str, t.Any]

#: Most rows that are read from the store for one page.
ROWS_MOST = 10_000
#: Rows of one request.
_AT_ONCE = 100
#: Requests more than the rows need, while rows are added and removed.
_SPARE_REQUESTS = 20


@dataclasses.dataclass(frozen=True)
class Start:
    """Where a page begins: an offset in the store's list, and the id of the row before it."""

    offset: int = 0
    after_id: int | None = None


@dataclasses.dataclass(frozen=True)
class Placed:
    """A row, and where the rows after it begin."""

    row: Row
    next: Start


@dataclasses.dataclass(frozen=True)
class Found:
    """Rows of a page, and where the next page begins."""

    rows: list[Row]
    next: Start
    more: bool


def by_id(listing: Listing, start: Start) -> cabc.Iterator[Placed]:
    """Read rows by ascending id, without losing any while others come and go."""
    requests = ROWS_MOST // (_AT_ONCE - 1) + _SPARE_REQUESTS
    pages = walk(
        listing.page,
        page_size=_AT_ONCE,
        start_offset=start.offset,
        after_id=start.after_id,
        max_requests=requests,
    )
    for page in pages:
        for index, row in enumerate(page.rows):
            yield Placed(row, Start(page.offset + index + 1, row["id"]))


def ordered(listing: Listing, orderby: str, direction: str, start: Start) -> cabc.Iterator[Placed]:
    """Read rows in another order of the store, which may differ at the next request."""
    offset = start.offset
    while True:
        answer = listing.ordered(orderby, direction, offset, _AT_ONCE)
        for row in answer.data:
            offset += 1
            yield Placed(row, Start(offset))
        total = answer.total
        if not answer.data or (total <= offset if total is not None else len(answer.data) < 2):
            return


def page(rows: cabc.Iterator[Placed], test: Test, size: int, start: Start, skip: int = 0) -> Found:
    """Return the next rows that meet a test.

    The page ends before the next such row, so that the last page is known to be the last.

    :param skip: how many such rows to leave out first.
    :raises InputError: they are not among the next ``ROWS_MOST`` rows.
    """
    found: list[Row] = []
    last = start
    for count, placed in enumerate(rows, start=1):
        if count > ROWS_MOST:
            if len(found) == size:
                return Found(found, last, more=True)
            raise too_many_rows()
        if test(placed.row):
            if len(found) == size:
                return Found(found, last, more=True)
            if skip:
                skip -= 1
            else:
                found.append(placed.row)
        last = placed.next
    return Found(found, last, more=False)


def everything(rows: cabc.Iterator[Placed], test: Test) -> list[Row]:
    """Return all rows that meet a test.

    :raises InputError: there are more than ``ROWS_MOST`` rows to read.
    """
    read = list(itertools.islice(rows, ROWS_MOST + 1))
    if len(read) > ROWS_MOST:
        raise too_many_rows()
    return [placed.row for placed in read if test(placed.row)]


def sort(rows: list[Row], order: tuple[str, str]) -> list[Row]:
    """Sort rows by a field; those with equal values stay in their order."""
    field, direction = order
    return sorted(rows, key=lambda row: order_key(row, field), reverse=direction == "desc")


class Members:
    """The members that a query names, and that no row has shown yet."""

    def __init__(self, fields: cabc.Iterable[str]) -> None:
        self._missing = {field.partition(".")[0] for field in fields}
        self._any = False

    def noted(self, rows: cabc.Iterable[Placed]) -> cabc.Iterator[Placed]:
        """Yield rows, and note their members."""
        for placed in rows:
            self.note(placed.row)
            yield placed

    def note(self, row: Row) -> None:
        """Note the members of a row."""
        self._any = True
        if self._missing:
            self._missing.difference_update(row)

    def check(self) -> None:
        """Check that each member was on some row, after the whole list was read.

        :raises InputError: the query names a member that these objects do not have.
        """
        if self._any and self._missing:
            raise InputError(
                f"no object of this list has the member {min(self._missing)!r}", "where"
            )


def too_many_rows() -> InputError:
    """Return the error of a query that would read too many rows."""
    return InputError(
        f"this query reads more than {ROWS_MOST:,} rows, because the store cannot filter or order "
        "by all of where, orderBy and returnTotalCount; add a condition that the store filters by "
        "to where, joined by AND, for example created_date > '2026-01-31'",
        "where",
    )
