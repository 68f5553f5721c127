"""Subscriptions in the console, without JavaScript: add, change, pause, test and remove."""

from __future__ import annotations

import base64
import datetime as dt
import html
import re
import typing as t

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.console.rate_limit import CALLS
from flask_woo_events.db import presence
from flask_woo_events.db.models import Configuration, Delivery, Poller, Subscription, WorkerProcess
from flask_woo_events.db.states import Channel, DeliveryStatus
from flask_woo_events.events.subscription_options import SubscriptionOptions
from flask_woo_events.instances import configuration, subscriptions
from flask_woo_events.instances.accounts import Caller
from flask_woo_events.instances.subscriptions import SubscriptionView
from flask_woo_events.testing import ServedCallback
from flask_woo_events.values.crypto import Cipher
from flask_woo_events.values.event_choice import EventChoice
from flask_woo_events.worker import operations
from tests.console.http_visitor import HttpVisitor, fields_of, tell
from tests.integration.host_app import Api, runtime_of

URL = "https://hooks.test/orders?token=in-the-query"
KEY = "a-signature-key"
SECRETS = {
    "signature_key": KEY,
    "headers": "Authorization: Bearer a-header\r\nX-List: a, b",
    "username": "a-user",
    "password": "a-password",
}


@pytest.fixture
def instance_id(api: Api) -> int:
    """Return the id of an instance with a callback URL, which is its first subscription."""
    return int(api.create()["id"])


def _views(app: flask.Flask, instance_id: int) -> list[SubscriptionView]:
    runtime, caller = runtime_of(app), Caller(organization_id=1, user_id=1)
    with runtime.database.read() as session:
        return subscriptions.of_instance(session, runtime.cipher, caller, instance_id)


def _kept(app: flask.Flask, instance_id: int, subscription_id: int) -> dict[str, t.Any]:
    runtime = runtime_of(app)
    with runtime.database.read() as session:
        return configuration.credentials_of(session, runtime.cipher, instance_id, subscription_id)


def _fields(ann: HttpVisitor, path: str) -> dict[str, t.Any]:
    return fields_of(ann.get(path).text, "subscription")


def _add(app: flask.Flask, ann: HttpVisitor, instance_id: int, **fields: t.Any) -> str:
    """Add a subscription with the form; return its path."""
    new = f"/instances/{instance_id}/subscriptions/new"
    page = ann.post(new, _fields(ann, new) | {"callback_url": URL} | fields)
    assert page.status_code == 302, page.text
    return f"/instances/{instance_id}/subscriptions/{_views(app, instance_id)[-1].id}"


def test_added(app: flask.Flask, ann: HttpVisitor, instance_id: int) -> None:
    """The form says everything that a subscription can be, and the instance's page says it."""
    path = _add(
        app, ann, instance_id, resources=["orders"], types=["UPDATED", "CREATED"],
        trigger_fields=" status\r\n\r\nline_items[].quantity", format="thin", schedule="own",
        waits="5, 60 600", timeout="7.5", rate="0.5", concurrency="2", description="Warehouse",
        **SECRETS,
    )  # fmt: skip
    first, added = _views(app, instance_id)
    assert first.is_first and added.url == URL
    assert added.options == SubscriptionOptions(
        choice=EventChoice(
            resources=frozenset({"orders"}),
            types=frozenset({"CREATED", "UPDATED"}),
            fields=("status", "line_items[].quantity"),
        ),
        format=added.options.format, schedule=(5, 60, 600), timeout=7.5, rate=0.5, concurrency=2,
        description="Warehouse",
    )  # fmt: skip
    assert added.options.format == "thin"
    assert _kept(app, instance_id, added.id) == {
        "signature_key": KEY, "username": "a-user", "password": "a-password",
        "headers": {"Authorization": "Bearer a-header", "X-List": "a, b"},
    }  # fmt: skip
    page = ann.get(f"/instances/{instance_id}").text
    text = re.sub(r"\s+", " ", html.unescape(re.sub("<[^>]*>", "", page)))
    assert "mycoolapp.com/events callback URL of the configuration" in text
    assert "hooks.test/orders" in text and "in-the-query" not in page and "Warehouse" in text
    assert "CREATED, UPDATED of orders; UPDATED only if status or line_items[].quantity" in text
    assert "at most 0.5 requests a second, 2 at the same time" in text
    assert f'href="/woo{path}/remove"' in page
    assert f"/subscriptions/{first.id}/remove" not in page


