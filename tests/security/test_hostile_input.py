"""Hostile input of callers, stores and callbacks has a bounded cost and causes no failure."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import gzip
import time
import tracemalloc
import typing as t
import zlib

import flask
import pytest

from flask_woo_events.delivery.send import ANSWER_READ
from flask_woo_events.errors import InputError, StoreGarbledError, WooEventsError
from flask_woo_events.instances.requests import parse_headers, web_address
from flask_woo_events.sync.webhooks import parse
from flask_woo_events.values import dates, validation
from flask_woo_events.values.dates import expand_macros
from flask_woo_events.values.java_dates import DatePattern
from flask_woo_events.values.time_zones import parse_zone
from flask_woo_events.woocommerce.access import StoreAccess
from flask_woo_events.woocommerce.ceql import read_where
from flask_woo_events.woocommerce.client import store_root
from flask_woo_events.woocommerce.json_text import parse_json
from flask_woo_events.woocommerce.responses import plain_text, said
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import NOW, PREFIX, Api, runtime_of
from tests.integration.store_to_callback import StoreToCallback
from tests.raw_server import respond, response, serve_raw

#: CPU seconds that parsing one hostile text may take.
CPU_LIMIT = 0.25


@contextlib.contextmanager
def cpu_limit(seconds: float = CPU_LIMIT) -> cabc.Iterator[None]:
    """Fail when a block takes more CPU seconds; waiting does not count."""
    began = time.process_time()
    yield
    spent = time.process_time() - began
    assert spent < seconds, f"{spent:.2f} s of CPU"


def _macros(url: str) -> object:
    return expand_macros(url, last_poll=NOW, now=NOW)


def _pattern(text: str) -> object:
    DatePattern("yyyy-MM-dd'T'HH:mm:ss.SSSX").parse(text)
    return DatePattern(text).parse(text)


#: Parsers of texts from callers or stores.
READERS: dict[str, cabc.Callable[[str], object]] = {
    "sanitized": validation.sanitized,
    "where": read_where,
    "macros": _macros,
    "macro": lambda text: _macros("${gmtDate:" + text + "}"),
    "zone macro": lambda text: _macros("${dateTimeZone:" + text + "}"),
    "pattern": _pattern,
    "date": DatePattern("EEE MMM dd HH:mm:ss z yyyy").parse,
    "zone": parse_zone,
    "store date": dates.parse_store_date,
    "headers": parse_headers,
    "callback": web_address,
    "store": store_root,
    "plain text": plain_text,
    "answer": lambda text: parse_json(text.encode()),
    "error": lambda text: said(text.encode()),
    "hook": lambda text: parse.read(text, text.encode()),
}
#: Pieces that are repeated, to find parsers that take quadratic or exponential time.
PIECES = [
    "<", "<<>", ">", "<a", "</script", "<script>", "'", "''", "'a", "a'", " ", "\t", "a ", " and ",
    "a=1 and ", "a in (1", "a in ('',", "a=' ", "${", "${}", "{", "}", "${gmtDate:", "yyyy", "'T'",
    "y", "9", "-", "A-", "A-1", "a/", "+1", "0", ",", ";", ":", "a:b;", "a: b\n", "&#", "&amp", "&",
    "%", "@", "/", "//", "http://", ".", "[", "[]", '{"a":', '"', "\\", "é", "<br>", "Warning: ",
    "Warning: a on line 1", " on line 1", "<b>", "\xa0", "webhook_id=1",
]  # fmt: skip


def _is_fast(name: str, text: str) -> bool:
    began = time.process_time()
    with contextlib.suppress(WooEventsError, ValueError):
        READERS[name](text)
    return time.process_time() - began < CPU_LIMIT


@pytest.mark.parametrize("name", READERS)
def test_long_texts_are_parsed_fast(name: str) -> None:
    """A text that repeats one piece takes no more than linear time."""
    for piece in PIECES:
        for end in ("", "!", ">", "'"):
            text = (piece * (50_000 // len(piece))) + end
            # Only a garbage collection makes a linear parser slow, and that not each time.
            assert any(_is_fast(name, text) for _ in range(3)), (piece, end)


def test_long_texts_in_requests(api: Api) -> None:
    """A request of the largest allowed size is refused at little cost."""
    for name in ("<" * 900_000, "<a" * 400_000, " " * 900_000):
        with cpu_limit(2):
            body = {"element": {"key": "woocommercerest"}, "name": name, "tags": [name[:9]]}
            assert api.call("POST", "/instances", body).status_code == 400
    for query in ("where=" + "a%20" * 2000, "where=" + "'" * 8000, "where=status%3D" + "'" * 8001):
        with cpu_limit():
            for path in ("/notifications/subscriptions/deliveries", "/instances"):
                assert api.call("GET", f"{path}?{query}").status_code in (400, 404)


@pytest.mark.parametrize("kind", ["gzip", "deflate", "br"])
def test_requests_are_not_decompressed(app: flask.Flask, api: Api, kind: str) -> None:
    """The API does not decompress a request, so a compression bomb costs nothing."""
    data = b'{"name":"' + b"x" * 50_000_000 + b'"}'
    bomb = zlib.compress(data) if kind == "deflate" else gzip.compress(data)
    assert len(bomb) < 100_000
    headers = {**api.headers, "Content-Encoding": kind, "Content-Type": "application/json"}
    with cpu_limit():
        response = api.client.post(f"{PREFIX}/instances", data=bomb, headers=headers)
    assert response.status_code == 400 and "not JSON" in response.text


def _memory_of(work: cabc.Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_compression_bomb_of_a_store(app: flask.Flask) -> None:
    """A store's response is decompressed only up to the limit, and is an error above it."""
    runtime = runtime_of(app)
    bomb = zlib.compress(b"[" + b" " * 200_000_000 + b"]", 9)
    packed = response(bomb, "200 OK", "Content-Encoding: deflate", "X-WP-Total: 1")
    with serve_raw(respond(packed)) as server:
        client = runtime.store_client(StoreAccess(server.url, "ck_a", "cs_a"))
        client._max_bytes = 1_000_000

        def work() -> None:
            with pytest.raises(StoreGarbledError, match="WOO_EVENTS_STORE_MAX_BYTES"):
                client.get("orders")

        assert _memory_of(work) < 20_000_000


