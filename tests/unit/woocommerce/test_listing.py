"""The parameters with which a store is asked for everything."""

from __future__ import annotations

import datetime as dt
import typing as t

import pytest

from flask_woo_events.errors import InputError, StoreGarbledError, StoreRejectedError
from flask_woo_events.woocommerce import endpoints
from flask_woo_events.woocommerce.client import StoreClient, StoreResponse
from flask_woo_events.woocommerce.listing import (
    Filters,
    Listing,
    order_statuses,
    parse_version,
    read_filters,
)

LAST = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
NOW = LAST + dt.timedelta(minutes=15)


def _filters(query: str) -> Filters:
    return read_filters(f"/hubs/ecommerce/orders{query}", last_poll=LAST, now=NOW)


@pytest.mark.parity(11)
@pytest.mark.parametrize(
    ("query", "params", "feed"),
    [
        ("", {}, False),
        ("?status=completed", {"status": "completed"}, False),
        ("?status=", {"status": ""}, False),
        ("?status[]=completed&status[]=failed", {"status": "completed,failed"}, False),
        ("?where=status='on hold'", {"status": "on hold"}, False),
        ("?where=status%3D%27completed%27", {"status": "completed"}, False),
        ("?where=`status`='a' AND customer=7", {"status": "a", "customer": "7"}, False),
        ("?where=search='salt and pepper'", {"search": "salt and pepper"}, False),
        ("?where=created_date>'2016-04-28T21:58:25'", {"after": "2016-04-28T21:58:25"}, False),
        ("?where=after='2016-04-28T21:58:25'", {"after": "2016-04-28T21:58:25"}, False),
        ("?where=created_date>='${gmtDate}'", {"after": "2026-11-23T12:00:00"}, True),
        ("?after=${gmtDate:yyyy-MM-dd}", {"after": "2026-11-23"}, True),
        ("?before=${nowTimeZone:UTC:HH:mm}", {"before": "12:15"}, True),
        # The poller's own window replaces these, so that the listing is whole without them.
        ("?where=date_modified>='${gmtDate}'", {}, False),
        ("?where=modified_after>='${gmtDate}' and status='a'", {"status": "a"}, False),
        ("?status=a&where=date_modified_gmt>'${epoch}'", {"status": "a"}, False),
        # Pages and their order are the poller's own.
        ("?page=2&per_page=1&offset=5&order=asc&orderby=date&_fields=id&role=all",
         {"role": "all"}, False),
    ],
)  # fmt: skip
def test_parity_11_filters(query: str, params: dict[str, str], feed: bool) -> None:
    """The query of a url becomes parameters of the store."""
    assert _filters(query) == Filters(params, feed)


@pytest.mark.parity(11)
@pytest.mark.parametrize(
    "query",
    ["?where=", "?where=nonsense", "?where=total>5", "?where=a='1' or b='2'", "?where=a like 'x'"],
)
def test_parity_11_filters_that_a_store_does_not_have(query: str) -> None:
    """What the store cannot filter by is refused."""
    with pytest.raises(InputError) as caught:
        _filters(query)
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    ("text", "version"),
    [("11.0.1", (11, 0, 1)), ("9.9.0-rc.2", (9, 9, 0)), ("", ()), ("dev", ()), ("10", (10,))],
)
def test_parse_version(text: str, version: tuple[int, ...]) -> None:
    """A version is as many numbers as it has, at most three."""
    assert parse_version(text) == version


class Recorder:
    """A client that keeps what it is asked and answers with what it is given."""

    def __init__(self, data: object = ()) -> None:
        self.asked: list[tuple[str, dict[str, t.Any]]] = []
        self.data = data

    def get_list(self, path: str, params: dict[str, t.Any] | None = None) -> StoreResponse:
        """Answer a list."""
        return self.get(path, params)

    def get(self, path: str, params: dict[str, t.Any] | None = None) -> StoreResponse:
        """Answer anything."""
        self.asked.append((path, dict(params or {})))
        if isinstance(self.data, Exception):
            raise self.data
        return t.cast(StoreResponse, _Answer(self.data))


class _Answer:
    status = 200

    def __init__(self, data: object) -> None:
        self.data = data


def _listing(
    name: str, data: object = (), filters: dict[str, str] | None = None, **options: t.Any
) -> tuple[Listing, Recorder]:
    recorder = Recorder(data)
    collection = endpoints.resolve(f"/hubs/ecommerce/{name}")
    client = t.cast(StoreClient, recorder)
    return Listing(client, collection, Filters(filters or {}, False), **options), recorder


def _windows(name: str, **options: t.Any) -> list[dict[str, t.Any]]:
    listing, recorder = _listing(name, **options)
    for fetch in listing.windows(LAST):
        fetch(0, 100)
    return [params for _, params in recorder.asked]


@pytest.mark.parametrize("version", ["9.9.5", "9.9.0", "11.0.1", "10.0"])
def test_products_in_one_window(version: str) -> None:
    """From 9.9 on one listing has products of every status."""
    assert [one["include_status"] for one in _windows("products", version=version)] == ["any,trash"]


@pytest.mark.parametrize("version", ["", "5.9.0", "9.4.2", "9.8.9", "dev"])
def test_products_in_two_windows(version: str) -> None:
    """Before, and where the version is not known, the trash is listed by itself."""
    assert [one["status"] for one in _windows("products", version=version)] == ["any", "trash"]


