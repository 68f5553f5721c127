"""The ledger: what is known of every object, and the one door through which it changes."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import enum
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ..models import EventType, Object, Poller
from . import outbox
from .content import NOTHING, Content, changed_fields, content_of, digest_of
from .cursor import Stream

#: WooCommerce writes an object's date before the rest of it; what was read earlier than this
#: after its date may be half of a change, or the first of two in one second.
SETTLED_AFTER = dt.timedelta(seconds=10)
#: Ids in one ``IN``: SQLite before 3.32 allows 999 variables.
_IDS_AT_ONCE = 500


class Source(enum.StrEnum):
    """Who saw it."""

    POLL = "poll"  #: a window of modified dates
    COMPARE = "compare"  #: a comparison with the ledger, for what dates do not show
    BASELINE = "baseline"  #: the first reading of a store
    WEBHOOK = "webhook"  #: a delivery of WooCommerce
    JOURNAL = "journal"  #: the companion plugin


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


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of one object."""

    live: bool
    digest: bytes
    modified_at: dt.datetime | None
    seen_at: dt.datetime
    fields: bytes = b""
    version: int = 0
    stamp: int = 0
    notification_id: int | None = None

    @property
    def settled(self) -> bool:
        """It was read long enough after its date to hold all of that change."""
        return self.modified_at is None or self.seen_at >= self.modified_at + SETTLED_AFTER


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
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


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """What came of observations."""

    events: int = 0
    #: Objects that another source changed while these were read; they must be read again.
    stale: tuple[str, ...] = ()
    #: The ledger's stamp after it.
    stamp: int = 0


_STAMP = sa.select(Poller.stamp).where(Poller.id == sa.bindparam("poller_id"))


def ticket(session: orm.Session, poller_id: int) -> int:
    """The ledger's stamp now; take it before reading from the store."""
    return session.execute(_STAMP, {"poller_id": poller_id}).scalar_one()


# Made once: an ``IN`` of plain values costs SQLAlchemy more than the database.
_KNOWN = sa.select(
    Object.object_id,
    Object.live,
    Object.digest,
    Object.modified_at,
    Object.seen_at,
    Object.fields,
    Object.version,
    Object.stamp,
    Object.notification_id,
).where(
    Object.poller_id == sa.bindparam("poller_id"),
    Object.object_id.in_(sa.bindparam("object_ids", expanding=True)),
)


def known(session: orm.Session, poller_id: int, object_ids: cabc.Sequence[str]) -> dict[str, Known]:
    """What the ledger knows of these objects."""
    found: dict[str, Known] = {}
    for start in range(0, len(object_ids), _IDS_AT_ONCE):
        ids = list(object_ids[start : start + _IDS_AT_ONCE])
        for row in session.execute(_KNOWN, {"poller_id": poller_id, "object_ids": ids}):
            found[row[0]] = Known(*row[1:])
    return found


_NUMBERS = (
    sa.select(Object.number)
    .where(
        Object.poller_id == sa.bindparam("poller_id"),
        Object.live,
        Object.number > sa.bindparam("after"),
        Object.number <= sa.bindparam("until"),
    )
    .order_by(Object.number)
)
#: What a 64-bit column can hold.
_GREATEST = 9_223_372_036_854_775_807


def live_numbers(
    session: orm.Session, poller_id: int, after: int | None, until: int | None
) -> list[int]:
    """Numeric ids of the live objects in ``(after, until]``, ascending."""
    bounds = {
        "poller_id": poller_id,
        "after": -1 if after is None else after,
        "until": _GREATEST if until is None else until,
    }
    return [int(number) for (number,) in session.execute(_NUMBERS, bounds) if number is not None]


_COUNT = (
    sa.select(sa.func.count())
    .select_from(Object)
    .where(Object.poller_id == sa.bindparam("poller_id"), Object.live)
)


def count_live(session: orm.Session, poller_id: int) -> int:
    """How many objects the ledger holds as live."""
    return int(session.execute(_COUNT, {"poller_id": poller_id}).scalar_one())


def sift(session: orm.Session, poller_id: int, sighting: Sighting) -> tuple[Sighting | None, int]:
    """Leave out what the ledger already holds, without locking anything.

    What is left must pass ``record()``, which looks again under its lock.

    :returns: what is left, ``None`` when it is nothing, and a ticket.
    """
    before = known(session, poller_id, [seen.object_id for seen in sighting.observations])
    now = ticket(session, poller_id)
    news = [seen for seen in sighting.observations if not _holds(before.get(seen.object_id), seen)]
    return (dataclasses.replace(sighting, observations=news) if news else None), now


def _holds(before: Known | None, seen: Observation) -> bool:
    if before is None or not before.live:
        return seen.body is None
    return (
        seen.body is not None
        and before.modified_at == seen.modified_at
        and before.settled
        and before.digest == digest_of(seen.body)
    )


