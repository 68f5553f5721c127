"""Full reads: collections that cannot be ordered by id are read whole at every poll."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import itertools
import typing as t

from ...db.states import PollerState, Source
from ...errors import StoreFailedError, StoreGarbledError, StoreOrderError, StoreRejectedError
from ...values.validation import is_id
from ...woocommerce.client import StoreResponse
from ...woocommerce.listing import Params
from ..cursor import Cursor
from ..ledger.observation import Observation, ObservationBatch
from . import absence
from .base import MAX_PAGES, Batch, Followups, Reading, batch_of

#: How long an order is used that is not the first to try.
ORDER_MAX_AGE = dt.timedelta(hours=24)
#: Most reads of a collection until its rows are as many as the store counts. Without an order by
#: id, rows with equal dates may be on no page of one read.
MOST_READS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class _Whole:
    """One read of a whole collection."""

    observations: dict[str, Observation]
    #: The store's clock when the read began.
    date: dt.datetime
    #: The store's count when the read began.
    total: int | None
    #: The rows are in the order of their ids.
    by_id: bool


def read(reading: Reading, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
    """Read a collection whole, compare it with the ledger, and note what is missing.

    An object is missing if a second read lacks it too, and if its own address does not show it.
    A feed, whose URL contains the date of the last poll, shows only new objects, so none can be
    missing from it.
    """
    revision = reading.ledger.revision
    whole, cursor = _read(reading, cursor)
    observations, date = whole.observations, whole.date
    began = reading.began(cursor, date, observations)
    baseline = cursor.state is PollerState.BASELINE
    if baseline and whole.total is not None and not reading.listing.is_feed:
        _complete(reading, cursor, whole)
    excluded: dict[str, Observation] = {}
    if not baseline and not reading.listing.is_feed:
        if reading.before is not None:
            observations, excluded = _filtered(reading, cursor, observations)
        unlisted = [str(one) for one in cursor.memory.get("unshown", ())]
        missing = _missing(reading, observations | excluded)
        if missing.difference(unlisted):
            whole, cursor = _read(reading, cursor)
            missing &= _missing(reading, whole.observations)
            observations |= whole.observations
            excluded = {
                one: seen for one, seen in excluded.items() if one not in whole.observations
            }
        if missing:
            gone, unlisted = _gone(reading, cursor, missing, unlisted, whole)
            followups.gone |= gone
        cursor = _remember(cursor, "unshown", unlisted if missing else None)
        date = whole.date
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
    reading: Reading, cursor: Cursor, observations: dict[str, Observation]
) -> tuple[dict[str, Observation], dict[str, Observation]]:
    """Compare with what the filter before still lists.

    :return: the objects, those of both filters marked, and the known ones that only the filter
        before lists.
    """
    assert reading.before is not None
    try:
        whole, _cursor = _read(dataclasses.replace(reading, listing=reading.before), cursor)
    except StoreRejectedError:
        return observations, {}  # The store no longer has that list.
    before = whole.observations
    excluded = {
        one: dataclasses.replace(before[one], excluded=True)
        for one in _missing(reading, observations) & before.keys()
    }
    both = observations.keys() & before.keys()
    marked = {one: dataclasses.replace(observations[one], is_new=True) for one in both}
    return observations | marked, excluded


def confirm(reading: Reading, cursor: Cursor, missing: cabc.Sequence[str]) -> cabc.Iterator[Batch]:
    """Yield the deletions of objects that ``read`` has noted after all of its witnesses."""
    date = reading.clock()
    gone = [Observation(object_id=one, body=None, seen_at=date) for one in missing]
    yield batch_of(Source.COMPARE, cursor, gone, reading.ledger.revision, date)


def _gone(
    reading: Reading, cursor: Cursor, missing: set[str], unlisted: list[str], whole: _Whole
) -> tuple[set[str], list[str]]:
    """Return which of the missing objects are gone, and which exist although no list has them."""
    shown = next(iter(whole.observations), None)
    absences = absence.check(reading, missing, unlisted, shown)
    if absences.addressed:
        return set(absences.gone), list(absences.unlisted)
    if not whole.by_id:
        _complete(reading, cursor, whole)
    return missing.difference(whole.observations, unlisted), unlisted


def _complete(reading: Reading, cursor: Cursor, whole: _Whole) -> None:
    """Read the collection again until no object can be missing; add what these reads find."""
    for _ in range(MOST_READS - 1):
        if whole.total is not None and len(whole.observations) >= whole.total:
            return
        again, _cursor = _read(reading, cursor)
        for one, seen in again.observations.items():
            whole.observations.setdefault(one, seen)


def _read(reading: Reading, cursor: Cursor) -> tuple[_Whole, Cursor]:
    """Read everything in the first order that works, and remember which one that is.

    An order that has not shown any object yet may be one with which the store shows none.
    """
    orders, known = reading.listing.orders, cursor.memory.get("order") or {}
    used = known.get("number")
    if used is not None and (used >= len(orders) or (used and _is_old(reading, known["at"]))):
        used = None
    for number in range(used or 0, len(orders)):
        first_use, last = number != used, number == len(orders) - 1
        try:
            whole = _everything(reading, orders[number], by_id=number == 0)
        except StoreRejectedError as exc:
            if last or exc.status != 400:
                raise
            continue
        except (StoreOrderError, StoreFailedError) as exc:
            if last or (isinstance(exc, StoreFailedError) and not first_use):
                raise
            continue
        sorts = reading.listing.collection.orders_by_id
        if whole.observations or last or not first_use or sorts:
            break
    if number != used and (whole.observations or not reading.listing.is_feed):
        order = {"number": number, "at": reading.clock().isoformat()}
        cursor = _remember(cursor, "order", order)
    return whole, cursor


def _is_old(reading: Reading, at: object) -> bool:
    return reading.clock() - dt.datetime.fromisoformat(str(at)) >= ORDER_MAX_AGE


def _remember(cursor: Cursor, name: str, value: object) -> Cursor:
    memory = {key: kept for key, kept in cursor.memory.items() if key != name}
    return dataclasses.replace(cursor, memory={**memory, name: value} if value else memory)


def _everything(reading: Reading, order: Params, *, by_id: bool) -> _Whole:
    """Read every object.

    :raises StoreOrderError: the rows are not in the order of their ids, although requested.
    """
    observations: dict[str, Observation] = {}
    date: dt.datetime | None = None
    total: int | None = None
    # The same for all pages, so that no row moves from one to another.
    size, left_out = reading.listing.at_once, reading.listing.unreadable.ids
    for number in range(1, MAX_PAGES + 1):
        answer = _page(reading, number, size, order, left_out)
        if answer is None:
            break
        if date is None:
            date, total = reading.date_of(answer.date), answer.total
        if by_id:
            _check_order(answer.data)
        seen = [reading.observe(row, date) for row in answer.data]
        fresh = [one for one in seen if one.object_id not in observations]
        observations |= {one.object_id: one for one in fresh}
        # Some routes return the whole list for every page, some return shorter pages than asked.
        short = len(seen) + answer.unreadable < size
        if not (fresh or answer.unreadable) or (
            short and answer.pages is not None and number >= answer.pages
        ):
            break
    else:
        raise StoreGarbledError(
            f"the collection does not end within {MAX_PAGES:,} pages", status=200
        )
    return _Whole(observations, date or reading.clock(), total, by_id)


def _check_order(rows: list[dict[str, t.Any]]) -> None:
    ids = [number for row in rows if is_id(number := row.get("id"))]
    if len(ids) < len(rows) or any(a >= b for a, b in itertools.pairwise(ids)):
        raise StoreOrderError("the rows are not in the order of their ids", status=200)


def _page(
    reading: Reading, number: int, size: int, order: Params, left_out: cabc.Sequence[int]
) -> StoreResponse | None:
    """Return a page of the collection; ``None`` past its end, where ``wp/v2`` answers 400."""
    try:
        return reading.listing.numbered(number, size, order, left_out)
    except StoreRejectedError as exc:
        if number > 1 and exc.code == "rest_post_invalid_page_number":
            return None
        raise


def _missing(reading: Reading, observations: cabc.Mapping[str, Observation]) -> set[str]:
    return {one for one in reading.ledger.live_ids() if one not in observations}
