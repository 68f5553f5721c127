"""Answers that are not what they seem: text around the JSON, wrong statuses, firewalls, caches."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from flask_woo_events.errors import (
    StoreError,
    StoreFailedError,
    StoreFirewallError,
    StoreGarbledError,
    StoreRejectedError,
)
from flask_woo_events.woocommerce import caches
from flask_woo_events.woocommerce.access import RequestOptions
from flask_woo_events.woocommerce.endpoints import named
from flask_woo_events.woocommerce.listing import Filters, Listing
from flask_woo_events.woocommerce.oddities import (
    CACHED,
    DATABASE_ERROR,
    STATUS_CONTRADICTS_BODY,
    STATUS_IN_BODY,
    TEXT_AROUND_JSON,
)
from tests.unit.woocommerce.stub_store import (
    StubResponse,
    StubStore,
    client_for,
    refusal,
    store_with,
)

WARNING = (
    "<br />\n<b>Warning</b>:  session_write_close(): Failed to write in <b>/x.php</b> on line "
    "<b>12</b><br />\n"
)
FATAL = (
    "<br />\n<b>Fatal error</b>:  Uncaught Error: x in /x.php:12\nStack trace:\n#0 {main}\n  "
    "thrown in <b>/x.php</b> on line <b>12</b><br />\n"
)
XDEBUG = (
    "<br />\n<font size='1'><table class='xdebug-error xe-notice' dir='ltr' border='1'><tr><th>"
    "( ! )</th><th>Notice: Undefined index: a[0] in /x.php on line <i>7</i></th></tr></table>"
    "</font>\n"
)
DATABASE = (
    '<div id="error"><p class="wpdberror"><strong>WordPress database error:</strong> [Table '
    "'w.wp_log' doesn't exist]<br /><code>SELECT a FROM wp_log</code></p></div>"
)
SCRIPT = '<script type="text/javascript">var a = {"b": [1, 2]};</script>\n'


def rows(*numbers: int) -> str:
    """Return a list of orders as a store writes it."""
    return json.dumps([{"id": number, "note": "] } <b>"} for number in numbers])


@pytest.mark.parametrize("before", ["", WARNING, XDEBUG, SCRIPT, "<div>Hi</div>", "Debug: 5\n"])
@pytest.mark.parametrize(
    "after",
    ["", WARNING, FATAL, "\n<!-- Page cached by LiteSpeed [7.1] -->", SCRIPT, "0", "\ndone.",
     WARNING + "<!-- a {b} -->"],
)  # fmt: skip
@pytest.mark.parametrize("data", [rows(1, 2), json.dumps({"id": 7})])
def test_json_between_text_is_found(before: str, after: str, data: str) -> None:
    """Text that PHP, plugins and caches print before and after the JSON loses no answer."""
    client = client_for(store_with(StubResponse((before + data + after).encode())))
    response = client.get("orders")
    assert response.data == json.loads(data) and not response.doubtful
    assert set(client.oddities.take()) == ({TEXT_AROUND_JSON} if before or after else set())


@pytest.mark.parametrize("around", [XDEBUG, SCRIPT, WARNING, "<div>Hi</div>", "echo", DATABASE])
@pytest.mark.parametrize("end", [1, 12, 25, 44])
def test_truncated_list_between_text_is_garbled(around: str, end: int) -> None:
    """A list that is cut is not accepted, whatever is printed before and after it."""
    whole = rows(1, 2)
    for body in (around + whole[:-end] + around, around + whole[:-end], whole[:-end] + around):
        with pytest.raises(StoreGarbledError):
            client_for(store_with(StubResponse(body.encode()))).get("orders")


@pytest.mark.parametrize("text", ["Error 5 ", "<p>Something</p>", "<div>Out of memory</div>"])
def test_empty_list_beside_a_message(text: str) -> None:
    """An empty list beside a message counts only with the store's own count of nothing."""
    body = f"{text}[]".encode()
    with pytest.raises(StoreGarbledError, match="other text"):
        client_for(store_with(StubResponse(body))).get("orders")
    counted = StubResponse(body, 200, {"X-WP-Total": "0"})
    assert client_for(store_with(counted)).get("orders").data == []


