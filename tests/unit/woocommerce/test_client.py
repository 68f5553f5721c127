"""The store's client: addresses, authentication, and answers of every kind."""

from __future__ import annotations

import base64
import collections.abc as cabc
import dataclasses
import datetime as dt
import hashlib
import hmac
import io
import json
import time
import typing as t
import urllib.parse

import pytest
import requests
import requests.adapters
import urllib3
from hypothesis import given
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
from flask_woo_events.woocommerce.client import StoreClient, store_root
from flask_woo_events.woocommerce.oauth import sign
from tests.raw_server import Connection, answer, answers, peer

KEY, SECRET = "ck_0123456789abcdef", "cs_fedcba9876543210"
DATE = "Mon, 23 Nov 2026 21:03:50 GMT"


@dataclasses.dataclass
class Seen:
    """A request as the store gets it."""

    method: str
    url: str
    query: dict[str, str]
    headers: cabc.Mapping[str, str]
    body: bytes | None

    @property
    def path(self) -> str:
        return urllib.parse.urlsplit(self.url).path


@dataclasses.dataclass
class Said:
    """An answer of the store."""

    body: object = dataclasses.field(default_factory=list)
    status: int = 200
    headers: cabc.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def bytes(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Rule = cabc.Callable[[Seen], Said]


class Shop(requests.adapters.BaseAdapter):
    """A store in place of the network, https included."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self.seen: list[Seen] = []

    def send(self, request: requests.PreparedRequest, *args: t.Any, **kw: t.Any) -> t.Any:
        query = urllib.parse.urlsplit(request.url or "").query
        pairs = dict(urllib.parse.parse_qsl(str(query), keep_blank_values=True))
        seen = Seen(request.method or "", request.url or "", pairs, request.headers,
                    t.cast("bytes | None", request.body))  # fmt: skip
        self.seen.append(seen)
        said = self.rule(seen)
        response = requests.Response()
        response.status_code = said.status
        response.headers.update({"Date": DATE} | dict(said.headers))
        body = b"" if seen.method == "HEAD" else said.bytes
        response.raw = urllib3.HTTPResponse(io.BytesIO(body), preload_content=False)
        return response

    def close(self) -> None:
        pass


def shop_of(*said: Said) -> Shop:
    """A store that gives these answers in turn, the last one for ever."""
    shop = Shop(lambda seen: said[min(len(shop.seen), len(said)) - 1])
    return shop


def client_of(shop: Shop, url: str = "https://shop.example", **options: t.Any) -> StoreClient:
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", shop)
    session.mount("http://", shop)
    return StoreClient(url, KEY, SECRET, session=session, **options)


def refusal(code: str, message: str = "Sorry.", status: int = 401, **headers: str) -> Said:
    return Said({"code": code, "message": message, "data": {"status": status}}, status, headers)


BLIND = refusal("woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")
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
    """Addresses come in all shapes and are kept in one."""
    assert store_root(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "https://", "<store url>", "https://<your store>/", "ftp://shop.example",
     "https://me:pw@shop.example", "https://shop example/", "https://shop.example/?a=1",
     "https://shop.example/#a", "https://shop.example:port/", "https://[::1/", "/orders",
     "https://shop.example:99999/", "javascript:alert(1)", "https://shop.example/\x00"],
)  # fmt: skip
def test_store_root_refuses(text: str) -> None:
    """What cannot be a store is refused, with the field's name."""
    with pytest.raises(InputError) as caught:
        store_root(text)
    assert caught.value.field == "store.url"


@pytest.mark.parametrize("key", ["", " ", "<consumer key>", "ck_1:2", "ck_é", "ck_1\r\nX: y"])
def test_key_that_cannot_be_one_is_refused(key: str) -> None:
    """Placeholders and slips of the clipboard are found before a request is sent."""
    with pytest.raises(InputError):
        StoreClient("shop.example", key, SECRET)
    with pytest.raises(InputError):
        StoreClient("shop.example", KEY, key)


def test_unknown_way_to_authenticate_is_refused() -> None:
    """The four ways are named."""
    with pytest.raises(InputError, match="oauth"):
        StoreClient("shop.example", KEY, SECRET, auth="digest")


def test_repr_masks_the_keys() -> None:
    """The repr of a client holds no secret."""
    with StoreClient("shop.example", KEY, SECRET) as client:
        assert KEY not in repr(client) and SECRET not in repr(client)


def test_answer_has_the_stores_clock_and_counts() -> None:
    """Totals and date come from the headers."""
    shop = shop_of(Said([{"id": 1}], 200, {"X-WP-Total": "101", "X-WP-TotalPages": "2"}))
    got = client_of(shop).get("orders")
    assert (got.status, got.data, got.total, got.pages) == (200, [{"id": 1}], 101, 2)
    assert got.date == dt.datetime(2026, 11, 23, 21, 3, 50, tzinfo=dt.UTC)
    assert got.headers["x-wp-total"] == "101" and got.bytes == 11 and got.notices == ""


@pytest.mark.parametrize("value", ["", "many", "-1", "5, 5", "٣", "9" * 30])
def test_counts_that_are_none(value: str) -> None:
    """Garbage in a header is no number, and a bad date is no date."""
    got = client_of(shop_of(Said([], 200, {"X-WP-Total": value, "Date": value}))).get("orders")
    assert (got.total, got.date) == (None, None)


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
    """A sub-folder of the store stays in front."""
    shop = shop_of(Said())
    client_of(shop, "https://shop.example/shop/").get(path)
    assert shop.seen[0].path == expected


@pytest.mark.parametrize("path", ["", "a?b=c", "a#b", "../users", "a b", "a%2fb", "é", "a\n"])
def test_path_that_is_none_is_refused(path: str) -> None:
    """A path comes from a configuration and must not lead elsewhere."""
    shop = shop_of(Said())
    with pytest.raises(InputError):
        client_of(shop).get(path)
    assert shop.seen == []


def test_parameters_are_written_as_the_store_reads_them() -> None:
    """Lists with commas, truth in lower case, nothing for None."""
    shop = shop_of(Said())
    client_of(shop).get(
        "orders",
        {"include": [1, 2], "dates_are_gmt": True, "force": False, "page": 2, "search": "a b+ü",
         "status": None, "none": ()},
    )  # fmt: skip
    assert shop.seen[0].url.partition("?")[2] == (
        "include=1%2C2&dates_are_gmt=true&force=false&page=2&search=a%20b%2B%C3%BC&none="
    )


def test_brackets_are_refused() -> None:
    """They would be signed differently by different versions."""
    with pytest.raises(InputError, match="commas"):
        client_of(shop_of(Said())).get("orders", {"include[]": 1})


@pytest.mark.parametrize(
    ("path", "skips"), [("products", True), ("products/5/variations", True), ("orders", False)]
)
def test_products_are_read_past_the_cache(path: str, skips: bool) -> None:
    """WooCommerce may keep products in a cache that direct writes do not touch."""
    shop = shop_of(Said())
    client = client_of(shop)
    client.get(path)
    client.post(path, {})
    assert ["_skip_cache" in seen.query for seen in shop.seen] == [skips, False]


def test_basic_over_https() -> None:
    """The key goes into the header, not into the address."""
    shop = shop_of(Said())
    client = client_of(shop)
    client.get("orders")
    expected = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    assert shop.seen[0].headers["Authorization"] == f"Basic {expected}"
    assert shop.seen[0].query == {} and client.auth_used == "basic"


def test_writing_sends_json() -> None:
    """POST and PUT carry JSON, DELETE its parameters."""
    shop = shop_of(Said({"id": 1}))
    client = client_of(shop)
    client.post("orders", {"a": "ü"})
    client.put("orders/1", {"b": 2})
    client.delete("orders/1", {"force": True})
    assert [(seen.method, seen.body) for seen in shop.seen] == [
        ("POST", '{"a":"ü"}'.encode()),
        ("PUT", b'{"b":2}'),
        ("DELETE", None),
    ]
    assert shop.seen[0].headers["Content-Type"] == "application/json"
    assert shop.seen[2].query == {"force": "true"}


def test_head_needs_no_body() -> None:
    """HEAD brings the total."""
    got = client_of(shop_of(Said([], 200, {"X-WP-Total": "7"}))).head("orders")
    assert (got.data, got.total) == (None, 7)


def test_stripped_header_falls_back_to_the_query() -> None:
    """When the store does not see the header, the query is tried once and stays."""
    shop = Shop(lambda seen: Said() if "consumer_secret" in seen.query else BLIND)
    client = client_of(shop)
    client.get("orders")
    client.get("orders")
    assert ["Authorization" in seen.headers for seen in shop.seen] == [True, False, False]
    assert shop.seen[1].query == {"consumer_key": KEY, "consumer_secret": SECRET}
    assert (client.auth_used, client.requests_made) == ("query", 3)


def test_wrong_keys_are_not_tried_for_ever() -> None:
    """After all ways failed, each request costs one again."""
    shop = shop_of(BLIND)
    client = client_of(shop)
    with pytest.raises(StoreAccessError):
        client.get("orders")
    after = len(shop.seen)
    with pytest.raises(StoreAccessError):
        client.get("orders")
    assert (after, len(shop.seen)) == (3, 4)


def test_missing_permission_is_no_reason_to_change() -> None:
    """Once a way has worked, a refusal means what it says."""
    shop = Shop(lambda seen: BLIND if seen.path.endswith("customers") else Said())
    client = client_of(shop)
    client.get("orders")
    with pytest.raises(StoreAccessError):
        client.get("customers")
    assert len(shop.seen) == 2 and client.auth_used == "basic"


def test_chosen_way_is_kept() -> None:
    """Who configures one way gets that one."""
    shop = shop_of(BLIND)
    with pytest.raises(StoreAccessError):
        client_of(shop, auth="query").get("orders")
    assert [sorted(seen.query) for seen in shop.seen] == [["consumer_key", "consumer_secret"]]


def rfc3986(text: str) -> str:
    return urllib.parse.quote(text, safe="-._~")


def signed_for(seen: Seen, root: str) -> bool:
    """Check a signature as WC_REST_Authentication::check_oauth_signature does."""
    query = dict(seen.query)
    given = query.pop("oauth_signature", "")
    ordered = sorted(query.items(), key=lambda pair: pair[0].encode())
    joined = "%26".join(
        rfc3986(rfc3986(key)) + "%3D" + rfc3986(rfc3986(value)) for key, value in ordered
    )
    base = f"{seen.method}&{rfc3986(root + seen.path)}&{joined}"
    digest = hmac.digest(f"{SECRET}&".encode(), base.encode(), "sha256")
    return given == base64.b64encode(digest).decode()


@pytest.mark.parametrize("method", ["get", "head", "delete"])
def test_oauth_over_http(method: str) -> None:
    """Over plain HTTP requests are signed, so that the secret does not travel."""
    shop = shop_of(Said())
    client = client_of(shop, "http://shop.example")
    getattr(client, method)(
        "orders", {"search": "a b&c=ü%41+", "include": [1, 2], "page": 10, "pa": "", "per-page": 3}
    )
    [seen] = shop.seen
    assert signed_for(seen, "http://shop.example") and client.auth_used == "oauth"
    assert seen.query["oauth_consumer_key"] == KEY and SECRET not in seen.url
    assert abs(int(seen.query["oauth_timestamp"]) - time.time()) < 5


# No parameter of the store's begins with oauth_: those are the signature's own.
_names = st.text().filter(lambda key: "[" not in key and not key.startswith("oauth_"))


@given(st.dictionaries(_names, st.text(), max_size=8))
def test_any_parameters_are_signed_rightly(params: dict[str, str]) -> None:
    """The store's own check accepts whatever is asked."""
    params.pop("", None)
    shop = shop_of(Said())
    client_of(shop, "http://shop.example").get("orders", params)
    assert signed_for(shop.seen[0], "http://shop.example")


def test_nonces_differ() -> None:
    """WooCommerce refuses a nonce that it has seen."""
    shop = shop_of(Said())
    client = client_of(shop, "http://shop.example")
    client.get("orders")
    client.get("orders")
    assert shop.seen[0].query["oauth_nonce"] != shop.seen[1].query["oauth_nonce"]


def store_signing_for(root: str, home: str) -> Shop:
    def rule(seen: Seen) -> Said:
        if seen.path == "/wp-json/":
            return Said({"home": home, "namespaces": ["wc/v3"]})
        return Said() if signed_for(seen, root) else BAD_SIGNATURE

    return Shop(rule)


@pytest.mark.parametrize("root", ["http://www.shop.example", "https://www.shop.example"])
def test_store_with_another_home_is_signed_for(root: str) -> None:
    """The store checks against its home URL; it is asked for once, in any language."""
    shop = store_signing_for(root, "https://www.shop.example/")
    client = client_of(shop, "http://10.0.0.5:8080")
    client.get("orders")
    before = len(shop.seen)
    client.get("orders")
    assert len(shop.seen) == before + 1
    assert sum(seen.path == "/wp-json/" for seen in shop.seen) == 1


def test_wrong_secret_ends() -> None:
    """When no address makes the signature right, the store's refusal is raised."""
    shop = store_signing_for("http://nobody.example", "http://www.shop.example")
    client = client_of(shop, "http://shop.example")
    with pytest.raises(StoreAccessError, match="Firma no válida"):
        client.get("orders")
    assert len(shop.seen) < 8
    shop.seen.clear()
    with pytest.raises(StoreAccessError):
        client.get("orders")
    assert len(shop.seen) == 1


def test_proxy_that_ends_tls_is_signed_through() -> None:
    """PHP sees plain HTTP behind such a proxy, takes no plain keys, and signs for http."""

    def rule(seen: Seen) -> Said:
        if seen.path == "/wp-json/":
            return Said({"home": "https://shop.example"})
        if "oauth_signature" not in seen.query:
            return BLIND
        return Said() if signed_for(seen, "http://shop.example") else BAD_SIGNATURE

    client = client_of(Shop(rule))
    client.get("orders")
    assert client.auth_used == "oauth"


def test_clock_that_is_wrong_is_put_right() -> None:
    """A store allows fifteen minutes; its Date header gives its time."""

    def rule(seen: Seen) -> Said:
        store_time = dt.datetime(2026, 11, 23, 21, 3, 50, tzinfo=dt.UTC).timestamp()
        late = abs(int(seen.query["oauth_timestamp"]) - store_time) > 900
        return refusal("woocommerce_rest_authentication_error", "Invalid timestamp.") if late \
            else Said()  # fmt: skip

    shop = Shop(rule)
    client_of(shop, "http://shop.example").get("orders")
    assert len(shop.seen) <= 2


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
    """Each kind of refusal is an exception of its own, with what the store said."""
    shop = shop_of(refusal("some_code", "Because <b>of</b>\nthis &amp; that.", status))
    with pytest.raises(kind, match=f"{status}: Because of this & that") as caught:
        client_of(shop).get("orders", {"search": "x"})
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code) == (status, "some_code")
    assert error.said == "Because of this & that."
    assert error.url == "https://shop.example/wp-json/wc/v3/orders"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html><head><TITLE>Just a moment...</TITLE></head><body>x</body>", "Just a moment..."),
        (b"<body><script>var a = '<p>';</script><style>p{}</style><p>No&nbsp;way</p>", "No way"),
        (b"Plain   words\n", "Plain words"),
        (b"", ""),
        (b"\xff\xfe\x00", "\ufffd\ufffd"),
        (b"<" * 100_000, None),
        (b"<title>" * 20_000, None),
        (b"<script" * 20_000, None),
        (b"x" * 100_000, "x" * 299 + "…"),
        (b'["list"]', ""),
        (b'{"message": {"a": 1}}', "{'a': 1}"),
    ],
)
def test_said_of_pages(body: bytes, said: str | None) -> None:
    """Of a page the title or the first text is kept, short and without markup."""
    began = time.process_time()
    with pytest.raises(StoreBusyError) as caught:
        client_of(shop_of(Said(body, 503))).get("orders")
    assert said is None or caught.value.said == said
    assert len(caught.value.said) <= 300 and time.process_time() - began < 0.5


