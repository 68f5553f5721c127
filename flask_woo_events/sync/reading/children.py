"""The nested reading: collections that a store lists only by parent, such as order notes."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import math
import typing as t

from ...db.models import PollerState, Source
from ...errors import StoreGarbledError, StoreRejectedError
from ...values.dates import parse_store_date
from ...woocommerce.endpoints import ParentLink
from ...woocommerce.listing import LIGHT_FIELDS, Listing
from ...woocommerce.paging import walk
from ..cursor import Cursor, ListPosition
from ..ledger.lookup import SETTLED_AFTER
from ..ledger.observation import Observation, ObservationBatch
from . import comparison
from . import modified as poll
from .base import Batch, Followups, Reading
from .mass_deletion import guard_mass_deletion

#: Parents whose date of the last reading is remembered; others in the window are read again.
REMEMBERED = 2_000
#: Ids in one ``include``.
INCLUDE_AT_ONCE = 100

Row = cabc.Mapping[str, t.Any]


def read(reading: Reading, cursor: Cursor, look: Followups) -> cabc.Iterator[Batch]:
    """Poll a collection through its parents: those that changed, and the next ones in turn.

    The cursor's dates and places are those of the parents.
    """
    nested = _Nested(reading, look)
    if cursor.state is PollerState.BASELINE:
        yield from nested.baseline(cursor)
        return
    for batch in nested.compare(cursor):
        cursor = batch.cursor
        yield batch
    yield from nested.window(cursor)


def search(reading: Reading, cursor: Cursor, look: Followups) -> cabc.Iterator[Batch]:
    """Read what is below the parents of which changes were told, and confirm what is gone."""
    nested = _Nested(reading, look)
    yield from nested.hinted(cursor)
    cursor = yield from guard_mass_deletion(reading, cursor, len(look.candidates))
    yield from nested.settle(cursor)


def settle(
    reading: Reading, cursor: Cursor, look: Followups, source: Source
) -> cabc.Iterator[Batch]:
    """Tell what is true below the parents that were named, and of the objects that were."""
    nested = _Nested(reading, look, source)
    yield from nested.hinted(cursor)
    yield from nested.settle(cursor)


class _Nested:
    """One reading of what is below the parents of a store."""

    def __init__(self, reading: Reading, look: Followups, source: Source = Source.COMPARE) -> None:
        below, parents = reading.listing.collection.below, reading.parents
        assert below is not None
        assert parents is not None
        self._reading = reading
        self._look = look
        self._source = source
        self._below: ParentLink = below
        self._parents: Listing = parents
        self._fields = ",".join(filter(None, (LIGHT_FIELDS, below.named_in)))

    def baseline(self, cursor: Cursor) -> cabc.Iterator[Batch]:
        """Read all parents from where the last attempt came to, and what is below them."""
        reading, place, began = self._reading, cursor.baseline, cursor.baseline_at
        pages = walk(
            self._page,
            page_size=self._size(self._below.parents_at_once),
            start_offset=place.offset,
            after_id=place.after_id,
            overlap=True,
            max_requests=poll.MAX_REQUESTS,
        )
        for page in pages:
            date = reading.date_of(page.date)
            began = reading.began(cursor, date, page.rows)
            if page.rows:
                place = ListPosition(page.offset + len(page.rows), page.last_id)
            total = page.total if cursor.baseline_total is None else cursor.baseline_total
            cursor = dataclasses.replace(
                cursor, baseline=place, baseline_at=began, baseline_total=total
            )
            batch = self._below_all(page.rows, cursor, date)
            if batch.sighting is not None:
                told = dataclasses.replace(batch.sighting, source=Source.BASELINE, since=began)
                batch = Batch(cursor, told)
            yield batch
        if reading.may_end(place.offset, cursor):
            yield Batch(dataclasses.replace(cursor, state=PollerState.ACTIVE, at=began))

    def compare(self, cursor: Cursor) -> cabc.Iterator[Batch]:
        """Read what is below the next parents; those that are not there any more are noted."""
        reading, place = self._reading, cursor.compare
        many = max(
            self._below.parents_at_once,
            math.ceil(int(cursor.memory.get("parents", 0)) * reading.compare_share),
        )
        size = self._size(many)
        pages = comparison.pages(self._page, size, place, budget=math.ceil(many / size))
        for number, page in enumerate(pages, start=1):
            until = None if page.last else page.last_id
            shown = {row["id"] for row in page.rows}
            for child, parent in reading.ledger.children_between(place.after_id, until).items():
                if parent not in shown:
                    self._look.candidates.add(child)
            place = (
                ListPosition()
                if page.last
                else ListPosition(page.offset + len(page.rows), page.last_id)
            )
            total = page.total if page.rows or not page.offset else None
            memory = {**cursor.memory, **({} if total is None else {"parents": total})}
            cursor = dataclasses.replace(cursor, compare=place, memory=memory)
            yield self._below_all(page.rows, cursor, reading.date_of(page.date))
            if page.last or number * size >= many:
                return

    def window(self, cursor: Cursor, start: dt.datetime | None = None) -> cabc.Iterator[Batch]:
        """Read what is below the parents modified since the cursor less the overlap.

        :param start: read from here instead, the store's clock.
        """
        reading, before = self._reading, cursor.memory.get("read_at", {})
        begin = start or poll.wide_start(reading, cursor)
        greatest, poll_date = cursor.at or begin, None
        read_at: dict[str, str] = {}
        for fetch in self._parents.windows(begin, self._fields):
            for page in poll.window_pages(fetch, reading):
                date = reading.date_of(page.date)
                if start is None and (earlier := poll.put_back(reading, begin, date)):
                    yield from self.window(cursor, earlier)
                    return
                poll_date = poll_date or date
                changed = []
                for row in page.rows:
                    known = before.get(str(row["id"])) == row.get("date_modified_gmt")
                    if row.get("status") == "trash" or not known:
                        changed.append(row)
                    if row.get("status") != "trash" and (known or _settled(row, date)):
                        read_at[str(row["id"])] = str(row.get("date_modified_gmt"))
                    greatest = max(greatest, _modified(row) or greatest)
                batch = self._changed(changed, cursor, date)
                if batch.sighting is not None:
                    yield batch
        kept = dict(sorted(read_at.items(), key=lambda item: item[1])[-REMEMBERED:])
        memory = {**cursor.memory, "read_at": kept}
        yield Batch(dataclasses.replace(cursor, at=greatest, polled_at=poll_date, memory=memory))

    def _changed(self, parents: cabc.Sequence[Row], cursor: Cursor, date: dt.datetime) -> Batch:
        gone = [row["id"] for row in parents if row.get("status") == "trash"]
        self._look.candidates.update(self._reading.ledger.children(gone))
        live = [row for row in parents if row.get("status") != "trash"]
        return self._below_all(live, cursor, date)

    def hinted(self, cursor: Cursor) -> cabc.Iterator[Batch]:
        """Read what is below the parents that other sources say have changed."""
        hinted = sorted(self._look.parents)
        for start in range(0, len(hinted), INCLUDE_AT_ONCE):
            some = hinted[start : start + INCLUDE_AT_ONCE]
            answer = self._parents.by_ids(some, self._fields)
            there = {row["id"] for row in answer.data}
            held = self._reading.ledger.children([one for one in some if one not in there])
            self._look.candidates.update(held)
            date = self._reading.date_of(answer.date)
            # A product names its variations from a cache, which lags when one is moved to it.
            yield self._below_all(answer.data, cursor, date, unnamed=self._below.inherits)

    def settle(self, cursor: Cursor) -> cabc.Iterator[Batch]:
        """Ask once more for what was not shown, parent by parent, and say what is gone."""
        parents = self._reading.ledger.parents_of(sorted(self._look.candidates))
        groups: dict[int, list[int]] = collections.defaultdict(list)
        for child, parent in sorted(parents.items()):
            groups[parent].append(child)
        for parent, children in groups.items():
            ticket = self._reading.ledger.ticket()
            observations, date = self._confirm(parent, children)
            yield Batch(cursor, self._sighting(observations, ticket, date))

    def _confirm(
        self, parent: int, children: cabc.Sequence[int]
    ) -> tuple[list[Observation], dt.datetime]:
        body = self._parents.one(parent, self._fields)
        if body is None or body.get("status") == "trash":
            date = self._reading.clock()
            return [_gone(child, date) for child in children], date
        observations, date = self._children(parent)
        shown = {seen.object_id for seen in observations}
        gone = [child for child in children if str(child) not in shown]
        if self._below.named_in:
            lost = [child for child in gone if child in self._below.names(body)]
        else:
            listing = self._reading.listing.below(parent)
            lost = [child for child in {*gone[:1], *gone[-1:]} if listing.one(child) is not None]
        if lost:
            raise StoreGarbledError(
                f"the store's list of {self._below.path.format(parent)} lacks {lost[0]}, "
                "which it nevertheless has",
                status=200,
            )
        return observations + [_gone(child, date) for child in gone], date

    def _below_all(
        self,
        parents: cabc.Sequence[Row],
        cursor: Cursor,
        date: dt.datetime,
        *,
        unnamed: bool = False,
    ) -> Batch:
        """Read what is below these parents; note what the ledger has there and is not shown.

        :param unnamed: also below parents that name nothing.
        """
        reading, ticket = self._reading, self._reading.ledger.ticket()
        held: dict[int, list[int]] = collections.defaultdict(list)
        for child, parent in reading.ledger.children([row["id"] for row in parents]).items():
            held[parent].append(child)
        found: list[Observation] = []
        for row in parents:
            known = self._below.names(row) or row["id"] in held
            if self._below.named_in and not known and not unnamed:
                continue
            observations, _date = self._children(row["id"])
            shown = {seen.object_id for seen in observations}
            self._look.candidates.update(
                child for child in held[row["id"]] if str(child) not in shown
            )
            found += observations
        return Batch(cursor, self._sighting(found, ticket, date) if found else None)

    def _children(self, parent: int) -> tuple[list[Observation], dt.datetime]:
        """All that is below one parent; nothing when the parent is gone meanwhile."""
        reading, listing = self._reading, self._reading.listing.below(parent)
        observations: list[Observation] = []
        date: dt.datetime | None = None
        try:
            if not self._below.named_in:
                answer = listing.numbered(1, listing.page_size)  # Notes have no pages.
                date = reading.date_of(answer.date)
                observations = [reading.observe(row, date, parent=parent) for row in answer.data]
            else:
                for page in walk(
                    listing.page,
                    page_size=listing.page_size,
                    overlap=True,
                    max_requests=poll.MAX_REQUESTS,
                ):
                    seen_at = reading.date_of(page.date)
                    date = date or seen_at
                    observations += [
                        reading.observe(row, seen_at, parent=parent) for row in page.rows
                    ]
        except StoreRejectedError as exc:
            if exc.status not in (404, 410):
                raise
        return observations, date or reading.clock()

    def _sighting(
        self, observations: cabc.Sequence[Observation], ticket: int, date: dt.datetime
    ) -> ObservationBatch:
        return ObservationBatch(
            source=self._source, observations=observations, ticket=ticket, poll_date=date
        )

    def _page(self, offset: int, limit: int) -> t.Any:
        return self._parents.brief(offset, limit, self._fields)

    def _size(self, many: int) -> int:
        return max(2, min(many, self._reading.listing.page_size))


def _settled(row: Row, date: dt.datetime) -> bool:
    modified = _modified(row)
    return modified is not None and date >= modified + SETTLED_AFTER


def _modified(row: Row) -> dt.datetime | None:
    return parse_store_date(row.get("date_modified_gmt"))


def _gone(child: int, date: dt.datetime) -> Observation:
    return Observation(object_id=str(child), body=None, seen_at=date)
