"""Series of kills: which process is killed when, and what happens between two kills."""

from __future__ import annotations

import bisect
import collections
import collections.abc as cabc
import contextlib
import dataclasses
import itertools
import time

from flask_woo_events.db.clock import utc_now
from flask_woo_events.simulation.callback_receiver import Received
from flask_woo_events.worker.consistency import contradictions
from tests.waiting import wait_until

from .child_processes import Child
from .crash_points import KILL_AT
from .installation import Installation
from .server_processes import Broker, Celery, Intake, ServerProcesses

#: How long a request may be in flight when its sender is killed, seconds.
IN_FLIGHT = 0.5
#: Kills after which the installation catches up: a mass deletion is confirmed after ten minutes. By
#: then webhooks alone must have reported what was acknowledged.
ROUND = 10
WORKER = ("poll",)
#: Workers that deliver, one after the other, until everything must have been accepted.
MOST_DELIVERIES = 30


@dataclasses.dataclass
class KillResult:
    """The outcome of a series of kills."""

    kills: int = 0
    #: Kills while a lease was held or a webhook waited, in series that check it.
    working: int = 0
    #: States of objects in the store that differed from those before.
    changes: int = 0
    events: int = 0
    notifications: int = 0
    lost: list[str] = dataclasses.field(default_factory=list)
    #: Events that were never true, or were sent under two ids.
    false: list[str] = dataclasses.field(default_factory=list)
    #: Deliveries beyond the first of a notification; the most of one id after one kill.
    repeated: int = 0
    per_kill: int = 0
    #: Those of them without a kill since the delivery before.
    unexplained: int = 0
    webhooks: int = 0
    #: Webhooks that were answered 200.
    taken: int = 0
    #: The longest time until another process had done the work, seconds.
    takeover: float | None = None
    #: Lies and other faults of the store and the callback.
    lies: int = 0
    faults: int = 0
    #: Events that a lie made false, and that were corrected.
    false_meanwhile: int = 0
    #: The most polls until everything was corrected.
    polls: int = 0
    #: Versions out of order.
    order: list[str] = dataclasses.field(default_factory=list)
    #: What else is wrong.
    broken: list[str] = dataclasses.field(default_factory=list)
    #: The end of the processes' log, if something is wrong.
    log: str = ""

    @property
    def wrong(self) -> list[str]:
        """What must not happen."""
        again = [f"{self.unexplained} sent again without a kill"] * bool(self.unexplained)
        # A callback that goes on after it hung may get several attempts.
        too_often = self.per_kill > 1 and not self.faults
        often = [f"sent {self.per_kill} times after one kill"] * too_often
        return [*self.lost, *self.false, *self.order, *self.broken, *again, *often]


def repeats(
    times: cabc.Mapping[str, cabc.Sequence[float]], kills: cabc.Sequence[float]
) -> tuple[int, int, int]:
    """Count deliveries beyond the first of an id: all, most after one kill, those without one.

    :param times: when each notification was received, by id.
    :param kills: when processes were killed, sorted.
    """
    after: collections.Counter[tuple[str, int]] = collections.Counter()
    unexplained = 0
    for number, came in times.items():
        for before, again in itertools.pairwise(sorted(came)):
            last = bisect.bisect(kills, again)
            after[number, last] += 1
            unexplained += last == 0 or kills[last - 1] < before - IN_FLIGHT
    return after.total(), max(after.values(), default=0), unexplained


def judge(
    installation: Installation, working: int = 0, lost: cabc.Iterable[str] = ()
) -> KillResult:
    """Wait until every change is delivered, and count.

    :param lost: losses that were found before.
    """
    verdict = installation.verdict()
    kills = installation.kills
    outcome = KillResult(
        len(kills), working, verdict.changes, verdict.arrived, len(installation.received_counts)
    )
    outcome.lost = [*lost, *verdict.lost]
    outcome.false = [*verdict.false, *verdict.duplicate]
    outcome.repeated, outcome.per_kill, outcome.unexplained = repeats(
        installation.received_at, kills
    )
    outcome.webhooks = len(installation.webhook_log.entries)
    outcome.taken = sum(one.status == 200 for one in installation.webhook_log.entries)
    if outcome.wrong:
        outcome.log = "\n".join([*installation.errors(), installation.log.read_text()[-6000:]])
    return outcome


