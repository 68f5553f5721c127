"""The scheduler: lets one of several threads run at a time, and decides which at pause points."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import enum
import functools
import queue
import re
import threading
import time

from tests.waiting import HANG_SECONDS

#: After this time without a report of the thread that runs, the database is asked whether the
#: thread waits for a lock; seconds. It decides only when that is asked.
ASK_AFTER = 0.02
#: Who runs: the sessions of a schedule are called A, B and C.
LETTERS = "ABC"


@dataclasses.dataclass(frozen=True)
class Action:
    """What a session does to the state that sessions share."""

    name: str
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    #: What other sessions must not write until the commit.
    locks: frozenset[str] = frozenset()

    def conflicts(self, other: Action) -> bool:
        """Return whether the order of two actions of different sessions can matter."""
        ours = self.writes | self.locks
        return bool(
            self.writes & (other.reads | other.writes)
            or self.reads & other.writes
            or ours & other.locks
        )


@dataclasses.dataclass
class Point:
    """A pause point that a session has reached, and what the session did after it."""

    name: str
    actions: list[Action] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Turn:
    """One session runs, until it reaches a pause point with this number or its end."""

    session: str
    until: int | None = None

    def __str__(self) -> str:
        return self.session + ("" if self.until is None else str(self.until))


Schedule = tuple[Turn, ...]


def parse(text: str) -> Schedule:
    """Read a schedule: in ``A5 B A`` A runs to its pause point 5, then B and A to their ends."""
    found = [re.fullmatch(r"([A-Z])(\d*)", word) for word in text.split()]
    if None in found:
        raise ValueError(f"{text!r} is no schedule; one is: A5 B A")
    return tuple(Turn(one[1], int(one[2]) if one[2] else None) for one in found if one)


def text_of(schedule: Schedule) -> str:
    """Return a schedule as :func:`parse` reads it."""
    return " ".join(map(str, schedule))


class _State(enum.Enum):
    PARKED = enum.auto()
    RUNNING = enum.auto()
    ENDED = enum.auto()


class Abandoned(BaseException):
    """Ends a thread whose schedule was given up."""


class HangError(AssertionError):
    """No thread can go on."""


class Session:
    """One operation in a thread of its own.

    :param blocked: returns whether the database lets the session wait for a lock.
    """

    def __init__(
        self, name: str, work: cabc.Callable[[], object], blocked: cabc.Callable[[], bool]
    ) -> None:
        self.name = name
        self.points: list[Point] = []
        #: What the operation raised.
        self.error: BaseException | None = None
        self.work = work
        self.blocked = blocked
        self.state = _State.RUNNING
        self.go = threading.Semaphore(0)

    @property
    def actions(self) -> list[Action]:
        """Everything that the session did."""
        return [action for point in self.points for action in point.actions]

    @property
    def ended(self) -> bool:
        """The operation has returned or raised."""
        return self.state is _State.ENDED


class Scheduler:
    """Runs sessions by a schedule.

    A session that waits for a lock of the database cannot go on: the next one does, and the first
    follows when the lock is free. What a thread does outside of a schedule is not paused.
    """

    def __init__(self) -> None:
        self._local = threading.local()
        #: A session that is paused or has ended wakes the test's thread.
        self._wakeups: queue.SimpleQueue[None] = queue.SimpleQueue()
        #: Sessions that waited for a lock when the database was asked.
        self._blocked: list[Session] = []
        self._sessions: cabc.Sequence[Session] = ()
        self._abandoned = False
        #: The turns that were taken: the session's name and the pause point where it began.
        self.taken: list[tuple[str, int]] = []

    # In the threads of the sessions

    @property
    def current(self) -> Session | None:
        """The session of this thread, if it has one."""
        return getattr(self._local, "session", None)

    def pause(self, name: str) -> None:
        """Reach a pause point, and return when it is this session's turn."""
        session = self.current
        if session is None:
            return
        if self._abandoned:
            raise Abandoned
        session.points.append(Point(name))
        session.state = _State.PARKED
        self._wakeups.put(None)
        session.go.acquire()
        if self._abandoned:
            raise Abandoned

    def note(self, action: Action) -> None:
        """Note what this session does, after its last pause point."""
        session = self.current
        if session is not None and session.points:
            session.points[-1].actions.append(action)

    def _run(self, session: Session) -> None:
        self._local.session = session
        try:
            self.pause("begin")
            session.work()
        except BaseException as exc:
            session.error = exc
        finally:
            self._local.session = None
            session.state = _State.ENDED
            self._wakeups.put(None)

    # In the thread of the test

    def play(self, sessions: cabc.Sequence[Session], schedule: Schedule) -> None:
        """Run all sessions to their ends, first by the schedule and then in their order.

        :raises HangError: no session can go on.
        """
        self._abandoned, self._blocked, self.taken = False, [], []
        self._sessions = sessions
        threads = [
            threading.Thread(target=functools.partial(self._run, one), name=f"session-{one.name}")
            for one in sessions
        ]
        by_name = {one.name: one for one in sessions}
        try:
            for thread, session in zip(threads, sessions, strict=True):
                thread.start()
                self._await(session)
            for turn in schedule:
                self._advance(by_name[turn.session], turn.until)
            while left := [one for one in sessions if not one.ended]:
                free = [one for one in left if not self._waits(one)]
                if free:
                    self._advance(free[0], None)
                else:
                    self._await(left[0])
        finally:
            self._abandoned = True
            for session in sessions:
                session.go.release()
            for thread in threads:
                thread.join(HANG_SECONDS)

    def _advance(self, session: Session, until: int | None) -> None:
        begun = False
        while session.state is _State.PARKED:
            if until is not None and len(session.points) > until:
                break
            if not begun:
                self.taken.append((session.name, len(session.points) - 1))
                begun = True
            if session in self._blocked:
                self._blocked.remove(session)
            session.state = _State.RUNNING
            session.go.release()
            self._await(session)

    def _await(self, session: Session) -> None:
        """Return when a session is parked, has ended, or waits for a lock."""
        end = time.monotonic() + HANG_SECONDS
        while session.state is _State.RUNNING:
            if self._woken(ASK_AFTER):
                continue
            if session not in self._blocked and session.blocked():
                self._blocked.append(session)
            if self._waits(session) and not self._deadlocked():
                break
            if time.monotonic() > end:
                raise HangError(f"{session.name} does not go on after {session.points[-1].name}")
        self._free_blocked(session)

    def _waits(self, session: Session) -> bool:
        # What the database said is old once the session goes on.
        return session in self._blocked and session.state is _State.RUNNING

    def _deadlocked(self) -> bool:
        """Return whether all sessions that have not ended wait: the database ends one of them."""
        left = [one for one in self._sessions if not one.ended]
        return all(self._waits(one) and one.blocked() for one in left)

    def _free_blocked(self, moved: Session) -> None:
        """Let sessions whose lock is free now reach their next pause point."""
        end = time.monotonic() + HANG_SECONDS
        for one in [each for each in self._blocked if each is not moved]:
            while self._waits(one) and not one.blocked():
                self._woken(ASK_AFTER)
                if time.monotonic() > end:
                    raise HangError(f"{one.name} does not go on after its lock")

    def _woken(self, seconds: float) -> bool:
        try:
            self._wakeups.get(timeout=seconds)
        except queue.Empty:
            return False
        return True
