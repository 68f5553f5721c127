"""Two or three sessions: in any order nothing is lost, repeated, blocked or left claimed."""

from __future__ import annotations

import itertools
import pathlib
import random

import pytest

from tests.conftest import BACKENDS
from tests.examples import examples
from tests.interleavings.known_faults import unknown
from tests.interleavings.opening import explorer
from tests.interleavings.operations import OPERATIONS, THREE

PAIRS = tuple(itertools.combinations_with_replacement(OPERATIONS, 2))
#: Pairs and threes of one test.
ON_SQLITE, ON_SERVERS = (48, 6), (20, 4)


@pytest.mark.parametrize("seed", range(2))
def test_pairs_on_sqlite(tmp_path: pathlib.Path, seed: int) -> None:
    """A seeded sample of schedules keeps every invariant; ``make interleavings`` plays all."""
    _play(f"sqlite:///{tmp_path}/woo.sqlite3", ON_SQLITE, seed)


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
                if fresh := unknown(played):
                    faults.append("\n".join([played.command, *fresh, played.describe()]))
    assert not faults, "\n\n".join(faults)
