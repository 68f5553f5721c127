"""A turn: what the polls of one instance's resources share, and how each of them reads."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt

from ..db.leases import InstanceLease, LeaseRenewer
from ..db.models import Instance, Poller, PollerState, Source
from ..errors import (
    StoreAccessError,
    StoreBusyError,
    StoreRejectedError,
    UnreachableError,
    WooEventsError,
)
from ..instances import access as profiles
from ..instances import pollers
from ..runtime import Runtime
from ..woocommerce import endpoints
from ..woocommerce.client import StoreClient
from ..woocommerce.connection_check import read_system
from ..woocommerce.endpoints import Collection, ParentLink
from ..woocommerce.listing import Filters, Listing, order_statuses, read_filters
from . import cursor as cursors
from .cursor import Cursor, ListPosition, Stream
from .reading import children, missing, modified
from .reading.base import Batch, Followups, Reading
from .recorder import PollRecorder, View
from .report import PollReport

#: How long a store's list of order statuses is believed.
STATUSES_KEPT = dt.timedelta(hours=1)
#: What a poll has to make up for when regular ones are switched off.
UNTOLD = dt.timedelta(hours=1)
#: More than all of a resource: it may grow while it is read.
WHOLE = 2.0
#: How long it is believed that a store does not list variations or refunds of all parents.
ROUTE_KEPT = dt.timedelta(hours=24)


@dataclasses.dataclass(slots=True)
class ResourceRun:
    """One resource in a turn."""

    stream: Stream
    view: View
    book: PollRecorder
    collection: Collection
    report: PollReport
    look: Followups = dataclasses.field(default_factory=Followups)
    reading: Reading | None = None
    #: All of it is compared, in this poll and those that follow until the end is reached.
    whole: bool = False


class PollSession:
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
        self.jobs: list[ResourceRun] = []
        #: Resources that are to be polled, and not yet.
        self.waiting: list[ResourceRun] = []
        self._runtime = runtime
        self._version = version
        self._upgraded: tuple[dt.datetime | None] | None = None
        self._broken: WooEventsError | None = None

    @property
    def broken(self) -> bool:
        """The store does not answer."""
        return self._broken is not None

    def in_order(self) -> list[ResourceRun]:
        """The jobs in the order in which they are read.

        Those with dates first: they tell whether the store is the one that is known. What can be
        read only by parent comes last, since the parents say which of them changed.
        """
        return sorted(
            self.jobs,
            key=lambda job: (job.collection.below is not None, not job.collection.has_date_filter),
        )

    def in_search_order(self) -> list[ResourceRun]:
        """The jobs in the order in which is searched: what belongs to others says what to look at.

        What can be read only by parent comes last here too.
        """

        def order(job: ResourceRun) -> int:
            by_parent = job.reading is not None and job.reading.by_parent
            return 2 if by_parent else int(job.collection.below is None)

        return sorted(self.jobs, key=order)

    def read(self, job: ResourceRun) -> cabc.Generator[Batch]:
        """Yield what the poll and the scan of one resource see."""
        with self._together():
            cursor = self._with_route(job, self._with_statuses(job, job.book.cursor))
            if job.whole and "whole" not in cursor.memory:
                cursor = dataclasses.replace(
                    cursor, compare=ListPosition(), memory={**cursor.memory, "whole": True}
                )
            job.reading = self._reading(job, cursor)
            self.hint(job)
            source = children if job.reading.by_parent else modified
            yield from source.read(job.reading, cursor, job.look)

    def search(self, job: ResourceRun) -> cabc.Generator[Batch]:
        """Yield what the search finds for which the polls of all resources left signs."""
        reading = job.reading
        if reading is None or reading.listing.is_feed:
            return
        self.hint(job)
        with self._together():
            if reading.by_parent:
                yield from children.search(reading, job.book.cursor, job.look)
            elif job.collection.orders_by_id:
                yield from missing.read(reading, job.book.cursor, job.look)

    def settle(self, job: ResourceRun, source: Source) -> cabc.Generator[Batch]:
        """Yield what is true of the objects that others named: ``look`` holds their ids."""
        with self._together():
            cursor = self._with_route(job, self._with_statuses(job, job.book.cursor))
            job.reading = self._reading(job, cursor)
            self.hint(job)
            if job.reading.by_parent:
                yield from children.settle(job.reading, cursor, job.look, source)
            else:
                yield from missing.settle(
                    job.reading, cursor, job.look.candidates | job.look.again, source
                )

    def hint(self, job: ResourceRun) -> None:
        """Let what changed below an object, and above, be read again in this turn.

        A changed variation changes its product, often without a date; a deleted order takes its
        refunds along; a product's picture is its variations'.
        """
        below = job.collection.below
        for other in self.jobs:
            if other.collection.below and other.collection.below.parent == job.collection.hub_name:
                numbers = [int(one) for one in other.book.changed if one.isdecimal()]
                numbers += other.look.candidates
                job.look.again.update(other.view.parents_of(numbers).values())
            if below and below.parent == other.collection.hub_name:
                changed = [int(one) for one in other.book.changed if one.isdecimal()]
                job.look.parents.update(changed)
                if below.inherits and not (job.reading and job.reading.by_parent):
                    job.look.again.update(job.view.children(changed))

    def coupons(self, codes: cabc.Iterable[str]) -> set[int]:
        """Ids of the coupons with these codes, one request each."""
        found: set[int] = set()
        with self._together():
            for code in codes:
                query = {"code": code, "status": "any", "_fields": "id"}
                found.update(
                    row["id"] for row in self.client.get_list("coupons", query, ids=True).data
                )
        return found

    def upgraded(self, date: dt.datetime) -> dt.datetime | None:
        """When the store was first met with the version that it has, if that is not its first.

        It is asked once a turn, and only when something looks as if it were upgraded.

        :param date: what was read before is of the version before, the store's clock.
        """
        if self._upgraded is None:
            found = read_system(self.client)
            with self._runtime.database.write() as session:
                instance = session.get_one(Instance, self.lease.instance_id, with_for_update=True)
                facts = dict(instance.store_facts)
                before, version = facts.get("version"), found.get("version")
                if before and version and before != version:
                    facts |= {**found, "upgraded": date.isoformat()}
                    instance.store_facts = facts
                    self._version = str(version)
            known = facts.get("upgraded") if version else None
            self._upgraded = (dt.datetime.fromisoformat(known) if known else None,)
        return self._upgraded[0]

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

    def _reading(self, job: ResourceRun, cursor: Cursor) -> Reading:
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
            compare_share=self._share(job),
            anchored=lambda: any(other.book.met for other in self.jobs),
            parents=self._parents(job.collection.below, cursor),
            by_parent=job.collection.below is not None and not cursor.memory["own_route"],
        )

    def _share(self, job: ResourceRun) -> float:
        """Which part of a resource this poll compares."""
        if job.whole:
            return WHOLE
        hours = self._runtime.settings.compare_hours
        return (self.interval or UNTOLD) / dt.timedelta(hours=hours)

    def _parents(self, below: ParentLink | None, cursor: Cursor) -> Listing | None:
        if below is None:
            return None
        return Listing(
            self.client,
            endpoints.named(below.parent),
            Filters(dict(below.parent_filter), feed=False),
            page_size=max(2, self._runtime.settings.poll_page_size),
            version=self._version,
            statuses=cursor.memory.get("statuses") or (),
        )

    def _with_route(self, job: ResourceRun, cursor: Cursor) -> Cursor:
        """Find out whether the store lists variations and refunds of all parents at once."""
        below, memory, now = job.collection.below, cursor.memory, self._runtime.clock()
        if below is None:
            return cursor
        kept = memory.get("own_route")
        if kept and "route_failed" not in memory:
            return cursor
        asked = memory.get("route_asked_at")
        if kept is False and now - dt.datetime.fromisoformat(str(asked)) < ROUTE_KEPT:
            return cursor
        own = below.own_route and self._has_route(job.collection)
        memory = {**memory, "own_route": own, "route_asked_at": now.isoformat()}
        memory.pop("route_failed", None)
        cursor = dataclasses.replace(cursor, memory=memory)
        if kept in (None, own):
            return cursor
        # The places of one way of reading mean nothing to the other.
        return dataclasses.replace(cursor, compare=ListPosition(), baseline=ListPosition())

    def _has_route(self, collection: Collection) -> bool:
        try:
            self.client.get_list(collection.path, {"per_page": 1, "_fields": "id"}, ids=True)
        except StoreRejectedError as exc:
            if exc.code == "rest_no_route":
                return False
            raise
        return True

    def _with_statuses(self, job: ResourceRun, cursor: Cursor) -> Cursor:
        """Refresh what the store's order statuses are; ``any`` hides those of some plugins."""
        below = job.collection.below
        if "orders" not in (job.collection.hub_name, below.parent if below else ""):
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


