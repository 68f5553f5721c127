"""Operational events: an operator learns of what stops a stream, and of its end, once each."""

from __future__ import annotations

import base64
import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import hashlib
import hmac
import pathlib
import shutil
import typing as t
import unittest.mock

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events import Event, OperationalEvent, WooEvents
from flask_woo_events.api import analytics
from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.db.models import (
    Instance,
    Notification,
    Object,
    OperationalRecord,
    Poller,
    StoredEvent,
    Subscription,
    WorkerProcess,
)
from flask_woo_events.errors import ConfigurationError
from flask_woo_events.events import operational_outbox, search
from flask_woo_events.events.search import EventFilter
from flask_woo_events.instances import restored, webhooks
from flask_woo_events.runtime import Runtime
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.values.operational_kinds import COMMON_FIELDS, KINDS
from flask_woo_events.worker import operations
from flask_woo_events.worker.worker import Worker
from tests import sent_schema
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import OwnClock, StoreToCallback, open_env

KEY = "an-operators-key"
Connect = cabc.Callable[..., "Operated"]


@dataclasses.dataclass
class Operated:
    """A store, an application and a callback, and a receiver of operational events."""

    env: StoreToCallback
    operator: CallbackReceiver
    #: The operational subscription.
    number: int
    path: str

    @property
    def runtime(self) -> Runtime:
        return runtime_of(self.env.app)

    def run(self, *words: str) -> str:
        """Run a command, which succeeds."""
        result = self.env.app.test_cli_runner().invoke(args=["woo", *words])
        assert result.exit_code == 0, result.output
        return result.output

    def heard(self) -> list[dict[str, t.Any]]:
        """Deliver what waits; return the records that the operator got, oldest first."""
        # What the first delivery stops is recorded for the second.
        for _ in range(2):
            Worker(self.runtime).deliver_once()
        received, got = self.operator.received, list[dict[str, t.Any]]()
        for one in received:
            [record] = one.json["message"]["raw"]["operational"]
            [event] = one.json["message"]["events"]
            assert record["eventType"] == event["eventType"] == record["kind"]
            assert set(record) - {"objectId", "eventType"} <= {
                *COMMON_FIELDS, *KINDS[record["kind"]].fields,
            }  # fmt: skip
            assert sent_schema.problems(one.json, "extended") == []
            expected = hmac.digest(KEY.encode(), one.body, hashlib.sha256)
            signature = one.headers["Elements-Webhook-Signature"]
            assert signature == f"sha256={base64.b64encode(expected).decode()}"
            got.append(record)
        self.operator.clear()
        return got

    def kinds(self) -> list[str]:
        """Deliver what waits; return the kinds that the operator got."""
        return [one["kind"] for one in self.heard()]

    def stopped(self) -> None:
        """Have the callback of the store stopped."""
        self.env.receiver.answer = lambda _: 410
        self.change()
        self.env.poll()
        Worker(self.runtime).deliver_once()

    def change(self) -> None:
        """Change a coupon, and nothing else."""
        self.env.rest("PUT", f"coupons/{self.env.first('coupons')}", description="changed")

    def rows(self, *entities: t.Any) -> list[t.Any]:
        with self.runtime.database.read() as session:
            return list(session.execute(sa.select(*entities)).all())


@pytest.fixture
def connect(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Connect]:
    """Return a function that connects a store and subscribes an operator."""
    with contextlib.ExitStack() as stack:

        def build(**settings: t.Any) -> Operated:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            settings = {"counts": (3, 2, 1, 2), **settings}
            env = open_env("9.4", tmp_path, stack, **settings)
            operator = CallbackReceiver()
            url = stack.enter_context(operator.serve())
            path = f"/instances/{env.instance_id}/subscriptions"
            body = {"callbackUrl": url, "signatureKey": KEY, "operational": True}
            made = env.api.call("POST", path, body)
            assert made.status_code == 200 and made.json["operational"], made.text
            return Operated(env, operator, made.json["id"], path)

        yield build


