"""The search: which objects are gone, found by the store's total and by halving the listing."""

from __future__ import annotations

import bisect
import collections.abc as cabc
import dataclasses
import datetime as dt

from ...db.models import Source
from ...errors import StoreGarbledError
from ..cursor import Cursor
from ..ledger.observation import Observation, ObservationBatch
from .base import Batch, Followups, Reading
from .mass_deletion import guard_mass_deletion

#: Requests of one search; what is not found then is found at the next poll.
MOST_REQUESTS = 200
#: Ids in one ``include``.
INCLUDE_AT_ONCE = 100


def read(reading: Reading, cursor: Cursor, look: Followups) -> cabc.Iterator[Batch]:
    """Tell what is gone, and what is there and unknown, after the poll and the scan.

    The store's total is compared with the ledger's. Only when they differ is the listing
    searched, and whatever it does not show is asked for once more before it is said to be gone.
    """
    hidden = int(cursor.memory.get("hidden", 0))
    count = reading.ledger.count_live()
    differs = False
    if look.total is not None and not look.complete and look.total != count + hidden:
        # The total is from before the poll, which may have found new objects since.
        look.total = reading.listing.total()
        differs = look.total is not None and look.total != count + hidden
    missing = max(len(look.candidates), count + hidden - (look.total or count) if differs else 0)
    cursor = yield from guard_mass_deletion(reading, cursor, missing)
    searched = None
    if differs and look.total is not None:
        searched = _Search(reading, look.total)
        searched.run()
        look.candidates |= searched.found
    for batch in settle(reading, cursor, look.candidates | look.again):
        cursor = batch.cursor
        yield batch
    if searched is not None and searched.ended and look.total is not None:
        # WooCommerce counts rows that it does not show; do not look for them at every poll.
        hidden = look.total - reading.ledger.count_live()
        yield Batch(dataclasses.replace(cursor, memory={**cursor.memory, "hidden": hidden}))


def settle(
    reading: Reading, cursor: Cursor, candidates: set[int], source: Source = Source.COMPARE
) -> cabc.Iterator[Batch]:
    """Tell what is true of these objects now, whatever was said of them."""
    asked = sorted(candidates)
    for start in range(0, len(asked), INCLUDE_AT_ONCE):
        ticket = reading.ledger.ticket()
        observations, date = confirm(reading, asked[start : start + INCLUDE_AT_ONCE])
        yield Batch(
            cursor,
            ObservationBatch(
                source=source, observations=observations, ticket=ticket, poll_date=date
            ),
        )


def confirm(
    reading: Reading, candidates: cabc.Sequence[int]
) -> tuple[list[Observation], dt.datetime]:
    """Ask the store again for at most 100 objects that a listing did not show.

    Those it still lists are observed; the others are gone, unless one of them, asked by its own
    address, turns out to be there: then the listing cannot be trusted.

    :raises StoreGarbledError: the store's answers contradict each other.
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
                "which it nevertheless has",
                status=200,
            )
    return [reading.observe(row, date) for row in found.values()] + [
        Observation(object_id=str(number), body=None, seen_at=date) for number in gone
    ], date


def _exists(reading: Reading, number: int) -> bool:
    """Whether the store has an object, by its own address or in its parent's own words."""
    below, parents = reading.listing.collection.below, reading.parents
    parent = reading.ledger.parents_of([number]).get(number)
    if below is None or parents is None or parent is None:
        return reading.listing.exists(number)
    body = parents.one(parent, f"id,status,{below.named_in}")
    return body is not None and body.get("status") != "trash" and number in below.names(body)


@dataclasses.dataclass(frozen=True, slots=True)
class _Edge:
    """Where a page that was read begins or ends, in the listing and in the ledger."""

    #: Rows of the listing before it.
    offset: int
    #: Ids of the ledger before it.
    rank: int


class _Search:
    """Compares an id-ordered listing with the ledger's ids, halving where their counts differ.

    Between two pages the store has as many rows as the ledger has ids, or something is missing
    or unknown there: so one gap among n pages costs about log2(n) requests instead of n.
    """

    def __init__(self, reading: Reading, total: int) -> None:
        self._reading = reading
        self._total = total
        self._size = reading.listing.page_size
        self._ids = reading.ledger.live_numbers(None, None)
        self._requests = 0
        #: Ids on one side only.
        self.found: set[int] = set()
        #: Nothing was left out for lack of requests.
        self.ended = True

    def run(self) -> None:
        """Fill ``found``."""
        first = _Edge(0, 0)
        last = _Edge(self._total, len(self._ids))
        self._between([(first, last)])

    def _between(self, stretches: list[tuple[_Edge, _Edge]]) -> None:
        while stretches:
            low, high = stretches.pop()
            rows, ids = high.offset - low.offset, high.rank - low.rank
            if rows == ids:
                continue
            if rows <= 0:
                self.found.update(self._ids[low.rank : high.rank])
                continue
            if self._requests >= MOST_REQUESTS:
                self.ended = False
                return
            start, end = self._page(low, high)
            stretches += [(low, start), (end, high)]

    def _page(self, low: _Edge, high: _Edge) -> tuple[_Edge, _Edge]:
        """Read the page in the middle of a stretch; give its two edges."""
        rows = high.offset - low.offset
        offset = low.offset + max(0, (rows - self._size) // 2)
        shown = self._reading.listing.ids(offset, min(self._size, rows))
        self._requests += 1
        if not shown:
            # Fewer rows than were counted: whatever the ledger has here was not shown.
            return low, dataclasses.replace(high, rank=low.rank, offset=high.offset)
        start = max(bisect.bisect_left(self._ids, shown[0]), low.rank)
        end = min(bisect.bisect_right(self._ids, shown[-1]), high.rank)
        known = set(self._ids[start:end])
        self.found |= known.symmetric_difference(shown)
        return _Edge(offset, start), _Edge(offset + min(self._size, rows), max(end, start))
