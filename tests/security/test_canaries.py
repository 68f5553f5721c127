"""A secret is in the database, encrypted, and where it is meant to be; nowhere else."""

from __future__ import annotations

import base64
import collections.abc as cabc
import contextlib
import http.server
import itertools
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
from flask_woo_events.db.models import (
    Base,
    Configuration,
    Instance,
    Notification,
    Poller,
    StoredEvent,
)
from flask_woo_events.delivery import destination
from flask_woo_events.instances import access as profiles
from flask_woo_events.instances import webhook_urls
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.woocommerce.access import StoreAccess
from flask_woo_events.woocommerce.client import StoreClient
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import Account, Api, add_account, dispose, make_app, runtime_of
from tests.raw_server import respond, response, serve_raw
from tests.serving import serve_handler

#: Each is in no other text.
SECRETS = {
    "oauth.api.key": "ck_canary_key_61f0",
    "oauth.api.secret": "cs_canary_secret_72e1",
    "event.notification.signature.key": "canary-signature-83d2",
    "event.notification.basic.password": "canary-password-94c3",
}
#: Not a secret: it reads back as it is.
USER = "event.notification.basic.username"
HEADER = "canary-header-b6a5"
BASIC = base64.b64encode(f"me:{SECRETS['event.notification.basic.password']}".encode()).decode()


class Echo:
    """A callback that fails and repeats all that it was sent: headers, decoded and raw."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @contextlib.contextmanager
    def serve(self) -> cabc.Iterator[str]:
        echo = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                echo.heard.append(str(self.headers))
                given = self.headers.get("Authorization", "").removeprefix("Basic ")
                body = f"{self.headers}\n{base64.b64decode(given).decode()}".encode()
                self.send_response(500)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        with serve_handler(Handler) as url:
            yield f"{url}/hook"


class Everything(logging.Handler):
    """Keeps each record of each logger as it would be written, with all that it carries."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts += [self.format(record), repr(record.__dict__)]
        if record.exc_info and record.exc_info[1]:
            self.texts += traceback.format_exception(record.exc_info[1])


