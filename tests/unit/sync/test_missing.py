"""The bisecting search: what it finds, and what it costs."""

from __future__ import annotations

import dataclasses
import math
import random
import typing as t

import hypothesis
from hypothesis import strategies as st

from flask_woo_events.sync.cursor import ListPosition
from flask_woo_events.sync.reading.missing import MAX_SEARCH_REQUESTS, _Search
from tests.examples import examples

PAGE = 100


@dataclasses.dataclass
class FakeReading:
    """A store's listing and the ledger, as the search reads them."""

    shown: list[int]
    held: list[int]
    page_size: int = PAGE
    requests: int = 0

    @property
    def listing(self) -> t.Self:
        return self

    @property
    def ledger(self) -> t.Self:
        return self

    def ids(self, offset: int, limit: int) -> list[int]:
        self.requests += 1
        return self.shown[offset : offset + limit]

    def live_numbers(self) -> list[int]:
        return self.held


def _search(reading: FakeReading, edge: ListPosition | None = None) -> _Search:
    search = _Search(t.cast("t.Any", reading), len(reading.shown), edge)
    search.run()
    return search


_ids = st.sets(st.integers(1, 3000), max_size=600)


@hypothesis.settings(deadline=None, max_examples=examples(150))
@hypothesis.given(_ids, _ids, _ids, st.integers(2, 100))
def test_deletions_are_found(both: set[int], gone: set[int], new: set[int], size: int) -> None:
    """Without additions every deletion is found; with them, only differences are found."""
    gone, new = gone - both, new - both - gone
    reading = FakeReading(sorted(both), sorted(both | gone), size)
    search = _search(reading)
    if search.ended:
        assert search.found == gone
    mixed = _search(FakeReading(sorted(both | new), sorted(both | gone), size))
    assert mixed.found <= gone | new
    if mixed.ended and len(gone) != len(new):
        assert mixed.found


@hypothesis.settings(deadline=None, max_examples=examples(150))
@hypothesis.given(
    st.sets(st.integers(1, 3000), min_size=20, max_size=600),
    st.integers(1, 9),
    st.integers(1, 1000),
    st.randoms(use_true_random=False),
)
def test_balanced_changes_are_found(
    ids: set[int], changes: int, offset: int, chance: random.Random
) -> None:
    """A page that moved shows on which side to search, although the number is the same."""
    mixed = chance.sample(sorted(ids), len(ids))
    gone, new, both = set(mixed[:changes]), set(mixed[changes : 2 * changes]), mixed[2 * changes :]
    reading = FakeReading(sorted({*both, *new}), sorted({*both, *gone}), 5)
    assert _search(reading).found == set()
    offset %= len(reading.shown)
    edge = ListPosition(offset, reading.shown[offset] - 1)
    moved = sum(one <= reading.shown[offset] - 1 for one in reading.held) != offset
    found = _search(reading, edge).found
    assert found <= gone | new
    assert bool(found) == moved
    if changes == 1 and moved:
        assert found == gone | new


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(st.integers(1, 100_000))
def test_one_deletion_costs_a_logarithm(gone: int) -> None:
    """One deletion among 100,000 objects takes no more pages than bisecting needs."""
    ids = list(range(1, 100_001))
    reading = FakeReading([one for one in ids if one != gone], ids)
    search = _search(reading)
    assert search.found == {gone}
    assert reading.requests <= math.ceil(math.log2(1000)) + 2


@hypothesis.settings(deadline=None, max_examples=20)
@hypothesis.given(st.sets(st.integers(1, 20_000), min_size=100, max_size=5000))
def test_a_search_ends(gone: set[int]) -> None:
    """A search stays within its limit of requests and reports when it did not finish."""
    ids = list(range(1, 20_001))
    reading = FakeReading([one for one in ids if one not in gone], ids)
    search = _search(reading)
    assert reading.requests <= MAX_SEARCH_REQUESTS
    assert search.found <= gone
    assert not search.ended or search.found == gone
