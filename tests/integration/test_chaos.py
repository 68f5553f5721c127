"""Processes that are killed during their work; ``make chaos`` kills a thousand."""

from __future__ import annotations

import pathlib

import pytest

from flask_woo_events.settings import Settings
from flask_woo_events.worker import worker
from tests.conftest import BACKENDS
from tests.fault_injection import kill_series, kills
from tests.fault_injection.hostile import HostileInstallation
from tests.fault_injection.hostile_kills import HostileKills
from tests.fault_injection.installation import Installation
from tests.fault_injection.kills import KillResult
from tests.fault_injection.server_processes import Intake
from tests.fault_injection.takeover import Takeover
from tests.ports import reserve_port
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
#: Each kind of kill on one database; ``make chaos`` has them on all.
on_sqlite, on_postgresql = (
    pytest.mark.parametrize("any_url", [one], indirect=True) for one in BACKENDS[:2]
)


def _assert_sound(outcome: KillResult) -> None:
    assert outcome.wrong == [], outcome.log
    assert outcome.events


@on_postgresql
def test_workers_that_are_killed_lose_nothing(any_url: str, tmp_path: pathlib.Path) -> None:
    """Each change is delivered, and repeated only with the same id."""
    with Installation(
        any_url, tmp_path, seed=7, settings=kill_series.QUICK
    ).running() as installation:
        _assert_sound(
            kills.at_random(installation, kill_series.COMMANDS["pollers and deliverers"], 10)
        )


@pytest.mark.parametrize(
    ("point", "any_url"),
    [
        pytest.param("before commit", "postgresql", marks=pytest.mark.postgresql),
        ("after commit", "sqlite"),
    ],
    indirect=["any_url"],
)
def test_workers_that_are_killed_at_a_commit_lose_nothing(
    point: str, any_url: str, tmp_path: pathlib.Path
) -> None:
    """A process is killed just before or after each of its commits."""
    with Installation(
        any_url, tmp_path, seed=8, settings=kill_series.QUICK
    ).running() as installation:
        outcome = kills.at_points(installation, point, first=2, most=4)
        assert outcome.kills == 4
        _assert_sound(outcome)


@on_postgresql
def test_an_intake_that_is_killed_loses_nothing(any_url: str, tmp_path: pathlib.Path) -> None:
    """Acknowledged webhooks are delivered without a poll, and a poll finds the other changes."""
    port = reserve_port()
    intake = Intake(port)
    public = f"http://127.0.0.1:{port}"
    with Installation(
        any_url, tmp_path, seed=9, public=public, settings=kill_series.QUICK
    ).running() as installation:
        intake.start(installation.environment)
        try:
            _assert_sound(kills.with_intake(installation, intake, 8))
        finally:
            intake.stop()


@on_sqlite
def test_the_work_of_a_killed_worker_is_taken_over(any_url: str, tmp_path: pathlib.Path) -> None:
    """With default settings another worker delivers everything; ``make chaos`` measures when.

    The lease and the pauses between two checks leave a quick machine ten seconds.
    """
    assert Settings().lease_seconds + 2 * worker.CHECK_EVERY < 10
    with Installation(any_url, tmp_path, seed=10).running() as installation:
        Takeover(installation, lambda: installation.spawner.start(*kills.WORKER)).of_both()
        wait_until(lambda: installation.complete)


@on_postgresql
def test_workers_that_are_killed_at_a_division_lose_nothing(
    any_url: str, tmp_path: pathlib.Path
) -> None:
    """Before and after the commits of results and divisions: each version comes, in order."""
    points = [("after commit", 1), ("before commit", 2), ("after commit", 2), ("after commit", 1)]
    with Installation(any_url, tmp_path, settings=kill_series.QUICK).running() as installation:
        accepted = kills.at_divisions(installation, points)
        assert len(installation.kills) == len(points)
    assert sum(accepted.values()) <= 18 + 9 * len(points)
    numbers = {number for number, _ in accepted}
    assert len(numbers) == 9
    for number in numbers:
        first, second = [version for one, version in accepted if one == number]
        assert second == first + 1


def test_lies_and_faults_around_killed_workers_lose_nothing(tmp_path: pathlib.Path) -> None:
    """After lies, outages and kills the receiver has the state of the store within few polls."""
    url = f"sqlite:///{tmp_path}/woo.sqlite3"
    with HostileInstallation(url, tmp_path, seed=11).running() as installation:
        outcome = HostileKills(installation).run(6)
    assert outcome.lies
    assert outcome.faults
    _assert_sound(outcome)
