"""Processes are killed in the middle of what they do; ``make chaos`` does it a thousand times."""

from __future__ import annotations

import pathlib

import pytest

from benchmarks.serving import free_port
from tests.conftest import BACKENDS
from tests.fault_injection import kill_series, kills
from tests.fault_injection.installation import Installation
from tests.fault_injection.kills import KillResult, Takeover
from tests.fault_injection.server_processes import Intake

pytestmark = pytest.mark.parametrize("any_url", BACKENDS[:2], indirect=True)


def _assert_sound(outcome: KillResult) -> None:
    assert outcome.wrong == [], outcome.log
    assert outcome.events


def test_workers_that_are_killed_lose_nothing(any_url: str, tmp_path: pathlib.Path) -> None:
    """Whoever is killed when, each change is told, and again only with the id it had."""
    with Installation(any_url, tmp_path, seed=7, settings=kill_series.QUICK).running() as stand:
        _assert_sound(kills.at_random(stand, kill_series.CREWS["pollers and deliverers"], 10))


@pytest.mark.parametrize("point", ["before commit", "after commit"])
def test_workers_that_are_killed_at_a_commit_lose_nothing(
    point: str, any_url: str, tmp_path: pathlib.Path
) -> None:
    """Each commit is the last thing that a process does, or the first that it does not."""
    with Installation(any_url, tmp_path, seed=8, settings=kill_series.QUICK).running() as stand:
        outcome = kills.at_points(stand, point, first=2, most=4)
        assert outcome.kills == 4
        _assert_sound(outcome)


def test_an_intake_that_is_killed_loses_nothing(any_url: str, tmp_path: pathlib.Path) -> None:
    """What was answered 200 is told without a poll, and what was not is polled."""
    port = free_port()
    intake = Intake(port)
    public = f"http://127.0.0.1:{port}"
    with Installation(
        any_url, tmp_path, seed=9, public=public, settings=kill_series.QUICK
    ).running() as stand:
        intake.start(stand.environment)
        try:
            _assert_sound(kills.with_intake(stand, intake, 8))
        finally:
            intake.stop()


def test_the_work_of_a_killed_worker_is_taken_over_within_ten_seconds(
    any_url: str, tmp_path: pathlib.Path
) -> None:
    """At default settings, from the kill until the other worker has told everything."""
    with Installation(any_url, tmp_path, seed=10).running() as stand:
        assert Takeover(stand, lambda: stand.nursery.start(*kills.WORKER)).of_both() < 10