def record(
    session: orm.Session, stream: Stream, sighting: Sighting, rules: outbox.Rules
) -> Recorded:
    """Compare observations with the ledger and write what really changed.

    Ledger rows, events and notifications are flushed in the caller's transaction, so that a
    crash leaves all of them or none. The poller's row is locked first: sources that see the
    same object at the same time pass one after the other.

    :param rules: how events become notifications.
    """
    stamp = (
        1
        + session.scalars(
            sa.select(Poller.stamp).where(Poller.id == stream.poller_id).with_for_update()
        ).one()
    )
    latest = {seen.object_id: seen for seen in sighting.observations}
    before = known(session, stream.poller_id, list(latest))
    door = _Door(stream, sighting, stamp)
    for object_id, seen in latest.items():
        door.pass_one(seen, before.get(object_id))
    told = outbox.post(session, stream, door.events, sighting.poll_date, rules)
    door.write(session, told)
    changed = bool(door.inserts or door.updates)
    return Recorded(len(door.events), tuple(door.stale), stamp if changed else stamp - 1)


class _Door:
    """One passage: decides for each observation what it changes."""

    def __init__(self, stream: Stream, sighting: Sighting, stamp: int) -> None:
        self.stream = stream
        self.sighting = sighting
        self.stamp = stamp
        self.events: list[outbox.Change] = []
        self.stale: list[str] = []
        self.inserts: list[dict[str, t.Any]] = []
        self.updates: list[dict[str, t.Any]] = []
        self.touched: list[dict[str, t.Any]] = []

    def pass_one(self, seen: Observation, before: Known | None) -> None:
        if before is not None and before.stamp > self.sighting.ticket:
            self.stale.append(seen.object_id)
        elif before is None:
            if seen.body is not None:
                self._meet(seen, content_of(seen.body))
        elif seen.body is None:
            if before.live:
                self._change(seen, before, NOTHING)
        elif before.live and before.digest == digest_of(seen.body):
            if before.modified_at != seen.modified_at or not before.settled:
                self.touched.append(self._row(seen) | {"seen_at": seen.seen_at})
        else:
            self._change(seen, before, content_of(seen.body))

    def _meet(self, seen: Observation, content: Content) -> None:
        since, kind = self.sighting.since, EventType.CREATED
        if since is not None and not _later(seen.created_at, since) and not self.stream.backfill:
            if _later(seen.modified_at, since):
                kind = EventType.UPDATED
            else:
                self.inserts.append(self._full_row(seen, content, version=1))
                return
        self.inserts.append(self._full_row(seen, content, version=1))
        self._tell(seen, kind, 1, None, ())

    def _change(self, seen: Observation, before: Known, content: Content) -> None:
        changed: tuple[str, ...] = ()
        if seen.body is None:
            kind = EventType.DELETED
        elif before.live:
            kind = EventType.UPDATED
            changed = changed_fields(before.fields, content.fields, seen.body)
        else:
            kind = EventType.CREATED
        version = before.version + 1
        self.updates.append(
            self._full_row(seen, content, version) | {"notification_id": before.notification_id}
        )
        self._tell(seen, kind, version, before.notification_id, changed)

    def _tell(
        self,
        seen: Observation,
        kind: EventType,
        version: int,
        after: int | None,
        changed: tuple[str, ...],
    ) -> None:
        number = _number(seen.object_id)
        body = seen.body or {"id": seen.object_id if number is None else number}
        self.events.append(
            outbox.Change(
                object_id=seen.object_id,
                event_type=kind,
                version=version,
                date=seen.modified_at or seen.created_at or self.sighting.poll_date,
                source=self.sighting.source.value,
                body=orjson.dumps(body),
                changed_fields=changed,
                after_notification=after,
            )
        )

    def _row(self, seen: Observation) -> dict[str, t.Any]:
        return {
            "poller_id": self.stream.poller_id,
            "object_id": seen.object_id,
            "modified_at": seen.modified_at,
        }

    def _full_row(self, seen: Observation, content: Content, version: int) -> dict[str, t.Any]:
        return self._row(seen) | {
            "number": _number(seen.object_id),
            "live": seen.body is not None,
            "digest": content.digest,
            "fields": content.fields,
            "seen_at": seen.seen_at,
            "version": version,
            "stamp": self.stamp,
            "notification_id": None,
        }

    def write(self, session: orm.Session, told: cabc.Mapping[str, int]) -> None:
        for row in (*self.inserts, *self.updates):
            row["notification_id"] = told.get(row["object_id"], row["notification_id"])
        if self.inserts:
            session.execute(sa.insert(Object), self.inserts)
        if self.updates:
            session.execute(sa.update(Object), self.updates)
        if self.touched:
            session.execute(sa.update(Object), self.touched)
        if self.inserts or self.updates:
            session.execute(
                sa.update(Poller).where(Poller.id == self.stream.poller_id).values(stamp=self.stamp)
            )


def _later(date: dt.datetime | None, since: dt.datetime) -> bool:
    return date is not None and date > since


def _number(object_id: str) -> int | None:
    if object_id.isascii() and object_id.isdigit() and len(object_id) < 19:
        return int(object_id)
    return None
