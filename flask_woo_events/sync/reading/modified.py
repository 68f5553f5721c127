"""The poll: what was modified since the cursor, read through overlapping windows."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ...db.models import PollerState, Source
from ...values.dates import parse_store_date
from ...woocommerce.client import StoreResponse
from ...woocommerce.listing import Fetch
from ...woocommerce.paging import Page, walk
from ..cursor import Cursor, ListPosition
from ..ledger.observation import Observation, ObservationBatch
from ..ledger.store_identity import CLOCK_STEP
from . import comparison, full
from .base import Batch, Followups, Reading, read_ahead

#: Requests for one listing before it is taken for one that never ends.
MAX_REQUESTS = 100_000
#: Rows of a window that are read again at every poll without a thought.
WIDE_ROWS = 500
#: Ids in one ``include``.
INCLUDE_AT_ONCE = 100


def read(reading: Reading, cursor: Cursor, look: Followups) -> cabc.Iterator[Batch]:
    """Poll one resource: yield what was seen, each time with the cursor behind it.

    The caller records and commits every batch before it asks for the next one; a crash between
    two of them repeats at most what the ledger already knows.

    :param look: gets what the search must look for.
    """
    collection = reading.listing.collection
    if reading.listing.is_feed or not collection.orders_by_id:
        yield from full.read(reading, cursor)
        return
    if cursor.state is PollerState.BASELINE:
        for batch in baseline(reading, cursor):
            cursor = batch.cursor
            yield batch
    else:
        # Before the window: what the store shows of old objects tells whether it is the same.
        for batch in comparison.compare(reading, cursor, look):
            cursor = batch.cursor
            yield batch
    if collection.has_date_filter:
        yield from window(reading, cursor, look)


def baseline(reading: Reading, cursor: Cursor) -> cabc.Iterator[Batch]:
    """Read what the store holds, page by page from where the last attempt came to.

    What is older than the baseline is recorded without a word. What the store creates or
    modifies meanwhile is told; what changes on pages already read, the first window finds.
    """
    pages = walk(
        reading.listing.page,
        page_size=reading.listing.page_size,
        start_offset=cursor.baseline.offset,
        after_id=cursor.baseline.after_id,
        overlap=True,
        max_requests=MAX_REQUESTS,
    )
    for ticket, page in read_ahead(reading, pages):
        date = reading.date_of(page.date)
        began = reading.began(cursor, date, page.rows)
        place = cursor.baseline
        if page.rows:
            place = ListPosition(page.offset + len(page.rows), page.last_id)
        cursor = dataclasses.replace(
            cursor,
            baseline_at=began,
            baseline=place,
            baseline_total=page.total if cursor.baseline_total is None else cursor.baseline_total,
        )
        sighting = ObservationBatch(
            source=Source.BASELINE,
            observations=[reading.observe(row, date) for row in page.rows],
            ticket=ticket,
            poll_date=date,
            since=began,
        )
        yield Batch(cursor, sighting)
    if reading.may_end(cursor.baseline.offset, cursor):
        at = cursor.at or cursor.baseline_at
        yield Batch(dataclasses.replace(cursor, state=PollerState.ACTIVE, at=at))


def window(
    reading: Reading, cursor: Cursor, look: Followups, start: dt.datetime | None = None
) -> cabc.Iterator[Batch]:
    """Read everything modified after the cursor less the overlap; move the cursor at the end.

    :param start: read from here instead, the store's clock.
    """
    begin = start or wide_start(reading, cursor)
    greatest, poll_date = cursor.at, None
    shown: set[int] = set()
    for fetch in reading.listing.windows(begin):
        ticket = reading.ledger.ticket()
        for page in window_pages(fetch, reading):
            date = reading.date_of(page.date)
            if poll_date is None and start is None:
                better = _better_start(reading, cursor, begin, page, date)
                if better is not None:
                    yield from window(reading, cursor, look, better)
                    return
            poll_date = poll_date or date
            shown.update(row["id"] for row in page.rows)
            rows = page.rows
            observations = _look_closer(reading, rows, date)
            greatest = max([d for row in rows if (d := _modified(row))] + [greatest or begin])
            if observations:
                # The cursor stays: later pages of this window may hold older dates.
                yield Batch(cursor, _sighting(observations, ticket, poll_date))
            ticket = reading.ledger.ticket()
    yield from _vanished(reading, cursor, look, begin, shown, poll_date or reading.clock())
    yield Batch(dataclasses.replace(cursor, at=greatest, polled_at=poll_date))


def _vanished(
    reading: Reading,
    cursor: Cursor,
    look: Followups,
    begin: dt.datetime,
    shown: cabc.Set[int],
    poll_date: dt.datetime,
) -> cabc.Iterator[Batch]:
    """Look after objects that should lie in the window and do not: gone, or back in time."""
    recent = reading.ledger.modified_after(begin, WIDE_ROWS)
    absent = [number for number in recent if number not in shown]
    if absent:
        ticket = reading.ledger.ticket()
        observations = read_in_full(reading, absent)
        there = {int(seen.object_id) for seen in observations}
        look.candidates.update(number for number in absent if number not in there)
        yield Batch(cursor, _sighting(observations, ticket, poll_date))


def _sighting(
    observations: cabc.Sequence[Observation], ticket: int, poll_date: dt.datetime
) -> ObservationBatch:
    return ObservationBatch(
        source=Source.POLL, observations=observations, ticket=ticket, poll_date=poll_date
    )


def reach(reading: Reading) -> dt.timedelta:
    """How far behind the cursor a window begins."""
    # The store's filter is exclusive, and its dates have no fractions.
    delay = dt.timedelta(seconds=reading.stream.configuration.poll_delay)
    return max(reading.overlap, delay) + dt.timedelta(minutes=1)


def wide_start(reading: Reading, cursor: Cursor) -> dt.datetime:
    """The overlap before the last change that is known, or before the last poll if earlier.

    A clock that was ahead and was put right leaves dates of the future behind.
    """
    dates = [date for date in (cursor.at, cursor.polled_at) if date is not None]
    return (min(dates) if dates else reading.clock()) - reach(reading)


def _better_start(
    reading: Reading, cursor: Cursor, begin: dt.datetime, page: Page, date: dt.datetime
) -> dt.datetime | None:
    """Where to begin when the first page shows that the wide window does not fit."""
    if start := put_back(reading, begin, date):
        return start
    if cursor.polled_at is not None and (page.total or 0) > WIDE_ROWS:
        # After an import the last change has thousands of neighbours. What is older than the
        # overlap before the last poll was visible to it.
        narrow = cursor.polled_at - reach(reading)
        return narrow if narrow > begin else None
    return None


def put_back(reading: Reading, begin: dt.datetime, date: dt.datetime) -> dt.datetime | None:
    """Where to begin when the store's clock was put back: before its dates of now."""
    return date - reach(reading) if date < begin + reach(reading) - CLOCK_STEP else None