def test_operational(app: flask.Flask, ann: HttpVisitor, instance_id: int) -> None:
    """The form makes an operational subscription, which keeps what it is, and shows its kinds."""
    path = _add(app, ann, instance_id, operational="y", checkpoint="y")
    added = _views(app, instance_id)[-1]
    assert added.is_operational and added.options.checkpoint
    shown = ann.get(f"/instances/{instance_id}").text
    assert "operational events and checkpoints" in re.sub(r"\s+", " ", shown)
    page = ann.get(f"{path}/edit").text
    assert "gets operational events only" in page and 'name="resources"' not in page
    fields = _fields(ann, f"{path}/edit")
    assert fields["checkpoint"] == "y"
    del fields["checkpoint"]
    assert ann.post(f"{path}/edit", fields).status_code == 302
    changed = _views(app, instance_id)[-1]
    assert changed.is_operational and not changed.options.checkpoint
    assert "deletion.held" in ann.get("/events/types").text
    new = f"/instances/{instance_id}/subscriptions/new"
    refused = ann.post(new, _fields(ann, new) | {"callback_url": URL, "checkpoint": "y"})
    assert refused.status_code == 422 and "Only an operational subscription" in refused.text


def test_only_read(app: flask.Flask, ann: HttpVisitor, instance_id: int) -> None:
    """The form makes a subscription without a receiver, and says where it is read."""
    path = _add(app, ann, instance_id, callback_url="", feed="y", resources=["orders"])
    added = _views(app, instance_id)[-1]
    assert added.is_feed and added.url == "" and added.options.choice.resources == {"orders"}
    shown = ann.get(f"/instances/{instance_id}").text
    assert f"feed {added.id}" in re.sub("<wbr>|&#8203;", "", shown) and "only read" in shown
    assert f"{path}/test" not in shown and f"{path}/pause" not in shown
    page = ann.get(f"{path}/edit").text
    assert f"{path.removeprefix('/woo')}/feed" in page
    assert not any(f'name="{one}"' in page for one in ("callback_url", "rate", "signature_key"))
    fields = _fields(ann, f"{path}/edit") | {"format": "thin"}
    assert ann.post(f"{path}/edit", fields).status_code == 302
    assert _views(app, instance_id)[-1].options.format == "thin"
    new = f"/instances/{instance_id}/subscriptions/new"
    for changes, said in (
        ({"callback_url": URL}, "only read, and nothing is sent"),
        ({"rate": "2"}, "only read, and nothing is sent"),
        ({"act": "test"}, "nothing to test"),
    ):
        refused = ann.post(new, _fields(ann, new) | {"feed": "y"} | changes)
        assert refused.status_code == 422 and said in refused.text
    assert "Programs that read" in ann.get(f"{path}/remove").text


def test_event_of_an_operational_subscription(
    app: flask.Flask, ann: HttpVisitor, instance_id: int
) -> None:
    """Its event has a page, is found by its resource, and is replayed to it only."""
    _add(app, ann, instance_id, operational="y", checkpoint="y")
    operations.post(runtime_of(app))
    assert "checkpoint" not in ann.get("/events").text
    assert "checkpoint" in ann.get("/events?resource=operational").text
    page = ann.get("/events/1").text
    assert "checkpoint" in page and "What changed" not in page and "hooks.test" in page
    assert ann.get(f"/instances/{instance_id}/objects/operational/checkpoint").status_code == 404
    assert "mycoolapp" not in ann.post("/events/1/replay", {"do": "callbacks"}).text


def test_untouched_form_changes_nothing(
    app: flask.Flask, ann: HttpVisitor, instance_id: int
) -> None:
    """Saving a form as it is keeps all options and secrets, of the first subscription, too."""
    path = _add(app, ann, instance_id, resources="orders", trigger_fields="status", timeout="30",
                schedule="standard", format="cloudevents", **SECRETS)  # fmt: skip
    before = _views(app, instance_id), _kept(app, instance_id, 2)
    for one in (path, f"/instances/{instance_id}/subscriptions/1"):
        assert ann.post(f"{one}/edit", _fields(ann, f"{one}/edit")).status_code == 302
    assert (_views(app, instance_id), _kept(app, instance_id, 2)) == before


