"""Invalid input: the answer names the wrong field, nothing is stored, and there is no 500."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import shutil
import socket
import typing as t

import flask
import flask.testing
import hypothesis
import orjson
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from flask_woo_events.db.models import Configuration, Instance
from tests.examples import examples
from tests.integration.host_app import (
    PREFIX,
    Api,
    Body,
    Headers,
    StubStore,
    add_account,
    body_for,
    dispose,
    make_app,
    runtime_of,
)
from tests.serving import serve_app

CONFIGURATION = "event.poller.configuration"
ORDERS = {"url": "/hubs/ecommerce/orders", "idField": "id"}


def _stored(app: flask.Flask) -> list[t.Any]:
    with runtime_of(app).database.read() as session:
        query = sa.select(Configuration.key, Configuration.value).order_by(Configuration.id)
        instances = session.execute(sa.select(Instance.id, Instance.name, Instance.tags))
        return [*instances, *session.execute(query)]


def _poller(**changes: object) -> Body:
    return {CONFIGURATION: {"orders": ORDERS | changes}}


def _dates(**dates: object) -> Body:
    return _poller(datesConfiguration=dates)


def _label(value: object) -> str:
    return ascii(value)[:40].replace("\\", "")


#: Configurations, and the name that the message must contain.
CONFIGURATIONS: list[tuple[Body, str]] = [
    ({"store.url": ""}, "store.url"),
    ({"store.url": None}, "store.url"),
    ({"store.url": "ftp://shop.test"}, "store.url"),
    ({"store.url": "http://"}, "store.url"),
    ({"store.url": "http://[::1"}, "store.url"),
    ({"store.url": "http://shop.test:99999"}, "store.url"),
    ({"store.url": "http://ann:pw@shop.test"}, "store.url"),
    ({"store.url": "<http://mycoolstore.com>"}, "store.url"),
    ({"store.url": "http://shop.test\r\nX: y"}, "store.url"),
    ({"store.url": {"a": 1}}, "store.url"),
    ({"store.url": "h" * 3000}, "store.url"),
    ({"oauth.api.key": ""}, "oauth.api.key"),
    ({"oauth.api.key": "<CONSUMER_KEY>"}, "oauth.api.key"),
    ({"oauth.api.key": "ключ"}, "oauth.api.key"),
    ({"oauth.api.secret": "cs_\n"}, "oauth.api.secret"),
    ({"oauth.api.secret": "x" * 2000}, "oauth.api.secret"),
    ({"event.notification.enabled": "perhaps"}, "event.notification.enabled"),
    ({"event.notification.enabled": []}, "event.notification.enabled"),
    ({"event.vendor.type": "pigeon"}, "event.vendor.type"),
    ({"event.notification.callback.url": "mycoolapp"}, "event.notification.callback.url"),
    ({"event.notification.callback.url": "<CALLBACK_URL>"}, "event.notification.callback.url"),
    ({"event.notification.callback.url": "file:///etc/x"}, "event.notification.callback.url"),
    ({"event.notification.callback.url": "http://a b"}, "event.notification.callback.url"),
    ({"event.notification.callback.url": "http://a:pw@b"}, "event.notification.callback.url"),
    ({"event.notification.callback.url": "http://a\u2028b"}, "event.notification.callback.url"),
    ({"event.notification.signature.key": "a\nb"}, "event.notification.signature.key"),
    ({"event.poller.refresh_interval": "<minutes>"}, "event.poller.refresh_interval"),
    ({"event.poller.refresh_interval": 0}, "event.poller.refresh_interval"),
    ({"event.poller.refresh_interval": -5}, "event.poller.refresh_interval"),
    ({"event.poller.refresh_interval": 10**18}, "event.poller.refresh_interval"),
    ({"event.poller.refresh_interval": "9" * 5000}, "event.poller.refresh_interval"),
    ({"event.poller.refresh_interval": True}, "event.poller.refresh_interval"),
    ({"event.poller.refresh_interval": "1²"}, "event.poller.refresh_interval"),
    ({"filter.response.nulls": "x"}, "filter.response.nulls"),
    ({"event.notification.type": "email"}, "event.notification.type"),
    ({"event.notification.basic.username": "a:b"}, "basic.username"),
    ({"event.notification.callback.headers": "X-A"}, "callback.headers"),
    ({"event.notification.callback.headers": "X-A: one, two"}, "callback.headers"),
    ({"event.notification.callback.headers": "{bad"}, "callback.headers"),
    ({"event.notification.callback.headers": [1]}, "callback.headers"),
    ({"event.notification.callback.headers": {"X": {}}}, "callback.headers"),
    ({"event.notification.callback.headers": {"X A": "b"}}, "callback.headers"),
    ({"event.notification.callback.headers": {"X": "a\r\nb"}}, "callback.headers"),
    ({"event.notification.callback.headers": {"Host": "b"}}, "callback.headers"),
    ({"event.notification.callback.headers": {"Proxy-Connection": "b"}}, "callback.headers"),
    ({CONFIGURATION: []}, CONFIGURATION),
    ({CONFIGURATION: {}}, CONFIGURATION),
    ({CONFIGURATION: 7}, CONFIGURATION),
    ({CONFIGURATION: "{"}, CONFIGURATION),
    ({CONFIGURATION: '"x"'}, CONFIGURATION),
    ({CONFIGURATION: "[" * 10_000}, CONFIGURATION),
    ({CONFIGURATION: '{"a":' * 100 + "1" + "}" * 100}, CONFIGURATION),
    ({CONFIGURATION: {"": ORDERS}}, CONFIGURATION),
    ({CONFIGURATION: {"a\n": ORDERS}}, CONFIGURATION),
    ({CONFIGURATION: {"x" * 300: ORDERS}}, CONFIGURATION),
    ({CONFIGURATION: {"orders": ORDERS, "Orders": ORDERS}}, CONFIGURATION),
    ({CONFIGURATION: {str(one): ORDERS for one in range(101)}}, CONFIGURATION),
    ({CONFIGURATION: {"orders": 1}}, "orders"),
    ({CONFIGURATION: {"orders": {}}}, "orders.url"),
    (_poller(url="/hubs/ecommerce/nothing"), "orders.url"),
    (_poller(url="https://evil.test/"), "orders.url"),
    (_poller(url="/hubs/ecommerce/../orders"), "orders.url"),
    (_poller(url=""), "orders.url"),
    (_poller(url=7), "orders.url"),
    (_poller(url="/" + "a" * 3000), "orders.url"),
    (_poller(url="/orders?where=nonsense"), "orders.url"),
    (_poller(url="/orders?where=total>5"), "orders.url"),
    (_poller(url="/orders?where=total='5'"), "orders.url"),
    (_poller(url="/orders?where=status='a' or status='b'"), "orders.url"),
    (_poller(url="/orders?where=status='a' and status='b'"), "orders.url"),
    (_poller(url="/orders?status=a&where=status='b'"), "orders.url"),
    (_poller(url="/orders?where=status like 'a%25'"), "orders.url"),
    (_poller(url="/orders?where=search=''"), "orders.url"),
    (_poller(url="/customers?where=created_date>'2026-01-31'"), "orders.url"),
    (_poller(url="/orders?where=x='${gmtDate:bbb}'"), "orders.url"),
    (_poller(url="/orders?where=x='${never}'"), "orders.url"),
    (_poller(url="/orders?after=${gmtDate"), "orders.url"),
    (_poller(idField=""), "orders.idField"),
    (_poller(pageSize=0), "orders.pageSize"),
    (_poller(pageSize=True), "orders.pageSize"),
    (_poller(pollDelay=-1), "orders.pollDelay"),
    (_poller(createdCheckTolerance="x"), "orders.createdCheckTolerance"),
    (_poller(filterByUpdateDate="x"), "filterByUpdate"),
    (_poller(datesConfiguration="x"), "datesConfiguration"),
    (_dates(updatedDateFormat="bbb"), "updatedDateFormat"),
    (_dates(createdDateFormat="QQQQ["), "createdDateFormat"),
    (_dates(updatedDateTimezone="Mars/Olympus"), "updatedDateTimezone"),
    (_dates(updatedDateField={}), "updatedDateField"),
    ({"event.poller.urls": "|/orders"}, "event.poller.urls"),
    ({"event.poller.urls": "nothing"}, "event.poller.urls"),
    ({"event.poller.urls": "a|/hubs/x/orders||d|bbb"}, "event.poller.urls"),
    ({"x" * 300: "y"}, "configuration"),
    ({"": "y"}, "configuration"),
    ({"a\nb": "y"}, "configuration"),
    ({"MY.key": "y", "my.key": "z"}, "configuration"),
    ({f"key{one}": "" for one in range(300)}, "configuration"),
]


@pytest.fixture(scope="module")
def strict_app(
    tmp_path_factory: pytest.TempPathFactory, tables: pathlib.Path
) -> cabc.Iterator[flask.Flask]:
    """Make an application for all tests whose input is refused, which leaves nothing behind."""
    folder = tmp_path_factory.mktemp("strict")
    shutil.copy(tables, folder / "host.sqlite3")
    app = make_app(folder)
    yield app
    dispose(app)


@pytest.fixture(scope="module")
def strict_api(strict_app: flask.Flask) -> cabc.Iterator[Api]:
    """Return its API as ann calls it, who has one instance."""
    account = add_account(strict_app, "ann", "acme")
    with StubStore().serving() as store:
        api = Api(strict_app.test_client(), account.headers, store.url)
        api.create()
        yield api


def _refused(response: t.Any, words: str) -> None:
    assert 400 <= response.status_code < 500, response.text
    assert words in response.json["message"]
    assert response.json["requestId"]


@pytest.mark.parametrize(("keys", "words"), CONFIGURATIONS, ids=_label)
def test_wrong_configuration(
    strict_app: flask.Flask, strict_api: Api, keys: Body, words: str
) -> None:
    """An invalid value is refused with the name of its key."""
    stored = _stored(strict_app)
    _refused(strict_api.call("POST", "/instances", body_for(strict_api.store, **keys)), words)
    assert _stored(strict_app) == stored


@pytest.mark.parametrize(("keys", "words"), CONFIGURATIONS, ids=_label)
def test_wrong_change(strict_app: flask.Flask, strict_api: Api, keys: Body, words: str) -> None:
    """An invalid value does not change an instance."""
    stored = _stored(strict_app)
    _refused(
        strict_api.call("PATCH", _first(strict_app, strict_api), {"configuration": keys}), words
    )
    assert _stored(strict_app) == stored


#: Changes of a valid body, and the name that the message must contain.
BODIES: list[tuple[Body, str]] = [
    ({"element": None}, "element.key"),
    ({"element": {}}, "element.key"),
    ({"element": {"key": "shopify"}}, "element"),
    ({"element": {"id": 1}}, "element"),
    ({"element": {"key": "woocommercerest", "id": 7}}, "element"),
    ({"element": {"key": 7}}, "element.key"),
    ({"element": {"id": "x"}}, "element.id"),
    ({"element": {"id": 10**30}}, "element"),
    ({"element": "woocommercerest"}, "element"),
    ({"name": None}, "name"),
    ({"name": ""}, "name"),
    ({"name": "<b></b>"}, "name"),
    ({"name": "x" * 300}, "name"),
    ({"name": 7}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"tags": {}}, "tags"),
    ({"tags": [1]}, "tags"),
    ({"tags": [""]}, "tags"),
    ({"tags": ["x" * 300]}, "tags"),
    ({"tags": ["x"] * 200}, "tags"),
    ({"configuration": None}, "store.url"),
    ({"configuration": {}}, "store.url, oauth.api.key, oauth.api.secret"),
    ({"configuration": []}, "configuration"),
    ({"configuration": "x"}, "configuration"),
]


@pytest.mark.parametrize(("changes", "words"), BODIES, ids=_label)
def test_wrong_body(strict_app: flask.Flask, strict_api: Api, changes: Body, words: str) -> None:
    """An invalid body is refused with the name of its field."""
    stored = _stored(strict_app)
    _refused(strict_api.call("POST", "/instances", body_for(strict_api.store) | changes), words)
    assert _stored(strict_app) == stored


def _nested(depth: int) -> bytes:
    return b'{"name":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"not json", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b'{"name": "\xe9"}', "JSON"),
        (b'{"name": "\\ud800"}', "JSON"),
        (b'{"name": NaN}', "JSON"),
        (b"[]", "object"),
        (b"null", "object"),
        (b'"text"', "object"),
        (b'{"name": "\\u0000"}', "name"),
        (b'{"\\u0000": 1}', "NUL"),
        (b"[" * 10_000, "JSON"),
        (_nested(900), "deep"),
        (_nested(65), "deep"),
    ],
    ids=_label,
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_malformed_body(
    strict_app: flask.Flask, strict_api: Api, method: str, data: bytes, words: str
) -> None:
    """A body that is not a JSON object, or that no database can store, is refused."""
    path = _first(strict_app, strict_api) if method == "PATCH" else "/instances"
    stored = _stored(strict_app)
    response = _send(strict_api.client, method, path, data, strict_api.headers)
    _refused(response, words)
    assert _stored(strict_app) == stored


def _send(
    client: flask.testing.FlaskClient, method: str, path: str, data: bytes, headers: Headers
) -> t.Any:
    return client.open(
        PREFIX + path, method=method, data=data, headers=headers, content_type="application/json"
    )


def test_huge_numbers_are_kept_as_text(api: Api) -> None:
    """Unknown keys can hold numbers of any size."""
    created = api.create()
    for number in (
        b"9" * 6000,
        b"1e999",
        b"1e308",
        b"18446744073709551615",
        b"-9223372036854775808",
    ):
        data = b'{"configuration": {"x": ' + number + b"}}"
        response = _send(api.client, "PATCH", f"/instances/{created['id']}", data, api.headers)
        assert response.status_code < 500


def test_last_of_duplicate_keys_counts(api: Api) -> None:
    """The last of duplicate keys counts, as in other JSON parsers."""
    data = orjson.dumps(body_for(api.store) | {"name": "one"})[:-1] + b',"name":"two"}'
    assert _send(api.client, "POST", "/instances", data, api.headers).json["name"] == "two"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_forms_are_not_json(api: Api, kind: str) -> None:
    """A form is refused with the type that is expected."""
    response = api.client.post(
        f"{PREFIX}/instances", data=b"{}", headers=api.headers, content_type=kind
    )
    assert response.status_code == 415
    assert "application/json" in response.get_json()["message"]


@pytest.mark.parity(81)
def test_other_types_are_not_json(api: Api) -> None:
    """A body that is neither JSON nor said to be is 415; JSON may have any type but a form's."""
    path, data = f"{PREFIX}/instances", orjson.dumps(body_for(api.store))
    for kind, status in (("text/xml", 415), ("application/json", 400), ("text/x-json", 400)):
        response = api.client.post(path, data=b"<a/>", headers=api.headers, content_type=kind)
        assert response.status_code == status, kind
    response = api.client.post(path, data=data, headers=api.headers, content_type="text/plain")
    assert response.status_code == 200
    response = api.client.post(
        path, data=b'{"name": "\\u0000"}', headers=api.headers, content_type="text/plain"
    )
    assert response.status_code == 400