def test_said_hides_our_keys() -> None:
    """An error page that quotes the request does not bring the secret into a log."""
    body = f"<title>Bad {KEY} in /?consumer_secret={SECRET}</title>".encode()
    with pytest.raises(StoreRejectedError) as caught:
        client_of(shop_of(Said(body, 400))).get("orders")
    assert SECRET not in str(caught.value) and KEY not in str(caught.value)
    assert "***" in caught.value.said


def test_missing_api_hints_at_the_permalinks() -> None:
    """A 404 that is no JSON comes from the web server, not from WooCommerce."""
    with pytest.raises(StoreRejectedError, match="permalinks"):
        client_of(shop_of(Said(b"<title>Not Found</title>", 404))).get("orders")


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
    """Seconds, or a date by the store's own clock, at most six hours."""
    with pytest.raises(StoreBusyError) as caught:
        client_of(shop_of(Said(b"", 429, {"Retry-After": value}))).get("orders")
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
    """A redirect's message has the address for store.url."""
    shop = shop_of(Said(b"", 301, {"Location": location}))
    with pytest.raises(StoreRejectedError, match=words) as caught:
        client_of(shop).get("orders")
    assert len(shop.seen) == 1 and "consumer_secret" not in str(caught.value)


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
    """A site that shows PHP's notices still answers; they are kept aside."""
    body = (before + json.dumps(data)).encode()
    got = client_of(shop_of(Said(body))).get("orders")
    assert got.data == data
    assert bool(got.notices) == ("on line" in before) and "<" not in got.notices


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
        (NOTICE + '[{"id":1},{"id":2}]trailing').encode(),
        NOTICE.encode(),
        b"<b>Fatal error</b>: Allowed memory size exhausted in x on line 5<br />[]",
        b'[{"name":"\xff\xfe"}]',
        '[{"id":1}]'.encode("utf-16"),
        b"[NaN]",
        b"[" * 100_000,
        b"Warning: on line " * 5000,
    ],
)
def test_what_is_not_json_is_garbled(body: bytes) -> None:
    """Only complete JSON is accepted, not a truncated list."""
    began = time.process_time()
    with pytest.raises(StoreGarbledError) as caught:
        client_of(shop_of(Said(body))).get("orders")
    assert caught.value.status == 200 and time.process_time() - began < 0.5


