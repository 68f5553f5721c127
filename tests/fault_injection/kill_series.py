"""Kill series: kill the processes of an installation, and count what is lost.

``python -m tests.fault_injection.kill_series`` runs them. ``CHAOS_KILLS`` sets the number of kills
at random moments, ``CHAOS_DATABASES`` the databases and ``CHAOS_SERIES`` the series (a regular
expression). ``CHAOS_RESULTS`` names a file that collects the outcomes of several runs.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import re
import sys
import tempfile
import time
import traceback
import typing as t

from tests import servers
from tests.ports import reserve_port

from . import hostile_kills, kills
from .hostile import HostileInstallation
from .installation import Installation
from .kills import WORKER, KillResult
from .server_processes import Broker, Intake, ServerProcesses
from .takeover import Takeover, broker_takeover

#: Kills at random moments, in all.
KILLS = int(os.environ.get("CHAOS_KILLS", "1000"))
DATABASES = os.environ.get("CHAOS_DATABASES", "sqlite,postgresql").split(",")
#: Those of the series in which the store lies; elsewhere the databases differ less.
HOSTILE_DATABASES = DATABASES if "CHAOS_DATABASES" in os.environ else [*DATABASES, "mariadb"]
SERIES = os.environ.get("CHAOS_SERIES", "")
RESULTS = os.environ.get("CHAOS_RESULTS", "")
#: Seed of the random numbers.
SEED = int(os.environ.get("CHAOS_SEED", "1"))
#: Leases of one second, so that a thousand kills take minutes.
QUICK = {"LEASE_SECONDS": "1"}
#: Commands that run at the same time; each of their processes is killed.
COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "one worker": (WORKER,),
    "three workers": (WORKER,) * 3,
    "pollers and deliverers": (
        ("poll", "--no-deliver"),
        ("poll", "--no-deliver"),
        ("deliver",),
        ("deliver",),
    ),
}
POINTS = ("before commit", "after commit", "statement")
BROKERS = ("redis", "rabbitmq")
HOSTILE = "two workers, the store lies, store and callback fail"

Series = dict[str, cabc.Callable[[str], KillResult]]


def series() -> Series:
    """Return all series by name; each is called with the name of a database."""
    share = max(KILLS // (8 * len(DATABASES)), 1)
    made: Series = {}
    for what, commands in COMMANDS.items():
        made[f"{what}, at random"] = _random(commands, share, QUICK)
    made["three workers, at random, default lease"] = _random(
        COMMANDS["three workers"], share // 2, {}
    )
    for point in POINTS:
        most = 60 if "commit" in point else 250
        made[f"one worker, each {point}"] = _points(point, most, ())
    made["one of three workers, each after commit"] = _points(POINTS[1], 40, (WORKER,) * 2)
    made["intake and workers, at random, webhooks"] = _intake(
        lambda installation, intake: kills.with_intake(installation, intake, 2 * share)
    )
    for point in POINTS[:2]:
        made[f"intake, each {point}, webhooks"] = _intake(
            functools.partial(kills.intake_at_points, point=point, kills=share)
        )
    for name in BROKERS:
        made[f"Celery, its beat, {name}, intake, at random"] = _celery(
            name,
            lambda installation, processes, broker: kills.with_celery(
                installation, processes, broker, Intake(_port(installation)), max(share // 2, 5)
            ),
            hooked=True,
        )
    made["Celery, each after commit"] = _celery(
        "redis",
        lambda installation, processes, _broker: kills.celery_at_points(
            installation, processes, POINTS[1], 30
        ),
    )
    made[HOSTILE] = functools.partial(_hostile, count=share)
    made["takeover at default settings"] = _takeovers
    made["takeover by Celery at default settings"] = _celery(
        "redis", _celery_takeovers, settings={}
    )
    return made


def _random(
    commands: cabc.Sequence[tuple[str, ...]], count: int, settings: cabc.Mapping[str, str]
) -> cabc.Callable[[str], KillResult]:
    def run(database: str) -> KillResult:
        with installation_on(database, settings=settings) as installation:
            return kills.at_random(installation, commands, max(count, 1))

    return run


def _hostile(database: str, count: int) -> KillResult:
    settings = hostile_kills.SHORT_TIMEOUTS
    with _database(database) as (url, folder):
        with HostileInstallation(url, folder, seed=SEED, settings=settings).running() as hostile:
            return hostile_kills.HostileKills(hostile, verbose=True).run(count)


def _points(
    point: str, most: int, others: cabc.Sequence[tuple[str, ...]]
) -> cabc.Callable[[str], KillResult]:
    def run(database: str) -> KillResult:
        with installation_on(database, settings=QUICK) as installation:
            return kills.at_points(installation, point, most=most, others=others)

    return run


def _intake(
    do: cabc.Callable[[Installation, Intake], KillResult],
) -> cabc.Callable[[str], KillResult]:
    def run(database: str) -> KillResult:
        intake = Intake(reserve_port())
        public = f"http://127.0.0.1:{intake.port}"
        with installation_on(database, public=public, settings=QUICK) as installation:
            intake.start(installation.environment)
            try:
                return do(installation, intake)
            finally:
                intake.stop()

    return run


def _celery(
    name: str,
    do: cabc.Callable[[Installation, ServerProcesses, Broker], KillResult],
    *,
    hooked: bool = False,
    settings: cabc.Mapping[str, str] = QUICK,
) -> cabc.Callable[[str], KillResult]:
    def run(database: str) -> KillResult:
        public = f"http://127.0.0.1:{reserve_port()}" if hooked else None
        with (
            installation_on(database, public=public, settings=settings) as installation,
            _broker(name) as broker,
        ):
            processes = ServerProcesses(installation.environment, broker, installation.folder)
            try:
                return do(installation, processes, broker)
            finally:
                processes.end()

    return run


def _port(installation: Installation) -> int:
    return int(str(installation.public).rpartition(":")[2])


@contextlib.contextmanager
def _broker(name: str) -> cabc.Iterator[Broker]:
    with tempfile.TemporaryDirectory(prefix="woo-broker-", ignore_cleanup_errors=True) as folder:
        path = pathlib.Path(folder) / name
        broker: Broker = servers.Redis() if name == "redis" else servers.Rabbitmq(path)
        broker.start()
        try:
            yield broker
        finally:
            broker.kill()


def _takeovers(database: str) -> KillResult:
    """Measure takeovers of polls, webhooks, deliveries, and checks of registered webhooks."""
    intake = Intake(reserve_port())
    public = f"http://127.0.0.1:{intake.port}"
    with installation_on(database, public=public) as installation:
        intake.start(installation.environment)
        try:
            takeover = Takeover(installation, lambda: installation.spawner.start(*WORKER))
            took = {
                "webhook checks": takeover.of_webhook_checks(4),
                "polls": takeover.of_requests(installation.poll_now, 6),
                "deliveries": takeover.of_deliveries(6),
                "webhooks": takeover.of_requests(installation.webhook_log.flush, 6),
            }
            return _with(kills.judge(installation), took)
        finally:
            intake.stop()


def _celery_takeovers(
    installation: Installation, processes: ServerProcesses, broker: Broker
) -> KillResult:
    processes.beat()
    takeover = Takeover(installation, processes.worker, ready=4.0)
    took = {
        "polls": takeover.of_requests(installation.poll_now, 4),
        "deliveries": takeover.of_deliveries(4),
    }
    processes.worker()
    back = broker_takeover(installation, broker)
    print(f"  after the broker is back: {back:.1f} s", flush=True)
    return _with(kills.judge(installation), took)


def _with(outcome: KillResult, took: cabc.Mapping[str, float]) -> KillResult:
    print(*(f"  {what}: {seconds:.1f} s" for what, seconds in took.items()), sep="\n", flush=True)
    outcome.takeover = max(took.values())
    return outcome


@contextlib.contextmanager
def installation_on(name: str, **options: t.Any) -> cabc.Iterator[Installation]:
    """Run an installation on a database of its own."""
    with _database(name) as (url, folder):
        with Installation(url, folder, seed=SEED, **options).running() as installation:
            yield installation


@contextlib.contextmanager
def _database(name: str) -> cabc.Iterator[tuple[str, pathlib.Path]]:
    """Yield the URL of an empty database, and a folder."""
    with tempfile.TemporaryDirectory(prefix="woo-chaos-", ignore_cleanup_errors=True) as path:
        folder = pathlib.Path(path)
        with contextlib.ExitStack() as stack:
            if name == "sqlite":
                url = f"sqlite:///{folder}/chaos.sqlite3"
            else:
                url = stack.enter_context(getattr(servers, name)(folder / name))
            yield url, folder


def table(rows: cabc.Sequence[tuple[str, str, KillResult]]) -> str:
    """Return a Markdown table of the outcomes, added up by series."""
    lines = [
        "| Database | Series | Kills | Lies | Other faults | Changes | Events | Lost | False | "
        "False during a lie | Out of order | Sent again | Most of one id after one kill | "
        "Longest takeover |",
        "| :--- | :--- " + "| ---: " * 12 + "|",
    ]
    for (database, what), one in _summed(rows).items():
        took = f"{one.takeover:.1f} s" if one.takeover is not None else ""
        cells = (
            one.kills, one.lies, one.faults, one.changes, one.events, len(one.lost), len(one.false),
            one.false_meanwhile, len(one.order), one.repeated, one.per_kill,
        )  # fmt: skip
        lines.append(f"| {database} | {what} | {' | '.join(map(str, cells))} | {took} |")
    return "\n".join(lines)


def _summed(rows: cabc.Sequence[tuple[str, str, KillResult]]) -> dict[tuple[str, str], KillResult]:
    summed: dict[tuple[str, str], KillResult] = {}
    total = KillResult()
    for database, what, one in rows:
        for into in (summed.setdefault((database, what), KillResult()), total):
            for field in dataclasses.fields(KillResult):
                had, more = getattr(into, field.name), getattr(one, field.name)
                if field.name in ("per_kill", "polls", "takeover"):
                    both = [value for value in (had, more) if value is not None]
                    setattr(into, field.name, max(both, default=None))
                else:
                    setattr(into, field.name, had + more)
    return {**summed, ("all", ""): total}


def _kept() -> list[tuple[str, str, KillResult]]:
    path = pathlib.Path(RESULTS)
    if not RESULTS or not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(database, what, KillResult(**one)) for database, what, one in lines]


def main() -> None:
    """Run every series on each database, and print the table."""
    rows, wrong = _kept(), 0
    for database in HOSTILE_DATABASES:
        for what, run in series().items():
            if not re.search(SERIES, what) or (database not in DATABASES and what != HOSTILE):
                continue
            began = time.monotonic()
            try:
                outcome = run(database)
            except servers.UnavailableError as exc:
                print(f"{database}, {what}: left out, {exc}", flush=True)
                continue
            except Exception:
                # The machine was too slow, or the test is broken: this proves nothing.
                traceback.print_exc()
                wrong += 1
                continue
            rows.append((database, what, outcome))
            seconds = time.monotonic() - began
            print(f"{database}, {what}: {_summary(outcome)}, {seconds:.0f} s", flush=True)
            print(*outcome.wrong[:20], outcome.log, sep="\n", end="", flush=True)
            wrong += len(outcome.wrong)
            if RESULTS:
                with pathlib.Path(RESULTS).open("a") as file:
                    file.write(json.dumps([database, what, dataclasses.asdict(outcome)]) + "\n")
    print(table(rows))
    sys.exit(1 if wrong else 0)


def _summary(one: KillResult) -> str:
    lies = (
        f"{one.lies} lies, {one.faults} other faults, {one.false_meanwhile} false meanwhile, "
        f"corrected within {one.polls} polls, "
    ) * bool(one.lies)
    webhooks = f"{one.taken} of {one.webhooks} webhooks accepted, " if one.webhooks else ""
    return (
        f"{one.kills} kills ({one.working} during work), {one.changes} changes, {lies}{webhooks}"
        f"{one.events} events in {one.notifications} notifications, {one.repeated} sent again, "
        f"{len(one.wrong)} wrong"
    )


if __name__ == "__main__":
    main()