def test_secrets_are_kept_replaced_and_removed(
    app: flask.Flask, ann: HttpVisitor, instance_id: int
) -> None:
    """An empty or masked field keeps its secret; boxes and emptied headers remove it."""
    edit = f"{_add(app, ann, instance_id, **SECRETS)}/edit"
    fields = _fields(ann, edit)
    assert fields["headers"] == "Authorization: ********\nX-List: ********"
    ann.post(edit, fields | {"headers": "Authorization: ********\r\nX-New: b", "password": "new"})
    kept = _kept(app, instance_id, 2)
    assert kept["headers"] == {"Authorization": "Bearer a-header", "X-New": "b"}
    assert (kept["signature_key"], kept["username"], kept["password"]) == (KEY, "a-user", "new")
    renamed = ann.post(edit, fields | {"headers": "X-Other: ********"})
    assert "Enter the value of a header with a new name" in renamed.text
    fields = _fields(ann, edit)
    ann.post(edit, fields | {"signature_key": "another"})
    assert _kept(app, instance_id, 2)["previous_key"] == KEY
    gone = {"remove_key": "y", "remove_password": "y", "headers": ""}
    ann.post(edit, fields | gone)
    kept = _kept(app, instance_id, 2)
    assert not kept.keys() & {"signature_key", "headers", "username", "password"}


def test_stored_secrets_are_on_no_page(
    app: flask.Flask, ann: HttpVisitor, instance_id: int
) -> None:
    """Neither lists nor forms nor errors contain a stored secret."""
    path = _add(app, ann, instance_id, **SECRETS)
    [event_id] = tell(app, instance_id, {"id": 7})
    fields = _fields(ann, f"{path}/edit")
    pages = [
        ann.get(f"/instances/{instance_id}"),
        ann.get(f"{path}/edit"),
        ann.get(f"{path}/remove"),
        ann.get("/deliveries"),
        ann.get(f"/events/{event_id}"),
        ann.post(f"{path}/edit", fields | {"timeout": "soon"}),
        ann.post(f"{path}/edit", fields | {"act": "test", "callback_url": "http://127.0.0.1:9/"}),
    ]
    for page in pages:
        for secret in (KEY, "a-header", "a-user", "a-password"):
            assert secret not in page.text, secret


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("callback_url", "", "This field is required"),
        ("callback_url", "ftp://x", "http://"),
        ("callback_url", "https://u:p@x.test/", "must not hold a user name"),
        ("headers", "Host: x", "must not set Host"),
        ("headers", "no colon", "Name: value"),
        ("username", "a:b", "RFC 7617"),
        ("resources", "subscriptions", "polls no"),
        ("types", "RENAMED", "the types of events"),
        ("trigger_fields", "status\r\n\r\na b", "Line 3: A field of the object"),
        ("format", "xml", "are the formats"),
        ("schedule", "never", "standard or cloud-elements"),
        ("waits", "5, soon", ">A list of 1 to 20 waits"),
        ("waits", "9" * 5000, "a list of 1 to 20 waits"),
        ("timeout", "181", "less than or equal to 180"),
        ("timeout", "nan", "finite"),
        ("rate", "0", "greater than or equal to 0.01"),
        ("concurrency", "1.5", "integer"),
        ("description", "x" * 501, "at most 500"),
    ],
)
def test_errors_stand_at_their_field(
    app: flask.Flask, ann: HttpVisitor, instance_id: int, name: str, value: str, words: str
) -> None:
    """A wrong value is named beside its field, the input is kept, and nothing is saved."""
    new = f"/instances/{instance_id}/subscriptions/new"
    given = _fields(ann, new) | {"callback_url": URL, "schedule": "own", "waits": "5"}
    page = ann.post(new, given | {name: value})
    assert page.status_code == 422
    assert f'<a href="#{name}">' in page.text and words.casefold() in page.text.casefold()
    assert len(_views(app, instance_id)) == 1
    kept = fields_of(page.text, "subscription")
    assert kept["waits"] == ("5" if name != "waits" else value)


def test_conflicts_are_said(app: flask.Flask, ann: HttpVisitor, instance_id: int) -> None:
    """A worker of an earlier release and too many subscriptions are named, and the input stays."""
    new = f"/instances/{instance_id}/subscriptions/new"
    fields = _fields(ann, new) | {"callback_url": URL}
    runtime = runtime_of(app)
    with runtime.database.write() as session:
        session.add(WorkerProcess(name="old-worker", seen_at=runtime.clock(), revision=""))
    page = ann.post(new, fields)
    assert page.status_code == 409 and "old-worker" in page.text
    assert fields_of(page.text, "subscription")["callback_url"] == URL
    later = runtime.clock() + dt.timedelta(seconds=presence.ENDED_AFTER + 1)
    runtime.clock = lambda: later
    for _ in range(subscriptions.MOST - 1):
        assert ann.post(new, fields).status_code == 302
    assert "at most 20 subscriptions" in ann.post(new, fields).text


