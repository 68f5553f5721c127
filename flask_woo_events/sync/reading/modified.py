"""Modified objects: those changed since the cursor, read through overlapping windows."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ...db.states import PollerState, Source
from ...errors import (
    ObjectUnreadableError,
    StoreFailedError,
    StoreGarbledError,
    StoreOrderError,
    StoreRejectedError,
)
from ...values.dates import parse_store_date
from ...woocommerce.listing import Fetch
from ...woocommerce.oddities import FORCED_ORDER, NOT_INCLUDED
from ...woocommerce.paging import Page, walk
from ..cursor import Cursor, ListPosition
from ..ledger.lookup import DATED_AHEAD
from ..ledger.observation import Observation, ObservationBatch
from . import comparison, full, presence
from .ahead import DatesAhead
from .base import MAX_REQUESTS, Batch, Followups, Reading, batch_of, read_ahead

#: How far behind the window the store's clock must be to count as set back.
CLOCK_STEP = dt.timedelta(minutes=1)
#: Rows of a window that every poll may read again; a window with more is narrowed.
WIDE_ROWS = 500
#: The member of a cursor's memory with the date since when the store's lists have another order.
UNORDERED = "unordered"
#: Objects of one page that are each read at their own addresses.
MOST_ALONE = 20


def read(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    """Poll one resource: yield its new and changed objects, each batch with the cursor after it.

    The caller commits every batch before it asks for the next one, so a crash between two of them
    repeats only what the ledger already holds.

    :param followups: receives the objects that seem to be missing.
    """
    if reading.listing.is_feed or not reading.listing.collection.orders_by_id:
        yield from full.read(reading, cursor, followups)
        return
    if not _is_unordered(reading, cursor):
        try:
            for batch in _read_by_id(reading, cursor, followups):
                cursor = batch.cursor
                yield batch
            return
        except StoreOrderError:
            memory = {**cursor.memory, UNORDERED: reading.clock().isoformat()}
            cursor = dataclasses.replace(cursor, memory=memory)
    yield from _read_whole(reading, cursor, followups)


def _is_unordered(reading: Reading, cursor: Cursor) -> bool:
    since = cursor.memory.get(UNORDERED)
    if since is None:
        return False
    return reading.clock() - dt.datetime.fromisoformat(str(since)) < full.ORDER_MAX_AGE


def _read_whole(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    """Read a resource whole, because the store puts its lists in an order of its own."""
    reading.listing.client.oddities.add(FORCED_ORDER, "lists not in the order of ids")
    for batch in full.read(reading, cursor, followups):
        # A later poll may read by id again, from the last known change.
        at = cursor.at or batch.cursor.at
        yield dataclasses.replace(batch, cursor=dataclasses.replace(batch.cursor, at=at))
    followups.complete = True


def _read_by_id(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    if cursor.state is PollerState.BASELINE:
        for batch in baseline(reading, cursor):
            cursor = batch.cursor
            yield batch
    else:
        # Before the window: old objects show whether this is the known store.
        for batch in comparison.compare(reading, cursor, followups):
            cursor = batch.cursor
            yield batch
        cursor = presence.check(reading, cursor, followups)
        yield Batch(cursor)
    if reading.listing.collection.has_date_filter:
        yield from window(reading, cursor, followups)


def baseline(reading: Reading, cursor: Cursor) -> cabc.Iterator[Batch]:
    """Read all objects, page by page from where the last attempt ended.

    Objects older than the baseline are recorded without an event. Objects that are created or
    modified meanwhile emit one; the first window finds changes on pages that were already read.
    """
    pages = walk(
        reading.listing.page,
        page_size=reading.listing.page_size,
        start_offset=cursor.baseline.offset,
        after_id=cursor.baseline.after_id,
        overlap=True,
        max_requests=MAX_REQUESTS,
    )
    last: Observation | None = None
    for revision, page in read_ahead(reading, pages):
        date = reading.date_of(page.date)
        began = reading.began(cursor, date, page.rows)
        position = cursor.baseline
        if page.rows:
            position = ListPosition(page.offset + len(page.rows), page.last_id)
        cursor = dataclasses.replace(
            cursor,
            baseline_at=began,
            baseline=position,
            baseline_total=page.total if cursor.baseline_total is None else cursor.baseline_total,
        )
        observed = ObservationBatch(
            source=Source.BASELINE,
            observations=[reading.observe(row, date) for row in page.rows],
            read_revision=revision,
            poll_date=date,
            since=began,
            overlap=_overlap(reading, last, page, date),
        )
        yield Batch(cursor, observed)
        last = observed.observations[-1] if page.rows else None
    if reading.may_end(cursor.baseline.offset, cursor):
        at = cursor.at or cursor.baseline_at
        yield Batch(dataclasses.replace(cursor, state=PollerState.ACTIVE, at=at))


def _overlap(
    reading: Reading, last: Observation | None, page: Page, date: dt.datetime
) -> tuple[Observation, Observation] | None:
    """Return the last object of the page before, if it was recorded, and as this page shows it."""
    if last is None or not last.placed or page.known is None:
        return None
    again = reading.observe(page.known, date)
    return (last, again) if again.object_id == last.object_id else None


def window(
    reading: Reading, cursor: Cursor, followups: Followups, start: dt.datetime | None = None
) -> cabc.Iterator[Batch]:
    """Read what was modified since the overlap before the cursor; move the cursor at the end.

    :param start: read from here instead, by the store's clock.
    """
    begin = start or wide_start(reading, cursor)
    greatest, poll_date, clock_ahead = cursor.at, None, None
    shown: set[int] = set()
    ahead = DatesAhead(reading.listing, cursor.memory)
    for fetch in ahead.windows(begin):
        revision = reading.ledger.revision
        for page in window_pages(fetch, reading):
            date = reading.date_of(page.date)
            if poll_date is None and start is None:
                better = better_start(reading, cursor, begin, page, date)
                if better is not None:
                    yield from window(reading, cursor, followups, better)
                    return
            poll_date, clock_ahead = poll_date or date, clock_ahead or date - reading.clock()
            shown.update(row["id"] for row in page.rows)
            observations = _read_changed(reading, followups, page.rows, ahead, date)
            dates = [modified for row in page.rows if (modified := _modified(row))]
            greatest = max([*dates, greatest or begin])
            if observations:
                # The cursor stays: later pages of this window may hold older dates.
                yield batch_of(Source.POLL, cursor, observations, revision, poll_date)
            revision = reading.ledger.revision
    until = ahead.until or (poll_date or reading.clock()) + DATED_AHEAD
    recent = reading.ledger.modified_between(begin, until, WIDE_ROWS)
    absent = [number for number in recent if number not in shown]
    yield from _vanished(reading, cursor, followups, absent, poll_date or reading.clock())
    memory = with_clock(ahead.remember(cursor.memory), clock_ahead)
    cursor = dataclasses.replace(cursor, memory=memory)
    if reading.listing.client.stale or followups.due:
        # A cache may have kept some of its pages, so that together they lack objects.
        yield Batch(cursor)
    else:
        yield Batch(dataclasses.replace(cursor, at=greatest, polled_at=poll_date))


def _vanished(
    reading: Reading,
    cursor: Cursor,
    followups: Followups,
    absent: cabc.Sequence[int],
    poll_date: dt.datetime,
) -> cabc.Iterator[Batch]:
    """Read the objects that the window should show and does not: deleted, or dated back."""
    if absent:
        revision = reading.ledger.revision
        observations = read_in_full(reading, absent)
        there = {int(seen.object_id) for seen in observations}
        there.update(reading.listing.unreadable.ids)
        followups.gone.update(str(number) for number in absent if number not in there)
        yield batch_of(Source.POLL, cursor, observations, revision, poll_date)


def wide_start(reading: Reading, cursor: Cursor) -> dt.datetime:
    """Return the overlap before the last known change, or before the last poll if earlier.

    A store's clock that was ahead for a while leaves dates in the future.
    """
    dates = [date for date in (cursor.at, cursor.polled_at) if date is not None]
    return (min(dates) if dates else reading.clock()) - reading.overlap


def better_start(
    reading: Reading, cursor: Cursor, begin: dt.datetime, page: Page, date: dt.datetime
) -> dt.datetime | None:
    """Return where to begin instead if the first page shows that the window does not fit."""
    starts = reset_start(reading, begin, date), _moved_start(reading, cursor, begin, date)
    if earlier := [start for start in starts if start is not None]:
        return min(earlier)
    if cursor.polled_at is not None and (page.total or 0) > WIDE_ROWS:
        # An import leaves thousands of objects near the last change. Those older than the overlap
        # before the last poll were visible to it.
        narrow = cursor.polled_at - reading.overlap
        return narrow if narrow > begin else None
    return None


def _moved_start(
    reading: Reading, cursor: Cursor, begin: dt.datetime, date: dt.datetime
) -> dt.datetime | None:
    """Return where to begin if the store's clock was set back against ours since the last poll.

    The last poll is then earlier by the store's present clock than its date says.
    """
    before = cursor.memory.get("clock_ahead")
    if before is None or cursor.polled_at is None:
        return None
    back = dt.timedelta(seconds=before) - (date - reading.clock())
    start = cursor.polled_at - back - reading.overlap
    return start if back > CLOCK_STEP and start < begin else None


def with_clock(memory: cabc.Mapping[str, t.Any], ahead: dt.timedelta | None) -> dict[str, t.Any]:
    """Return a cursor's memory with how far the store's clock was ahead of ours."""
    return {**memory, **({} if ahead is None else {"clock_ahead": round(ahead.total_seconds())})}


def reset_start(reading: Reading, begin: dt.datetime, date: dt.datetime) -> dt.datetime | None:
    """Return where to begin if the store's clock was set back: the overlap before its new time."""
    return date - reading.overlap if date < begin + reading.overlap - CLOCK_STEP else None


