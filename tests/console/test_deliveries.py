"""Deliveries in the console: redelivery, replay and dry runs; the page of an event; CSV."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import pathlib
import re
import shutil
import typing as t

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.console import deliveries, events, instance_status
from flask_woo_events.db.models import Attempt, Delivery, StoredEvent, Subscription
from flask_woo_events.db.states import DeliveryStatus
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.testing import ServedCallback
from flask_woo_events.worker.worker import Worker
from tests.console.http_visitor import HttpVisitor, rows, tell
from tests.integration.host_app import Account, Api, runtime_of
from tests.integration.store_to_callback import open_env

QUEUED, RETRY = DeliveryStatus.QUEUED, DeliveryStatus.RETRY
WINDOW = {"since": "2020-01-01T00:00"}


def _instance(api: Api, url: str = "https://mycoolapp.com/events") -> int:
    keys = {"event.notification.callback.url": url, "event.notification.signature.key": "signed"}
    return int(api.create(**keys)["id"])


def _statuses(app: flask.Flask) -> list[str]:
    with runtime_of(app).database.read() as session:
        return list(session.scalars(sa.select(Delivery.status).order_by(Delivery.id)))


def test_queue_is_listed(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """Undelivered notifications are counted by subscription and listed by status."""
    number = _instance(api)
    tell(app, number, {"id": 1}, {"id": 2}, status=QUEUED)
    tell(app, number, {"id": 3}, status=RETRY)
    page = ann.get("/deliveries").text
    assert page.count('name="delivery"') == 2
    assert ann.get("/deliveries?status=retry").text.count('name="delivery"') == 1
    assert page.count("503 Service Unavailable") == 2, "the last answer of each"
    assert "with the most undelivered" not in page
    assert "No pending deliveries" in ann.get("/deliveries?status=created").text


def test_of_many_subscriptions_the_fullest_are_listed(
    app: flask.Flask, api: Api, ann: HttpVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page lists a limited number of subscriptions, and says that there are more."""
    monkeypatch.setattr(deliveries, "PAGE", 1)
    tell(app, _instance(api, "https://few.example.com/"), {"id": 1}, status=QUEUED)
    tell(app, _instance(api, "https://many.example.com/"), {"id": 1}, {"id": 2}, status=RETRY)
    waits = ann.get("/deliveries").text.split('id="list"')[0]
    assert "many.example.com" in waits and "few.example.com" not in waits
    assert "The 1 subscription with the most undelivered" in waits


def test_empty_queue_says_so(ann: HttpVisitor) -> None:
    """An empty queue shows an explanation."""
    assert "No queued deliveries" in ann.get("/deliveries").text


@pytest.mark.parametrize(
    ("form", "left"),
    [
        ({"what": "selected", "delivery": ["1-1"]}, ["created", "queued", "queued", "delivered"]),
        ({"what": "selected", "delivery": ["1-1", "2-3"]}, ["created", "queued", "created",
                                                              "delivered"]),
        ({"what": "subscription", "id": "1"}, ["created", "created", "queued", "delivered"]),
        ({"what": "all"}, ["created", "created", "created", "delivered"]),
        ({"what": "selected", "delivery": ["1-3", "x", "-", "99999999999999999999-1"]},
         ["queued", "queued", "queued", "delivered"]),
    ],
)  # fmt: skip
def test_one_some_or_all_are_redelivered(
    app: flask.Flask, api: Api, ann: HttpVisitor, form: dict[str, t.Any], left: list[str]
) -> None:
    """Exactly the selected deliveries are scheduled again."""
    first, second = _instance(api), _instance(api)
    tell(app, first, {"id": 1}, {"id": 2}, status=QUEUED)
    tell(app, second, {"id": 3}, status=QUEUED)
    tell(app, second, {"id": 4})
    ann.post("/deliveries/redeliver", form)
    assert _statuses(app) == left


def test_redelivered_arrives(
    app: flask.Flask, api: Api, ann: HttpVisitor, woo_callback: ServedCallback
) -> None:
    """Redelivery activates a stopped subscription, and the worker sends its notifications."""
    number = _instance(api, woo_callback.url)
    tell(app, number, {"id": 1}, status=QUEUED)
    with runtime_of(app).database.write() as session:
        session.execute(sa.update(Subscription).values(active=False, reason="503"))
    assert "Stopped" in ann.get("/deliveries").text
    page = ann.client.post(
        "/woo/deliveries/redeliver",
        data={"woo_csrf_token": ann.token(), "what": "all"},
        follow_redirects=True,
    )
    assert "1 delivery scheduled" in page.text
    Worker(runtime_of(app)).deliver_once()
    assert woo_callback.receiver.events == [("orders", "1", "UPDATED")]
    assert "Stopped" not in ann.get("/deliveries").text


def test_event_is_replayed(
    app: flask.Flask, api: Api, ann: HttpVisitor, woo_callback: ServedCallback
) -> None:
    """A delivered event can be sent again, with its original id."""
    number = _instance(api, woo_callback.url)
    [event_id] = tell(app, number, {"id": 1})
    ann.post(f"/events/{event_id}/replay")
    Worker(runtime_of(app)).deliver_once()
    [received] = woo_callback.receiver.received
    assert received.json["id"] == "1" and received.is_signed_with("signed")


