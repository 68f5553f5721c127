"""A secret is only in the database, encrypted, and in requests that need it."""

from __future__ import annotations

import base64
import collections.abc as cabc
import contextlib
import html
import http.server
import itertools
import json
import logging
import pathlib
import re
import shutil
import traceback
import typing as t
import urllib.parse

import click
import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.api.blueprint import NAME
from flask_woo_events.cli import cli
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import (
    Base,
    Configuration,
    Instance,
    Notification,
    Organization,
    Poller,
    StoredEvent,
)
from flask_woo_events.delivery import destination
from flask_woo_events.errors import UnreachableError
from flask_woo_events.instances import access, webhook_urls
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.woocommerce.access import StoreAccess
from flask_woo_events.woocommerce.client import StoreClient
from flask_woo_events.worker.worker import Worker
from tests.console.http_visitor import HttpVisitor
from tests.integration.host_app import NOW, Account, Api, add_account, dispose, make_app, runtime_of
from tests.raw_server import respond, response, serve_raw
from tests.serving import serve_handler

#: Values that appear in no other text.
SECRETS = {
    "oauth.api.key": "ck_canary_key_61f0",
    "oauth.api.secret": "cs_canary_secret_72e1",
    "event.notification.signature.key": "canary-signature-83d2",
    "event.notification.basic.password": "canary-password-94c3",
}
#: Not a secret: the API returns its value.
USER = "event.notification.basic.username"
HEADER = "canary-header-b6a5"
#: Of a customer, in answers that are no JSON.
CUSTOMER = "ann.canary-c7b6@shop.example"
BASIC = base64.b64encode(f"me:{SECRETS['event.notification.basic.password']}".encode()).decode()
#: Of the store, which needs a password of its own.
SITE = "canary-site-d8c7"
#: Of a second subscription.
SECOND_HEADER = "canary-second-header-f0e9"
SECOND: dict[str, t.Any] = {
    "signatureKey": "canary-second-key-e9d8",
    "headers": {"X-Extra": SECOND_HEADER},
    "username": "canary-second-user-a1f0",
    "password": "canary-second-password-b2a1",
}
PAIR = f"{SECRETS['oauth.api.key']}:{SECRETS['oauth.api.secret']}"


def _echoes(text: str) -> list[str]:
    """Return a text in all encodings in which servers repeat requests."""
    data = text.encode()
    return [
        text,
        urllib.parse.quote(text, safe=""),
        "".join(f"%{one:02x}" for one in data),
        json.dumps({"request": json.dumps(text)}),
        html.escape(text),
        "".join(f"&#{one};" for one in data),
        base64.b64encode(data).decode(),
        base64.b64encode(data).decode().rstrip("="),
        base64.urlsafe_b64encode(data).decode(),
        base64.encodebytes(data).decode(),
        urllib.parse.quote(base64.b64encode(data), safe=""),
    ]


class EchoingCallback:
    """A callback that fails and repeats the headers it received, also decoded and encoded."""

    def __init__(self) -> None:
        self.received_headers: list[str] = []

    @contextlib.contextmanager
    def serve(self) -> cabc.Iterator[str]:
        callback = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                callback.received_headers.append(str(self.headers))
                given = self.headers.get("Authorization", "").removeprefix("Basic ")
                told = f"{self.headers}\n{base64.b64decode(given).decode()}"
                turn = len(callback.received_headers)
                body = f"{told}\n{_echoes(told)[turn % len(_echoes(told))]}"[:4000].encode()
                self.send_response(500)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        with serve_handler(Handler) as url:
            yield f"{url}/hook"


