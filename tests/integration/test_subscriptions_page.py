"""The page on subscriptions: its commands and requests work, and its bodies are those sent."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import json
import pathlib
import re
import shlex
import types
import typing as t

import orjson
import pytest

from flask_woo_events import Event
from flask_woo_events.db.states import EventType
from flask_woo_events.delivery import cloudevents, payload
from flask_woo_events.delivery.payload import Sender
from flask_woo_events.events.changes import Changes
from flask_woo_events.events.notifications import EventRecord, NotificationRecord
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.values.cloud_elements import Format
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import StoreToCallback

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "subscriptions.md"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCES = _FENCE.findall(PAGE.read_text(encoding="utf-8"))
#: The receiver that the page adds.
ADDED = "https://warehouse.example/events"
MEMBERS = {
    "callbackUrl", "signatureKey", "headers", "description", "resources", "eventTypes", "fields",
    "format", "requestsPerSecond", "concurrentRequests", "timeoutSeconds", "retrySchedule",
    "paused",
}  # fmt: skip


def _blocks(language: str) -> list[str]:
    found = [code for name, code in FENCES if name == language]
    assert found
    return found


@pytest.fixture
def receiver_url() -> cabc.Iterator[str]:
    with CallbackReceiver().serve() as url:
        yield url


def test_the_kinds_of_blocks_are_known() -> None:
    """Each block of the page is executed or compared by a test here."""
    assert {name for name, _ in FENCES} == {"console", "text", "json", "python"}


def _commands(url: str) -> cabc.Iterator[tuple[list[str], str]]:
    """Yield each command of the page with the output that follows it."""
    for block in _blocks("console"):
        for part in re.split(r"^\$ flask ", block, flags=re.MULTILINE)[1:]:
            words, _, output = part.partition("\n")
            yield shlex.split(words.replace(ADDED, url)), output


def test_commands_print_what_the_page_shows(env: StoreToCallback, receiver_url: str) -> None:
    """The commands of the page, one after the other, print the lines below them."""
    count = 0
    for words, output in _commands(receiver_url):
        result = env.app.test_cli_runner().invoke(args=words)
        assert result.exit_code == 0, (words, result.output)
        assert result.output == output or not output, words
        count += 1
    assert count >= 13


def _requests(url: str) -> cabc.Iterator[tuple[str, str, t.Any]]:
    """Yield method, path and body of each request of the page."""
    for block in _blocks("text"):
        head, _, body = block.partition("\n\n")
        method, path = head.split()
        yield method, path, json.loads(body.replace(ADDED, url)) if body else None


def test_requests_have_the_effect_that_the_page_says(
    env: StoreToCallback, receiver_url: str
) -> None:
    """Each request is accepted, and its answer has the members that were sent."""
    named: set[str] = set()
    for method, path, body in _requests(receiver_url):
        answer = env.api.call(method, path, body)
        assert answer.status_code == 200, (path, answer.text)
        for name, value in (body or {}).items():
            named.add(name)
            if name not in ("signatureKey", "headers"):
                assert answer.json[name] == value, name
    assert named == MEMBERS


def _bodies() -> dict[str, t.Any]:
    extended, thin, event = map(json.loads, _blocks("json"))
    return {"extended": extended, "thin": thin, "cloudevents": event}


@pytest.mark.parametrize("form", ["extended", "thin", "cloudevents"])
def test_bodies_are_those_that_are_sent(form: str) -> None:
    """The page shows one notification in each format, as it is built."""
    example = _bodies()["extended"]
    message, [shown] = example["message"], example["message"]["events"]
    record = dict(message["raw"]["orders"][0])
    poll_date = dt.datetime.fromisoformat(shown["pollDate"])
    event = EventRecord(
        id=1,
        object_id=record.pop("objectId"),
        event_type=EventType(record.pop("eventType")),
        version=shown["version"],
        date=dt.datetime.fromisoformat(shown["date"]),
        body=orjson.dumps(record),
        changed_fields=tuple(shown["changedFields"]),
        changes=Changes(shown["changes"]),
    )
    notification = NotificationRecord(
        id=int(example["id"]),
        event_id=message["eventId"],
        instance_id=message["instanceId"],
        resource="orders",
        poll_date=poll_date,
        created_at=poll_date,
        events=(event,),
    )
    sender = Sender(
        instance_id=message["instanceId"],
        name=message["instanceName"],
        tags=tuple(message["instanceTags"]),
        account_id=message["accountId"],
        company_id=message["companyId"],
        user_id=message["userId"],
        format=Format(form),
    )
    built = (
        cloudevents.build_body(notification, event, sender)
        if form == "cloudevents"
        else payload.build_body(notification, sender)
    )
    assert json.loads(built) == _bodies()[form]


def test_the_function_gets_the_changes_that_it_wants(
    env: StoreToCallback, capsys: pytest.CaptureFixture[str]
) -> None:
    """An UPDATED without a change in its fields is not given to the handler of the page."""
    [code] = _blocks("python")
    module = types.ModuleType("shipping")
    exec(code, module.__dict__)
    runtime, planned = runtime_of(env.app), t.cast("t.Any", module).plan_shipping
    seen: list[tuple[str, str]] = []

    def plan_shipping(event: Event) -> None:
        seen.append((event.type, event.object_id))
        planned(event)

    route = next(iter(t.cast("t.Any", module).woo._handlers.routes()))
    assert route.fields == ("status", "line_items[].quantity")
    runtime.handlers.on(route.resource, route.types, route.name, route.fields)(plan_shipping)
    order = env.first("orders")
    env.rest("PUT", f"orders/{order}", customer_note="a note")
    assert ("orders", str(order), "UPDATED") in env.arrivals()
    assert seen == []
    env.store.acts.status(order, "completed")
    env.poll()
    Worker(runtime).deliver_once()
    assert seen == [("UPDATED", str(order))]
    assert capsys.readouterr().out == f"UPDATED {order} completed\n"