def test_dry_run_sends_nothing(
    app: flask.Flask, api: Api, ann: HttpVisitor, woo_callback: ServedCallback
) -> None:
    """A dry run lists the notifications, and writes and sends nothing."""
    number = _instance(api, woo_callback.url)
    tell(app, number, {"id": 1}, {"id": 2})
    before = rows(app)
    page = ann.post("/deliveries/replay", {**WINDOW, "instance": str(number), "act": "dry"})
    assert "2 notifications with 2 events" in page.text
    assert "Send 2 notifications" in page.text
    assert rows(app) == before and not woo_callback.receiver.received


def test_window_is_replayed(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """Only the selected period, resource and types are scheduled again."""
    number = _instance(api)
    now = runtime_of(app).clock()
    tell(app, number, {"id": 1}, at=now - dt.timedelta(hours=3))
    tell(app, number, {"id": 2}, at=now - dt.timedelta(hours=1))
    since = f"{now - dt.timedelta(hours=2):%Y-%m-%dT%H:%M}"
    form = {"instance": str(number), "since": since, "act": "send"}
    ann.post("/deliveries/replay", {**form, "type": "DELETED"})
    assert _statuses(app) == ["delivered", "delivered"]
    page = ann.post("/deliveries/replay", {**form, "type": "UPDATED", "resource": "orders"})
    assert "1 delivery scheduled" in page.text
    assert _statuses(app) == ["delivered", "created"]


def test_replay_elsewhere_is_signed_and_not_written(
    app: flask.Flask, api: Api, ann: HttpVisitor, woo_callback: ServedCallback
) -> None:
    """Another URL receives the events immediately; nothing is written."""
    number = _instance(api)
    tell(app, number, {"id": 1}, {"id": 2})
    before = rows(app)
    page = ann.post(
        "/deliveries/replay",
        {**WINDOW, "instance": str(number), "object": "2", "where": "elsewhere",
         "url": woo_callback.url, "act": "send"},
    )  # fmt: skip
    assert "1 of 1 were accepted." in page.text
    [received] = woo_callback.receiver.received
    assert received.events[0]["objectId"] == "2" and received.is_signed_with("signed")
    assert rows(app) == before


def test_replay_elsewhere_ends_at_the_first_refusal(
    app: flask.Flask, api: Api, ann: HttpVisitor
) -> None:
    """A replay to another URL stops at the first failure, and the page says so."""
    number = _instance(api)
    tell(app, number, *({"id": one} for one in range(4)))
    receiver = CallbackReceiver(lambda received: 200 if len(receiver.received) < 1 else 503)
    with receiver.serve() as url:
        page = ann.post(
            "/deliveries/replay",
            {**WINDOW, "instance": str(number), "where": "elsewhere", "url": url, "act": "send"},
        )
    assert len(receiver.received) == 2
    assert "1 of 4 were accepted." in page.text and "503 Service Unavailable" in page.text
    assert page.text.count("not sent</span>") == 2


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({}, "Select an instance"),
        ({"instance": "1"}, "time of the first event"),
        ({"instance": "1", "since": "soon"}, "is not a date"),
        ({**WINDOW, "instance": "1", "where": "elsewhere"}, "Enter the URL"),
        ({**WINDOW, "instance": "1", "where": "elsewhere", "url": "ftp://x"}, "http://"),
    ],
)
def test_wrong_replay_says_what_is_missing(
    api: Api, ann: HttpVisitor, form: dict[str, str], words: str
) -> None:
    """The page names the missing or wrong value, and keeps the input."""
    _instance(api)
    page = ann.post("/deliveries/replay", {**form, "act": "dry"})
    assert page.status_code == 422 and words in page.text


