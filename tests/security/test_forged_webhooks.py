"""A webhook that the store did not sign leaves nothing behind, and costs next to nothing."""

from __future__ import annotations

import base64
import collections.abc as cabc
import contextlib
import gzip
import pathlib
import shutil
import socket
import time
import typing as t

import orjson
import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Arrival
from flask_woo_events.instances import webhook_urls
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.values import crypto
from tests.integration.host_app import PREFIX, runtime_of
from tests.integration.store_to_callback import StoreToCallback, open_env
from tests.serving import serve_app

BODY = b'{"id":1}'
SIGNATURE = "X-WC-Webhook-Signature"


class Gate:
    """The address of one instance's webhooks."""

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

    def kept(self) -> int:
        with runtime_of(self.env.app).database.read() as session:
            return session.scalar(sa.select(sa.func.count(Arrival.id))) or 0


@pytest.fixture
def gate(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Gate]:
    """An instance for webhooks."""
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        yield Gate(open_env("11.0", tmp_path, stack, hooked=True, counts=(1, 1, 1, 1)))


def test_the_genuine_is_taken(gate: Gate) -> None:
    """What follows is about what differs from this."""
    assert gate.post(BODY, {SIGNATURE: gate.signature()}).status_code == 200
    assert gate.kept() == 1


def _forged(gate: Gate) -> dict[str, t.Any]:
    good = gate.signature()
    other = Hook(gate.env.instance_id + 1, 1)
    return {
        "none": {},
        "empty": {SIGNATURE: ""},
        "spaces": {SIGNATURE: "   "},
        "of another body": {SIGNATURE: gate.signature(b'{"id":2}')},
        "of another instance": {SIGNATURE: gate.signature(hook=other)},
        "of the next epoch": {SIGNATURE: gate.signature(hook=Hook(gate.env.instance_id, 2))},
        "with an empty secret": {SIGNATURE: crypto._hmac(b"", BODY)},
        "with the encryption key": {SIGNATURE: crypto._hmac(gate.keys[-1].encode(), BODY)},
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
    "how",
    ["none", "empty", "spaces", "of another body", "of another instance", "of the next epoch",
     "with an empty secret", "with the encryption key", "cut", "with a prefix", "in hexadecimal",
     "in another case", "twice, the first one wrong", "twice, the second one wrong", "two in one",
     "in another header", "with an underscore"],
)  # fmt: skip
def test_forged(gate: Gate, how: str) -> None:
    """An invalid signature is a 401, and nothing is stored."""
    assert gate.post(BODY, _forged(gate)[how]).status_code == 401
    assert gate.kept() == 0


def test_genuine_for_another_address(gate: Gate) -> None:
    """A body that one instance's store signed is worth nothing at another's address."""
    created = gate.env.api.create(**{"event.vendor.type": "webhook", "name": "second",
        "oauth.api.key": "ck_test", "oauth.api.secret": "cs_test"})  # fmt: skip
    other = Hook(created["id"], 1)
    assert gate.post(BODY, {SIGNATURE: gate.signature()}, gate.path(other)).status_code == 401
    assert gate.kept() == 0


@pytest.mark.parametrize(
    "address",
    ["", "1", "MQ", "MQ==x", "../1", "%2e%2e", "[1,1]", "WzEsMV0", "WzEsMV0.x", "Ⅷ", "a" * 5000],
)
def test_addresses_that_we_did_not_make(gate: Gate, address: str) -> None:
    """An address cannot be made up, or made from another one."""
    path = f"{PREFIX}{webhook_urls.PATH}/{address}"
    answer = gate.post(BODY, {SIGNATURE: gate.signature(hook=Hook(99, 1))}, path)
    assert answer.status_code in (401, 404), answer.text
    assert gate.kept() == 0


def test_altered_address(gate: Gate) -> None:
    """Of a good address no character can be another one."""
    good = webhook_urls.sign(gate.keys, gate.hook)
    for place in range(0, len(good) - 1, 3):
        bad = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]
        assert webhook_urls.read(gate.keys, bad) != gate.hook or bad == good, bad


def test_old_secret(gate: Gate) -> None:
    """A secret that was replaced twice signs nothing any more."""
    headers = {SIGNATURE: gate.signature()}
    register = ["woo", "webhooks", "register", str(gate.env.instance_id), "--rotate"]
    for _ in range(2):
        assert gate.env.app.test_cli_runner().invoke(args=register).exit_code == 0
    path = gate.path(Hook(gate.env.instance_id, 3))
    assert gate.post(BODY, headers, path).status_code == 401
    assert gate.post(BODY, headers).status_code == 404
    assert gate.kept() == 0


def test_replayed(gate: Gate) -> None:
    """A replayed webhook costs one read of the store and sends no event."""
    order = gate.env.first("orders")
    body = b'{"id":%d,"status":"cancelled"}' % order
    headers = {SIGNATURE: gate.signature(body), "X-WC-Webhook-Topic": "order.updated"}
    for _ in range(50):
        assert gate.post(body, headers).status_code == 200
    gate.env.store.requests.clear()
    assert gate.env.hooks() == set()
    assert len(gate.env.store.requests) <= 4


