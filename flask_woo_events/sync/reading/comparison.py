"""The comparison: a store and its ledger page by page, for changes that dates do not show."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import time

from ...db.models import Source
from ...errors import AnotherStoreError
from ...woocommerce.paging import Fetch, Page, walk
from ..cursor import Cursor, ListPosition
from ..ledger.observation import Observation
from ..ledger.store_identity import ENOUGH, LONG_SEEN
from .base import MAX_PAGES, Batch, Followups, Reading, batch_of

#: Seconds after which the comparison of a slow store pauses until the next poll.
MAX_SECONDS = 60.0


def compare(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    """Compare the next pages of the listing with the ledger; the next poll continues there.

    A page in the order of ids covers every id up to its last one. An object that the ledger holds
    as live in that range and the page does not show becomes a candidate for a deletion.
    """
    collection, began = reading.listing.collection, time.monotonic()
    count = reading.ledger.count_live()
    budget = _budget(reading, count)
    position = start = cursor.compare
    revision = reading.ledger.revision
    listing = reading.listing
    found = pages(listing.page, listing.page_size, position, budget)
    for number, page in enumerate(found, start=1):
        date = reading.date_of(page.date)
        observations = _new_ones(reading, [reading.observe(row, date) for row in page.rows])
        reached = page.offset + len(page.rows)
        ended = page.last or (page.total is not None and reached >= page.total)
        id_range = position.after_id, None if ended else page.last_id
        _note_absent(reading, cursor, followups, id_range, observations)
        # The store's count is wrong on a page past the end.
        followups.total = page.total if page.rows or not page.offset else followups.total
        position = ListPosition() if ended else ListPosition(reached, page.last_id)
        followups.complete = ended and start == ListPosition()
        cursor = dataclasses.replace(cursor, compare=position)
        if not collection.has_date_filter:
            cursor = dataclasses.replace(cursor, polled_at=date)
        yield batch_of(Source.COMPARE, cursor, observations, revision, date)
        slow = time.monotonic() - began > MAX_SECONDS and not collection.compare_whole
        if ended or slow or number >= budget:
            break
        revision = reading.ledger.revision
    if collection.compare_newest and count > budget * reading.listing.page_size:
        yield from _newest(reading, cursor)


def pages(fetch: Fetch, size: int, position: ListPosition, budget: int) -> cabc.Iterator[Page]:
    """Yield the pages from a position on, or from the start if the listing ends before it.

    :param size: rows per page.
    :param budget: the greatest number of pages.
    """
    most = budget + 1
    for page in walk(
        fetch,
        page_size=size,
        start_offset=position.offset,
        after_id=position.after_id,
        overlap=False,
        max_requests=most,
    ):
        yield page
        if position.offset and not page.rows and page.offset <= position.offset:
            yield from walk(fetch, page_size=size, overlap=False, max_requests=most)
            return


def _new_ones(reading: Reading, observations: list[Observation]) -> list[Observation]:
    """Mark the unknown objects that the filter before lists, too, if they have no date."""
    undated = [seen.object_id for seen in observations if seen.created_at is None]
    if reading.before is None or not undated:
        return observations
    known = reading.ledger.known(undated)
    unknown = [int(one) for one in undated if one not in known]
    listed = {str(row["id"]) for row in reading.before.by_ids(unknown, "id").data}
    return [
        dataclasses.replace(seen, is_new=True) if seen.object_id in listed else seen
        for seen in observations
    ]


def _budget(reading: Reading, count: int) -> int:
    """Return the number of pages to compare in this poll."""
    if reading.listing.collection.compare_whole or reading.stream.comparison is not None:
        return MAX_PAGES
    pages = count / reading.listing.page_size
    return max(reading.compare_pages, round(pages * reading.compare_share))


def _newest(reading: Reading, cursor: Cursor) -> cabc.Iterator[Batch]:
    """Read the newest objects, back to the first one that the ledger holds."""
    size = reading.listing.page_size
    for offset in range(0, MAX_PAGES * size, size):
        revision = reading.ledger.revision
        answer = reading.listing.newest(offset, size)
        date = reading.date_of(answer.date)
        observations = [reading.observe(row, date) for row in answer.data]
        known = reading.ledger.known([seen.object_id for seen in observations])
        yield batch_of(Source.COMPARE, cursor, observations, revision, date)
        if known or len(observations) < size:
            return


def _note_absent(
    reading: Reading,
    cursor: Cursor,
    followups: Followups,
    id_range: tuple[int | None, int | None],
    observations: cabc.Sequence[Observation],
) -> None:
    """Note the objects that the ledger holds in a page's range of ids and the page does not show.

    :param id_range: the ids above the first and up to the second; ``None`` is no bound.
    :raises AnotherStoreError: the page shows no known object, but unknown ones of the same age.
    """
    shown = {int(seen.object_id) for seen in observations}
    known = reading.ledger.live_numbers(*id_range)
    absent = [number for number in known if number not in shown]
    if len(known) >= ENOUGH and len(absent) == len(known) and reading.before is None:
        before = cursor.polled_at
        old = [seen for seen in observations
               if before and seen.created_at and seen.created_at < before - LONG_SEEN]  # fmt: skip
        if len(old) >= ENOUGH:
            raise AnotherStoreError(
                f"the store shows {len(old)} old {reading.stream.resource} in place of "
                f"{len(known)} known ones: another store answers at store.url. Nothing of it was "
                "recorded. To connect that store, create an instance for it"
            )
    followups.candidates.update(absent)
