"""Missing objects: deletions, found by the store's count and by bisecting the listing."""

from __future__ import annotations

import bisect
import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import itertools
import math
import typing as t

from ...db.states import Source
from ...errors import ObjectUnreadableError, StoreRejectedError
from ...woocommerce.listing import INCLUDE_AT_ONCE
from ..cursor import Cursor, ListPosition
from ..ledger.observation import Observation
from .base import IDS_AT_ONCE, Batch, Followups, Reading, batch_of

#: Missing objects that are each requested by their own addresses.
EACH = 20
#: Objects that no list shows, read in one poll.
UNLISTED_AT_ONCE = 5
#: Orders that nobody has placed, read in one poll.
UNPLACED_AT_ONCE = 1_000
#: Requests of one search; the next poll finds the rest.
MAX_SEARCH_REQUESTS = 200


def read(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    """Note objects that are missing, and yield those unknown to the ledger.

    The listing is searched only if the store's count differs from the ledger's, of all objects or
    of those before the comparison's first page.
    """
    hidden = int(cursor.memory.get("hidden", 0))
    count = reading.ledger.count_live()
    differs = False
    shifted = _is_shifted(reading, followups, hidden)
    if followups.total is None and followups.gone:
        followups.total = reading.listing.total()
    if followups.total is not None and not followups.complete and followups.total != count + hidden:
        # The count is older than the objects that this poll found.
        followups.total = reading.listing.total()
        differs = followups.total is not None and followups.total != count + hidden
    search = None
    if differs and followups.total is not None:
        followups.shortfall = max(count + hidden - followups.total, 0)
    if (differs or shifted) and followups.total is not None:
        search = _Search(reading, followups.total, followups.edge)
        search.run()
        followups.candidates |= search.found
    for batch in check(reading, cursor, followups):
        cursor = batch.cursor
        yield batch
    if search is not None and search.ended and followups.total is not None:
        # WooCommerce counts rows that it does not show; do not search for them at every poll.
        hidden = followups.total - (reading.ledger.count_live() - len(followups.gone))
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
    reading: Reading, cursor: Cursor, followups: Followups, source: Source = Source.COMPARE
) -> cabc.Iterator[Batch]:
    """Yield the present state of the objects in the follow-ups; note those that are missing."""
    named = sorted(followups.candidates | followups.reread)
    for start in range(0, len(named), IDS_AT_ONCE):
        asked = named[start : start + IDS_AT_ONCE]
        revision = reading.ledger.revision
        observations, date = reading.read_by_ids(asked)
        absent = {str(one) for one in reading.anchors} - {seen.object_id for seen in observations}
        followups.lacks_anchors |= not absent <= followups.gone.union(map(str, named))
        observations += _absent(reading, followups, asked, observations, date)
        yield batch_of(source, cursor, observations, revision, date)