def at_random(
    installation: Installation, commands: cabc.Sequence[tuple[str, ...]], kills: int
) -> KillResult:
    """Kill and replace processes at random moments."""
    installation.slow_down()
    running = [installation.spawner.start(*args) for args in commands]
    working = 0
    for number in range(kills):
        for _ in range(installation.chance.randint(1, 4)):
            installation.change_store()
        installation.poll_now()
        _wait_random(installation)
        victim = installation.chance.randrange(len(commands))
        working += installation.working
        installation.kill(running[victim])
        running[victim] = installation.spawner.start(*commands[victim])
        if number % ROUND == ROUND - 1:
            installation.verdict()
    outcome = judge(installation, working)
    _end(running)
    return outcome


def _wait_random(installation: Installation) -> None:
    """Wait for a random time, mostly after work has begun: killing idle processes tests nothing."""
    if installation.chance.random() < 0.8:
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: installation.working, 1.5)
    time.sleep(installation.chance.uniform(0, 0.4))


def at_points(
    installation: Installation,
    point: str,
    first: int = 0,
    most: int = 60,
    others: cabc.Sequence[tuple[str, ...]] = (),
) -> KillResult:
    """Kill a worker at its first commit or statement, the next one at its second, and so on.

    :param others: commands of workers that are not killed.
    """
    beside = [installation.spawner.start(*args) for args in others]
    kills = 0
    for number in range(first, first + most):
        for _ in range(3):
            installation.change_store()
        installation.poll_now()
        child = installation.spawner.start(*WORKER, kill_at=(point, number))
        wait_until(lambda: not child.alive or installation.complete)  # noqa: B023
        if child.alive:
            child.kill()
            if not beside:
                break
            continue  # Another worker was faster.
        kills += 1
        if number % ROUND == ROUND - 1:
            worker = installation.spawner.start(*WORKER)
            installation.verdict()
            worker.kill()
    worker = installation.spawner.start(*WORKER)
    outcome = judge(installation, kills)
    _end([worker, *beside])
    return outcome


def with_intake(installation: Installation, intake: Intake, kills: int) -> KillResult:
    """Kill the intake and the workers while the store sends webhooks.

    In each round polls are suspended at first: what was acknowledged must be delivered without.
    Then the instance is polled, and every change must be delivered.
    """
    installation.slow_down()
    running = [installation.spawner.start(*WORKER) for _ in range(2)]
    _begin_webhooks(installation)
    working, lost = 0, list[str]()
    for number in range(kills):
        if number % ROUND == 0:
            installation.hold_polls()
            installation.check_webhooks_now()
        for _ in range(installation.chance.randint(1, 4)):
            installation.change_store()
        _wait_random(installation)
        if number % 2 and intake.workers:
            installation.kill(installation.chance.choice(intake.workers))
        else:
            victim = installation.chance.randrange(len(running))
            working += installation.working
            installation.kill(running[victim])
            running[victim] = installation.spawner.start(*WORKER)
        if number % ROUND == ROUND - 1:
            lost += end_round(installation)
    lost += end_round(installation)
    outcome = judge_webhooks(installation, working, lost)
    _end(running)
    return outcome


def intake_at_points(
    installation: Installation, intake: Intake, point: str, kills: int
) -> KillResult:
    """Kill each process of the intake at its n-th commit, and the processes that replace it."""
    worker = installation.spawner.start(*WORKER)
    _begin_webhooks(installation)
    lost = list[str]()
    for number in (1, 2, 3, 5):
        intake.stop()
        intake.start({**installation.environment, KILL_AT: f"{point}:{number}"})
        installation.hold_polls()
        before, end = len(installation.kills), time.monotonic() + 60
        while len(installation.kills) < before + kills / 4 and time.monotonic() < end:
            installation.change_store()
            installation.webhook_log.flush()
        lost += end_round(installation)
    intake.stop()
    intake.start(installation.environment)
    outcome = judge_webhooks(installation, 0, lost)
    worker.kill()
    return outcome


def _begin_webhooks(installation: Installation) -> None:
    wait_until(lambda: installation.webhooks_ready)
    installation.store.webhooks.auto = True