def test_first_belongs_to_the_configuration(
    app: flask.Flask, ann: HttpVisitor, instance_id: int
) -> None:
    """Of the first one, the filter and the limits are changed here; it is not removed here."""
    first = f"/instances/{instance_id}/subscriptions/1"
    page = ann.get(f"{first}/edit").text
    assert not re.search(r'name="(callback_url|signature_key|headers|password|format)"', page)
    answer = ann.post(f"{first}/edit", {"types": "DELETED", "rate": "3", "format": "thin",
                                        "callback_url": "https://evil.test/"})  # fmt: skip
    assert answer.status_code == 302
    [view] = _views(app, instance_id)
    assert view.url == "https://mycoolapp.com/events" and view.options.format is None
    assert view.options.choice.types == {"DELETED"} and view.options.rate == 3
    for refused in (ann.get(f"{first}/remove"), ann.post(f"{first}/remove")):
        assert refused.status_code == 400 and "callback URL of the configuration" in refused.text


def test_paused_and_resumed(app: flask.Flask, ann: HttpVisitor, instance_id: int) -> None:
    """Any subscription can be paused; pages say so."""
    path = _add(app, ann, instance_id)
    tell(app, instance_id, {"id": 7}, status=DeliveryStatus.QUEUED)
    for one in (path, f"/instances/{instance_id}/subscriptions/1"):
        ann.post(f"{one}/pause")
        assert ">Paused</span>" in ann.get(f"/instances/{instance_id}").text.replace("</svg>", ">")
    assert [one.paused for one in _views(app, instance_id)] == [True, True]
    assert "Paused" in ann.get("/deliveries").text
    ann.post(f"{path}/resume")
    assert [one.paused for one in _views(app, instance_id)] == [True, False]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"active": False, "reason": "410 Gone"}, ("Stopped", "410 Gone")),
        ({"failures": 4, "held_until": dt.datetime(2100, 1, 1, tzinfo=dt.UTC)}, ("Held",)),
        ({"failures": 2}, ("Failing", "2 failures in a row")),
    ],
)
def test_states_are_said(
    app: flask.Flask,
    ann: HttpVisitor,
    instance_id: int,
    values: dict[str, t.Any],
    words: tuple[str, ...],
) -> None:
    """The list says why a subscription gets nothing, and how much waits for it."""
    tell(app, instance_id, {"id": 7}, {"id": 8}, status=DeliveryStatus.RETRY)
    with runtime_of(app).database.write() as session:
        session.execute(sa.update(Subscription).values(values))
    page = ann.get(f"/instances/{instance_id}").text
    rows = page.split('class="table stack subscriptions"')[1].split("</table>")[0]
    assert all(word in rows for word in words) and '#list">2</a>' in rows


def test_removed_after_confirmation(app: flask.Flask, ann: HttpVisitor, instance_id: int) -> None:
    """The page says what is lost; only the button removes the subscription."""
    path = _add(app, ann, instance_id, **SECRETS)
    tell(app, instance_id, {"id": 7}, status=DeliveryStatus.QUEUED)
    with runtime_of(app).database.write() as session:
        session.execute(sa.update(Delivery).values(subscription_id=2))
    page = ann.get(f"{path}/remove").text
    assert "hooks.test/orders" in page and "1 notification that was not delivered yet" in page
    assert len(_views(app, instance_id)) == 2
    assert ann.post(f"{path}/remove").status_code == 302
    assert [one.is_first for one in _views(app, instance_id)] == [True]
    assert "No queued deliveries" in ann.get("/deliveries").text
    assert _kept(app, instance_id, 2) == {}
    for act in ("edit", "remove", "pause", "test"):
        assert ann.post(f"{path}/{act}", {"callback_url": URL}).status_code == 404