@pytest.mark.parity(60)
@pytest.mark.parametrize(
    "kind",
    ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
     "multipart/form-data; boundary=x", "application/json; charset=utf-16", "", "x" * 3000],
)  # fmt: skip
def test_content_types(gate: Gate, kind: str) -> None:
    """What counts is the signature over the bytes: no content type has them read otherwise."""
    form = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--\r\n"
    for body in (BODY, form):
        headers = {SIGNATURE: gate.signature(body), "Content-Type": kind}
        assert gate.post(body, headers).status_code == 200
        headers[SIGNATURE] = gate.signature(body + b"x")
        assert gate.post(body, headers).status_code == 401
    assert gate.kept() == 2


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity", "x"])
def test_encodings_are_not_undone(gate: Gate, encoding: str) -> None:
    """A packed body stays as it is: the signature is over the bytes, and no bomb goes off."""

    body = gzip.compress(b"\0" * 50_000_000)
    headers = {SIGNATURE: gate.signature(body), "Content-Encoding": encoding}
    began = time.process_time()
    assert gate.post(body, headers).status_code == 200  # A hint that names nothing.
    assert time.process_time() - began < 0.5


@pytest.mark.parity(89)
@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
def test_largest_body(gate: Gate, more: int, status: int) -> None:
    """8 MiB are taken to the byte, and not one more."""
    start, end = b'{"id":1,"x":"', b'"}'
    body = start + b"x" * (gate.limit - len(start) - len(end) + more) + end
    assert gate.post(body, {SIGNATURE: gate.signature(body)}).status_code == status


@pytest.mark.parametrize("headers", [{}, {SIGNATURE: "no signature"}])
def test_large_bodies_of_nobody(gate: Gate, headers: dict[str, str]) -> None:
    """Who does not even look like a store has no body read beyond a ping's."""
    assert gate.post(b"x" * 2000, headers).status_code in (401, 413)
    assert gate.kept() == 0


def _raw(gate: Gate, lines: list[str], *pieces: bytes) -> bytes:
    """Send bytes as they are and return the first line of the answer."""
    with serve_app(gate.env.app) as address, socket.create_connection(address, 10) as connection:
        head = [f"POST {gate.path()} HTTP/1.1", "Host: x", "Connection: close", *lines, "", ""]
        connection.sendall("\r\n".join(head).encode())
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                answer += piece
    return answer.partition(b"\r\n")[0]


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_chunked(gate: Gate) -> None:
    """A body in chunks is the same body: its signature holds or does not."""
    lines = ["Transfer-Encoding: chunked", f"{SIGNATURE}: {gate.signature()}"]
    pieces = [_chunk(BODY[:3]), _chunk(BODY[3:]), b"0\r\n\r\n"]
    assert b" 200 " in _raw(gate, lines, *pieces)
    assert b" 401 " in _raw(gate, lines, _chunk(BODY), _chunk(b" "), b"0\r\n\r\n")
    assert gate.kept() == 1


def test_chunks_without_end(gate: Gate) -> None:
    """A body without a length ends at the limit."""
    lines = ["Transfer-Encoding: chunked", f"{SIGNATURE}: {gate.signature()}"]
    pieces = [_chunk(b" " * 1_000_000)] * 9
    assert b" 413 " in _raw(gate, lines, *pieces, b"0\r\n\r\n")
    assert gate.kept() == 0


def test_body_that_is_cut_off(gate: Gate) -> None:
    """Of a body that ends before its length nothing is kept."""
    lines = [f"Content-Length: {len(BODY) + 5}", f"{SIGNATURE}: {gate.signature(BODY + b'12345')}"]
    assert b" 200 " not in _raw(gate, lines, BODY)
    assert gate.kept() == 0


def test_slow_bodies_hold_no_lock(gate: Gate) -> None:
    """While one client sends slowly, the webhooks of others are stored."""
    with serve_app(gate.env.app) as address, contextlib.ExitStack() as stack:
        for _ in range(8):
            slow = stack.enter_context(socket.create_connection(address, 10))
            head = f"POST {gate.path()} HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n"
            slow.sendall(f"{head}{SIGNATURE}: {gate.signature()}\r\n\r\n{{".encode())
        # The slow bodies are still open when this is answered.
        assert gate.post(BODY, {SIGNATURE: gate.signature()}).status_code == 200
    assert gate.kept() == 1


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"id":' * 900 + b"1" + b"}" * 900, b'{"id":%s}' % (b"9" * 100_000),
     b'{"id":-1}', b'{"id":1e400}', b'{"id":"%s"}' % (b"9" * 50_000), b'{"id":[1]}', b"\xff" * 9,
     b'{"arg":{"__class__":"x"}}', orjson.dumps({"id": True}), b"null", b""],
)  # fmt: skip
def test_hostile_bodies_that_are_signed(gate: Gate, body: bytes) -> None:
    """A store that went mad is answered, and names nothing."""
    for topic in ("order.updated", "action.woocommerce_delete_order", "x" * 5000, ""):
        headers = {SIGNATURE: gate.signature(body), "X-WC-Webhook-Topic": topic}
        assert gate.post(body, headers).status_code == 200
    with runtime_of(gate.env.app).database.read() as session:
        named = session.scalars(sa.select(Arrival.object_id)).all()
    assert set(named) <= {None}
