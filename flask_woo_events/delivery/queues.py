"""Lanes: claimed deliveries on their way, by subscription, so that nobody waits for a slow one."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import threading
import time
import typing as t

from .claims import ClaimedDelivery
from .retry import HELD_AFTER, AttemptOutcome

Item = t.TypeVar("Item")
#: Deliveries of one subscription that are claimed ahead; fewer than this, and more are claimed.
AHEAD = 50
#: Who takes longer waits for the other side more than he works here, seconds.
SLOW = 0.003
#: How long nothing moves before that is noticed while it is still waited for, seconds; longer than
#: a commit of outcomes takes.
STUCK = 0.015
#: How many attempts are lately.
LATELY = 8


@dataclasses.dataclass
class _Lane(t.Generic[Item]):
    """One subscription."""

    waiting: collections.deque[tuple[ClaimedDelivery, Item]] = dataclasses.field(
        default_factory=collections.deque
    )
    #: Its turns, those of them that no thread has taken, and how many it may have.
    turns: int = 0
    untaken: int = 0
    allowed: int = 1
    #: Failures in a row.
    failures: int = 0
    #: When a delivery was last begun or ended, seconds of the clock.
    moved: float = 0.0


class SubscriptionQueues(t.Generic[Item]):
    """What one process has claimed and not made yet.

    Threads share the lanes: each makes one delivery and then goes to the lane whose turn is next.
    There are as many threads as are of use, and a lane has as many turns, but never all: threads
    that wait for answers are of use, those that all have something to do wait for each other.

    :param width: turns that one subscription has at most.
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
        self._lanes: dict[int, _Lane[Item]] = {}
        self._turns: collections.deque[int] = collections.deque()
        self._left: collections.Counter[str] = collections.Counter()
        self._threads = 0
        #: How long attempts took lately, seconds.
        self._pace = 0.0
        #: When a thread last took a turn.
        self._moved = 0.0
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Something is waiting or on its way."""
        with self._lock:
            return bool(self._left)

    @property
    def waiting(self) -> bool:
        """Something is not begun."""
        return self._waiting > 0

    @property
    def full(self) -> bool:
        """Enough is claimed."""
        return self._waiting >= self._enough

    def ahead(self) -> list[int]:
        """Subscriptions of which enough is claimed."""
        with self._lock:
            return [one for one, lane in self._lanes.items() if len(lane.waiting) >= AHEAD]

    def enter(self, claimed: cabc.Iterable[tuple[ClaimedDelivery, Item]]) -> None:
        """Take deliveries up."""
        with self._lock:
            for one, item in claimed:
                self._left[one.token] += 1
                lane = self._lanes.setdefault(one.subscription_id, _Lane(moved=self._clock()))
                lane.waiting.append((one, item))
                self._waiting += 1
                self._widen(one.subscription_id, lane)

    def short(self) -> bool:
        """Whether one thread more is of use; when it is, the caller starts it.

        Looked at now and then, because an answer says that it was slow only when it is there.
        """
        with self._lock:
            before = self._clock() - STUCK
            for number, lane in self._lanes.items():
                if lane.waiting and not lane.untaken and lane.moved < before:
                    lane.allowed = lane.turns + 1
                    self._widen(number, lane)
            enough = self._threads and self._moved >= before and self._pace <= SLOW
            short = bool(self._turns) and not enough
            self._threads += short
            return short

    def take(self) -> tuple[tuple[ClaimedDelivery, Item] | None, bool]:
        """The delivery whose turn it is, and whether it is time to claim more.

        :return: without a delivery the thread is to end; otherwise it calls :meth:`ended`.
        """
        few = False
        with self._lock:
            while self._turns:
                number = self._turns.popleft()
                lane = self._lanes[number]
                lane.untaken -= 1
                if lane.waiting:
                    self._moved = lane.moved = self._clock()
                    one = lane.waiting.popleft()
                    self._waiting -= 1
                    few |= len(lane.waiting) == AHEAD - 1 or self._waiting == self._enough - 1
                    return one, few
                few = True
                self._end_turn(number, lane)
            self._threads -= 1
        return None, True

    def ended(
        self, claimed: ClaimedDelivery, outcome: AttemptOutcome | None
    ) -> list[ClaimedDelivery]:
        """Note how a delivery ended, and give its lane another turn.

        :param outcome: ``None`` when nobody knows.
        :return: what is not to be made now, because the callback fails: one probe is enough.
        """
        number = claimed.subscription_id
        with self._lock:
            lane = self._lanes[number]
            lane.moved = self._clock()
            back: list[ClaimedDelivery] = []
            if outcome is not None:
                if outcome.sent:
                    lane.failures = 0 if outcome.delivered else lane.failures + 1
                    lane.allowed = lane.turns + 1 if outcome.seconds > SLOW else 1
                    self._pace += (outcome.seconds - self._pace) / LATELY
                failing = claimed.failures + lane.failures >= HELD_AFTER
                if not outcome.delivered and (failing or outcome.retry_after is not None):
                    back = self._emptied(lane)
            if lane.waiting and lane.turns <= min(lane.allowed, self._width):
                lane.untaken += 1
                self._turns.append(number)
                self._widen(number, lane)
            else:
                self._end_turn(number, lane)
            return back

    def stop(self, number: int) -> list[ClaimedDelivery]:
        """A subscription is stopped; returns what is not to be made any more."""
        with self._lock:
            lane = self._lanes.get(number)
            return self._emptied(lane) if lane is not None else []

    def leave(self) -> list[ClaimedDelivery]:
        """Take back all that nobody has begun."""
        with self._lock:
            return [one for lane in self._lanes.values() for one in self._emptied(lane)]

    def done(self, claimed: ClaimedDelivery) -> bool:
        """A delivery is out of our hands; true when it was the last of its claim."""
        with self._lock:
            self._left[claimed.token] -= 1
            if self._left[claimed.token]:
                return False
            del self._left[claimed.token]
            return True

    def _widen(self, number: int, lane: _Lane[Item]) -> None:
        """Give a lane the turns that it may have and can use."""
        while lane.untaken < len(lane.waiting) and lane.turns < min(lane.allowed, self._width):
            lane.turns += 1
            lane.untaken += 1
            self._turns.append(number)

    def _end_turn(self, number: int, lane: _Lane[Item]) -> None:
        lane.turns -= 1
        if not lane.turns and not lane.waiting:
            del self._lanes[number]

    def _emptied(self, lane: _Lane[Item]) -> list[ClaimedDelivery]:
        back = [one for one, _ in lane.waiting]
        self._waiting -= len(back)
        lane.waiting.clear()
        return back