def test_form_is_tested_before_it_is_saved(
    app: flask.Flask, ann: HttpVisitor, instance_id: int, woo_callback: ServedCallback
) -> None:
    """A test has the URL, secrets and format of the form, and saves nothing."""
    new = f"/instances/{instance_id}/subscriptions/new"
    fields = _fields(ann, new) | SECRETS
    fields |= {"callback_url": woo_callback.url, "format": "cloudevents", "act": "test"}
    page = ann.post(new, fields)
    assert page.status_code == 200 and "accepted the test notification" in page.text
    [received] = woo_callback.receiver.received
    assert received.headers["Content-Type"].startswith("application/cloudevents+json")
    assert received.is_signed_with(KEY) and received.headers["X-List"] == "a, b"
    assert len(_views(app, instance_id)) == 1
    assert "This field is required" in ann.post(new, fields | {"callback_url": ""}).text


def test_stored_secrets_are_tested_at_their_own_host_only(
    app: flask.Flask, ann: HttpVisitor, instance_id: int, woo_callback: ServedCallback
) -> None:
    """A test of another host needs the secrets again; one of the same host uses the stored."""
    edit = f"{_add(app, ann, instance_id, **SECRETS)}/edit"
    fields = _fields(ann, edit) | {"act": "test"}
    elsewhere = fields | {"callback_url": woo_callback.url}
    typed = SECRETS | {"headers": "X-Own: b"}
    for name, given in {
        "signature_key": {},
        "headers": {"signature_key": "x"},
        "password": {"signature_key": "x", "headers": "", "username": "u"},
    }.items():
        page = ann.post(edit, elsewhere | given)
        assert f'<a href="#{name}">' in page.text and "belongs to another host" in page.text
    assert not woo_callback.receiver.received
    ann.post(edit, elsewhere | typed)
    assert woo_callback.receiver.received[-1].headers["X-Own"] == "b"
    own = _add(app, ann, instance_id, callback_url=f"{woo_callback.url}?x=1", **SECRETS)
    ann.post(f"{own}/edit", _fields(ann, f"{own}/edit") | {"act": "test", "password": "new"})
    received = woo_callback.receiver.received[-1]
    assert received.is_signed_with(KEY) and received.headers["X-List"] == "a, b"
    assert received.headers["Authorization"] == f"Basic {base64.b64encode(b'a-user:new').decode()}"


def test_stored_subscriptions_are_tested(
    app: flask.Flask, ann: HttpVisitor, api: Api, woo_callback: ServedCallback
) -> None:
    """Each one is sent a test with its own key and format; the limit of calls holds."""
    keys = {
        "event.notification.callback.url": woo_callback.url,
        "event.notification.signature.key": "of-the-instance",
    }
    number = int(api.create(**keys)["id"])
    own = _add(app, ann, number, callback_url=woo_callback.url, signature_key=KEY, format="thin")
    for path, key in ((f"/instances/{number}/subscriptions/1", "of-the-instance"), (own, KEY)):
        assert ann.post(f"{path}/test").status_code == 302
        received = woo_callback.receiver.received[-1]
        assert received.is_signed_with(key) and received.json["action"] == "test"
        assert ("test" in received.json["message"]) is (path == own)
        page = ann.get(f"/instances/{number}").text
        assert "accepted the test notification: 200 OK" in page
        edit = f"{path}/edit"
        assert "accepted the test" in ann.post(edit, _fields(ann, edit) | {"act": "test"}).text
        assert woo_callback.receiver.received[-1].is_signed_with(key)
    for _ in range(CALLS):
        ann.post(f"{own}/test")
    woo_callback.receiver.clear()
    assert ann.post(f"{own}/test").status_code == 429
    page = ann.post(f"{own}/edit", _fields(ann, f"{own}/edit") | {"act": "test"})
    assert page.status_code == 429 and "Try again in" in page.text
    assert not woo_callback.receiver.received


def test_lost_secrets_are_replaced_together(
    app: flask.Flask, ann: HttpVisitor, instance_id: int
) -> None:
    """Secrets of a lost encryption key are named; saving the form replaces all of them."""
    path = _add(app, ann, instance_id, **SECRETS)
    with runtime_of(app).database.write() as session:
        other = Cipher([Cipher.generate_key()]).encrypt('{"signature_key": "x"}')
        own = Configuration.key.like("woo.subscription.%")
        session.execute(sa.update(Configuration).where(own).values(value=other))
    assert "cannot be decrypted" in ann.get(f"/instances/{instance_id}").text
    assert "cannot be decrypted" in ann.post(f"{path}/test").text
    page = ann.get(f"{path}/edit").text
    assert "Saving replaces them" in page
    fields = fields_of(page, "subscription")
    assert ann.post(f"{path}/edit", fields | {"signature_key": "fresh"}).status_code == 302
    assert _kept(app, instance_id, 2) == {"signature_key": "fresh"}


