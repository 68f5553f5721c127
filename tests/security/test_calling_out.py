"""No request of a caller, store or callback makes the service call an internal address."""

from __future__ import annotations

import ast
import collections.abc as cabc
import contextlib
import dataclasses
import pathlib
import shutil
import socket
import typing as t

import flask
import pytest

from flask_woo_events.errors import AddressRefusedError, TransportError
from flask_woo_events.http.exchange import AddressGuard, Timeouts, exchange, make_session
from flask_woo_events.runtime import EXTENSION, Runtime
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import Api, StubStore, body_for, runtime_of
from tests.integration.store_to_callback import StoreToCallback, open_env
from tests.raw_server import RawServer, respond, response, serve_raw
from tests.security.package_sources import Source, sources

QUICK = Timeouts(connect=1, read=1, total=2)  # seconds

#: Notations of internal addresses that an attacker may use.
LOOPBACK = [
    "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "017700000001", "0x7f000001",
    "0177.0.0.1", "0x7f.0.0.1", "0x7f.1", "localhost", "LOCALHOST", "localhost.", "127.255.255.254",
    "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "0.0.0.0", "0", "[::]", "127。0。0。1",
    "127．0．0．1", "１２７.０.０.１", "①②⑦.⓪.⓪.①", "ⓛocalhost",
    "loc\u00adalhost", "%31%32%37.0.0.1",
    "public.example@127.0.0.1", "public.example:80@127.0.0.1", "public.example%40@127.0.0.1",
    "127.0.0.1%00.public.example", "169.254.169.254", "2852039166", "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]", "[fd00:ec2::254]", "10.0.0.1", "012.0.0.1", "[fe80::1]", "[fc00::1]",
]  # fmt: skip


@pytest.fixture
def server() -> cabc.Iterator[RawServer]:
    with serve_raw(respond(response(b"inside"), response(b"inside"))) as opened:
        yield opened


