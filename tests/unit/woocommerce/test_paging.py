"""Paging: every row that is not deleted is returned once, in order, while others change."""

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
from tests.examples import examples

DATE = dt.datetime(2026, 11, 23, 21, 3, 50, tzinfo=dt.UTC)


def response(data: t.Any, total: int | None) -> StoreResponse:
    return StoreResponse(
        status=200, data=data, headers={}, date=DATE, total=total, pages=None, seconds=0, bytes=0
    )


@dataclasses.dataclass
class StubCollection:
    """A collection of a store.

    :param cap: largest page, whatever size is requested.
    :param hidden: ids that are counted but not returned, as those WooCommerce cannot load.
    :param counts: whether ``X-WP-Total`` is sent.
    :param before_request: called before each request, with its number.
    """

    ids: list[int]
    cap: int = 1000
    hidden: frozenset[int] = frozenset()
    counts: bool = True
    before_request: cabc.Callable[[int], None] = lambda number: None
    offsets: list[int] = dataclasses.field(default_factory=list)

    def fetch(self, offset: int, limit: int) -> StoreResponse:
        self.before_request(len(self.offsets))
        self.offsets.append(offset)
        self.ids.sort()
        slots = self.ids[offset : offset + min(limit, self.cap)]
        rows = [{"id": one} for one in slots if one not in self.hidden]
        return response(rows, len(self.ids) if self.counts else None)


def read_pages(stub: StubCollection, **options: t.Any) -> list[Page]:
    return list(walk(stub.fetch, **({"page_size": 4, "max_requests": 500} | options)))


def ids_of(pages: list[Page]) -> list[int]:
    return [row["id"] for page in pages for row in page.rows]


def test_empty_collection_is_one_empty_page() -> None:
    """An empty collection has one page with the store's date and total."""
    [page] = read_pages(StubCollection([]))
    assert page == Page([], 0, 0, DATE, last=True, first_id=None, last_id=None)


def test_short_collection_takes_one_request() -> None:
    """A collection that fits on a page is read with one request."""
    stub = StubCollection([3, 5])
    [page] = read_pages(stub)
    assert page == Page([{"id": 3}, {"id": 5}], 0, 2, DATE, last=True, first_id=3, last_id=5)
    assert stub.offsets == [0]


def test_pages_overlap_by_one_row() -> None:
    """Each request begins with the previous page's last row, which is not returned again."""
    stub = StubCollection(list(range(1, 10)))
    pages = read_pages(stub)
    assert stub.offsets == [0, 3, 6]
    assert [page.offset for page in pages] == [0, 4, 7]
    assert [(page.first_id, page.last_id) for page in pages] == [(1, 4), (5, 7), (8, 9)]
    assert [page.last for page in pages] == [False, False, True]


def test_pages_without_overlap() -> None:
    """Without overlap each row is requested once."""
    stub = StubCollection(list(range(1, 10)))
    assert ids_of(read_pages(stub, overlap=False)) == list(range(1, 10))
    assert stub.offsets == [0, 4, 8]


@pytest.mark.parametrize("overlap", [True, False])
def test_walk_continues_after_a_page(overlap: bool) -> None:
    """A walk can continue after a page with ``offset + len(rows)`` and ``last_id``."""
    stub = StubCollection(list(range(1, 20)))
    first = next(walk(stub.fetch, page_size=4, overlap=overlap, max_requests=9))
    rest = read_pages(stub, start_offset=first.offset + 4, after_id=first.last_id, overlap=overlap)
    assert ids_of(rest) == list(range(5, 20))


def test_walk_continues_after_deletions() -> None:
    """A walk that continues after rows were deleted goes back to the row that moved up."""
    stub = StubCollection(list(range(9, 20)))
    assert ids_of(read_pages(stub, start_offset=8, after_id=8)) == list(range(9, 20))


def test_deleted_rows_hide_no_others() -> None:
    """When rows before the current offset are deleted, the rows that moved up are read."""
    stub = StubCollection(list(range(1, 13)))
    stub.before_request = lambda number: stub.ids.__delitem__(slice(0, 3)) if number == 1 else None
    assert ids_of(read_pages(stub)) == list(range(1, 13))


def test_collection_that_becomes_empty() -> None:
    """An empty page where rows were read is an error, not the deletion of everything."""
    stub = StubCollection(list(range(1, 13)))
    stub.before_request = lambda number: stub.ids.clear() if number == 2 else None
    with pytest.raises(StoreGarbledError, match="nothing where rows were read"):
        read_pages(stub)


