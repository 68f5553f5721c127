"""The parameters of requests that read all objects of a collection."""

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
from flask_woo_events.woocommerce.oddities import Oddities
from flask_woo_events.woocommerce.row_limit import RowLimit

LAST = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
NOW = LAST + dt.timedelta(minutes=15)


def _filters(query: str) -> Filters:
    return read_filters(f"/hubs/ecommerce/orders{query}", last_poll=LAST, now=NOW)


@pytest.mark.parity(11)
@pytest.mark.parametrize(
    ("query", "params", "is_feed"),
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
        # The poller's own window replaces these conditions.
        ("?where=date_modified>='${gmtDate}'", {}, False),
        ("?where=modified_after>='${gmtDate}' and status='a'", {"status": "a"}, False),
        ("?status=a&where=date_modified_gmt>'${epoch}'", {"status": "a"}, False),
        # The poller sets pages.
        ("?page=2&per_page=1&offset=5&_fields=id&role=all", {"role": "all"}, False),
    ],
)  # fmt: skip
def test_parity_11_filters(query: str, params: dict[str, str], is_feed: bool) -> None:
    """The query of a poller's url is converted to parameters of the store."""
    assert _filters(query) == Filters(params, is_feed)


@pytest.mark.parity(11)
def test_parity_11_the_order_of_the_url() -> None:
    """The order of a url is no filter; only collections without an order by id use it."""
    filters = _filters("?order=asc&orderby=date&role=all")
    assert filters == Filters({"role": "all"}, False, {"orderby": "date", "order": "asc"})
    by_id = {"orderby": "id", "order": "asc"}
    client = t.cast(StoreClient, RecordingClient())
    known = Listing(client, endpoints.resolve("/hubs/ecommerce/orders"), filters)
    custom = Listing(client, endpoints.resolve("/wp-json/acme/v1/bookings"), filters)
    assert known.orders == [by_id, {}]
    assert custom.orders == [by_id, {"orderby": "date", "order": "asc"}, {}]


@pytest.mark.parity(11)
@pytest.mark.parametrize(
    "query",
    ["?where=", "?where=nonsense", "?where=total>5", "?where=a='1' or b='2'", "?where=a like 'x'"],
)
def test_parity_11_unsupported_filters(query: str) -> None:
    """A filter that the store does not support is refused."""
    with pytest.raises(InputError) as caught:
        _filters(query)
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    ("text", "version"),
    [("11.0.1", (11, 0, 1)), ("9.9.0-rc.2", (9, 9, 0)), ("", ()), ("dev", ()), ("10", (10,))],
)
def test_parse_version(text: str, version: tuple[int, ...]) -> None:
    """A version is a tuple of its first three numbers, or of fewer."""
    assert parse_version(text) == version


class RecordingClient:
    """A client that records its requests and returns the given data."""

    def __init__(self, data: object = ()) -> None:
        self.requests: list[tuple[str, dict[str, t.Any]]] = []
        self.data = data
        self.row_limit = RowLimit()
        self.oddities = Oddities()

    def get_list(
        self, path: str, params: dict[str, t.Any] | None = None, *, ids: bool = False
    ) -> StoreResponse:
        """Return the data, as a list."""
        return self.get(path, params)

    def get(self, path: str, params: dict[str, t.Any] | None = None) -> StoreResponse:
        """Return the data, or raise it if it is an exception."""
        self.requests.append((path, dict(params or {})))
        if isinstance(self.data, Exception):
            raise self.data
        return StoreResponse(200, self.data, {}, None, None, None, 0.0, 0)


def _listing(
    name: str, data: object = (), filters: dict[str, str] | None = None, **options: t.Any
) -> tuple[Listing, RecordingClient]:
    client = RecordingClient(data)
    collection = endpoints.resolve(f"/hubs/ecommerce/{name}")
    store_client = t.cast(StoreClient, client)
    return Listing(store_client, collection, Filters(filters or {}, False), **options), client


def _windows(name: str, **options: t.Any) -> list[dict[str, t.Any]]:
    listing, client = _listing(name, **options)
    for fetch in listing.windows(LAST):
        fetch(0, 100)
    return [params for _, params in client.requests]


@pytest.mark.parametrize("version", ["9.9.5", "9.9.0", "11.0.1", "10.0"])
def test_products_in_one_window(version: str) -> None:
    """Since WooCommerce 9.9 one window lists products of every status."""
    assert [one["include_status"] for one in _windows("products", version=version)] == ["any,trash"]


@pytest.mark.parametrize("version", ["", "5.9.0", "9.4.2", "9.8.9", "dev"])
def test_products_in_two_windows(version: str) -> None:
    """Before 9.9, or with an unknown version, the trash has its own window."""
    assert [one["status"] for one in _windows("products", version=version)] == ["any", "trash"]