def window_pages(fetch: Fetch, reading: Reading) -> cabc.Iterator[Page]:
    """Read one listing of a window, each page beginning with the last row of the one before."""
    return walk(
        fetch,
        page_size=reading.listing.page_size,
        overlap=True,
        max_requests=MAX_REQUESTS,
    )


def _look_closer(
    reading: Reading, rows: cabc.Sequence[cabc.Mapping[str, t.Any]], date: dt.datetime
) -> list[Observation]:
    """Read in full what the ledger does not hold at the row's date; trashed rows are gone."""
    known = reading.ledger.known([str(row["id"]) for row in rows])
    observations, wanted = [], []
    for row in rows:
        before = known.get(str(row["id"]))
        modified = _modified(row)
        if row.get("status") == "trash":
            if before is not None and before.live:
                observations.append(
                    Observation(
                        object_id=str(row["id"]), body=None, seen_at=date, modified_at=modified
                    )
                )
        elif (
            before is None
            or not before.live
            or before.modified_at != modified
            or not before.settled
        ):
            wanted.append(row["id"])
    return observations + read_in_full(reading, wanted)


def read_in_full(reading: Reading, ids: cabc.Sequence[int]) -> list[Observation]:
    """Read live objects by their ids; those that are gone meanwhile are simply not among them."""
    observations = []
    for start in range(0, len(ids), INCLUDE_AT_ONCE):
        answer: StoreResponse = reading.listing.by_ids(ids[start : start + INCLUDE_AT_ONCE])
        date = reading.date_of(answer.date)
        observations += [reading.observe(row, date) for row in answer.data]
    return observations


def _modified(row: cabc.Mapping[str, t.Any]) -> dt.datetime | None:
    return parse_store_date(row.get("date_modified_gmt"))


def _after(row: cabc.Mapping[str, t.Any], date: dt.datetime) -> bool:
    modified = _modified(row)
    return modified is not None and modified > date
