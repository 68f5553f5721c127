"""Following: one turn of an instance whose store keeps a journal, and what it remembers of it.

With the journal a turn is one request, and the objects that it names. Ordinary polls go on until
one of them has ended that began when the journal was known to be complete; they return when the
journal is gone, pruned or begun anew, and once in a while for what no journal can tell.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import logging
import typing as t

from sqlalchemy import orm

from ...db.leases import InstanceLease
from ...db.models import Instance, PollerState
from ...errors import JournalBrokenError, StoreAccessError, StoreRejectedError, TransportError
from ...runtime import Runtime
from ...woocommerce import plugin_journal
from ...woocommerce.listing import read_filters
from ...woocommerce.plugin_journal import JournalPage
from .. import cursor as cursors
from .. import hint_routing
from ..cursor import ListPosition
from ..poll_session import PollSession, ResourceRun
from ..report import PollReport
from ..webhooks.parse import Hint
from . import position as journal
from .position import COLLECTIONS, Caught, Position

_log = logging.getLogger(__name__)

#: How often a store without the plugin is asked whether it has it now.
PROBE_EVERY = dt.timedelta(hours=1)
#: Places of a failing resource that are remembered; with more all of it is compared.
MOST_PENDING = 5_000
#: Collections that show products.
SHOWING = ("orders", "refunds")
#: Answers of one reading; the rest is read at the next poll.
MOST_PAGES = 200


@dataclasses.dataclass(slots=True)
class JournalState:
    """What an instance remembers of its store's journal, by the numbers of its pollers."""

    #: ``None`` while the journal is not read.
    position: Position | None = None
    #: When it was last looked for in vain, our clock, and what the store said.
    absent_at: dt.datetime | None = None
    reason: str = ""
    #: Types that it tells of.
    types: frozenset[str] = frozenset()
    #: Resources of which nothing is missing but what the journal tells.
    covered: set[int] = dataclasses.field(default_factory=set)
    #: When the last ordinary poll ended that compared all of a resource, our clock.
    full_at: dict[int, dt.datetime] = dataclasses.field(default_factory=dict)
    #: Resources that are to be compared as a whole.
    whole: set[int] = dataclasses.field(default_factory=set)
    #: Objects and parents of a resource that could not be read when they were named.
    pending: dict[int, tuple[Hint, ...]] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, t.Any]:
        """What is kept in the instance's row."""
        return {
            "state": "following" if self.position is not None else "absent",
            "position": self.position.to_json() if self.position is not None else None,
            "absent_at": self.absent_at.isoformat() if self.absent_at is not None else None,
            "reason": self.reason,
            "types": sorted(self.types),
            "covered": sorted(self.covered),
            "full_at": {str(one): when.isoformat() for one, when in self.full_at.items()},
            "whole": sorted(self.whole),
            "pending": {
                str(one): [[hint.collection, hint.object_id, hint.parent] for hint in hints]
                for one, hints in self.pending.items()
            },
        }

    @classmethod
    def from_json(cls, kept: cabc.Mapping[str, t.Any]) -> t.Self:
        """What was kept; an empty one knows nothing."""
        if not kept:
            return cls()
        return cls(
            position=Position.from_json(kept["position"]) if kept["position"] else None,
            absent_at=dt.datetime.fromisoformat(kept["absent_at"]) if kept["absent_at"] else None,
            reason=kept["reason"],
            types=frozenset(kept["types"]),
            covered=set(kept["covered"]),
            full_at={
                int(one): dt.datetime.fromisoformat(when) for one, when in kept["full_at"].items()
            },
            whole=set(kept["whole"]),
            pending={
                int(one): tuple(Hint("journal", *hint) for hint in hints)
                for one, hints in kept["pending"].items()
            },
        )


