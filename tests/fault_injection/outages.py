"""Outages: the database of an installation fails and recovers.

``python -m tests.fault_injection.outages`` runs them. ``CHAOS_OUTAGE`` sets their length in
seconds, ``CHAOS_CUTS`` the number of power cuts, and ``CHAOS_SERIES`` the outages (a regular
expression).
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

from tests import servers
from tests.ports import reserve_port
from tests.waiting import wait_until

from . import failing_databases, kills
from .crash_points import SYNCHRONOUS_NORMAL
from .failing_databases import FailingDatabase, Image
from .installation import Installation
from .kill_series import QUICK, SEED, SERIES
from .kills import WORKER, KillResult
from .server_processes import Intake

SECONDS = float(os.environ.get("CHAOS_OUTAGE", "60"))
CUTS = int(os.environ.get("CHAOS_CUTS", "40"))
#: Seconds between two changes of the store, and before and after an outage.
EVERY, CALM = 0.3, 3.0
#: Seconds that an outage takes to begin and to end; webhooks may be answered either way.
EDGE = 2.0
#: Seconds within which every change is delivered without help: the check whether stores reach the
#: intake makes polls due after five minutes at most.
RESUMED = 330.0

OpenDatabase = cabc.Callable[[pathlib.Path], contextlib.AbstractContextManager[FailingDatabase]]
OUTAGES: dict[str, OpenDatabase] = {
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
class OutageResult:
    """How an installation passed an outage."""

    outcome: KillResult
    #: Answers to webhooks during the outage.
    meanwhile: collections.Counter[int | None]
    #: Answers other than 200 before and after it.
    otherwise: collections.Counter[int | None]
    #: Seconds from the end of the outage until every change was delivered.
    resumed: float
    #: No worker has ended.
    alive: bool

    @property
    def wrong(self) -> list[str]:
        """What must not happen."""
        refused = [
            f"answered {status} while the database was available" for status in self.otherwise
        ]
        other = [f"answered {status}" for status in self.meanwhile.keys() - {200, 503}]
        dead = [] if self.alive else ["a worker has ended"]
        return [*self.outcome.wrong, *refused, *other, *dead]


def run_outage(
    installation: Installation, intake: Intake, database: FailingDatabase, seconds: float
) -> OutageResult:
    """Change the store before, during and after an outage, without help afterwards."""
    intake.start(installation.environment)
    workers = [installation.spawner.start_worker(*WORKER) for _ in range(2)]
    wait_until(lambda: installation.webhooks_ready)
    installation.store.webhooks.auto = True
    _go_on(installation, CALM)
    installation.engine.dispose()
    began = time.monotonic()
    database.begin()
    _go_on(installation, seconds)
    database.end()
    ended = time.monotonic()
    _go_on(installation, CALM + EDGE)
    installation.engine.dispose()
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: installation.complete and not installation.pending_webhooks, RESUMED)
    resumed = time.monotonic() - ended
    installation.store.webhooks.auto = False
    meanwhile, otherwise = collections.Counter[int | None](), collections.Counter[int | None]()
    for one in installation.webhook_log.entries:
        if began <= one.at <= ended:
            meanwhile[one.status] += 1
        elif one.status != 200 and not began - EDGE <= one.at <= ended + EDGE:
            otherwise[one.status] += 1
    lost = installation.unsent()
    if not installation.complete:
        lost.append(f"not every change was delivered within {RESUMED:.0f} s")
    alive = all(worker.alive for worker in workers)
    return OutageResult(kills.judge(installation, lost=lost), meanwhile, otherwise, resumed, alive)


def _go_on(installation: Installation, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        installation.change_store()
        time.sleep(EVERY)


def run(name: str, seconds: float) -> OutageResult:
    """Run one of the outages, with an installation of its own."""
    intake = Intake(reserve_port())
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="woo-outage-", ignore_cleanup_errors=True)
        )
        folder = pathlib.Path(path)
        database = stack.enter_context(OUTAGES[name](folder))
        public = f"http://127.0.0.1:{intake.port}"
        installation = Installation(database.url, folder, seed=SEED, public=public, settings=QUICK)
        stack.callback(intake.stop)
        stack.enter_context(installation.running())
        return run_outage(installation, intake, database, seconds)


def power_cuts(cuts: int, *, synchronous_normal: bool = False) -> KillResult:
    """Cut the power of the disk with the SQLite file while webhooks are received and processed.

    :param synchronous_normal: with ``synchronous`` at ``NORMAL``, which the package does not use.
    """
    intake = Intake(reserve_port())
    if synchronous_normal:
        os.environ[SYNCHRONOUS_NORMAL] = "1"
    with contextlib.ExitStack() as stack:
        stack.callback(os.environ.pop, SYNCHRONOUS_NORMAL, None)
        path = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="woo-power-", ignore_cleanup_errors=True)
        )
        folder = pathlib.Path(path)
        image = stack.enter_context(Image(folder))
        url = f"sqlite:///{image.path}/chaos.sqlite3"
        public = f"http://127.0.0.1:{intake.port}"
        installation = Installation(url, folder, seed=SEED, public=public, settings=QUICK)
        stack.callback(intake.stop)
        stack.enter_context(installation.running())
        return _cut(installation, intake, image, cuts)


def _cut(installation: Installation, intake: Intake, image: Image, cuts: int) -> KillResult:
    intake.start(installation.environment)
    workers = [installation.spawner.start_worker(*WORKER) for _ in range(2)]
    wait_until(lambda: installation.webhooks_ready)
    installation.store.webhooks.auto = True
    lost = list[str]()
    for _ in range(cuts):
        installation.hold_polls()
        for _ in range(installation.chance.randint(2, 6)):
            installation.change_store()
            time.sleep(installation.chance.uniform(0, 0.2))
        installation.record_kill()
        intake.stop()
        for worker in workers:
            worker.kill()
        # Before the installation closes its connections: closing the last one synchronises.
        image.cut()
        installation.engine.dispose()
        installation.database.dispose()
        image.restore()
        with contextlib.closing(sqlite3.connect(image.path / "chaos.sqlite3")) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchone()[0]
            lost += [] if found == "ok" else [f"the file is damaged: {found}"]
        intake.start(installation.environment)
        workers = [installation.spawner.start_worker(*WORKER) for _ in range(2)]
        lost += kills.end_round(installation)
    outcome = kills.judge_webhooks(installation, 0, lost)
    for worker in workers:
        worker.kill()
    return outcome


def main() -> None:
    """Run every outage, and cut the power."""
    wrong = 0
    for name in OUTAGES:
        if re.search(SERIES, name):
            try:
                result = run(name, SECONDS)
            except servers.UnavailableError as exc:
                print(f"{name}: left out, {exc}", flush=True)
                continue
            wrong += len(result.wrong)
            print(f"{name} for {SECONDS:.0f} s: {_summary(result)}", flush=True)
            print(*result.wrong[:20], result.outcome.log, sep="\n", end="", flush=True)
    for synchronous in ("FULL", "NORMAL"):
        name = f"SQLite, power cut, synchronous={synchronous}"
        if re.search(SERIES, name):
            one = power_cuts(CUTS, synchronous_normal=synchronous == "NORMAL")
            wrong += len(one.wrong) if synchronous == "FULL" else 0
            print(
                f"{name}: {one.kills} cuts, {one.changes} changes, {one.taken} of {one.webhooks} "
                f"webhooks accepted, {one.repeated} sent again, {len(one.wrong)} lost or wrong"
            )
            print(*one.wrong[:20], sep="\n", flush=True)
    sys.exit(1 if wrong else 0)


def _summary(result: OutageResult) -> str:
    outcome = result.outcome
    answered = ", ".join(f"{count} answered {status}" for status, count in sorted(
        result.meanwhile.items(), key=str))  # fmt: skip
    return (
        f"{outcome.changes} changes; webhooks meanwhile: {answered or 'none'}; "
        f"{len(outcome.lost)} lost, {len(outcome.false)} false, {outcome.repeated} sent again; "
        f"all delivered {result.resumed:.1f} s after its end"
    )


if __name__ == "__main__":
    main()
