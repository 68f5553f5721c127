"""The page on feeds: its program reads events, and its requests and answers are real."""

from __future__ import annotations

import builtins
import datetime as dt
import json
import pathlib
import re
import shlex
import types

import pytest

from flask_woo_events.db.states import EventType
from flask_woo_events.delivery import payload
from flask_woo_events.delivery.payload import Sender
from flask_woo_events.events import notifications
from flask_woo_events.events.changes import Changes
from flask_woo_events.events.notifications import EventRecord, NotificationRecord
from flask_woo_events.values.cloud_elements import Format
from tests.integration.host_app import PREFIX
from tests.integration.store_to_callback import StoreToCallback
from tests.serving import serve_app

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "feed.md"
FENCES = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
HOST = "https://events.example.com/elements/api-v2"
SECRETS = "User <USER_SECRET>, Organization <ORGANIZATION_SECRET>"


def _blocks(language: str) -> list[str]:
    found = [code for name, code in FENCES if name == language]
    assert found
    return found


def test_the_kinds_of_blocks_are_known() -> None:
    """Each block of the page is executed or compared by a test here."""
    assert {name for name, _ in FENCES} == {"text", "json", "python", "console"}


class Enough(Exception):
    """All events are printed."""


def test_program_prints_events(
    env: StoreToCallback, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program of the page reads a served feed, and goes on with its file."""
    for number in sorted(env.store.truth("orders"))[:2]:
        env.store.acts.order_meta(number, value="changed")
    assert len(env.arrivals()) == 2
    [code] = _blocks("python")
    monkeypatch.chdir(tmp_path)
    printed: list[str] = []

    def show(*words: str) -> None:
        printed.append(" ".join(words))
        if len(printed) == 3:
            raise Enough

    monkeypatch.setattr(builtins, "print", show)
    with serve_app(env.app) as (host, port):
        code = code.replace(HOST, f"http://{host}:{port}{PREFIX}")
        code = code.replace(SECRETS, env.api.headers["Authorization"])
        # It waits for no events on the page; here, a third one ends it.
        env.store.acts.new_coupon("third")
        env.poll()
        with pytest.raises(Enough):
            exec(compile(code, str(PAGE), "exec"), {})  # noqa: S102
    assert [one.split()[0] for one in printed] == ["UPDATED", "UPDATED", "CREATED"]


def test_requests_are_accepted(env: StoreToCallback) -> None:
    """With a cursor of this feed in place of the one of the page."""
    cursor = env.api.call("GET", "/instances/1/events/feed").json["cursor"]
    env.store.acts.status(env.first("orders"), "cancelled")
    assert env.arrivals()
    shown = [json.loads(code) for code in _blocks("json")]
    for request in _blocks("text"):
        method, path = request.split()
        if method == "POST":
            continue
        answer = env.api.call(method, path.replace(shown[0]["cursor"], cursor))
        assert answer.status_code == 200, answer.text
        assert answer.json.keys() == shown[0].keys()
        assert answer.json["events"]


def test_subscription_that_is_only_read_is_added(env: StoreToCallback) -> None:
    """By the command and by the request of the page, alike; its feed has what it chooses."""
    [block] = _blocks("console")
    command, *promised = block.splitlines()
    run = env.app.test_cli_runner().invoke(args=shlex.split(command)[2:])
    assert run.output.splitlines() == promised
    [method, path] = next(one for one in _blocks("text") if one.startswith("POST")).split()
    [body] = [json.loads(one) for one in _blocks("json")[1:]]
    added = env.api.call(method, path, body).json
    other = {"id": 2, "createdDate": added["createdDate"]}
    assert env.api.call("GET", f"{path}/2").json == added | other
    env.store.acts.status(env.first("orders"), "cancelled")
    env.store.acts.stock(env.first("products"), 77)
    assert env.arrivals()
    method, path = promised[1].removeprefix("To read it: ").split()
    [event] = env.api.call(method, path).json["events"]
    assert event["subject"].startswith("orders/")


def test_answer_is_as_it_is_built() -> None:
    """The page shows one event in the format ``thin``."""
    [shown] = json.loads(_blocks("json")[0])["events"]
    [event] = shown["message"]["events"]
    date = dt.datetime.fromisoformat(event["date"])
    row = types.SimpleNamespace(
        instance_id=1,
        resource="orders",
        object_id="727",
        version=event["version"],
        only_for=None,
    )
    record = EventRecord(
        id=int(shown["id"]),
        object_id="727",
        event_type=EventType.UPDATED,
        version=3,
        date=date,
        body=b"{}",
        changed_fields=("status",),
        changes=Changes({"status": {"before": "processing", "after": "completed"}}),
    )
    notification = NotificationRecord(
        id=int(shown["id"]),
        event_id=notifications._single_id(row),
        instance_id=1,
        resource="orders",
        poll_date=date,
        created_at=date,
        events=(record,),
    )
    sender = Sender(
        instance_id=1,
        name="shop",
        tags=(),
        account_id=1,
        company_id=1,
        user_id=1,
        format=Format.THIN,
    )
    assert json.loads(payload.build_body(notification, sender)) == shown
