"""Observations: what one read of a store showed of its objects."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ...db.states import Source

#: How long a replica or a cache of a store may be behind.
AGAIN_AFTER = dt.timedelta(seconds=10)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One object as the store showed it: its body, or its absence."""

    object_id: str
    #: The representation; ``None`` when it is deleted, in the trash, or left the polled role.
    body: cabc.Mapping[str, t.Any] | None
    #: When the store answered, by the store's clock.
    seen_at: dt.datetime
    modified_at: dt.datetime | None = None
    created_at: dt.datetime | None = None
    #: The dates that ``datesConfiguration`` names. The ledger does not keep them.
    configured_updated: dt.datetime | None = None
    configured_created: dt.datetime | None = None
    #: The id of the order or product that a refund or variation belongs to.
    parent: int | None = None
    #: Whether a list of the store shows it; otherwise only its own address does.
    listed: bool = True
    #: It exists, but the resource's new filter excludes it; its body is that of the store.
    excluded: bool = False
    #: Whether it counts for itself; an order that nobody has placed counts only if it is known.
    placed: bool = True
    #: The filter before lists it, too, so that an unknown object is new, whatever its date.
    is_new: bool = False
    #: The database does not take the body; its event is recorded without it.
    without_body: bool = False
    #: The body as the store sent it, if it is not stored as it is; never stored.
    raw: cabc.Mapping[str, t.Any] | None = None
    #: It belongs to a person who was erased.
    erased: bool = False
    #: Yields the bodies that would have been stored of it under earlier rules.
    as_before: cabc.Callable[[], cabc.Iterable[cabc.Mapping[str, t.Any]]] = tuple


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ObservationBatch:
    """Observations that were read from the store together.

    :param read_revision: the ledger's revision before the read began.
    :param poll_date: when the poll began, by the store's clock.
    :param since: objects that are unknown to the ledger and not newer than this existed before
        the baseline; they are recorded without an event. ``None``: every unknown object is new.
    :param again_after: how long after a reading that is older than what is known a second one
        counts.
    :param stale: a cache may have kept them: only what is newer than what is known counts.
    :param overlap: an object of the batch before, as it was recorded, and as this answer shows it.
    """

    source: Source
    observations: cabc.Sequence[Observation]
    read_revision: int
    poll_date: dt.datetime
    since: dt.datetime | None = None
    again_after: dt.timedelta = AGAIN_AFTER
    stale: bool = False
    overlap: tuple[Observation, Observation] | None = None
