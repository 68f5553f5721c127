"""The comparison: a store and its ledger page by page, for changes that dates do not show."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import time

from ...db.states import Source
from ...woocommerce.paging import Fetch, Page, walk
from ..cursor import Cursor, ListPosition
from ..ledger.observation import Observation
from .base import MAX_PAGES, Batch, Followups, Reading, batch_of

#: Seconds after which the comparison of a slow store pauses until the next poll.
MAX_SECONDS = 60.0
#: Seconds of one poll in which all of several resources is compared after a restored backup; the
#: next poll follows immediately, and finds first what has happened meanwhile.
SLICE_SECONDS = 5.0


def polls_within(hours: int, interval: dt.timedelta) -> int:
    """Return the number of polls in which everything is compared: those that fit into the time."""
    return max(1, dt.timedelta(hours=hours) // interval)


def compare(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    """Compare the next pages of the listing with the ledger; the next poll continues there.

    A page in the order of ids covers every id up to its last one. An object that the ledger holds
    as live in that range and the page does not show may be deleted.
    """
    listing, collection, began = reading.listing, reading.listing.collection, time.monotonic()
    count = reading.ledger.count_live()
    position = start = cursor.compare
    turn = int(cursor.memory.get("compare_turn", 0)) if position.offset else 0
    revision = reading.ledger.revision
    found = pages(listing.page, listing.page_size, position)
    for number, page in enumerate(found, start=1):
        date = reading.date_of(page.date)
        observations = _new_ones(reading, [reading.observe(row, date) for row in page.rows])
        ended = is_end(page)
        lowest = position.after_id
        fewer = reading.before is None and page.total is not None and page.total < count
        if number == 1 and page.offset and page.first_id is not None and fewer:
            # Rows before the page may have gone, which the total shows: the search finds them.
            # Those that only moved away from the page are not missing.
            lowest = page.first_id - 1
        if page.rows or not page.offset:
            id_range = lowest, None if ended else page.last_id
            _note_absent(reading, followups, id_range, observations)
        # The store's count is wrong on a page past the end.
        followups.total = page.total if page.rows or not page.offset else followups.total
        if number == 1 and page.offset and page.first_id is not None:
            followups.edge = ListPosition(page.offset, page.first_id - 1)
        position = ListPosition() if ended else _after(page)
        if is_past_end(page):
            start, turn = ListPosition(), 0
        followups.complete = ended and not is_past_end(page) and start == ListPosition()
        memory = {**cursor.memory, "compare_turn": turn + 1}
        cursor = dataclasses.replace(cursor, compare=position, memory=memory)
        if not collection.has_date_filter:
            cursor = dataclasses.replace(cursor, polled_at=date)
        yield batch_of(Source.COMPARE, cursor, observations, revision, date)
        if is_past_end(page):
            continue
        until = began + MAX_SECONDS if reading.compare_until is None else reading.compare_until
        slow = time.monotonic() >= until and not collection.compare_whole
        enough = number >= reading.compare_pages and _is_enough(reading, count, turn, position)
        if slow or enough or ended:
            break
        revision = reading.ledger.revision
    if collection.compare_newest and not followups.complete:
        yield from _newest(reading, cursor)


def pages(fetch: Fetch, size: int, position: ListPosition) -> cabc.Iterator[Page]:
    """Yield the pages from a position on; those from the start follow if it is past the end.

    :param size: rows per page.
    """
    for page in walk(
        fetch,
        page_size=size,
        start_offset=position.offset,
        after_id=position.after_id,
        overlap=False,
        max_requests=MAX_PAGES + 1,
    ):
        yield page
        if is_past_end(page) and page.offset <= position.offset:
            yield from walk(fetch, page_size=size, overlap=False, max_requests=MAX_PAGES + 1)
            return


def is_end(page: Page) -> bool:
    """Return whether the listing ends with this page, by its rows or by the store's count."""
    return page.last or (page.total is not None and page.offset + len(page.rows) >= page.total)


def is_past_end(page: Page) -> bool:
    """Return whether the listing ended before this page."""
    return page.last and page.offset > 0 and not page.rows


def _after(page: Page) -> ListPosition:
    return ListPosition(page.offset + len(page.rows), page.last_id)


def _is_enough(reading: Reading, count: int, turn: int, position: ListPosition) -> bool:
    """Return whether this poll may end its comparison: the next ones have time for the rest.

    :param turn: the polls since the comparison's start.
    """
    polls = reading.compare_polls
    if reading.listing.collection.compare_whole or turn + 1 >= polls:
        return False
    # A poll may lag by less than a page, so that most polls read the same number of pages.
    return position.offset + reading.listing.page_size > count * (turn + 1) / polls


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


def _newest(reading: Reading, cursor: Cursor) -> cabc.Iterator[Batch]:
    """Read the newest objects, back to the first one that the ledger holds."""
    size, offset = reading.listing.page_size, 0
    for _ in range(MAX_PAGES):
        revision = reading.ledger.revision
        answer = reading.listing.newest(offset, size)
        date = reading.date_of(answer.date)
        observations = [reading.observe(row, date) for row in answer.data]
        known = reading.ledger.known([seen.object_id for seen in observations])
        yield batch_of(Source.COMPARE, cursor, observations, revision, date)
        offset += len(observations)
        # A store may show fewer rows than it is asked for.
        ends = len(observations) < size if answer.total is None else offset >= answer.total
        if known or ends or not observations:
            return


def _note_absent(
    reading: Reading,
    followups: Followups,
    id_range: tuple[int | None, int | None],
    observations: cabc.Sequence[Observation],
) -> None:
    """Note the objects that the ledger holds in a page's range of ids and the page does not show.

    :param id_range: the ids above the first and up to the second; ``None`` is no bound.
    """
    shown = {seen.object_id for seen in observations}
    known = map(str, reading.ledger.live_numbers(*id_range))
    followups.gone.update(number for number in known if number not in shown)
