"""The formats of notifications: the documented members only, with our own, thin, CloudEvents."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import shutil
import typing as t

import pydantic
import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Configuration
from flask_woo_events.delivery import cloudevents, destination, sample
from flask_woo_events.instances.requests import InstanceConfiguration
from flask_woo_events.simulation.callback_receiver import Received
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import StoreToCallback, open_env
from tests.integration.test_journal import JournalEnv
from tests.sent_schema import problems

FORMAT = "event.notification.format"


class Strict(pydantic.BaseModel):
    """A consumer's class that refuses unknown members, as Jackson does by default."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


class Event(Strict):
    """One of ``message.events``: the members that Cloud Elements documented."""

    date: t.Annotated[str, pydantic.StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    elementKey: t.Literal["woocommercerest"]
    pollDate: str
    eventType: t.Literal["CREATED", "UPDATED", "DELETED"]
    hubKey: t.Literal["ecommerce"]
    objectId: str
    objectType: str
    otherId: str | None = None


class Message(Strict):
    """``message`` of the two captured bodies of Cloud Elements."""

    elementKey: t.Literal["woocommercerest"]
    accountId: int
    eventId: str
    companyId: int
    instanceId: int
    instance_id: int
    instanceName: str
    instanceTags: list[str]
    #: Of any store: the consumer reads it as a map.
    raw: dict[str, t.Any]
    userId: int
    events: list[Event]


class Body(Strict):
    """A whole notification."""

    severity: t.Literal["low", "medium", "high"]
    createdDate: str
    topic: str
    action: str
    id: str
    message: Message
    user: str


@pytest.fixture
def open_source(
    tmp_path: pathlib.Path, tables: pathlib.Path
) -> cabc.Iterator[cabc.Callable[..., StoreToCallback]]:
    """Yield a function that connects a store whose changes one source reports."""
    with contextlib.ExitStack() as stack:

        def build(source: str, **configuration: t.Any) -> StoreToCallback:
            folder = tmp_path / f"{source}-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            shutil.copy(tables, folder / "host.sqlite3")
            return open_env(
                "11.0",
                folder,
                stack,
                hooked=source == "webhook",
                journal=source == "journal",
                **{FORMAT: "", **configuration},
            )

        yield build


def all_types(env: StoreToCallback, source: str) -> list[Received]:
    """Create, change and delete objects of all four resources, and return what was sent."""
    acts, journal = env.store.acts, JournalEnv(env)
    order, product = env.first("orders"), env.first("products")
    if source == "journal":
        journal.later(11 * 60)
        env.arrivals()
    acts.place_order(max(env.store.truth("customers")), [product])
    acts.status(order, "completed")
    acts.new_customer("eve")
    acts.delete_for_good("coupons", env.first("coupons"))
    acts.trash_post(product)
    if source == "webhook":
        env.hooks()
    else:
        journal.events()
    return list(env.receiver.received)


@pytest.mark.parity(35, 39)
@pytest.mark.parametrize("source", ["poll", "webhook", "journal"])
def test_a_strict_consumer_reads_every_body(
    open_source: cabc.Callable[..., StoreToCallback], source: str
) -> None:
    """New instances send the documented members and no others, whatever reports the change."""
    sent = all_types(open_source(source), source)
    assert [problems(one.json) for one in sent] == [[]] * len(sent)
    bodies = [Body.model_validate(one.json) for one in sent]
    events = [event for body in bodies for event in body.message.events]
    assert {event.eventType for event in events} == {"CREATED", "UPDATED", "DELETED"}
    assert {event.objectType for event in events} == {
        "orders", "products", "customers", "discounts"
    }  # fmt: skip


def test_an_extended_body_has_our_members(
    open_source: cabc.Callable[..., StoreToCallback],
) -> None:
    """A strict consumer refuses it, which shows that the strict one is strict."""
    sent = all_types(open_source("poll", **{FORMAT: "Extended"}), "poll")
    with pytest.raises(pydantic.ValidationError, match="version"):
        Body.model_validate(sent[0].json)
    assert [problems(one.json, "extended") for one in sent] == [[]] * len(sent)
    assert all(problems(one.json) for one in sent)
    events = [event for one in sent for event in one.events]
    assert all(event["version"] >= 1 for event in events)
    assert all(event["changedFields"] for event in events if event["eventType"] == "UPDATED")


@pytest.mark.parametrize("form", ["thin", "cloudevents"])
def test_other_formats_are_as_described(
    open_source: cabc.Callable[..., StoreToCallback], form: str
) -> None:
    """Each body has the described members, and no other format's."""
    sent = all_types(open_source("poll", **{FORMAT: form}), "poll")
    assert [problems(one.json, form) for one in sent] == [[]] * len(sent)
    events = [event for one in sent for event in one.events]
    assert {event["eventType"] for event in events} == {"CREATED", "UPDATED", "DELETED"}
    assert {event["objectType"] for event in events} == {
        "orders", "products", "customers", "discounts"
    }  # fmt: skip
    if form == "thin":
        assert {tuple(one.json["message"]["raw"]) for one in sent} == {("pollDate", "objectType")}
        assert all(problems(one.json, "extended") for one in sent)
    else:
        assert len(events) == len(sent)
        assert {one.headers["Content-Type"] for one in sent} == {cloudevents.CONTENT_TYPE}
        assert [one.headers["webhook-id"] for one in sent] == [one.json["id"] for one in sent]


def test_test_notifications_are_strict_too(
    open_source: cabc.Callable[..., StoreToCallback],
) -> None:
    """The console's test notification has no other members either."""
    env = open_source("poll")
    path, runtime = f"/instances/{env.instance_id}", runtime_of(env.app)
    shown = env.api.call("GET", path).json["configuration"]
    keys = {"oauth.api.key": "ck_1", "oauth.api.secret": "cs_1"}
    configuration = InstanceConfiguration.model_validate({**shown, **keys})
    members: set[str]
    for text, members in (("cloud-elements", set()), ("extended", {"test"}), ("thin", {"test"})):
        env.api.call("PATCH", path, {"configuration": {FORMAT: text}})
        with runtime.database.read() as session:
            named = destination.load_sender(session, env.instance_id)
        env.receiver.clear()
        assert sample.send(runtime, configuration, named).delivered
        body = env.receiver.received[0].json
        assert problems(body) == []
        assert body["message"].keys() - Message.model_fields.keys() == members
        for name in members:
            assert body["message"].pop(name) is True
        Body.model_validate(body)


def _format(env: StoreToCallback) -> str | None:
    shown = env.api.call("GET", f"/instances/{env.instance_id}").json["configuration"]
    return t.cast("str | None", shown.get(FORMAT))


def _event_members(env: StoreToCallback) -> set[str]:
    """Change an order, and return the members of its event."""
    order = env.first("orders")
    held = env.store.truth("orders")[order]["status"] == "on-hold"
    env.store.acts.status(order, "completed" if held else "on-hold")
    assert ("orders", str(order), "UPDATED") in env.arrivals()
    sent = [event for one in env.receiver.received for event in one.events]
    (event,) = [event for event in sent if event["objectType"] == "orders"]
    return set(event)


def test_instances_that_exist_keep_the_extended_format(
    open_source: cabc.Callable[..., StoreToCallback],
) -> None:
    """No receiver loses a member, also when an old client sends the whole instance again."""
    env = open_source("poll")
    with runtime_of(env.app).database.write() as session:
        # As an earlier release made it.
        session.execute(sa.delete(Configuration).where(Configuration.key == FORMAT))
    assert "version" in _event_members(env)
    path = f"/instances/{env.instance_id}"
    env.api.call("PATCH", path, {"configuration": {"event.poller.refresh_interval": "5"}})
    assert "version" in _event_members(env)
    shown = env.api.call("GET", path).json
    whole = {name: shown[name] for name in ("name", "tags")}
    configuration = {key: text for key, text in shown["configuration"].items() if key != FORMAT}
    assert env.api.call("PUT", path, {**whole, "configuration": configuration}).status_code == 200
    assert _format(env) == "extended"
    assert "version" in _event_members(env)


def test_the_format_is_changed(open_source: cabc.Callable[..., StoreToCallback]) -> None:
    """It applies to what is sent from then on, and a wrong one is refused."""
    env = open_source("poll")
    path = f"/instances/{env.instance_id}"
    assert _format(env) == "cloud-elements"
    assert "version" not in _event_members(env)
    answer = env.api.call("PATCH", path, {"configuration": {FORMAT: "extended"}})
    assert answer.status_code == 200 and _format(env) == "extended"
    assert "version" in _event_members(env)
    refused = env.api.call("PATCH", path, {"configuration": {FORMAT: "thick"}})
    assert refused.status_code == 400
    assert "cloud-elements or extended or thin" in refused.json["message"]
    assert _format(env) == "extended"
