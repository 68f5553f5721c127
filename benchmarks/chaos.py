"""Chaos: kills the processes of an installation, thousands of times, and counts what is lost.

``CHAOS_KILLS`` says how many kills at random moments, ``CHAOS_DATABASES`` on which databases.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import typing as t

from tests import servers

from .serving import free_port, wait_for
from .stand import Child, Stand, wait_until

#: Kills at random moments, in all.
KILLS = int(os.environ.get("CHAOS_KILLS", "1000"))
DATABASES = os.environ.get("CHAOS_DATABASES", "sqlite,postgresql").split(",")
#: Leases of a second, so that a thousand kills take minutes and not hours.
QUICK = {"LEASE_SECONDS": "1"}
#: What runs beside each other; every one of them is killed.
CREWS: dict[str, tuple[tuple[str, ...], ...]] = {
    "one worker": (("poll",),),
    "three workers": (("poll",), ("poll",), ("poll",)),
    "pollers and deliverers": (
        ("poll", "--no-deliver"),
        ("poll", "--no-deliver"),
        ("deliver",),
        ("deliver",),
    ),
}
POINTS = ("before commit", "after commit", "statement")


@dataclasses.dataclass
class Outcome:
    """What a series of kills came to."""

    kills: int = 0
    events: int = 0
    notifications: int = 0
    #: Deliveries beyond the first of a notification, and the most of one.
    repeated: int = 0
    most: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)
    #: The end of the processes' log, if something is wrong.
    log: str = ""

    def __str__(self) -> str:
        told = f"{self.events} events in {self.notifications} notifications"
        again = f"{self.repeated} sent again, at most {self.most} times each"
        return f"{self.kills} kills, {told}, {again}, {len(self.wrong)} lost or wrong"


def judged(stand: Stand, kills: int) -> Outcome:
    """Wait until all is told, and count."""
    verdict = stand.verdict()
    again = [count - 1 for count in stand.came.values()]
    wrong = [*verdict.lost, *verdict.false, *verdict.duplicate]
    outcome = Outcome(kills, verdict.arrived, len(again), sum(again), max(again, default=0), wrong)
    if wrong:
        outcome.log = "\n".join([*stand.errors(), stand.log.read_text()[-4000:]])
    return outcome


def at_random(stand: Stand, crew: cabc.Sequence[tuple[str, ...]], kills: int) -> Outcome:
    """Kill one of a crew at a random moment, and start another in its place, again and again."""
    running = [stand.nursery.start(*args) for args in crew]
    for _ in range(kills):
        for _ in range(stand.chance.randint(1, 4)):
            stand.act()
        stand.poll_now()
        time.sleep(stand.chance.uniform(0, 0.8))
        victim = stand.chance.randrange(len(crew))
        running[victim].kill()
        running[victim] = stand.nursery.start(*crew[victim])
    outcome = judged(stand, kills)
    _end(running)
    return outcome


def at_points(stand: Stand, point: str, first: int = 0, most: int = 60) -> Outcome:
    """Kill a worker at each commit or statement of its way in turn, from its start to the end."""
    kills = 0
    for number in range(first, first + most):
        for _ in range(3):
            stand.act()
        stand.poll_now()
        child = stand.nursery.start("poll", doom=(point, number))
        wait_until(lambda: not child.alive or stand.settled)  # noqa: B023
        if child.alive:
            child.kill()
            break
        kills += 1
    worker = stand.nursery.start("poll")
    outcome = judged(stand, kills)
    worker.kill()
    return outcome


def takeovers(stand: Stand, times: int) -> list[float]:
    """Kill a worker in the middle of a poll; how long until another has told the changes, s."""
    took: list[float] = []
    for _ in range(times):
        holder = stand.nursery.start("poll")
        stand.store.faults.add("delay", times=100_000, seconds=0.5)
        stand.act()
        stand.poll_now()
        wait_until(lambda: not stand.free)
        other = stand.nursery.start("poll")
        # A renewal comes every third of a lease; the kill comes anywhere between two of them.
        time.sleep(stand.chance.uniform(1.0, 2.0))
        holder.kill()
        began = time.monotonic()
        stand.store.faults.clear()
        wait_until(lambda: stand.settled)
        took.append(time.monotonic() - began)
        other.kill()
    return took


def delivery_takeovers(stand: Stand, times: int) -> list[float]:
    """Kill a worker while a callback has its request; how long until it comes again, s."""
    took: list[float] = []
    for _ in range(times):
        answer, asked = threading.Event(), threading.Event()

        def slow(_received: t.Any) -> int:
            asked.set()  # noqa: B023
            answer.wait(60)  # noqa: B023
            return 200

        holder = stand.nursery.start("poll")
        stand.receiver.answer = slow
        stand.act()
        stand.poll_now()
        asked.wait(60)
        other = stand.nursery.start("poll")
        time.sleep(stand.chance.uniform(1.0, 5.0))
        stand.receiver.answer = lambda _received: 200
        holder.kill()
        began = time.monotonic()
        wait_until(lambda: stand.settled)
        took.append(time.monotonic() - began)
        answer.set()
        other.kill()
    return took


class Intake:
    """gunicorn with the application, killed as well."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        environment: cabc.Mapping[str, str],
        app: str = "benchmarks.intake_apps:ours()",
    ) -> None:
        """Serve, with two processes of eight threads."""
        command = [
            sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}", "--workers", "2",
            "--threads", "8", "--log-level", "critical", app,
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, env={**os.environ, **environment}, start_new_session=True
        )
        wait_for(self.port, self._process)

    def kill_one(self, chance: cabc.Callable[[list[int]], int]) -> None:
        """Kill one of its workers; gunicorn starts another."""
        assert self._process is not None
        number = self._process.pid
        workers = pathlib.Path(f"/proc/{number}/task/{number}/children").read_text().split()
        if workers:
            Child(chance([int(one) for one in workers])).signal(signal.SIGKILL)

    def stop(self) -> None:
        """End it and all of its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def with_intake(stand: Stand, intake: Intake, kills: int) -> Outcome:
    """Kill the intake and the workers while the store sends webhooks."""
    stand.store.webhooks.auto = True
    crew: list[tuple[str, ...]] = [("poll",), ("poll",)]
    running = [stand.nursery.start(*args) for args in crew]
    wait_until(lambda: stand.hooked)
    for number in range(kills):
        for _ in range(stand.chance.randint(1, 4)):
            stand.act()
        if number % 8 == 0:
            stand.poll_now()
        time.sleep(stand.chance.uniform(0, 0.8))
        if number % 2:
            intake.kill_one(stand.chance.choice)
            continue
        victim = stand.chance.randrange(len(crew))
        running[victim].kill()
        running[victim] = stand.nursery.start(*crew[victim])
    outcome = judged(stand, kills)
    if not any(one.status == 200 for one in stand.store.webhooks.log):
        outcome.wrong.append("no webhook was taken")
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: not stand.arrivals, 20)
    if stand.arrivals:
        outcome.wrong.append(f"{stand.arrivals} webhooks were not looked after")
    _end(running)
    stand.store.webhooks.auto = False
    return outcome


def _end(running: cabc.Iterable[Child]) -> None:
    for child in running:
        child.kill()


def main() -> None:
    """Kill on each database, by each of the ways above."""
    wrong = killed = 0
    for name in DATABASES:
        for what, outcome in _series(name):
            print(f"chaos, {name}, {what}: {outcome}", flush=True)
            if isinstance(outcome, Outcome):
                killed += outcome.kills
                wrong += len(outcome.wrong)
                print(*outcome.wrong[:20], outcome.log, sep="\n", end="", flush=True)
    print(f"chaos: {killed} kills, {wrong} lost or wrong")
    sys.exit(1 if wrong else 0)


def _series(name: str) -> cabc.Iterator[tuple[str, Outcome | str]]:
    share = max(KILLS // (len(DATABASES) * (len(CREWS) + 1)), 1)
    for what, crew in CREWS.items():
        with stand_on(name, seed=share, settings=QUICK) as stand:
            yield what, at_random(stand, crew, share)
    port = free_port()
    intake = Intake(port)
    with stand_on(name, public=f"http://127.0.0.1:{port}", settings=QUICK) as stand:
        intake.start(stand.environment)
        try:
            yield "webhooks, intake and workers", with_intake(stand, intake, share)
        finally:
            intake.stop()
    for point in POINTS:
        with stand_on(name, settings=QUICK) as stand:
            yield f"each {point}", at_points(stand, point, most=60 if "commit" in point else 250)
    with stand_on(name) as stand:
        for what, took in (
            ("polls", takeovers(stand, 8)),
            ("deliveries", delivery_takeovers(stand, 8)),
        ):
            yield f"takeover of {what} at default settings", f"at most {max(took):.1f} s"


@contextlib.contextmanager
def stand_on(name: str, **options: t.Any) -> cabc.Iterator[Stand]:
    """An installation on a database of its own."""
    with tempfile.TemporaryDirectory(prefix="woo-chaos-", ignore_cleanup_errors=True) as path:
        folder = pathlib.Path(path)
        with contextlib.ExitStack() as stack:
            if name == "sqlite":
                url = f"sqlite:///{folder}/chaos.sqlite3"
            else:
                url = stack.enter_context(getattr(servers, name)(folder / name))
            yield stack.enter_context(Stand(url, folder, **options).running())
