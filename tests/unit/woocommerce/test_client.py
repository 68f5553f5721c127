"""The client of a store's REST API: URLs, authentication, and every kind of response."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_woo_events.errors import (
    InputError,
    StoreAccessError,
    StoreBusyError,
    StoreError,
    StoreFailedError,
    StoreGarbledError,
    StoreRejectedError,
    UnreachableError,
)
from flask_woo_events.http.exchange import Timeouts
from flask_woo_events.woocommerce.access import RequestOptions
from flask_woo_events.woocommerce.client import StoreClient, store_root
from flask_woo_events.woocommerce.oauth import sign
from tests.raw_server import Connection, respond, response, serve_raw
from tests.unit.woocommerce.stub_store import (
    KEY,
    SECRET,
    StoreRequest,
    StubResponse,
    StubStore,
    client_for,
    is_signed_for,
    refusal,
    store_with,
)

CANNOT_VIEW = refusal("woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")
BAD_SIGNATURE = refusal("woocommerce_rest_authentication_error", "Firma no válida.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://shop.example", "https://shop.example"),
        (" https://shop.example/ ", "https://shop.example"),
        ("HTTPS://Shop.Example:8443//", "https://shop.example:8443"),
        ("shop.example", "https://shop.example"),
        ("shop.example:8443/de/", "https://shop.example:8443/de"),
        ("//shop.example", "https://shop.example"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("https://shop.example/sub/wp-json/wc/v3/", "https://shop.example/sub"),
        ("https://müller.example", "https://müller.example"),
    ],
)
def test_store_root(text: str, expected: str) -> None:
    """Every accepted form of a store's URL is stored in one form."""
    assert store_root(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "https://", "<store url>", "https://<your store>/", "ftp://shop.example",
     "https://me:pw@shop.example", "https://shop example/", "https://shop.example/?a=1",
     "https://shop.example/#a", "https://shop.example:port/", "https://[::1/", "/orders",
     "https://shop.example:99999/", "javascript:alert(1)", "https://shop.example/\x00"],
)  # fmt: skip
def test_store_root_refuses(text: str) -> None:
    """A URL that cannot be a store's is refused, and the error names the field."""
    with pytest.raises(InputError) as caught:
        store_root(text)
    assert caught.value.field == "store.url"


@pytest.mark.parametrize("key", ["", " ", "<consumer key>", "ck_1:2", "ck_é", "ck_1\r\nX: y"])
def test_invalid_key_is_refused(key: str) -> None:
    """A placeholder or a badly copied key is refused before a request is sent."""
    with pytest.raises(InputError):
        StoreClient("shop.example", key, SECRET)
    with pytest.raises(InputError):
        StoreClient("shop.example", KEY, key)


def test_unknown_authentication_method_is_refused() -> None:
    """The error for an unknown method names the valid ones."""
    with pytest.raises(InputError, match="oauth"):
        StoreClient("shop.example", KEY, SECRET, auth="digest")


def test_repr_masks_the_keys() -> None:
    """The repr of a client contains no key, so a log cannot either."""
    with StoreClient("shop.example", KEY, SECRET) as client:
        assert KEY not in repr(client) and SECRET not in repr(client)


def test_response_has_the_stores_date_and_totals() -> None:
    """Totals and date are read from the headers."""
    store = store_with(
        StubResponse([{"id": 1}], 200, {"X-WP-Total": "101", "X-WP-TotalPages": "2"})
    )
    response = client_for(store).get("orders")
    assert (response.status, response.data, response.total, response.pages) == (
        200,
        [{"id": 1}],
        101,
        2,
    )
    assert response.date == dt.datetime(2026, 11, 23, 21, 3, 50, tzinfo=dt.UTC)
    assert (
        response.headers["x-wp-total"] == "101" and response.bytes == 11 and response.notices == ""
    )


@pytest.mark.parametrize("value", ["", "many", "-1", "5, 5", "٣", "9" * 30])
def test_invalid_totals_and_dates(value: str) -> None:
    """An invalid total or date in a header is read as None."""
    response = client_for(
        store_with(StubResponse([], 200, {"X-WP-Total": value, "Date": value}))
    ).get("orders")
    assert (response.total, response.date) == (None, None)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("orders", "/shop/wp-json/wc/v3/orders"),
        ("/orders/5/refunds", "/shop/wp-json/wc/v3/orders/5/refunds"),
        ("/wp-json/wc-analytics/reports", "/shop/wp-json/wc-analytics/reports"),
        ("wp-json/wp/v2/users", "/shop/wp-json/wp/v2/users"),
    ],
)
def test_paths_are_under_the_api(path: str, expected: str) -> None:
    """A store in a sub-folder keeps the folder in front of the API's path."""
    store = store_with(StubResponse())
    client_for(store, "https://shop.example/shop/").get(path)
    assert store.requests[0].path == expected


