"""The page on operational events: commands, bodies, kinds and recipes are what it says."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import email
import email.message
import gzip
import http.server
import json
import os
import pathlib
import re
import shlex
import socketserver
import sys
import threading
import types
import typing as t

import orjson
import pytest

from flask_woo_events import OperationalEvent, WooEvents
from flask_woo_events.db.states import EventType
from flask_woo_events.delivery import payload
from flask_woo_events.delivery.payload import Sender
from flask_woo_events.events.notifications import EventRecord, NotificationRecord
from flask_woo_events.instances import stops
from flask_woo_events.values.cloud_elements import Format
from flask_woo_events.values.operational_kinds import KINDS
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import OwnClock, StoreToCallback
from tests.serving import serve_handler

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "operational.md"
TEXT = PAGE.read_text("utf-8")
#: The page with the function that computes the checkpoint.
RECONCILE = PAGE.with_name("reconcile.md").read_text("utf-8")
FENCES = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
RECIPES = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
#: The receiver that the page adds.
ADDED = "https://alerts.example/woo"


def _blocks(language: str) -> list[str]:
    return [code for name, code in FENCES if name == language]


def test_commands_and_requests(env: StoreToCallback) -> None:
    """They work one after the other, and print the lines below them."""
    count = 0
    for block in _blocks("console"):
        for part in re.split(r"^\$ flask ", block, flags=re.MULTILINE)[1:]:
            words, _, output = part.partition("\n")
            result = env.app.test_cli_runner().invoke(args=shlex.split(words))
            assert result.exit_code == 0, (words, result.output)
            assert result.output == output, words
            count += 1
    for block in _blocks("text"):
        head, _, body = block.partition("\n\n")
        method, path = head.split()
        answer = env.api.call(method, path, json.loads(body))
        assert answer.status_code == 200 and answer.json["operational"], answer.text
        count += 1
    assert count == 5


def test_kinds() -> None:
    """The page lists each kind as the catalogue and the command do."""
    listed = re.findall(r"^\| `([a-z.]+)` \| (.*) \|$", TEXT, re.MULTILINE)
    assert listed == [(one.name, one.when) for one in KINDS.values()]


@dataclasses.dataclass(frozen=True)
class _First:
    channel: str = "webhook"
    url: str = "https://app.example/events"


def test_bodies() -> None:
    """The body of the page is sent for the stop that it shows, with both formats."""
    [shown, checkpoint] = map(json.loads, _blocks("json"))
    [record] = shown["message"]["raw"]["operational"]
    stop = stops.stopped(_First(), 1, 1, "410 Gone").row(
        1, dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
    )
    known = {"kind": stop["kind"], "problemId": "17", "since": "2026-11-23T21:15:06Z"}
    at = dt.datetime(2026, 11, 23, 21, 15, 6, tzinfo=dt.UTC)
    event = EventRecord(
        id=1, object_id=stop["subject"], event_type=EventType.CREATED, version=17, date=at,
        body=orjson.dumps(known | stop["record"]), changed_fields=(),
    )  # fmt: skip
    notification = NotificationRecord(
        id=4712, event_id=shown["message"]["eventId"], instance_id=1, resource="operational",
        poll_date=at, created_at=at + dt.timedelta(seconds=1), events=(event,), kind=stop["kind"],
    )  # fmt: skip
    sender = Sender(
        instance_id=1, name="My store", tags=("Docs",), account_id=3, company_id=1, user_id=3
    )
    assert orjson.loads(payload.build_body(notification, sender)) == shown
    assert record.keys() >= {"costs", "ends", "command"}
    plain = dataclasses.replace(sender, format=Format.CLOUD_ELEMENTS)
    del shown["message"]["events"][0]["version"]
    assert orjson.loads(payload.build_body(notification, plain)) == shown
    [orders] = checkpoint["resources"]
    module: dict[str, t.Any] = {}
    [code] = re.findall(r"^```python\n(.*?)^```$", RECONCILE, re.MULTILINE | re.DOTALL)
    exec(compile(code, "reconcile.md", "exec"), module)  # noqa: S102
    assert module["checkpoint"]({"727": 3, "728": 1}.items()) == (orders["count"], orders["digest"])


def test_the_function_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints what a handler gets."""
    [code] = [one for one in _blocks("python") if "def alert" in one]
    module: dict[str, t.Any] = {}
    exec(compile(code, str(PAGE), "exec"), module)  # noqa: S102
    at = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
    module["alert"](
        OperationalEvent(
            id=1, instance_id=1, instance_name="My store", instance_tags=(), date=at, since=at,
            type="poller.disabled", problem_id="1", text="stopped", ends="A person.", record={},
        )
    )  # fmt: skip
    assert capsys.readouterr().out == "My store poller.disabled stopped A person.\n"


# Recipes