@pytest.mark.parity(89)
def test_large_body(app: flask.Flask, api: Api) -> None:
    """A body of 10 MB is refused with the setting that could allow it."""
    data = orjson.dumps(body_for(api.store) | {"x": "x" * 10_000_000})
    response = _send(api.client, "POST", "/instances", data, api.headers)
    assert response.status_code == 413
    assert "WOO_EVENTS_MAX_BODY_BYTES" in response.json["message"]
    assert _stored(app) == []


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_authorization_is_checked_before_the_body(api: Api, method: str) -> None:
    """Without authorization the answer does not depend on the body or the instance."""
    path = f"/instances/{api.create()['id']}"
    assert _send(api.client, method, path, b"not json", {}).status_code == 401
    assert _send(api.client, method, "/instances/99", b"not json", api.headers).status_code == 404


@pytest.mark.parametrize("data", [b"{}", b"[]", b'"x"', b'{"propertyValue": "pigeon"}', b"\xff"])
def test_wrong_entry(app: flask.Flask, api: Api, data: bytes) -> None:
    """An invalid value of one entry is refused and changes nothing."""
    created = api.create()
    stored = _stored(app)
    entries = api.call("GET", f"/instances/{created['id']}/configuration").json
    found = next(one for one in entries if one["key"] == "event.vendor.type")
    path = f"/instances/{created['id']}/configuration/{found['id']}"
    _refused(_send(api.client, "PATCH", path, data, api.headers), "")
    assert _stored(app) == stored