def test_orders_by_their_statuses() -> None:
    """Where the statuses are known, one window has all of them and the trash."""
    windows = _windows("orders", statuses=["pending", "custom"])
    assert [one["status"] for one in windows] == ["pending,custom,trash"]
    assert [one["status"] for one in _windows("orders")] == ["any", "trash"]


def test_chosen_status_is_the_only_window() -> None:
    """A url that chooses a status is asked for nothing else."""
    windows = _windows("orders", filters={"status": "completed"}, statuses=["pending"])
    assert [one["status"] for one in windows] == ["completed"]


@pytest.mark.parity(30)
def test_window_asks_for_dates_in_utc() -> None:
    """The date goes out naive with ``dates_are_gmt``, and only light fields come back."""
    window = _windows("orders", statuses=["pending"])[0]
    assert window["modified_after"] == "2026-11-23T12:00:00"
    assert window["dates_are_gmt"] == "true"
    assert window["_fields"] == "id,date_modified_gmt,status"
    assert (window["orderby"], window["order"], window["per_page"]) == ("id", "asc", 100)


def test_offset_of_nothing_is_left_out() -> None:
    """The first page has no offset, as some hosts' firewalls refuse more than they need."""
    listing, recorder = _listing("customers")
    listing.page(0, 50)
    listing.page(50, 50)
    assert [params.get("offset") for _, params in recorder.asked] == [None, 50]


@pytest.mark.parametrize(
    ("name", "options", "status"),
    [
        ("orders", {"statuses": ["pending", "custom"]}, "pending,custom"),
        ("orders", {}, "any"),
        ("products", {}, "any"),
        ("customers", {}, None),
        ("orders", {"filters": {"status": "failed"}, "statuses": ["pending"]}, "failed"),
    ],
)
def test_live_objects(name: str, options: dict[str, t.Any], status: str | None) -> None:
    """Live objects are those outside of the trash, or of the status that was chosen."""
    listing, recorder = _listing(name, **options)
    for ask in (listing.page, listing.newest, listing.numbered):
        ask(1, 10)
    listing.by_ids([3, 5])
    assert [params.get("status") for _, params in recorder.asked] == [status] * 4
    assert recorder.asked[-1][1]["include"] == "3,5"


@pytest.mark.parametrize(
    ("name", "data", "filters", "live"),
    [
        ("orders", {"id": 7, "status": "pending"}, {}, True),
        ("orders", {"id": 7, "status": "trash"}, {}, False),
        ("discounts", {"id": 7}, {}, False),
        ("customers", {"id": 7, "role": "customer"}, {}, True),
        ("customers", {"id": 7, "role": "editor"}, {}, False),
        ("customers", {"id": 7, "role": "editor"}, {"role": "all"}, True),
        ("customers", {"id": 7, "role": "editor"}, {"role": "editor"}, True),
        ("taxes", {"id": 7}, {}, True),
        ("orders", StoreRejectedError("gone", status=404), {}, False),
        ("orders", StoreRejectedError("gone", status=410), {}, False),
    ],
)
def test_exists(name: str, data: object, filters: dict[str, str], live: bool) -> None:
    """An object is there when its own address says so and its list would show it."""
    listing, _ = _listing(name, data, filters)
    assert listing.exists(7) is live


@pytest.mark.parametrize("data", [[], {"id": 8}, StoreRejectedError("no", status=400)])
def test_exists_is_not_known(data: object) -> None:
    """Any other answer says nothing of the object."""
    listing, _ = _listing("orders", data)
    with pytest.raises((StoreGarbledError, StoreRejectedError)):
        listing.exists(7)


def test_order_statuses() -> None:
    """The store's own statuses come with those of its plugins."""
    recorder = Recorder([{"slug": "pending"}, {"slug": "custom"}])
    assert order_statuses(t.cast(StoreClient, recorder)) == ("pending", "custom")


@pytest.mark.parametrize("data", [[], [{}], [{"slug": 7}], [{"slug": ""}]])
def test_order_statuses_that_are_none(data: object) -> None:
    """A list of statuses that is none is an error, not a listing of nothing."""
    with pytest.raises(StoreGarbledError):
        order_statuses(t.cast(StoreClient, Recorder(data)))


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/hubs/ecommerce/orders", "orders"),
        ("/hubs/crap/orders/", "orders"),
        ("/orders?where=x", "orders"),
        ("/hubs/ecommerce/discounts", "coupons"),
        ("/hubs/ecommerce/coupons", "coupons"),
        ("/hubs/ecommerce/projects", "products"),
        ("/hubs/ecommerce/products/categories", "products/categories"),
        ("/hubs/ecommerce/products-categories", "products/categories"),
        ("/wp-json/wc/v3/orders/", "/wp-json/wc/v3/orders"),
    ],
)
def test_resolve(url: str, path: str) -> None:
    """Hub paths, bare paths and the store's own lead to a collection."""
    assert endpoints.resolve(url).path == path


@pytest.mark.parametrize("url", ["", "orders", "/", "/hubs", "/hubs/x", "/a b", "//evil.test/x"])
def test_resolve_nothing(url: str) -> None:
    """What leads to no collection is refused."""
    with pytest.raises(InputError):
        endpoints.resolve(url)