@pytest.fixture
def operated(connect: Connect) -> Operated:
    return connect()


def _assert_pair(begin: dict[str, t.Any], end: dict[str, t.Any]) -> None:
    """The end names the problem that its begin has named, and since when it lasted."""
    assert KINDS[end["kind"]].ends == begin["kind"]
    for name in ("problemId", "objectId", "since"):
        assert begin[name] == end[name], name
    assert begin["costs"] and begin["ends"] and begin["command"]


# Each kind by its cause


def test_poller_disabled(connect: Connect) -> None:
    """A resource that is disabled is reported once, and once more when a person resumes it."""
    operated = connect(WOO_EVENTS_POLL_FAILURES_ALLOWED=2)
    operated.env.store.faults.add("status", code=500, match="products", times=1000)
    for _ in range(4):
        operated.env.poll()
    [begin] = operated.heard()
    assert (begin["kind"], begin["resource"]) == ("poller.disabled", "products")
    assert begin["text"].startswith("products: disabled after 2 failures in a row; the last: ")
    operated.env.store.faults.clear()
    operated.run(*begin["command"].removeprefix("flask woo ").split())
    operated.env.poll()
    [end] = operated.heard()
    _assert_pair(begin, end)
    assert operated.env.receiver.received == []


@pytest.mark.parametrize("journal", [False, True])
def test_store_unreachable(connect: Connect, journal: bool) -> None:
    """An outage is one begin and one end, however many polls fail; one failure is none."""
    operated = connect(journal=journal)
    env = operated.env
    env.store.faults.add("status", code=502, times=1000)
    env.poll()
    assert operated.kinds() == []
    env.poll()
    env.poll()
    [begin] = operated.heard()
    assert begin["kind"] == "store.unreachable"
    env.store.faults.clear()
    env.poll()
    env.poll()
    [end] = operated.heard()
    _assert_pair(begin, end)
    env.store.faults.add("status", code=502, times=1000)
    env.poll()
    env.poll()
    [again] = operated.heard()
    assert again["kind"] == "store.unreachable" and again["problemId"] != begin["problemId"]


def test_key_rejected(operated: Operated) -> None:
    """A key that the store refuses is no unreachable store."""
    env = operated.env
    env.store.faults.add("status", code=401, times=1000)
    env.poll()
    env.poll()
    [begin] = operated.heard()
    assert begin["kind"] == "key.rejected"
    env.store.faults.clear()
    env.poll()
    [end] = operated.heard()
    _assert_pair(begin, end)


def test_one_failing_resource(operated: Operated) -> None:
    """A resource that fails alone says nothing of the store."""
    operated.env.store.faults.add("status", code=502, match="products", times=1000)
    for _ in range(3):
        operated.env.poll()
    assert operated.kinds() == []


def test_subscription_stopped(operated: Operated) -> None:
    """A stopped callback is reported to the operator only, and so is its redelivery."""
    operated.stopped()
    [begin] = operated.heard()
    [first] = operated.rows(Subscription.id, Subscription.channel)[:1]
    assert (begin["kind"], begin["subscriptionId"]) == ("subscription.stopped", first.id)
    assert begin["text"] == "deliveries to the callback at 127.0.0.1 are stopped: 410 Gone"
    operated.env.receiver.answer = lambda _: 200
    operated.run(*begin["command"].removeprefix("flask woo ").split())
    [end] = operated.heard()
    _assert_pair(begin, end)
    assert {one[0] for one in operated.env.receiver.events} == {"discounts"}