@pytest.mark.parametrize("path", ["", "a?b=c", "a#b", "../users", "a b", "a%2fb", "é", "a\n"])
def test_invalid_path_is_refused(path: str) -> None:
    """A path of a configuration cannot reach anything outside of the store's API."""
    store = store_with(StubResponse())
    with pytest.raises(InputError):
        client_for(store).get(path)
    assert store.requests == []


def test_parameters_are_written_as_the_store_reads_them() -> None:
    """Lists are joined by commas, booleans are in lower case, and None is left out."""
    store = store_with(StubResponse())
    client_for(store).get(
        "orders",
        {"include": [1, 2], "dates_are_gmt": True, "force": False, "page": 2, "search": "a b+ü",
         "status": None, "none": ()},
    )  # fmt: skip
    assert re.sub("^_=[0-9a-f]+&", "", store.requests[0].url.partition("?")[2]) == (
        "include=1%2C2&dates_are_gmt=true&force=false&page=2&search=a%20b%2B%C3%BC&none="
    )


def test_brackets_are_refused() -> None:
    """WooCommerce versions sign brackets differently, so a signature could be wrong."""
    with pytest.raises(InputError, match="commas"):
        client_for(store_with(StubResponse())).get("orders", {"include[]": 1})


@pytest.mark.parametrize(
    ("path", "skips"), [("products", True), ("products/5/variations", True), ("orders", False)]
)
def test_products_are_read_past_the_cache(path: str, skips: bool) -> None:
    """Products are read with ``_skip_cache``, as writes to the database leave a cache stale."""
    store = store_with(StubResponse())
    client = client_for(store)
    client.get(path)
    client.post(path, {})
    assert ["_skip_cache" in request.query for request in store.requests] == [skips, False]


def test_basic_over_https() -> None:
    """The keys are in the header, not in the URL."""
    store = store_with(StubResponse())
    client = client_for(store)
    client.get("orders")
    expected = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    assert store.requests[0].headers["Authorization"] == f"Basic {expected}"
    assert store.requests[0].query.keys() == {"_"} and client.auth_used == "basic"


def test_writing_sends_json() -> None:
    """POST and PUT send JSON, DELETE sends parameters."""
    store = store_with(StubResponse({"id": 1}))
    client = client_for(store)
    client.post("orders", {"a": "ü"})
    client.put("orders/1", {"b": 2})
    client.delete("orders/1", {"force": True})
    assert [(request.method, request.body) for request in store.requests] == [
        ("POST", '{"a":"ü"}'.encode()),
        ("PUT", b'{"b":2}'),
        ("DELETE", None),
    ]
    assert store.requests[0].headers["Content-Type"] == "application/json"
    assert store.requests[2].query == {"force": "true"}


def test_head_needs_no_body() -> None:
    """A response to HEAD has the total and no data."""
    response = client_for(store_with(StubResponse([], 200, {"X-WP-Total": "7"}))).head("orders")
    assert (response.data, response.total) == (None, 7)


def test_stripped_header_falls_back_to_the_query() -> None:
    """When the store does not get the header, the keys go into the query from then on."""
    store = StubStore(
        lambda request: StubResponse() if "consumer_secret" in request.query else CANNOT_VIEW
    )
    client = client_for(store)
    client.get("orders")
    client.get("orders")
    assert ["Authorization" in request.headers for request in store.requests] == [
        True,
        False,
        False,
    ]
    sent = store.requests[1].query
    assert sent == {"_": sent["_"], "consumer_key": KEY, "consumer_secret": SECRET}
    assert (client.auth_used, client.requests_made) == ("query", 3)


def test_wrong_keys_do_not_multiply_requests() -> None:
    """After all methods have failed, each call sends one request again."""
    store = store_with(CANNOT_VIEW)
    client = client_for(store)
    with pytest.raises(StoreAccessError):
        client.get("orders")
    after = len(store.requests)
    with pytest.raises(StoreAccessError):
        client.get("orders")
    assert (after, len(store.requests)) == (3, 4)


