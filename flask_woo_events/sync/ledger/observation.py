"""Observations: what one source saw of the objects of a store."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ...db.models import Source


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one source saw of one object: a body, or its absence."""

    object_id: str
    #: The representation; ``None`` when it is gone, in the trash, or left the polled role.
    body: cabc.Mapping[str, t.Any] | None
    #: The store's clock when it answered.
    seen_at: dt.datetime
    modified_at: dt.datetime | None = None
    created_at: dt.datetime | None = None
    #: The id of the order or product that a refund or variation belongs to.
    parent: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ObservationBatch:
    """Observations that were read from the store together.

    :param ticket: ``ticket()`` from before the reading began.
    :param poll_date: when the poll began, the store's clock.
    :param since: objects unknown to the ledger and not newer than this were there before we
        were; they are recorded without a word. ``None``: whatever is unknown is new.
    """

    source: Source
    observations: cabc.Sequence[Observation]
    ticket: int
    poll_date: dt.datetime
    since: dt.datetime | None = None
