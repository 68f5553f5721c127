"""Following the journal: reading only the objects that a store's journal names.

With the journal, a poll is one request and the objects that it names. Regular polls go on until
one has ended that began when the journal was known to be complete. They return when the journal
is gone, pruned or restarted, and once in a while for changes that no journal can record.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import logging

from sqlalchemy import orm

from ...db.leases import InstanceLease, Until
from ...db.models import Instance
from ...db.states import PollerState
from ...errors import (
    JournalBrokenError,
    OutOfPatienceError,
    StoreAccessError,
    StoreRejectedError,
    TransportError,
)
from ...instances import whole_comparison
from ...runtime import Runtime
from ...woocommerce import plugin_journal
from ...woocommerce.listing import read_filters
from ...woocommerce.plugin_journal import JournalPage
from .. import hint_routing
from ..cursor import ListPosition, save_cursor
from ..hint import Hint
from ..poll_session import PollSession
from ..report import PollReport
from ..resource_run import ResourceRun
from . import position
from .position import COLLECTIONS, JournalRead, Position
from .state import JournalState

_log = logging.getLogger(__name__)

#: How often a store without the plugin is checked for it.
PROBE_EVERY = dt.timedelta(hours=1)
#: Pending hints kept for a failing resource; with more, all of it is compared.
MAX_PENDING = 5_000
#: Collections whose objects show products.
SHOWING = ("orders", "refunds")
#: Pages of one read; the next poll reads the rest.
MAX_JOURNAL_PAGES = 200


class JournalSync:
    """The journal's part in one poll of an instance.

    :param state: what the instance keeps of the journal; changed in place.
    :param started: when the poll began, by our clock.
    :param reads_journal: read the journal in this poll; otherwise only pending hints are followed.
    """

    def __init__(
        self,
        runtime: Runtime,
        poll: PollSession,
        state: JournalState,
        started: dt.datetime,
        *,
        reads_journal: bool,
    ) -> None:
        self._runtime = runtime
        self._poll = poll
        self._state = state
        self._started = started
        self._reads_journal = reads_journal
        self._page: JournalPage | None = None
        self._clock_changed = False
        self._trusted = False
        self._before = state.to_json()
        self._followed: set[int] = set()
        #: Resources that received the hints of this poll.
        self._routed: set[int] = set()
        #: Since when all of a resource was to be compared as this poll began.
        self._asked: dict[int, object] = {}
        self.report = PollReport(instance=poll.lease.instance_id, resource="journal")

    def open(self) -> None:
        """Read the journal, and route its hints to the resources."""
        hints = self._read() if self._reads_journal else []
        state = self._state
        for run in self._poll.runs:
            number = run.stream.poller_id
            if "compare_all" in run.recorder.notes:
                state.compare_all.add(number)
            self._asked[number] = run.recorder.notes.get("compare_all")
            if self._can_follow(run):
                self._route(run, hints)
            else:
                state.covered.discard(number)
            active = run.recorder.cursor.state is PollerState.ACTIVE
            compare_all = number in state.compare_all and number not in self._followed
            compare_all |= run.stream.comparison is not None
            run.compare_all = active and compare_all
        for run in self._poll.waiting:
            if self._can_follow(run):
                self._keep(run, hints)
        # A resource that is switched off gets no hints, and is compared when it comes back.
        present = {run.stream.poller_id for run in (*self._poll.runs, *self._poll.waiting)}
        state.compare_all |= state.covered - present
        state.covered &= present

    def _keep(self, run: ResourceRun, hints: cabc.Sequence[Hint]) -> tuple[Hint, ...]:
        """Keep hints until their objects are read: the position in the journal moves on."""
        state, number = self._state, run.stream.poller_id
        mine = [hint for hint in hints if hint_routing.concerns(run, hint)]
        if any(hint.object_id is None for hint in mine):
            state.compare_all.add(number)
        named = dict.fromkeys(state.pending.pop(number, ()))
        named |= dict.fromkeys(hint for hint in mine if hint.object_id)
        if len(named) > MAX_PENDING:
            state.compare_all.add(number)
            named.clear()
        if named:
            state.pending[number] = tuple(named)
        return tuple(named)

    def _route(self, run: ResourceRun, hints: cabc.Sequence[Hint]) -> None:
        """Add a resource's hints to its follow-ups; decide whether it is polled as well."""
        number, named = run.stream.poller_id, self._keep(run, hints)
        if not self._is_polled(run):
            self._followed.add(number)
        if hint_routing.accepts(run):
            self._routed.add(number)
            hint_routing.route(run, named)
        if number not in self._followed:
            # In a poll, candidates are what the poll itself does not find.
            run.followups.reread |= run.followups.candidates
            run.followups.candidates.clear()

    def followed(self) -> list[ResourceRun]:
        """Return the resources that need no regular poll now, in the order of reading."""
        return [run for run in self._poll.in_order() if self.is_followed(run)]

    def is_followed(self, run: ResourceRun) -> bool:
        """Return whether a resource needs no regular poll now."""
        return run.stream.poller_id in self._followed

    def complete(self, run: ResourceRun) -> None:
        """Note that a resource was polled, or followed, to its end."""
        state, number, cursor = self._state, run.stream.poller_id, run.recorder.cursor
        if number in self._routed:
            state.pending.pop(number, None)
        if number in self._followed or cursor.state is not PollerState.ACTIVE:
            return
        if run.compare_all and cursor.compare == ListPosition():
            done = ("whole", whole_comparison.MEMORY_KEY)
            kept = {name: value for name, value in cursor.memory.items() if name not in done}
            run.recorder.cursor = dataclasses.replace(cursor, memory=kept)
            if run.recorder.notes.get("compare_all") == self._asked.get(number):
                run.recorder.notes.pop("compare_all", None)
                state.compare_all.discard(number)
            state.full_at[number] = self._started
        if self._trusted and self._can_follow(run):
            state.covered.add(number)
            state.full_at.setdefault(number, self._started)

    @property
    def changed(self) -> bool:
        """Whether there is anything to save."""
        return self._page is not None or self._state.to_json() != self._before

    def save(self, session: orm.Session, lease: InstanceLease, until: Until) -> None:
        """Write the state, and the cursors of the resources that the journal covers."""
        lease.renew(session, until)
        if (page := self._page) is not None:
            for run in self.followed():
                if run.report.error is None:
                    polled_at = page.date or page.now
                    cursor = dataclasses.replace(run.recorder.cursor, polled_at=polled_at)
                    save_cursor(session, run.stream.poller_id, cursor, ended=True)
        session.get_one(Instance, lease.instance_id).journal = self._state.to_json()

    def _read(self) -> list[Hint]:
        """Read the new rows of the journal; notice when it appears, vanishes or breaks."""
        state, client, now = self._state, self._poll.client, self._runtime.clock()
        if state.position is None and state.absent_at is not None:
            if now - state.absent_at < PROBE_EVERY:
                return []
        before = client.requests_made
        try:
            if state.position is None:
                self._begin()
                return []
            try:
                read = self._read_from(state.position)
                hints = [*position.hints(read.changes), *self._orders(read)]
            except JournalBrokenError as exc:
                self._restart(str(exc))
                return []
        except StoreAccessError as exc:
            self._set_absent(f"the key may not read it: {exc}")
        except StoreRejectedError as exc:
            self._set_absent(str(exc))
        except OutOfPatienceError:
            raise
        except TransportError as exc:
            # The position stays valid; this time the store is polled.
            number = self._poll.lease.instance_id
            extra = {"action": "journal", "instance": number}
            _log.warning("instance %d: the journal: %s", number, exc, extra=extra)
            state.reason = str(exc)
        else:
            state.position = read.position
            self._clock_changed = read.clock_changed
            self.report.observed = len(read.changes)
            return hints
        finally:
            self.report.requests += client.requests_made - before
        return []

    def _read_from(self, start: Position) -> JournalRead:
        pages: list[JournalPage] = []
        while not pages or (pages[-1].more and len(pages) < MAX_JOURNAL_PAGES):
            after = pages[-1].changes[-1].seq if pages else start.after
            try:
                pages.append(plugin_journal.after(self._poll.client, after))
            except StoreRejectedError as exc:
                if not plugin_journal.is_pruned(exc):
                    raise
                raise JournalBrokenError(f"the journal was pruned: {exc}") from exc
        self._use(pages[-1], start)
        return position.advance(start, pages, self._runtime.clock())

    def _orders(self, read: JournalRead) -> list[Hint]:
        """Return hints at the orders and refunds that show changed products, from the store."""
        products = position.products_in_orders(read.changes)
        runs = (*self._poll.runs, *self._poll.waiting)
        if not products or not any(run.collection.hub_name in SHOWING for run in runs):
            return []
        found: dict[Hint, None] = {}
        for order in plugin_journal.orders_of(self._poll.client, products):
            for collection in COLLECTIONS.get(order.type, ()):
                found[Hint("journal", collection, order.id, order.parent or None)] = None
            if len(found) > MAX_PENDING:
                return [Hint("journal", collection) for collection in SHOWING]
        return list(found)

    def _begin(self) -> None:
        """Go to the end of the journal, before the regular polls begin."""
        page = plugin_journal.newest(self._poll.client)
        start = position.begin(page, self._runtime.clock())
        self._state.position, self._state.absent_at = start, None
        self._use(page, start)

    def _use(self, page: JournalPage, start: Position) -> None:
        self._page = page
        self._state.types, self._state.reason = page.types, ""
        self._trusted = position.is_trusted(start, page, self._runtime.clock())

    def _restart(self, reason: str) -> None:
        """Poll and compare everything once more, since rows may be missing."""
        number = self._poll.lease.instance_id
        extra = {"action": "journal_broken", "instance": number}
        _log.warning("instance %d: %s", number, reason, extra=extra)
        self._state.uncover()
        self._poll.compare_all_next(self._runtime.clock())
        self._begin()

    def _set_absent(self, reason: str) -> None:
        """Return to regular polls: the store has no journal, or none that the key may read."""
        state = self._state
        if state.position is not None:
            number = self._poll.lease.instance_id
            extra = {"action": "journal_gone", "instance": number}
            _log.warning("instance %d: no journal: %s", number, reason, extra=extra)
            self._poll.compare_all_next(self._runtime.clock())
        state.position, state.absent_at, state.reason = None, self._runtime.clock(), reason
        state.uncover()

    def _can_follow(self, run: ResourceRun) -> bool:
        """Return whether the journal records a resource whose objects can be read by id."""
        if self._state.position is None:
            return False
        names = {name for kind in self._state.types for name in COLLECTIONS.get(kind, ())}
        collection = run.collection
        if collection.hub_name not in names:
            return False
        if not collection.orders_by_id and collection.below is None:
            return False
        now = self._runtime.clock()
        return not read_filters(run.stream.configuration.url, last_poll=now, now=now).feed

    def _is_polled(self, run: ResourceRun) -> bool:
        """Return whether a resource needs a regular poll although there is a journal."""
        state, number = self._state, run.stream.poller_id
        if self._reads_journal and (self._page is None or self._clock_changed):
            return True
        if run.stream.comparison is not None:
            return True
        if number not in state.covered or run.recorder.cursor.state is not PollerState.ACTIVE:
            return True
        hours = dt.timedelta(hours=self._runtime.settings.journal_reconcile_hours)
        if self._started - state.full_at[number] >= hours:
            state.compare_all.add(number)
        return number in state.compare_all


def open_journal(
    runtime: Runtime, poll: PollSession, started: dt.datetime, *, reads_journal: bool
) -> JournalSync:
    """Load the journal's state and read the journal for one poll of an instance."""
    with runtime.database.read() as session:
        instance = poll.lease.read(session)
        state = JournalState.from_json(instance.journal)
        if not instance.journal and instance.store_facts.get("journal") is False:
            # The connection check has just found no plugin.
            state.absent_at, state.reason = instance.created_at, "the plugin is not installed"
    journal = JournalSync(runtime, poll, state, started, reads_journal=reads_journal)
    journal.open()
    return journal