@given(st.binary(max_size=200))
def test_any_body_is_an_answer_or_garbled(body: bytes) -> None:
    """No body leads to any other exception."""
    try:
        client_of(shop_of(Said(body))).get("orders")
    except StoreGarbledError:
        pass


@pytest.mark.parametrize(
    "data", [{"id": 1}, None, "x", [1], [[]], [{"id": 1}, None], {"code": "a", "message": "b"}]
)
def test_get_list_wants_objects(data: object) -> None:
    """A collection that is something else is garbled."""
    with pytest.raises(StoreGarbledError, match="list of objects"):
        client_of(shop_of(Said(data))).get_list("orders")


@pytest.mark.parametrize("row", [{}, {"id": "1"}, {"id": None}, {"id": True}])
def test_get_list_can_want_ids(row: dict[str, object]) -> None:
    """Rows without a whole number as id are refused where ids matter."""
    client = client_of(shop_of(Said([row])))
    assert client.get_list("orders").data == [row]
    with pytest.raises(StoreGarbledError, match="ids"):
        client.get_list("orders", ids=True)


def test_index_is_read_without_keys() -> None:
    """What everybody may read needs no secret."""
    shop = shop_of(Said({"home": "https://shop.example"}))
    assert client_of(shop).index().data["home"] == "https://shop.example"
    assert "Authorization" not in shop.seen[0].headers and shop.seen[0].query == {}


