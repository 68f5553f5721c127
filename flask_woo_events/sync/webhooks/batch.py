"""Hint batches: the hints that are followed together, and which of them have to wait."""

from __future__ import annotations

import collections
import collections.abc as cabc
import datetime as dt

from ...errors import (
    AnotherStoreError,
    OutOfPatienceError,
    StoreBusyError,
    StoreError,
    UnreachableError,
    WooEventsError,
)
from .. import hint_routing
from ..backoff import retry_delay
from ..hint import Hint
from ..poll_session import PollSession
from ..resource_run import ResourceRun
from .inbox import PendingWebhooks
from .waiting import HintTarget, Waiting, failures_of, is_waiting, named_in, restrict

#: Objects named in webhooks are tried again this many times sooner than a failed poll.
SOONER = 6
#: Resources in a row that do not answer, after which the store is taken to be unreachable.
_UNANSWERED = 2


class HintBatch:
    """One batch of an instance's hints.

    :param failing: the failures and the next attempt of each collection that waits as a whole.
    """

    def __init__(
        self,
        pending: PendingWebhooks,
        failing: cabc.Mapping[str, tuple[int, dt.datetime]],
        poll: PollSession,
        now: dt.datetime,
    ) -> None:
        self.pending = pending
        #: How often each object was named, by poller.
        self.counts: dict[int, dict[str, int]] = {}
        #: What is stored for another attempt.
        self.waiting: list[Waiting] = []
        #: The trace context of the webhook that last named each object, by collection.
        self._traces: dict[str | None, dict[str, str]] = collections.defaultdict(dict)
        for hint, trace in zip(pending.hints, pending.traces, strict=True):
            if trace is not None:
                self._traces[hint.collection][str(hint.object_id)] = trace
        self._failing = failing
        self._interval = poll.interval
        self._now = now
        self._named: dict[int, list[HintTarget]] = {}
        self._failed: dict[int, Exception | None] = {}
        for run in poll.runs:
            self._route(run)

    def _route(self, run: ResourceRun) -> None:
        """Add a resource's hints to its follow-ups, unless all of it waits."""
        number, collection = run.stream.poller_id, run.collection.hub_name
        run.recorder.traces = self._traces[collection]
        fresh = [hint for hint in self.pending.hints if not is_waiting(hint)]
        counts = hint_routing.route(run, fresh, shared_ids=hint_routing.POSTS)
        counts += hint_routing.route(run, self._waited(run))
        self.counts[number], self._named[number] = counts, named_in(run.followups)
        if collection in self._failing:
            failures, until = self._failing[collection]
            self._wait(run, self._named[number], until, failures, resource=True)
            self._named[number] = []
            restrict(run.followups, ())

    @property
    def is_outage(self) -> bool:
        """Whether no resource with hints could be read, since the store did not answer."""
        named = {number for number, objects in self._named.items() if objects}
        unreachable = any(map(_is_unanswered, self._failed.values()))
        return unreachable and named <= self._failed.keys()

    @property
    def gives_up(self) -> bool:
        """Whether so many resources did not answer that the others are not tried."""
        return sum(map(_is_unanswered, self._failed.values())) >= _UNANSWERED

    def fail(self, run: ResourceRun, failure: Exception | None) -> None:
        """Note that a resource cannot be read at all."""
        self._failed[run.stream.poller_id] = failure

    def set_apart(
        self, run: ResourceRun, named: cabc.Iterable[HintTarget], failure: Exception | None
    ) -> None:
        """Have some objects wait, each for itself."""
        for one in named:
            failures = 1 + max(
                (failures_of(hint) for hint in self._waited(run) if _names(hint) == one),
                default=0,
            )
            self._wait(run, [one], self._next(failures, failure), failures, resource=False)

    def set_unreadable_apart(self, runs: cabc.Iterable[ResourceRun]) -> None:
        """Have the objects that the store fails to show wait, each for itself."""
        for run in runs:
            waits = {one.named for one in self.waiting if one.collection == run.collection.hub_name}
            objects, parents = run.recorder.unreadable, run.recorder.unreadable_parents
            for one in self._named[run.stream.poller_id]:
                kept, number = (objects, one.object_id) if one.object_id else (parents, one.parent)
                if number is not None and number in kept and one not in waits:
                    self.set_apart(run, [one], None)

    def set_failed_apart(self, runs: cabc.Iterable[ResourceRun]) -> None:
        """Have what the resources that failed were asked wait for them."""
        for run in runs:
            if (number := run.stream.poller_id) in self._failed:
                failures = 1 + max(map(failures_of, self._waited(run)), default=0)
                until = self._next(failures, self._failed[number])
                self._wait(run, self._named[number], until, failures, resource=True)

    def _waited(self, run: ResourceRun) -> list[Hint]:
        collection = run.collection.hub_name
        hints = self.pending.hints
        return [hint for hint in hints if is_waiting(hint) and hint.collection == collection]

    def _next(self, failures: int, failure: Exception | None) -> dt.datetime:
        retry_after = failure.retry_after if isinstance(failure, StoreError) else None
        delay = retry_delay(failures, interval=self._interval, retry_after=retry_after)
        return self._now + delay / SOONER

    def _wait(
        self,
        run: ResourceRun,
        named: cabc.Iterable[HintTarget],
        until: dt.datetime,
        failures: int,
        *,
        resource: bool,
    ) -> None:
        counts = self.counts[run.stream.poller_id]
        for one in named:
            counts.pop(str(one.object_id), None)
            collection = run.collection.hub_name
            trace = self._traces[collection].get(str(one.object_id))
            self.waiting.append(Waiting(collection, one, until, failures, resource, trace))


def _names(hint: Hint) -> HintTarget:
    return HintTarget(hint.object_id, None if hint.object_id is not None else hint.parent)


def _is_unanswered(failure: Exception | None) -> bool:
    return isinstance(failure, UnreachableError | StoreBusyError)


def answers(poll: PollSession, run: ResourceRun) -> bool:
    """Return whether the store answers for a resource at all, at the cost of one request."""
    reading = poll.reading_of(run)
    if reading is None:
        return False
    listing = reading.parents if reading.by_parent and reading.parents else reading.listing
    poll.unreachable = None
    try:
        return listing.total() is not None
    except (AnotherStoreError, OutOfPatienceError):
        raise
    except WooEventsError as exc:
        if _is_unanswered(exc):
            poll.unreachable = exc
        return False