def test_compression_bomb_of_a_callback(env: StoreToCallback) -> None:
    """At most 64 KiB of a callback's response are decompressed."""
    order = env.first("orders")
    bomb = gzip.compress(b"\0" * 100_000_000)
    packed = response(bomb, "500 No", "Content-Encoding: gzip")
    with serve_raw(respond(packed)) as server:
        changes = {"configuration": {"event.notification.callback.url": server.url}}
        answered = env.api.call("PATCH", f"/instances/{env.instance_id}", changes)
        assert answered.status_code == 200
        env.store.acts.status(order, "completed")
        env.poll()
        worker = Worker(runtime_of(env.app))
        assert _memory_of(worker.deliver_once) < 20_000_000
        assert server.requests and ANSWER_READ <= 65536


@pytest.mark.parametrize(
    "value",
    [{"X": "a\r\nElements-Webhook-Id: forged"}, {"X\r\nY": "a"}, {"X": "a\nb"}, {"X": "a\0b"},
     {"X": "a\x85b"}, {"X ": "a"}, {"": "a"}, {"X:Y": "a"}, {"X": "a\u2028b"},
     "X: a\r\nHost: other", "Host: other", "X: a\rY: b", "content-length: 0",
     "Transfer-Encoding: chunked", "Elements-Webhook-Signature: forged", "webhook-id: forged",
     {"WEBHOOK-SIGNATURE": "forged"}, {"Connection": "X"}],
)  # fmt: skip
def test_headers_cannot_be_injected(api: Api, value: object) -> None:
    """A callback header of an instance is one line, and none that the extension sets."""
    refused = _with(api, **{"event.notification.callback.headers": value})
    assert refused.status_code == 400, refused.text


@pytest.mark.parametrize(
    "url",
    ["http://a.example/\r\nX: y", "http://a.example/ HTTP/1.1", "http://a.example\r\n.b/",
     "http://a.example/\tx", "http://a.example/\0", "http://a.example/\u2028x", "http://a\nb/",
     "javascript:alert(1)", "file:///etc/passwd", "gopher://a/", "//a.example/", "http:///x",
     "http://u:p@a.example/", "http://a.example:99999/", "http://[::1", "http://a\\@b/"],
)  # fmt: skip
def test_urls_cannot_inject_lines(api: Api, url: str) -> None:
    """The URL of a callback or store cannot add lines or fields to a request."""
    assert _with(api, **{"event.notification.callback.url": url}).status_code == 400
    if not url.startswith(("//", "http://a.example/ ")):
        assert _with(api, **{"store.url": url}).status_code in (400, 502)


def _with(api: Api, **configuration: object) -> t.Any:
    body = {
        "element": {"key": "woocommercerest"},
        "name": "x",
        "configuration": {
            "store.url": api.store,
            "oauth.api.key": "ck_a",
            "oauth.api.secret": "cs_a",
            **configuration,
        },
    }
    return api.call("POST", "/instances", body)