def read_listed(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    """Yield those of the missing objects that the list has; they are not missing."""
    named = sorted(int(one) for one in followups.gone)
    for start in range(0, len(named), IDS_AT_ONCE):
        revision = reading.ledger.revision
        observations, date = reading.read_by_ids(named[start : start + IDS_AT_ONCE])
        found = {seen.object_id for seen in observations}
        followups.shortfall = max(0, followups.shortfall - len(followups.gone & found))
        followups.gone -= found
        yield batch_of(Source.COMPARE, cursor, observations, revision, date)


def read_unplaced(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    """Yield those of the missing orders that nobody has placed; earlier releases recorded them."""
    revision = reading.ledger.revision
    observations = _unplaced(reading, sorted(int(one) for one in followups.gone))
    if observations:
        found = {seen.object_id for seen in observations}
        followups.shortfall = max(0, followups.shortfall - len(found))
        followups.gone -= found
        yield batch_of(Source.COMPARE, cursor, observations, revision, observations[0].seen_at)


def _unplaced(reading: Reading, numbers: cabc.Sequence[int]) -> list[Observation]:
    """Read those of these known orders that nobody has placed."""
    unplaced = reading.listing.unplaced()
    if unplaced is None:
        return []
    found: list[Observation] = []
    for start in range(0, len(numbers), INCLUDE_AT_ONCE):
        try:
            answer = unplaced.by_ids(numbers[start : start + INCLUDE_AT_ONCE])
        except StoreRejectedError as exc:
            if exc.status != 400:
                raise
            return []  # The store has no such status any more.
        date = reading.date_of(answer.date)
        # A filter by content shows whether they still belong to the list: each poll asks again.
        listed = reading.listing.is_filtered
        found += [reading.observe(row, date, listed=listed) for row in answer.data]
    return [seen for seen in found if int(seen.object_id) in numbers]


def _absent(
    reading: Reading,
    followups: Followups,
    asked: cabc.Sequence[int],
    shown: cabc.Sequence[Observation],
    date: dt.datetime,
) -> list[Observation]:
    """Note the known objects that a list lacks; read at their own address those never listed."""
    found = {seen.object_id for seen in shown}
    found.update(map(str, reading.listing.unreadable.ids))
    lacking = [str(number) for number in asked if str(number) not in found]
    observations = []
    for object_id, known in reading.ledger.known(lacking).items():
        if known.live and not known.listed and not reading.listing.is_filtered:
            observations += _at_own_address(reading, followups, int(object_id), date)
        elif known.live:
            followups.gone.add(object_id)
        elif known.held_at is not None:
            observations.append(Observation(object_id=object_id, body=None, seen_at=date))
    if (shown or not reading.anchors) and not reading.listing.client.doubtful:
        unknown = followups.asked.intersection(lacking) - reading.ledger.known(lacking).keys()
        observations += [
            Observation(object_id=object_id, body=None, seen_at=date) for object_id in unknown
        ]
    return observations


def _at_own_address(
    reading: Reading, followups: Followups, number: int, date: dt.datetime
) -> list[Observation]:
    try:
        body = reading.one(number)
    except ObjectUnreadableError:
        return []
    if not _is_there(reading, body) or reading.listing.without_role([number]):
        followups.gone.add(str(number))
        return []
    assert body is not None
    return [reading.observe(body, date, listed=False)]


def unlisted(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    """Read the next of the objects that no list shows at their own addresses."""
    hidden = [] if reading.listing.is_filtered else reading.ledger.unlisted()
    after = int(cursor.memory.get("unlisted_after", 0))
    revision, date = reading.ledger.revision, reading.clock()
    observations = _unplaced(reading, hidden[:UNPLACED_AT_ONCE])
    unplaced = {int(seen.object_id) for seen in observations}
    hidden = [number for number in hidden if number not in unplaced]
    ahead = [number for number in hidden if number > after] or hidden
    for number in ahead[:UNLISTED_AT_ONCE]:
        observations += _at_own_address(reading, followups, number, date)
    memory = {name: kept for name, kept in cursor.memory.items() if name != "unlisted_after"}
    if len(ahead) > UNLISTED_AT_ONCE:
        memory["unlisted_after"] = ahead[UNLISTED_AT_ONCE - 1]
    cursor = dataclasses.replace(cursor, memory=memory)
    yield batch_of(Source.COMPARE, cursor, observations, revision, date)


def confirm(
    reading: Reading, cursor: Cursor, missing: cabc.Sequence[str], trashed: cabc.Set[str]
) -> cabc.Iterator[Batch]:
    """Yield what a second witness says of objects that a list lacks: own addresses, and a list.

    Up to ``EACH`` objects are requested by their own addresses; of more, a part, and all of them
    if the store has one of these.

    :param trashed: those that the store has shown in the trash.
    """
    revision = reading.ledger.revision
    numbers = sorted(int(one) for one in missing)
    alone = [number for number in numbers if str(number) not in trashed]
    some = _spread(alone, max(EACH, math.isqrt(len(alone))))
    bodies = _bodies(reading, some)
    if len(bodies) < len(some) or any(_is_there(reading, body) for body in bodies.values()):
        bodies |= _bodies(reading, [number for number in alone if number not in some])
    # An object that cannot be read is there.
    numbers = [number for number in numbers if number not in reading.listing.unreadable]
    for start in range(0, len(numbers), IDS_AT_ONCE):
        asked = numbers[start : start + IDS_AT_ONCE]
        shown, date = reading.read_by_ids(asked)
        found = {seen.object_id for seen in shown}
        there = [number for number in asked if _is_there(reading, bodies.get(number))]
        without_role = reading.listing.without_role([one for one in there if str(one) not in found])
        for number in asked:
            if str(number) in found or number in reading.listing.unreadable:
                continue
            body = bodies.get(number)
            if body is not None and number in there and number not in without_role:
                shown.append(reading.observe(body, date, listed=False))
            else:
                shown.append(Observation(object_id=str(number), body=None, seen_at=date))
        yield batch_of(Source.COMPARE, cursor, shown, revision, date)
        revision = reading.ledger.revision


def _bodies(reading: Reading, numbers: cabc.Sequence[int]) -> dict[int, dict[str, t.Any] | None]:
    """Read objects at their own addresses; leave out those that cannot be read."""
    bodies = {}
    for number in numbers:
        with contextlib.suppress(ObjectUnreadableError):
            bodies[number] = reading.one(number)
    return bodies


def _is_there(reading: Reading, body: cabc.Mapping[str, t.Any] | None) -> bool:
    return body is not None and not reading.listing.excludes(body)


def _spread(numbers: cabc.Sequence[int], most: int) -> list[int]:
    """Return at most this many of the numbers, the first and the last among them."""
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[index * (len(numbers) - 1) // (most - 1)] for index in range(most)]


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
