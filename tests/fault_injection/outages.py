"""Outages: the database goes away under a whole installation, and comes back.

``CHAOS_OUTAGE`` says for how many seconds, ``CHAOS_CUTS`` how often the power is cut, and
``CHAOS_SERIES`` which outages (a regular expression).
"""

from __future__ import annotations

import collections
import collections.abc as cabc
import contextlib
import dataclasses
import functools
import os
import pathlib
import re
import signal
import sqlite3
import sys
import tempfile
import time

from benchmarks.serving import free_port
from tests import servers

from . import failing_databases, kills
from .crash_points import TRUSTING
from .failing_databases import Image, Place
from .installation import Installation, wait_until
from .kill_series import QUICK, SEED, SERIES
from .kills import WORKER, KillResult
from .server_processes import Intake

SECONDS = float(os.environ.get("CHAOS_OUTAGE", "60"))
CUTS = int(os.environ.get("CHAOS_CUTS", "40"))
#: Seconds between two changes of the store; of calm before and after an outage.
EVERY, CALM = 0.3, 3.0
#: Seconds that an outage takes to begin and to end: what is answered then may be either.
EDGE = 2.0
#: Within so many seconds everything has been told, by itself: the watch has stores polled again
#: after five minutes at most.
RESUMED = 330.0

Places = cabc.Callable[[pathlib.Path], contextlib.AbstractContextManager[Place]]
OUTAGES: dict[str, Places] = {
    "SQLite, disk full": failing_databases.full_sqlite,
    "PostgreSQL, restarted": functools.partial(failing_databases.postgresql, how=signal.SIGINT),
    "PostgreSQL, crashed": functools.partial(failing_databases.postgresql, how=signal.SIGQUIT),
    "PostgreSQL, failed over": failing_databases.failing_over,
    "PostgreSQL, read-only": failing_databases.readonly_postgresql,
    "PostgreSQL, disk full": failing_databases.full_postgresql,
    "PostgreSQL, disk of its log full": functools.partial(
        failing_databases.full_postgresql, log_too=True
    ),
}


@dataclasses.dataclass
class Passed:
    """What an installation made of an outage."""

    outcome: KillResult
    #: What webhooks were answered while the database was away.
    meanwhile: collections.Counter[int | None]
    #: What else than 200 they were answered before and after.
    otherwise: collections.Counter[int | None]
    #: Seconds from the end of the outage until everything had been told.
    resumed: float
    #: Every worker is the one that was started.
    alive: bool

    @property
    def wrong(self) -> list[str]:
        """What must not be."""
        refused = [f"answered {status} while it was there" for status in self.otherwise]
        other = [f"answered {status}" for status in self.meanwhile.keys() - {200, 503}]
        dead = [] if self.alive else ["a worker has ended"]
        return [*self.outcome.wrong, *refused, *other, *dead]


def through(stand: Installation, intake: Intake, place: Place, seconds: float) -> Passed:
    """Let the store go on while the database is away; nobody helps afterwards."""
    intake.start(stand.environment)
    workers = [stand.nursery.start(*WORKER) for _ in range(2)]
    wait_until(lambda: stand.hooked, 180)
    stand.store.webhooks.auto = True
    _go_on(stand, CALM)
    stand.engine.dispose()
    began = time.monotonic()
    place.begin()
    _go_on(stand, seconds)
    place.end()
    ended = time.monotonic()
    _go_on(stand, CALM + EDGE)
    stand.engine.dispose()
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: stand.settled and not stand.arrivals, RESUMED)
    resumed = time.monotonic() - ended
    stand.store.webhooks.auto = False
    meanwhile, otherwise = collections.Counter[int | None](), collections.Counter[int | None]()
    for one in stand.said.all:
        if began <= one.at <= ended:
            meanwhile[one.status] += 1
        elif one.status != 200 and not began - EDGE <= one.at <= ended + EDGE:
            otherwise[one.status] += 1
    lost = stand.untold()
    if not stand.settled:
        lost.append(f"not everything was told within {RESUMED:.0f} s")
    alive = all(worker.alive for worker in workers)
    return Passed(kills.judged(stand, lost=lost), meanwhile, otherwise, resumed, alive)