class LogCollector(logging.Handler):
    """Keeps each log record as formatted text, with its fields and its exception."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts += [self.format(record), repr(record.__dict__)]
        if record.exc_info and record.exc_info[1]:
            self.texts += traceback.format_exception(record.exc_info[1])


class CanaryInstance:
    """An instance whose secrets are canaries, and all output while it is used."""

    def __init__(
        self, app: flask.Flask, api: Api, account: Account, callback: EchoingCallback
    ) -> None:
        self.app, self.api, self.account, self.callback = app, api, account, callback
        self.outputs: list[tuple[str, str]] = []
        self.instance_id, self.token = 0, ""

    def record(self, where: str, text: str) -> None:
        self.outputs.append((where, text))

    def call(self, method: str, path: str, body: object = None, token: bool = False) -> t.Any:
        headers = self.account.element(self.token) if token else self.api.headers
        response = self.api.call(method, path, body, headers)
        self.record(f"{method} {path}", f"{response.headers}\n{response.text}")
        return response

    def open_every_page(self) -> None:
        """Open every page of the console with existing ids."""
        with runtime_of(self.app).database.read() as session:
            event = session.scalars(sa.select(StoredEvent).limit(1)).one_or_none()
            values = {
                "instance_id": self.instance_id,
                "event_id": event.id if event else 1,
                "resource": event.resource if event else "orders",
                "object_id": event.object_id if event else "1",
                "subscription_id": 2,
                "unknown": "nothing",
            }
        visitor = HttpVisitor(self.app, self.account)
        visitor.sign_in()
        for rule in self.app.url_map.iter_rules():
            blueprint, _dot, name = rule.endpoint.partition(".")
            is_page = blueprint == "woo_console" and name not in ("static", "bootstrap")
            if is_page and "GET" in (rule.methods or set()):
                path = re.sub(r"<(?:[^<>]*:)?(\w+)>", lambda one: str(values[one[1]]), rule.rule)
                page = visitor.client.get(path)
                assert page.status_code != 500, (path, page.text)
                self.record(f"page {path}", f"{page.headers}\n{page.text}")

    def run(self, *args: object) -> None:
        command = ["woo", *map(str, args)]
        result = self.app.test_cli_runner().invoke(args=command)
        self.record(" ".join(command), result.output)
        if result.exc_info is not None and not isinstance(result.exception, SystemExit):
            self.record(" ".join(command), "".join(traceback.format_exception(result.exception)))

    def call_every_route(self, *methods: str) -> None:
        """Call every route of the API with existing ids."""
        with runtime_of(self.app).database.read() as session:
            choices = {
                "instance_id": [str(self.instance_id)],
                "entry_id": [str(one) for one in range(1, 20)],
                "event_id": list(session.scalars(sa.select(Notification.event_id)))[:2],
                "notification_id": ["1"],
                "subscription_id": ["1", "2"],
                "account_id": ["1"],
                "erasure_id": ["1"],
                "address": ["MQ=="],
                "unknown": ["nothing"],
                "element": ["woocommercerest"],
                "hub": ["ecommerce"],
                "resource": ["orders"],
                "object_id": ["1", "999999"],
                "child": ["refunds"],
                "child_id": ["1"],
            }
        prefix = runtime_of(self.app).settings.url_prefix
        for rule in self.app.url_map.iter_rules():
            if not rule.endpoint.startswith(f"{NAME}.") or rule.rule.endswith("/token"):
                continue  # The last one ends the token, and shows the next one.
            names = sorted(rule.arguments)
            for method, values in itertools.product(
                sorted((rule.methods or set()) & set(methods)),
                itertools.product(*(choices[one] for one in names)),
            ):
                path = rule.rule.removeprefix(prefix)
                for name, value in zip(names, values, strict=True):
                    path = re.sub(rf"<(?:[^<>]*:)?{name}>", value, path)
                for token in (False, True):
                    self.call(method, path, {} if method != "GET" else None, token)


@pytest.fixture
def canary(
    tmp_path: pathlib.Path, tables: pathlib.Path
) -> cabc.Iterator[tuple[CanaryInstance, SimulatedStore]]:
    """Connect an instance with canaries to a store, and check its outputs at the end."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    store = SimulatedStore(
        "11.0",
        consumer_key=SECRETS["oauth.api.key"],
        consumer_secret=SECRETS["oauth.api.secret"],
    )
    store.populate(orders=3, products=2, coupons=1, customers=2)
    callback, log = EchoingCallback(), LogCollector()
    app = make_app(
        tmp_path,
        WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS=True,
        WOO_EVENTS_CONSOLE=True,
        SECRET_KEY="of the host",
    )
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(log)
    try:
        with store.serve() as store_url, callback.serve() as callback_url:
            account = add_account(app, "ann", "acme")
            api = Api(app.test_client(), account.headers, store_url)
            instance = CanaryInstance(app, api, account, callback)
            configuration = {
                **SECRETS,
                USER: "me",
                "event.notification.callback.url": callback_url,
                "event.notification.callback.headers": {"X-Extra": HEADER},
                "store.headers": {"X-Site": SITE},
            }
            created = instance.api.create(**configuration)
            instance.instance_id, instance.token = created["id"], created.pop("token")
            instance.record("POST /instances", repr(created))
            path = f"/instances/{instance.instance_id}/subscriptions"
            added = instance.call("POST", path, {"callbackUrl": callback_url, **SECOND})
            assert added.status_code == 200, added.text
            yield instance, store
    finally:
        root.removeHandler(log)
        root.setLevel(level)
        dispose(app)
        instance.outputs += [("log", text) for text in log.texts]
        _check_no_canary(instance)
        data = b"".join(path.read_bytes() for path in tmp_path.glob("host.sqlite3*"))
        assert b"woo_instance" in data
        for name, forms in _canaries(instance).items():
            assert not any(form.encode() in data for form in forms), ("database", name)