def test_orders_by_their_statuses() -> None:
    """With known statuses one window lists all of them and the trash."""
    windows = _windows("orders", statuses=["pending", "custom"])
    assert [one["status"] for one in windows] == ["pending,custom,trash"]
    assert [one["status"] for one in _windows("orders")] == ["any", "trash"]


def test_chosen_status_is_the_only_window() -> None:
    """A url that selects a status is read in one window, with that status."""
    windows = _windows("orders", filters={"status": "completed"}, statuses=["pending"])
    assert [one["status"] for one in windows] == ["completed"]


@pytest.mark.parity(30)
def test_window_asks_for_dates_in_utc() -> None:
    """A window sends naive UTC with ``dates_are_gmt``, and reads only a few fields."""
    window = _windows("orders", statuses=["pending"])[0]
    assert window["modified_after"] == "2026-11-23T12:00:00"
    assert window["dates_are_gmt"] == "true"
    assert window["_fields"] == "id,date_modified_gmt,status"
    assert (window["orderby"], window["order"], window["per_page"]) == ("id", "asc", 100)


def test_zero_offset_is_left_out() -> None:
    """The first page has no offset, as some firewalls refuse unusual parameters."""
    listing, client = _listing("customers")
    listing.page(0, 50)
    listing.page(50, 50)
    assert [params.get("offset") for _, params in client.requests] == [None, 50]


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
    """Live objects are those outside of the trash, or those with the selected status."""
    listing, client = _listing(name, **options)
    for read_page in (listing.page, listing.newest, listing.numbered):
        read_page(1, 10)
    listing.by_ids([3, 5])
    assert [params.get("status") for _, params in client.requests] == [status] * 4
    assert client.requests[-1][1]["include"] == "3,5"


@pytest.mark.parametrize(
    ("name", "body", "filters", "excluded"),
    [
        ("orders", {"status": "pending"}, {}, False),
        ("orders", {"status": "trash"}, {}, True),
        ("orders", {"status": "pending"}, {"status": "completed"}, False),
        ("products", {"status": "publish", "type": "variation"}, {}, True),
        ("discounts", {}, {}, True),
        ("customers", {"role": "customer"}, {}, False),
        ("customers", {"role": ""}, {}, True),
        ("customers", {"role": "editor"}, {}, True),
        ("customers", {"role": "editor"}, {"role": "all"}, False),
        ("customers", {"role": "editor"}, {"role": "editor"}, False),
        ("products-reviews", {"status": "spam"}, {}, True),
        ("taxes", {}, {}, False),
    ],
)
def test_excludes(
    name: str, body: dict[str, t.Any], filters: dict[str, str], excluded: bool
) -> None:
    """An object that the store has counts as deleted if its collection does not include it."""
    listing, _ = _listing(name, body, filters)
    assert listing.excludes(body) is excluded


@pytest.mark.parametrize("status", [404, 410])
def test_no_object(status: int) -> None:
    """WooCommerce names the reason with a code of its own."""
    code = "woocommerce_rest_shop_order_invalid_id"
    listing, _ = _listing("orders", StoreRejectedError("gone", status=status, code=code))
    assert listing.one(7) is None


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"id": 8},
        StoreRejectedError("no", status=400),
        StoreRejectedError("a page of the web server", status=404),
        StoreRejectedError("WooCommerce is off", status=404, code="rest_no_route"),
    ],
)
def test_existence_is_unknown(data: object) -> None:
    """Any other response raises an error, as the object may still exist."""
    listing, _ = _listing("orders", data)
    with pytest.raises((StoreGarbledError, StoreRejectedError)):
        listing.one(7)


def test_order_statuses() -> None:
    """The statuses include those that plugins add."""
    client = RecordingClient([{"slug": "pending"}, {"slug": "custom"}])
    assert order_statuses(t.cast(StoreClient, client)) == ("pending", "custom")


@pytest.mark.parametrize("data", [[], [{}], [{"slug": 7}], [{"slug": ""}]])
def test_invalid_order_statuses(data: object) -> None:
    """An empty or invalid list of statuses is an error, as no order would be listed."""
    with pytest.raises(StoreGarbledError):
        order_statuses(t.cast(StoreClient, RecordingClient(data)))


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
    """Paths of the hub, short paths and the store's own paths name a collection."""
    assert endpoints.resolve(url).path == path


@pytest.mark.parametrize("url", ["", "orders", "/", "/hubs", "/hubs/x", "/a b", "//evil.test/x"])
def test_resolve_refuses(url: str) -> None:
    """A path that names no collection is refused."""
    with pytest.raises(InputError):
        endpoints.resolve(url)