def test_missing_permission_keeps_the_method() -> None:
    """Once a method has worked, a refusal does not make the client try others."""
    store = StubStore(
        lambda request: CANNOT_VIEW if request.path.endswith("customers") else StubResponse()
    )
    client = client_for(store)
    client.get("orders")
    with pytest.raises(StoreAccessError):
        client.get("customers")
    assert len(store.requests) == 2 and client.auth_used == "basic"


def test_configured_method_is_kept() -> None:
    """A configured method is used alone, also when it fails."""
    store = store_with(CANNOT_VIEW)
    with pytest.raises(StoreAccessError):
        client_for(store, auth="query").get("orders")
    assert [sorted(request.query) for request in store.requests] == [
        ["_", "consumer_key", "consumer_secret"]
    ]


@pytest.mark.parametrize("method", ["get", "head", "delete"])
def test_oauth_over_http(method: str) -> None:
    """Over plain HTTP requests are signed, so the secret is not sent."""
    store = store_with(StubResponse())
    client = client_for(store, "http://shop.example")
    getattr(client, method)(
        "orders", {"search": "a b&c=ü%41+", "include": [1, 2], "page": 10, "pa": "", "per-page": 3}
    )
    [request] = store.requests
    assert is_signed_for(request, "http://shop.example") and client.auth_used == "oauth"
    assert request.query["oauth_consumer_key"] == KEY and SECRET not in request.url
    assert abs(int(request.query["oauth_timestamp"]) - time.time()) < 300


# Parameters that begin with oauth_ belong to the signature.
_names = st.text().filter(lambda key: "[" not in key and not key.startswith("oauth_"))


@settings(deadline=None)
@given(st.dictionaries(_names, st.text(), max_size=8))
def test_any_parameters_have_a_valid_signature(params: dict[str, str]) -> None:
    """WooCommerce's check accepts the signature of any parameters."""
    params.pop("", None)
    store = store_with(StubResponse())
    client_for(store, "http://shop.example").get("orders", params)
    assert is_signed_for(store.requests[0], "http://shop.example")


def test_nonces_differ() -> None:
    """Each request has a new nonce, as WooCommerce refuses one that was used."""
    store = store_with(StubResponse())
    client = client_for(store, "http://shop.example")
    client.get("orders")
    client.get("orders")
    assert store.requests[0].query["oauth_nonce"] != store.requests[1].query["oauth_nonce"]


def store_that_checks(root: str, home: str) -> StubStore:
    def rule(request: StoreRequest) -> StubResponse:
        if request.path == "/wp-json/":
            return StubResponse({"home": home, "namespaces": ["wc/v3"]})
        return StubResponse() if is_signed_for(request, root) else BAD_SIGNATURE

    return StubStore(rule)


@pytest.mark.parametrize("root", ["http://www.shop.example", "https://www.shop.example"])
def test_requests_are_signed_for_the_home_url(root: str) -> None:
    """The store checks signatures against its home URL, which is read once, in any language."""
    store = store_that_checks(root, "https://www.shop.example/")
    client = client_for(store, "http://10.0.0.5:8080")
    client.get("orders")
    before = len(store.requests)
    client.get("orders")
    assert len(store.requests) == before + 1
    assert sum(request.path == "/wp-json/" for request in store.requests) == 1


def test_wrong_secret_raises_the_refusal() -> None:
    """When no URL makes the signature valid, the store's refusal is raised."""
    store = store_that_checks("http://other.example", "http://www.shop.example")
    client = client_for(store, "http://shop.example")
    with pytest.raises(StoreAccessError, match="Firma no válida"):
        client.get("orders")
    assert len(store.requests) < 8
    store.requests.clear()
    with pytest.raises(StoreAccessError):
        client.get("orders")
    assert len(store.requests) == 1


def test_store_behind_a_tls_proxy() -> None:
    """PHP sees plain HTTP behind such a proxy, so requests are signed for an http URL."""

    def rule(request: StoreRequest) -> StubResponse:
        if request.path == "/wp-json/":
            return StubResponse({"home": "https://shop.example"})
        if "oauth_signature" not in request.query:
            return CANNOT_VIEW
        return StubResponse() if is_signed_for(request, "http://shop.example") else BAD_SIGNATURE

    client = client_for(StubStore(rule))
    client.get("orders")
    assert client.auth_used == "oauth"


