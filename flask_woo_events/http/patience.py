"""Patience: how long one piece of work may wait for its peers, over all of its exchanges."""

from __future__ import annotations

import collections
import collections.abc as cabc
import contextlib
import contextvars
import dataclasses
import math
import threading

from ..errors import OutOfPatienceError
from .sockets import Timeouts


class Patience:
    """The time that the exchanges of one piece of work may take together.

    :param seconds: the limit; by default the time is only measured.
    :param prompt: an answer within this time counts nothing, seconds.
    """

    def __init__(self, seconds: float = math.inf, *, prompt: float = 0.0) -> None:
        self._seconds = seconds
        self._prompt = prompt
        #: Seconds that count.
        self.spent = 0.0
        #: Complete answers.
        self.answers = 0

    @property
    def exhausted(self) -> bool:
        """No time is left."""
        return self.spent >= self._seconds

    def applied(self, timeouts: Timeouts) -> Timeouts:
        """Return the time-outs of the next exchange.

        :raises OutOfPatienceError: no time is left.
        """
        if self._seconds <= 0:
            raise OutOfPatienceError(
                "too many requests are waiting for stores or callbacks; try again", busy=True
            )
        if self.exhausted:
            raise OutOfPatienceError(f"the answers took more than {self._seconds:g} s in all")
        left = self._seconds - self.spent + self._prompt
        return timeouts if left >= timeouts.total else dataclasses.replace(timeouts, total=left)

    def spend(self, seconds: float, *, answered: bool) -> None:
        """Count an exchange and its time."""
        self.spent += max(0.0, seconds - self._prompt)
        self.answers += answered

    def end(self) -> None:
        """Note that an exchange was ended by this limit."""
        self.spent = max(self.spent, self._seconds)


_current: contextvars.ContextVar[Patience | None] = contextvars.ContextVar(
    "woo_events_patience", default=None
)


def current_patience() -> Patience | None:
    """Return the patience of the present work; ``None`` if only time-outs limit it."""
    return _current.get()


@contextlib.contextmanager
def waiting_with(patience: Patience) -> cabc.Iterator[Patience]:
    """Apply a patience to the exchanges of the block, in this thread."""
    token = _current.set(patience)
    try:
        yield patience
    finally:
        _current.reset(token)


class WebCalls:
    """The calls of stores and callbacks that requests to one process make: how many, how long.

    Each of them holds a thread of the web server, which webhooks and health checks need, too.

    :param most: requests that may make calls at the same time.
    :param most_of_one: those of one organization.
    :param seconds: for all calls of one request.
    """

    def __init__(self, most: int, most_of_one: int, seconds: float) -> None:
        self._places = Places(most, most_of_one)
        self._seconds = seconds

    @contextlib.contextmanager
    def limited(self, organization_id: int, seconds: float = 0.0) -> cabc.Iterator[Patience]:
        """Limit the exchanges of the block; above the bound, each of them is refused.

        :param seconds: another limit than that of the constructor, if it is longer.
        """
        with self._places.taken(organization_id) as free:
            limit = max(self._seconds, seconds) if free else 0.0
            with waiting_with(Patience(limit)) as patience:
                yield patience


class Places:
    """How many requests to one process may do something at the same time.

    :param most: requests.
    :param most_of_one: those of one organization.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._lock = threading.Lock()
        self._running: collections.Counter[int] = collections.Counter()

    @contextlib.contextmanager
    def taken(self, organization_id: int) -> cabc.Iterator[bool]:
        """Take a place for the block, and yield whether there was one."""
        begun = self._begin(organization_id)
        try:
            yield begun
        finally:
            if begun:
                self._end(organization_id)

    def _begin(self, organization_id: int) -> bool:
        with self._lock:
            free = self._running.total() < self._most
            if not free or self._running[organization_id] >= self._most_of_one:
                return False
            self._running[organization_id] += 1
            return True

    def _end(self, organization_id: int) -> None:
        with self._lock:
            self._running[organization_id] -= 1
            if not self._running[organization_id]:
                del self._running[organization_id]