def _forms(secret: str) -> set[str]:
    """Return a secret as it is, encoded, cut off, and as the Base64 of longer texts shows it."""
    shifted = (base64.b64encode(b"x" * by + secret.encode()).decode() for by in range(3))
    return {*_echoes(secret), secret[:-3], *(text.strip("=")[4:-4] for text in shifted)}


def _canaries(canary: CanaryInstance) -> dict[str, set[str]]:
    settings = runtime_of(canary.app).settings
    keys = settings.encryption_keys
    webhook_secrets = webhook_urls.secrets(keys, Hook(canary.instance_id, 1))
    second = {name: SECOND[name] for name in ("signatureKey", "username", "password")}
    values = {**SECRETS, **second, "second header": SECOND_HEADER,
             "header": HEADER, "customer": CUSTOMER, "basic": BASIC,
             "pair": PAIR, "site": SITE,
             "token": canary.token, "user": canary.account.user,
             "organization": canary.account.organization,
             "encryption key": keys[-1], "webhook secret": webhook_secrets[-1]}  # fmt: skip
    return {name: _forms(value) for name, value in values.items()}


def _check_no_canary(canary: CanaryInstance) -> None:
    canaries = _canaries(canary)
    for where, text in canary.outputs:
        for name, forms in canaries.items():
            assert not any(form in text for form in forms), (name, where, text[:2000])


def test_normal_operation(
    canary: tuple[CanaryInstance, SimulatedStore], tmp_path: pathlib.Path
) -> None:
    """Polls, deliveries, routes and commands output no secret, also if the callback echoes it."""
    instance, store = canary
    worker = Worker(runtime_of(instance.app))
    instance.record("poll", repr(worker.poll_once([instance.instance_id])))
    store.acts.status(next(iter(store.shop.tables["orders"])).id, "completed")
    instance.record("poll", repr(worker.poll_once([instance.instance_id])))
    instance.record("deliver", repr(worker.deliver_once()))
    received_headers = "".join(instance.callback.received_headers)
    assert (
        HEADER in received_headers and BASIC in received_headers
    )  # The callback itself receives them.
    assert SECOND_HEADER in received_headers
    instance.call_every_route("GET", "PUT", "PATCH", "POST")
    with runtime_of(instance.app).database.read() as session:
        event_id = session.scalars(sa.select(StoredEvent.id).limit(1)).one()
    number = instance.instance_id
    none = tmp_path / "copies.ndjson"
    none.touch()
    for args in (
        ("doctor",), ("doctor", "--json"), ("events", "list"), ("events", "list", "--json"),
        ("events", "show", event_id), ("events", "show", event_id, "--json"),
        ("events", "replay", event_id, "--dry-run"), ("deliveries", "list"),
        ("instances", "list"), ("users", "list"),
        ("events", "replay", event_id, "--to", "http://127.0.0.1:9/"),
        ("instances", "list", "--json"), ("instances", "show", number),
        ("instances", "show", number, "--json"), ("webhooks", "list", number),
        ("webhooks", "check", number), ("poll", "--once", "--json"), ("deliver", "--once"),
        ("subscriptions", "list", number), ("subscriptions", "list", number, "--json"),
        ("subscriptions", "test", number, 2), ("subscriptions", "pause", number, 2),
        ("subscriptions", "resume", number, 2),
        ("subscriptions", "change", number, 2, "--signature-key", SECOND["signatureKey"]),
        ("instances", "pause", number), ("instances", "resume", number),
        ("trigger", "--list"), ("trigger", "order.created", "--store", number, "--yes"),
        ("listen", "--resend", event_id, "--forward-to", "http://127.0.0.1:9/"),
        _connect(instance.api.store), _connect(instance.api.store, "--again", "--json"),
        ("reconcile", number, "orders", str(none)),
        ("reconcile", number, "orders", str(none), "--send"),
        ("reconcile", number, "customers", str(none), "--json"),
        ("erase", "--email", CUSTOMER, "--dry-run"), ("erase", "--email", CUSTOMER),
        ("erase", "--email", CUSTOMER, "--lift"), ("erase", "--email", f"{CUSTOMER}@", "--json"),
        ("keys", "rotate"),
    ):  # fmt: skip
        instance.run(*args)
    instance.open_every_page()


