"""Full reads: collections that cannot be ordered by id are read whole at every poll."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

from ...db.models import PollerState, Source
from ...errors import StoreGarbledError, StoreRejectedError
from ...woocommerce.client import StoreResponse
from ..cursor import Cursor
from ..ledger.observation import Observation, ObservationBatch
from .base import MAX_PAGES, Batch, Reading
from .mass_deletion import guard_mass_deletion


def read(reading: Reading, cursor: Cursor) -> cabc.Iterator[Batch]:
    """Read a collection whole and compare it with the ledger.

    An object that is missing counts as deleted if a second read lacks it too. A feed, whose URL
    contains the date of the last poll, shows only new objects, so none can be missing from it.
    """
    revision = reading.ledger.revision
    observations, date = _everything(reading)
    began = reading.began(cursor, date, observations)
    baseline = cursor.state is PollerState.BASELINE
    excluded: dict[str, Observation] = {}
    if not baseline and not reading.listing.is_feed:
        if reading.before is not None:
            observations, excluded = _filtered(reading, observations)
        missing = _missing(reading, observations | excluded)
        cursor = yield from guard_mass_deletion(reading, cursor, len(missing))
        if missing:
            again, date = _everything(reading)
            observations |= again
            excluded = {one: seen for one, seen in excluded.items() if one not in again}
            for object_id in _missing(reading, again):
                if object_id in missing:
                    observations[object_id] = Observation(
                        object_id=object_id, body=None, seen_at=date
                    )
    observed = ObservationBatch(
        source=Source.BASELINE if baseline else Source.COMPARE,
        observations=[*observations.values(), *excluded.values()],
        read_revision=revision,
        poll_date=date,
        since=began if baseline else None,
    )
    ends = not baseline or reading.listing.is_feed or reading.may_end(len(observations), cursor)
    state = PollerState.ACTIVE if ends else PollerState.BASELINE
    yield Batch(
        dataclasses.replace(cursor, state=state, baseline_at=began, at=began, polled_at=date),
        observed,
    )


def _filtered(
    reading: Reading, observations: dict[str, Observation]
) -> tuple[dict[str, Observation], dict[str, Observation]]:
    """Compare with what the filter before still lists.

    :return: the objects, those of both filters marked, and the known ones that only the filter
        before lists.
    """
    assert reading.before is not None
    try:
        before, _date = _everything(dataclasses.replace(reading, listing=reading.before))
    except StoreRejectedError:
        return observations, {}  # The store no longer has that list.
    excluded = {
        one: dataclasses.replace(before[one], excluded=True)
        for one in _missing(reading, observations) & before.keys()
    }
    both = observations.keys() & before.keys()
    marked = {one: dataclasses.replace(observations[one], is_new=True) for one in both}
    return observations | marked, excluded


def _everything(reading: Reading) -> tuple[dict[str, Observation], dt.datetime]:
    """Return every object, and the store's clock when the read began."""
    observations: dict[str, Observation] = {}
    date: dt.datetime | None = None
    for number in range(1, MAX_PAGES + 1):
        answer = _page(reading, number)
        if answer is None:
            return observations, date or reading.clock()
        date = date or reading.date_of(answer.date)
        seen = [reading.observe(row, date) for row in answer.data]
        fresh = [one for one in seen if one.object_id not in observations]
        observations |= {one.object_id: one for one in fresh}
        # Some routes return the whole list for every page, some return shorter pages than asked.
        short = len(seen) < reading.listing.page_size
        if not fresh or (short and answer.pages is not None and number >= answer.pages):
            return observations, date
    raise StoreGarbledError(f"the collection does not end within {MAX_PAGES:,} pages", status=200)


def _page(reading: Reading, number: int) -> StoreResponse | None:
    """Return a page of the collection; ``None`` past its end, where ``wp/v2`` answers 400."""
    try:
        return reading.listing.numbered(number, reading.listing.page_size)
    except StoreRejectedError as exc:
        if number > 1 and exc.code == "rest_post_invalid_page_number":
            return None
        raise


def _missing(reading: Reading, observations: cabc.Mapping[str, Observation]) -> set[str]:
    return {one for one in reading.ledger.live_ids() if one not in observations}
