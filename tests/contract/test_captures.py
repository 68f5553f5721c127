"""The simulator does what was recorded of five real stores."""

from __future__ import annotations

import collections
import functools

import pytest

from tests.contract import replay

#: What the simulator does otherwise, and why: (file, step, call, place) -> reason.
KNOWN_DIFFERENCES: dict[tuple[str, str, str, str], str] = {}

CASES = [(file, step) for file in replay.FILES for step in replay.steps_of(file)]


@functools.cache
def differences(file: str) -> dict[str, list[replay.Difference]]:
    """What differs in one recording, by step."""
    found: dict[str, list[replay.Difference]] = collections.defaultdict(list)
    for each in replay.Replay(file).run():
        if (file, each.step, each.what, each.where) not in KNOWN_DIFFERENCES:
            found[each.step].append(each)
    return found


@pytest.mark.parametrize(("file", "step"), CASES)
def test_step_is_as_recorded(file: str, step: str) -> None:
    """Each call is answered, and each webhook delivered, as the real store did."""
    assert differences(file)[step] == []


def test_every_kind_of_record_is_there() -> None:
    """All five recordings are replayed, with calls, deliveries and acts."""
    kinds = {(file, record["kind"]) for file in replay.FILES for record in replay.records_of(file)}
    assert len(kinds) == 15


def test_comparison_notices_another_version() -> None:
    """A recording does not fit the neighbouring version, so the comparison is not blind."""
    file = next(file for file in replay.FILES if "8.0" in file)
    other = replay.Replay(file, version="7.0.0")
    steps = {each.step for each in other.run()}
    assert {"create products", "refund by REST", "register webhooks"} <= steps