def test_feed_of_an_operational_subscription(operated: Operated) -> None:
    """It has what its callback gets; the feeds of the store have nothing of it."""
    operated.stopped()
    operated.run("deliveries", "redeliver", "--instance", str(operated.env.instance_id))
    heard = operated.kinds()
    assert heard[:2] == ["subscription.stopped", "subscription.resumed"]
    call, base = operated.env.api.call, f"/instances/{operated.env.instance_id}"
    events = call("GET", f"{operated.path}/{operated.number}/feed").json["events"]
    assert [one["message"]["raw"]["operational"][0]["kind"] for one in events] == heard
    assert all(sent_schema.problems(one, "extended") == [] for one in events)
    [first] = [one["id"] for one in call("GET", operated.path).json if not one["operational"]]
    for path in ("/events/feed", f"{base}/events/feed", f"{operated.path}/{first}/feed"):
        shown = call("GET", path).json["events"]
        assert {one["message"]["raw"]["objectType"] for one in shown} == {"discounts"}, path


def test_subscription_resumed_by_another_url(operated: Operated) -> None:
    """Another callback URL ends the stop, too, of the first subscription and of others."""
    with CallbackReceiver(lambda _: 410).serve() as gone, CallbackReceiver().serve() as good:
        body = {"callbackUrl": gone}
        number = operated.env.api.call("POST", operated.path, body).json["id"]
        operated.stopped()
        begun = {one["subscriptionId"]: one for one in operated.heard()}
        assert len(begun) == 2
        operated.env.api.call("PATCH", f"{operated.path}/{number}", {"callbackUrl": good})
        configuration = {"event.notification.callback.url": good}
        path = f"/instances/{operated.env.instance_id}"
        operated.env.api.call("PATCH", path, {"configuration": configuration})
        ended = operated.heard()
        assert {one["subscriptionId"] for one in ended} == begun.keys()
        for one in ended:
            _assert_pair(begun[one["subscriptionId"]], one)


def test_delivery_exhausted(operated: Operated) -> None:
    """A notification that is given up while others succeed is reported, with its number."""
    env, clock = operated.env, OwnClock(operated.runtime)
    [first] = [one for one in env.api.call("GET", operated.path).json if one["first"]]
    env.api.call("PATCH", f"{operated.path}/{first['id']}", {"retrySchedule": [60, 60]})
    env.receiver.answer = lambda one: 500 if one.json["message"]["raw"].get("orders") else 200
    env.store.acts.status(env.first("orders"), "completed")
    env.poll()
    for step in range(3):
        Worker(operated.runtime).deliver_once()
        env.store.acts.stock(env.first("products"), 40 + step)
        env.poll()
        Worker(operated.runtime).deliver_once()
        clock.advance(seconds=100)
    Worker(operated.runtime).deliver_once()
    [one] = operated.heard()
    assert (one["kind"], one["resource"]) == ("delivery.exhausted", "orders")
    env.receiver.answer = lambda _: 200
    env.receiver.clear()
    operated.run(*one["command"].removeprefix("flask woo ").split())
    assert operated.kinds() == []
    assert [got.json["id"] for got in env.receiver.received] == [one["notificationId"]]


def test_webhooks_disabled(connect: Connect) -> None:
    """Webhooks that were disabled and are repaired by the same check are two events."""
    operated = connect(hooked=True, resources={"orders": {"url": "/hubs/ecommerce/orders"}})
    env, runtime = operated.env, operated.runtime
    table = env.store.shop.tables["webhooks"]

    def guard() -> None:
        renewer = LeaseRenewer(runtime.database, runtime.clock, dt.timedelta(seconds=8))
        with runtime.database.write() as session:
            session.get_one(Instance, env.instance_id).hooks_due_at = runtime.clock()
        webhooks.guard(runtime, renewer, env.instance_id)

    def disable() -> None:
        row = next(iter(table))
        row.status = "disabled"
        table.changed(row)

    guard()
    assert operated.kinds() == []
    disable()
    guard()
    begin, end = operated.heard()
    assert begin["kind"] == "webhooks.disabled" and "disabled" in begin["text"]
    _assert_pair(begin, end)
    # A store that refuses the repair is one begin, and the end comes when it accepts it.
    env.store.faults.add("status", code=500, match="webhooks", method="POST", times=1000)
    disable()
    for _ in range(3):
        guard()
    begun = operated.kinds()
    env.store.faults.clear()
    guard()
    assert [*begun, *operated.kinds()] == ["webhooks.disabled", "webhooks.repaired"]