def test_wrong_clock_is_corrected() -> None:
    """Signatures use the time of the store's Date header, as it refuses 15 minutes of skew."""

    def rule(request: StoreRequest) -> StubResponse:
        store_time = dt.datetime(2026, 11, 23, 21, 3, 50, tzinfo=dt.UTC).timestamp()
        late = abs(int(request.query["oauth_timestamp"]) - store_time) > 900
        return refusal("woocommerce_rest_authentication_error", "Invalid timestamp.") if late \
            else StubResponse()  # fmt: skip

    store = StubStore(rule)
    client_for(store, "http://shop.example").get("orders")
    assert len(store.requests) <= 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, StoreRejectedError),
        (401, StoreAccessError),
        (403, StoreAccessError),
        (404, StoreRejectedError),
        (406, StoreRejectedError),
        (429, StoreBusyError),
        (500, StoreFailedError),
        (501, StoreFailedError),
        (503, StoreBusyError),
        (524, StoreFailedError),
        (999, StoreFailedError),
    ],
)
def test_status_decides_the_error(status: int, kind: type[StoreError]) -> None:
    """Each kind of status has its own exception, with the store's message."""
    store = store_with(refusal("some_code", "Because <b>of</b>\nthis &amp; that.", status))
    with pytest.raises(kind, match=f"{status}: Because of this & that") as caught:
        client_for(store).get("orders", {"search": "x"})
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code) == (status, "some_code")
    assert error.said == "Because of this & that."
    assert error.url == "https://shop.example/wp-json/wc/v3/orders"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html><head><TITLE>Maintenance</TITLE></head><body>x</body>", "Maintenance"),
        (b"<body><p>Dear Ann Meier,</p></body>", ""),
        (b"Ann Meier, ann@shop.example\n", ""),
        (b'[{"id": 5, "billing": {"email": "ann@shop.example"', ""),
        (b"", ""),
        (b"<title>\xff\xfe\x00</title>", "\ufffd\ufffd"),
        (b"<" * 100_000, None),
        (b"<title>" * 20_000, None),
        (b"<script" * 20_000, None),
        (b"<title>" + b"x" * 60_000 + b"</title>", "x" * 299 + "…"),
        (b'["list"]', ""),
        (b'{"message": {"a": 1}}', "{'a': 1}"),
    ],
)
def test_message_of_an_html_page(body: bytes, message: str | None) -> None:
    """The error's message is the page's title, short and without markup; no text is quoted."""
    began = time.process_time()
    with pytest.raises(StoreBusyError) as caught:
        client_for(store_with(StubResponse(body, 503))).get("orders")
    assert message is None or caught.value.said == message
    assert len(caught.value.said) <= 300 and time.process_time() - began < 0.5


def test_message_masks_the_keys() -> None:
    """An error page that quotes the request does not put the keys into a log."""
    body = f"<title>Bad {KEY} in /?consumer_secret={SECRET}</title>".encode()
    with pytest.raises(StoreRejectedError) as caught:
        client_for(store_with(StubResponse(body, 400))).get("orders")
    assert SECRET not in str(caught.value) and KEY not in str(caught.value)
    assert "***" in caught.value.said


SITE = "the password of the site"
WEBHOOK = "secret-of-the-webhook"


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("kind", ["basic", "query", "oauth"])
def test_a_store_that_repeats_the_request(kind: str, status: int) -> None:
    """Whatever status it has, and wherever it shows our headers and query, nothing is quoted."""

    def echo(request: StoreRequest) -> StubResponse:
        told = f"{dict(request.headers)} {request.url} {request.body!r}"
        decoded = f"{told} {KEY}:{SECRET} {base64.b64encode(told.encode()).decode()}"
        # The message ends within a secret.
        code, message = "x" * 60 + f" {KEY}", f"{decoded[:400]} {'x' * 280}{SECRET}"
        body = {"code": code, "message": message, "data": {"status": 400}}
        links = {"Link": f"<https://{SECRET}/wp-json/>; rel='a'", "X-Cache": f"HIT {decoded[:80]}"}
        location = {"Location": f"https://{SECRET}.example/{KEY}?{decoded[:40]}"}
        return StubResponse(body, status, links | location)

    site = base64.b64encode(f"me:{SITE}".encode()).decode()
    options = RequestOptions(headers={"X-Site": f"Basic {site}"})
    client = client_for(StubStore(echo), auth=kind, options=options)
    client.keep_secret(WEBHOOK)
    client.expected_root = "shop.example"
    with pytest.raises(StoreError) as caught:
        client.post("webhooks", {"secret": WEBHOOK})
    with pytest.raises(StoreError) as also:
        client.get("orders")
    for exc in (caught.value, also.value):
        shown = f"{exc} {exc.said} {exc.code} {client.oddities.take()}"
        for secret in (KEY, SECRET, SITE, site, WEBHOOK, f"{KEY}:{SECRET}"):
            encoded = base64.b64encode(secret.encode()).decode()[:-4]
            assert secret not in shown and encoded not in shown
            assert secret[:12] not in shown