def test_secrets_are_not_repeated(api: Api) -> None:
    """A refusal does not repeat a secret."""
    keys = {"oauth.api.secret": "cs_very<secret", "event.notification.signature.key": "key\nsecret"}
    response = api.call("POST", "/instances", body_for(api.store, **keys))
    assert response.status_code == 400
    assert "very" not in response.text


def test_callback_headers_are_not_repeated(api: Api) -> None:
    """A value with a comma is refused, and the message does not repeat a piece of it."""
    headers = "Authorization: Digest user=ann, very secret: x"
    body = body_for(api.store, **{"event.notification.callback.headers": headers})
    response = api.call("POST", "/instances", body)
    assert response.status_code == 400
    assert "very" not in response.text


def test_url_that_the_store_does_not_know(api: Api, store_server: t.Any) -> None:
    """A path that the store does not have is a 400 with the store's message."""
    path = "/wp-json/plugin/v1/things"
    store_server.refuse(path, 404, "rest_no_route", "No route was found matching the URL")
    body = body_for(api.store, **{CONFIGURATION: {"things": {"url": path}}})
    response = api.call("POST", "/instances", body)
    assert response.status_code == 400
    assert CONFIGURATION in response.json["message"]
    assert "No route" in response.json["providerMessage"]


#: Values at the edge of calendars, numbers and lengths.
_EDGES: tuple[t.Any, ...] = (
    0, -1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 1e308, -0.0, "", " ", "-1", "1e999",
    "NaN", "9" * 400, str(2**63), "\N{SUPERSCRIPT TWO}", "9999-12-31T23:59:59-14:00", "\ufffe",
    "x" * 70_000, "0001-01-01T00:00:00+14:00", "0000-00-00T00:00:00", "10000-01-01T00:00:00Z",
    [], {}, [[[]]], [{}],
)  # fmt: skip
_SCALARS = (
    st.none()
    | st.sampled_from(_EDGES)
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
_KEYS = st.sampled_from(
    [
        "store.url", "oauth.api.key", "oauth.api.secret", "event.notification.enabled",
        "event.vendor.type", "event.notification.callback.url", "event.poller.refresh_interval",
        CONFIGURATION, "event.poller.urls", "event.notification.callback.headers",
        "filter.response.nulls", "oauth.callback.url", "store_url", "model_config", "__class__",
    ]
)  # fmt: skip
_BLOCKS = st.dictionaries(
    st.sampled_from(
        ["url", "idField", "datesConfiguration", "pageSize", "pollDelay", "filterByUpdatedDate"]
    ),
    _JSON | st.just("/orders") | st.just({"updatedDateFormat": "yyyy'"}),
)
_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "element": _JSON,
        "name": _JSON,
        "tags": _JSON,
        "configuration": _JSON
        | st.dictionaries(_KEYS, _JSON | st.dictionaries(st.text(max_size=5), _BLOCKS)),
    },
)
_FUZZ = hypothesis.settings(
    max_examples=examples(60),
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


def _survives(app: flask.Flask, api: Api, data: bytes, path: str) -> None:
    for method in ("POST", "PATCH"):
        stored = _stored(app)
        target = "/instances" if method == "POST" else path
        response = _send(api.client, method, target, data, api.headers)
        assert response.status_code in (200, 400, 413, 502), response.text
        if response.status_code != 200:
            assert {"message", "requestId"} <= set(response.json)
            assert _stored(app) == stored


@_FUZZ
@hypothesis.given(data=st.binary(max_size=200))
def test_random_bytes(app: flask.Flask, api: Api, data: bytes) -> None:
    """Bytes of any kind are answered."""
    _survives(app, api, data, _first(app, api))


@pytest.mark.slow
@_FUZZ
@hypothesis.given(value=_JSON | _CHANGES)
def test_random_json(app: flask.Flask, api: Api, value: object) -> None:
    """JSON of any shape is answered."""
    _survives(app, api, orjson.dumps(value), _first(app, api))


@hypothesis.settings(_FUZZ, max_examples=examples(30))
@hypothesis.given(changes=_CHANGES)
def test_random_changes_of_a_good_body(app: flask.Flask, api: Api, changes: Body) -> None:
    """A valid body with random values in it is answered."""
    body = body_for(api.store) | changes
    if isinstance(changes.get("configuration"), dict):
        body["configuration"] = body_for(api.store)["configuration"] | changes["configuration"]
        body["configuration"]["store.url"] = api.store
    _survives(app, api, orjson.dumps(body), _first(app, api))


def _first(app: flask.Flask, api: Api) -> str:
    with runtime_of(app).database.read() as session:
        known = session.scalar(sa.select(sa.func.min(Instance.id)))
    return f"/instances/{known if known is not None else api.create()['id']}"


def _post_raw(app: flask.Flask, headers: Headers, chunks: t.Iterable[bytes]) -> bytes:
    """Send the pieces of a chunked body and return the answer, or its beginning."""
    with serve_app(app) as address, socket.create_connection(address, 10) as connection:
        connection.sendall(
            f"POST {PREFIX}/instances HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {headers['Authorization']}\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
        )
        with contextlib.suppress(ConnectionError):
            for chunk in chunks:
                connection.sendall(chunk)
        with contextlib.suppress(OSError):  # It may have answered and gone already.
            # Werkzeug's server reads to the end of the request before it closes.
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                answer += piece
        return answer


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_chunked_body(app: flask.Flask, api: Api) -> None:
    """A body without Content-Length is read like any other."""
    data = orjson.dumps(body_for(api.store))
    answer = _post_raw(app, api.headers, [_chunk(data[:50]), _chunk(data[50:]), b"0\r\n\r\n"])
    assert answer.split()[1] == b"200"


def test_chunked_body_over_the_limit(app: flask.Flask, api: Api) -> None:
    """A body without Content-Length is cut off at the limit."""
    limit = runtime_of(app).settings.max_body_bytes
    answer = _post_raw(app, api.headers, [_chunk(b" " * (limit + 1)), b"0\r\n\r\n"])
    assert answer.split()[1] == b"413"
    assert _stored(app) == []


def test_malformed_chunks(app: flask.Flask, api: Api) -> None:
    """A body with malformed chunks is a 400."""
    answer = _post_raw(app, api.headers, [b"zz\r\nxx\r\n"])
    assert answer.split()[1] == b"400"
