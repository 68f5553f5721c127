"""Children: collections that a store lists only by parent, such as order notes."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ...db.states import PollerState, Source
from ...errors import (
    ObjectUnreadableError,
    StoreGarbledError,
    StoreRejectedError,
    TransportError,
)
from ...woocommerce.endpoints import ParentLink
from ...woocommerce.listing import INCLUDE_AT_ONCE, LIGHT_FIELDS, Listing
from ...woocommerce.paging import walk
from ..cursor import Cursor, ListPosition
from ..ledger.observation import Observation
from . import comparison, modified
from .ahead import DatesAhead
from .base import MAX_REQUESTS, RETRIES, Batch, Followups, Reading, batch_of
from .read_parents import ReadParents, modified_at

Row = cabc.Mapping[str, t.Any]


def read(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    """Poll a collection through its parents: the changed ones, and the next to compare.

    The cursor's dates and positions are those of the parents.
    """
    nested = _Nested(reading, followups, memory=cursor.memory)
    nested.retry()
    if cursor.state is PollerState.BASELINE:
        yield from nested.baseline(cursor)
        return
    for batch in nested.compare(cursor):
        cursor = batch.cursor
        yield batch
    yield from nested.window(cursor)


def search(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    """Read the children of the parents that changed, and note those that are missing."""
    return check(reading, cursor, followups, Source.COMPARE)


def check(
    reading: Reading, cursor: Cursor, followups: Followups, source: Source
) -> cabc.Iterator[Batch]:
    """Yield the present state of the named objects, and of the children of the named parents.

    Missing ones are noted.
    """
    nested = _Nested(reading, followups, source, cursor.memory)
    for batch in nested.named_parents(cursor):
        cursor = batch.cursor
        yield batch
    for batch in nested.check(cursor):
        assert batch.observed is not None
        seen = batch.observed.observations
        followups.gone.update(one.object_id for one in seen if one.body is None)
        there = [one for one in seen if one.body is not None]
        yield Batch(batch.cursor, dataclasses.replace(batch.observed, observations=there))


def confirm(reading: Reading, cursor: Cursor, missing: cabc.Sequence[str]) -> cabc.Iterator[Batch]:
    """Yield the present state of objects that the list of their parent lacks."""
    nested = _Nested(reading, Followups(candidates={int(one) for one in missing}))
    yield from nested.check(cursor)


def excluded(
    reading: Reading, cursor: Cursor, followups: Followups, source: Source
) -> cabc.Iterator[Batch]:
    """Yield the candidates that only another filter shows, and take them from the follow-ups."""
    wide = dataclasses.replace(reading, listing=reading.listing.unfiltered())
    nested, ledger = _Nested(wide, followups, source), reading.ledger
    named = sorted(followups.candidates | {int(one) for one in followups.gone})
    for parent in sorted(set(ledger.parents_of(named).values())):
        yield nested.excluded(parent, cursor)


class _Nested:
    """One read of the children of a store's parents."""

    def __init__(
        self,
        reading: Reading,
        followups: Followups,
        source: Source = Source.COMPARE,
        memory: cabc.Mapping[str, t.Any] | None = None,
    ) -> None:
        below, parents = reading.listing.collection.below, reading.parents
        assert below is not None
        assert parents is not None
        self._reading = reading
        self._followups = followups
        self._source = source
        self._below: ParentLink = below
        self._parents: Listing = parents
        self._fields = ",".join(filter(None, (LIGHT_FIELDS, below.named_in)))
        self._read = ReadParents(memory or {})

    def retry(self) -> None:
        """Name the parents to read again whose children, or some of them, could not be read."""
        parents, unreadable = self._parents.unreadable, self._reading.listing.unreadable
        parents.hurry(self._followups.parents)
        due = unreadable.due(RETRIES)
        for number in due:
            unreadable.release(number)
        again = parents.due(RETRIES)
        for number in again:
            parents.release(number)
        self._followups.parents.update(again, self._reading.ledger.parents_of(due).values())

    def baseline(self, cursor: Cursor) -> cabc.Iterator[Batch]:
        """Read all parents from where the last attempt ended, and their children."""
        reading, position, began = self._reading, cursor.baseline, cursor.baseline_at
        pages = walk(
            self._page,
            page_size=self._size(self._below.parents_at_once),
            start_offset=position.offset,
            after_id=position.after_id,
            overlap=True,
            max_requests=MAX_REQUESTS,
        )
        for page in pages:
            date = reading.date_of(page.date)
            began = reading.began(cursor, date, page.rows)
            if page.rows:
                position = ListPosition(page.offset + len(page.rows), page.last_id)
            total = page.total if cursor.baseline_total is None else cursor.baseline_total
            cursor = dataclasses.replace(
                cursor, baseline=position, baseline_at=began, baseline_total=total
            )
            batch = self._children_of(page.rows, cursor, date)
            if (observed := batch.observed) is not None:
                observed = dataclasses.replace(observed, source=Source.BASELINE, since=began)
            yield Batch(cursor := batch.cursor, observed)
        if reading.may_end(position.offset, cursor):
            yield Batch(dataclasses.replace(cursor, state=PollerState.ACTIVE, at=began))

    def compare(self, cursor: Cursor) -> cabc.Iterator[Batch]:
        """Read the children of the next parents; note those whose parent is gone."""
        reading, position, compared = self._reading, cursor.compare, 0
        parents = int(cursor.memory.get("parents", cursor.baseline.offset))
        count = max(self._below.parents_at_once, -(-parents // reading.compare_polls))
        for page in comparison.pages(self._page, self._size(count), position):
            ended = comparison.is_end(page)
            until = None if ended else page.last_id
            shown = {row["id"] for row in page.rows}
            for child, parent in reading.ledger.children_between(position.after_id, until).items():
                if parent not in shown and parent not in self._parents.unreadable:
                    self._followups.gone.add(str(child))
            reached = page.offset + len(page.rows)
            position = ListPosition() if ended else ListPosition(reached, page.last_id)
            total = reached if ended else page.total
            memory = {**cursor.memory, **({} if total is None else {"parents": total})}
            cursor = dataclasses.replace(cursor, compare=position, memory=memory)
            yield (batch := self._children_of(page.rows, cursor, reading.date_of(page.date)))
            cursor = batch.cursor
            compared += len(page.rows)
            enough = compared >= count and reading.compare_polls > 1
            if enough or (ended and not comparison.is_past_end(page)):
                return

    def window(self, cursor: Cursor, start: dt.datetime | None = None) -> cabc.Iterator[Batch]:
        """Read the children of the parents modified since the overlap before the cursor.

        :param start: read from here instead, by the store's clock.
        """
        reading, begin = self._reading, start or modified.wide_start(self._reading, cursor)
        greatest, poll_date, clock_ahead = cursor.at or begin, None, None
        ahead = DatesAhead(self._parents, cursor.memory)
        for fetch in ahead.windows(begin, self._fields):
            for page in modified.window_pages(fetch, reading):
                date = reading.date_of(page.date)
                if poll_date is None and start is None:
                    better = modified.better_start(reading, cursor, begin, page, date)
                    if better is not None:
                        yield from self.window(cursor, better)
                        return
                poll_date, clock_ahead = poll_date or date, clock_ahead or date - reading.clock()
                greatest = max([greatest, *filter(None, map(modified_at, page.rows))])
                unread = [row for row in page.rows if self._is_unread(row, ahead, date)]
                yield (batch := self._changed(unread, cursor, date))
                cursor = batch.cursor
        memory = ahead.remember(self._read.remember(cursor.memory, begin))
        memory = modified.with_clock(memory, clock_ahead)
        yield Batch(dataclasses.replace(cursor, at=greatest, polled_at=poll_date, memory=memory))

    def _is_unread(self, row: Row, ahead: DatesAhead, date: dt.datetime) -> bool:
        """Return whether the children of a row in the window are to be read."""
        if row.get("status") == "trash":
            return True
        is_ahead = ahead.is_ahead(row["id"], modified_at(row), date)
        if not self._read.holds(row):
            if is_ahead:
                ahead.read_first(row["id"])
            return True
        return is_ahead and ahead.is_due_again(row["id"])

    def _changed(self, parents: cabc.Sequence[Row], cursor: Cursor, date: dt.datetime) -> Batch:
        gone = [row["id"] for row in parents if row.get("status") == "trash"]
        self._followups.gone.update(map(str, self._reading.ledger.children(gone)))
        live = [row for row in parents if row.get("status") != "trash"]
        return self._children_of(live, cursor, date)

    def named_parents(self, cursor: Cursor) -> cabc.Iterator[Batch]:
        """Read the children of the parents in the follow-ups."""
        parents = sorted(self._followups.parents - self._followups.read_parents)
        for start in range(0, len(parents), INCLUDE_AT_ONCE):
            ids = parents[start : start + INCLUDE_AT_ONCE]
            answer = self._parents.by_ids(ids, self._fields, again=True)
            there = {row["id"] for row in answer.data} | {*self._parents.unreadable.ids}
            held = self._reading.ledger.children([number for number in ids if number not in there])
            self._followups.gone.update(map(str, held))
            date = self._reading.date_of(answer.date)
            # A product names its variations from a cache, which is late when one is moved to it.
            batch = self._children_of(answer.data, cursor, date, unnamed=self._below.inherits)
            cursor = batch.cursor
            yield batch

    def excluded(self, parent: int, cursor: Cursor) -> Batch:
        """Read all children of a parent, and yield the candidates among them as excluded."""
        revision, followups = self._reading.ledger.revision, self._followups
        try:
            observations, date = self._children(parent)
        except ObjectUnreadableError:
            return Batch(cursor)
        named = {str(number) for number in followups.candidates} | followups.gone
        found = [seen for seen in observations if seen.object_id in named]
        shown = {seen.object_id for seen in found}
        followups.candidates -= {int(number) for number in shown}
        followups.gone -= shown
        found = [dataclasses.replace(seen, excluded=True) for seen in found]
        return batch_of(self._source, cursor, found, revision, date)

    def check(self, cursor: Cursor) -> cabc.Iterator[Batch]:
        """Yield the present state of the candidates, parent by parent."""
        parents = self._reading.ledger.parents_of(sorted(self._followups.candidates))
        groups: dict[int, list[int]] = collections.defaultdict(list)
        for child, parent in sorted(parents.items()):
            groups[parent].append(child)
        for parent, children in groups.items():
            revision = self._reading.ledger.revision
            try:
                observations, date = self._confirm(parent, children)
            except ObjectUnreadableError:
                continue  # What cannot be read is not missing.
            yield batch_of(self._source, cursor, observations, revision, date)

    def _confirm(
        self, parent: int, children: cabc.Sequence[int]
    ) -> tuple[list[Observation], dt.datetime]:
        body = self._parents.one(parent, self._fields)
        if body is None or body.get("status") == "trash":
            date = self._reading.clock()
            return [_gone(child, date) for child in children], date
        observations, date = self._children(parent)
        shown = {seen.object_id for seen in observations}
        shown.update(map(str, self._reading.listing.unreadable.ids))
        gone = [child for child in children if str(child) not in shown]
        if self._below.named_in:
            lost = [child for child in gone if child in self._below.names(body)]
        else:
            listing = self._reading.listing.below(parent)
            lost = [child for child in {*gone[:1], *gone[-1:]} if listing.one(child) is not None]
        if lost:
            raise StoreGarbledError(
                f"the store's list of {self._below.path.format(parent)} lacks {lost[0]}, "
                "although the store has it",
                status=200,
            )
        return observations + [_gone(child, date) for child in gone], date

    def _children_of(
        self,
        parents: cabc.Sequence[Row],
        cursor: Cursor,
        date: dt.datetime,
        *,
        unnamed: bool = False,
    ) -> Batch:
        """Read the children of these parents; note those of the ledger that are not shown.

        :param unnamed: also read parents that name no child.
        """
        reading, revision = self._reading, self._reading.ledger.revision
        held: dict[int, list[int]] = collections.defaultdict(list)
        for child, parent in reading.ledger.children([row["id"] for row in parents]).items():
            held[parent].append(child)
        found: list[Observation] = []
        for row in parents:
            if self._parents.unreadable.waits(row["id"]):
                continue
            known = self._below.names(row) or row["id"] in held
            if not self._below.named_in or known or unnamed:
                try:
                    observations, _date = self._children(row["id"])
                except ObjectUnreadableError:
                    continue
                shown = {seen.object_id for seen in observations}
                shown.update(map(str, reading.listing.unreadable.ids))
                gone = {str(child) for child in held[row["id"]]} - shown
                self._followups.gone |= gone
                found += observations
                self._followups.read_parents |= {row["id"]} & self._followups.parents
                if gone:
                    continue  # It is read again until they are deleted.
            self._read.add(row, date)
        memory = self._read.remember(cursor.memory, self._window_start(cursor))
        cursor = dataclasses.replace(cursor, memory=memory)
        return batch_of(self._source, cursor, found, revision, date) if found else Batch(cursor)

    def _window_start(self, cursor: Cursor) -> dt.datetime:
        """Return where the next window begins at the earliest."""
        if cursor.at is None and cursor.baseline_at is not None:
            return cursor.baseline_at - self._reading.overlap
        return modified.wide_start(self._reading, cursor)

    def _children(self, parent: int) -> tuple[list[Observation], dt.datetime]:
        """Return all children of one parent; none if the parent was deleted meanwhile.

        :raises ObjectUnreadableError: the store fails to show them, and shows parents.
        """
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
                    max_requests=MAX_REQUESTS,
                ):
                    seen_at = reading.date_of(page.date)
                    date = date or seen_at
                    observations += [
                        reading.observe(row, seen_at, parent=parent) for row in page.rows
                    ]
        except StoreRejectedError as exc:
            if exc.status not in (404, 410):
                raise
        except TransportError as exc:
            self._parents.check_up(exc)
            self._parents.unreadable.add(parent)
            raise ObjectUnreadableError(str(exc), url=exc.url) from exc
        self._parents.unreadable.remove(parent)
        return observations, date or reading.clock()

    def _page(self, offset: int, limit: int) -> t.Any:
        return self._parents.brief(offset, limit, self._fields)

    def _size(self, count: int) -> int:
        return max(2, min(count, self._reading.listing.page_size))


def _gone(child: int, date: dt.datetime) -> Observation:
    return Observation(object_id=str(child), body=None, seen_at=date)