def test_failed_query_proves_no_absence() -> None:
    """WordPress prints that a query failed: rows count, their absence does not."""
    client = client_for(store_with(StubResponse((DATABASE + rows(1)).encode())))
    assert client.get("orders").doubtful and client.doubtful
    assert set(client.oddities.take()) == {DATABASE_ERROR}
    empty = StubResponse((DATABASE + "[]").encode(), 200, {"X-WP-Total": "0"})
    client = client_for(store_with(empty))
    assert client.get("orders").data == [] and client.doubtful
    with pytest.raises(StoreGarbledError, match="other text"):
        client_for(store_with(StubResponse((DATABASE + "[]").encode()))).get("orders")
    gone = json.dumps({"code": "woocommerce_rest_shop_order_invalid_id", "message": "Invalid ID."})
    client = client_for(store_with(StubResponse((DATABASE + gone).encode(), 404)))
    with pytest.raises(StoreRejectedError):
        client.get("orders/5")
    assert client.doubtful


def failure(status: object, code: object = "woocommerce_rest_shop_order_invalid_id") -> object:
    """Return WordPress' error object."""
    return {"code": code, "message": "Invalid ID.", "data": {"status": status}}


@pytest.mark.parametrize("before", ["", WARNING, DATABASE, FATAL])
@pytest.mark.parametrize("status", [404, 400, 401, 500, 503])
def test_status_in_the_body_counts(status: int, before: str) -> None:
    """A plugin that prints first makes every status 200; the body has the true one."""
    body = (before + json.dumps(failure(status))).encode()
    client = client_for(store_with(StubResponse(body)), auth="query")
    with pytest.raises(StoreError) as caught:
        client.get("orders/5")
    assert (caught.value.status, caught.value.said) == (status, "Invalid ID.")
    assert caught.value.code == "woocommerce_rest_shop_order_invalid_id"
    assert STATUS_IN_BODY in client.oddities.take()
    assert client.doubtful is (before == DATABASE)


def orders_of(store: StubStore) -> Listing:
    """Return the listing of a store's orders."""
    return Listing(client_for(store), named("orders"), Filters({}, feed=False))


def test_deleted_object_with_status_200() -> None:
    """An own address that answers 200 with a 404 in its body shows no object."""
    assert orders_of(store_with(StubResponse(failure(404)))).one(5) is None
    with pytest.raises(StoreFailedError):
        orders_of(store_with(StubResponse(failure(500)))).one(5)


@pytest.mark.parametrize(
    "data",
    [
        {"id": 5, "code": "SUMMER", "message": "x", "data": {"status": 404}},
        {"id": 5, "code": "SUMMER", "amount": "5.00"},
        failure("gone"),
        failure(200),
        failure(404, code=7),
        {"code": "SUMMER", "data": {"status": 404}},
    ],
)
def test_other_objects_are_no_errors(data: object) -> None:
    """Coupons have a code, and custom objects may have any field."""
    assert client_for(store_with(StubResponse(data))).get("coupons/5").data == data


@pytest.mark.parametrize("status", [404, 500, 502])
@pytest.mark.parametrize("data", [[{"id": 1, "code": "a"}], {"id": 5, "code": "SUMMER"}])
def test_objects_with_the_status_of_an_error(status: int, data: object) -> None:
    """Objects count although a plugin sets an error's status; they prove no absence."""
    client = client_for(store_with(StubResponse(data, status)))
    assert client.get("coupons").data == data and client.doubtful
    assert set(client.oddities.take()) == {STATUS_CONTRADICTS_BODY}
    with pytest.raises(StoreError):
        client.put("coupons/5", {})


@pytest.mark.parametrize("data", [[], {}, [{"name": "x"}], [{"id": 1}, 5], None, failure(404)])
@pytest.mark.parametrize("status", [404, 500])
def test_nothing_with_the_status_of_an_error(status: int, data: object) -> None:
    """An empty list, or anything else without an id, does not overrule the status."""
    with pytest.raises(StoreError) as caught:
        client_for(store_with(StubResponse(data, status))).get("orders")
    assert caught.value.status == status


