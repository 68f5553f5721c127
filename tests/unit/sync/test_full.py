"""Collections that are read whole: the order of their pages, and objects that no page shows."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import random
import typing as t

import pytest

from flask_woo_events.db.states import PollerState, Source
from flask_woo_events.errors import (
    StoreAccessError,
    StoreFailedError,
    StoreGarbledError,
    StoreRejectedError,
)
from flask_woo_events.instances.polled_resources import PollerConfiguration
from flask_woo_events.sync.cursor import Cursor, Stream
from flask_woo_events.sync.reading import full
from flask_woo_events.sync.reading.absence import MOST_ADDRESSES
from flask_woo_events.sync.reading.base import Batch, Followups, Reading
from flask_woo_events.woocommerce import endpoints
from flask_woo_events.woocommerce.client import StoreClient, StoreResponse
from flask_woo_events.woocommerce.listing import Listing, read_filters
from flask_woo_events.woocommerce.oddities import Oddities
from flask_woo_events.woocommerce.row_limit import RowLimit

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
PAGE = 10
PATH = "/wp-json/acme/v1/bookings"

Row = dict[str, t.Any]


@dataclasses.dataclass
class FakeStore:
    """A store with one collection, whose rows of equal dates come in another order each time.

    :param orders: how the list treats ``orderby=id``: ``obey``, ``ignore``, or an error.
    :param item: how an object's own address answers: ``yes``, ``no`` route, or an error.
    :param names: whether the list supports ``include``.
    :param counts: whether the list sends its total.
    """

    rows: dict[str, Row]
    orders: str | Exception = "obey"
    item: str | Exception = "yes"
    names: bool = True
    counts: bool = True
    #: Ids that no list shows.
    hidden: set[str] = dataclasses.field(default_factory=set)
    requests: list[tuple[str, dict[str, t.Any]]] = dataclasses.field(default_factory=list)
    row_limit: RowLimit = dataclasses.field(default_factory=RowLimit)
    oddities: Oddities = dataclasses.field(default_factory=Oddities)
    random: random.Random = dataclasses.field(default_factory=lambda: random.Random(7))

    def get(self, path: str, params: dict[str, t.Any] | None = None) -> StoreResponse:
        """Return an object by its own address."""
        self.requests.append((path, params or {}))
        if isinstance(self.item, Exception):
            raise self.item
        if self.item == "no":
            raise StoreRejectedError("no route", status=404, code="rest_no_route")
        row = self.rows.get(path.rpartition("/")[2])
        if row is None:
            raise StoreRejectedError("gone", status=404, code="rest_post_invalid_id")
        return _answer(row)

    def get_list(self, path: str, params: dict[str, t.Any], *, ids: bool = False) -> StoreResponse:
        """Return one page of the list."""
        self.requests.append((path, params))
        by_id = params.get("orderby") == "id"
        if by_id and isinstance(self.orders, Exception):
            raise self.orders
        rows = [row for one, row in self.rows.items() if one not in self.hidden]
        rows = [row for row in rows if row["status"] == params.get("status", row["status"])]
        rows = [row for row in rows if "search" not in params or params["search"] in row["name"]]
        if self.names and "include" in params:
            rows = [row for row in rows if str(row["id"]) in params["include"].split(",")]
        if by_id and self.orders == "obey":
            rows.sort(key=lambda row: row["id"])
        elif by_id and self.orders == "empty":
            rows = []
        else:
            rows.sort(key=lambda row: (row["date"], self.random.random()), reverse=True)
        size, number = int(params["per_page"]), int(params.get("page", 1))
        shown = rows[(number - 1) * size : number * size]
        return _answer(shown, len(rows) if self.counts else None, -(-len(rows) // size))

    @property
    def lists(self) -> list[dict[str, t.Any]]:
        """The parameters of the requested pages."""
        return [params for path, params in self.requests if path == PATH]

    @property
    def addresses(self) -> list[str]:
        """The ids that were requested by their own address."""
        return [path.rpartition("/")[2] for path, _ in self.requests if path != PATH]


def _answer(data: object, total: int | None = None, pages: int | None = None) -> StoreResponse:
    return StoreResponse(200, data, {}, NOW, total, pages, 0.0, 0)


@dataclasses.dataclass
class Env:
    """A poller of such a collection, with a ledger of its live ids."""

    store: FakeStore
    query: str = ""
    id_field: str = "id"
    live: dict[str, Row] = dataclasses.field(default_factory=dict)
    cursor: Cursor = dataclasses.field(default_factory=Cursor)
    now: dt.datetime = NOW
    revision: int = 0

    def live_ids(self) -> list[str]:
        """Return the ledger's live ids."""
        return list(self.live)

    def count_live(self) -> int:
        """Return their number."""
        return len(self.live)

    def poll(self) -> collections.Counter[str]:
        """Poll once; return the number of events of each kind."""
        self.now += dt.timedelta(minutes=15)
        self.store.requests.clear()
        url = PATH + self.query
        configuration = PollerConfiguration(resource="bookings", url=url, id_field=self.id_field)
        stream = Stream(
            poller_id=1, instance_id=1, resource="bookings", configuration=configuration
        )
        filters = read_filters(url, last_poll=self.now, now=self.now)
        client = t.cast(StoreClient, self.store)
        listing = Listing(client, endpoints.resolve(url), filters, page_size=PAGE)
        reading = Reading(
            stream=stream, listing=listing, ledger=t.cast("t.Any", self),
            clock=lambda: self.now, overlap=dt.timedelta(hours=2), compare_pages=1,
        )  # fmt: skip
        events: collections.Counter[str] = collections.Counter()
        for batch in self._batches(reading):
            self.cursor = batch.cursor
            for seen in batch.observed.observations if batch.observed else ():
                events[self._record(seen.object_id, seen.body)] += 1
            if batch.observed and batch.observed.source is Source.BASELINE:
                events.clear()
        del events["same"]
        return events

    def _batches(self, reading: Reading) -> cabc.Iterator[Batch]:
        followups = Followups()
        yield from full.read(reading, self.cursor, followups)
        yield from full.confirm(reading, self.cursor, sorted(followups.gone))

    def _record(self, object_id: str, body: cabc.Mapping[str, t.Any] | None) -> str:
        before = self.live.pop(object_id, None)
        if body is None:
            return "DELETED" if before is not None else "same"
        self.live[object_id] = dict(body)
        if before is None:
            return "CREATED"
        return "same" if before == body else "UPDATED"