def test_missing_api_hints_at_the_permalinks() -> None:
    """A 404 without JSON comes from the web server, so the error mentions permalinks."""
    with pytest.raises(StoreRejectedError, match="Settings > Permalinks"):
        client_for(store_with(StubResponse(b"<title>Not Found</title>", 404))).get("orders")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("9999999999999", 21600),
        ("Mon, 23 Nov 2026 21:04:50 GMT", 60),
        ("Mon, 23 Nov 2026 20:00:00 GMT", 0),
        ("Mon, 23 Nov 2099 20:00:00 GMT", 21600),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """``Retry-After`` is seconds or a date by the store's clock, at most six hours."""
    with pytest.raises(StoreBusyError) as caught:
        client_for(store_with(StubResponse(b"", 429, {"Retry-After": value}))).get("orders")
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("https://w.example/wp-json/wc/v3/orders?consumer_secret=x", "put https://w.example into"),
        ("/de/wp-json/wc/v3/orders", "put https://shop.example/de into"),
        ("https://me:pw@login.example/a?b=c", "points to https://login.example/a, which is not"),
        ("", "put https://shop.example into"),
        ("https://[", "is store.url right"),
    ],
)
def test_redirect_is_not_followed(location: str, words: str) -> None:
    """A redirect raises an error that names the URL to configure, without the keys."""
    store = store_with(StubResponse(b"", 301, {"Location": location}))
    with pytest.raises(StoreRejectedError, match=words) as caught:
        client_for(store).get("orders")
    assert len(store.requests) == 1 and "consumer_secret" not in str(caught.value)


NOTICE = (
    '<br />\n<b>Warning</b>:  Undefined array key "a[0]" in <b>/srv/x{1}.php</b> on line '
    "<b>12</b><br />\n"
)
PLAIN = "\nNotice: Function x was called <strong>incorrectly</strong>. in /a/b.php on line 3\n"


@pytest.mark.parametrize(
    "before",
    [
        "\ufeff",
        " \r\n",
        NOTICE,
        NOTICE * 3,
        PLAIN,
        "PHP Deprecated:  Thing on line 5 is old in /a.php on line 7\n",
        "\ufeff" + PLAIN + NOTICE,
        "<br />\n<b>User Warning</b>: [1, 2] {\"a\"} in <b>x</b> on line <b>1</b><br />",
    ],
)  # fmt: skip
@pytest.mark.parametrize("data", [[{"id": 1}, {"id": 2}], [], {"id": 3}])
def test_json_behind_notices_is_found(before: str, data: object) -> None:
    """PHP notices before the JSON are separated from it, and do not fail the read."""
    body = (before + json.dumps(data)).encode()
    response = client_for(store_with(StubResponse(body))).get("orders")
    assert response.data == data
    assert bool(response.notices) == ("on line" in before) and "<" not in response.notices


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"<html><title>Maintenance</title>[]</html>",
        b"<p>Something</p>[]",
        b"Error 5 []",
        b'[{"id":1},{"id":2}',
        (NOTICE + '[{"id":1},{"id":2}').encode(),
        (NOTICE + '[{"id":1},{"id":2}][]').encode(),
        (NOTICE + '[{"id":1},{"id":2}<!-- cached -->').encode(),
        b'<div id="error">[{"id":1},{"id":2}]',
        b'<script>a = [1]</script>[{"id":1},{"id":2},',
        b'{"id":1},{"id":2}]',
        b'"id":1},{"id":2}]',
        b'<b>Fatal error</b>: Uncaught Error in x on line 5<br />[{"id":1}]',
        b'[{"id":1,"meta_data":[{"id":2}]},{"id":3,"me<!-- cached -->',
        NOTICE.encode(),
        b"<b>Fatal error</b>: Allowed memory size exhausted in x on line 5<br />[]",
        b'[{"name":"\xff\xfe"}]',
        '[{"id":1}]'.encode("utf-16"),
        b"[NaN]",
        b"[" * 100_000,
        b"Warning: on line " * 5000,
    ],
)
def test_invalid_json_is_garbled(body: bytes) -> None:
    """Only complete JSON is accepted; a truncated list would look like deletions."""
    began = time.process_time()
    with pytest.raises(StoreGarbledError) as caught:
        client_for(store_with(StubResponse(body))).get("orders")
    assert caught.value.status == 200 and time.process_time() - began < 0.5


