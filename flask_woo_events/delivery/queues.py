"""Queues: claimed deliveries by subscription, so that a slow callback delays no other."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import heapq
import threading
import time
import typing as t

from .claims import ClaimedDelivery
from .retry import HELD_AFTER, AttemptOutcome

Item = t.TypeVar("Item")
#: Deliveries of one claim at most, and seconds that one subscription may need for them: what is
#: claimed goes before what becomes due meanwhile. Below half, more are claimed.
CLAIMED_AT_ONCE, CLAIMED_SECONDS = 100, 4.0
#: Attempts slower than this spend their time waiting on the network, so that another thread
#: helps; seconds.
SLOW = 0.003
#: How long no attempt begins or ends before another thread is started, seconds; longer than a
#: commit of results takes.
STUCK = 0.015
#: Window of the moving average of attempt times, in attempts.
WINDOW = 8


@dataclasses.dataclass
class _Queue(t.Generic[Item]):
    """The deliveries of one subscription."""

    #: A heap by due date, id and claim.
    waiting: list[tuple[dt.datetime, int, str, ClaimedDelivery, Item]] = dataclasses.field(
        default_factory=list
    )
    #: Its slots, those of them that no thread has taken, and how many it may have.
    slots: int = 0
    free: int = 0
    allowed: int = 1
    #: Consecutive failures in this process.
    failures: int = 0
    #: When an attempt last began or ended, seconds of the clock.
    moved: float = 0.0


class SubscriptionQueues(t.Generic[Item]):
    """The deliveries that one process has claimed and not attempted yet.

    A slot is the right to attempt one delivery of a subscription at a time; slots take turns. A
    thread takes the next slot, makes one attempt, and puts the slot back at the end. Slow
    callbacks get more slots, but never all threads. A thread is added only while threads wait for
    answers: threads that compute compete for the same processor.

    :param width: slots that one subscription has at most.
    :param enough: deliveries that are claimed ahead at most; the rest is left to other processes.
    :param clock: seconds, monotonic.
    """

    def __init__(
        self, width: int, enough: int, clock: cabc.Callable[[], float] = time.monotonic
    ) -> None:
        self._width = width
        self._enough = enough
        self._waiting = 0
        self._clock = clock
        self._queues: dict[int, _Queue[Item]] = {}
        #: Subscriptions with a free slot, one entry for each slot.
        self._turns: collections.deque[int] = collections.deque()
        #: Deliveries of each claim that are not finished, by token.
        self._unfinished: collections.Counter[str] = collections.Counter()
        self._threads = 0
        #: Moving average of the time of an attempt, seconds.
        self._pace = 0.0
        #: When a thread last took a slot.
        self._moved = 0.0
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """A delivery is waiting, or being attempted or written."""
        with self._lock:
            return bool(self._unfinished)

    @property
    def unfinished(self) -> frozenset[str]:
        """The tokens of claims that are not finished."""
        with self._lock:
            return frozenset(self._unfinished)

    @property
    def waiting(self) -> bool:
        """A delivery is not attempted yet."""
        return self._waiting > 0

    @property
    def full(self) -> bool:
        """Enough deliveries are claimed."""
        return self._waiting >= self._enough

    @property
    def claim_size(self) -> int:
        """How many deliveries to claim at once: fewer while callbacks are slow."""
        size = self._width * CLAIMED_SECONDS / max(self._pace, SLOW)
        return min(CLAIMED_AT_ONCE, max(2 * self._width, int(size)))

    def full_subscriptions(self) -> list[int]:
        """Return the subscriptions of which enough deliveries are claimed."""
        ahead = self.claim_size // 2
        with self._lock:
            return [one for one, queue in self._queues.items() if len(queue.waiting) >= ahead]

    def add(self, claimed: cabc.Iterable[tuple[ClaimedDelivery, Item]]) -> None:
        """Add deliveries that were claimed."""
        with self._lock:
            for one, item in claimed:
                self._unfinished[one.token] += 1
                queue = self._queues.setdefault(one.subscription_id, _Queue(moved=self._clock()))
                heapq.heappush(queue.waiting, (one.due_at, one.delivery_id, one.token, one, item))
                self._waiting += 1
                self._widen(one.subscription_id, queue)

    def needs_thread(self) -> bool:
        """Return whether another thread helps; if so, the caller starts it.

        Called at short intervals: a slow attempt reports its time only when it ends.
        """
        with self._lock:
            before = self._clock() - STUCK
            for number, queue in self._queues.items():
                if queue.waiting and not queue.free and queue.moved < before:
                    queue.allowed = queue.slots + 1
                    self._widen(number, queue)
            enough = self._threads and self._moved >= before and self._pace <= SLOW
            needed = bool(self._turns) and not enough
            self._threads += needed
            return needed

    def take(self) -> tuple[tuple[ClaimedDelivery, Item] | None, bool]:
        """Return the next delivery to attempt, and whether more should be claimed.

        :return: without a delivery the thread ends; otherwise it calls :meth:`attempt_ended`.
        """
        claim_more = False
        with self._lock:
            while self._turns:
                number = self._turns.popleft()
                queue = self._queues[number]
                queue.free -= 1
                if queue.waiting:
                    self._moved = queue.moved = self._clock()
                    _due_at, _id, _token, one, item = heapq.heappop(queue.waiting)
                    self._waiting -= 1
                    claim_more |= len(queue.waiting) == self.claim_size // 2 - 1
                    claim_more |= self._waiting == self._enough - 1
                    return (one, item), claim_more
                claim_more = True
                self._remove_slot(number, queue)
            self._threads -= 1
        return None, True

    def attempt_ended(
        self, claimed: ClaimedDelivery, outcome: AttemptOutcome | None
    ) -> list[ClaimedDelivery]:
        """Record how an attempt ended, and make its slot free.

        :param outcome: ``None`` when it is unknown.
        :return: deliveries to give back because the callback fails: one probe is enough.
        """
        number = claimed.subscription_id
        with self._lock:
            queue = self._queues[number]
            queue.moved = self._clock()
            back: list[ClaimedDelivery] = []
            if outcome is not None:
                if outcome.sent:
                    queue.failures = 0 if outcome.accepted else queue.failures + 1
                    queue.allowed = queue.slots + 1 if outcome.seconds > SLOW else 1
                    self._pace += (outcome.seconds - self._pace) / WINDOW
                failing = claimed.failures + queue.failures >= HELD_AFTER
                if not outcome.accepted and (failing or outcome.retry_after is not None):
                    back = self._emptied(queue)
            if queue.waiting and queue.slots <= min(queue.allowed, self._width):
                queue.free += 1
                self._turns.append(number)
                self._widen(number, queue)
            else:
                self._remove_slot(number, queue)
            return back

    def stop(self, number: int) -> list[ClaimedDelivery]:
        """Empty the queue of a subscription that was stopped; return its deliveries."""
        with self._lock:
            queue = self._queues.get(number)
            return self._emptied(queue) if queue is not None else []

    def drain(self) -> list[ClaimedDelivery]:
        """Empty all queues; return the deliveries that were not attempted."""
        with self._lock:
            return [one for queue in self._queues.values() for one in self._emptied(queue)]

    def finish(self, claimed: ClaimedDelivery) -> bool:
        """Remove a delivery that was written or given back; true when its claim is finished."""
        with self._lock:
            self._unfinished[claimed.token] -= 1
            if self._unfinished[claimed.token]:
                return False
            del self._unfinished[claimed.token]
            return True

    def _widen(self, number: int, queue: _Queue[Item]) -> None:
        """Add the slots that a queue may have and can use."""
        while queue.free < len(queue.waiting) and queue.slots < min(queue.allowed, self._width):
            queue.slots += 1
            queue.free += 1
            self._turns.append(number)

    def _remove_slot(self, number: int, queue: _Queue[Item]) -> None:
        queue.slots -= 1
        if not queue.slots and not queue.waiting:
            del self._queues[number]

    def _emptied(self, queue: _Queue[Item]) -> list[ClaimedDelivery]:
        back = [one for _, _, _, one, _ in queue.waiting]
        self._waiting -= len(back)
        queue.waiting.clear()
        return back
