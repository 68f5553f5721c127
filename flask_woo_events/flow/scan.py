"""The scan: comparing a store with the ledger, for what dates do not show."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

from ..errors import StoreGarbledError
from ..models import PollerState
from ..store.paging import Page, walk
from .cursor import Cursor, Place
from .ledger import Observation, Sighting, Source
from .sources import Batch, Reading

#: Pages of a collection that is compared whole at every poll; more is taken for a mistake.
MAX_PAGES = 10_000
#: Objects missing at once, in number and as a part of the ledger, that want a second look.
MANY = 20
MANY_PART = 0.2
_INCLUDE_AT_ONCE = 100


def compare(reading: Reading, cursor: Cursor) -> cabc.Iterator[Batch]:
    """Compare the next pages of the listing with the ledger, and go on there at the next poll.

    A page in the order of ids covers every id up to its last one: what the ledger holds as live
    in that stretch and the page does not show may be gone.
    """
    collection = reading.listing.collection
    budget = MAX_PAGES if collection.compare_whole else reading.compare_pages
    place = cursor.compare
    if not collection.has_date_filter and not collection.compare_whole:
        yield from _newest(reading, cursor, budget)
    ticket = reading.ledger.ticket()
    pages = walk(
        reading.listing.page,
        page_size=reading.listing.page_size,
        start_offset=place.offset,
        after_id=place.after_id,
        overlap=False,
        max_requests=budget + 1,
    )
    for count, page in enumerate(pages, start=1):
        date = reading.date_of(page.date)
        observations = [reading.observe(row, date) for row in page.rows]
        absent, cursor = _absent(reading, cursor, place.after_id, page, date)
        observations += absent
        reached = page.offset + len(page.rows)
        ended = page.last or (page.total is not None and reached >= page.total)
        done = ended or count >= budget
        place = Place() if ended else Place(reached, page.last_id)
        cursor = dataclasses.replace(cursor, compare=place)
        if done:
            cursor = dataclasses.replace(cursor, polled_at=date)
        yield Batch(cursor, _sighting(observations, ticket, date))
        if done:
            return
        ticket = reading.ledger.ticket()


def _newest(reading: Reading, cursor: Cursor, budget: int) -> cabc.Iterator[Batch]:
    """Read the newest objects back to one that is known."""
    size = reading.listing.page_size
    if reading.ledger.count_live() < budget * size:
        return  # The comparison itself comes to them in this poll.
    for offset in range(0, MAX_PAGES * size, size):
        ticket = reading.ledger.ticket()
        answer = reading.listing.newest(offset, size)
        date = reading.date_of(answer.date)
        observations = [reading.observe(row, date) for row in answer.data]
        known = reading.ledger.known([seen.object_id for seen in observations])
        yield Batch(cursor, _sighting(observations, ticket, date))
        if known or len(observations) < size:
            return


def whole(reading: Reading, cursor: Cursor) -> cabc.Iterator[Batch]:
    """Compare a collection that cannot be ordered by id: all of it, at every poll."""
    ticket = reading.ledger.ticket()
    observations: dict[str, Observation] = {}
    date: dt.datetime | None = None
    for number in range(1, MAX_PAGES + 1):
        answer = reading.listing.numbered(number, reading.listing.page_size)
        date = date or reading.date_of(answer.date)
        seen = [reading.observe(row, date) for row in answer.data]
        fresh = [one for one in seen if one.object_id not in observations]
        observations |= {one.object_id: one for one in fresh}
        # Some routes answer every page with the whole list.
        if not fresh or len(seen) < reading.listing.page_size:
            break
    else:
        raise StoreGarbledError("the collection does not come to an end", status=200)
    began = cursor.baseline_at or date
    since = began if cursor.state is PollerState.BASELINE else None
    sighting = Sighting(
        source=Source.COMPARE if since is None else Source.BASELINE,
        observations=list(observations.values()),
        ticket=ticket,
        poll_date=date,
        since=since,
    )
    yield Batch(
        dataclasses.replace(
            cursor, state=PollerState.ACTIVE, baseline_at=began, at=began, polled_at=date
        ),
        sighting,
    )


def _sighting(observations: cabc.Sequence[Observation], ticket: int, date: dt.datetime) -> Sighting:
    return Sighting(source=Source.COMPARE, observations=observations, ticket=ticket, poll_date=date)


def _absent(
    reading: Reading, cursor: Cursor, after: int | None, page: Page, date: dt.datetime
) -> tuple[list[Observation], Cursor]:
    """Observe what the ledger holds in a page's stretch of ids and the page does not show.

    That a large part of a store is gone at once is believed only at a second look: a store being
    moved or restored may for a while answer with next to nothing.
    """
    shown = {row["id"] for row in page.rows}
    until = None if page.last else page.last_id
    missing = [n for n in reading.ledger.live_numbers(after, until) if n not in shown]
    doubted = cursor.memory.get("doubted")
    if len(missing) > MANY and len(missing) > reading.ledger.count_live() * MANY_PART:
        if doubted is None:
            memory = {**cursor.memory, "doubted": date.isoformat()}
            return [], dataclasses.replace(cursor, memory=memory)
    elif page.last and doubted is not None and not missing:
        memory = {name: value for name, value in cursor.memory.items() if name != "doubted"}
        cursor = dataclasses.replace(cursor, memory=memory)
    return (confirm(reading, missing, date) if missing else []), cursor


def confirm(
    reading: Reading, candidates: cabc.Sequence[int], date: dt.datetime
) -> list[Observation]:
    """Ask the store again for objects that a listing did not show.

    Those it still lists are observed; the others are gone, unless one of them, asked by its own
    address, turns out to be there: then the listing cannot be trusted.

    :raises StoreGarbledError: the store's answers contradict each other.
    """
    observations: list[Observation] = []
    gone: list[int] = []
    for start in range(0, len(candidates), _INCLUDE_AT_ONCE):
        asked = candidates[start : start + _INCLUDE_AT_ONCE]
        answer = reading.listing.by_ids(asked)
        seen_at = reading.date_of(answer.date)
        found = {row["id"]: row for row in answer.data}
        observations += [reading.observe(row, seen_at) for row in found.values()]
        gone += [number for number in asked if number not in found]
    for witness in {gone[0], gone[-1]} if gone else ():
        if reading.listing.exists(witness):
            raise StoreGarbledError(
                f"the store's list of {reading.listing.collection.path} lacks {witness}, "
                "which it nevertheless has",
                status=200,
            )
    return observations + [
        Observation(object_id=str(number), body=None, seen_at=date) for number in gone
    ]