@given(st.binary(max_size=200))
def test_any_body_is_read_or_garbled(body: bytes) -> None:
    """No body raises any other exception."""
    try:
        client_for(store_with(StubResponse(body))).get("orders")
    except StoreGarbledError:
        pass


@pytest.mark.parametrize(
    "data", [{"id": 1}, None, "x", [1], [[]], [{"id": 1}, None], {"code": "a", "message": "b"}]
)
def test_get_list_requires_objects(data: object) -> None:
    """A collection that is not a list of objects is garbled."""
    with pytest.raises(StoreGarbledError, match="list of objects"):
        client_for(store_with(StubResponse(data))).get_list("orders")


@pytest.mark.parametrize("row", [{}, {"id": "1"}, {"id": None}, {"id": True}])
def test_get_list_can_require_ids(row: dict[str, object]) -> None:
    """With ``ids=True`` a row whose id is no integer is refused."""
    client = client_for(store_with(StubResponse([row])))
    assert client.get_list("orders").data == [row]
    with pytest.raises(StoreGarbledError, match="ids"):
        client.get_list("orders", ids=True)


def test_index_is_read_without_keys() -> None:
    """The public index is requested without the keys."""
    store = store_with(StubResponse({"home": "https://shop.example"}))
    assert client_for(store).index().data["home"] == "https://shop.example"
    assert "Authorization" not in store.requests[0].headers
    assert store.requests[0].query.keys() == {"_"}


def test_response_that_is_too_large_is_garbled() -> None:
    """A body above the limit is refused, and the error names the setting."""
    client = client_for(store_with(StubResponse(["x" * 1000])), max_bytes=100)
    with pytest.raises(StoreGarbledError, match="WOO_EVENTS_STORE_MAX_BYTES"):
        client.get("orders")


def test_real_connection_is_kept_and_closed() -> None:
    """Requests share a connection, which the client closes with its own session."""
    with serve_raw(respond(response(b"[]"), response(b"[]"))) as server:
        with StoreClient(server.url, KEY, SECRET, timeouts=Timeouts(2, 2, 4)) as client:
            client.get("orders")
            client.get("orders")
    assert server.connections == 1
    assert b"GET /wp-json/wc/v3/orders?_=" in server.requests[0]


def test_stale_connection_is_replaced() -> None:
    """A store may close a kept-alive connection at any time without failing a read."""

    def handle(connection: Connection) -> None:
        connection.read()
        connection.send(response(b"[]"))
        if connection.number == 1:
            connection.read()

    with serve_raw(handle) as server:
        with StoreClient(server.url, KEY, SECRET, timeouts=Timeouts(2, 2, 4)) as client:
            client.get("orders")
            assert client.get("orders").data == []


def test_truncated_response_is_unreachable() -> None:
    """A truncated body is an error, even where its beginning is valid JSON."""
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[]"
    with serve_raw(respond(cut)) as server:
        with StoreClient(server.url, KEY, SECRET, timeouts=Timeouts(2, 2, 4)) as client:
            with pytest.raises(UnreachableError):
                client.get("orders")


def test_signature_of_a_known_request() -> None:
    """The signature of a fixed request is the HMAC of its written-out base string."""
    pairs = sign("GET", "http://shop.example/wp-json/wc/v3/orders", [("page", "1")],
                 "ck_1", "cs_1", timestamp=1, nonce="n")  # fmt: skip
    base = (
        "GET&http%3A%2F%2Fshop.example%2Fwp-json%2Fwc%2Fv3%2Forders&oauth_consumer_key%3Dck_1"
        "%26oauth_nonce%3Dn%26oauth_signature_method%3DHMAC-SHA256%26oauth_timestamp%3D1"
        "%26page%3D1"
    )
    expected = base64.b64encode(hmac.new(b"cs_1&", base.encode(), hashlib.sha256).digest())
    assert dict(pairs)["oauth_signature"] == expected.decode()