def test_inserted_rows_repeat_nothing() -> None:
    """When rows are inserted before the current offset, no row is returned twice."""
    stub = StubCollection(list(range(10, 20)))
    stub.before_request = lambda number: stub.ids.extend([1, 2, 3, 4, 5]) if number == 1 else None
    assert ids_of(read_pages(stub)) == list(range(10, 20))


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("cap", [2, 3, 4])
def test_capped_pages_are_not_the_end(cap: int, counts: bool) -> None:
    """When a plugin limits the page size, all rows are read."""
    stub = StubCollection(list(range(1, 24)), cap=cap, counts=counts)
    assert ids_of(read_pages(stub, page_size=10)) == list(range(1, 24))


def test_capped_pages_without_overlap() -> None:
    """When a plugin limits the page size, all rows are read without overlap, too."""
    stub = StubCollection(list(range(1, 24)), cap=3)
    assert ids_of(read_pages(stub, page_size=10, overlap=False)) == list(range(1, 24))


@pytest.mark.parametrize("hidden", [{2, 3}, {5}, {1}, {20}, {4, 8, 12, 16, 20}])
def test_hidden_rows_are_not_the_end(hidden: set[int]) -> None:
    """A short page is not taken for the last one, as WooCommerce can leave rows out."""
    stub = StubCollection(list(range(1, 21)), hidden=frozenset(hidden))
    assert ids_of(read_pages(stub)) == [one for one in range(1, 21) if one not in hidden]


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
    """Rows without integer ids, or not in ascending order, are refused."""
    with pytest.raises(StoreGarbledError):
        list(walk(lambda offset, limit: response(data, 1), max_requests=9))


@pytest.mark.parametrize("total", [4, 5, 1000, None])
def test_store_that_ignores_the_offset_is_garbled(total: int | None) -> None:
    """A store that repeats the same page is an error after a few requests."""
    offsets = []

    def fetch(offset: int, limit: int) -> StoreResponse:
        offsets.append(offset)
        return response([{"id": one} for one in range(1, 5)], total)

    with pytest.raises(StoreGarbledError, match="same rows"):
        list(walk(fetch, page_size=4, max_requests=1000))
    assert len(offsets) < 20


def test_capped_page_of_known_rows_is_not_the_end() -> None:
    """After going back, a short page with only known rows can be followed by new ones."""
    stub = StubCollection([2, 3, 4, 6, 7, 8], cap=4)
    changes = {1: [1, 2, 3, 4, 5, 6, 7, 8], 2: [2, 3, 4, 5, 6, 7, 8]}

    def change_rows(number: int) -> None:
        stub.ids = changes.get(number, stub.ids)

    stub.before_request = change_rows
    assert ids_of(read_pages(stub, page_size=5)) == [2, 3, 4, 6, 7, 8]


def test_endless_collection_is_garbled() -> None:
    """A walk ends with an error after ``max_requests``."""

    def fetch(offset: int, limit: int) -> StoreResponse:
        return response([{"id": offset + one} for one in range(1, limit + 1)], None)

    with pytest.raises(StoreGarbledError, match="in 7 requests"):
        list(walk(fetch, page_size=4, max_requests=7))


def test_page_of_one_row_cannot_overlap() -> None:
    """A page size of one raises ValueError, as each page would repeat the row before."""
    with pytest.raises(ValueError, match="two rows"):
        list(walk(StubCollection([]).fetch, page_size=1, max_requests=1))


Changes = list[tuple[list[int], list[int]]]


@settings(max_examples=examples(200), deadline=None)
@given(
    start=st.sets(st.integers(1, 200), max_size=60),
    changes=st.lists(
        st.tuples(
            st.lists(st.integers(1, 260), max_size=2), st.lists(st.integers(1, 260), max_size=12)
        ),
        max_size=25,
    ),
    page_size=st.integers(2, 9),
    cap=st.sampled_from([4, 6, 100]),
    counts=st.booleans(),
)
def test_every_unchanged_row_is_returned_once(
    start: set[int], changes: Changes, page_size: int, cap: int, counts: bool
) -> None:
    """While others are added and deleted, rows that exist throughout are returned once."""
    stub = StubCollection(list(start), cap=cap, counts=counts)
    unchanged, existed = set(start), set(start)

    def change_rows(number: int) -> None:
        nonlocal unchanged
        if 0 < number <= len(changes):
            added, removed = changes[number - 1]
            now = (set(stub.ids) | set(added)) - set(removed)
            unchanged &= now
            existed.update(now)
            stub.ids = list(now)

    stub.before_request = change_rows
    try:
        read = ids_of(read_pages(stub, page_size=page_size))
    except StoreGarbledError as exc:
        assert "nothing where rows were read" in str(exc)
        assert not unchanged
        return
    assert read == sorted(set(read))
    assert unchanged <= set(read) <= existed
