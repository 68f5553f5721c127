"""The cursor of one resource: how far its sources have come."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Poller, PollerState
from ..instances.polled_resources import PollerConfiguration


@dataclasses.dataclass(frozen=True, slots=True)
class ListPosition:
    """A place in an id-ordered listing: rows before it, and the last id of them."""

    offset: int = 0
    after_id: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far the sources of one resource have come; written with the events, in one commit."""

    state: PollerState = PollerState.BASELINE
    #: Greatest modified date in the ledger, the store's clock.
    at: dt.datetime | None = None
    #: When the baseline began, the store's clock.
    baseline_at: dt.datetime | None = None
    baseline: ListPosition = ListPosition()
    #: Objects that the store had when the baseline began, for the progress bar.
    baseline_total: int | None = None
    #: Where the rolling comparison goes on.
    compare: ListPosition = ListPosition()
    #: When the last complete poll began, the store's clock.
    polled_at: dt.datetime | None = None
    #: What a source must remember besides.
    memory: cabc.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One resource of one instance, as every step knows it."""

    poller_id: int
    instance_id: int
    #: The configuration's key, ``objectType`` of its events.
    resource: str
    configuration: PollerConfiguration
    #: Whether the baseline is told as CREATED events.
    backfill: bool = False
    #: The ledger's stamp when the resource was started over; what is gone since then is unknown.
    forgotten: int = 0
    #: When the store was first met with another version of WooCommerce, the store's clock.
    upgraded_at: dt.datetime | None = None


_COLUMNS = (
    "state",
    "cursor_at",
    "baseline_at",
    "baseline_offset",
    "baseline_id",
    "baseline_total",
    "compare_offset",
    "compare_id",
    "polled_at",
    "memory",
)


def load(session: orm.Session, poller_id: int) -> tuple[Stream, Cursor]:
    """Read a poller's row."""
    return from_row(session.get_one(Poller, poller_id))


def from_row(row: Poller) -> tuple[Stream, Cursor]:
    """What a poller's row says."""
    stream = Stream(
        poller_id=row.id,
        instance_id=row.instance_id,
        resource=row.resource,
        configuration=PollerConfiguration.model_validate(row.configuration),
        backfill=row.backfill,
        forgotten=int(row.memory.get("forgotten", 0)),
    )
    cursor = Cursor(
        state=PollerState(row.state),
        at=row.cursor_at,
        baseline_at=row.baseline_at,
        baseline=ListPosition(row.baseline_offset, row.baseline_id),
        baseline_total=row.baseline_total,
        compare=ListPosition(row.compare_offset, row.compare_id),
        polled_at=row.polled_at,
        memory=dict(row.memory),
    )
    return stream, cursor


# Made once and without the mapper, which costs more than the database does.
_SAVE = (
    sa.update(Poller.__table__)  # type: ignore[arg-type]
    .where(Poller.__table__.c.id == sa.bindparam("poller_id"))
    .values({name: sa.bindparam(name) for name in _COLUMNS})
)
_SUCCEED = _SAVE.values(failures=0, error=None, retry_at=None)


def save(session: orm.Session, poller_id: int, cursor: Cursor, *, ended: bool = False) -> None:
    """Write a poller's row; the caller commits it with the events.

    :param ended: the poll came to its end, which also ends a row of failures.
    """
    values = {
        "poller_id": poller_id,
        "state": cursor.state.value,
        "cursor_at": cursor.at,
        "baseline_at": cursor.baseline_at,
        "baseline_offset": cursor.baseline.offset,
        "baseline_id": cursor.baseline.after_id,
        "baseline_total": cursor.baseline_total,
        "compare_offset": cursor.compare.offset,
        "compare_id": cursor.compare.after_id,
        "polled_at": cursor.polled_at,
        "memory": dict(cursor.memory),
    }
    session.execute(_SUCCEED if ended else _SAVE, values)