class CanaryInstance:
    """An instance full of canaries, and all that is said while it is used."""

    def __init__(self, app: flask.Flask, api: Api, account: Account, echo: Echo) -> None:
        self.app, self.api, self.account, self.echo = app, api, account, echo
        self.said: list[tuple[str, str]] = []
        self.instance_id, self.token = 0, ""

    def say(self, where: str, text: str) -> None:
        self.said.append((where, text))

    def call(self, method: str, path: str, body: object = None, token: bool = False) -> t.Any:
        headers = self.account.element(self.token) if token else self.api.headers
        came = self.api.call(method, path, body, headers)
        self.say(f"{method} {path}", f"{came.headers}\n{came.text}")
        return came

    def run(self, *args: object) -> None:
        words = ["woo", *map(str, args)]
        result = self.app.test_cli_runner().invoke(args=words)
        self.say(" ".join(words), result.output)
        if result.exc_info is not None and not isinstance(result.exception, SystemExit):
            self.say(" ".join(words), "".join(traceback.format_exception(result.exception)))

    def everything(self, *methods: str) -> None:
        """Call every route with ids of what is there."""
        with runtime_of(self.app).database.read() as session:
            named = {
                "instance_id": [str(self.instance_id)],
                "entry_id": [str(one) for one in range(1, 20)],
                "event_id": list(session.scalars(sa.select(Notification.event_id)))[:2],
                "notification_id": ["1"],
                "subscription_id": ["1"],
                "account_id": ["1"],
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
            if not rule.endpoint.startswith(f"{NAME}."):
                continue
            names = sorted(rule.arguments)
            for method, values in itertools.product(
                sorted((rule.methods or set()) & set(methods)),
                itertools.product(*(named[one] for one in names)),
            ):
                path = rule.rule.removeprefix(prefix)
                for name, value in zip(names, values, strict=True):
                    path = re.sub(rf"<(?:[^<>]*:)?{name}>", value, path)
                for token in (False, True):
                    self.call(method, path, {} if method != "GET" else None, token)


@pytest.fixture
def stage(
    tmp_path: pathlib.Path, tables: pathlib.Path
) -> cabc.Iterator[tuple[CanaryInstance, SimulatedStore]]:
    """A store that is read, a callback that fails and echoes, and a log of everything."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    store = SimulatedStore(
        "11.0",
        consumer_key=SECRETS["oauth.api.key"],
        consumer_secret=SECRETS["oauth.api.secret"],
    )
    store.populate(orders=3, products=2, coupons=1, customers=2)
    echo, log = Echo(), Everything()
    app = make_app(tmp_path, WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS=True)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(log)
    try:
        with store.serve() as url, echo.serve() as hook:
            account = add_account(app, "ann", "acme")
            made = CanaryInstance(app, Api(app.test_client(), account.headers, url), account, echo)
            configuration = {
                **SECRETS,
                USER: "me",
                "event.notification.callback.url": hook,
                "event.notification.callback.headers": {"X-Extra": HEADER},
            }
            created = made.api.create(**configuration)
            made.instance_id, made.token = created["id"], created.pop("token")
            made.say("POST /instances", repr(created))
            yield made, store
    finally:
        root.removeHandler(log)
        root.setLevel(level)
        dispose(app)
        made.said += [("log", text) for text in log.texts]
        _nothing_said(made)


def _forms(secret: str) -> set[str]:
    """A secret as it is, and as it would stand in a query or in Base64."""
    return {secret, urllib.parse.quote(secret), base64.b64encode(secret.encode()).decode()}


def _canaries(stage: CanaryInstance) -> dict[str, set[str]]:
    settings = runtime_of(stage.app).settings
    keys = settings.encryption_keys
    hook = webhook_urls.secrets(keys, Hook(stage.instance_id, 1))
    named = {**SECRETS, "header": HEADER, "basic": BASIC, "token": stage.token,
             "user": stage.account.user, "organization": stage.account.organization,
             "encryption key": keys[-1], "webhook secret": hook[-1]}  # fmt: skip
    return {name: _forms(value) for name, value in named.items()}


def _nothing_said(stage: CanaryInstance) -> None:
    canaries = _canaries(stage)
    for where, text in stage.said:
        for name, forms in canaries.items():
            assert not any(form in text for form in forms), (name, where, text[:2000])


def test_working(stage: tuple[CanaryInstance, SimulatedStore]) -> None:
    """Polls, deliveries to a callback that echoes, every route and every command tell no secret."""
    made, store = stage
    worker = Worker(runtime_of(made.app))
    made.say("poll", repr(worker.poll_once([made.instance_id])))
    store.acts.status(next(iter(store.shop.tables["orders"])).id, "completed")
    made.say("poll", repr(worker.poll_once([made.instance_id])))
    made.say("deliver", repr(worker.deliver_once()))
    heard = "".join(made.echo.heard)
    assert HEADER in heard and BASIC in heard  # The callback itself receives them.
    made.everything("GET", "PUT", "PATCH", "POST")
    with runtime_of(made.app).database.read() as session:
        event_id = session.scalars(sa.select(StoredEvent.id).limit(1)).one()
    number = made.instance_id
    for args in (
        ("doctor",), ("doctor", "--json"), ("events", "list"), ("events", "list", "--json"),
        ("events", "show", event_id), ("events", "show", event_id, "--json"),
        ("events", "replay", event_id, "--dry-run"), ("deliveries", "list"),
        ("instances", "list"), ("users", "list"),
        ("events", "replay", event_id, "--to", "http://127.0.0.1:9/"),
        ("instances", "list", "--json"), ("instances", "show", number),
        ("instances", "show", number, "--json"), ("webhooks", "list", number),
        ("webhooks", "check", number), ("poll", "--once", "--json"), ("deliver", "--once"),
        ("instances", "pause", number), ("instances", "resume", number), ("keys", "rotate"),
    ):  # fmt: skip
        made.run(*args)


def test_failing_stores(stage: tuple[CanaryInstance, SimulatedStore]) -> None:
    """Nor does anything while the store refuses, redirects, breaks off or repeats what it got."""
    made, store = stage
    url = made.api.store
    worker = Worker(runtime_of(made.app))
    keys = SECRETS["oauth.api.key"], SECRETS["oauth.api.secret"]
    echoes = "\r\n".join(keys)
    for said in (
        f"HTTP/1.1 401 No\r\nContent-Length: {len(echoes)}\r\n\r\n{echoes}",
        f"HTTP/1.1 500 No\r\n\r\n<title>{keys[0]} {keys[1]}</title>",
        f"HTTP/1.1 302 Found\r\nLocation: {url}/?consumer_secret={keys[1]}\r\n\r\n",
        f'HTTP/1.1 400 No\r\n\r\n{{"code":"{keys[1]}","message":"{keys[0]}"}}',
        f'HTTP/1.1 200 OK\r\nX-WP-Total: 1\r\n\r\n[{{"id":"{keys[1]}"}}]',
        f"HTTP/1.1 200 OK\r\n{keys[1]} broken\r\n\r\n[]",
        f"HTTP/1.1 200 OK\r\n\r\nWarning: {keys[1]}",
        f"{keys[0]}",
    ):
        with _saying(said.encode()) as broken:
            _move(made, broken)
            made.say("poll", repr(worker.poll_once([made.instance_id])))
            made.call("GET", "/hubs/ecommerce/orders", token=True)
            made.call("GET", "/hubs/ecommerce/orders/1", token=True)
            made.call("POST", "/instances", _body(made, broken))
            made.call("GET", f"/instances/{made.instance_id}")
            made.call("GET", "/instances/event-poller-records")
            made.run("doctor")


def _body(made: CanaryInstance, url: str) -> t.Any:
    return {
        "element": {"key": "woocommercerest"},
        "configuration": {**SECRETS, "store.url": url},
        "name": "again",
    }


def _move(made: CanaryInstance, url: str) -> None:
    """Write another address into the configuration, as if the store had always been there."""
    with runtime_of(made.app).database.write() as session:
        session.execute(
            sa.update(Configuration).where(Configuration.key == "store.url").values(value=url)
        )
        session.execute(sa.update(Instance).values(next_poll_at=runtime_of(made.app).clock()))
        session.execute(sa.update(Poller).values(failures=0))


@contextlib.contextmanager
def _saying(text: bytes) -> cabc.Iterator[str]:
    with serve_raw(respond(text)) as server:
        yield server.url.rstrip("/")


@pytest.mark.parametrize("auth", ["basic", "query", "oauth"])
def test_every_way_to_prove_who_we_are(
    stage: tuple[CanaryInstance, SimulatedStore], auth: str
) -> None:
    """Keys in a header, a query or a signature are in no log and no error."""
    made, _store = stage
    key, secret = SECRETS["oauth.api.key"], SECRETS["oauth.api.secret"]
    for text in (
        response(b"[]"),
        response(b"no", "500 No"),
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    ):
        with serve_raw(respond(text)) as server:
            session = runtime_of(made.app).store_session
            client = StoreClient(server.url, key, secret, session=session, auth=auth)
            made.say("repr", repr(client))
            try:
                made.say("answer", repr(client.get("orders", {"per_page": 1})))
            except Exception as exc:
                made.said += [("error", one) for one in traceback.format_exception(exc)]
                made.say("error", repr(vars(exc)))
            assert server.requests


def test_reprs(stage: tuple[CanaryInstance, SimulatedStore]) -> None:
    """What a debugger or a report of errors shows of our objects has no secret in it."""
    made, _store = stage
    runtime = runtime_of(made.app)
    with runtime.database.read() as session:
        for mapper in Base.registry.mappers:
            for row in session.scalars(sa.select(mapper.class_)):
                made.say(mapper.class_.__name__, repr(row))
        made.say("hub", repr(profiles.load_hub(session, runtime.cipher, made.instance_id)))
        target = destination.load_credentials(
            session, runtime.cipher, made.instance_id, runtime.retired_after
        )
        made.say("target", repr(target))
    access = StoreAccess("https://x", SECRETS["oauth.api.key"], SECRETS["oauth.api.secret"])
    for one in (runtime.settings, runtime.cipher, access, runtime.store_client(access)):
        made.say(type(one).__name__, repr(one))


def test_database(stage: tuple[CanaryInstance, SimulatedStore], tmp_path: pathlib.Path) -> None:
    """A copy of the database is worth nothing without the key."""
    made, store = stage
    worker = Worker(runtime_of(made.app))
    worker.poll_once([made.instance_id])
    store.acts.status(next(iter(store.shop.tables["orders"])).id, "completed")
    worker.poll_once([made.instance_id])
    worker.deliver_once()
    runtime_of(made.app).database.dispose()
    data = b"".join(path.read_bytes() for path in tmp_path.glob("host.sqlite3*"))
    assert b"woo_instance" in data
    for name, forms in _canaries(made).items():
        assert not any(form.encode() in data for form in forms), name


def test_every_command_is_known() -> None:
    """A new group of commands is looked at here, too."""
    known = {"db", "deliver", "deliveries", "demo", "doctor", "events", "instances", "keys",
             "poll", "prove", "simulate", "users", "webhooks"}  # fmt: skip
    listed = set(cli.list_commands(click.Context(cli)))
    assert listed == known, "add the new command to test_working"
