"""The ways of killing: whom, when, and what is done before the next one."""

from __future__ import annotations

import bisect
import collections
import collections.abc as cabc
import contextlib
import dataclasses
import itertools
import threading
import time
import typing as t

from .crash_points import DOOM
from .installation import Child, Installation, wait_until
from .server_processes import Broker, Celery, Intake, ServerProcesses

#: How long a request may be on its way when its sender is killed, seconds.
ON_ITS_WAY = 0.5
#: Kills after which all of it is let come to an end: of a store of which much is gone at once it is
#: believed after ten minutes only. Webhooks alone must have told what was acknowledged by then.
ROUND = 10
WORKER = ("poll",)
#: How long a store takes for an answer while it is asked by somebody who is to be killed, seconds.
SLOW = 10.0


@dataclasses.dataclass
class KillResult:
    """What a series of kills came to."""

    kills: int = 0
    #: Kills while a lease was held or a webhook waited, where that was looked at.
    working: int = 0
    #: States of objects in the store that differed from those before.
    changes: int = 0
    events: int = 0
    notifications: int = 0
    lost: list[str] = dataclasses.field(default_factory=list)
    #: Events that never were so, or were told under two ids.
    false: list[str] = dataclasses.field(default_factory=list)
    #: Deliveries beyond the first of a notification; the most of one id after one kill.
    repeated: int = 0
    per_kill: int = 0
    #: Those without a kill since the delivery before: nobody is to blame but us.
    unexplained: int = 0
    webhooks: int = 0
    #: Webhooks that were answered 200.
    taken: int = 0
    #: The longest time until another process had done the work, seconds.
    takeover: float | None = None
    #: The end of the processes' log, if something is wrong.
    log: str = ""

    @property
    def wrong(self) -> list[str]:
        """What must not be."""
        again = [f"{self.unexplained} sent again without a kill"] * bool(self.unexplained)
        often = [f"sent {self.per_kill} times after one kill"] * (self.per_kill > 1)
        return [*self.lost, *self.false, *again, *often]


def repeats(
    times: cabc.Mapping[str, cabc.Sequence[float]], kills: cabc.Sequence[float]
) -> tuple[int, int, int]:
    """Count deliveries beyond the first of an id: all, most after one kill, those without one.

    :param times: when each notification came, by id.
    :param kills: when processes were killed, sorted.
    """
    after: collections.Counter[tuple[str, int]] = collections.Counter()
    unexplained = 0
    for number, came in times.items():
        for before, again in itertools.pairwise(sorted(came)):
            last = bisect.bisect(kills, again)
            after[number, last] += 1
            unexplained += last == 0 or kills[last - 1] < before - ON_ITS_WAY
    return after.total(), max(after.values(), default=0), unexplained


def judged(stand: Installation, working: int = 0, lost: cabc.Iterable[str] = ()) -> KillResult:
    """Wait until all is told, and count.

    :param lost: what was found to be lost before.
    """
    verdict = stand.verdict()
    kills = stand.kills
    outcome = KillResult(len(kills), working, verdict.changes, verdict.arrived, len(stand.came))
    outcome.lost = [*lost, *verdict.lost]
    outcome.false = [*verdict.false, *verdict.duplicate]
    outcome.repeated, outcome.per_kill, outcome.unexplained = repeats(stand.times, kills)
    outcome.webhooks = len(stand.said.all)
    outcome.taken = sum(one.status == 200 for one in stand.said.all)
    if outcome.wrong:
        outcome.log = "\n".join([*stand.errors(), stand.log.read_text()[-6000:]])
    return outcome


def at_random(stand: Installation, crew: cabc.Sequence[tuple[str, ...]], kills: int) -> KillResult:
    """Kill one of a crew at a random moment, and start another in its place, again and again."""
    stand.slow_down()
    running = [stand.nursery.start(*args) for args in crew]
    working = 0
    for number in range(kills):
        for _ in range(stand.chance.randint(1, 4)):
            stand.act()
        stand.poll_now()
        _any_moment(stand)
        victim = stand.chance.randrange(len(crew))
        working += stand.working
        stand.kill(running[victim])
        running[victim] = stand.nursery.start(*crew[victim])
        if number % ROUND == ROUND - 1:
            stand.verdict()
    outcome = judged(stand, working)
    _end(running)
    return outcome


def _any_moment(stand: Installation) -> None:
    """Most often wait for work to begin: who kills the idle learns nothing."""
    if stand.chance.random() < 0.8:
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: stand.working, 1.5)
    time.sleep(stand.chance.uniform(0, 0.4))