def open_turn(
    runtime: Runtime,
    keeper: LeaseRenewer,
    lease: InstanceLease,
    wanted: cabc.Callable[[Poller], bool],
) -> PollSession:
    """Open a turn of a claimed instance.

    :param wanted: which of its selected pollers take part.
    """
    with runtime.database.read() as session:
        instance = session.get_one(Instance, lease.instance_id)
        access = profiles.load_access(session, runtime.cipher, lease.instance_id)
        turn = PollSession(
            runtime,
            lease,
            runtime.store_client(access),
            str(instance.store_facts.get("version") or ""),
            dt.timedelta(minutes=instance.refresh_minutes),
        )
        hooked, routes = bool(instance.hooks), runtime.handlers.routes()
        for poller in pollers.of_instance(session, lease.instance_id):
            if not poller.selected or poller.state == PollerState.DISABLED:
                continue
            stream, cursor = cursors.from_row(poller)
            view = View(runtime.database, poller.id, poller.stamp)
            book = PollRecorder(runtime.database, lease, keeper, stream, view, cursor)
            book.tallies, book.routes = hooked, routes
            book.upgraded = turn.upgraded
            (turn.jobs if wanted(poller) else turn.waiting).append(
                ResourceRun(
                    stream=stream,
                    view=view,
                    book=book,
                    collection=endpoints.resolve(stream.configuration.url),
                    report=PollReport(instance=stream.instance_id, resource=stream.resource),
                )
            )
    return turn