def test_database_restored(operated: Operated) -> None:
    """A database that is older than what was known is reported for each instance, once."""
    restored.declare(operated.runtime, "a test")
    [one] = operated.heard()
    assert one["kind"] == "database.restored" and one["costs"] and one["ends"]


# Receivers


@pytest.mark.parametrize("form", ["cloud-elements", "thin", "cloudevents"])
def test_formats(operated: Operated, form: str) -> None:
    """Each format holds the whole record, as its description says."""
    operated.env.api.call("PATCH", f"{operated.path}/{operated.number}", {"format": form})
    operated.stopped()
    Worker(operated.runtime).deliver_once()
    [received] = operated.operator.received
    assert sent_schema.problems(received.json, form) == []
    if form == "cloudevents":
        record = received.json["data"]["object"]
        assert received.json["type"] == "woocommerce.operational.subscription.stopped"
        assert received.json["subject"] == "operational/subscription.stopped/1"
    else:
        [record] = received.json["message"]["raw"]["operational"]
    assert record["kind"] == "subscription.stopped" and record["text"] and record["costs"]


def test_nothing_of_the_store(operated: Operated) -> None:
    """The operator gets no event of the store, and no list of its events has an operational one."""
    env = operated.env
    operated.stopped()
    assert operated.kinds() == ["subscription.stopped"]
    assert [one.kind for one in operated.rows(StoredEvent.kind)] == [None, "subscription.stopped"]
    listed = env.api.call("GET", f"/instances/{env.instance_id}/events").json
    assert len(listed) == 1 and "operational" not in str(listed)
    with operated.runtime.database.read() as session:
        for choice in (EventFilter(), EventFilter(instance_id=env.instance_id)):
            assert len(search.newest(session, choice, 10)) == 1
            assert len(search.search(session, choice, None, 10).entries) == 1
        asked = search.newest(session, EventFilter(resource="operational"), 10)
        assert [one.event_type for one in asked] == ["subscription.stopped"]
        now = operated.runtime.clock()
        hours = analytics.buckets(session, 1, now - dt.timedelta(hours=1), now, "hour")
        assert sum(one.total for one in hours) == 1
    # Nor is one replayed to the callback of the store.
    env.receiver.answer = lambda _: 200
    operated.run("deliveries", "redeliver", "--instance", str(env.instance_id))
    operated.run("events", "replay", "--since", "2020-01-01")
    assert operated.kinds() == ["subscription.resumed"]
    operated.run("events", "replay", "--since", "2020-01-01", "--subscription", "2")
    assert operated.kinds() == ["subscription.stopped", "subscription.resumed"]
    assert {one[0] for one in env.receiver.events} == {"discounts"}


def test_redelivery_and_retention(operated: Operated) -> None:
    """A receiver that was down gets a begin before its end, once it is up."""
    clock = OwnClock(operated.runtime)
    operated.operator.answer = lambda _: 500
    operated.stopped()
    operated.env.receiver.answer = lambda _: 200
    operated.run("deliveries", "redeliver", "--instance", "1", "--subscription", "1")
    for _ in range(3):
        Worker(operated.runtime).deliver_once()
        clock.advance(minutes=10)
    operated.operator.answer = lambda _: 200
    operated.operator.clear()
    got = operated.kinds()
    clock.advance(hours=1)
    assert [*got, *operated.kinds()] == ["subscription.stopped", "subscription.resumed"]