def at_points(
    stand: Installation,
    point: str,
    first: int = 0,
    most: int = 60,
    beside: cabc.Sequence[tuple[str, ...]] = (),
) -> KillResult:
    """Kill a worker at each commit or statement of its way in turn, from its start to the end.

    :param beside: others that work meanwhile and are left alone.
    """
    others = [stand.nursery.start(*args) for args in beside]
    kills = 0
    for number in range(first, first + most):
        for _ in range(3):
            stand.act()
        stand.poll_now()
        child = stand.nursery.start(*WORKER, doom=(point, number))
        wait_until(lambda: not child.alive or stand.settled)  # noqa: B023
        if child.alive:
            child.kill()
            if not beside:
                break
            continue  # Somebody else was faster.
        kills += 1
        if number % ROUND == ROUND - 1:
            worker = stand.nursery.start(*WORKER)
            stand.verdict()
            worker.kill()
    worker = stand.nursery.start(*WORKER)
    outcome = judged(stand, kills)
    _end([worker, *others])
    return outcome


def with_intake(stand: Installation, intake: Intake, kills: int) -> KillResult:
    """Kill the intake and the workers while the store sends webhooks.

    In each round nothing is polled at first: what a webhook was answered 200 for must be told
    without. Then the instance is polled, as it is every hour, and everything must be told.
    """
    stand.slow_down()
    running = [stand.nursery.start(*WORKER) for _ in range(2)]
    _begin_webhooks(stand)
    working, lost = 0, list[str]()
    for number in range(kills):
        if number % ROUND == 0:
            stand.hold_polls()
            stand.guard_now()
        for _ in range(stand.chance.randint(1, 4)):
            stand.act()
        _any_moment(stand)
        if number % 2 and intake.workers:
            stand.kill(stand.chance.choice(intake.workers))
        else:
            victim = stand.chance.randrange(len(running))
            working += stand.working
            stand.kill(running[victim])
            running[victim] = stand.nursery.start(*WORKER)
        if number % ROUND == ROUND - 1:
            lost += end_round(stand)
    lost += end_round(stand)
    outcome = judged_webhooks(stand, working, lost)
    _end(running)
    return outcome


def intake_at_points(stand: Installation, intake: Intake, point: str, kills: int) -> KillResult:
    """Kill each process of the intake at its n-th commit, and those that follow it as well."""
    worker = stand.nursery.start(*WORKER)
    _begin_webhooks(stand)
    lost = list[str]()
    for number in (1, 2, 3, 5):
        intake.stop()
        intake.start({**stand.environment, DOOM: f"{point}:{number}"})
        stand.hold_polls()
        before, end = len(stand.kills), time.monotonic() + 60
        while len(stand.kills) < before + kills / 4 and time.monotonic() < end:
            stand.act()
            stand.said.end()
        lost += end_round(stand)
    intake.stop()
    intake.start(stand.environment)
    outcome = judged_webhooks(stand, 0, lost)
    worker.kill()
    return outcome


def _begin_webhooks(stand: Installation) -> None:
    wait_until(lambda: stand.hooked, 180)
    stand.store.webhooks.auto = True


def end_round(stand: Installation) -> list[str]:
    """What webhooks said that were acknowledged must be told; then the rest is polled."""
    stand.said.end()
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: stand.free and not stand.arrivals and stand.delivered, 30)
    lost = stand.untold()
    if stand.arrivals:
        lost.append(f"{stand.arrivals} webhooks were not looked after")
    stand.resume_polls()
    stand.verdict()
    return lost


def judged_webhooks(stand: Installation, working: int, lost: list[str]) -> KillResult:
    stand.store.webhooks.auto = False
    stand.said.end()
    outcome = judged(stand, working, lost)
    if outcome.taken < outcome.changes / 4:
        outcome.lost.append(f"only {outcome.taken} webhooks were taken")
    return outcome


def with_celery(
    stand: Installation, crew: ServerProcesses, broker: Broker, intake: Intake, kills: int
) -> KillResult:
    """Kill Celery's workers, processes of their pools, the beat, the broker and the intake."""
    intake.start(crew.environment, "tests.fault_injection.celery_app:flask_app")
    try:
        return _with_celery(stand, crew, broker, intake, kills)
    finally:
        intake.stop()


def _with_celery(
    stand: Installation, crew: ServerProcesses, broker: Broker, intake: Intake, kills: int
) -> KillResult:
    stand.slow_down()
    beat, workers = crew.beat(), [crew.worker(number) for number in range(2)]
    _begin_webhooks(stand)
    working = 0
    for number in range(kills):
        for _ in range(stand.chance.randint(1, 4)):
            stand.act()
        stand.poll_now()
        _any_moment(stand)
        working += stand.working
        stand.struck()
        victim = number // 5 % 2
        match number % 5:
            case 0 | 2:
                workers[victim].kill()
                workers[victim] = crew.worker(victim)
            case 1:
                _kill_one(stand, workers[victim].pool or workers[1 - victim].pool)
            case 3:
                broker.kill()
                time.sleep(stand.chance.uniform(0, 0.5))
                broker.start()
            case _ if victim:
                _kill_one(stand, intake.workers)
            case _:
                beat.kill()
                beat = crew.beat()
    return judged_webhooks(stand, working, end_round(stand))


