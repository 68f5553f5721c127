"""The poll session: what the resources of one instance share, and how each is read."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import functools
import time

from ..db.leases import InstanceLease, LeaseRenewer
from ..db.models import Poller
from ..db.states import PollerState, Source
from ..errors import (
    StoreBusyError,
    StoreFailedError,
    StoreRejectedError,
    UnreachableError,
    WooEventsError,
)
from ..events import subscription_options
from ..instances import access, pollers, privacy, restored
from ..runtime import Runtime
from ..woocommerce import endpoints
from ..woocommerce.client import StoreClient
from ..woocommerce.listing import Filters, Listing
from ..woocommerce.row_limit import RowLimit
from . import order_statuses, own_route
from .belief import Belief
from .cursor import Cursor, ListPosition, load_cursor
from .judge import StoreJudge
from .ledger.lookup import LedgerView
from .present_store import PresentStore
from .reading import children, comparison, excluded, missing, modified, unstable
from .reading.base import Batch, Reading
from .recorder import PollRecorder
from .report import PollReport
from .resource_run import ResourceRun
from .stored_bodies import StoredBodies

#: The interval assumed for an instance without regular polls.
DEFAULT_INTERVAL = dt.timedelta(hours=1)
#: More objects than this, and more than this part of a resource, that were read as they were
#: before, wait longer for their second reading: a backup may be being restored.
MANY_HELD, MANY_HELD_PART = 20, 0.2
MANY_AGAIN_AFTER = dt.timedelta(minutes=10)
#: Waiting objects that are read in one poll.
HELD_AT_ONCE = 970
#: Before every change of a store.
_LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


class PollSession:
    """The resources of one instance, read with one client.

    :param store: what the store last reported about itself.
    :param interval: the instance's poll interval.
    """

    def __init__(
        self,
        runtime: Runtime,
        lease: InstanceLease,
        client: StoreClient,
        belief: Belief,
        store: PresentStore,
        interval: dt.timedelta,
    ) -> None:
        self.lease = lease
        self.client = client
        self.judge = StoreJudge(client, belief)
        self.interval = interval
        self.runs: list[ResourceRun] = []
        #: Selected resources that are not part of this session.
        self.waiting: list[ResourceRun] = []
        self._runtime = runtime
        #: The store as it last reported about itself.
        self.store = store
        #: Why the store does not answer.
        self.unreachable: WooEventsError | None = None

    def in_order(self) -> list[ResourceRun]:
        """Return the runs in the order in which they are read.

        Resources with dates come first: they show whether this is the known store. Resources that
        are read only by parent come last, since their parents show which of them changed.
        """
        return sorted(
            self.runs,
            key=lambda run: (run.collection.below is not None, not run.collection.has_date_filter),
        )

    def in_search_order(self) -> list[ResourceRun]:
        """Return the runs in the order in which they are searched.

        Children come before their parents, since a changed child changes its parent; resources
        that are read only by parent come last.
        """

        def order(run: ResourceRun) -> int:
            by_parent = run.reading is not None and run.reading.by_parent
            return 2 if by_parent else int(run.collection.below is None)

        return sorted(self.runs, key=order)

    def read(self, run: ResourceRun) -> cabc.Generator[Batch]:
        """Yield what is new in one resource, or changed without a new date."""
        with self._fail_fast():
            yield from self._with_present_statuses(run, self._read)

    def _read(self, run: ResourceRun) -> cabc.Generator[Batch]:
        self._waiting(run)
        cursor = self._with_route(run, self._with_statuses(run, run.recorder.cursor))
        if run.compare_all and "whole" not in cursor.memory:
            cursor = dataclasses.replace(
                cursor, compare=ListPosition(), memory={**cursor.memory, "whole": True}
            )
        run.recorder.unreadable.baseline = cursor.state is PollerState.BASELINE
        run.reading = self._reading(run, cursor)
        self.add_related(run)
        yield from self._retry(run, run.reading, cursor)
        source = children if run.reading.by_parent else modified
        yield from source.read(run.reading, cursor, run.followups)

    def search(self, run: ResourceRun) -> cabc.Generator[Batch]:
        """Yield what is missing in one resource, once all resources are read."""
        reading = run.reading
        if reading is None or reading.listing.is_feed:
            return
        self.add_related(run)
        self.add_waiting(run)
        with self._fail_fast():
            if reading.before is not None:
                # The ledger still holds what the filter before listed, so counts must differ.
                run.followups.total = None
                yield from excluded.read(reading, run.recorder.cursor, run.followups)
            if reading.by_parent:
                yield from children.search(reading, run.recorder.cursor, run.followups)
            elif run.collection.orders_by_id:
                yield from missing.read(reading, run.recorder.cursor, run.followups)
                yield from self._unlisted(run, reading)
            if reading.by_parent or reading.can_include:
                yield from unstable.read(reading, run.recorder.cursor, run.recorder.suspects)

    def check(
        self, run: ResourceRun, source: Source, *, alone: bool = False
    ) -> cabc.Generator[Batch]:
        """Yield the present state of the objects in the run's follow-ups.

        :param alone: without their parents and children.
        """
        run.by_hint = True
        with self._fail_fast():
            yield from self._with_present_statuses(
                run, lambda named: self._check(named, source, alone=alone)
            )

    def _check(self, run: ResourceRun, source: Source, *, alone: bool) -> cabc.Generator[Batch]:
        self._waiting(run)
        cursor = self._with_route(run, self._with_statuses(run, run.recorder.cursor))
        run.reading = self._reading(run, cursor)
        if not alone:
            self.add_related(run)
        yield from self._retry(run, run.reading, cursor)
        if run.reading.before is not None:
            yield from excluded.read(run.reading, cursor, run.followups, source)
        if run.reading.by_parent:
            yield from children.check(run.reading, cursor, run.followups, source)
        else:
            yield from missing.check(run.reading, cursor, run.followups, source)
            yield from self._unlisted(run, run.reading)

    def _retry(self, run: ResourceRun, reading: Reading, cursor: Cursor) -> cabc.Iterator[Batch]:
        # What names an object that could not be read may have mended it.
        run.recorder.unreadable.hurry(run.followups.candidates | run.followups.reread)
        return reading.retry(cursor, run.followups)

    def read_missing(self, run: ResourceRun) -> cabc.Generator[Batch]:
        """Yield missing orders that nobody has placed, or that have a status of now.

        The statuses that were listed may be older than an extension.
        """
        cursor = run.recorder.cursor
        statuses = cursor.memory.get("statuses")
        if not statuses or run.collection.hub_name != "orders" or not run.followups.gone:
            return
        with self._fail_fast():
            if run.reading is not None and run.reading.can_include:
                yield from missing.read_unplaced(run.reading, cursor, run.followups)
            if not run.followups.gone:
                return
            cursor = self._with_statuses(run, run.recorder.cursor, dt.timedelta())
            if cursor.memory["statuses"] != statuses:
                run.reading = self._reading(run, cursor)
                yield from missing.read_listed(run.reading, cursor, run.followups)

    def _unlisted(self, run: ResourceRun, reading: Reading) -> cabc.Iterator[Batch]:
        if run.recorder.notes.get("unlisted"):
            yield from missing.unlisted(reading, run.recorder.cursor, run.followups)

    def add_waiting(self, run: ResourceRun) -> None:
        """Add the objects that wait for a second reading, or were asked for, to the follow-ups."""
        run.followups.asked.update(run.recorder.again)
        run.followups.candidates.update(map(int, run.recorder.again))
        waiting = sorted(self._waiting(run).items(), key=lambda item: item[1])
        numbers = [int(one) for one, _ in waiting if one.isdecimal()]
        run.followups.candidates.update(numbers[:HELD_AT_ONCE])

    def _waiting(self, run: ResourceRun) -> dict[str, tuple[bool, dt.datetime]]:
        """Return the objects that wait for a second reading; many of them wait longer."""
        if not run.recorder.notes.get("held"):
            return {}
        held = run.ledger.held()
        if not held:
            run.recorder.notes.pop("held")
        elif len(held) > MANY_HELD and len(held) > run.ledger.count_live() * MANY_HELD_PART:
            run.recorder.again_after = MANY_AGAIN_AFTER
        return held

    def compare_all_next(self, now: dt.datetime) -> None:
        """Have the next polls compare everything: a backup may have been restored."""
        for run in (*self.runs, *self.waiting):
            if run.recorder.cursor.state is PollerState.ACTIVE:
                run.recorder.notes["compare_all"] = now.isoformat()
                run.recorder.save()

    def reading_of(self, run: ResourceRun) -> Reading | None:
        """Return how a resource is read; ``None`` if that is not known yet."""
        if run.reading is None and run.collection.below is None:
            return self._reading(run, run.recorder.cursor)
        return run.reading

    def add_related(self, run: ResourceRun) -> None:
        """Add the parents and children of changed objects to a run's follow-ups.

        A changed variation changes its product, often without a new date; a deleted order deletes
        its refunds; a product's image is shown by its variations.
        """
        below = run.collection.below
        for other in self.runs:
            if other.collection.below and other.collection.below.parent == run.collection.hub_name:
                numbers = _numbers(other.recorder.changed | other.followups.gone)
                run.followups.reread.update(other.ledger.parents_of(numbers).values())
            if below and below.parent == other.collection.hub_name:
                changed = _numbers(other.recorder.changed | other.followups.gone)
                run.followups.parents.update(changed)
                if below.inherits and not (run.reading and run.reading.by_parent):
                    run.followups.reread.update(run.ledger.children(changed))

    def coupons(self, codes: cabc.Iterable[str]) -> set[int]:
        """Return the ids of the coupons with these codes, at the cost of one request each."""
        found: set[int] = set()
        with self._fail_fast():
            for code in codes:
                query = {"code": code, "status": "any", "_fields": "id"}
                # A coupon that the store fails to show does not stop the orders that used it.
                with contextlib.suppress(StoreFailedError):
                    rows = self.client.get_list("coupons", query, ids=True).data
                    found.update(row["id"] for row in rows)
        return found

    @contextlib.contextmanager
    def _fail_fast(self) -> cabc.Iterator[None]:
        """Do not contact a store again that did not answer for another resource."""
        if self.unreachable is not None:
            raise self.unreachable
        try:
            yield
        except (UnreachableError, StoreBusyError) as exc:
            self.unreachable = exc
            raise

    def _reading(self, run: ResourceRun, cursor: Cursor) -> Reading:
        settings, configuration = self._runtime.settings, run.stream.configuration
        now = self._runtime.clock()
        overlap = _overlap(settings.poll_overlap, configuration.poll_delay)
        # The baseline of a feed reads further back, so that later polls find only what is new.
        last_poll = (cursor.polled_at or now - overlap) - overlap
        return Reading(
            stream=run.stream,
            listing=Listing(
                self.client,
                run.collection,
                configuration.filters(last_poll=last_poll, now=now),
                page_size=max(2, min(configuration.page_size or 100, settings.poll_page_size)),
                version=self.store.state.version,
                statuses=cursor.memory.get("statuses") or (),
                unreadable=run.recorder.unreadable,
            ),
            ledger=run.ledger,
            clock=self._runtime.clock,
            overlap=overlap,
            compare_pages=settings.compare_pages,
            compare_polls=1 if run.compare_all else self._compare_polls,
            compare_until=self._slice_end if run.in_slices else None,
            anchored=lambda: any(other.recorder.matched for other in self.runs),
            parents=self._parents(run, cursor),
            by_parent=run.collection.below is not None and not cursor.memory["own_route"],
            before=self._before(run, now),
        )

    def _before(self, run: ResourceRun, now: dt.datetime) -> Listing | None:
        """Return the listing of the filter before, until all of the new one was compared."""
        comparison = run.stream.comparison
        if comparison is None or comparison.url_before is None:
            return None
        url, size = comparison.url_before, self._runtime.settings.poll_page_size
        # Of a feed, everything that it ever listed.
        filters = run.stream.configuration.filters(last_poll=_LONG_AGO, now=now, url=url)
        return Listing(self.client, endpoints.resolve(url), filters, page_size=max(2, size))

    @functools.cached_property
    def _slice_end(self) -> float:
        return time.monotonic() + comparison.SLICE_SECONDS

    @property
    def _compare_polls(self) -> int:
        hours = self._runtime.settings.compare_hours
        return comparison.polls_within(hours, self.interval or DEFAULT_INTERVAL)

    def _parents(self, run: ResourceRun, cursor: Cursor) -> Listing | None:
        below = run.collection.below
        if below is None:
            return None
        return Listing(
            self.client,
            endpoints.named(below.parent),
            Filters(dict(below.parent_filter), feed=False),
            page_size=max(2, self._runtime.settings.poll_page_size),
            version=self.store.state.version,
            statuses=cursor.memory.get("statuses") or (),
            unreadable=run.recorder.unreadable_parents,
        )

    def _with_route(self, run: ResourceRun, cursor: Cursor) -> Cursor:
        return own_route.check(self.client, run.collection, cursor, self._runtime.clock())

    def _with_present_statuses(
        self, run: ResourceRun, read: cabc.Callable[[ResourceRun], cabc.Generator[Batch]]
    ) -> cabc.Generator[Batch]:
        """Read again, without the order statuses that the store refuses, if it refuses any."""
        try:
            yield from read(run)
        except StoreRejectedError as exc:
            cursor = run.recorder.cursor
            if exc.status != 400 or "statuses" not in cursor.memory:
                raise
            now = self._runtime.clock()
            run.recorder.cursor = order_statuses.leave_out_refused(self.client, cursor, now)
            yield from read(run)

    def _with_statuses(
        self, run: ResourceRun, cursor: Cursor, max_age: dt.timedelta | None = None
    ) -> Cursor:
        """Refresh the store's order statuses if the resource, or its parents, are orders."""
        below = run.collection.below
        if "orders" not in (run.collection.hub_name, below.parent if below else ""):
            return cursor
        age = order_statuses.STATUSES_MAX_AGE if max_age is None else max_age
        return order_statuses.refresh(self.client, cursor, self._runtime.clock(), age)

    def save_learned(self) -> None:
        """Keep what this session learned of the store's limits and unreadable objects."""
        self.store.save_row_limit()
        for run in self.runs:
            if run.recorder.has_learned:
                run.recorder.save()


