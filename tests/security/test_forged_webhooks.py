"""A webhook that the store did not sign is refused at little cost, and nothing is stored."""

from __future__ import annotations

import base64
import collections.abc as cabc
import contextlib
import datetime as dt
import functools
import gzip
import pathlib
import shutil
import socket
import time
import typing as t

import orjson
import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Arrival, Instance
from flask_woo_events.instances import webhook_urls
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.values import crypto
from tests.integration.host_app import PREFIX, runtime_of
from tests.integration.store_to_callback import StoreToCallback, open_env
from tests.serving import serve_app

BODY = b'{"id":1}'
SIGNATURE = "X-WC-Webhook-Signature"


class WebhookEndpoint:
    """The endpoint of one instance's webhooks."""

    def __init__(self, env: StoreToCallback) -> None:
        self.env = env
        self.hook = Hook(env.instance_id, 1)
        self.keys = runtime_of(env.app).settings.encryption_keys
        self.limit = runtime_of(env.app).settings.hook_max_bytes

    def path(self, hook: Hook | None = None) -> str:
        return f"{PREFIX}{webhook_urls.PATH}/{webhook_urls.sign(self.keys, hook or self.hook)}"

    def signature(self, body: bytes = BODY, hook: Hook | None = None) -> str:
        secret = webhook_urls.secrets(self.keys, hook or self.hook)[-1]
        return crypto._hmac(secret.encode(), body)

    def post(self, body: bytes, headers: t.Any, path: str | None = None, **options: t.Any) -> t.Any:
        client = self.env.app.test_client()
        return client.post(path or self.path(), data=body, headers=headers, **options)

    def stored(self) -> int:
        with runtime_of(self.env.app).database.read() as session:
            return session.scalar(sa.select(sa.func.count(Arrival.id))) or 0


@pytest.fixture
def endpoint(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[WebhookEndpoint]:
    """Connect an instance that uses webhooks."""
    with _connected(tmp_path, tables) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def refusing(
    tmp_path_factory: pytest.TempPathFactory, tables: pathlib.Path
) -> cabc.Iterator[WebhookEndpoint]:
    """Connect one for all tests whose webhooks are refused, which leaves nothing behind."""
    with _connected(tmp_path_factory.mktemp("refusing"), tables) as endpoint:
        yield endpoint


@contextlib.contextmanager
def _connected(folder: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[WebhookEndpoint]:
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, folder / "host.sqlite3")
        yield WebhookEndpoint(open_env("11.0", folder, stack, hooked=True, counts=(1, 1, 1, 1)))


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(b"\0" * 50_000_000)


def test_genuine_webhook_is_stored(endpoint: WebhookEndpoint) -> None:
    """A signed webhook is stored; the other tests differ from this one in one point."""
    assert endpoint.post(BODY, {SIGNATURE: endpoint.signature()}).status_code == 200
    assert endpoint.stored() == 1


def _forged(endpoint: WebhookEndpoint) -> dict[str, t.Any]:
    good = endpoint.signature()
    other = Hook(endpoint.env.instance_id + 1, 1)
    return {
        "none": {},
        "empty": {SIGNATURE: ""},
        "spaces": {SIGNATURE: "   "},
        "of another body": {SIGNATURE: endpoint.signature(b'{"id":2}')},
        "of another instance": {SIGNATURE: endpoint.signature(hook=other)},
        "of the next epoch": {
            SIGNATURE: endpoint.signature(hook=Hook(endpoint.env.instance_id, 2))
        },
        "with an empty secret": {SIGNATURE: crypto._hmac(b"", BODY)},
        "with the encryption key": {SIGNATURE: crypto._hmac(endpoint.keys[-1].encode(), BODY)},
        "cut": {SIGNATURE: good[:-1]},
        "with a prefix": {SIGNATURE: f"sha256={good}"},
        "in hexadecimal": {SIGNATURE: base64.b64decode(good).hex()},
        "in another case": {SIGNATURE: good.swapcase()},
        "twice, the first one wrong": [(SIGNATURE, crypto._hmac(b"x", BODY)), (SIGNATURE, good)],
        "twice, the second one wrong": [(SIGNATURE, good), (SIGNATURE, crypto._hmac(b"x", BODY))],
        "two in one": {SIGNATURE: f"{good},{good}"},
        "in another header": {"X-Hub-Signature": good, "Signature": good},
        "with an underscore": {"X_WC_Webhook_Signature_": good},
    }


@pytest.mark.parity(64)
@pytest.mark.parametrize(
    "forgery",
    ["none", "empty", "spaces", "of another body", "of another instance", "of the next epoch",
     "with an empty secret", "with the encryption key", "cut", "with a prefix", "in hexadecimal",
     "in another case", "twice, the first one wrong", "twice, the second one wrong", "two in one",
     "in another header", "with an underscore"],
)  # fmt: skip
def test_forged(refusing: WebhookEndpoint, forgery: str) -> None:
    """An invalid signature is a 401, and nothing is stored."""
    assert refusing.post(BODY, _forged(refusing)[forgery]).status_code == 401
    assert refusing.stored() == 0


def test_genuine_webhook_at_another_url(endpoint: WebhookEndpoint) -> None:
    """A webhook of one instance is refused at the URL of another."""
    created = endpoint.env.api.create(**{"event.vendor.type": "webhook", "name": "second",
        "oauth.api.key": "ck_test", "oauth.api.secret": "cs_test"})  # fmt: skip
    other = Hook(created["id"], 1)
    assert (
        endpoint.post(BODY, {SIGNATURE: endpoint.signature()}, endpoint.path(other)).status_code
        == 401
    )
    assert endpoint.stored() == 0


@pytest.mark.parametrize(
    "address",
    ["", "1", "MQ", "MQ==x", "../1", "%2e%2e", "[1,1]", "WzEsMV0", "WzEsMV0.x", "Ⅷ", "a" * 5000],
)
def test_invalid_urls(refusing: WebhookEndpoint, address: str) -> None:
    """A URL that the application did not sign is refused."""
    path = f"{PREFIX}{webhook_urls.PATH}/{address}"
    response = refusing.post(BODY, {SIGNATURE: refusing.signature(hook=Hook(99, 1))}, path)
    assert response.status_code in (401, 404), response.text
    assert refusing.stored() == 0


def test_addresses_in_base64_do_not_show_which_instances_exist(refusing: WebhookEndpoint) -> None:
    """An unsigned ping writes nothing, and no answer says whether there is such an instance."""

    def pinged() -> dt.datetime | None:
        with runtime_of(refusing.env.app).database.read() as session:
            return session.get_one(Instance, refusing.env.instance_id).pinged_at

    before, answers = pinged(), []
    for number in (refusing.env.instance_id, 99):
        name = base64.b64encode(str(number).encode()).decode()
        path = f"{PREFIX}{webhook_urls.PATH}/{name}"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        client = refusing.env.app.test_client()
        found = [
            client.get(path),
            client.head(path),
            client.post(path, data=b"webhook_id=12", headers=form),
            client.post(path, data=BODY),
            client.post(path, data=BODY, headers={SIGNATURE: refusing.signature(b"other")}),
        ]
        assert [one.status_code for one in found] == [200, 200, 200, 401, 401]
        texts = [(one.get_json(silent=True) or {}).get("message") for one in found]
        answers.append(str(texts).replace(f"url {number}'", "url ID'"))
    assert answers[0] == answers[1]
    assert pinged() == before


def test_altered_url(endpoint: WebhookEndpoint) -> None:
    """A valid URL with one changed character does not name the same instance."""
    good = webhook_urls.sign(endpoint.keys, endpoint.hook)
    for place in range(0, len(good) - 1, 3):
        bad = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]
        assert webhook_urls.read(endpoint.keys, bad) != endpoint.hook or bad == good, bad


