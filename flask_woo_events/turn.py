"""A turn: what the polls of one instance's resources share, and how each of them reads."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt

from .book import Book, View
from .errors import (
    StoreAccessError,
    StoreBusyError,
    StoreRejectedError,
    UnreachableError,
    WooEventsError,
)
from .flow import poll, search
from .flow.cursor import Cursor, Stream
from .flow.sources import Batch, Look, Reading
from .leases import InstanceLease
from .reports import PollReport
from .runtime import Runtime
from .store import catalogue
from .store.catalogue import Collection
from .store.client import StoreClient
from .store.listing import Listing, order_statuses, read_filters

#: How long a store's list of order statuses is believed.
STATUSES_KEPT = dt.timedelta(hours=1)


@dataclasses.dataclass(slots=True)
class Job:
    """One resource in a turn."""

    stream: Stream
    view: View
    book: Book
    collection: Collection
    report: PollReport
    look: Look = dataclasses.field(default_factory=Look)
    reading: Reading | None = None


class Turn:
    """What the polls of one turn share.

    :param version: of the store's WooCommerce, empty when it did not tell.
    :param interval: between two polls of the instance.
    """

    def __init__(
        self,
        runtime: Runtime,
        lease: InstanceLease,
        client: StoreClient,
        version: str,
        interval: dt.timedelta,
    ) -> None:
        self.lease = lease
        self.client = client
        self.interval = interval
        self.jobs: list[Job] = []
        self._runtime = runtime
        self._version = version
        self._broken: WooEventsError | None = None

    def read(self, job: Job) -> cabc.Generator[Batch]:
        """Yield what the poll and the scan of one resource see."""
        with self._together():
            cursor = self._with_statuses(job.stream, job.book.cursor)
            job.reading = self._reading(job, cursor)
            yield from poll.read(job.reading, cursor, job.look)

    def search(self, job: Job) -> cabc.Generator[Batch]:
        """Yield what the search finds for which the polls of all resources left signs."""
        reading = job.reading
        if reading is None or not job.collection.orders_by_id or reading.listing.is_feed:
            return
        with self._together():
            yield from search.read(reading, job.book.cursor, job.look)

    def share_hints(self) -> None:
        """Let a changed variation or refund make its product or order be read again."""

    @contextlib.contextmanager
    def _together(self) -> cabc.Iterator[None]:
        """The other resources are at the same store: what does not answer is not asked again."""
        if self._broken is not None:
            raise self._broken
        try:
            yield
        except (UnreachableError, StoreBusyError) as exc:
            self._broken = exc
            raise

    def _reading(self, job: Job, cursor: Cursor) -> Reading:
        settings, configuration = self._runtime.settings, job.stream.configuration
        now = self._runtime.clock()
        last_poll = (cursor.polled_at or now) - dt.timedelta(seconds=configuration.poll_delay)
        return Reading(
            stream=job.stream,
            listing=Listing(
                self.client,
                job.collection,
                read_filters(configuration.url, last_poll=last_poll, now=now),
                page_size=max(2, min(configuration.page_size or 100, settings.poll_page_size)),
                version=self._version,
                statuses=cursor.memory.get("statuses") or (),
            ),
            ledger=job.view,
            clock=self._runtime.clock,
            overlap=dt.timedelta(seconds=settings.poll_overlap),
            compare_pages=settings.compare_pages,
            compare_share=self.interval / dt.timedelta(hours=settings.compare_hours),
            anchored=lambda: any(other.book.met for other in self.jobs),
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