def _overlap(overlap: int, delay: int) -> dt.timedelta:
    # Filters by date are exclusive, and the store's dates have no fractions.
    return dt.timedelta(seconds=max(overlap, delay), minutes=1)


def _numbers(object_ids: cabc.Iterable[str]) -> list[int]:
    return [int(object_id) for object_id in object_ids if object_id.isdecimal()]


def open_poll_session(
    runtime: Runtime,
    renewer: LeaseRenewer,
    lease: InstanceLease,
    wanted: cabc.Callable[[Poller], bool],
) -> PollSession:
    """Open a poll session on a claimed instance.

    :param wanted: returns whether a selected poller takes part.
    """
    _note_hidden_fields(runtime, lease.instance_id)
    with runtime.database.read() as session:
        instance = lease.read(session)
        client = runtime.store_client(access.load_access(session, runtime.cipher, instance.id))
        client.row_limit = RowLimit.from_json(instance.store_facts.get("rows"), runtime.clock)
        store = PresentStore(runtime.database, client, lease, renewer, instance.store_facts)
        interval = dt.timedelta(minutes=instance.refresh_minutes)
        poll = PollSession(
            runtime, lease, client, Belief.from_json(instance.belief), store, interval
        )
        has_webhooks, routes = bool(instance.hooks), runtime.handlers.routes()
        triggers = subscription_options.trigger_fields(session, instance.id)
        triggers |= {path for route in routes for path in route.fields}
        of_instance = pollers.of_instance(session, lease.instance_id)
        # After the pollers: these are then as of an erasure that is not older than the rules.
        organization_id, hidden = instance.organization_id, runtime.settings.redact
        rules = privacy.load(session, lambda: runtime.cipher, organization_id, hidden)
        for poller in of_instance:
            if not poller.selected or poller.state == PollerState.DISABLED:
                continue
            stored = StoredBodies(runtime, organization_id, poller)
            stored.use(poller.erasure_id, rules)
            stream, cursor = load_cursor(poller, runtime.settings, triggers, stored)
            ledger = LedgerView(runtime.database, poller.id, poller.revision)
            recorder = PollRecorder(
                runtime.database, lease, renewer, stream, ledger, cursor, store, runtime.clock
            )
            ledger.unreadable = recorder.unreadable_ids
            recorder.counts_missed, recorder.routes = has_webhooks, routes
            (poll.runs if wanted(poller) else poll.waiting).append(
                run := ResourceRun(
                    stream=stream,
                    ledger=ledger,
                    recorder=recorder,
                    collection=endpoints.resolve(stream.configuration.url),
                    report=PollReport(instance=stream.instance_id, resource=stream.resource),
                )
            )
            ledger.lists_all = "unlisted" not in recorder.notes
            recorder.prove = functools.partial(poll.judge.prove, run)
            recorder.trusts_nothing = poll.judge.trusts_nothing
            recorder.is_stale = lambda: client.stale
            recorder.recorded = functools.partial(restored.keep, runtime)
    poll.judge.attend((*poll.runs, *poll.waiting), poll.reading_of)
    return poll


def _note_hidden_fields(runtime: Runtime, instance_id: int) -> None:
    if hidden := runtime.settings.redact:
        with runtime.database.read() as session:
            organization_id = privacy.organization_of(session, instance_id)
        privacy.register(runtime.database, runtime.cipher, organization_id, hidden)