def test_replay_begins_with_an_instance(
    api: Api, ann: HttpVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of an instance links to its replay, even if the selection does not list it."""
    number = _instance(api)
    assert f"/woo/deliveries/replay?instance={number}" in ann.get(f"/instances/{number}").text
    option = f'<option value="{number}" selected>'
    assert option in ann.get(f"/deliveries/replay?instance={number}").text
    monkeypatch.setattr(instance_status, "choices", lambda session, caller: [])
    assert option in ann.get(f"/deliveries/replay?instance={number}").text


def test_replay_has_a_limit(
    app: flask.Flask, api: Api, ann: HttpVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay sends a limited number of notifications, and says that there are more."""
    monkeypatch.setattr(deliveries, "AGAIN_MOST", 2)
    number = _instance(api)
    tell(app, number, {"id": 1}, {"id": 2}, {"id": 3})
    page = ann.post("/deliveries/replay", {**WINDOW, "instance": str(number), "act": "send"})
    assert "There are more notifications than one replay sends" in page.text
    assert _statuses(app) == ["created", "created", "delivered"]


def test_event_shows_each_attempt(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """The page shows each attempt's status, response and request, without secrets."""
    keys = {
        "event.notification.signature.key": "a-signature-key",
        "event.notification.callback.headers": "X-Own: a-header",
        "event.notification.basic.username": "user",
        "event.notification.basic.password": "a-password",
    }
    number = api.create(**keys)["id"]
    [event_id] = tell(app, number, {"id": 1, "status": "paid"}, status=RETRY)
    page = ann.get(f"/events/{event_id}").text
    assert "503 Service Unavailable" in page and "&lt;h1&gt;Down&lt;/h1&gt;" in page
    assert "Elements-Webhook-Signature: sha256=" in page and "X-Own: ********" in page
    assert "Redeliver now" in page
    with runtime_of(app).database.write() as session:
        first = session.scalars(sa.select(Attempt)).one()
        later = first.at + dt.timedelta(minutes=5)
        session.add(Attempt(delivery_id=first.delivery_id, at=later, seconds=1, status_code=503,
                            reason="503", answer=""))  # fmt: skip
    page = ann.get(f"/events/{event_id}").text
    stamps = set(re.findall(r"webhook-timestamp: (\d+)", page))
    assert stamps == {str(int(at.timestamp())) for at in (first.at, later)}
    for secret in ("a-signature-key", "a-header", "a-password"):
        assert secret not in page


def test_event_shows_what_changed(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """An update is compared with the previous version, field by field."""
    number = _instance(api)
    first, second = tell(
        app, number, {"id": 1, "a": {"b": 1}}, {"id": 1, "a": {"b": 2}, "related_ids": [1]}
    )
    page = ann.get(f"/events/{second}").text
    assert "a.b" in page and "<del><bdi>1</bdi></del>" in page and "<ins><bdi>2</bdi></ins>" in page
    assert "related_ids</bdi></th>" not in page
    assert "values before this change were not kept" in ann.get(f"/events/{first}").text


def test_event_shows_the_first_change_after_the_baseline(
    tmp_path: pathlib.Path, tables: pathlib.Path
) -> None:
    """Its values were recorded with it: in the console, in the history, and on the command line."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        env = open_env("11.0", tmp_path, stack, WOO_EVENTS_CONSOLE=True)
        number = env.first("orders")
        env.store.acts.status(number, "completed")
        env.arrivals()
        with runtime_of(env.app).database.read() as session:
            query = sa.select(StoredEvent.id).where(StoredEvent.object_id == str(number))
            event_id = session.scalars(query).one()
        secrets = re.findall(r"\w+ ([^ ,]+)", env.api.headers["Authorization"])
        ann = HttpVisitor(env.app, Account(*secrets))
        ann.sign_in()
        history = f"/instances/{env.instance_id}/objects/orders/{number}"
        for page in (ann.get(f"/events/{event_id}").text, ann.get(history).text):
            assert "<del><bdi>&#34;processing&#34;</bdi></del>" in page
            assert "<ins><bdi>&#34;completed&#34;</bdi></ins>" in page
        shown = env.app.test_cli_runner().invoke(args=["woo", "events", "show", str(event_id)])
        assert '  status: "processing" -> "completed"\n' in shown.output


def test_log_has_the_documented_columns(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """The log has the documented columns, and times with date and seconds."""
    tell(app, _instance(api), {"id": 1})
    page = ann.get("/events").text
    heads = re.findall(r'<th scope="col">([^<]*)</th>', page)
    documented = ["Timestamp", "Status", "Element Instance", "Element", "Id", "Error", "Account"]
    assert [one for one in heads if one in documented] == documented
    assert ">woocommercerest</td>" in page and re.search(r"<time[^>]* title=\"20\d\d-", page)


@pytest.mark.parity(96)
def test_csv_has_the_documented_columns(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """The CSV contains the filtered events, and no cell is a formula."""
    number = api.create(name="=cmd()|x")["id"]
    tell(app, number, {"id": 1}, status=RETRY)
    tell(app, number, {"id": "-2+3"})
    table = list(csv.reader(io.StringIO(ann.get("/events.csv").text)))
    assert table[0][:7] == ["Timestamp", "Status", "Element Instance", "Element", "Id", "Error",
                            "Account"]  # fmt: skip
    assert table[1][1] == "delivered" and table[1][9] == "'-2+3"
    assert table[2][1:7] == ["retry", "'=cmd()|x", "woocommercerest", "1",
                             "503 Service Unavailable", "acme"]  # fmt: skip
    assert len(ann.get("/events.csv?status=retry").text.splitlines()) == 2


@pytest.mark.parity(96)
def test_csv_ends(
    app: flask.Flask, api: Api, ann: HttpVisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CSV ends after the documented number of rows, read in chunks."""
    monkeypatch.setattr(events, "CSV_ROWS", 5)
    monkeypatch.setattr(events, "_CHUNK", 2)
    tell(app, _instance(api), *({"id": one} for one in range(8)))
    lines = ann.get("/events.csv").text.splitlines()
    assert len(lines) == 6
    assert [line.split(",")[9] for line in lines[1:]] == ["7", "6", "5", "4", "3"]
