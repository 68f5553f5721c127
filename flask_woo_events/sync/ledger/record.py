"""The record of changes: the only code that changes what the ledger holds."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ...db.models import Poller
from ...db.states import EventType
from ...events import outbox
from ...events.event_detail import TRUNCATED
from ...values.hidden_fields import shown
from ...values.validation import whole_number
from ..cursor import Stream
from . import bodies, identity, lookup, object_dates, representation, statements
from .digest import NOTHING, Content, changed_fields, content_of
from .lookup import Known
from .observation import Observation, ObservationBatch
from .screening import backfill_target, is_backfilled, is_in_backfill, is_sent_again


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """The result of recording observations."""

    #: Ids of the objects for which an event was emitted, one event each.
    emitted: tuple[str, ...] = ()
    #: Objects changed by another source during this read; read them again.
    stale: tuple[str, ...] = ()
    #: Objects read as they were before what is known; a second reading decides.
    older: tuple[str, ...] = ()
    #: Objects that a second reading showed as they were before, too.
    reverted: tuple[str, ...] = ()
    #: Number of DELETED events.
    deleted: int = 0
    #: The fields that changed, by id, of the objects with an UPDATED event.
    fields: cabc.Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    #: The ledger's revision afterwards.
    revision: int = 0


def record(
    session: orm.Session, stream: Stream, observed: ObservationBatch, rules: outbox.Rules
) -> Recorded:
    """Compare observations with the ledger and write the changes with their events.

    Ledger rows, events and notifications are flushed in the caller's transaction, so a crash
    leaves all of them or none. The poller's row is locked first: sources that see the same object
    at the same time are recorded one after the other.

    :param rules: how events become notifications.
    :raises ErasedMeanwhileError: they must pass ``StoredBodies.again`` first.
    """
    query = sa.select(Poller.revision, Poller.erasure_id).where(Poller.id == stream.poller_id)
    revision, erasure_id = session.execute(query.with_for_update()).one()
    if stream.stored is not None:
        stream.stored.require(erasure_id)
    latest = {seen.object_id: seen for seen in observed.observations}
    before = lookup.known(session, stream.poller_id, list(latest))
    recorder = Recorder(stream, observed, revision + 1, rules.now)
    for object_id, seen in latest.items():
        recorder.process(seen, before.get(object_id))
    recorder.compare(session)
    notification_ids = outbox.post(session, stream, recorder.events, observed.poll_date, rules)
    recorder.write(session, notification_ids)
    return Recorded(
        tuple(change.object_id for change in recorder.events),
        tuple(recorder.stale),
        tuple(recorder.older),
        tuple(recorder.reverted),
        sum(
            change.event_type is EventType.DELETED and change.only_for is None
            for change in recorder.events
        ),
        {
            change.object_id: change.changed_fields
            for change in recorder.events
            if change.event_type is EventType.UPDATED and change.only_for is None
        },
        revision + bool(recorder.inserts or recorder.updates),
    )


def hold(
    session: orm.Session, poller_id: int, object_ids: cabc.Collection[str], now: dt.datetime
) -> None:
    """Let live objects wait for a second reading; those that wait already keep their date."""
    rows = [
        {"poller_id": poller_id, "object_id": object_id, "held_at": now}
        for object_id, known in lookup.known(session, poller_id, list(object_ids)).items()
        if known.live and known.held_at is None
    ]
    if rows:
        statements.update_rows(session, rows)


class Recorder:
    """The rows and events of one batch: decides what each observation changes.

    :param revision: the revision that the ledger gets if anything changes.
    :param now: our own clock.
    """

    def __init__(
        self, stream: Stream, observed: ObservationBatch, revision: int, now: dt.datetime
    ) -> None:
        self.stream = stream
        self.observed = observed
        self.revision = revision
        self.now = now
        self.events: list[outbox.Change] = []
        self.stale: list[str] = []
        self.inserts: list[dict[str, t.Any]] = []
        self.updates: list[dict[str, t.Any]] = []
        #: Rows whose content is the same, read at a later date.
        self.touched: list[dict[str, t.Any]] = []
        #: Those that were read by an older function, or in another state of the store.
        self.rewritten: list[dict[str, t.Any]] = []
        #: Those whose body was not kept, or is to be kept no more.
        self.filled: list[dict[str, t.Any]] = []
        self.older: list[str] = []
        self.reverted: list[str] = []
        #: Rows that wait for a second reading, or no longer do.
        self.holds: list[dict[str, t.Any]] = []
        self._description = representation.described(stream.store, revision)
        self._bodies = bodies.BodyWriter(stream)
        #: Objects with an UPDATED event whose body before is known.
        self._updated: dict[str, bodies.Updated] = {}

    def process(self, seen: Observation, before: Known | None) -> None:
        """Decide what one observation changes."""
        if before is not None and before.revision > self.observed.read_revision:
            self.stale.append(seen.object_id)
        elif before is None or self._is_forgotten(before):
            if seen.body is not None and not seen.excluded:
                self._add(seen, content_of(seen.body), before)
            elif is_sent_again(self.stream, before, seen):
                version = self._next_version(None)
                self.inserts.append(self._full_row(seen, NOTHING, version, None))
                self._send_again(seen, version)
        elif self.observed.stale and not self._is_newer(seen, before):
            return
        elif self._is_older(seen, before) and not self._is_second(before):
            self.older.append(seen.object_id)
            self.holds.append(self._key(seen) | {"held_at": before.held_at or self.now})
        else:
            if self._is_older(seen, before):
                self.reverted.append(seen.object_id)
            self._process_current(seen, before)

    def _process_current(self, seen: Observation, before: Known) -> None:
        """Decide what an observation changes that is no older reading."""
        if seen.body is None:
            if before.live:
                self._change(seen, before, NOTHING)
            elif before.held_at is not None:
                self.holds.append(self._key(seen) | {"held_at": None})
        elif is_backfilled(self.stream, before, seen):
            self._backfill(seen, before, seen.body)
        else:
            if is_sent_again(self.stream, before, seen):
                if representation.agrees(before, seen.body, self.stream.ignored):
                    self._send_again(seen, before.version)
            self._compare(seen, before, seen.body)

    def _backfill(self, seen: Observation, before: Known, body: cabc.Mapping[str, t.Any]) -> None:
        """Emit a known object as CREATED; to one subscription, it adds to what all others get."""
        target = backfill_target(self.stream)
        if target is None or not (before.live or before.excluded):
            self._change(seen, before, content_of(body), created=True)
            return
        known = before._replace(version=self._next_version(before))
        self._emit(seen, EventType.CREATED, known.version, (), target)
        as_before = representation.as_before(before, seen, body)
        same = before.live and representation.agrees(before, as_before, self.stream.ignored)
        if same and not self._is_uncertain(seen, before):
            self._keep(seen, known, content_of(body))
        else:
            self._compare(seen, known, body)

    def _send_again(self, seen: Observation, version: int) -> None:
        """Send an object as it is to the subscriptions that lack it."""
        for target, wanted in self.stream.again[seen.object_id].items():
            kind = EventType(wanted)
            if seen.body is None or kind is EventType.DELETED:
                # It was unknown when it was asked for.
                kind = EventType.DELETED if seen.body is None else EventType.CREATED
            self._emit(seen, kind, version, (), int(target))

    def _compare(self, seen: Observation, before: Known, body: cabc.Mapping[str, t.Any]) -> None:
        """Decide what an object changes that is there."""
        as_before = representation.as_before(before, seen, body)
        if seen.excluded or before.excluded:
            if before.live or not seen.excluded:
                self._filter(seen, before, as_before, content_of(body))
        elif before.live and representation.agrees(before, as_before, self.stream.ignored):
            if self._is_uncertain(seen, before):
                self._change(seen, before, content_of(body))
            elif as_before is not body:
                self._keep(seen, before, content_of(body))
            else:
                self._touch(seen, before, body)
        else:
            content = content_of(body)
            if before.live and self._explains(seen, before, as_before, content):
                self._keep(seen, before, content)
            else:
                self._change(seen, before, content)

    def _filter(
        self, seen: Observation, before: Known, as_before: representation.Body, content: Content
    ) -> None:
        """Record that a new filter excludes an object, or includes it again."""
        same = representation.agrees(before, as_before, self.stream.ignored)
        if same or self._explains(seen, before, as_before, content):
            self._keep(seen, before, content)
        else:
            self._change(seen, before, content)

    def _explains(
        self, seen: Observation, before: Known, body: representation.Body, content: Content
    ) -> bool:
        content = content if body is seen.body else content_of(body)
        return representation.explains(self.stream.store, before, body, content, seen.seen_at)

    def _touch(self, seen: Observation, before: Known, body: cabc.Mapping[str, t.Any]) -> None:
        """Keep the date of a later read, and how the same content is written now."""
        row = self._row(seen) | {
            "seen_at": seen.seen_at,
            "listed": seen.listed,
            "held_at": None,
        }
        if representation.is_outdated(before, self.stream.store):
            content = content_of(body)
            row |= representation.described_again(self.stream.store, before)
            row |= self._body_columns(seen, content, before.revision, before)
            self.rewritten.append(row | {"digest": content.digest, "fields": content.fields})
        elif not bodies.is_kept(before, self._bodies.mark):
            content = content_of(body)
            self.filled.append(row | self._body_columns(seen, content, before.revision, before))
        elif (
            before.modified_at != seen.modified_at
            or before.listed != seen.listed
            or before.held_at is not None
            or not before.settled
        ):
            self.touched.append(row)

    def _is_uncertain(self, seen: Observation, before: Known) -> bool:
        """Return whether an object may have been sent with other content after a backup.

        Its content is that of the restored backup again, and it was modified since.
        """
        comparison = self.stream.comparison
        mark = comparison.restored if comparison is not None else None
        return (
            mark is not None
            and before.revision <= mark
            and _later(seen.modified_at, before.modified_at or before.seen_at)
        )

    def _is_older(self, seen: Observation, before: Known) -> bool:
        """Return whether a replica, a cache or a restored backup may have shown the object."""
        if seen.body is None or seen.modified_at is None:
            return False
        if before.live or before.excluded:
            return before.modified_at is not None and seen.modified_at < before.modified_at
        # To take an order, product or coupon out of the trash sets its date (WooCommerce 5.9 to
        # 11.0); a customer who gets the role again has the old one.
        return self.stream.dated and seen.modified_at < before.seen_at

    def _is_newer(self, seen: Observation, before: Known) -> bool:
        """Return whether an object was modified after what is known; a cache cannot fake that."""
        if seen.body is None or seen.modified_at is None:
            return False
        known = before.modified_at if before.live or before.excluded else before.seen_at
        return known is None or seen.modified_at > known

    def _is_second(self, before: Known) -> bool:
        wait = self.observed.again_after
        return before.held_at is not None and self.now - before.held_at >= wait

    def _is_forgotten(self, before: Known) -> bool:
        """Return whether an earlier release started the resource over, and this is its baseline."""
        return (
            self.observed.since is not None
            and not before.live
            and before.revision <= self.stream.forgotten
        )

    def _add(self, seen: Observation, content: Content, before: Known | None) -> None:
        since, kind = self._baseline_end(), EventType.CREATED
        emits = True
        is_new = since is None or seen.is_new or _later(object_dates.created(seen), since)
        is_old = since is not None and not is_new
        in_backfill = is_old and is_in_backfill(self.stream, seen)
        target = backfill_target(self.stream) if in_backfill else None
        if since is not None and is_old and (target is not None or not in_backfill):
            kind = EventType.UPDATED
            emits = _later(object_dates.modified(seen), since)
        elif before is None and object_dates.existed(self.stream, seen):
            kind = EventType.UPDATED
        version = self._next_version(before)
        if target is not None:
            self._emit(seen, EventType.CREATED, version, (), target)
            version += emits
        after = None if before is None else before.notification_id
        row = self._full_row(seen, content, version, before) | {"notification_id": after}
        (self.inserts if before is None else self.updates).append(row)
        if emits:
            self._emit(seen, kind, version, ())

    def _baseline_end(self) -> dt.datetime | None:
        """Return until when unknown objects belong to the baseline; a new filter widens it."""
        comparison = self.stream.comparison
        return self.observed.since or (comparison.since if comparison is not None else None)

    def _next_version(self, before: Known | None) -> int:
        return max(0 if before is None else before.version, self.stream.version_floor) + 1

    def _keep(self, seen: Observation, before: Known, content: Content) -> None:
        """Record a state of which no event is emitted."""
        row = self._full_row(seen, content, before.version, before)
        self.updates.append(row | {"notification_id": before.notification_id})

    def _change(
        self, seen: Observation, before: Known, content: Content, *, created: bool = False
    ) -> None:
        changed: tuple[str, ...] = ()
        if identity.compare(before, seen) is identity.Likeness.OTHER:
            # Another object has the id now.
            gone = dataclasses.replace(seen, body=None)
            version = self._next_version(before)
            self._emit(gone, EventType.DELETED, version, ())
            before = before._replace(live=False, digest=NOTHING.digest, version=version)
        if seen.body is None:
            kind = EventType.DELETED
        elif not created and (before.live or before.excluded):
            kind = EventType.UPDATED
            compared = representation.as_written(before, seen, seen.body, content)
            differing = changed_fields(before.fields, compared.fields, seen.body)
            changed = tuple(name for name in differing if name not in self.stream.ignored)
            if bodies.is_known(before) and not seen.without_body:
                updated = bodies.Updated(seen.body, content, frozenset(changed), seen.erased)
                self._updated[seen.object_id] = updated
        else:
            kind = EventType.CREATED
        version = self._next_version(before)
        row = self._full_row(seen, content, version, before)
        self.updates.append(row | {"notification_id": before.notification_id})
        self._emit(seen, kind, version, changed)

    def _emit(
        self,
        seen: Observation,
        kind: EventType,
        version: int,
        changed: tuple[str, ...],
        only_for: int | None = None,
    ) -> None:
        number = whole_number(seen.object_id)
        only_id = {"id": seen.object_id if number is None else number}
        body = only_id | {TRUNCATED: True} if seen.without_body else seen.body or only_id
        self.events.append(
            outbox.Change(
                object_id=seen.object_id,
                event_type=kind,
                version=version,
                date=object_dates.of_event(seen, self.observed.poll_date),
                source=self.observed.source.value,
                body=orjson.dumps(body) if seen.raw is None else shown(orjson.dumps(body)),
                changed_fields=changed,
                only_for=only_for,
            )
        )

    def _key(self, seen: Observation) -> dict[str, t.Any]:
        return {"poller_id": self.stream.poller_id, "object_id": seen.object_id}

    def _row(self, seen: Observation) -> dict[str, t.Any]:
        return self._key(seen) | {
            "modified_at": seen.modified_at,
            "created_at": seen.created_at,
        }

    def _body_columns(
        self, seen: Observation, content: Content, revision: int, before: Known | None
    ) -> dict[str, t.Any]:
        body = None if seen.without_body else seen.body
        return self._bodies.columns(seen.object_id, body, content, revision, before)

    def _full_row(
        self, seen: Observation, content: Content, version: int, before: Known | None
    ) -> dict[str, t.Any]:
        return self._row(seen) | {
            "number": whole_number(seen.object_id),
            "parent": seen.parent,
            "live": seen.body is not None and not seen.excluded,
            "digest": content.digest,
            "fields": content.fields,
            "seen_at": seen.seen_at,
            "version": version,
            "stamp": self.revision,
            "notification_id": None,
            **self._description,
            "listed": seen.listed,
            "held_at": None,
            **self._body_columns(seen, content, self.revision, before),
        }

    def compare(self, session: orm.Session) -> None:
        """Add to the UPDATED events what changed, where the body before is known."""
        if not self._updated:
            return
        found = bodies.compare(session, self.stream, self._updated)
        self.events = [
            dataclasses.replace(one, changes=found.get(one.object_id))
            if one.event_type is EventType.UPDATED
            else one
            for one in self.events
        ]

    def write(self, session: orm.Session, notification_ids: cabc.Mapping[str, int]) -> None:
        """Write the rows, each with its latest notification, and the ledger's revision."""
        for row in (*self.inserts, *self.updates):
            row["notification_id"] = notification_ids.get(row["object_id"], row["notification_id"])
        # Not by the session, which looks for mapped classes in each row.
        connection = session.connection()
        if self.inserts:
            connection.execute(statements.INSERT, self.inserts)
        kinds = self.updates, self.touched, self.rewritten, self.filled, self.holds
        for rows in filter(None, kinds):
            statements.update_rows(session, rows)
        self._bodies.write(session)
        if self.inserts or self.updates:
            mine = sa.update(Poller).where(Poller.id == self.stream.poller_id)
            session.execute(mine.values(revision=self.revision))


def _later(date: dt.datetime | None, since: dt.datetime) -> bool:
    return date is not None and date > since