def test_resource_that_is_polled_no_more_is_not_lost(
    app: flask.Flask, api: Api, ann: HttpVisitor, instance_id: int
) -> None:
    """It stays chosen until a person removes it: without it, everything would be sent."""
    edit = f"{_add(app, ann, instance_id, resources=['orders'])}/edit"
    with runtime_of(app).database.write() as session:
        session.execute(sa.update(Poller).where(Poller.resource == "orders").values(selected=False))
    fields = _fields(ann, edit)
    assert fields["resources"] == "orders" and "(not polled)" in ann.get(edit).text
    assert ann.post(edit, fields | {"description": "new"}).status_code == 302
    [_, view] = _views(app, instance_id)
    assert view.options.choice.resources == {"orders"} and view.options.description == "new"


def test_key_is_generated(ann: HttpVisitor, instance_id: int) -> None:
    """The button generates a long key and keeps the input."""
    new = f"/instances/{instance_id}/subscriptions/new"
    fields = _fields(ann, new) | {"description": "kept", "act": "key"}
    made = fields_of(ann.post(new, fields).text, "subscription")
    assert len(made["signature_key"]) >= 40 and made["description"] == "kept"


def test_subscription_of_another_instance_is_not_found(
    app: flask.Flask, api: Api, ann: HttpVisitor, instance_id: int
) -> None:
    """A subscription is reached below its own instance only."""
    path = _add(app, ann, instance_id).rpartition("/")[2]
    other = f"/instances/{api.create()['id']}/subscriptions/{path}"
    assert ann.get(f"{other}/edit").status_code == 404
    for act in ("edit", "remove", "pause", "resume", "test"):
        assert ann.post(f"{other}/{act}", {"callback_url": URL}).status_code == 404
    assert len(_views(app, instance_id)) == 2 and not _views(app, instance_id)[1].paused


def test_event_shows_each_subscription_apart(app: flask.Flask, ann: HttpVisitor, api: Api) -> None:
    """Each delivery names its receiver, with the format and the credentials that it was sent."""
    keys = {
        "event.notification.callback.headers": "X-First: a-header",
        "event.notification.signature.key": "of-the-instance",
    }
    number = int(api.create(**keys)["id"])
    _add(app, ann, number, format="cloudevents", **SECRETS)
    _add(app, ann, number, callback_url="https://third.test/")
    first, second = tell(app, number, {"id": 7, "n": 1}, {"id": 8}, to_all=True)
    with runtime_of(app).database.write() as session:
        session.execute(
            sa.update(Delivery).where(Delivery.subscription_id == 3).values(wanted=[second])
        )
    page = ann.get(f"/events/{first}").text
    cards = [one.split("</section>")[0] for one in page.split('<h3 class="to">')[1:]]
    own, added, third = (html.unescape(one) for one in cards)
    assert "mycoolapp.com/events" in own and "X-First: ********" in own
    assert '"raw"' in own and "Authorization" not in own
    assert "hooks.test/orders" in added and "X-List: ********" in added
    assert '"specversion": "1.0"' in added and "application/cloudevents+json" in added
    assert '"subject": "orders/7"' in added and "X-First" not in added
    assert "third.test" in third and "Without this event" in third and "Request body" not in third
    signatures = re.findall(r"Elements-Webhook-Signature: (\S+)", own + added)
    assert len(set(signatures)) == 2
    assert "Without this event" not in ann.get(f"/events/{second}").text


def test_deliveries_name_their_subscription(
    app: flask.Flask, ann: HttpVisitor, instance_id: int
) -> None:
    """The queue says to which receiver each notification goes, and can show one of them."""
    _add(app, ann, instance_id)
    tell(app, instance_id, {"id": 7}, status=DeliveryStatus.QUEUED, to_all=True)
    with runtime_of(app).database.write() as session:
        first = session.get_one(Subscription, 1)
        first.channel, first.url = Channel.HANDLER, "ship_orders"
    listed = ann.get("/deliveries").text.split('id="list"')[1]
    assert '<bdi class="code">hooks.test/orders</bdi>' in listed
    assert 'handler <bdi class="code">ship_orders</bdi>' in listed
    one = ann.get("/deliveries?subscription=2&status=queued").text.split('id="list"')[1]
    assert "hooks.test" in one and "ship_orders" not in one and "All subscriptions" in one