@pytest.mark.parametrize("name", ["a\r\nX-Forged: 1", "a\nb", "a\0b", "\u2028", "a\x1b[31m"])
def test_names_cannot_inject_headers(env: StoreToCallback, name: str) -> None:
    """A name is sent only in JSON, so it adds no header to a response or a callback request."""
    path = f"/instances/{env.instance_id}"
    response = env.api.call("PATCH", path, {"name": name, "tags": [name]})
    assert "X-Forged" not in response.headers
    if response.status_code == 200:
        env.store.acts.status(env.first("orders"), "completed")
        env.arrivals()
        assert env.receiver.received
        for one in env.receiver.received:
            assert "X-Forged" not in one.headers


@pytest.mark.parametrize("depth", [65, 1000, 100_000])
@pytest.mark.parametrize("open_", ["[", '{"a":'])
def test_deeply_nested_requests(api: Api, depth: int, open_: str) -> None:
    """A request nested more than 64 levels deep is refused."""
    close = "]" if open_ == "[" else "}"
    data = f'{{"configuration":{open_ * depth}1{close * depth}}}'.encode()
    headers = {**api.headers, "Content-Type": "application/json"}
    with cpu_limit(2):
        response = api.client.post(f"{PREFIX}/instances", data=data[:1_000_000], headers=headers)
    assert response.status_code == 400


@pytest.mark.parametrize("depth", [300, 900, 5000])
def test_deeply_nested_response_of_a_store(app: flask.Flask, depth: int) -> None:
    """A store's response that is nested too deeply raises ``StoreGarbledError``."""
    data = b'[{"id":1,"a":' + b"[" * depth + b"]" * depth + b"}]"
    with serve_raw(respond(response(data, "200 OK", "X-WP-Total: 1"))) as server:
        client = runtime_of(app).store_client(StoreAccess(server.url, "ck_a", "cs_a"))
        with pytest.raises(StoreGarbledError):
            client.get("orders")


def test_nested_object_is_delivered(env: StoreToCallback) -> None:
    """An object nested 200 levels deep is recorded and sent to the callback."""
    value: t.Any = 1
    for _ in range(200):
        value = {"a": value}
    row = next(iter(env.store.shop.tables["orders"]))
    env.rest("PUT", f"orders/{row.id}", meta_data=[{"key": "deep", "value": value}])
    assert ("orders", str(row.id), "UPDATED") in env.arrivals()
    token = env.api.call("GET", f"/instances/{env.instance_id}")
    assert token.status_code == 200


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "9" * 400, "1e999", "9" * 19, "1" * 400_000])
def test_huge_numbers(app: flask.Flask, api: Api, number: str) -> None:
    """A number of any size in a path, a query or a body is refused at little cost."""
    short = number[:5000]
    with cpu_limit(2):
        for path in (f"/instances/{short}", f"/notifications/{short}",
                     f"/instances?pageSize={short}", f"/instances?nextPage={short}",
                     f"/instances/events?nextPage={short}"):  # fmt: skip
            assert api.call("GET", path).status_code in (400, 404), path
        for key in ("event.poller.refresh_interval", "x"):
            for value in (number, f'"{number}"'):
                data = f'{{"name":"x","configuration":{{"{key}":{value}}}}}'.encode()
                headers = {**api.headers, "Content-Type": "application/json"}
                response = api.client.post(f"{PREFIX}/instances", data=data, headers=headers)
                assert response.status_code == 400


def test_hostile_response_of_a_callback(env: StoreToCallback) -> None:
    """A response with NULs, markup and terminal codes is stored as text, and can be read."""
    body = b"\0\x1b[2J<script>alert(1)</script>\xff\xfe" * 50
    with serve_raw(respond(response(body, "500 No"))) as server:
        changes = {"configuration": {"event.notification.callback.url": server.url}}
        env.api.call("PATCH", f"/instances/{env.instance_id}", changes)
        env.store.acts.status(env.first("orders"), "completed")
        env.poll()
        Worker(runtime_of(env.app)).deliver_once()
    listed = env.api.call("GET", "/instances/events/dispositions")
    assert listed.status_code == 200 and listed.mimetype == "application/json"


def test_input_errors_are_short(api: Api) -> None:
    """An error quotes only the beginning of a long invalid value."""
    with pytest.raises(InputError) as caught:
        read_where("x" * 4000)
    assert len(str(caught.value)) < 500
    response = api.call(
        "POST", "/instances", {"element": {"key": "x" * 500_000}, "configuration": {}}
    )
    assert response.status_code == 400 and len(response.text) < 2000
