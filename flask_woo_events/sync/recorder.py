"""The recorder: writes what one poll of one resource saw, batch by batch, under the lease."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import time
import typing as t

from sqlalchemy import orm

from .. import tracing
from ..db.database import Database
from ..db.leases import InstanceLease, LeaseRenewer
from ..db.models import Instance
from ..db.states import Source
from ..events import operational, outbox, webhook_coverage
from ..events.operational import Occurrence
from ..handlers import Route
from ..instances import notices, store_condition
from ..instances.holds import MISSING
from ..instances.pollers import READ_AGAIN
from ..instances.problems import ODDITIES
from ..woocommerce.documented_fields import DOCUMENTED
from ..woocommerce.oddities import (
    BODY_TRUNCATED,
    NOT_RECORDED,
    UNREADABLE_OBJECTS,
    Oddity,
)
from ..woocommerce.unreadable import Unreadable
from . import refusals
from .belief import REVERSED_WITHIN
from .cursor import Cursor, Stream, save_cursor
from .ledger import record, screening
from .ledger.identity import Evidence
from .ledger.lookup import LedgerView
from .ledger.observation import AGAIN_AFTER, ObservationBatch
from .ledger.record import Recorded
from .ledger.representation import Suspects, shows_zone
from .present_store import PresentStore
from .reading.base import Batch
from .stored_bodies import ErasedMeanwhileError

T = t.TypeVar("T")
Notes = dict[str, t.Any]
#: Seconds after which the cursor is written although nothing changed.
SAVE_AFTER = 5.0
#: Members of a cursor's memory that the recorder writes: whether objects wait for a second
#: reading, are missing, or are in no list, since when all is to be compared, the DELETED events by
#: hour, which objects became older when, which the database did not take, which are sent again, and
#: what is odd about the store's answers.
NOTES = (
    "held", MISSING, "unlisted", "compare_all", "deleted", "reverted", "refused", READ_AGAIN,
    ODDITIES,
)  # fmt: skip
#: Objects that the database did not take of which the reason is kept, and how long.
MOST_REFUSED, REFUSED_FOR = 20, dt.timedelta(days=1)
#: Members in which it keeps the objects that the store fails to show, and such parents of them.
UNREADABLE, UNREADABLE_PARENTS = "unreadable", "unreadable_parents"
#: Objects that became older of which the date is kept.
MOST_REVERTED = 20
#: How long DELETED events count against a mass deletion.
DELETED_HOURS = 24
#: Sources whose events no webhook has announced.
_POLLED = (Source.POLL, Source.COMPARE, Source.JOURNAL)


class PollRecorder:
    """Records the batches of one resource in one poll.

    A batch with changes is committed immediately. The cursor of other batches is written from time
    to time and at the end. What is kept here changes after the commit, so that a batch that could
    not be recorded is read again.
    """

    def __init__(
        self,
        database: Database,
        lease: InstanceLease,
        renewer: LeaseRenewer,
        stream: Stream,
        ledger: LedgerView,
        cursor: Cursor,
        store: PresentStore,
        clock: cabc.Callable[[], dt.datetime],
    ) -> None:
        self.stream = stream
        #: Objects read in full, and events.
        self.observed = self.events = 0
        #: Ids of objects for which an event was emitted.
        self.changed: set[str] = set()
        #: Objects of which only fields changed that WooCommerce does not document, by field.
        self.suspects: dict[str, list[str]] = {}
        #: Live objects of the ledger that the store showed as they are known.
        self.matched = 0
        #: Objects read as they were before what is known; a second reading decides.
        self.older = 0
        #: Whether an object became older that had become older a short time ago.
        self.reverses = False
        self.cursor = cursor
        #: Members of the cursor's memory that are written here, whatever way of reading writes it.
        self.notes: Notes = _notes_of(cursor, clock().isoformat())
        #: Objects that the store fails to show, and such parents of them.
        self.unreadable = Unreadable(cursor.memory.get(UNREADABLE), clock)
        self.unreadable_parents = Unreadable(cursor.memory.get(UNREADABLE_PARENTS), clock)
        self._clock = clock
        #: Codes of the oddities that are known without reading the resource.
        self._present_codes = {BODY_TRUNCATED.code, NOT_RECORDED.code}
        if self._unreadable_now:
            self._present_codes.add(UNREADABLE_OBJECTS.code)
        #: How long after an older reading a second one counts.
        self.again_after = AGAIN_AFTER
        #: Returns what of a batch may be recorded, or raises.
        self.prove: cabc.Callable[[ObservationBatch, Evidence], ObservationBatch] = (
            lambda observed, _: observed
        )
        #: Whether an answer without any object may move the cursor.
        self.trusts_nothing: cabc.Callable[[], bool] = lambda: True
        #: Whether a cache may have kept what is read.
        self.is_stale: cabc.Callable[[], bool] = lambda: False
        #: Called after events are committed.
        self.recorded: cabc.Callable[[], None] = lambda: None
        #: Handlers of the application, and the traces of the webhooks that named objects, by id.
        self.routes: tuple[Route, ...] = ()
        self.traces: cabc.Mapping[str, str] = {}
        #: Count changes that no webhook announced: the store has webhooks of ours.
        self.counts_missed = False
        self._database = database
        self._lease = lease
        self._renewer = renewer
        self._ledger = ledger
        self._store = store
        self._saved = time.monotonic()
        #: The cursor after an answer without objects that nothing has proved yet.
        self._withheld: Cursor | None = None

    @property
    def again(self) -> dict[str, dict[str, str]]:
        """The objects to read and send again, see ``pollers.request_reading``."""
        return t.cast(
            "dict[str, dict[str, str]]", self.notes.get(READ_AGAIN, {}).get("objects", {})
        )

    def unreadable_ids(self) -> list[int]:
        """Return the objects that the store fails to show, ascending."""
        return self.unreadable.ids

    @property
    def retries(self) -> bool:
        """Whether an object that could not be read is to be tried again now."""
        return bool(self.unreadable.due(1) or self.unreadable_parents.due(1))

    @property
    def has_learned(self) -> bool:
        """Whether other objects are left out than the stored cursor says."""
        memory, names = self.cursor.memory, (UNREADABLE, UNREADABLE_PARENTS, "refused", ODDITIES)
        now = self._with_notes(self.cursor, self.notes).memory
        return any(memory.get(name) != now.get(name) for name in names)

    def transact(self, write: cabc.Callable[[orm.Session], T]) -> T:
        """Run a function in a transaction that renews the lease and writes the cursor first."""
        cursor = self._with_notes(self.cursor, self.notes)

        def work(session: orm.Session) -> T:
            self._lease.renew(session, self._renewer.until)
            save_cursor(session, self.stream.poller_id, cursor)
            return write(session)

        result = self._database.transact(work)
        self.cursor, self._saved = cursor, time.monotonic()
        return result

    def record(self, batch: Batch, now: dt.datetime) -> None:
        """Commit a batch with its cursor; keep only the cursor if nothing changed.

        :raises AnotherStoreError: the store is not proved to be ours; nothing is recorded.
        :raises LeaseLostError: another worker has the instance.
        """

        def commit(part: ObservationBatch, *, last: bool) -> None:
            cursor, stored = batch.cursor if last else self.cursor, self.stream.stored
            try:
                self._commit(cursor, part, now)
            except ErasedMeanwhileError:
                if stored is None:
                    raise
                again = stored.again(part.observations)
                commit(dataclasses.replace(part, observations=again), last=last)

        unrecorded = self._screen(batch.observed) if batch.observed is not None else None
        if unrecorded is not None:
            self._note_refused(refusals.write(self._database, unrecorded, commit), now)
            return
        before, self.cursor = self.cursor, batch.cursor
        if not self.matched and not self.trusts_nothing():
            # Nothing of this answer shows whose it is; an answer of another resource may later.
            self._withheld = batch.cursor
            self.cursor = dataclasses.replace(self.cursor, at=before.at, polled_at=before.polled_at)
        if time.monotonic() - self._saved > SAVE_AFTER:
            self.save()

    def _commit(self, cursor: Cursor, unrecorded: ObservationBatch, now: dt.datetime) -> None:
        def work(session: orm.Session) -> tuple[Recorded, Notes, Cursor]:
            self._lease.renew(session, self._renewer.until)
            recorded = self._write(session, unrecorded, now)
            notes = self._noted(recorded, unrecorded, now)
            saved = self._with_notes(cursor, notes)
            save_cursor(session, self.stream.poller_id, saved)
            if recorded.reverted:
                store_condition.note_restored(
                    session, self.stream.instance_id, self.stream.resource, now
                )
            return recorded, notes, saved

        before, since = self.notes.get("reverted", {}), (now - REVERSED_WITHIN).isoformat()
        with tracing.within(None, resource=self.stream.resource):
            with tracing.span("woo_events.record") as span:
                recorded, self.notes, self.cursor = self._database.transact(work)
                span.set(events=len(recorded.emitted))
        self.reverses |= any(before.get(one, "") > since for one in recorded.reverted)
        self._saved = time.monotonic()
        self.events += len(recorded.emitted)
        self.older += len(recorded.older)
        self.changed.update(recorded.emitted)
        for object_id, fields in recorded.fields.items():
            for name in fields if DOCUMENTED.isdisjoint(fields) else ():
                self.suspects.setdefault(name, []).append(object_id)
        self._ledger.changed(recorded.revision, lists_all="unlisted" not in self.notes)
        if recorded.emitted:
            self.recorded()

    def hold(self, object_ids: cabc.Collection[str], reason: str, now: dt.datetime) -> None:
        """Let missing objects wait for a second reading.

        :param reason: for a notice, if none of the resource waited before.
        """
        is_new = MISSING not in self.notes

        def work(session: orm.Session) -> None:
            record.hold(session, self.stream.poller_id, object_ids, now)
            if is_new:
                self._notice(session, "hold", reason, now)
                operational.record(session, self.stream.instance_id, self._held(reason), now)

        self.notes = {**self.notes, "held": True, MISSING: True}
        self.transact(work)

    def end_hold(self, now: dt.datetime) -> None:
        """Note that no object is missing any more, if one was."""
        if self.notes.pop(MISSING, None):
            text = f"No {self.stream.resource} wait any more: they are shown again, or deleted."

            def work(session: orm.Session) -> None:
                self._notice(session, "hold ended", text, now)
                self._record_released(session, text, now)

            self.transact(work)

    def _held(self, reason: str) -> Occurrence:
        return Occurrence(
            kind="deletion.held",
            number=self.stream.poller_id,
            resource=self.stream.resource,
            text=reason,
            costs="These deletions are not sent; all other changes are.",
            ends="A poll that shows the objects again, or a person who accepts that they are "
            "deleted.",
            command=f"flask woo instances accept {self.stream.instance_id}",
        )

    def _record_released(self, session: orm.Session, text: str, now: dt.datetime) -> None:
        released = Occurrence(
            kind="deletion.released",
            number=self.stream.poller_id,
            resource=self.stream.resource,
            text=text,
        )
        operational.record(session, self.stream.instance_id, released, now)

    def keep_oddities(self, found: cabc.Mapping[Oddity, str], *, complete: bool) -> None:
        """Keep what was odd about the store's answers in this run, and the objects left out now.

        :param complete: the whole resource was read, so earlier oddities have ended.
        """
        before = {} if complete else self.notes.get(ODDITIES, {})
        kept = {code: one for code, one in before.items() if code not in self._present_codes}
        kept |= {oddity.code: detail for oddity, detail in found.items()} | self._refused_now()
        if unreadable := self._unreadable_now:
            kept[UNREADABLE_OBJECTS.code] = f"{self.stream.resource} {', '.join(unreadable)}"
        self.notes.pop(ODDITIES, None)
        if kept:
            self.notes[ODDITIES] = kept

    @property
    def _unreadable_now(self) -> list[str]:
        parents = (f"those of {number}" for number in self.unreadable_parents.ids)
        return [*map(str, self.unreadable.ids), *parents]

    def _refused_now(self) -> dict[str, str]:
        """Return what the database did not take of objects in the last day, by code."""
        since = (self._clock() - REFUSED_FOR).isoformat()
        ids = collections.defaultdict[str, list[str]](list)
        for object_id, (code, noted) in self.notes.get("refused", {}).items():
            if noted > since:
                ids[code].append(object_id)
        return {code: f"{self.stream.resource} {', '.join(some)}" for code, some in ids.items()}

    def _note_refused(self, found: cabc.Mapping[str, Oddity], now: dt.datetime) -> None:
        if found:
            noted = {one: [oddity.code, now.isoformat()] for one, oddity in found.items()}
            refused = self.notes.get("refused", {}) | noted
            self.notes["refused"] = dict(list(refused.items())[-MOST_REFUSED:])

    def _notice(self, session: orm.Session, kind: str, text: str, now: dt.datetime) -> None:
        notices.add(session.get_one(Instance, self.stream.instance_id), kind, text, now)

    def _noted(self, recorded: Recorded, observed: ObservationBatch, now: dt.datetime) -> Notes:
        """Return the notes after a batch."""
        notes = dict(self.notes)
        if any(not seen.listed for seen in observed.observations):
            notes["unlisted"] = True
        if recorded.older:
            notes["held"] = True
            # Other objects may be older, too, and no date shows which.
            notes["compare_all"] = now.isoformat()
        if refused := notes.pop("refused", None):
            seen = {one.object_id for one in observed.observations}
            ended = {BODY_TRUNCATED.code: set(recorded.emitted), NOT_RECORDED.code: seen}
            if left := {
                one: kept for one, kept in refused.items() if one not in ended.get(kept[0], ())
            }:
                notes["refused"] = left
        if again := notes.pop(READ_AGAIN, None):
            left = {one: kept for one, kept in self.again.items() if one not in recorded.emitted}
            if left:
                notes[READ_AGAIN] = {**again, "objects": left}
        if recorded.reverted:
            dates = notes.get("reverted", {}) | dict.fromkeys(recorded.reverted, now.isoformat())
            notes["reverted"] = dict(list(dates.items())[-MOST_REVERTED:])
        if recorded.deleted:
            hour = now.replace(minute=0, second=0, microsecond=0).isoformat()
            counts = dict(notes.get("deleted", {}))
            counts[hour] = counts.get(hour, 0) + recorded.deleted
            notes["deleted"] = dict(sorted(counts.items())[-DELETED_HOURS:])
        return notes

    def deleted_lately(self, now: dt.datetime) -> int:
        """Return how many DELETED events were recorded in the last 24 hours."""
        since = (now - dt.timedelta(hours=DELETED_HOURS)).isoformat()
        counts = self.notes.get("deleted", {})
        return sum(count for hour, count in counts.items() if hour > since)

    def save(self) -> None:
        """Write the cursor."""
        self.transact(lambda _: None)

    def _end(self) -> None:
        """Let the answers without objects count that other resources have proved meanwhile."""
        if self._withheld is not None and self.trusts_nothing():
            at, polled_at = self._withheld.at, self._withheld.polled_at
            self.cursor = dataclasses.replace(self.cursor, at=at, polled_at=polled_at)

    def _screen(self, observed: ObservationBatch) -> ObservationBatch | None:
        self.observed += len(observed.observations)
        if not observed.observations:
            return None
        screened = screening.screen_overlapping(observed, self._ledger.revision)
        if screened is None:
            with self._database.read() as session:
                stream = dataclasses.replace(self.stream, again=self.again)
                screened = screening.screen(session, stream, observed, self._store.state)
        self._ledger.revision = screened.revision
        self.matched += screened.matched
        unrecorded = screened.unrecorded
        if unrecorded is not None:
            unrecorded = self.prove(unrecorded, screened.evidence)
            unrecorded = dataclasses.replace(
                unrecorded, again_after=self.again_after, stale=self.is_stale()
            )
        if observed.source is not Source.BASELINE:
            self._check_store(observed, screened.suspects)
        return unrecorded

    def _check_store(self, observed: ObservationBatch, suspects: Suspects) -> None:
        """Read the store's version and zone again if these objects look as if they changed."""
        if suspects.version:
            self._store.check_version(observed.poll_date)
        bodies = (seen.body for seen in observed.observations if seen.body is not None)
        fits = shows_zone(self._store.state, bodies)
        if fits is False or (fits is None and suspects.zone):
            self._store.check_zone()

    def _write(
        self, session: orm.Session, observed: ObservationBatch, now: dt.datetime
    ) -> Recorded:
        webhook = observed.source is Source.WEBHOOK
        size = outbox.WEBHOOK_BATCH if webhook else outbox.POLLING_BATCH
        rules = outbox.Rules(now=now, batch_size=size, routes=self.routes, traces=self.traces)
        stream = dataclasses.replace(self.stream, store=self._store.state, again=self.again)
        recorded = record.record(session, stream, observed, rules)
        if stream.stored is not None:
            stream.stored.note_customers(session)
        if self.counts_missed and observed.source in _POLLED:
            missed = webhook_coverage.CoverageCounts(missed=len(recorded.emitted))
            names = self.stream.instance_id, self.stream.resource
            webhook_coverage.add(session, *names, missed, now)
        return recorded

    def _with_notes(self, cursor: Cursor, notes: Notes) -> Cursor:
        own = {UNREADABLE: self.unreadable, UNREADABLE_PARENTS: self.unreadable_parents}
        kept = {name: one.to_json() for name, one in own.items() if len(one)}
        written = {*NOTES, *own}
        memory = {name: one for name, one in cursor.memory.items() if name not in written}
        return dataclasses.replace(cursor, memory={**memory, **notes, **kept})


def _notes_of(cursor: Cursor, now: str) -> Notes:
    """Return the notes in a cursor's memory, without objects that are asked for no longer."""
    notes = {name: cursor.memory[name] for name in NOTES if name in cursor.memory}
    if READ_AGAIN in notes and notes[READ_AGAIN]["until"] < now:
        del notes[READ_AGAIN]
    return notes


def save_all(recorders: cabc.Sequence[PollRecorder], *, ended: bool) -> None:
    """Write the cursors of resources of one instance, in one transaction.

    :param ended: their poll reached its end.
    :raises LeaseLostError: another worker has the instance.
    """
    if not recorders:
        return
    for one in recorders:
        if ended:
            one._end()
    cursors = [one._with_notes(one.cursor, one.notes) for one in recorders]

    def work(session: orm.Session) -> None:
        recorders[0]._lease.renew(session, recorders[0]._renewer.until)
        for one, cursor in zip(recorders, cursors, strict=True):
            save_cursor(session, one.stream.poller_id, cursor, ended=ended)

    recorders[0]._database.transact(work)
    for one, cursor in zip(recorders, cursors, strict=True):
        one.cursor, one._saved = cursor, time.monotonic()
