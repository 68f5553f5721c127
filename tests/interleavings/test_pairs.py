"""Two or three sessions: in any order nothing is lost, repeated, blocked or left claimed."""

from __future__ import annotations

import itertools
import pathlib
import random

import pytest

from tests.conftest import BACKENDS
from tests.examples import examples
from tests.interleavings.opening import explorer
from tests.interleavings.operations import OPERATIONS, THREE
from tests.interleavings.scheduler import parse

PAIRS = tuple(itertools.combinations_with_replacement(OPERATIONS, 2))
#: Pairs and threes of one test.
ON_SQLITE, ON_SERVERS = (24, 4), (8, 2)

#: Schedules that showed a fault, which was mended.
FOUND = (
    ("poll pause", ["A2 B A"]),
    ("settle pause", ["A2 B A"]),
    ("poll poll-now", ["A12 B A"]),
    ("add guard", ["A1 B8 A B"]),
    ("poll delete", ["A3 B A", "A41 B A"]),
    ("settle delete", ["A4 B A", "A10 B A"]),
    ("delete guard", ["B3 A B"]),
    ("delete delete", ["A2 B A", "B3 A B"]),
    ("delete rotate-secret", ["A B"]),
)


def test_pairs_on_sqlite(tmp_path: pathlib.Path) -> None:
    """A seeded sample of schedules keeps every invariant; ``make interleavings`` plays all."""
    _play(f"sqlite:///{tmp_path}/woo.sqlite3", ON_SQLITE, seed=0)


def test_schedules_that_showed_faults(tmp_path: pathlib.Path) -> None:
    """What was lost, blocked or raised by these schedules once is not any more."""
    with explorer(f"sqlite:///{tmp_path}/woo.sqlite3") as found:
        for operations, schedules in FOUND:
            for schedule in schedules:
                assert not found.play(operations.split(), parse(schedule)).faults


@pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)
def test_pairs_on_servers(any_url: str) -> None:
    """The same holds where sessions wait for locks of rows."""
    _play(any_url, ON_SERVERS, seed=7)


def _play(url: str, counts: tuple[int, int], seed: int) -> None:
    chance, faults = random.Random(seed), []
    chosen = (*chance.sample(PAIRS, counts[0]), *chance.sample(THREE, counts[1]))
    with explorer(url) as found:
        for operations in chosen:
            for played in found.sample(operations, examples(1), chance):
                if played.faults:
                    faults.append("\n".join([played.command, *played.faults, played.describe()]))
    assert not faults, "\n\n".join(faults)