def _rows(count: int, together: int) -> dict[str, Row]:
    """Return rows of which this many share each date."""
    rows = ({"id": number, "date": number // together, "status": "open", "name": f"b{number}"}
            for number in range(1, count + 1))  # fmt: skip
    return {str(row["id"]): row for row in rows}


def _env(count: int = 33, query: str = "", **how: t.Any) -> Env:
    env = Env(FakeStore(_rows(count, 7), **how), query)
    assert env.poll() == {}
    assert env.cursor.state is PollerState.ACTIVE
    assert len(env.live) == count
    return env


REFUSED = StoreRejectedError("no", status=400, code="rest_invalid_param")


@pytest.mark.parametrize("orders", ["obey", "ignore", REFUSED, StoreFailedError("no", status=500)])
def test_ties_are_no_changes(orders: str | Exception) -> None:
    """An unchanged collection sends nothing for a day, whatever order its list has."""
    env = _env(orders=orders)
    for _ in range(96):
        assert env.poll() == {}


def test_pages_by_id_are_read_once() -> None:
    """In the order of ids no object is missing, so no second read is necessary."""
    env = _env()
    for _ in range(10):
        env.poll()
        assert [one["page"] for one in env.store.lists] == [1, 2, 3, 4]
        assert {(one["orderby"], one["order"]) for one in env.store.lists} == {("id", "asc")}
        assert not env.store.addresses


@pytest.mark.parametrize("orders", ["ignore", REFUSED])
def test_the_order_of_the_url_is_the_second_choice(orders: str | Exception) -> None:
    """If a list has no order by id, the order that the url names is requested, for a day."""
    env = _env(orders=orders, query="?orderby=title&order=desc&kind=a")
    env.poll()
    assert {(one["orderby"], one["order"]) for one in env.store.lists} == {("title", "desc")}
    assert {one["kind"] for one in env.store.lists} == {"a"}
    env.store.orders, env.now = "obey", env.now + dt.timedelta(hours=24)
    for _ in range(2):
        env.poll()
        assert {one["orderby"] for one in env.store.lists} == {"id"}


def test_an_order_that_shows_nothing_is_not_used() -> None:
    """A list that is empty in the order of ids only is read in another order."""
    env = _env(orders="empty")
    assert len(env.live) == 33
    assert env.poll() == {}


def test_an_order_by_id_that_ends() -> None:
    """If the list no longer obeys the order, the same poll uses another one."""
    env = _env()
    env.store.orders = "ignore"
    assert env.poll() == {}
    env.store.orders = REFUSED
    assert env.poll() == {}


def test_other_errors_are_not_an_order() -> None:
    """A missing route or a refused key fails the poll with the first request.

    A server's error does so after three single rows were tried.
    """
    for error in (StoreRejectedError("no", status=404), StoreAccessError("no", status=403)):
        env = Env(FakeStore(_rows(3, 1), orders=error))
        with pytest.raises(type(error)):
            env.poll()
        assert len(env.store.requests) == 1
    env = _env()
    env.store.orders = StoreFailedError("no", status=500)
    with pytest.raises(StoreFailedError):
        env.poll()
    assert len(env.store.requests) == 4


@pytest.mark.parametrize("item", ["yes", "no", StoreAccessError("no", status=403)])
@pytest.mark.parametrize(("orders", "counts"), [("obey", True), ("obey", False), ("ignore", True)])
def test_deletions_are_sent(orders: str, counts: bool, item: str | Exception) -> None:
    """A deleted object sends one event, also without addresses of its own or an order by id."""
    env = _env(orders=orders, item=item, counts=counts)
    del env.store.rows["17"]
    assert env.poll() == {"DELETED": 1}
    assert env.poll() == {}
    env.store.rows.clear()
    while env.live and env.now < NOW + dt.timedelta(hours=2):
        env.cursor = dataclasses.replace(
            env.cursor, memory={**env.cursor.memory, "accept_missing": True}
        )
        env.poll()
    assert not env.live


def test_the_trash_is_gone() -> None:
    """An object in the trash has an address, and is deleted."""
    env = _env()
    env.store.rows["17"]["status"] = "trash"
    env.store.hidden.add("17")
    assert env.poll() == {"DELETED": 1}


def test_an_existing_object_is_not_deleted() -> None:
    """An object that no list shows and its own address shows sends nothing, until it is gone."""
    env = _env()
    env.store.hidden.add("17")
    for _ in range(3):
        assert env.poll() == {}
        assert "17" in env.store.addresses
    env.store.hidden.clear()
    assert env.poll() == {}
    env.store.hidden.add("17")
    assert env.poll() == {}
    del env.store.rows["17"]
    assert env.poll() == {"DELETED": 1}


def test_an_address_that_no_longer_answers_deletes_nothing() -> None:
    """An object that existed without being listed is not deleted because of its list alone."""
    env = _env()
    env.store.hidden.add("17")
    env.poll()
    env.store.item = StoreAccessError("no", status=403)
    assert env.poll() == {}
    del env.store.rows["18"]
    assert env.poll() == {"DELETED": 1}
    env.store.item = "yes"
    del env.store.rows["17"]
    assert env.poll() == {"DELETED": 1}


def test_a_known_exception_costs_one_list() -> None:
    """Objects that lists never show do not make each poll read the collection twice."""
    env = _env()
    env.store.hidden.add("17")
    env.poll()
    assert len(env.store.lists) == 8
    env.poll()
    assert len(env.store.lists) == 4


def test_many_exceptions_take_turns() -> None:
    """Of many unlisted objects some are requested in each poll, all within a few polls."""
    env = _env(100)
    env.store.hidden |= {str(number) for number in range(1, 16)}
    env.poll()
    env.store.hidden |= {str(number) for number in range(16, 31)}
    env.poll()
    asked: set[str] = set()
    for _ in range(2):
        assert env.poll() == {}
        assert len(env.store.addresses) <= MOST_ADDRESSES + 1
        asked |= set(env.store.addresses)
    assert env.store.hidden <= asked
    env.store.rows = {one: row for one, row in env.store.rows.items() if int(one) > 30}
    assert env.poll() + env.poll() == {"DELETED": 30}


def test_a_sample_of_many_deletions() -> None:
    """Of many missing objects a sample is requested, and all if one of the sample exists."""
    env = _env(600)
    env.store.rows = {one: row for one, row in env.store.rows.items() if int(one) > 100}
    assert env.poll() == {"DELETED": 100}
    assert len(env.store.addresses) == MOST_ADDRESSES + 1
    env = _env(600)
    env.store.hidden |= {str(number) for number in range(1, 101)}
    del env.store.rows["3"]
    assert env.poll() == {"DELETED": 1}
    assert set(env.store.addresses) >= env.store.hidden


@pytest.mark.parametrize(("query", "field"), [("?status=open", "status"), ("?search=b", "name")])
def test_an_object_that_leaves_the_filter(query: str, field: str) -> None:
    """An object that the url's filter excludes is deleted; a hidden one that it includes is not."""
    env = _env(query=query)
    env.store.rows["17"][field] = "x"
    assert env.poll() == {"DELETED": 1}
    env.store.rows["17"] |= {"status": "open", "name": "b17"}
    assert env.poll() == {"CREATED": 1}


@pytest.mark.parametrize("query", ["?status=open", "?search=b"])
def test_ties_with_a_filter(query: str) -> None:
    """Ties send nothing with a filter either, since missing objects are named to the list."""
    env = _env(query=query, orders="ignore")
    for _ in range(96):
        assert env.poll() == {}


def test_a_filter_without_names() -> None:
    """If the list cannot be asked for ids, a filter that no field shows deletes nothing."""
    env = _env(query="?search=b", orders="ignore", names=False)
    for _ in range(96):
        assert env.poll() == {}
    del env.store.rows["17"]
    assert env.poll() == {"DELETED": 1}


def test_ids_that_are_not_in_addresses() -> None:
    """With another ``idField`` no address is requested: it would be that of another object."""
    env = Env(FakeStore(_rows(33, 7)), id_field="name")
    env.poll()
    del env.store.rows["17"]
    assert env.poll() == {"DELETED": 1}
    assert not env.store.addresses


def test_an_address_of_another_object_fails() -> None:
    """If an address returns another object than the one requested, nothing is deleted."""
    env = _env()
    env.store.hidden.add("17")
    env.store.rows["17"]["id"] = 18
    with pytest.raises(StoreGarbledError):
        env.poll()
    assert "17" in env.live
