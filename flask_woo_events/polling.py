"""The polls of one instance: claimed, read, committed batch by batch, failures written down."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import logging
import time

import sqlalchemy as sa
from sqlalchemy import orm

from . import profiles
from .database import Database
from .errors import (
    LeaseLostError,
    StoreAccessError,
    StoreBusyError,
    StoreRejectedError,
    UnreachableError,
    WooEventsError,
)
from .flow import cursor as cursors
from .flow import ledger, outbox, poll
from .flow.cursor import Cursor, Stream
from .flow.ledger import Known, Sighting, Source
from .flow.sources import Batch, Reading
from .leases import InstanceLease, Keeper, claim_instance
from .models import Instance, Poller, PollerState
from .runtime import Runtime
from .store import catalogue
from .store.client import StoreClient
from .store.listing import Listing, order_statuses, read_filters

_log = logging.getLogger(__name__)

#: How long a store's list of order statuses is believed.
STATUSES_KEPT = dt.timedelta(hours=1)
#: The longest pause after repeated failures.
LONGEST_PAUSE = dt.timedelta(hours=6)

Progress = cabc.Callable[[str, int, int], None]


@dataclasses.dataclass(kw_only=True)
class PollReport:
    """What one poll of one resource did."""

    instance: int
    resource: str
    #: Requests to the store.
    requests: int = 0
    #: Objects read in full.
    observed: int = 0
    events: int = 0
    seconds: float = 0.0
    error: str | None = None


def due_instances(runtime: Runtime, *, all_of_them: bool = False) -> list[int]:
    """Instances to poll now, the longest waiting first; those held by a worker are left out."""
    now = runtime.clock()
    query = sa.select(Instance.id).where(Instance.next_poll_at.is_not(None))
    if not all_of_them:
        free = sa.or_(Instance.lease_until.is_(None), Instance.lease_until < now)
        query = query.where(Instance.next_poll_at <= now, free)
    with runtime.database.read() as session:
        return list(session.scalars(query.order_by(Instance.next_poll_at, Instance.id)))


class InstancePoll:
    """One turn of one instance.

    :param keeper: renews the lease while the store is slow.
    :param only: poll just this resource.
    :param progress: called during a baseline with the resource, objects done and in all.
    :param stopped: asked between commits; true ends the turn there.
    """

    def __init__(
        self,
        runtime: Runtime,
        keeper: Keeper,
        *,
        only: str | None = None,
        progress: Progress | None = None,
        stopped: cabc.Callable[[], bool] = lambda: False,
    ) -> None:
        self._runtime = runtime
        self._database = runtime.database
        self._keeper = keeper
        self._only = only
        self._progress = progress
        self._stopped = stopped

    def run(self, instance_id: int) -> list[PollReport]:
        """Poll every resource of an instance, one after the other.

        A failing resource is written down and does not stop the others.
        """
        with self._database.write() as session:
            lease = claim_instance(session, instance_id, self._runtime.clock(), self._keeper.length)
        if lease is None:
            return [
                PollReport(
                    instance=instance_id,
                    resource=self._only or "*",
                    error="another worker is polling this instance",
                )
            ]
        started = self._runtime.clock()
        try:
            with self._keeper.hold(lease):
                reports = self._poll_all(lease)
        except LeaseLostError as exc:
            _log.warning("%s", exc, extra={"action": "lease_lost", "instance": instance_id})
            return [PollReport(instance=instance_id, resource=self._only or "*", error=str(exc))]
        with self._database.write() as session:
            lease.release(session, self._next_poll(instance_id, started))
        return reports

    def _next_poll(self, instance_id: int, started: dt.datetime) -> dt.datetime | None:
        if self._stopped() or self._only is not None:
            return None
        with self._database.read() as session:
            profile = profiles.load_profile(session, instance_id)
        return started + dt.timedelta(minutes=profile.refresh_minutes)

    def _poll_all(self, lease: InstanceLease) -> list[PollReport]:
        instance_id = lease.instance_id
        with self._database.read() as session:
            pollers = session.scalars(
                sa.select(Poller.id)
                .where(
                    Poller.instance_id == instance_id,
                    Poller.selected,
                    Poller.state != PollerState.DISABLED,
                    sa.true() if self._only is None else Poller.resource == self._only,
                )
                .order_by(Poller.id)
            ).all()
            access = profiles.load_access(session, self._runtime.cipher, instance_id)
            facts = session.get_one(Instance, instance_id).store_facts
        client = self._runtime.store_client(access)
        turn = _Turn(self._runtime, lease, client, str(facts.get("version") or ""))
        reports = []
        for poller_id in pollers:
            if self._stopped():
                break
            reports.append(self._poll_one(turn, poller_id))
        return reports

    def _poll_one(self, turn: _Turn, poller_id: int) -> PollReport:
        with self._database.read() as session:
            stream, cursor = cursors.load(session, poller_id)
            view = _View(self._database, poller_id, ledger.ticket(session, poller_id))
        book = _Book(self._database, turn.lease, self._keeper, stream, view, cursor)
        report = PollReport(instance=stream.instance_id, resource=stream.resource)
        before, began = turn.client.requests_made, time.monotonic()
        try:
            for batch in turn.read(stream, cursor, view):
                book.enter(batch, self._runtime.clock())
                self._show(stream, batch)
                if self._stopped():
                    break
            book.close(ended=not self._stopped())
        except LeaseLostError:
            raise
        except WooEventsError as exc:
            report.error = str(exc)
            self._fail(book, exc)
        except Exception as exc:
            # A fault of ours with one resource must not silence the others.
            report.error = f"{type(exc).__name__}: {exc}"
            self._fail(book, exc)
            _log.exception("polling %s failed", stream.resource, extra=_extra(report))
        report.observed, report.events = book.observed, book.events
        report.requests = turn.client.requests_made - before
        report.seconds = round(time.monotonic() - began, 3)
        _log.info("polled %s: %d events", stream.resource, report.events, extra=_extra(report))
        return report

    def _show(self, stream: Stream, batch: Batch) -> None:
        if self._progress is not None and batch.cursor.baseline_total:
            if batch.sighting is not None and batch.sighting.since is not None:
                done = min(batch.cursor.baseline.offset, batch.cursor.baseline_total)
                self._progress(stream.resource, done, batch.cursor.baseline_total)

    def _fail(self, book: _Book, exc: Exception) -> None:
        with book.transaction() as session:
            row = session.get_one(Poller, book.stream.poller_id)
            row.failures += 1
            row.error = str(exc)
            row.memory = {name: value for name, value in row.memory.items() if name != "statuses"}
            if row.failures >= self._runtime.settings.poll_failures_allowed:
                row.state = PollerState.DISABLED
                row.error = f"disabled after {row.failures} failures in a row; the last: {exc}"


class _Book:
    """Writes down what one poll of one resource saw: at once what is news, else at the end."""

    #: Seconds after which progress is written though nothing was news.
    PATIENCE = 5.0

    def __init__(
        self,
        database: Database,
        lease: InstanceLease,
        keeper: Keeper,
        stream: Stream,
        view: _View,
        cursor: Cursor,
    ) -> None:
        self.stream = stream
        self.observed = 0
        self.events = 0
        self._database = database
        self._lease = lease
        self._keeper = keeper
        self._view = view
        self._cursor = cursor
        self._written = time.monotonic()

    @contextlib.contextmanager
    def transaction(self) -> cabc.Iterator[orm.Session]:
        """A transaction under the lease, which writes the cursor too."""
        with self._database.write() as session:
            self._lease.renew(session, self._keeper.until())
            cursors.save(session, self.stream.poller_id, self._cursor)
            yield session
        self._written = time.monotonic()

    def enter(self, batch: Batch, now: dt.datetime) -> None:
        """Record a batch and its cursor in one commit, or keep the cursor if nothing was news."""
        self._cursor = batch.cursor
        news = self._sift(batch.sighting) if batch.sighting is not None else None
        if news is not None:
            with self.transaction() as session:
                recorded = ledger.record(session, self.stream, news, outbox.Rules(now=now))
            self.events += recorded.events
            self._view.stamp = recorded.stamp
        elif time.monotonic() - self._written > self.PATIENCE:
            with self.transaction():
                pass

    def _sift(self, sighting: Sighting) -> Sighting | None:
        self.observed += len(sighting.observations)
        if sighting.source is Source.BASELINE or not sighting.observations:
            return sighting if sighting.observations else None
        with self._database.read() as session:
            news, self._view.stamp = ledger.sift(session, self.stream.poller_id, sighting)
        return news

    def close(self, *, ended: bool) -> None:
        """Write the cursor at the end of the poll."""
        with self._database.write() as session:
            self._lease.renew(session, self._keeper.until())
            cursors.save(session, self.stream.poller_id, self._cursor, ended=ended)


class _Turn:
    """What the polls of one turn share."""

    def __init__(
        self, runtime: Runtime, lease: InstanceLease, client: StoreClient, version: str
    ) -> None:
        self.lease = lease
        self.client = client
        self._runtime = runtime
        self._version = version
        self._broken: WooEventsError | None = None

    def read(self, stream: Stream, cursor: Cursor, view: _View) -> cabc.Iterator[Batch]:
        """Yield the batches of one resource."""
        if self._broken is not None:
            raise self._broken
        try:
            cursor = self._with_statuses(stream, cursor)
            yield from poll.read(self._reading(stream, cursor, view), cursor)
        except (UnreachableError, StoreBusyError) as exc:
            # The other resources are at the same store.
            self._broken = exc
            raise

    def _reading(self, stream: Stream, cursor: Cursor, view: _View) -> Reading:
        settings, configuration = self._runtime.settings, stream.configuration
        now = self._runtime.clock()
        last_poll = (cursor.polled_at or now) - dt.timedelta(seconds=configuration.poll_delay)
        return Reading(
            stream=stream,
            listing=Listing(
                self.client,
                catalogue.resolve(configuration.url),
                read_filters(configuration.url, last_poll=last_poll, now=now),
                page_size=max(2, min(configuration.page_size or 100, settings.poll_page_size)),
                version=self._version,
                statuses=cursor.memory.get("statuses") or (),
            ),
            ledger=view,
            clock=self._runtime.clock,
            overlap=dt.timedelta(seconds=settings.poll_overlap),
            compare_pages=settings.compare_pages,
        )

    def _with_statuses(self, stream: Stream, cursor: Cursor) -> Cursor:
        """Refresh what the store's order statuses are; ``any`` hides those of some plugins."""
        if catalogue.resolve(stream.configuration.url).hub_name != "orders":
            return cursor
        now = self._runtime.clock()
        read_at = cursor.memory.get("statuses_at")
        if "statuses" in cursor.memory and isinstance(read_at, str):
            if now - dt.datetime.fromisoformat(read_at) < STATUSES_KEPT:
                return cursor
        try:
            statuses = order_statuses(self.client)
        except (StoreAccessError, StoreRejectedError):
            statuses = ()  # Keys without the right to reports: "any" and "trash" must do.
        memory = {"statuses": list(statuses), "statuses_at": now.isoformat()}
        return dataclasses.replace(cursor, memory={**cursor.memory, **memory})


class _View:
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
            return ledger.known(session, self._poller_id, object_ids)

    def live_numbers(self, after: int | None, until: int | None) -> list[int]:
        with self._database.read() as session:
            return ledger.live_numbers(session, self._poller_id, after, until)

    def count_live(self) -> int:
        with self._database.read() as session:
            return ledger.count_live(session, self._poller_id)


def _extra(report: PollReport) -> dict[str, object]:
    return {"action": "poll", **dataclasses.asdict(report)}
