"""Screening: what of a batch the ledger does not hold yet, found without a lock."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses

from sqlalchemy import orm

from ..cursor import Stream
from . import bodies, identity, lookup, object_dates, representation
from .lookup import Known
from .observation import Observation, ObservationBatch
from .representation import StoreState


@dataclasses.dataclass(frozen=True, slots=True)
class Screened:
    """The result of comparing observations with the ledger without a lock."""

    #: What must pass ``record()``; ``None`` when the ledger holds all of it.
    unrecorded: ObservationBatch | None
    #: The ledger's revision now.
    revision: int
    #: What of the store would explain how some of them differ.
    suspects: representation.Suspects
    #: What the objects say about their store; complete only if something is unrecorded.
    evidence: identity.Evidence
    #: Number of live objects of the ledger that are as they are known.
    matched: int = 0


def screen(
    session: orm.Session, stream: Stream, observed: ObservationBatch, store: StoreState
) -> Screened:
    """Leave out what the ledger already holds, without locking anything.

    :param store: the store's state as last seen.
    """
    numbers = [seen.object_id for seen in observed.observations]
    before = lookup.known(session, stream.poller_id, numbers)
    revision = lookup.revision(session, stream.poller_id)
    live = {object_id for object_id, known in before.items() if known.live}
    observations = [seen for seen in observed.observations if seen.placed or seen.object_id in live]
    kept = bodies.kept_fields(stream).mark
    unrecorded = [
        seen
        for seen in observations
        if not _holds(before.get(seen.object_id), seen, store, stream.ignored, kept)
        or is_backfilled(stream, before.get(seen.object_id), seen)
        or is_sent_again(stream, before.get(seen.object_id), seen)
    ]
    return Screened(
        dataclasses.replace(observed, observations=unrecorded) if unrecorded else None,
        revision,
        representation.suspects(before, unrecorded),
        identity.gather(before, observations) if unrecorded else identity.Evidence(),
        len(live - {seen.object_id for seen in unrecorded}),
    )


def screen_overlapping(observed: ObservationBatch, revision: int) -> Screened | None:
    """Leave out drafts of a baseline's page whose first row the page before has shown, too.

    The ledger need not be asked: nothing is known of the page's other rows.

    :param revision: the ledger's revision when the page before was recorded.
    """
    if observed.overlap is None:
        return None
    placed = [seen for seen in observed.observations if seen.placed]
    return Screened(
        dataclasses.replace(observed, observations=placed) if placed else None,
        revision,
        representation.Suspects(),
        identity.compare_readings(*observed.overlap),
    )


def is_backfilled(stream: Stream, before: Known | None, seen: Observation) -> bool:
    """Return whether a backfill emits a known object now, even if it is as before."""
    backfill = stream.comparison.backfill if stream.comparison is not None else None
    if backfill is None or before is None or before.revision > backfill.revision:
        return False
    in_part = is_in_backfill(stream, seen)
    return in_part and seen.body is not None and not seen.excluded and seen.placed


def is_sent_again(stream: Stream, before: Known | None, seen: Observation) -> bool:
    """Return whether an object was asked for that is as before, or that was never there."""
    if seen.object_id not in stream.again or seen.excluded:
        return False
    return seen.body is None if before is None else before.live and seen.body is not None


def backfill_target(stream: Stream) -> int | None:
    """Return the only subscription that a backfill sends to; ``None``: to all."""
    backfill = stream.comparison.backfill if stream.comparison is not None else None
    return None if backfill is None else backfill.subscription_id


def is_in_backfill(stream: Stream, seen: Observation) -> bool:
    """Return whether a backfill that is under way sends objects with this one's dates."""
    if stream.backfill:
        return True
    backfill = stream.comparison.backfill if stream.comparison is not None else None
    date = object_dates.modified(seen) or object_dates.created(seen)
    return backfill is not None and backfill.includes(date)


def _holds(
    before: Known | None,
    seen: Observation,
    store: StoreState,
    ignored: cabc.Set[str],
    kept: int | None,
) -> bool:
    """Return whether the ledger holds what was seen.

    :param kept: what of its body the ledger is to keep.
    """
    if before is None:
        return seen.body is None or seen.excluded
    if before.held_at is not None:
        return False
    if not before.live:
        return seen.body is None or seen.excluded
    return (
        seen.body is not None
        and not seen.excluded
        and before.listed == seen.listed
        and before.modified_at == seen.modified_at
        and before.settled
        and bodies.is_kept(before, kept)
        and representation.is_current(before, store)
        and representation.agrees(before, seen.body, ignored)
    )