def window_pages(fetch: Fetch, reading: Reading) -> cabc.Iterator[Page]:
    """Read one listing of a window, each page beginning with the last row of the one before."""
    size = reading.listing.page_size
    return walk(fetch, page_size=size, overlap=True, max_requests=MAX_REQUESTS)


def _read_changed(
    reading: Reading,
    followups: Followups,
    rows: cabc.Sequence[cabc.Mapping[str, t.Any]],
    ahead: DatesAhead,
    date: dt.datetime,
) -> list[Observation]:
    """Read in full what the ledger does not hold at the row's date; note trashed rows."""
    known = reading.ledger.known([str(row["id"]) for row in rows])
    wanted = []
    for row in rows:
        before, modified = known.get(str(row["id"])), _modified(row)
        is_ahead = ahead.is_ahead(row["id"], modified, date)
        if row.get("status") == "trash":
            if before is not None and before.live:
                followups.gone.add(str(row["id"]))
                followups.trashed.add(str(row["id"]))
        elif (
            before is None
            or not before.live
            or before.modified_at != modified
            or before.held_at is not None
            or not before.settled
        ):
            wanted.append(row["id"])
            if is_ahead:
                ahead.read_first(row["id"])
        elif ahead.is_due_again(row["id"]):
            wanted.append(row["id"])
    observations = read_in_full(reading, wanted)
    given = {seen.object_id for seen in observations}
    left_out = given.union(map(str, reading.listing.unreadable.ids))
    lacking = [number for number in wanted if str(number) not in left_out]
    return observations + _at_own_addresses(reading, followups, lacking, date)