def _connect(url: str, *options: str) -> tuple[str, ...]:
    """Return the command that connects a store with the secrets."""
    keys = SECRETS["oauth.api.key"], SECRETS["oauth.api.secret"]
    signature = ("--signature-key", SECRETS["event.notification.signature.key"])
    return ("connect", url, *keys, *signature, "--organization", "acme", *options)


def test_failing_stores(canary: tuple[CanaryInstance, SimulatedStore]) -> None:
    """No secret is output when the store refuses, redirects, breaks off or echoes the keys."""
    instance, store = canary
    url = instance.api.store
    worker = Worker(runtime_of(instance.app))
    keys = SECRETS["oauth.api.key"], SECRETS["oauth.api.secret"]
    echoes = "\r\n".join(keys)
    for text in (
        f"HTTP/1.1 401 No\r\nContent-Length: {len(echoes)}\r\n\r\n{echoes}",
        f"HTTP/1.1 500 No\r\n\r\n<title>{keys[0]} {keys[1]}</title>",
        f"HTTP/1.1 302 Found\r\nLocation: {url}/?consumer_secret={keys[1]}\r\n\r\n",
        f'HTTP/1.1 400 No\r\n\r\n{{"code":"{keys[1]}","message":"{keys[0]}"}}',
        f'HTTP/1.1 200 OK\r\nX-WP-Total: 1\r\n\r\n[{{"id":"{keys[1]}"}}]',
        f"HTTP/1.1 200 OK\r\n{keys[1]} broken\r\n\r\n[]",
        f"HTTP/1.1 200 OK\r\n\r\nWarning: {keys[1]}",
        f"{keys[0]}",
    ):
        with _serve_bytes(text.encode()) as broken:
            _move(instance, broken)
            instance.record("poll", repr(worker.poll_once([instance.instance_id])))
            instance.call("GET", "/hubs/ecommerce/orders", token=True)
            instance.call("GET", "/hubs/ecommerce/orders/1", token=True)
            instance.call("POST", "/instances", _body(instance, broken))
            instance.call("GET", f"/instances/{instance.instance_id}")
            instance.call("GET", "/instances/event-poller-records")
            for args in (
                ("doctor",), _connect(broken, "--again"),
                ("trigger", "product.created", "--store", instance.instance_id, "--yes"),
            ):  # fmt: skip
                instance.run(*args)
    instance.open_every_page()


def test_stores_that_echo_the_request(canary: tuple[CanaryInstance, SimulatedStore]) -> None:
    """No error, problem, notice or page has a header, a query or a signature key of ours."""
    instance, _store = canary
    worker = Worker(runtime_of(instance.app))
    authorization = f"Authorization: Basic {base64.b64encode(PAIR.encode()).decode()}"
    signature_key = urllib.parse.quote(f"{SECRETS['oauth.api.secret']}&")
    told = f"{authorization}\r\nX-Site: {SITE}\r\nOAuth {signature_key}\r\n{PAIR}"
    # The keys are cut off where a message ends that we keep.
    echoes = [*_echoes(told), f"{'x ' * 140}{PAIR}", f"{PAIR[:20]}...", PAIR[:-5]]
    for status, echo in itertools.product(("403 No", "500 No", "200 OK"), echoes):
        error = json.dumps({"code": "rest_forbidden", "message": echo, "data": {"status": 403}})
        kind = f"HTTP/1.1 {status}\r\nX-Cache: HIT {PAIR}\r\nLink: <http://x/{PAIR}/wp-json/>"
        body = error if status != "500 No" else f"<title>{echo}</title>"
        head = f'{kind}; rel="https://api.w.org/"\r\nContent-Length: {len(body.encode())}\r\n\r\n'
        with _serve_bytes(f"{head}{body}".encode()) as broken:
            _move(instance, broken)
            instance.record("poll", repr(worker.poll_once([instance.instance_id])))
        instance.call("GET", f"/instances/{instance.instance_id}")
        with runtime_of(instance.app).database.read() as session:
            for poller in session.scalars(sa.select(Poller)):
                assert "********" in str(poller.error), echo
    instance.call("GET", "/instances/event-poller-records")
    instance.open_every_page()


