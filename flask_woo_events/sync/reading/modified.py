"""Modified objects: those changed since the cursor, read through overlapping windows."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ...db.models import PollerState, Source
from ...values.dates import parse_store_date
from ...woocommerce.listing import Fetch
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


def read(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    """Poll one resource: yield its new and changed objects, each batch with the cursor after it.

    The caller commits every batch before it asks for the next one, so a crash between two of them
    repeats only what the ledger already holds.

    :param followups: receives the objects that seem to be missing.
    """
    collection = reading.listing.collection
    if reading.listing.is_feed or not collection.orders_by_id:
        yield from full.read(reading, cursor, followups)
        return
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
    if collection.has_date_filter:
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
        )
        yield Batch(cursor, observed)
    if reading.may_end(cursor.baseline.offset, cursor):
        at = cursor.at or cursor.baseline_at
        yield Batch(dataclasses.replace(cursor, state=PollerState.ACTIVE, at=at))


def window(
    reading: Reading, cursor: Cursor, followups: Followups, start: dt.datetime | None = None
) -> cabc.Iterator[Batch]:
    """Read what was modified since the overlap before the cursor; move the cursor at the end.

    :param start: read from here instead, by the store's clock.
    """
    begin = start or wide_start(reading, cursor)
    greatest, poll_date = cursor.at, None
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
            poll_date = poll_date or date
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
    memory = ahead.remember(cursor.memory)
    yield Batch(dataclasses.replace(cursor, at=greatest, polled_at=poll_date, memory=memory))


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
    if start := reset_start(reading, begin, date):
        return start
    if cursor.polled_at is not None and (page.total or 0) > WIDE_ROWS:
        # An import leaves thousands of objects near the last change. Those older than the overlap
        # before the last poll were visible to it.
        narrow = cursor.polled_at - reading.overlap
        return narrow if narrow > begin else None
    return None


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
    return read_in_full(reading, wanted)


def read_in_full(reading: Reading, ids: cabc.Sequence[int]) -> list[Observation]:
    """Read live objects by their ids, with the anchors; deleted ones are left out."""
    return reading.read_by_ids(ids)[0] if ids else []


def _modified(row: cabc.Mapping[str, t.Any]) -> dt.datetime | None:
    return parse_store_date(row.get("date_modified_gmt"))