def _at_own_addresses(
    reading: Reading, followups: Followups, numbers: cabc.Sequence[int], date: dt.datetime
) -> list[Observation]:
    """Read objects that a window lists and that no request by ids returns; the rest stays due."""
    if not numbers:
        return []
    observations: list[Observation] = []
    followups.due.update(numbers[MOST_ALONE:])
    for number in numbers[:MOST_ALONE]:
        try:
            body = reading.one(number)
        except ObjectUnreadableError:
            continue
        except (StoreFailedError, StoreGarbledError, StoreRejectedError):
            followups.due.add(number)
            continue
        if body is not None and not reading.listing.excludes(body):
            observations.append(reading.observe(body, date))
    if observations or followups.due:
        ids = ", ".join(str(number) for number in numbers[:MOST_ALONE])
        reading.listing.client.oddities.add(NOT_INCLUDED, f"{reading.stream.resource} {ids}")
    return observations


def read_in_full(reading: Reading, ids: cabc.Sequence[int]) -> list[Observation]:
    """Read live objects by their ids, with the anchors; deleted ones are left out."""
    return reading.read_by_ids(ids)[0] if ids else []


def _modified(row: cabc.Mapping[str, t.Any]) -> dt.datetime | None:
    return parse_store_date(row.get("date_modified_gmt"))