def test_unexpected_errors(
    canary: tuple[CanaryInstance, SimulatedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug whose error quotes what the store sent is logged without our keys."""
    instance, _store = canary

    def fails(*args: object, **more: object) -> t.NoReturn:
        int(f"{PAIR} {base64.b64encode(PAIR.encode()).decode()}")
        raise AssertionError

    monkeypatch.setattr(StoreClient, "get_list", fails)
    reports = Worker(runtime_of(instance.app)).poll_once([instance.instance_id])
    assert any("ValueError" in str(one.error) for one in reports)
    instance.record("poll", repr(reports))
    instance.call("GET", f"/instances/{instance.instance_id}")


@pytest.mark.parametrize("status", ["200 OK", "403 No", "404 No", "500 No", "503 No"])
def test_answers_that_are_no_json(
    canary: tuple[CanaryInstance, SimulatedStore], status: str
) -> None:
    """No data of a customer is output that a store shows where it should send JSON."""
    instance, _store = canary
    worker = Worker(runtime_of(instance.app))
    for body in (
        f'[{{"id": 5, "billing": {{"email": "{CUSTOMER}", "first',
        f"New order of {CUSTOMER}",
        f"<html><head><title>Shop</title></head><body><p>Dear {CUSTOMER}</p></body></html>",
        f"<div id='error'>Duplicate entry '{CUSTOMER}' for key 'email'</div>",
        f"<br /><b>Warning</b>: {CUSTOMER} in <b>x.php</b> on line <b>7</b><br />oh no",
    ):
        with _serve_bytes(response(body.encode(), status)) as broken:
            _move(instance, broken)
            instance.record("poll", repr(worker.poll_once([instance.instance_id])))
            instance.call("GET", "/hubs/ecommerce/orders", token=True)
            instance.call("POST", "/instances", _body(instance, broken))
            instance.call("GET", f"/instances/{instance.instance_id}")
            instance.call("GET", "/instances/event-poller-records")
            instance.run("doctor")
            instance.run("instances", "show", instance.instance_id)


def _body(instance: CanaryInstance, url: str) -> t.Any:
    return {
        "element": {"key": "woocommercerest"},
        "configuration": {**SECRETS, "store.url": url},
        "name": "again",
    }


def _move(instance: CanaryInstance, url: str) -> None:
    """Write another URL into the configuration, as if the store had always had it."""
    with runtime_of(instance.app).database.write() as session:
        session.execute(
            sa.update(Configuration).where(Configuration.key == "store.url").values(value=url)
        )
        session.execute(sa.update(Instance).values(next_poll_at=runtime_of(instance.app).clock()))
        session.execute(sa.update(Poller).values(failures=0))


@contextlib.contextmanager
def _serve_bytes(text: bytes) -> cabc.Iterator[str]:
    with serve_raw(respond(text)) as server:
        yield server.url.rstrip("/")


@pytest.mark.parametrize("auth", ["basic", "query", "oauth"])
def test_every_authentication_method(
    canary: tuple[CanaryInstance, SimulatedStore], auth: str
) -> None:
    """No log and no error contains keys from a header, a query or a signature."""
    instance, _store = canary
    key, secret = SECRETS["oauth.api.key"], SECRETS["oauth.api.secret"]
    for text in (
        response(b"[]"),
        response(b"no", "500 No"),
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    ):
        with serve_raw(respond(text)) as server:
            session = runtime_of(instance.app).store_session
            client = StoreClient(server.url, key, secret, session=session, auth=auth)
            instance.record("repr", repr(client))
            try:
                instance.record("answer", repr(client.get("orders", {"per_page": 1})))
            except Exception as exc:
                instance.outputs += [("error", one) for one in traceback.format_exception(exc)]
                instance.record("error", repr(vars(exc)))
            assert server.requests
    # Of a request that was never sent, libraries quote the address with its query.
    client = StoreClient("http://127.0.0.1:9", key, secret, auth=auth)
    with pytest.raises(UnreachableError) as caught:
        client.get("orders")
    instance.outputs += [("error", one) for one in traceback.format_exception(caught.value)]


def test_reprs(canary: tuple[CanaryInstance, SimulatedStore]) -> None:
    """The repr of an object, as error reports show it, contains no secret."""
    instance, _store = canary
    runtime = runtime_of(instance.app)
    with runtime.database.read() as session:
        for mapper in Base.registry.mappers:
            for row in session.scalars(sa.select(mapper.class_)):
                instance.record(mapper.class_.__name__, repr(row))
        instance.record("hub", repr(access.load_hub(session, runtime.cipher, instance.instance_id)))
        target = destination.load_credentials(
            session, runtime.cipher, instance.instance_id, runtime.retired_after
        )
        instance.record("target", repr(target))
    store_access = StoreAccess("https://x", SECRETS["oauth.api.key"], SECRETS["oauth.api.secret"])
    for one in (runtime.settings, runtime.cipher, store_access, runtime.store_client(store_access)):
        instance.record(type(one).__name__, repr(one))


def test_database(canary: tuple[CanaryInstance, SimulatedStore], tmp_path: pathlib.Path) -> None:
    """The database's file contains no secret in plain text."""
    instance, store = canary
    worker = Worker(runtime_of(instance.app))
    worker.poll_once([instance.instance_id])
    store.acts.status(next(iter(store.shop.tables["orders"])).id, "completed")
    worker.poll_once([instance.instance_id])
    worker.deliver_once()
    runtime_of(instance.app).database.dispose()
    data = b"".join(path.read_bytes() for path in tmp_path.glob("host.sqlite3*"))
    assert b"woo_instance" in data
    for name, forms in _canaries(instance).items():
        assert not any(form.encode() in data for form in forms), name


def test_errors_of_databases(any_database: Database) -> None:
    """Neither the message nor the traceback of an error quotes a value."""
    row = {"secret_hash": CUSTOMER[:20], "settings": {}, "created_at": NOW}
    long = {**row, "name": f"{CUSTOMER}{'x' * 200}"}
    insert = sa.insert(Organization)
    with any_database.write() as session:
        session.execute(insert, {**row, "name": CUSTOMER})
    works: list[cabc.Callable[[sa.Connection], object]] = [
        lambda connection: connection.execute(insert, {**row, "name": CUSTOMER}),
        lambda connection: connection.execute(insert, {**long, "settings": CUSTOMER.encode()}),
    ]
    if any_database.engine.dialect.name != "sqlite":
        number = sa.text("UPDATE woo_organization SET id = :value")
        works += [
            lambda connection: connection.execute(insert, long),
            lambda connection: connection.execute(number, {"value": CUSTOMER}),
        ]
    for work in works:
        for fails in (_in_session, _in_transaction, _on_a_connection):
            with pytest.raises((sa.exc.StatementError, TypeError)) as caught:
                fails(any_database, work)
            error = caught.value
            texts = str(error), repr(error), repr(vars(error))
            for text in (*texts, *traceback.format_exception(error)):
                assert CUSTOMER not in text and CUSTOMER[:20] not in text


def _in_session(database: Database, work: cabc.Callable[[sa.Connection], object]) -> None:
    with database.write() as session:
        work(session.connection())


def _in_transaction(database: Database, work: cabc.Callable[[sa.Connection], object]) -> None:
    with database.begin() as connection:
        work(connection)


def _on_a_connection(database: Database, work: cabc.Callable[[sa.Connection], object]) -> None:
    with database.engine.connect() as connection:
        work(connection)


def test_every_command_is_known() -> None:
    """A new group of commands fails this test until its output is checked, too."""
    known = {"connect", "db", "deliver", "deliveries", "demo", "doctor", "erase", "events",
             "instances", "keys", "listen", "poll", "prove", "reconcile", "simulate",
             "subscriptions", "trigger", "users", "webhooks"}  # fmt: skip
    listed = set(cli.list_commands(click.Context(cli)))
    assert listed == known, "add the new command to test_normal_operation"
