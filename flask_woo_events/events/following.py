"""Following: events in the order in which they are committed, from a position that can be kept."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db import epochs
from ..db.models import StoredEvent
from .search import EventEntry, entries_of

#: Ids below the last one that may still be committed: an event has its id before that.
WINDOW = 1_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class EventPosition:
    """Up to where events were read."""

    #: The greatest id that was read.
    last: int
    #: Smaller ids that no event had yet.
    missing: frozenset[int] = frozenset()
    #: Token of the database's epoch; empty if it had none.
    epoch: str = ""

    def to_json(self) -> dict[str, t.Any]:
        """Return the position as it is kept."""
        return {"last": self.last, "missing": sorted(self.missing), "epoch": self.epoch}

    @classmethod
    def from_json(cls, kept: cabc.Mapping[str, t.Any]) -> t.Self:
        """Return a position that was kept.

        :raises KeyError: it is not one.
        :raises TypeError: it is not one.
        :raises ValueError: it is not one.
        """
        missing = frozenset(int(one) for one in kept["missing"])
        return cls(last=int(kept["last"]), missing=missing, epoch=str(kept["epoch"]))


def now(session: orm.Session) -> EventPosition:
    """Return the position after every event that is committed now."""
    last = session.scalars(sa.select(sa.func.max(StoredEvent.id))).one() or 0
    known = session.scalars(sa.select(StoredEvent.id).where(StoredEvent.id > last - WINDOW))
    missing = frozenset(range(max(1, last - WINDOW + 1), last)) - set(known)
    return EventPosition(last=last, missing=missing, epoch=_epoch(session))


def before(session: orm.Session, event_id: int) -> EventPosition:
    """Return the position before an event, which need not exist."""
    return EventPosition(last=event_id - 1, epoch=_epoch(session))


def is_of(session: orm.Session, position: EventPosition) -> bool:
    """Return whether a position is one of this database, and not of one that it has replaced."""
    last = session.scalars(sa.select(sa.func.max(StoredEvent.id))).one() or 0
    return last >= position.last or position.epoch in ("", _epoch(session))


def named(session: orm.Session, position: EventPosition) -> EventPosition:
    """Return a position with the epoch of the database, if it has none."""
    return position if position.epoch else dataclasses.replace(position, epoch=_epoch(session))


def after(session: orm.Session, position: EventPosition, limit: int = 200) -> list[EventEntry]:
    """Return the next events, the oldest first."""
    open_ = sa.or_(StoredEvent.id > position.last, StoredEvent.id.in_(position.missing))
    query = (
        sa.select(StoredEvent)
        .where(open_, StoredEvent.kind.is_(None))
        .order_by(StoredEvent.id)
        .limit(limit)
    )
    return entries_of(session, query)


def past(position: EventPosition, event_ids: cabc.Collection[int]) -> EventPosition:
    """Return the position after events that :func:`after` returned."""
    last = max(position.last, *event_ids)
    skipped = range(max(position.last, last - WINDOW) + 1, last)
    missing = (position.missing | set(skipped)) - set(event_ids)
    recent = frozenset(one for one in missing if one > last - WINDOW)
    return dataclasses.replace(position, last=last, missing=recent)


def _epoch(session: orm.Session) -> str:
    found = epochs.current(session)
    return "" if found is None else found.token