class MailServer(socketserver.ThreadingTCPServer):
    """An SMTP server that keeps what it accepts, as far as a client without extensions needs it."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        self.mails: list[email.message.Message] = []
        super().__init__(("127.0.0.1", 0), _Mail)


class _Mail(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            command = line[:4].upper()
            if command == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = list(iter(self.rfile.readline, b".\r\n"))
                mails = t.cast("MailServer", self.server).mails
                mails.append(email.message_from_bytes(b"".join(lines)))
            self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")
            if command == b"QUIT":
                return


class _Collecting(http.server.BaseHTTPRequestHandler):
    """Keeps the bodies of requests."""

    bodies: t.ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        packed = self.headers.get("Content-Encoding") == "gzip"
        self.bodies.append(gzip.decompress(body) if packed else body)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def _stopped(
    env: StoreToCallback, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> cabc.Callable[[], None]:
    """Run a block of the page, stop a subscription, and return what delivers and goes on."""
    shop = types.ModuleType("shop")
    shop.woo = WooEvents()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop", shop)
    module = types.ModuleType(recipe)
    exec(compile(RECIPES[recipe], f"{PAGE}: {recipe}", "exec"), module.__dict__)  # noqa: S102
    runtime = runtime_of(env.app)
    runtime.handlers, clock = shop.woo._handlers, OwnClock(runtime)
    env.receiver.answer = lambda _: 410
    env.rest("PUT", f"coupons/{env.first('coupons')}", description="changed")
    env.poll()
    Worker(runtime).deliver_once()

    def deliver() -> None:
        clock.advance(minutes=10)
        Worker(runtime).deliver_once()

    return deliver


def _resume(env: StoreToCallback) -> None:
    env.receiver.answer = lambda _: 200
    words = ["woo", "deliveries", "redeliver", "--instance", "1", "--subscription", "1"]
    assert env.app.test_cli_runner().invoke(args=words).exit_code == 0


def test_every_recipe_is_tested() -> None:
    """The page has these recipes, and no other."""
    assert set(RECIPES) == {"mail", "slack", "sentry"}


def test_mail(env: StoreToCallback, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail of the begin and one of the end belong together, also after the server was down."""
    with MailServer() as server:
        env.app.config["OPERATOR"] = "operator@shop.example"
        env.app.config["MAIL_SERVER"] = "127.0.0.1:9"
        deliver = _stopped(env, "mail", monkeypatch)
        deliver()
        env.app.config["MAIL_SERVER"] = f"127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        deliver()
        _resume(env)
        deliver()
        server.shutdown()
    begin, end = server.mails
    assert (begin["Subject"], end["Subject"]) == (
        "shop: subscription.stopped", "shop: subscription.resumed",
    )  # fmt: skip
    assert begin["References"] == end["References"] and begin["Message-ID"] != end["Message-ID"]
    assert "are stopped: 410 Gone" in begin.get_payload(decode=True).decode()  # type: ignore[union-attr]


def test_slack(env: StoreToCallback, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is posted to the incoming webhook, also after it refused one."""
    messages: list[dict[str, str]] = []
    down = True

    class Slack(_Collecting):
        bodies: t.ClassVar[list[bytes]] = []

        def send_response(self, code: int, message: str | None = None) -> None:
            super().send_response(503 if down else code, message)

    with serve_handler(Slack) as url:
        env.app.config["SLACK_WEBHOOK_URL"] = url
        deliver = _stopped(env, "slack", monkeypatch)
        deliver()
        down = False
        Slack.bodies.clear()
        deliver()
        _resume(env)
        deliver()
    messages = [json.loads(body) for body in Slack.bodies]
    assert [one["text"].splitlines()[0] for one in messages] == [
        "*shop*: subscription.stopped", "*shop*: subscription.resumed",
    ]  # fmt: skip
    assert "are stopped: 410 Gone" in messages[0]["text"]


def test_sentry(env: StoreToCallback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin and end are messages of one group."""
    if not os.environ.get("CI"):
        pytest.importorskip("sentry_sdk")
    import sentry_sdk

    class Sentry(_Collecting):
        bodies: t.ClassVar[list[bytes]] = []

    with contextlib.ExitStack() as stack:
        url = stack.enter_context(serve_handler(Sentry))
        sentry_sdk.init(
            dsn=f"{url.rstrip('/').replace('://', '://key@')}/1", default_integrations=False
        )
        # Not another init, whose integrations would change all requests of this process.
        stack.callback(sentry_sdk.get_global_scope().set_client, None)
        stack.callback(sentry_sdk.get_client().close)
        deliver = _stopped(env, "sentry", monkeypatch)
        deliver()
        _resume(env)
        deliver()
    events = [
        json.loads(line)
        for body in Sentry.bodies
        for line in body.splitlines()
        if b'"fingerprint"' in line
    ]
    assert [(one["message"].partition(":")[0], one["level"]) for one in events] == [
        ("subscription.stopped", "error"), ("subscription.resumed", "info"),
    ]  # fmt: skip
    assert events[0]["contexts"]["operational"]["kind"] == "subscription.stopped"
    assert [one["fingerprint"][2] for one in events] == [events[0]["fingerprint"][2]] * 2


def test_receivers_of_the_page_exist() -> None:
    """The added receiver is the one that all commands name."""
    urls = set(re.findall(r"https://[a-z]+\.example/[a-z]+", TEXT))
    assert urls == {ADDED}
