"""Paging: every row that stays is given once, in order, whatever moves around it."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_woo_events.errors import StoreGarbledError
from flask_woo_events.woocommerce.client import StoreResponse
from flask_woo_events.woocommerce.paging import Page, walk

DATE = dt.datetime(2026, 11, 23, 21, 3, 50, tzinfo=dt.UTC)


def answer(data: t.Any, total: int | None) -> StoreResponse:
    return StoreResponse(
        status=200, data=data, headers={}, date=DATE, total=total, pages=None, seconds=0, bytes=0
    )


@dataclasses.dataclass
class Shelf:
    """A collection at a store.

    :param cap: rows a page at most, whatever is asked for.
    :param hidden: ids that count and are not shown, as those that WooCommerce cannot load.
    :param counts: whether ``X-WP-Total`` is sent.
    :param before: run before each request, with its number.
    """

    ids: list[int]
    cap: int = 1000
    hidden: frozenset[int] = frozenset()
    counts: bool = True
    before: cabc.Callable[[int], None] = lambda number: None
    asked: list[int] = dataclasses.field(default_factory=list)

    def fetch(self, offset: int, limit: int) -> StoreResponse:
        self.before(len(self.asked))
        self.asked.append(offset)
        self.ids.sort()
        slots = self.ids[offset : offset + min(limit, self.cap)]
        rows = [{"id": one} for one in slots if one not in self.hidden]
        return answer(rows, len(self.ids) if self.counts else None)


def read(shelf: Shelf, **options: t.Any) -> list[Page]:
    return list(walk(shelf.fetch, **({"page_size": 4, "max_requests": 500} | options)))


def given_ids(pages: list[Page]) -> list[int]:
    return [row["id"] for page in pages for row in page.rows]


def test_empty_collection_is_one_empty_last_page() -> None:
    """A store without a row still gives its clock and its total."""
    [page] = read(Shelf([]))
    assert page == Page([], 0, 0, DATE, last=True, first_id=None, last_id=None)


def test_short_collection_costs_one_request() -> None:
    """What fits on a page is read with it alone."""
    shelf = Shelf([3, 5])
    [page] = read(shelf)
    assert page == Page([{"id": 3}, {"id": 5}], 0, 2, DATE, last=True, first_id=3, last_id=5)
    assert shelf.asked == [0]


def test_pages_overlap_by_one_row() -> None:
    """Each request begins with the last row of the page before, which is not given again."""
    shelf = Shelf(list(range(1, 10)))
    pages = read(shelf)
    assert shelf.asked == [0, 3, 6]
    assert [page.offset for page in pages] == [0, 4, 7]
    assert [(page.first_id, page.last_id) for page in pages] == [(1, 4), (5, 7), (8, 9)]
    assert [page.last for page in pages] == [False, False, True]


def test_without_overlap_pages_touch() -> None:
    """A rolling reading asks for each row once."""
    shelf = Shelf(list(range(1, 10)))
    assert given_ids(read(shelf, overlap=False)) == list(range(1, 10))
    assert shelf.asked == [0, 4, 8]


@pytest.mark.parametrize("overlap", [True, False])
def test_reading_goes_on_where_a_page_ended(overlap: bool) -> None:
    """``offset + len(rows)`` and ``last_id`` of a page are where another walk takes over."""
    shelf = Shelf(list(range(1, 20)))
    first = next(walk(shelf.fetch, page_size=4, overlap=overlap, max_requests=9))
    rest = read(shelf, start_offset=first.offset + 4, after_id=first.last_id, overlap=overlap)
    assert given_ids(rest) == list(range(5, 20))


def test_going_on_after_rows_vanished() -> None:
    """A walk that takes over late looks back when the ground has moved."""
    shelf = Shelf(list(range(9, 20)))
    assert given_ids(read(shelf, start_offset=8, after_id=8)) == list(range(9, 20))


def test_vanished_rows_hide_nothing() -> None:
    """When rows before the place read are deleted, those that moved up are read all the same."""
    shelf = Shelf(list(range(1, 13)))
    shelf.before = lambda number: shelf.ids.__delitem__(slice(0, 3)) if number == 1 else None
    assert given_ids(read(shelf)) == list(range(1, 13))


def test_collection_that_vanishes_whole() -> None:
    """An empty list where rows were read is rather a lie than a deletion of everything."""
    shelf = Shelf(list(range(1, 13)))
    shelf.before = lambda number: shelf.ids.clear() if number == 2 else None
    with pytest.raises(StoreGarbledError, match="nothing where rows were read"):
        read(shelf)


def test_inserted_rows_repeat_nothing() -> None:
    """When rows come in before the place read, those pushed back are not given again."""
    shelf = Shelf(list(range(10, 20)))
    shelf.before = lambda number: shelf.ids.extend([1, 2, 3, 4, 5]) if number == 1 else None
    assert given_ids(read(shelf)) == list(range(10, 20))


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("cap", [2, 3, 4])
def test_capped_pages_are_not_the_end(cap: int, counts: bool) -> None:
    """A plugin that limits the page size does not hide rows."""
    shelf = Shelf(list(range(1, 24)), cap=cap, counts=counts)
    assert given_ids(read(shelf, page_size=10)) == list(range(1, 24))


def test_capped_pages_without_overlap() -> None:
    """The same when pages only touch."""
    shelf = Shelf(list(range(1, 24)), cap=3)
    assert given_ids(read(shelf, page_size=10, overlap=False)) == list(range(1, 24))


@pytest.mark.parametrize("hidden", [{2, 3}, {5}, {1}, {20}, {4, 8, 12, 16, 20}])
def test_hidden_rows_are_not_the_end(hidden: set[int]) -> None:
    """A page may be short in the midst of a collection: WooCommerce leaves rows out of it."""
    shelf = Shelf(list(range(1, 21)), hidden=frozenset(hidden))
    assert given_ids(read(shelf)) == [one for one in range(1, 21) if one not in hidden]


@pytest.mark.parametrize(
    "data",
    [
        [{"id": 2}, {"id": 1}],
        [{"id": 1}, {"id": 1}],
        [{"id": "1"}],
        [{"id": True}],
        [{"id": 0}],
        [{"id": None}],
        [{}],
        ["x"],
        {"id": 1},
        None,
    ],
)
def test_rows_that_are_not_in_order_are_garbled(data: t.Any) -> None:
    """Rows without ids or out of order are refused."""
    with pytest.raises(StoreGarbledError):
        list(walk(lambda offset, limit: answer(data, 1), max_requests=9))


@pytest.mark.parametrize("total", [4, 5, 1000, None])
def test_store_that_ignores_the_offset_is_garbled(total: int | None) -> None:
    """The same full page again and again is an error, after a few requests."""
    asked = []

    def fetch(offset: int, limit: int) -> StoreResponse:
        asked.append(offset)
        return answer([{"id": one} for one in range(1, 5)], total)

    with pytest.raises(StoreGarbledError, match="same rows"):
        list(walk(fetch, page_size=4, max_requests=1000))
    assert len(asked) < 20


def test_capped_page_of_known_rows_is_not_the_end() -> None:
    """After going back, a short page without anything new may stand before more rows."""
    shelf = Shelf([2, 3, 4, 6, 7, 8], cap=4)
    changes = {1: [1, 2, 3, 4, 5, 6, 7, 8], 2: [2, 3, 4, 5, 6, 7, 8]}

    def move(number: int) -> None:
        shelf.ids = changes.get(number, shelf.ids)

    shelf.before = move
    assert given_ids(read(shelf, page_size=5)) == [2, 3, 4, 6, 7, 8]


def test_endless_collection_is_garbled() -> None:
    """Requests are counted."""

    def fetch(offset: int, limit: int) -> StoreResponse:
        return answer([{"id": offset + one} for one in range(1, limit + 1)], None)

    with pytest.raises(StoreGarbledError, match="in 7 requests"):
        list(walk(fetch, page_size=4, max_requests=7))


def test_page_of_one_row_cannot_overlap() -> None:
    """Such a page size is a mistake of the caller."""
    with pytest.raises(ValueError, match="two rows"):
        list(walk(Shelf([]).fetch, page_size=1, max_requests=1))


Moves = list[tuple[list[int], list[int]]]


@settings(max_examples=400, deadline=None)
@given(
    start=st.sets(st.integers(1, 200), max_size=60),
    moves=st.lists(
        st.tuples(
            st.lists(st.integers(1, 260), max_size=2), st.lists(st.integers(1, 260), max_size=12)
        ),
        max_size=25,
    ),
    page_size=st.integers(2, 9),
    cap=st.sampled_from([4, 6, 100]),
    counts=st.booleans(),
)
def test_every_row_that_stays_is_given_once(
    start: set[int], moves: Moves, page_size: int, cap: int, counts: bool
) -> None:
    """Rows come and go before each request; those there all the time are given once, in order."""
    shelf = Shelf(list(start), cap=cap, counts=counts)
    stayed, ever = set(start), set(start)

    def move(number: int) -> None:
        nonlocal stayed
        if 0 < number <= len(moves):
            added, removed = moves[number - 1]
            now = (set(shelf.ids) | set(added)) - set(removed)
            stayed &= now
            ever.update(now)
            shelf.ids = list(now)

    shelf.before = move
    try:
        seen = given_ids(read(shelf, page_size=page_size))
    except StoreGarbledError as exc:
        assert "nothing where rows were read" in str(exc)
        assert not stayed
        return
    assert seen == sorted(set(seen))
    assert stayed <= set(seen) <= ever
