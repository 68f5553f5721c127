"""The exploration: every schedule of a pair of operations up to two preemptions."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import random

from flask_woo_events.instances import webhooks
from flask_woo_events.worker.worker import lease_renewer
from tests.interleavings import invariants
from tests.interleavings.environment import Environment
from tests.interleavings.operations import OPERATIONS, Operation
from tests.interleavings.scheduler import (
    LETTERS,
    Action,
    Point,
    Schedule,
    Session,
    Turn,
    text_of,
)


@dataclasses.dataclass(frozen=True)
class Played:
    """One schedule that was played to its end."""

    operations: tuple[str, ...]
    schedule: Schedule
    #: What must hold and does not.
    faults: tuple[str, ...]
    #: The pause points of each session.
    points: dict[str, tuple[Point, ...]]
    #: The turns that were taken: the session's letter and the pause point where it began.
    taken: tuple[tuple[str, int], ...]

    @property
    def command(self) -> str:
        """The command that plays it again."""
        pair = ",".join(self.operations)
        return f"python -m tests.interleavings --pair {pair} --schedule '{text_of(self.schedule)}'"

    def describe(self, *, full: bool = False) -> str:
        """Return the turns as text, with the first and last pause point of each.

        :param full: with all of them.
        """
        lines = []
        begins = [*self.taken]
        for position, (letter, first) in enumerate(begins):
            later = [number for name, number in begins[position + 1 :] if name == letter]
            points = self.points[letter][first : later[0] if later else None]
            name = self.operations[LETTERS.index(letter)]
            steps = [
                f"    {first + number:3} {_shown(point)}" for number, point in enumerate(points)
            ]
            if not full and len(steps) > 4:
                steps[2:-2] = ["      ..."]
            lines += [f"  {letter} ({name})", *steps]
        return "\n".join(lines)


def _shown(point: Point) -> str:
    names = list(dict.fromkeys(one.name for one in point.actions if one.name != point.name))
    return f"{point.name}: {', '.join(names)}" if names else point.name


class Explorer:
    """Plays schedules in one environment."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        #: The number of schedules.
        self.played = 0
        self._traces: dict[str, tuple[Point, ...]] = {}
        self._concluded: dict[cabc.Hashable, tuple[str, ...]] = {}

    @property
    def states(self) -> int:
        """The number of different states in which the schedules ended."""
        return len(self._concluded)

    def play(self, operations: cabc.Sequence[str], schedule: Schedule) -> Played:
        """Play one schedule, and check what must hold."""
        env = self._env
        env.reset()
        self.played += 1
        env.operations = tuple(operations)
        chosen = [OPERATIONS[name] for name in operations]
        sessions = [
            self._session(letter, one, number)
            for number, (letter, one) in enumerate(zip(LETTERS, chosen, strict=False), start=1)
        ]
        env.scheduler.play(sessions, schedule)
        faults = [
            f"{one.name} raised {type(session.error).__name__}: {session.error}"
            for one, session in zip(chosen, sessions, strict=True)
            if session.error is not None and not isinstance(session.error, one.allowed)
        ]
        taken = tuple(env.scheduler.taken)
        faults += self._judge(chosen)
        points = {one.name: tuple(one.points) for one in sessions}
        return Played(tuple(operations), schedule, tuple(faults), points, taken)

    def _session(self, letter: str, operation: Operation, number: int) -> Session:
        runtime = self._env.runtimes[number]
        return Session(
            letter,
            lambda: operation.work(self._env, runtime),
            lambda: self._env.tables.blocked(runtime.database),
        )

    def _judge(self, chosen: cabc.Sequence[Operation]) -> list[str]:
        env = self._env
        env.answers.clear()
        found = list(env.faults)
        with env.own.database.read() as session:
            found += invariants.of_claims(session, env.now)
            found += invariants.of_rows(session, env.now)
            found += invariants.of_instances(session)
        for one in chosen:
            if not one.sets or sum(other.sets == one.sets for other in chosen) == 1:
                found += one.check(env)
        env.note_versions()
        if env.instance() is not None:
            # Many schedules end in the same state.
            state = (*(one.name for one in chosen), self._state())
            if state not in self._concluded:
                self._concluded[state] = self._conclude(chosen)
            found += self._concluded[state]
        return list(dict.fromkeys(found))

    def _state(self) -> cabc.Hashable:
        """Return everything on which the rest depends, without what is drawn at random."""
        env = self._env
        receipts = [
            (one.receiver, one.key, one.content, env.versions.get((one.number, one.key)))
            for one in env.receipts
        ]
        hooks = [repr(row) for row in env.store.shop.tables["webhooks"]]
        return repr((env.tables.rows(env.own.cipher.decrypt), receipts, hooks))

    def _conclude(self, chosen: cabc.Sequence[Operation]) -> tuple[str, ...]:
        """Poll and deliver once, with nothing else at work, and check what holds then."""
        env = self._env
        for one in chosen:
            one.undo(env)
        env.pass_time(dt.timedelta(hours=2))
        OPERATIONS["redeliver"].work(env, env.own)
        env.deliver(env.own)
        env.settle(env.own)
        found = [f"a clean poll: {one.error}" for one in env.poll(env.own) if one.error]
        env.deliver(env.own)
        found += invariants.of_fold(env, silent=any(one.silent for one in chosen))
        for number in webhooks.due(env.own):
            webhooks.guard(env.own, lease_renewer(env.own), number)
        found += invariants.of_hooks(env)
        env.note_versions()
        found += invariants.of_receipts(env, repeats=any(one.repeats for one in chosen))
        with env.own.database.read() as session:
            found += invariants.of_rows(session, env.now)
            found += invariants.of_instances(session)
        return tuple(found)

    # Which schedules

    def all(self, first: str, second: str) -> cabc.Iterator[Played]:
        """Play every schedule of a pair with at most two preemptions, depth first.

        A preemption at a point changes nothing if what the session does next has nothing to do
        with what the other one does. Such points are left out.
        """
        for one, other in (("A", "B"), ("B", "A")):
            alone = self.play((first, second), (Turn(one), Turn(other)))
            yield alone
            for point in _relevant(alone.points[one], alone.points[other]):
                preempted = self.play((first, second), (Turn(one, point), Turn(other), Turn(one)))
                yield preempted
                later = preempted.points[one][point:]
                for back in _relevant(preempted.points[other], later):
                    yield self.play(
                        (first, second),
                        (Turn(one, point), Turn(other, back), Turn(one), Turn(other)),
                    )

    def sample(
        self, operations: cabc.Sequence[str], most: int, chance: random.Random
    ) -> cabc.Iterator[Played]:
        """Play some different schedules of two or three operations."""
        chosen = {self._choose(operations, chance): None for _ in range(most)}
        for schedule in chosen:
            yield self.play(operations, schedule)

    def _choose(self, operations: cabc.Sequence[str], chance: random.Random) -> Schedule:
        """Choose a schedule with one or two preemptions."""
        letters = LETTERS[: len(operations)]
        traces = {name: self._alone(one) for name, one in zip(letters, operations, strict=True)}
        one, other, *last = chance.sample(letters, len(letters))
        rest = [point for name in last for point in traces[name]]
        point = chance.choice([1, *_relevant(traces[one], [*traces[other], *rest])])
        back = chance.choice(_relevant(traces[other], [*traces[one][point:], *rest]) or [1])
        if not last and chance.random() < 0.5:
            return (Turn(one, point), Turn(other), Turn(one))
        return (Turn(one, point), Turn(other, back), *map(Turn, last), Turn(one), Turn(other))

    def _alone(self, name: str) -> tuple[Point, ...]:
        """Return the pause points of an operation that has the database to itself."""
        if name not in self._traces:
            self._env.reset()
            session = self._session("A", OPERATIONS[name], 1)
            self._env.scheduler.play([session], ())
            self._traces[name] = tuple(session.points)
        return self._traces[name]


def _relevant(points: cabc.Sequence[Point], others: cabc.Sequence[Point]) -> list[int]:
    """Return the points before actions that conflict with any of the other session."""
    theirs: set[Action] = {action for point in others for action in point.actions}
    return [
        number
        for number, point in enumerate(points)
        if number and any(one.conflicts(other) for one in point.actions for other in theirs)
    ]
