"""Presence: known objects that the store no longer lists, although its number is the same."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

import pytest

from flask_woo_events.errors import StoreAccessError, StoreRejectedError
from flask_woo_events.sync.cursor import Cursor
from flask_woo_events.sync.reading import presence
from flask_woo_events.sync.reading.base import Followups
from flask_woo_events.woocommerce import endpoints
from flask_woo_events.woocommerce.client import StoreResponse
from flask_woo_events.woocommerce.unreadable import Unreadable

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)


@dataclasses.dataclass
class Env:
    """A store's list and a ledger.

    :param counted: what the store answers instead of the number of its objects.
    """

    shown: set[int]
    held: list[int]
    counted: int | Exception | None = -1
    cursor: Cursor = dataclasses.field(default_factory=Cursor)
    now: dt.datetime = NOW
    requests: int = 0
    collection: endpoints.Collection = endpoints.named("customers")
    page_size: int = 100
    compare_pages: int = 1
    unreadable: Unreadable = dataclasses.field(default_factory=Unreadable)

    @property
    def listing(self) -> t.Self:
        return self

    @property
    def ledger(self) -> t.Self:
        return self

    def clock(self) -> dt.datetime:
        return self.now

    def count_live(self) -> int:
        return len(self.held)

    def next_numbers(self, after: int | None, most: int) -> list[int]:
        return [one for one in self.held if one > (after or 0)][:most]

    def count(self, ids: list[int]) -> int | None:
        self.requests += 1
        assert len(",".join(map(str, ids)).replace(",", "%2C")) <= presence.MAX_CHARACTERS
        if isinstance(self.counted, Exception):
            raise self.counted
        return len(self.shown & set(ids)) if self.counted == -1 else self.counted

    def by_ids(self, ids: list[int], _fields: str) -> StoreResponse:
        self.requests += 1
        assert len(ids) <= 100
        rows = [{"id": one} for one in ids if one in self.shown]
        return StoreResponse(200, rows, {}, self.now, None, None, 0.0, 0)

    def check(self, total: int | None = None) -> set[int]:
        """Check once; return the objects that seem to be missing."""
        followups = Followups(total=len(self.held) if total is None else total)
        self.now += dt.timedelta(minutes=15)
        self.cursor = presence.check(t.cast("t.Any", self), self.cursor, followups)
        return {int(one) for one in followups.gone}


@pytest.mark.parametrize("first", [1, 10_000, 8_000_000])
def test_every_object_is_checked(first: int) -> None:
    """All objects are checked in turn, in requests of a limited length, and then again."""
    ids = list(range(first, first + 3_000))
    for gone in (0, 1_700, 2_999):
        env = Env({*ids, 5} - {ids[gone]}, ids)
        found = [env.check() for _ in range(22)]
        assert set().union(*found) == {ids[gone]}
        assert sum(map(bool, found)) >= 2


def test_an_unchanged_store_costs_one_request() -> None:
    """If all objects are listed, each poll makes one request."""
    env = Env(set(range(1, 3_001)), list(range(1, 3_001)))
    for number in range(1, 10):
        assert env.check() == set()
        assert env.requests == number


@pytest.mark.parametrize(
    ("name", "count", "asked"),
    [
        ("customers", 2_401, 1),
        ("customers", 2_400, 0),
        ("products-reviews", 2_401, 1),
        ("products", 9_000, 0),
        ("products-tags", 9_000, 0),
    ],
)
def test_when_presence_is_checked(name: str, count: int, asked: int) -> None:
    """Only long lists are checked, and only those which objects join without a date."""
    ids = list(range(1, count + 1))
    env = Env(set(ids), ids, collection=endpoints.named(name))
    env.check()
    assert env.requests == asked


def test_another_number_needs_no_check() -> None:
    """If the number of all objects changed, the search finds the difference."""
    env = Env(set(range(2, 3_001)), list(range(1, 3_001)))
    assert env.check(total=2_999) == set()
    assert env.requests == 0


@pytest.mark.parametrize(
    "counted",
    [None, 9_000, StoreRejectedError("no", status=414), StoreAccessError("no", status=403)],
)
def test_a_store_that_cannot_count(counted: int | Exception | None) -> None:
    """A store that refuses or ignores the ids is asked again after a day."""
    env = Env(set(range(2, 3_001)), list(range(1, 3_001)), counted)
    for _ in range(10):
        assert env.check() == set()
    assert env.requests == 1
    env.counted, env.now = -1, env.now + dt.timedelta(hours=24)
    assert env.check() == {1}
