"""Kills and stops of workers while the store lies, and the store and the callback fail."""

from __future__ import annotations

import contextlib
import signal
import time

from flask_woo_events.worker.consistency import contradictions
from tests.model.lying_env import ALWAYS_NOTICED, NOTICED_IF_SHORT
from tests.waiting import wait_until

from . import kills
from .child_processes import Child
from .hostile import ENOUGH_POLLS, LIES, HostileInstallation
from .kills import WORKER, KillResult

#: Kills after which the lies and faults end.
ROUND = 8
#: Time-outs in seconds, so that a long run does not wait; a short one takes the default ones.
SHORT_TIMEOUTS = {
    "STORE_READ_TIMEOUT": "3",
    "STORE_TOTAL_TIMEOUT": "6",
    "CALLBACK_READ_TIMEOUT": "5",
    "CALLBACK_TOTAL_TIMEOUT": "9",
}


class HostileKills:
    """Kills, stops and restarts workers, and lets everything around them fail.

    :param workers: how many run at the same time.
    :param verbose: print what is found after each round.
    """

    def __init__(
        self, installation: HostileInstallation, *, workers: int = 2, verbose: bool = False
    ) -> None:
        self._installation = installation
        self._workers = workers
        self._verbose = verbose
        self._running: list[Child] = []
        #: The kinds of lies of this round.
        self._kinds: list[str] = []
        #: Workers that were asked to end.
        self._ending: list[Child] = []
        self._lost: list[str] = []
        self._stays: list[str] = []
        self._wrong: list[str] = []
        #: The most true polls that a round needed.
        self._polls = 0

    def run(self, count: int) -> KillResult:
        """Kill or stop so many workers, and return what was found."""
        for number in range(count):
            if not self._running:
                self._begin_round()
            for _ in range(self._installation.chance.randint(1, 3)):
                self._change_surroundings()
                self._work()
            self._strike()
            if number % ROUND == ROUND - 1 or number == count - 1:
                self._come_back()
        return self._result()

    def _begin_round(self) -> None:
        """Start workers, and choose the kinds of lies: one that must be noticed, a few, or all."""
        chance = self._installation.chance
        self._running = [self._start() for _ in range(self._workers)]
        must = sorted(ALWAYS_NOTICED | NOTICED_IF_SHORT)
        self._kinds = chance.choice(([chance.choice(must)], chance.sample(list(LIES), 3), [*LIES]))

    def _start(self) -> Child:
        return self._installation.spawner.start_worker(*WORKER)

    def _work(self) -> None:
        """Change the store, and wait until a poll has begun, and for a random time."""
        installation = self._installation
        for _ in range(installation.chance.randint(1, 3)):
            installation.change_store()
        claims = installation.claims
        installation.poll_now()
        with contextlib.suppress(TimeoutError):  # The worker may wait for a store that hangs.
            wait_until(lambda: installation.claims > claims, 2.0)
        time.sleep(installation.chance.uniform(0, 0.4))

    def _change_surroundings(self) -> None:
        installation, chance = self._installation, self._installation.chance
        if chance.random() < 0.5:
            installation.release()
        if chance.random() < 0.3:
            installation.end_lie()
        if chance.random() < 0.6:
            installation.begin_lie(chance.choice(self._kinds))
        if chance.random() < 0.3:
            installation.break_store()
        if chance.random() < 0.4:
            installation.break_callback()
        if chance.random() < 0.6:
            self._pass_time(chance.choice((15.0, 15.0, 70.0, 70.0, 700.0)))

    def _pass_time(self, seconds: float) -> None:
        self._installation.disturb()  # Leases may end.
        self._installation.advance(seconds)
        self._installation.lied_for += seconds if self._installation.kinds else 0.0

    def _strike(self) -> None:
        """Kill, end or pause a worker."""
        installation, chance = self._installation, self._installation.chance
        victim = chance.randrange(len(self._running))
        child = self._running[victim]
        installation.record_kill()
        match chance.randrange(5):
            case 0:
                child.signal(signal.SIGTERM)
                self._ending.append(child)
            case 1:
                self._pause(child)
                return
            case _:
                child.kill()
        self._running[victim] = self._start()

    def _pause(self, child: Child) -> None:
        """Stop a worker until its leases have ended, and others may have its work."""
        installation = self._installation
        installation.pause(child)
        self._pass_time(15.0)
        self._work()
        installation.disturb()
        child.signal(signal.SIGCONT)

    def _come_back(self) -> None:
        """End all faults and lies, and poll until the receiver agrees with the store."""
        installation = self._installation
        installation.end_lie()
        installation.release()
        self._end_workers()
        installation.come_back()
        polls = 0
        while polls < ENOUGH_POLLS and (polls == 0 or not installation.agreed):
            installation.poll_once()
            polls += 1
        self._polls = max(self._polls, polls)
        events = installation.events
        installation.poll_once()
        if installation.agreed and installation.events > events:
            self._wrong.append("an event after the last change")
        self._judge_round()
        installation.forget()

    def _end_workers(self) -> None:
        for child in self._running:
            self._installation.record_kill()
            if self._installation.chance.random() < 0.5:
                child.signal(signal.SIGTERM)
                self._ending.append(child)
            else:
                child.kill()
        for child in self._ending:
            wait_until(lambda: not child.alive)  # noqa: B023
        self._running, self._ending = [], []

    def _judge_round(self) -> None:
        installation, found = self._installation, list[str]()
        for key in installation.fold.differing(installation.truth()):
            false = key in installation.fold.wrong
            (self._stays if false else self._lost).append(" ".join(key))
            found.append(f"{'stays false' if false else 'lost'}: {' '.join(key)}")
        if not installation.delivered:
            found.append("not everything is delivered")
            self._wrong.append(found[-1])
        errors = [one for one in installation.errors() if not one.endswith(": None")]
        self._wrong += errors
        if self._verbose:
            kinds = ", ".join(sorted(installation.kinds)) or "no lie"
            print(f"  {kinds}:", *(found or ["agrees"]), *errors, sep="\n    ", flush=True)

    def _result(self) -> KillResult:
        installation = self._installation
        fold, times = installation.fold, installation.received_at
        disturbances = sorted(
            [*installation.kills, *installation.disturbances, *installation.callback.lost_answers]
        )
        repeated, per_kill, _ = kills.repeats(times, disturbances)
        outcome = KillResult(
            kills=len(installation.kills),
            changes=installation.judge.verdict(installation.truth()).changes,
            events=installation.events,
            notifications=len(times),
            lost=self._lost,
            false=[*self._stays, *installation.forbidden, *fold.repeated],
            repeated=repeated,
            per_kill=per_kill,
            unexplained=len(installation.accepted_again),
        )
        outcome.lies, outcome.faults = installation.lies, installation.faults
        outcome.false_meanwhile = len(installation.false)
        outcome.order = [*installation.order, *fold.versions]
        outcome.polls = self._polls
        outcome.broken = [
            *self._wrong,
            *map(str, contradictions(installation.database, installation.database.clock)),
        ]
        if outcome.wrong:
            outcome.log = installation.log.read_text()[-6000:]
        return outcome