def _kill_one(stand: Installation, among: cabc.Sequence[Child]) -> None:
    if among:
        stand.chance.choice(among).kill()


def celery_at_points(
    stand: Installation, crew: ServerProcesses, point: str, most: int
) -> KillResult:
    """Kill a Celery worker at each commit or statement of its way in turn."""
    crew.beat()
    for number in range(most):
        for _ in range(3):
            stand.act()
        stand.poll_now()
        worker = crew.worker(pool="solo", doom=f"{point}:{number}")
        wait_until(lambda: not worker.alive or stand.settled)  # noqa: B023
        if worker.alive:
            worker.kill()
            break
    crew.worker()
    return judged(stand)


class Running(t.Protocol):
    """A process that can be killed."""

    def kill(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Takeover:
    """Kills whoever is at work while another one stands by, and takes the time.

    :param start: starts a worker.
    :param ready: seconds until one that was started is at work, at most.
    """

    stand: Installation
    start: cabc.Callable[[], Running]
    ready: float = 1.0

    def of_requests(self, cause: cabc.Callable[[], None], times: int) -> float:
        """Kill in the middle of reading the store; until all is told.

        :param cause: why the store is asked.
        """
        stand, took = self.stand, list[float]()
        for _ in range(times):
            holder = self.start()
            stand.store.faults.add("delay", times=100_000, seconds=SLOW)
            stand.act()
            cause()
            wait_until(lambda: not stand.free)
            other = self._other()
            took.append(self._killed(holder, stand.store.faults.clear, lambda: stand.settled))
            other.kill()
        return max(took)

    def of_deliveries(self, times: int) -> float:
        """Kill while the callback has a request; until it has come again."""
        stand, took = self.stand, list[float]()
        for _ in range(times):
            slow = _Slow()
            holder = self.start()
            stand.receiver.answer = slow
            stand.act()
            stand.poll_now()
            slow.asked.wait(60)
            other = self._other()
            stand.receiver.answer = lambda _received: 200
            took.append(self._killed(holder, lambda: None, lambda: stand.settled))
            slow.answer.set()
            other.kill()
        return max(took)

    def of_both(self) -> float:
        """Kill while the store and the callback are asked; until all is told."""
        stand, slow = self.stand, _Slow()
        holder = self.start()
        stand.receiver.answer = slow
        stand.act()
        stand.poll_now()
        slow.asked.wait(60)
        stand.store.faults.add("delay", times=100_000, seconds=SLOW)
        stand.act()
        wait_until(lambda: stand.free)
        stand.poll_now()
        wait_until(lambda: not stand.free)
        other = self._other()
        stand.receiver.answer = lambda _received: 200
        took = self._killed(holder, stand.store.faults.clear, lambda: stand.settled)
        slow.answer.set()
        other.kill()
        return took

    def of_guardians(self, times: int) -> float:
        """Kill while webhooks are registered; until all of them are."""
        stand, took = self.stand, list[float]()
        table = stand.store.shop.tables["webhooks"]
        for _ in range(times):
            holder = self.start()
            wait_until(lambda: stand.hooked, 180)
            wanted = len(table)
            with stand.store.shop.lock:
                table.replace([])
            # The first one is made, the others are not.
            stand.store.faults.add(
                "delay", times=100_000, match="webhooks/batch", seconds=SLOW, effect=False
            )
            stand.guard_now()
            wait_until(lambda: 0 < len(table) < wanted)  # noqa: B023
            other = self._other()
            done = lambda: len(table) >= wanted and stand.hooked  # noqa: B023, E731
            took.append(self._killed(holder, stand.store.faults.clear, done))
            other.kill()
        return max(took)

    def _other(self) -> Running:
        other = self.start()
        # A renewal comes every third of a lease; the kill comes anywhere between two of them.
        time.sleep(self.ready + self.stand.chance.uniform(0.0, 2.0))
        return other

    def _killed(
        self,
        holder: Running,
        then: cabc.Callable[[], None],
        done: cabc.Callable[[], bool],
    ) -> float:
        self.stand.struck()
        holder.kill()
        began = time.monotonic()
        then()
        wait_until(done)
        return time.monotonic() - began


class _Slow:
    """A callback that does not answer yet."""

    def __init__(self) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()

    def __call__(self, _received: t.Any) -> int:
        self.asked.set()
        self.answer.wait(60)
        return 200


def broker_takeover(stand: Installation, broker: Broker) -> float:
    """Kill the broker for a while; how long from its return until all is told, seconds."""
    stand.struck()
    broker.kill()
    for _ in range(3):
        stand.act()
    stand.poll_now()
    time.sleep(3.0)
    broker.start()
    return wait_until(lambda: stand.settled)


def _end(running: cabc.Iterable[Child | Celery]) -> None:
    for child in running:
        child.kill()
