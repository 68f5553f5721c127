"""Two sessions at a time: whatever their order, nothing is lost, repeated, blocked or left claimed."""

from __future__ import annotations

import collections.abc as cabc
import itertools
import pathlib
import random

import pytest

from tests.examples import examples
from tests.interleavings.known_faults import unknown
from tests.interleavings.opening import explorer
from tests.interleavings.operations import OPERATIONS

PAIRS = tuple(itertools.combinations_with_replacement(OPERATIONS, 2))
#: Pairs of one test on a server, where a schedule costs three times as much.
ON_SERVERS = 40
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_pairs_on_sqlite(tmp_path: pathlib.Path, part: int) -> None:
    """A seeded schedule of each pair keeps every invariant; ``make interleavings`` plays all."""
    _play(f"sqlite:///{tmp_path}/woo.sqlite3", PAIRS[part::PARTS], seed=part)


@pytest.mark.parametrize("any_url", ["postgresql", "mariadb"], indirect=True)
def test_pairs_on_servers(any_url: str) -> None:
    """The same holds where sessions wait for locks of rows."""
    _play(any_url, random.Random(7).sample(PAIRS, ON_SERVERS), seed=7)


def _play(url: str, pairs: cabc.Sequence[tuple[str, ...]], seed: int) -> None:
    chance, faults = random.Random(seed), []
    with explorer(url) as found:
        for pair in pairs:
            for played in found.sample(pair, examples(1), chance):
                if fresh := unknown(played):
                    faults.append("\n".join([played.command, *fresh, played.describe()]))
    assert not faults, "\n\n".join(faults)