def end_round(installation: Installation) -> list[str]:
    """Check that acknowledged webhooks were delivered, then poll the rest; return what was lost."""
    installation.webhook_log.flush()
    with contextlib.suppress(TimeoutError):
        wait_until(
            lambda: (
                installation.idle and not installation.pending_webhooks and installation.delivered
            )
        )
    lost = installation.unsent()
    if installation.pending_webhooks:
        lost.append(f"{installation.pending_webhooks} webhooks were not processed")
    installation.resume_polls()
    installation.verdict()
    return lost


def judge_webhooks(installation: Installation, working: int, lost: list[str]) -> KillResult:
    installation.store.webhooks.auto = False
    installation.webhook_log.flush()
    outcome = judge(installation, working, lost)
    if outcome.taken < outcome.changes / 4:
        outcome.lost.append(f"only {outcome.taken} webhooks were accepted")
    return outcome


def with_celery(
    installation: Installation,
    processes: ServerProcesses,
    broker: Broker,
    intake: Intake,
    kills: int,
) -> KillResult:
    """Kill Celery's workers, processes of their pools, the beat, the broker and the intake."""
    intake.start(processes.environment, "tests.fault_injection.celery_app:flask_app")
    try:
        return _with_celery(installation, processes, broker, intake, kills)
    finally:
        intake.stop()


def _with_celery(
    installation: Installation,
    processes: ServerProcesses,
    broker: Broker,
    intake: Intake,
    kills: int,
) -> KillResult:
    installation.slow_down()
    beat, workers = processes.beat(), [processes.worker(number) for number in range(2)]
    _begin_webhooks(installation)
    working = 0
    for number in range(kills):
        for _ in range(installation.chance.randint(1, 4)):
            installation.change_store()
        installation.poll_now()
        _wait_random(installation)
        working += installation.working
        installation.record_kill()
        victim = number // 5 % 2
        match number % 5:
            case 0 | 3:
                workers[victim].kill()
                workers[victim] = processes.worker(victim)
            case 1:
                _kill_one(installation, workers[victim].pool or workers[1 - victim].pool)
            case 2:
                broker.kill()
                time.sleep(installation.chance.uniform(0, 0.5))
                broker.start()
            case _ if victim:
                _kill_one(installation, intake.workers)
            case _:
                beat.kill()
                beat = processes.beat()
    return judge_webhooks(installation, working, end_round(installation))


def _kill_one(installation: Installation, among: cabc.Sequence[Child]) -> None:
    if among:
        installation.chance.choice(among).kill()


def celery_at_points(
    installation: Installation, processes: ServerProcesses, point: str, most: int
) -> KillResult:
    """Kill a Celery worker at its first commit or statement, the next at its second, and so on."""
    processes.beat()
    for number in range(most):
        for _ in range(3):
            installation.change_store()
        installation.poll_now()
        worker = processes.worker(pool="solo", kill_at=f"{point}:{number}")
        wait_until(lambda: not worker.alive or installation.complete)  # noqa: B023
        if worker.alive:
            worker.kill()
            break
    processes.worker()
    return judge(installation)


def _end(running: cabc.Iterable[Child | Celery]) -> None:
    for child in running:
        child.kill()


def at_divisions(
    installation: Installation, points: cabc.Sequence[tuple[str, int]]
) -> dict[tuple[str, int], int]:
    """Kill workers while they divide a notification of which a callback refuses one product.

    :param points: the crash points of the workers, one after the other.
    :return: how often each version of a product was accepted, in the order of the first time.
    """
    accepted: collections.Counter[tuple[str, int]] = collections.Counter()
    products = sorted(installation.store.truth("products"))
    refused = {str(products[4])}

    def answer(received: Received) -> int:
        versions = [(one["objectId"], one["version"]) for one in received.events]
        if any(number in refused for number, _ in versions):
            return 500
        accepted.update(versions)
        return 200

    def deliver(kill_at: tuple[str, int] | None = None) -> None:
        installation.spawner.start("deliver", "--once", kill_at=kill_at).wait()
        wait_until(lambda: installation.unclaimed)
        installation.hurry()

    installation.receiver.answer = answer
    for stock in (1001, 1002):
        for number in products:
            installation.store.acts.stock(number, stock)
        installation.poll_now()
        installation.spawner.start("poll", "--once", "--no-deliver").wait()
    deliver()
    for point in points:
        deliver(point)
    for _ in range(MOST_DELIVERIES):
        deliver()
        if len(accepted) == 16:
            refused.clear()
        if installation.delivered:
            break
    assert contradictions(installation.database, utc_now) == []
    return dict(accepted)
