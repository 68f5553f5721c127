"""Forwarding: events for a developer's own address, in their order, until it answers."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt

from ..runtime import Runtime
from . import replay
from .replay import ReplaySelection
from .retry import AttemptOutcome

#: Seconds before the second attempt; each further one doubles them, up to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forwarded:
    """One attempt to forward events of one notification."""

    event_ids: tuple[int, ...]
    outcome: AttemptOutcome
    attempt: int
    #: Seconds until the next attempt; ``None``: there is none.
    again_in: float | None


class Forwarder:
    """Posts events to one address, signed as deliveries are.

    An address that cannot be reached is tried again, and everything else waits for it. What it
    answers with an error is not repeated: a developer sees it, and sends it again.

    :param runtime: the application's, also of an address of this machine.
    """

    def __init__(self, runtime: Runtime, url: str) -> None:
        # The address was typed by the person who runs the command, so that it may be a local one.
        settings = dataclasses.replace(runtime.settings, allow_private_callbacks=True)
        self._runtime = Runtime(settings, runtime.database, runtime.clock)
        self._url = url
        self._queue: collections.deque[tuple[int, ...]] = collections.deque()
        self._attempts = 0
        self._due: dt.datetime | None = None

    @property
    def waiting(self) -> frozenset[int]:
        """The ids of the events that were not forwarded yet."""
        return frozenset(one for ids in self._queue for one in ids)

    def add(self, event_ids: cabc.Sequence[int]) -> None:
        """Forward events of one notification after those before."""
        self._queue.append(tuple(event_ids))

    def run(self) -> cabc.Iterator[Forwarded]:
        """Make the attempts that are due now, and yield each."""
        while self._queue and (self._due is None or self._due <= self._runtime.clock()):
            event_ids = self._queue[0]
            outcome = self.send(event_ids)
            self._attempts += 1
            again_in = None
            if not outcome.delivered and outcome.status_code is None:
                again_in = min(FIRST_PAUSE * 2 ** (self._attempts - 1), LONGEST_PAUSE)
                self._due = self._runtime.clock() + dt.timedelta(seconds=again_in)
            done = Forwarded(
                event_ids=event_ids, outcome=outcome, attempt=self._attempts, again_in=again_in
            )
            if again_in is None:
                self._queue.popleft()
                self._attempts, self._due = 0, None
            yield done

    def send(self, event_ids: cabc.Sequence[int]) -> AttemptOutcome:
        """Post events once; they are of one notification, unless it was divided meanwhile."""
        with self._runtime.database.read() as session:
            selection = ReplaySelection(event_ids=tuple(event_ids))
            planned = replay.plan(session, selection, len(event_ids))
        reason = "there is no such event, or it was deleted after its retention"
        outcome = AttemptOutcome(delivered=False, reason=reason, status_code=0)
        for _, outcome in replay.to_address(self._runtime, planned, self._url):
            if not outcome.delivered:
                break
        return outcome