def test_answer_that_is_too_large_is_garbled() -> None:
    """The cap is named together with the ways out."""
    client = client_of(shop_of(Said(["x" * 1000])), max_bytes=100)
    with pytest.raises(StoreGarbledError, match="WOO_EVENTS_STORE_MAX_BYTES"):
        client.get("orders")


def test_real_connection_is_kept_and_closed() -> None:
    """Over a socket requests share a connection, which the client closes in the end."""
    with peer(answers(answer(b"[]"), answer(b"[]"))) as there:
        with StoreClient(there.url, KEY, SECRET, timeouts=Timeouts(2, 2, 4)) as client:
            client.get("orders")
            client.get("orders")
    assert there.connections == 1
    assert b"GET /wp-json/wc/v3/orders?oauth_consumer_key=" in there.requests[0]


def test_stale_connection_costs_nothing() -> None:
    """A store may close a kept connection whenever it likes."""

    def handle(line: Connection) -> None:
        line.read()
        line.send(answer(b"[]"))
        if line.number == 1:
            line.read()

    with peer(handle) as there:
        with StoreClient(there.url, KEY, SECRET, timeouts=Timeouts(2, 2, 4)) as client:
            client.get("orders")
            assert client.get("orders").data == []


def test_cut_off_answer_is_unreachable() -> None:
    """A body that breaks off is no answer, even where its beginning would parse."""
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[]"
    with peer(answers(cut)) as there:
        with StoreClient(there.url, KEY, SECRET, timeouts=Timeouts(2, 2, 4)) as client:
            with pytest.raises(UnreachableError):
                client.get("orders")


def test_signature_of_a_known_request() -> None:
    """The signature of a fixed request does not change by accident."""
    pairs = sign("GET", "http://shop.example/wp-json/wc/v3/orders", [("page", "1")],
                 "ck_1", "cs_1", timestamp=1, nonce="n")  # fmt: skip
    base = (
        "GET&http%3A%2F%2Fshop.example%2Fwp-json%2Fwc%2Fv3%2Forders&oauth_consumer_key%3Dck_1"
        "%26oauth_nonce%3Dn%26oauth_signature_method%3DHMAC-SHA256%26oauth_timestamp%3D1"
        "%26page%3D1"
    )
    expected = base64.b64encode(hmac.new(b"cs_1&", base.encode(), hashlib.sha256).digest())
    assert dict(pairs)["oauth_signature"] == expected.decode()