def test_counted_nothing_with_the_status_of_an_error() -> None:
    """An empty list counts with the store's own count of nothing, and proves no absence."""
    client = client_for(store_with(StubResponse([], 500, {"X-WP-Total": "0"})))
    assert client.get("orders").data == [] and client.doubtful


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_objects_do_not_overrule_a_refusal(status: int) -> None:
    """A store that refuses, or asks to wait, is obeyed."""
    with pytest.raises(StoreError):
        client_for(store_with(StubResponse([{"id": 1}], status))).get("orders")


def test_coupon_in_a_404_is_not_deleted() -> None:
    """The code of a coupon is not the code of an error."""
    store = store_with(StubResponse({"id": 5, "code": "SUMMER"}, 410))
    with pytest.raises(StoreRejectedError) as caught:
        orders_of(store).one(5)
    assert caught.value.code == ""


PAGES = {
    "<title>Just a moment...</title><p>Enable JavaScript": "Just a moment...",
    "<TITLE>Attention Required! | Cloudflare</TITLE>": "Attention Required! | Cloudflare",
    "<title>403 Forbidden</title>nginx": "403 Forbidden",
    "<title>Not Acceptable!</title>by Mod_Security.": "Not Acceptable!",
    "<title>Sucuri WebSite Firewall - Access Denied</title>": "Sucuri WebSite Firewall - Access",
    "<html>Generated by Wordfence at": "Generated by Wordfence",
    '{"message": "Access denied by Imunify360 bot-protection."}': "Imunify360",
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("status", [403, 406])
def test_refusal_of_a_firewall(page: str, status: int) -> None:
    """What is refused before WordPress is no fault of the keys; the page's title is quoted."""
    store = store_with(StubResponse(page.encode(), status, {"Server": "nginx"}))
    with pytest.raises(StoreFirewallError, match="a firewall refused us") as caught:
        client_for(store).get("orders")
    assert PAGES[page] in str(caught.value) and "store.user.agent" in str(caught.value)
    assert len(store.requests) == 1


@pytest.mark.parametrize("page", [page for page in PAGES if "403" not in page])
@pytest.mark.parametrize("status", [200, 202, 429, 503])
def test_challenge_of_a_firewall(page: str, status: int) -> None:
    """A page that waits for a browser is recognized whatever its status."""
    with pytest.raises(StoreFirewallError, match="a firewall refused us") as caught:
        client_for(store_with(StubResponse(page.encode(), status))).get("orders")
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        (b"<title>Checkout</title>", 200, {"cf-mitigated": "challenge"}),
        (b"<html></html>", 202, {"SG-Captcha": "challenge"}),
    ],
)
def test_challenge_by_a_header(body: bytes, status: int, headers: dict[str, str]) -> None:
    """Cloudflare and SiteGround name their challenges in a header."""
    with pytest.raises(StoreFirewallError):
        client_for(store_with(StubResponse(body, status, headers))).get("orders")


@pytest.mark.parametrize("title", ["Forbidden Planet", "The Firewall Shop", "Maintenance"])
def test_other_pages_are_no_firewalls(title: str) -> None:
    """A shop's own page is not taken for that of a firewall."""
    page = f"<title>{title}</title>".encode()
    with pytest.raises(StoreGarbledError, match="is not JSON"):
        client_for(store_with(StubResponse(page))).get("orders")


def test_refusal_of_wordpress_is_about_the_keys() -> None:
    """A refusal with a code of WordPress is not that of a firewall."""
    store = store_with(refusal("woocommerce_rest_cannot_view", status=403))
    with pytest.raises(StoreError) as caught:
        client_for(store).get("orders")
    assert not isinstance(caught.value, StoreFirewallError)


def test_password_of_the_site() -> None:
    """A 401 without JSON is the site's own password, which can be sent in a header."""
    locked = StubResponse(b"<title>401 Unauthorized</title>", 401)
    store = StubStore(
        lambda one: StubResponse() if one.headers.get("Authorization") == "Basic eA==" else locked
    )
    with pytest.raises(StoreFirewallError, match="a password protects the site"):
        client_for(store).get("orders")
    options = RequestOptions(headers={"Authorization": "Basic eA=="})
    client_for(store, options=options).get("orders")
    assert "consumer_secret" in store.requests[-1].query


