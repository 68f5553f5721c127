"""The recorder: writes what one poll of one resource saw, batch by batch, under the lease."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import time

from sqlalchemy import orm

from ..db.database import Database
from ..db.leases import InstanceLease, LeaseRenewer
from ..db.models import Source
from ..events import outbox, webhook_coverage
from ..handlers import Route
from .cursor import Cursor, Stream, save_cursor
from .ledger import record
from .ledger.lookup import LedgerView
from .ledger.observation import ObservationBatch
from .ledger.record import Recorded
from .ledger.representation import Suspects, shows_zone
from .ledger.store_identity import StoreEvidence
from .present_store import PresentStore
from .reading.base import Batch

#: Seconds after which the cursor is written although nothing changed.
SAVE_AFTER = 5.0
#: Sources whose events no webhook has announced.
_POLLED = (Source.POLL, Source.COMPARE, Source.JOURNAL)


class PollRecorder:
    """Records the batches of one resource in one poll.

    A batch with changes is committed immediately. The cursor of other batches is written from time
    to time and at the end.
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
    ) -> None:
        self.stream = stream
        #: Objects read in full.
        self.observed = 0
        self.events = 0
        #: Ids of objects for which an event was emitted.
        self.changed: set[str] = set()
        #: Live objects of the ledger that the store showed.
        self.matched = 0
        self.cursor = cursor
        #: Handlers of the application.
        self.routes: tuple[Route, ...] = ()
        #: Count changes that no webhook announced: the store has webhooks of ours.
        self.counts_missed = False
        self._evidence = StoreEvidence()
        self._database = database
        self._lease = lease
        self._renewer = renewer
        self._ledger = ledger
        self._store = store
        self._polled_at = cursor.polled_at
        self._saved = time.monotonic()

    @contextlib.contextmanager
    def transaction(self, *, ended: bool = False) -> cabc.Iterator[orm.Session]:
        """Open a transaction that renews the lease and writes the cursor.

        :param ended: the poll reached its end.
        """
        with self._database.write() as session:
            self._lease.renew(session, self._renewer.until())
            save_cursor(session, self.stream.poller_id, self.cursor, ended=ended)
            yield session
        self._saved = time.monotonic()

    def record(self, batch: Batch, now: dt.datetime) -> None:
        """Commit a batch with its cursor; keep only the cursor if nothing changed.

        :raises AnotherStoreError: another store answered; nothing of the batch is recorded.
        :raises StoreRestoredError: the store was restored from a backup.
        :raises LeaseLostError: another worker has the instance.
        """
        unrecorded = self._screen(batch.observed) if batch.observed is not None else None
        self.cursor = batch.cursor
        if unrecorded is not None:
            with self.transaction() as session:
                recorded = self._write(session, unrecorded, now)
            self.events += len(recorded.emitted)
            self.changed.update(recorded.emitted)
            self._ledger.revision = recorded.revision
        elif time.monotonic() - self._saved > SAVE_AFTER:
            self.save()

    def save(self, *, ended: bool = False) -> None:
        """Write the cursor.

        :param ended: the poll reached its end.
        """
        with self.transaction(ended=ended):
            pass

    def _screen(self, observed: ObservationBatch) -> ObservationBatch | None:
        self.observed += len(observed.observations)
        if observed.source is Source.BASELINE or not observed.observations:
            return observed if observed.observations else None
        with self._database.read() as session:
            screened = record.screen(
                session, self.stream.poller_id, observed, self._polled_at, self._store.state
            )
        self._ledger.revision = screened.revision
        self.matched += screened.evidence.matched
        self._evidence += screened.evidence
        self._evidence.judge(self.stream.resource)
        self._check_store(observed, screened.suspects)
        return screened.unrecorded

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
        rules = outbox.Rules(now=now, batch_size=size, routes=self.routes)
        stream = dataclasses.replace(self.stream, store=self._store.state)
        recorded = record.record(session, stream, observed, rules)
        if self.counts_missed and observed.source in _POLLED:
            missed = webhook_coverage.CoverageCounts(missed=len(recorded.emitted))
            names = self.stream.instance_id, self.stream.resource
            webhook_coverage.add(session, *names, missed, now)
        return recorded
