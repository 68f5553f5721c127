"""The book: what one poll of one resource saw, written down batch by batch under the lease."""

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
from . import cursor as cursors
from .cursor import Cursor, Stream
from .ledger import lookup, record
from .ledger.lookup import Known
from .ledger.observation import ObservationBatch
from .ledger.store_identity import StoreEvidence
from .reading.base import Batch

POLLED = outbox.POLLING_BATCH
_BATCHES = {Source.WEBHOOK: outbox.WEBHOOK_BATCH}


class View:
    """The ledger of one resource, read in short transactions."""

    def __init__(self, database: Database, poller_id: int, stamp: int) -> None:
        self._database = database
        self._poller_id = poller_id
        #: As last seen. An older one is safe: it only takes more of what is read for stale.
        self.stamp = stamp

    def ticket(self) -> int:
        return self.stamp

    def known(self, object_ids: cabc.Sequence[str]) -> dict[str, Known]:
        with self._database.read() as session:
            return lookup.known(session, self._poller_id, object_ids)

    def live_numbers(self, after: int | None, until: int | None) -> list[int]:
        with self._database.read() as session:
            return lookup.live_numbers(session, self._poller_id, after, until)

    def count_live(self) -> int:
        with self._database.read() as session:
            return lookup.count_live(session, self._poller_id)

    def live_ids(self) -> list[str]:
        with self._database.read() as session:
            return lookup.live_ids(session, self._poller_id)

    def modified_after(self, after: dt.datetime, most: int) -> list[int]:
        with self._database.read() as session:
            return lookup.modified_after(session, self._poller_id, after, most)

    def children(self, parents: cabc.Sequence[int]) -> dict[int, int]:
        with self._database.read() as session:
            return lookup.children(session, self._poller_id, parents)

    def children_between(self, after: int | None, until: int | None) -> dict[int, int]:
        with self._database.read() as session:
            return lookup.children_between(session, self._poller_id, after, until)

    def parents_of(self, numbers: cabc.Sequence[int]) -> dict[int, int]:
        with self._database.read() as session:
            return lookup.parents_of(session, self._poller_id, numbers)


class PollRecorder:
    """Writes down what one poll of one resource saw: at once what is news, else at the end."""

    #: Seconds after which progress is written though nothing was news.
    PATIENCE = 5.0

    def __init__(
        self,
        database: Database,
        lease: InstanceLease,
        keeper: LeaseRenewer,
        stream: Stream,
        view: View,
        cursor: Cursor,
    ) -> None:
        self.stream = stream
        #: Objects read in full.
        self.observed = 0
        self.events = 0
        #: Ids of objects of which something was told.
        self.changed: set[str] = set()
        #: Live objects of ours that the store showed.
        self.met = 0
        self.cursor = cursor
        #: Functions of the application that want events.
        self.routes: tuple[Route, ...] = ()
        #: Count what webhooks should have told; their store has some of ours.
        self.tallies = False
        #: Finds out whether and since when the store has another version of WooCommerce.
        self.upgraded: cabc.Callable[[dt.datetime], dt.datetime | None] = lambda _: None
        self._signs = StoreEvidence()
        self._database = database
        self._lease = lease
        self._keeper = keeper
        self._view = view
        self._polled_at = cursor.polled_at
        self._written = time.monotonic()

    @contextlib.contextmanager
    def transaction(self) -> cabc.Iterator[orm.Session]:
        """A transaction under the lease, which writes the cursor too."""
        with self._database.write() as session:
            self._lease.renew(session, self._keeper.until())
            cursors.save(session, self.stream.poller_id, self.cursor)
            yield session
        self._written = time.monotonic()

    def enter(self, batch: Batch, now: dt.datetime) -> None:
        """Record a batch and its cursor in one commit, or keep the cursor if nothing was news.

        :raises AnotherStoreError: the batch is of another store; nothing of it is recorded.
        :raises StoreRestoredError: the batch is of an earlier day of the store.
        :raises LeaseLostError: another worker has the instance.
        """
        news = self._sift(batch.sighting) if batch.sighting is not None else None
        self.cursor = batch.cursor
        if news is not None:
            with self.transaction() as session:
                rules = outbox.Rules(
                    now=now, batch_size=_BATCHES.get(news.source, POLLED), routes=self.routes
                )
                recorded = record.record(session, self.stream, news, rules)
                if self.tallies and news.source in (Source.POLL, Source.COMPARE, Source.JOURNAL):
                    missed = webhook_coverage.CoverageCounts(missed=len(recorded.told))
                    names = self.stream.instance_id, self.stream.resource
                    webhook_coverage.add(session, *names, missed, now)
            self.events += len(recorded.told)
            self.changed.update(recorded.told)
            self._view.stamp = recorded.stamp
        elif time.monotonic() - self._written > self.PATIENCE:
            with self.transaction():
                pass

    def _sift(self, sighting: ObservationBatch) -> ObservationBatch | None:
        self.observed += len(sighting.observations)
        if sighting.source is Source.BASELINE or not sighting.observations:
            return sighting if sighting.observations else None
        with self._database.read() as session:
            sifted = record.sift(session, self.stream.poller_id, sighting, self._polled_at)
        self._view.stamp = sifted.ticket
        self.met += sifted.signs.met
        self._signs += sifted.signs
        self._signs.judge(self.stream.resource)
        if sifted.reshaped:
            since = self.upgraded(sighting.poll_date)
            self.stream = dataclasses.replace(self.stream, upgraded_at=since)
        return sifted.news

    def close(self, *, ended: bool) -> None:
        """Write the cursor at the end of the poll."""
        with self._database.write() as session:
            self._lease.renew(session, self._keeper.until())
            cursors.save(session, self.stream.poller_id, self.cursor, ended=ended)
