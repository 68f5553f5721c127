"""The scan: comparing a store with the ledger page by page, for what dates do not show."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import time

from ...db.models import Source
from ...errors import AnotherStoreError
from ...woocommerce.paging import Fetch, Page, walk
from ..cursor import Cursor, ListPosition
from ..ledger.observation import Observation, ObservationBatch
from ..ledger.store_identity import ENOUGH, LONG_SEEN
from .base import Batch, Followups, Reading

#: Pages of a collection that is compared whole at every poll; more is taken for a mistake.
MAX_PAGES = 10_000
#: Seconds after which a slow store is left alone until the next poll.
PATIENCE = 60.0


def compare(reading: Reading, cursor: Cursor, look: Followups) -> cabc.Iterator[Batch]:
    """Compare the next pages of the listing with the ledger, and go on there at the next poll.

    A page in the order of ids covers every id up to its last one: what the ledger holds as live
    in that stretch and the page does not show is left to the search.
    """
    collection, began = reading.listing.collection, time.monotonic()
    count = reading.ledger.count_live()
    budget = _budget(reading, count)
    place = start = cursor.compare
    ticket = reading.ledger.ticket()
    listing = reading.listing
    for number, page in enumerate(pages(listing.page, listing.page_size, place, budget), start=1):
        date = reading.date_of(page.date)
        observations = [reading.observe(row, date) for row in page.rows]
        reached = page.offset + len(page.rows)
        ended = page.last or (page.total is not None and reached >= page.total)
        stretch = place.after_id, None if ended else page.last_id
        _note_absent(reading, cursor, look, stretch, observations)
        # Past the end the store counts wrong.
        look.total = page.total if page.rows or not page.offset else look.total
        place = ListPosition() if ended else ListPosition(reached, page.last_id)
        look.complete = ended and start == ListPosition()
        cursor = dataclasses.replace(cursor, compare=place)
        if not collection.has_date_filter:
            cursor = dataclasses.replace(cursor, polled_at=date)
        yield Batch(cursor, _sighting(observations, ticket, date))
        slow = time.monotonic() - began > PATIENCE and not collection.compare_whole
        if ended or slow or number >= budget:
            break
        ticket = reading.ledger.ticket()
    if collection.compare_newest and count > budget * reading.listing.page_size:
        yield from _newest(reading, cursor)


def _sighting(
    observations: cabc.Sequence[Observation], ticket: int, date: dt.datetime
) -> ObservationBatch:
    return ObservationBatch(
        source=Source.COMPARE, observations=observations, ticket=ticket, poll_date=date
    )


def pages(fetch: Fetch, size: int, place: ListPosition, budget: int) -> cabc.Iterator[Page]:
    """The pages from a place on; from the beginning when the listing ends before it.

    :param size: rows of a page.
    :param budget: pages at most.
    """
    most = budget + 1
    for page in walk(
        fetch,
        page_size=size,
        start_offset=place.offset,
        after_id=place.after_id,
        overlap=False,
        max_requests=most,
    ):
        yield page
        if place.offset and not page.rows and page.offset <= place.offset:
            yield from walk(fetch, page_size=size, overlap=False, max_requests=most)
            return


def _budget(reading: Reading, count: int) -> int:
    """Pages to compare in this poll."""
    if reading.listing.collection.compare_whole:
        return MAX_PAGES
    pages = count / reading.listing.page_size
    return max(reading.compare_pages, round(pages * reading.compare_share))


def _newest(reading: Reading, cursor: Cursor) -> cabc.Iterator[Batch]:
    """Read the newest objects back to one that is known."""
    size = reading.listing.page_size
    for offset in range(0, MAX_PAGES * size, size):
        ticket = reading.ledger.ticket()
        answer = reading.listing.newest(offset, size)
        date = reading.date_of(answer.date)
        observations = [reading.observe(row, date) for row in answer.data]
        known = reading.ledger.known([seen.object_id for seen in observations])
        yield Batch(cursor, _sighting(observations, ticket, date))
        if known or len(observations) < size:
            return


def _note_absent(
    reading: Reading,
    cursor: Cursor,
    look: Followups,
    stretch: tuple[int | None, int | None],
    observations: cabc.Sequence[Observation],
) -> None:
    """Note what the ledger holds in a page's stretch of ids and the page does not show.

    :param stretch: the ids after the first up to the second, ``None`` for no bound.
    :raises AnotherStoreError: nothing known is shown there, but objects as old as it are.
    """
    shown = {int(seen.object_id) for seen in observations}
    known = reading.ledger.live_numbers(*stretch)
    absent = [number for number in known if number not in shown]
    if len(known) >= ENOUGH and len(absent) == len(known):
        before = cursor.polled_at
        old = [seen for seen in observations
               if before and seen.created_at and seen.created_at < before - LONG_SEEN]  # fmt: skip
        if len(old) >= ENOUGH:
            raise AnotherStoreError(
                f"the store shows {len(old)} {reading.stream.resource} of long ago where "
                f"{len(known)} others are known: another store answers at store.url, and nothing "
                "of it was taken over. If it is meant to, create an instance for it"
            )
    look.candidates.update(absent)
