"""The rolling comparison: all of a resource is compared within the configured time."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import math
import typing as t

import hypothesis
import pytest
from hypothesis import strategies as st

from flask_woo_events.instances.polled_resources import PollerConfiguration
from flask_woo_events.sync.cursor import Cursor, ListPosition, Stream
from flask_woo_events.sync.ledger.lookup import Known
from flask_woo_events.sync.reading import children, comparison
from flask_woo_events.sync.reading.base import Followups, Reading
from flask_woo_events.woocommerce import endpoints
from flask_woo_events.woocommerce.client import StoreResponse
from flask_woo_events.woocommerce.unreadable import Unreadable
from tests.examples import examples

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)


@dataclasses.dataclass
class FakeStore:
    """A listing and a ledger of the ids from 1 to ``count``.

    :param capped: the most rows that the store returns, whatever was requested.
    :param counts: whether the store sends its number of rows.
    """

    collection: endpoints.Collection
    count: int
    page_size: int
    capped: int = 100
    counts: bool = True
    revision: int = 0
    unreadable: Unreadable = dataclasses.field(default_factory=Unreadable)
    #: Ids that this poll read by page, or the parents whose children it read.
    read: set[int] = dataclasses.field(default_factory=set)

    def page(self, offset: int, limit: int) -> StoreResponse:
        """Return rows by ascending id."""
        rows = range(offset, min(offset + min(limit, self.capped), self.count))
        self.read |= {one + 1 for one in rows}
        data = [{"id": one + 1, "refunds": [{"id": 1}]} for one in rows]
        return self._answer(data)

    def is_placed(self, _row: cabc.Mapping[str, t.Any]) -> bool:
        """Return whether a row counts for itself, as all do."""
        return True

    def newest(self, offset: int, limit: int) -> StoreResponse:
        """Return rows by descending id; they are not part of the rolling comparison."""
        rows = range(self.count - offset, max(self.count - offset - limit, 0), -1)
        return self._answer([{"id": one} for one in rows])

    def brief(self, offset: int, limit: int, _fields: str) -> StoreResponse:
        """Return parents by ascending id."""
        return self.page(offset, limit)

    def numbered(self, _page: int, _limit: int) -> StoreResponse:
        """Return the notes of one order: none."""
        return self._answer([])

    def below(self, _parent: int) -> FakeStore:
        """Return the listing of one parent's children: none."""
        return FakeStore(self.collection, 0, self.page_size)

    def _answer(self, rows: list[dict[str, t.Any]]) -> StoreResponse:
        total = self.count if self.counts else None
        return StoreResponse(200, rows, {}, NOW, total, None, 0.0, 0)

    def count_live(self) -> int:
        """Return the number of live objects in the ledger."""
        return self.count

    def live_numbers(self, after: int | None, until: int | None) -> list[int]:
        """Return the ids in ``(after, until]``."""
        return list(range((after or 0) + 1, (until or self.count) + 1))

    def children(self, _parents: t.Any) -> dict[int, int]:
        """Return the children in the ledger: none."""
        return {}

    def children_between(self, _after: int | None, _until: int | None) -> dict[int, int]:
        """Return the children in the ledger: none."""
        return {}

    def known(self, object_ids: list[str]) -> dict[str, Known]:
        """Return what the ledger holds: every object."""
        return dict.fromkeys(object_ids, Known(True, b"", None, NOW))


def _polls(store: FakeStore, polls: int) -> t.Iterator[set[int]]:
    """Yield what each of these polls, and those of the next such time, reads."""
    url = f"/hubs/ecommerce/{store.collection.hub_name}"
    configuration = PollerConfiguration(resource="mine", url=url)
    stream = Stream(poller_id=1, instance_id=1, resource="mine", configuration=configuration)
    by_parent = store.collection.below is not None
    cursor = Cursor(baseline=ListPosition(store.count, store.count))
    for _ in range(2 * polls):
        reading = Reading(
            stream=stream, listing=t.cast("t.Any", store), ledger=t.cast("t.Any", store),
            parents=t.cast("t.Any", store), by_parent=by_parent, clock=lambda: NOW,
            overlap=dt.timedelta(hours=2), compare_pages=1, compare_polls=polls,
        )  # fmt: skip
        store.read = set()
        if by_parent:
            batches = children._Nested(reading, Followups()).compare(cursor)
        else:
            batches = comparison.compare(reading, cursor, Followups())
        for batch in batches:
            cursor = batch.cursor
        yield store.read


def _longest(store: FakeStore, polls: int) -> int:
    """Return the most polls between two reads of one object, or before its first."""
    seen = dict.fromkeys(range(1, store.count + 1), -1)
    longest = 0
    for number, read in enumerate(_polls(store, polls)):
        for one in read:
            longest = max(longest, number - seen[one])
            seen[one] = number
    return max([longest, *(2 * polls - 1 - number for number in seen.values())])


@pytest.mark.parametrize("count", [9_600, 9_601, 14_300, 24_000])
def test_a_day_compares_everything(count: int) -> None:
    """A page more than a whole number of pages per poll takes no second day."""
    polls = comparison.polls_within(24, dt.timedelta(minutes=15))
    assert polls == 96
    assert _longest(FakeStore(endpoints.named("customers"), count, 100), polls) <= polls


@pytest.mark.parametrize(("count", "pages"), [(9_600, 96), (10_000, 100), (14_300, 143)])
def test_no_page_more_than_needed(count: int, pages: int) -> None:
    """The pages are spread over the polls, so that no page is read twice in that time."""
    store = FakeStore(endpoints.named("customers"), count, 100)
    read = [len(one) // 100 for one in _polls(store, 96)]
    assert sum(read) == 2 * pages
    assert max(read) - min(read) <= 1


@hypothesis.settings(deadline=None, max_examples=examples(60))
@hypothesis.given(
    st.sampled_from(["customers", "refunds", "orders-comments"]),
    st.integers(1, 2500),
    st.integers(2, 100),
    st.integers(2, 100),
    st.booleans(),
    st.integers(1, 48),
    st.integers(5, 24 * 60),
)
def test_everything_is_compared_in_time(
    name: str, count: int, size: int, capped: int, counts: bool, hours: int, minutes: int
) -> None:
    """No object waits longer than the configured time, whatever the store allows per page."""
    interval = dt.timedelta(minutes=minutes)
    polls = comparison.polls_within(hours, interval)
    hypothesis.assume(polls * math.ceil(count / min(size, capped)) < 4_000)
    store = FakeStore(endpoints.named(name), count, size, capped, counts)
    assert _longest(store, polls) * interval <= max(dt.timedelta(hours=hours), interval)


@pytest.mark.parametrize("polls", [2, 4, 96])
@pytest.mark.parametrize("name", ["customers", "refunds"])
def test_a_listing_that_ended_earlier_starts_again(name: str, polls: int) -> None:
    """After the last page on a page's border, the next poll begins with the first page."""
    store = FakeStore(endpoints.named(name), 40, 10, counts=False)
    assert all(_polls(store, polls))