class JournalSync:
    """One turn of an instance, with what its store's journal says.

    :param memory: what is remembered of it.
    :param asks: the journal is asked in this turn; otherwise only what is pending is looked at.
    """

    def __init__(
        self,
        runtime: Runtime,
        turn: PollSession,
        memory: JournalState,
        started: dt.datetime,
        *,
        asks: bool,
    ) -> None:
        self._runtime = runtime
        self._turn = turn
        self._memory = memory
        self._started = started
        self._asks = asks
        self._page: JournalPage | None = None
        self._clock_changed = False
        self._trusted = False
        self._before = memory.to_json()
        self._followed: set[int] = set()
        #: Resources that look where the journal said.
        self._given: set[int] = set()
        self.report = PollReport(instance=turn.lease.instance_id, resource="journal")

    def open(self) -> None:
        """Ask the journal, and give each resource what it says."""
        hints = self._ask() if self._asks else []
        memory = self._memory
        for job in self._turn.jobs:
            number = job.stream.poller_id
            if self._can_follow(job):
                self._give(job, hints)
            else:
                memory.covered.discard(number)
            active = job.book.cursor.state is PollerState.ACTIVE
            job.whole = active and number in memory.whole and number not in self._followed
        for job in self._turn.waiting:
            if self._can_follow(job):
                self._keep(job, hints)
        # What is switched off hears nothing, and has to be polled first when it comes back.
        there = {job.stream.poller_id for job in (*self._turn.jobs, *self._turn.waiting)}
        memory.whole |= memory.covered - there
        memory.covered &= there

    def _keep(self, job: ResourceRun, hints: cabc.Sequence[Hint]) -> tuple[Hint, ...]:
        """Keep what is named until it is looked after: the place in the journal goes on without."""
        memory, number = self._memory, job.stream.poller_id
        if any(hint.object_id is None and hint_routing.concerns(job, hint) for hint in hints):
            memory.whole.add(number)
        named = {hint: None for hint in memory.pending.pop(number, ())}
        named |= {
            hint: None for hint in hints if hint.object_id and hint_routing.concerns(job, hint)
        }
        if len(named) > MOST_PENDING:
            memory.whole.add(number)
            named.clear()
        if named:
            memory.pending[number] = tuple(named)
        return tuple(named)

    def _give(self, job: ResourceRun, hints: cabc.Sequence[Hint]) -> None:
        """Have a resource look where the journal says; decide whether it is polled besides."""
        number, named = job.stream.poller_id, self._keep(job, hints)
        if not self._is_polled(job):
            self._followed.add(number)
        if hint_routing.takes(job):
            self._given.add(number)
            hint_routing.name(job, named)
        if number not in self._followed:
            # Their candidates are what the poll itself does not find.
            job.look.again |= job.look.candidates
            job.look.candidates.clear()

    def followed(self) -> list[ResourceRun]:
        """Resources that need no ordinary poll in this turn, in the order of reading."""
        return [job for job in self._turn.in_order() if job.stream.poller_id in self._followed]

    def is_followed(self, job: ResourceRun) -> bool:
        """Whether a resource needs no ordinary poll in this turn."""
        return job.stream.poller_id in self._followed

    def ended(self, job: ResourceRun) -> None:
        """A resource was polled, or looked after, to its end."""
        memory, number, cursor = self._memory, job.stream.poller_id, job.book.cursor
        if number in self._given:
            memory.pending.pop(number, None)
        if number in self._followed or cursor.state is not PollerState.ACTIVE:
            return
        if job.whole and cursor.compare == ListPosition():
            kept = {name: value for name, value in cursor.memory.items() if name != "whole"}
            job.book.cursor = dataclasses.replace(cursor, memory=kept)
            memory.whole.discard(number)
            memory.full_at[number] = self._started
        if self._trusted and self._can_follow(job):
            memory.covered.add(number)
            memory.full_at.setdefault(number, self._started)

    @property
    def changed(self) -> bool:
        """Whether there is anything to save."""
        return self._page is not None or self._memory.to_json() != self._before

    def save(self, session: orm.Session, lease: InstanceLease, until: dt.datetime) -> None:
        """Write the place in the journal, and that what it covers was polled."""
        lease.renew(session, until)
        page = self._page
        for job in self.followed() if page is not None else ():
            if job.report.error is None and page is not None:
                cursor = dataclasses.replace(job.book.cursor, polled_at=page.date or page.now)
                cursors.save(session, job.stream.poller_id, cursor, ended=True)
        session.get_one(Instance, lease.instance_id).journal = self._memory.to_json()

    def _ask(self) -> list[Hint]:
        """Read what is new in the journal; notice when it comes, goes or cannot be believed."""
        memory, client, now = self._memory, self._turn.client, self._runtime.clock()
        if memory.position is None and memory.absent_at is not None:
            if now - memory.absent_at < PROBE_EVERY:
                return []
        before = client.requests_made
        try:
            if memory.position is None:
                self._begin()
                return []
            try:
                caught = self._catch_up(memory.position)
                hints = [*journal.hints(caught.changes), *self._orders(caught)]
            except JournalBrokenError as exc:
                self._break(str(exc))
                self._begin()
                return []
        except StoreAccessError as exc:
            self._lose(f"the key may not read it: {exc}")
        except StoreRejectedError as exc:
            self._lose(str(exc))
        except TransportError as exc:
            # It is as good as it was; this time the store is polled.
            number = self._turn.lease.instance_id
            extra = {"action": "journal", "instance": number}
            _log.warning("instance %d: the journal: %s", number, exc, extra=extra)
            memory.reason = str(exc)
        else:
            memory.position = caught.position
            self._clock_changed = caught.clock_changed
            self.report.observed = len(caught.changes)
            return hints
        finally:
            self.report.requests += client.requests_made - before
        return []

    def _catch_up(self, position: Position) -> Caught:
        pages: list[JournalPage] = []
        while not pages or (pages[-1].more and len(pages) < MOST_PAGES):
            place = pages[-1].changes[-1].seq if pages else position.after
            try:
                pages.append(plugin_journal.after(self._turn.client, place))
            except StoreRejectedError as exc:
                if not plugin_journal.is_pruned(exc):
                    raise
                raise JournalBrokenError(f"the journal was pruned: {exc}") from exc
        self._take(pages[-1], position)
        return journal.advance(position, pages, self._runtime.clock())

    def _orders(self, caught: Caught) -> list[Hint]:
        """Orders and refunds that show something else of products, which the store is asked for."""
        products = journal.products_in_orders(caught.changes)
        jobs = (*self._turn.jobs, *self._turn.waiting)
        if not products or not any(job.collection.hub_name in SHOWING for job in jobs):
            return []
        found: dict[Hint, None] = {}
        for one in plugin_journal.orders_of(self._turn.client, products):
            for collection in COLLECTIONS.get(one.type, ()):
                found[Hint("journal", collection, one.id, one.parent or None)] = None
            if len(found) > MOST_PENDING:
                return [Hint("journal", collection) for collection in SHOWING]
        return list(found)

    def _begin(self) -> None:
        """Stand at the end of the journal before the ordinary polls of this turn begin."""
        page = plugin_journal.newest(self._turn.client)
        position = journal.begin(page, self._runtime.clock())
        self._memory.position, self._memory.absent_at = position, None
        self._take(page, position)

    def _take(self, page: JournalPage, position: Position) -> None:
        self._page = page
        self._memory.types, self._memory.reason = page.types, ""
        self._trusted = journal.is_trusted(position, page, self._runtime.clock())

    def _break(self, reason: str) -> None:
        """Rows may be missing: all is polled, and compared, once more."""
        extra = {"action": "journal_broken", "instance": self._turn.lease.instance_id}
        _log.warning("instance %d: %s", self._turn.lease.instance_id, reason, extra=extra)
        self._memory.whole |= self._memory.covered
        self._memory.covered.clear()

    def _lose(self, reason: str) -> None:
        """There is no journal any more, or not for us."""
        memory = self._memory
        if memory.position is not None:
            number = self._turn.lease.instance_id
            extra = {"action": "journal_gone", "instance": number}
            _log.warning("instance %d: no journal: %s", number, reason, extra=extra)
        memory.position, memory.absent_at, memory.reason = None, self._runtime.clock(), reason
        memory.whole |= memory.covered
        memory.covered.clear()

    def _can_follow(self, job: ResourceRun) -> bool:
        """Whether the journal tells of a resource, and its objects can be asked for by id."""
        if self._memory.position is None:
            return False
        names = {name for one in self._memory.types for name in COLLECTIONS.get(one, ())}
        collection = job.collection
        if collection.hub_name not in names:
            return False
        if not collection.orders_by_id and collection.below is None:
            return False
        now = self._runtime.clock()
        return not read_filters(job.stream.configuration.url, last_poll=now, now=now).feed

    def _is_polled(self, job: ResourceRun) -> bool:
        """Whether a resource is polled as if there were no journal."""
        memory, number = self._memory, job.stream.poller_id
        if self._asks and (self._page is None or self._clock_changed):
            return True
        if number not in memory.covered or job.book.cursor.state is not PollerState.ACTIVE:
            return True
        hours = dt.timedelta(hours=self._runtime.settings.journal_reconcile_hours)
        if self._started - memory.full_at[number] >= hours:
            memory.whole.add(number)
        return number in memory.whole


def open_following(
    runtime: Runtime, turn: PollSession, started: dt.datetime, *, asks: bool
) -> JournalSync:
    """What one turn of an instance knows of its store's journal."""
    with runtime.database.read() as session:
        instance = session.get_one(Instance, turn.lease.instance_id)
        memory = JournalState.from_json(instance.journal)
        if not instance.journal and instance.store_facts.get("journal") is False:
            # The check of the store saw no plugin a moment ago.
            memory.absent_at, memory.reason = instance.created_at, "the plugin is not installed"
    following = JournalSync(runtime, turn, memory, started, asks=asks)
    following.open()
    return following