@pytest.mark.parametrize("host", LOOPBACK)
def test_notations_of_internal_addresses(host: str, server: RawServer) -> None:
    """An internal address is refused in every notation, and no connection is opened."""
    with make_session(guard=AddressGuard()) as session:
        with pytest.raises(TransportError) as caught:
            exchange(session, "GET", f"http://{host}:{server.port}/x", timeouts=QUICK, max_bytes=99)
    assert isinstance(caught.value, AddressRefusedError) or any(
        words in str(caught.value) for words in ("not an address", "cannot be resolved")
    ), caught.value
    assert server.connections == 0


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "a@127.0.0.1"])
def test_notations_work_without_the_guard(host: str, server: RawServer) -> None:
    """Without the guard these notations reach loopback, so it is the guard that refuses them."""
    with make_session(guard=None) as session:
        url = f"http://{host}:{server.port}/x"
        result = exchange(session, "GET", url, timeouts=QUICK, max_bytes=99)
    assert result.body == b"inside" and server.connections == 1


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["fd00:ec2::254"],
     ["::ffff:10.0.0.1"], ["10.0.0.1", "192.168.0.1"], ["64:ff9b::a00:1", "fe80::1%1"]],
)  # fmt: skip
def test_hosts_with_internal_addresses(
    addresses: list[str], server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The addresses that a host resolves to are checked when the connection is opened."""
    families = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in addresses]
    found = [
        (family, socket.SOCK_STREAM, 6, "", (one, server.port))
        for family, one in zip(families, addresses, strict=True)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: found)
    with make_session(guard=AddressGuard()) as session:
        with pytest.raises(AddressRefusedError) as caught:
            url = f"http://shop.example:{server.port}/"
            exchange(session, "GET", url, timeouts=QUICK, max_bytes=99)
    assert not any(one in str(caught.value) for one in addresses)
    assert server.connections == 0


def test_redirect_is_not_followed(server: RawServer) -> None:
    """A redirect to an internal address is returned, not followed."""
    location = f"Location: http://localhost:{server.port}/"
    with serve_raw(respond(response(b"", "307 Temporary Redirect", location))) as redirecting:
        guard = AddressGuard(allow_hosts=frozenset({"127.0.0.1"}))
        with make_session(guard=guard) as session:
            result = exchange(
                session, "POST", redirecting.url, data=b"x", timeouts=QUICK, max_bytes=99
            )
    assert (result.status, redirecting.connections, server.connections) == (307, 1, 0)


def test_open_connections_are_not_shared(server: RawServer) -> None:
    """A guarded session does not reuse a connection that an unguarded one has opened."""
    with (
        make_session(guard=AddressGuard(allow_private=True)) as trusted,
        make_session(guard=AddressGuard()) as guarded,
    ):
        exchange(trusted, "GET", server.url, timeouts=QUICK, max_bytes=99)
        with pytest.raises(AddressRefusedError):
            exchange(guarded, "GET", server.url, timeouts=QUICK, max_bytes=99)
    assert server.connections == 1


def refuse_private_addresses(app: flask.Flask, **settings: t.Any) -> Runtime:
    """Replace the application's runtime by one that may not call private addresses."""
    before = runtime_of(app)
    chosen = {"allow_private_stores": None, "allow_private_callbacks": False} | settings
    after = Runtime(dataclasses.replace(before.settings, **chosen), before.database, before.clock)
    app.extensions[EXTENSION] = after
    return after


@pytest.fixture
def webhook_env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    """Connect an instance with webhooks, then refuse the addresses of its store and callback."""
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        env = open_env("11.0", tmp_path, stack, hooked=True)
        env.store.acts.status(env.first("orders"), "completed")
        env.poll()
        env.store.requests.clear()
        env.receiver.clear()
        refuse_private_addresses(env.app)
        yield env


def test_new_stores(app: flask.Flask, api: Api, store_server: StubStore) -> None:
    """A store at a private address is not connected, and the error names the setting."""
    refuse_private_addresses(app)
    response = api.call("POST", "/instances", body_for(api.store))
    assert response.status_code == 502
    assert "WOO_EVENTS_ALLOW_PRIVATE_STORES" in response.json["providerMessage"]
    assert store_server.asked == []


def test_moved_stores(app: flask.Flask, api: Api, store_server: StubStore) -> None:
    """A store's URL cannot be changed to a private address."""
    number = api.create()["id"]
    store_server.asked.clear()
    refuse_private_addresses(app)
    keys = {"oauth.api.key": "ck_2", "oauth.api.secret": "cs_2"}
    url = api.store.replace("127.0.0.1", "2130706433")
    body = {"configuration": {"store.url": url, **keys}}
    assert api.call("PATCH", f"/instances/{number}", body).status_code == 502
    assert store_server.asked == []


def test_polls(webhook_env: StoreToCallback) -> None:
    """A poll of a store at a private address fails with an error that says why."""
    errors = {one.error for one in webhook_env.poll()}
    assert errors and all("private" in str(one) for one in errors)
    assert not webhook_env.store.requests


def test_processing_webhooks(webhook_env: StoreToCallback) -> None:
    """Processing a webhook does not read an object from a private address."""
    webhook_env.store.webhooks.run_queue()
    webhook_env.store.requests.clear()
    Worker(runtime_of(webhook_env.app)).settle_once()
    assert not webhook_env.store.requests


@pytest.mark.parametrize("command", ["register", "check", "remove"])
def test_webhook_commands(webhook_env: StoreToCallback, command: str) -> None:
    """The commands that register, check and remove webhooks do not call a private address."""
    args = ["woo", "webhooks", command, str(webhook_env.instance_id)]
    result = webhook_env.app.test_cli_runner().invoke(args=args)
    assert "private" in result.output
    assert not webhook_env.store.requests


def test_subscriptions(webhook_env: StoreToCallback, server: RawServer) -> None:
    """A subscription at a private address gets no test notification."""
    path = f"/instances/{webhook_env.instance_id}/subscriptions"
    api = webhook_env.api
    for host in ("127.0.0.1", "localhost", "2130706433", "[::1]"):
        url = f"http://{host}:{server.port}/x"
        added = api.call("POST", path, {"callbackUrl": url}).json
        tested = api.call("POST", f"{path}/{added['id']}/test").json
        assert not tested["delivered"] and tested["statusCode"] is None and tested["answer"] == ""
    assert server.connections == 0


def test_hub(app: flask.Flask, api: Api, account: t.Any, store_server: StubStore) -> None:
    """The hub does not read or write at a private address."""
    created = api.create()
    token = account.element(created["token"])
    store_server.asked.clear()
    refuse_private_addresses(app)
    for method, path in (
        ("GET", "ping"), ("GET", "orders"), ("GET", "orders/1"), ("POST", "orders"),
        ("PATCH", "orders/1"), ("DELETE", "orders/1"), ("GET", "orders/1/refunds"),
    ):  # fmt: skip
        body = {"status": "completed"} if method in ("POST", "PATCH") else None
        response = api.call(method, f"/hubs/ecommerce/{path}", body, token)
        assert response.status_code == 502, (method, path, response.text)
    assert store_server.asked == []


def test_deliveries(webhook_env: StoreToCallback) -> None:
    """A notification is not sent to a private address, and the attempt says why."""
    Worker(runtime_of(webhook_env.app)).deliver_once()
    assert webhook_env.receiver.received == []
    shown = webhook_env.api.call("GET", "/instances/events/dispositions").text
    assert "WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS" in shown


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
def test_replays_to_another_url(webhook_env: StoreToCallback, server: RawServer, host: str) -> None:
    """``replay --to`` does not send to a private address."""
    location = f"http://{host}:{server.port}/"
    args = ["woo", "events", "replay", "--instance", str(webhook_env.instance_id), "--to", location]
    result = webhook_env.app.test_cli_runner().invoke(args=args)
    assert result.exit_code == 1
    assert "private" in result.output
    assert server.connections == 0


@pytest.mark.parametrize(
    ("stores", "callbacks", "allowed"),
    [(None, False, False), (None, True, True), (True, False, True), (False, True, False)],
)
def test_setting_of_stores(
    app: flask.Flask, api: Api, stores: bool | None, callbacks: bool, allowed: bool
) -> None:
    """The setting of callbacks also applies to stores, unless they have their own."""
    refuse_private_addresses(app, allow_private_stores=stores, allow_private_callbacks=callbacks)
    response = api.call("POST", "/instances", body_for(api.store))
    assert (response.status_code == 200) is allowed


def test_metadata_of_clouds_is_no_store(app: flask.Flask, api: Api) -> None:
    """No setting allows a store at a cloud's metadata address, which hands out credentials."""
    refuse_private_addresses(app, allow_private_stores=True, allow_private_callbacks=True)
    response = api.call("POST", "/instances", body_for("http://169.254.169.254"))
    assert response.status_code == 502
    assert "never called" in response.json["providerMessage"]


#: Modules that can open connections.
_CLIENTS = {
    "aiohttp", "asyncio", "ftplib", "http", "http.client", "httpx", "imaplib", "poplib", "requests",
    "smtplib", "socket", "ssl", "telnetlib", "urllib.request", "urllib3", "websockets", "xmlrpc",
}  # fmt: skip
#: Files that may use them: the guarded exchange and its sockets, and the client that consumers run
#: to call the application. Others may use their types.
_ALLOWED = {"client.py", "http/exchange.py", "http/sockets.py"}
_TYPES = {"requests.Session"}
#: Names in these modules that open no connection.
_HARMLESS = {"http.HTTPStatus"}


def _outgoing_connections(source: Source) -> cabc.Iterator[str]:
    for name, node in source.imports():
        top = ".".join(name.split(".")[:2])
        clients = name in _CLIENTS or top in _CLIENTS or name.split(".")[0] in _CLIENTS
        if clients and name not in ("requests", "http"):
            yield source.at(node)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            base = text.split(".")[0]
            if base in ("requests", "http") and not text.startswith(tuple(_TYPES | _HARMLESS)):
                yield source.at(node)
    for name, call in source.calls():
        if name.endswith("requests.Session"):
            yield source.at(call)


def test_only_the_guarded_exchange_calls_out() -> None:
    """Only the guarded exchange opens connections."""
    checked = [one for one in sources() if not one.is_simulation and one.name not in _ALLOWED]
    assert [one for source in checked for one in _outgoing_connections(source)] == []


@pytest.mark.parametrize(
    "code", ["import socket", "import urllib.request", "from urllib3 import PoolManager",
             "requests.post(x)", "requests.Session()", "import http.client", "import httpx",
             "http.client.HTTPConnection(x)"],
)  # fmt: skip
def test_outgoing_connections_are_found(code: str) -> None:
    """The search finds each way to open a connection."""
    assert list(_outgoing_connections(Source("x.py", ast.parse(code))))


def test_sessions_are_made_with_a_guard() -> None:
    """Only the runtime makes sessions and clients of stores, and its sessions have a guard."""
    for source in sources():
        if source.is_simulation:
            continue
        for name, call in source.calls():
            if name.endswith("make_session") and source.name != "woocommerce/client.py":
                guards = [one.value for one in call.keywords if one.arg == "guard"]
                assert source.name == "runtime.py", source.at(call)
                assert [type(one) for one in guards] != [ast.Constant], source.at(call)
            if name.endswith("StoreClient"):
                assert source.name == "runtime.py", source.at(call)
                assert "session" in [one.arg for one in call.keywords], source.at(call)