def test_own_user_agent_and_headers() -> None:
    """The options of an instance are sent with each request, also to the front page."""
    store = StubStore(
        lambda one: StubResponse(b"<p>Shop", 404) if "/wp-json" in one.url else StubResponse(b"")
    )
    options = RequestOptions("Mozilla/5.0", {"X-Pass": "let-me-in"})
    with pytest.raises(StoreRejectedError):
        client_for(store, options=options).get("orders")
    assert len(store.requests) == 2
    for request in store.requests:
        assert request.headers["User-Agent"] == "Mozilla/5.0"
        assert request.headers["X-Pass"] == "let-me-in"


@pytest.mark.parametrize(
    "headers",
    [
        {"Age": "5"},
        {"X-Cache": "Hit from cloudfront"},
        {"X-Cache": "MISS, HIT"},
        {"X-LiteSpeed-Cache": "hit"},
        {"X-LiteSpeed-Cache": "hit,private"},
        {"CF-Cache-Status": "HIT"},
        {"CF-Cache-Status": "STALE"},
        {"X-Proxy-Cache": "HIT"},
        {"X-FastCGI-Cache": "STALE"},
        {"X-Nginx-Cache-Status": "HIT"},
        {"X-WC-Cache": "HIT"},
        {"X-Varnish": "32770 5"},
    ],
)
def test_answer_of_a_cache(headers: dict[str, str]) -> None:
    """Each cache says in its own way that it answered; such an answer proves no absence."""
    client = client_for(store_with(StubResponse([{"id": 1}], 200, headers)))
    assert client.get("orders").data == [{"id": 1}]
    assert client.doubtful and client.stale and set(client.oddities.take()) == {CACHED}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Age": "0"},
        {"X-Cache": "MISS from proxy"},
        {"X-Cache-Lookup": "HIT from proxy:80"},
        {"X-LiteSpeed-Cache-Control": "no-cache"},
        {"CF-Cache-Status": "DYNAMIC"},
        {"CF-Cache-Status": "BYPASS"},
        {"CF-Cache-Status": "REVALIDATED"},
        {"X-Proxy-Cache": "MISS"},
        {"X-Object-Cache": "HIT"},
        {"X-Varnish": "32770"},
    ],
)
def test_answer_past_a_cache(headers: dict[str, str]) -> None:
    """A cache that passes the request on is no reason to doubt the answer."""
    client = client_for(store_with(StubResponse([{"id": 1}], 200, headers)))
    client.get("orders")
    assert not client.doubtful and not client.oddities.take()


def test_missing_object_in_a_cache() -> None:
    """A 404 that a cache kept proves nothing either."""
    gone = refusal("woocommerce_rest_shop_order_invalid_id", status=404, Age="60")
    listing = orders_of(store_with(gone))
    assert listing.one(5) is None and listing.client.doubtful


def test_date_that_stands_still() -> None:
    """A cache without headers of its own keeps the ``Date`` of its answer."""
    noon = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
    dates = caches.Dates()
    assert not dates.sign(noon, 0.0, 1.0)
    assert not dates.sign(noon, 20.0, 21.0)
    assert "the same for 39 seconds" in dates.sign(noon, 40.0, 41.0)
    later = noon + dt.timedelta(seconds=60)
    assert not dates.sign(later, 60.0, 61.0)
    assert not dates.sign(later - dt.timedelta(seconds=9), 61.0, 62.0)
    assert "earlier" in dates.sign(noon, 62.0, 63.0)
    assert not dates.sign(None, 63.0, 64.0)


def test_every_request_varies() -> None:
    """No two requests are the same, also those for the public index."""
    store = store_with(StubResponse({"id": 1}))
    client = client_for(store)
    for _ in range(3):
        client.get("orders/1")
        client.head("orders")
        client.index()
    assert len({request.query["_"] for request in store.requests}) == 9
    assert all(request.headers["Cache-Control"] == "no-cache" for request in store.requests)
