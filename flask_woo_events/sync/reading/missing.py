"""Missing objects: deletions, found by the store's count and by bisecting the listing."""

from __future__ import annotations

import bisect
import collections.abc as cabc
import dataclasses
import datetime as dt
import itertools

from ...db.models import Source
from ...errors import StoreGarbledError
from ...woocommerce.listing import INCLUDE_AT_ONCE
from ..cursor import Cursor, ListPosition
from ..ledger.observation import Observation
from .base import Batch, Followups, Reading, batch_of
from .mass_deletion import guard_mass_deletion

#: Requests of one search; the next poll finds the rest.
MAX_SEARCH_REQUESTS = 200


def read(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    """Yield deleted objects, and objects unknown to the ledger, after the other ways of reading.

    The listing is searched only if the store's count differs from the ledger's, of all objects or
    of those before the comparison's first page. An object that the listing does not show is asked
    for by its id before it counts as deleted.
    """
    hidden = int(cursor.memory.get("hidden", 0))
    count = reading.ledger.count_live()
    differs = False
    shifted = _is_shifted(reading, followups, hidden)
    if followups.total is not None and not followups.complete and followups.total != count + hidden:
        # The count is older than the objects that this poll found.
        followups.total = reading.listing.total()
        differs = followups.total is not None and followups.total != count + hidden
    fewer = count + hidden - (followups.total or count) if differs else 0
    missing = max(len(followups.candidates), fewer)
    cursor = yield from guard_mass_deletion(reading, cursor, missing)
    search = None
    if (differs or shifted) and followups.total is not None:
        search = _Search(reading, followups.total, followups.edge)
        search.run()
        followups.candidates |= search.found
    for batch in check(reading, cursor, followups.candidates | followups.reread):
        cursor = batch.cursor
        yield batch
    if search is not None and search.ended and followups.total is not None:
        # WooCommerce counts rows that it does not show; do not search for them at every poll.
        hidden = followups.total - reading.ledger.count_live()
        yield Batch(dataclasses.replace(cursor, memory={**cursor.memory, "hidden": hidden}))


def _is_shifted(reading: Reading, followups: Followups, hidden: int) -> bool:
    """Return whether additions and deletions that balance each other moved the comparison's page.

    :param hidden: how many more rows the store counts than it shows, anywhere in the listing.
    """
    edge = followups.edge
    if edge is None or followups.total is None or followups.complete:
        return False
    shift = edge.offset - reading.ledger.count_live(edge.after_id)
    return not min(0, hidden) <= shift <= max(0, hidden)


def check(
    reading: Reading, cursor: Cursor, candidates: set[int], source: Source = Source.COMPARE
) -> cabc.Iterator[Batch]:
    """Yield the present state of these objects."""
    asked = sorted(candidates)
    for start in range(0, len(asked), INCLUDE_AT_ONCE):
        revision = reading.ledger.revision
        observations, date = confirm(reading, asked[start : start + INCLUDE_AT_ONCE])
        yield batch_of(source, cursor, observations, revision, date)


def confirm(
    reading: Reading, candidates: cabc.Sequence[int]
) -> tuple[list[Observation], dt.datetime]:
    """Ask the store for at most ``INCLUDE_AT_ONCE`` objects by their ids.

    Those that it lists are observed; the others are deleted. The first and the last deleted one
    are also requested by their own URL: if the store has one of them, its list is wrong.

    :raises StoreGarbledError: the store's responses contradict each other.
    """
    answer = reading.listing.by_ids(candidates)
    date = reading.date_of(answer.date)
    found = {row["id"]: row for row in answer.data}
    known = reading.ledger.known([str(number) for number in candidates])
    gone = [
        number
        for number in candidates
        if number not in found and (one := known.get(str(number))) is not None and one.live
    ]
    for witness in sorted({gone[0], gone[-1]}) if gone else ():
        if _exists(reading, witness):
            raise StoreGarbledError(
                f"the store's list of {reading.listing.collection.path} lacks {witness}, "
                "although the store has it",
                status=200,
            )
    return [reading.observe(row, date) for row in found.values()] + [
        Observation(object_id=str(number), body=None, seen_at=date) for number in gone
    ], date


def _exists(reading: Reading, number: int) -> bool:
    """Return whether the store has an object, by its own URL or as its parent names it."""
    below, parents = reading.listing.collection.below, reading.parents
    parent = reading.ledger.parents_of([number]).get(number)
    if below is None or parents is None or parent is None:
        return reading.listing.exists(number)
    body = parents.one(parent, f"id,status,{below.named_in}")
    return body is not None and body.get("status") != "trash" and number in below.names(body)


@dataclasses.dataclass(frozen=True, slots=True)
class _Edge:
    """The start or end of a page that was read, in the listing and in the ledger."""

    #: Rows of the listing before it.
    offset: int
    #: Ids of the ledger before it.
    rank: int


class _Search:
    """Bisects a listing ordered by id where its count differs from the ledger's.

    Between two pages the store has as many rows as the ledger has ids, or an object is missing or
    unknown there. One gap among n pages costs about log2(n) requests instead of n.
    """

    def __init__(self, reading: Reading, total: int, edge: ListPosition | None = None) -> None:
        self._reading = reading
        self._total = total
        self._known = edge
        self._size = reading.listing.page_size
        self._ids = reading.ledger.live_numbers()
        self._requests = 0
        #: Ids that only the ledger or only the listing has.
        self.found: set[int] = set()
        #: Whether the search ended before it reached its limit of requests.
        self.ended = True

    def run(self) -> None:
        """Fill ``found``."""
        first = _Edge(0, 0)
        last = _Edge(self._total, len(self._ids))
        edges = [first, last]
        if self._known is not None and self._known.after_id is not None:
            rank = bisect.bisect_right(self._ids, self._known.after_id)
            edges.insert(1, _Edge(min(self._known.offset, self._total), rank))
        self._bisect(list(itertools.pairwise(edges)))

    def _bisect(self, ranges: list[tuple[_Edge, _Edge]]) -> None:
        while ranges:
            low, high = ranges.pop()
            rows, ids = high.offset - low.offset, high.rank - low.rank
            if rows == ids:
                continue
            if rows <= 0:
                self.found.update(self._ids[low.rank : high.rank])
                continue
            if self._requests >= MAX_SEARCH_REQUESTS:
                self.ended = False
                return
            start, end = self._page(low, high)
            ranges += [(low, start), (end, high)]

    def _page(self, low: _Edge, high: _Edge) -> tuple[_Edge, _Edge]:
        """Read the page in the middle of a range; return its two edges."""
        rows = high.offset - low.offset
        offset = low.offset + max(0, (rows - self._size) // 2)
        shown = self._reading.listing.ids(offset, min(self._size, rows))
        self._requests += 1
        if not shown:
            # Fewer rows than the store counted: the ledger's ids in this range are missing.
            return low, dataclasses.replace(high, rank=low.rank, offset=high.offset)
        start = max(bisect.bisect_left(self._ids, shown[0]), low.rank)
        end = min(bisect.bisect_right(self._ids, shown[-1]), high.rank)
        known = set(self._ids[start:end])
        self.found |= known.symmetric_difference(shown)
        return _Edge(offset, start), _Edge(offset + min(self._size, rows), max(end, start))