def test_options(operated: Operated) -> None:
    """What a subscription is stays, and choices of the store's events are refused."""
    api, one = operated.env.api, f"{operated.path}/{operated.number}"
    for body, field in (
        ({"operational": False}, "operational"),
        ({"resources": ["orders"]}, "resources"),
        ({"eventTypes": ["CREATED"]}, "eventTypes"),
        ({"fields": ["status"]}, "fields"),
    ):
        answer = api.call("PATCH", one, body)
        assert answer.status_code == 400 and field in answer.json["message"]
    answer = api.call("POST", operated.path, {"callbackUrl": "https://a.test", "checkpoint": True})
    assert answer.status_code == 400 and "operational" in answer.json["message"]
    assert api.call("PATCH", one, {"operational": True, "checkpoint": True}).json["checkpoint"]
    backfill = ["instances", "backfill", "1", "--to", str(operated.number)]
    result = operated.env.app.test_cli_runner().invoke(args=["woo", *backfill])
    assert result.exit_code == 1 and "no subscription" in result.output


def test_add_to_every_instance(operated: Operated) -> None:
    """One command subscribes a callback to every instance of an organization, and repeats none."""
    body = {"callbackUrl": "https://shop.test/events"}
    words = ["subscriptions", "add-operational", "acme", "--callback-url", body["callbackUrl"]]
    assert "1 operational subscription added to 1 instance" in operated.run(*words)
    assert "0 operational subscriptions added" in operated.run(*words)
    assert "operational" in operated.run("subscriptions", "list", "1")
    words[2] = "nobody"
    result = operated.env.app.test_cli_runner().invoke(args=["woo", *words])
    assert result.exit_code == 1 and "'nobody'" in result.output


# Handlers


def test_handlers(operated: Operated) -> None:
    """A function gets the kinds that it names at least once; functions for events get none."""
    woo, got, others = WooEvents(), list[OperationalEvent](), list[Event]()
    failing = True

    @woo.on_operational("subscription.stopped")
    def stopped(event: OperationalEvent) -> None:
        got.append(event)
        assert flask.current_app and not failing, "a customer's name"

    @woo.on_operational()
    def every(event: OperationalEvent) -> None:
        got.append(event)

    woo.on()(others.append)
    clock = OwnClock(operated.runtime)
    operated.runtime.handlers = woo._handlers
    operated.stopped()
    assert operated.kinds() == ["subscription.stopped"]
    assert [one.attempt for one in got] == [1, 1] and not isinstance(got[0].since, str)
    failing = False
    clock.advance(minutes=1)
    operated.env.receiver.answer = lambda _: 200
    operated.run("deliveries", "redeliver", "--instance", "1", "--subscription", "1")
    assert operated.kinds() == ["subscription.resumed"]
    assert sorted((one.type, one.attempt) for one in got[2:]) == [
        ("subscription.resumed", 1), ("subscription.stopped", 2),
    ]  # fmt: skip
    assert len({one.problem_id for one in got}) == 1
    assert {one.resource for one in others} == {"discounts"}
    with pytest.raises(ConfigurationError, match="poller.disabled"):
        woo.on_operational("poller.stopped")
    with pytest.raises(ConfigurationError, match="already"):
        woo.on_operational()(every)


def test_a_stopped_operator_is_no_loop(operated: Operated) -> None:
    """The stop of an operational subscription goes to all others, and never to itself."""
    woo, got = WooEvents(), list[OperationalEvent]()
    woo.on_operational()(got.append)
    operated.runtime.handlers = woo._handlers
    operated.operator.answer = lambda _: 410
    operated.stopped()
    for _ in range(4):
        Worker(operated.runtime).deliver_once()
    assert [(one.type, one.subscription_id) for one in got] == [
        ("subscription.stopped", 1),
        ("subscription.stopped", operated.number),
    ]
    assert len(operated.operator.received) == 1
    assert operated.rows(OperationalRecord.id) == []


