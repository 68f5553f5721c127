"""Lanes: claimed deliveries on their way, by subscription, so that nobody waits for a slow one."""

from __future__ import annotations

import collections
import collections.abc as cabc
import threading
import typing as t

from .flow.claims import Claimed
from .flow.retry import HELD_AFTER, Outcome

Item = t.TypeVar("Item")
#: Deliveries of one subscription that are claimed ahead; fewer than this, and more are claimed.
AHEAD = 50


class Lanes(t.Generic[Item]):
    """What one process has claimed and not made yet.

    Threads share one pool. Each makes one delivery and goes to the end of the pool's queue, so
    that lanes take turns; one lane has only a part of the threads.

    :param width: threads that one subscription has at most.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._waiting: dict[int, collections.deque[tuple[Claimed, Item]]] = {}
        self._threads: collections.Counter[int] = collections.Counter()
        self._failures: collections.Counter[int] = collections.Counter()
        self._left: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()

    @property
    def busy(self) -> bool:
        """Something is waiting or on its way."""
        with self._lock:
            return bool(self._left)

    def ahead(self) -> list[int]:
        """Subscriptions of which enough is claimed."""
        with self._lock:
            return [one for one, waiting in self._waiting.items() if len(waiting) >= AHEAD]

    def enter(self, claimed: cabc.Iterable[tuple[Claimed, Item]]) -> list[int]:
        """Take deliveries up; returns for which subscriptions a thread is to begin."""
        begin: list[int] = []
        with self._lock:
            for one, item in claimed:
                number = one.subscription_id
                self._left[one.token] += 1
                self._waiting.setdefault(number, collections.deque()).append((one, item))
                if self._threads[number] < self._width:
                    self._threads[number] += 1
                    begin.append(number)
        return begin

    def next(self, number: int) -> tuple[tuple[Claimed, Item] | None, bool]:
        """The next delivery of a subscription, and whether it is time to claim more.

        Without one its thread is to end.
        """
        with self._lock:
            waiting = self._waiting.get(number)
            if waiting:
                return waiting.popleft(), len(waiting) == AHEAD - 1
            self._waiting.pop(number, None)
            self._threads[number] -= 1
            if not self._threads[number]:
                del self._threads[number], self._failures[number]
            return None, True

    def settled(self, claimed: Claimed, outcome: Outcome, *, stopped: bool) -> list[Claimed]:
        """Note how a delivery ended; returns what is not to be made now after all.

        What was claimed before a callback began to fail is given back: one probe is enough.
        """
        number = claimed.subscription_id
        with self._lock:
            if outcome.sent:
                self._failures[number] = 0 if outcome.delivered else self._failures[number] + 1
            failing = claimed.failures + self._failures[number] >= HELD_AFTER
            asked = outcome.retry_after is not None
            if outcome.delivered or not (stopped or asked or failing):
                return []
            return self._empty(number)

    def leave(self) -> list[Claimed]:
        """Take back all that nobody has begun."""
        with self._lock:
            return [one for number in list(self._waiting) for one in self._empty(number)]

    def done(self, claimed: Claimed) -> bool:
        """A delivery is out of our hands; true when it was the last of its claim."""
        with self._lock:
            self._left[claimed.token] -= 1
            if self._left[claimed.token]:
                return False
            del self._left[claimed.token]
            return True

    def _empty(self, number: int) -> list[Claimed]:
        waiting = self._waiting.get(number)
        if not waiting:
            return []
        back = [one for one, _ in waiting]
        waiting.clear()
        return back
