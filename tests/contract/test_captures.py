"""The simulated store behaves as five recorded stores did."""

from __future__ import annotations

import collections
import functools

import pytest

from tests.contract import replay
from tests.contract.comparison import Difference

#: Known differences of the simulated store: (file, step, call, place) -> reason.
KNOWN_DIFFERENCES: dict[tuple[str, str, str, str], str] = {}

CASES = [(file, step) for file in replay.FILES for step in replay.steps_of(file)]


@functools.cache
def differences(file: str) -> dict[str, list[Difference]]:
    """Return the differences in one recording, by step."""
    found: dict[str, list[Difference]] = collections.defaultdict(list)
    for each in replay.Replay(file).run():
        if (file, each.step, each.what, each.where) not in KNOWN_DIFFERENCES:
            found[each.step].append(each)
    return found


@pytest.mark.parametrize(("file", "step"), CASES)
def test_step_is_as_recorded(file: str, step: str) -> None:
    """Each response and each delivered webhook is as recorded."""
    assert differences(file)[step] == []


def test_every_kind_of_record_is_replayed() -> None:
    """All five recordings are replayed, with calls, deliveries and acts."""
    kinds = {(file, record["kind"]) for file in replay.FILES for record in replay.records_of(file)}
    assert len(kinds) == 15


def test_comparison_detects_another_version() -> None:
    """A recording differs from a neighboring version, so the comparison can fail."""
    file = next(file for file in replay.FILES if "8.0" in file)
    other = replay.Replay(file, version="7.0.0")
    steps = {each.step for each in other.run()}
    assert {"create products", "refund by REST", "register webhooks"} <= steps