def _go_on(stand: Installation, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stand.act()
        time.sleep(EVERY)


def run(name: str, seconds: float) -> Passed:
    """Go through one of the outages, with an installation of its own."""
    intake = Intake(free_port())
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="woo-outage-", ignore_cleanup_errors=True)
        )
        folder = pathlib.Path(path)
        place = stack.enter_context(OUTAGES[name](folder))
        public = f"http://127.0.0.1:{intake.port}"
        stand = Installation(place.url, folder, seed=SEED, public=public, settings=QUICK)
        stack.callback(intake.stop)
        stack.enter_context(stand.running())
        return through(stand, intake, place, seconds)


def power_cuts(cuts: int, *, trusting: bool = False) -> KillResult:
    """Cut the power of the disk with the SQLite file while webhooks come and are told.

    :param trusting: with ``synchronous`` at ``NORMAL``, which the package does not use.
    """
    intake = Intake(free_port())
    if trusting:
        os.environ[TRUSTING] = "1"
    with contextlib.ExitStack() as stack:
        stack.callback(os.environ.pop, TRUSTING, None)
        path = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="woo-power-", ignore_cleanup_errors=True)
        )
        folder = pathlib.Path(path)
        image = stack.enter_context(Image(folder))
        url = f"sqlite:///{image.path}/chaos.sqlite3"
        public = f"http://127.0.0.1:{intake.port}"
        stand = Installation(url, folder, seed=SEED, public=public, settings=QUICK)
        stack.callback(intake.stop)
        stack.enter_context(stand.running())
        return _cut(stand, intake, image, cuts)


def _cut(stand: Installation, intake: Intake, image: Image, cuts: int) -> KillResult:
    intake.start(stand.environment)
    workers = [stand.nursery.start(*WORKER) for _ in range(2)]
    wait_until(lambda: stand.hooked, 180)
    stand.store.webhooks.auto = True
    lost = list[str]()
    for _ in range(cuts):
        stand.hold_polls()
        for _ in range(stand.chance.randint(2, 6)):
            stand.act()
            time.sleep(stand.chance.uniform(0, 0.2))
        stand.struck()
        intake.stop()
        for worker in workers:
            worker.kill()
        # Before the stand closes its connections: the last one to do so synchronises.
        image.cut()
        stand.engine.dispose()
        stand.database.dispose()
        image.restore()
        with contextlib.closing(sqlite3.connect(image.path / "chaos.sqlite3")) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchone()[0]
            lost += [] if found == "ok" else [f"the file is damaged: {found}"]
        intake.start(stand.environment)
        workers = [stand.nursery.start(*WORKER) for _ in range(2)]
        lost += kills.end_round(stand)
    outcome = kills.judged_webhooks(stand, 0, lost)
    for worker in workers:
        worker.kill()
    return outcome


def main() -> None:
    """Go through every outage, and cut the power."""
    wrong = 0
    for name in OUTAGES:
        if re.search(SERIES, name):
            try:
                passed = run(name, SECONDS)
            except servers.Missing as exc:
                print(f"{name}: left out, {exc}", flush=True)
                continue
            wrong += len(passed.wrong)
            print(f"{name} for {SECONDS:.0f} s: {_told(passed)}", flush=True)
            print(*passed.wrong[:20], passed.outcome.log, sep="\n", end="", flush=True)
    for synchronous in ("FULL", "NORMAL"):
        name = f"SQLite, power cut, synchronous={synchronous}"
        if re.search(SERIES, name):
            one = power_cuts(CUTS, trusting=synchronous == "NORMAL")
            wrong += len(one.wrong) if synchronous == "FULL" else 0
            print(
                f"{name}: {one.kills} cuts, {one.changes} changes, {one.taken} of {one.webhooks} "
                f"webhooks taken, {one.repeated} sent again, {len(one.wrong)} lost or wrong"
            )
            print(*one.wrong[:20], sep="\n", flush=True)
    sys.exit(1 if wrong else 0)


def _told(passed: Passed) -> str:
    outcome, said = passed.outcome, passed.meanwhile
    answered = ", ".join(f"{count} answered {status}" for status, count in sorted(
        said.items(), key=str))  # fmt: skip
    return (
        f"{outcome.changes} changes; webhooks meanwhile: {answered or 'none'}; "
        f"{len(outcome.lost)} lost, {len(outcome.false)} false, {outcome.repeated} sent again; "
        f"all told {passed.resumed:.1f} s after its end"
    )