def test_nobody_asks(env: StoreToCallback) -> None:
    """Without a receiver, nothing is kept."""
    env.receiver.answer = lambda _: 410
    env.store.acts.status(env.first("orders"), "completed")
    env.poll()
    for _ in range(2):
        Worker(runtime_of(env.app)).deliver_once()
    with runtime_of(env.app).database.read() as session:
        assert session.scalars(sa.select(OperationalRecord.id)).all() == []
        assert set(session.scalars(sa.select(Notification.kind))) == {None}


def test_an_older_worker(operated: Operated) -> None:
    """While a worker of an earlier release runs, what was recorded waits."""
    now = operated.runtime.clock()
    with operated.runtime.database.write() as session:
        session.add(WorkerProcess(name="process 1 on old", seen_at=now, revision="0012"))
    operated.stopped()
    assert operated.kinds() == []
    with operated.runtime.database.write() as session:
        session.execute(sa.delete(WorkerProcess))
    assert operated.kinds() == ["subscription.stopped"]


def test_an_instance_that_fails(
    operated: Operated, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails for one instance is logged, and stops no other; it is tried again."""
    operated.stopped()
    broken = unittest.mock.Mock(side_effect=ValueError("a bug"))
    with monkeypatch.context() as patch:
        patch.setattr(operational_outbox, "post", broken)
        assert operations.post(operated.runtime) == 0
    assert "operational events of instance 1 failed" in caplog.text
    assert operated.kinds() == ["subscription.stopped"]


# Checkpoints


def _checkpoints(operated: Operated) -> list[dict[str, t.Any]]:
    return [one for one in operated.heard() if one["kind"] == "checkpoint"]


def test_checkpoint(operated: Operated) -> None:
    """Once a day, after days without a worker once, with what was recorded before it."""
    env, clock = operated.env, OwnClock(operated.runtime)
    assert _checkpoints(operated) == []
    env.api.call("PATCH", f"{operated.path}/{operated.number}", {"checkpoint": True})
    [first] = _checkpoints(operated)
    counts = {one["resource"]: one["count"] for one in first["resources"]}
    assert counts == {"orders": 3, "products": 2, "discounts": 1, "customers": 2}
    operated.change()
    clock.advance(hours=23)
    assert {one[0] for one in env.arrivals()} == {"discounts"}
    assert _checkpoints(operated) == []
    clock.advance(days=5)
    [second] = _checkpoints(operated)
    assert _checkpoints(operated) == []
    before, after = ({one["resource"]: one for one in got["resources"]} for got in (first, second))
    assert {name for name in after if before[name]["digest"] != after[name]["digest"]} == {
        "discounts"
    }
    query = sa.select(Object.object_id, Object.version).join(Poller, Poller.id == Object.poller_id)
    with operated.runtime.database.read() as session:
        live = session.execute(query.where(Poller.resource == "discounts", Object.live)).all()
        [sent] = session.scalars(sa.select(Notification.id).where(Notification.kind.is_(None)))
    hashes = (hashlib.sha256(f"{one.object_id}:{one.version}".encode()) for one in live)
    total = sum(int(one.hexdigest(), 16) for one in hashes) % 2**256
    assert after["discounts"]["digest"] == f"{total:064x}"
    assert after["discounts"]["lastNotificationId"] == str(sent)
    assert "lastNotificationId" not in after["products"]
    env.api.call("PATCH", f"{operated.path}/{operated.number}", {"checkpoint": False})
    clock.advance(days=2)
    assert _checkpoints(operated) == []
    assert operated.rows(Instance.checkpoint_at) == [(None,)]


def test_checkpoint_for_a_handler(operated: Operated) -> None:
    """A function that names it gets it, and no other receiver does."""
    woo, got = WooEvents(), list[OperationalEvent]()
    woo.on_operational("checkpoint")(got.append)
    woo.on_operational(name="others")(got.append)
    operated.runtime.handlers = woo._handlers
    assert operated.kinds() == []
    assert [one.type for one in got] == ["checkpoint"]
    assert operations.post(operated.runtime) == 0