def test_old_secret(endpoint: WebhookEndpoint) -> None:
    """A signature with a secret that was rotated twice is refused."""
    headers = {SIGNATURE: endpoint.signature()}
    register = ["woo", "webhooks", "register", str(endpoint.env.instance_id), "--rotate"]
    for _ in range(2):
        assert endpoint.env.app.test_cli_runner().invoke(args=register).exit_code == 0
    path = endpoint.path(Hook(endpoint.env.instance_id, 3))
    assert endpoint.post(BODY, headers, path).status_code == 401
    assert endpoint.post(BODY, headers).status_code == 404
    assert endpoint.stored() == 0


def test_replayed_webhook(endpoint: WebhookEndpoint) -> None:
    """A replayed webhook causes few requests to the store and no event."""
    order = endpoint.env.first("orders")
    body = b'{"id":%d,"status":"cancelled"}' % order
    headers = {SIGNATURE: endpoint.signature(body), "X-WC-Webhook-Topic": "order.updated"}
    for _ in range(50):
        assert endpoint.post(body, headers).status_code == 200
    endpoint.env.store.requests.clear()
    assert endpoint.env.hooks() == set()
    assert len(endpoint.env.store.requests) <= 4


@pytest.mark.parity(60)
@pytest.mark.parametrize(
    "kind",
    ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
     "multipart/form-data; boundary=x", "application/json; charset=utf-16", "", "x" * 3000],
)  # fmt: skip
def test_content_types(endpoint: WebhookEndpoint, kind: str) -> None:
    """The signature covers the raw bytes, whatever the content type says."""
    form = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--\r\n"
    for body in (BODY, form):
        headers = {SIGNATURE: endpoint.signature(body), "Content-Type": kind}
        assert endpoint.post(body, headers).status_code == 200
        headers[SIGNATURE] = endpoint.signature(body + b"x")
        assert endpoint.post(body, headers).status_code == 401
    assert endpoint.stored() == 2


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity", "x"])
def test_body_is_not_decompressed(endpoint: WebhookEndpoint, encoding: str) -> None:
    """A compressed body stays as it is, so a compression bomb costs nothing."""
    body = _bomb()
    headers = {SIGNATURE: endpoint.signature(body), "Content-Encoding": encoding}
    began = time.process_time()
    assert endpoint.post(body, headers).status_code == 200  # A hint that names nothing.
    assert time.process_time() - began < 0.5


