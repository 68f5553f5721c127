"""The ledger: the one door through which what is known of an object changes."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ...db.models import EventType, Object, Poller
from ...events import outbox
from ...values.validation import whole_number
from ..cursor import Stream
from .digest import NOTHING, Content, changed_fields, content_of, digest_of, only_names_differ
from .lookup import Known, known, ticket
from .observation import Observation, ObservationBatch
from .store_identity import StoreEvidence, read_signs

#: How long a new version of WooCommerce explains fields that appear or vanish. Every object is
#: compared within a day by default.
EXPLAINED = dt.timedelta(days=7)


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """What came of observations."""

    #: Ids of the objects of which something is told, one event each.
    told: tuple[str, ...] = ()
    #: Objects that another source changed while these were read; they must be read again.
    stale: tuple[str, ...] = ()
    #: The ledger's stamp after it.
    stamp: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Screened:
    """What a first look at observations, without any lock, found."""

    #: What must pass ``record()``; ``None`` when the ledger holds it all.
    news: ObservationBatch | None
    #: The ledger's stamp now.
    ticket: int
    signs: StoreEvidence
    #: Some of them differ only by fields that appeared or vanished, as after an upgrade.
    reshaped: bool = False


def sift(
    session: orm.Session, poller_id: int, sighting: ObservationBatch, polled_at: dt.datetime | None
) -> Screened:
    """Leave out what the ledger already holds, without locking anything.

    :param polled_at: when the last complete poll began, the store's clock.
    """
    before = known(session, poller_id, [seen.object_id for seen in sighting.observations])
    now = ticket(session, poller_id)
    news = [seen for seen in sighting.observations if not _holds(before.get(seen.object_id), seen)]
    return Screened(
        dataclasses.replace(sighting, observations=news) if news else None,
        now,
        read_signs(before, sighting, polled_at),
        any(_is_reshaped(before.get(seen.object_id), seen) for seen in news),
    )


def _is_reshaped(before: Known | None, seen: Observation) -> bool:
    if before is None or not before.live or seen.body is None:
        return False
    return only_names_differ(before.fields, content_of(seen.body).fields)


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
    session: orm.Session, stream: Stream, sighting: ObservationBatch, rules: outbox.Rules
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
    door = Recorder(stream, sighting, stamp)
    for object_id, seen in latest.items():
        door.pass_one(seen, before.get(object_id))
    told = outbox.post(session, stream, door.events, sighting.poll_date, rules)
    door.write(session, told)
    changed = bool(door.inserts or door.updates)
    return Recorded(
        tuple(change.object_id for change in door.events),
        tuple(door.stale),
        stamp if changed else stamp - 1,
    )


class Recorder:
    """One passage: decides for each observation what it changes."""

    def __init__(self, stream: Stream, sighting: ObservationBatch, stamp: int) -> None:
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
        elif before is None or self._forgotten(before):
            if seen.body is not None:
                self._meet(seen, content_of(seen.body), before)
        elif seen.body is None:
            if before.live:
                self._change(seen, before, NOTHING)
        elif before.live and before.digest == digest_of(seen.body):
            if before.modified_at != seen.modified_at or not before.settled:
                self.touched.append(self._row(seen) | {"seen_at": seen.seen_at})
        else:
            content = content_of(seen.body)
            if before.live and self._explained(seen, before, content):
                row = self._full_row(seen, content, before.version)
                self.updates.append(row | {"notification_id": before.notification_id})
            else:
                self._change(seen, before, content)

    def _explained(self, seen: Observation, before: Known, content: Content) -> bool:
        """Whether only the store's new version is to be seen, and nothing of what happened in it.

        What was read since the new version was met is not excused: such a field means something.
        """
        upgraded_at = self.stream.upgraded_at
        return (
            upgraded_at is not None
            and before.seen_at < upgraded_at
            and seen.seen_at - upgraded_at < EXPLAINED
            and only_names_differ(before.fields, content.fields)
        )

    def _forgotten(self, before: Known) -> bool:
        """It was known before the resource was started over, and the baseline comes to it."""
        return (
            self.sighting.since is not None
            and not before.live
            and before.stamp <= self.stream.forgotten
        )

    def _meet(self, seen: Observation, content: Content, before: Known | None) -> None:
        since, kind = self.sighting.since, EventType.CREATED
        told = True
        if since is not None and not _later(seen.created_at, since) and not self.stream.backfill:
            kind = EventType.UPDATED
            told = _later(seen.modified_at, since)
        version = 1 if before is None else before.version + 1
        after = None if before is None else before.notification_id
        row = self._full_row(seen, content, version) | {"notification_id": after}
        (self.inserts if before is None else self.updates).append(row)
        if told:
            self._tell(seen, kind, version, after, ())

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
        number = whole_number(seen.object_id)
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
            "created_at": seen.created_at,
        }

    def _full_row(self, seen: Observation, content: Content, version: int) -> dict[str, t.Any]:
        return self._row(seen) | {
            "number": whole_number(seen.object_id),
            "parent": seen.parent,
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