@pytest.mark.parity(89)
@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
def test_largest_body(endpoint: WebhookEndpoint, more: int, status: int) -> None:
    """A body of exactly 8 MiB is accepted, and one byte more is refused."""
    start, end = b'{"id":1,"x":"', b'"}'
    body = start + b"x" * (endpoint.limit - len(start) - len(end) + more) + end
    assert endpoint.post(body, {SIGNATURE: endpoint.signature(body)}).status_code == status


@pytest.mark.parametrize("headers", [{}, {SIGNATURE: "no signature"}])
def test_large_body_without_a_signature(refusing: WebhookEndpoint, headers: dict[str, str]) -> None:
    """Without a well-formed signature, only a body as small as a ping's is read."""
    answer = refusing.post(b"x" * 2000, headers)
    assert answer.status_code == 401 and "X-WC-Webhook-Signature" in answer.text
    assert refusing.stored() == 0


def _raw(endpoint: WebhookEndpoint, lines: list[str], *pieces: bytes) -> bytes:
    """Send raw bytes; return the status line of the response."""
    with (
        serve_app(endpoint.env.app) as address,
        socket.create_connection(address, 10) as connection,
    ):
        head = [f"POST {endpoint.path()} HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]
        connection.sendall("\r\n".join(head).encode())
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        response = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                response += piece
    return response.partition(b"\r\n")[0]


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_chunked(endpoint: WebhookEndpoint) -> None:
    """The signature of a chunked body is checked as that of any other."""
    lines = ["Transfer-Encoding: chunked", f"{SIGNATURE}: {endpoint.signature()}"]
    pieces = [_chunk(BODY[:3]), _chunk(BODY[3:]), b"0\r\n\r\n"]
    assert b" 200 " in _raw(endpoint, lines, *pieces)
    assert b" 401 " in _raw(endpoint, lines, _chunk(BODY), _chunk(b" "), b"0\r\n\r\n")
    assert endpoint.stored() == 1


def test_chunks_without_end(endpoint: WebhookEndpoint) -> None:
    """A chunked body above the limit is refused."""
    lines = ["Transfer-Encoding: chunked", f"{SIGNATURE}: {endpoint.signature()}"]
    pieces = [_chunk(b" " * 1_000_000)] * 9
    assert b" 413 " in _raw(endpoint, lines, *pieces, b"0\r\n\r\n")
    assert endpoint.stored() == 0


def test_truncated_body(endpoint: WebhookEndpoint) -> None:
    """A body that ends before its declared length is not stored."""
    lines = [
        f"Content-Length: {len(BODY) + 5}",
        f"{SIGNATURE}: {endpoint.signature(BODY + b'12345')}",
    ]
    assert b" 200 " not in _raw(endpoint, lines, BODY)
    assert endpoint.stored() == 0


def test_slow_bodies_hold_no_lock(endpoint: WebhookEndpoint) -> None:
    """While one client sends slowly, the webhooks of others are stored."""
    with serve_app(endpoint.env.app) as address, contextlib.ExitStack() as stack:
        for _ in range(8):
            slow = stack.enter_context(socket.create_connection(address, 10))
            head = f"POST {endpoint.path()} HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n"
            slow.sendall(f"{head}{SIGNATURE}: {endpoint.signature()}\r\n\r\n{{".encode())
        # The slow bodies are still open when this is answered.
        assert endpoint.post(BODY, {SIGNATURE: endpoint.signature()}).status_code == 200
    assert endpoint.stored() == 1


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"id":' * 900 + b"1" + b"}" * 900, b'{"id":%s}' % (b"9" * 100_000),
     b'{"id":-1}', b'{"id":1e400}', b'{"id":"%s"}' % (b"9" * 50_000), b'{"id":[1]}', b"\xff" * 9,
     b'{"arg":{"__class__":"x"}}', orjson.dumps({"id": True}), b"null", b""],
)  # fmt: skip
def test_hostile_bodies_that_are_signed(endpoint: WebhookEndpoint, body: bytes) -> None:
    """A malformed body with a valid signature is accepted, but names no object."""
    for topic in ("order.updated", "action.woocommerce_delete_order", "x" * 5000, ""):
        headers = {SIGNATURE: endpoint.signature(body), "X-WC-Webhook-Topic": topic}
        assert endpoint.post(body, headers).status_code == 200
    with runtime_of(endpoint.env.app).database.read() as session:
        named = session.scalars(sa.select(Arrival.object_id)).all()
    assert set(named) <= {None}
