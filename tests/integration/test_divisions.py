"""One object that a receiver refuses waits by itself: what shares its notification goes on."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t
import urllib.parse

import pytest
import sqlalchemy as sa

from flask_woo_events import Event, WooEvents
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Delivery, Notification, StoredEvent, Subscription
from flask_woo_events.db.states import EventType
from flask_woo_events.delivery import replay
from flask_woo_events.delivery.replay import ReplaySelection
from flask_woo_events.delivery.retry import DIVIDED_WITHIN
from flask_woo_events.events import outbox, search
from flask_woo_events.events.outbox import Change, Rules
from flask_woo_events.events.search import EventFilter
from flask_woo_events.simulation.callback_receiver import CallbackReceiver, Received
from flask_woo_events.worker import celery_tasks, consistency, retention
from tests.conftest import BACKENDS
from tests.integration.host_app import runtime_of
from tests.integration.ledger_env import NOW
from tests.integration.store_to_callback import OwnClock, StoreToCallback
from tests.integration.test_dispatch import DeliveryEnv, open_env
from tests.interleavings import invariants

on_sqlite = pytest.mark.parametrize("any_url", BACKENDS[:1], indirect=True)
TEN = tuple(range(1, 11))
Version = tuple[str, int]


@dataclasses.dataclass
class Receiver:
    """A callback that answers 500 to each notification with one of some objects."""

    poison: set[str]
    #: Events of each request that was accepted, with its ``eventId`` and ``id``.
    accepted: list[tuple[str, str, list[Version]]] = dataclasses.field(default_factory=list)
    refused: list[list[Version]] = dataclasses.field(default_factory=list)

    def answer(self, received: Received) -> int:
        events = [(one["objectId"], one["version"]) for one in received.events]
        if any(number in self.poison for number, _ in events):
            self.refused.append(events)
            return 500
        event_id = received.json["message"]["eventId"]
        assert received.headers["Elements-Webhook-Id"] == event_id and len(event_id) == 20
        self.accepted.append((event_id, received.json["id"], events))
        return 200

    @property
    def versions(self) -> list[Version]:
        """Versions in the order in which they were accepted."""
        return [one for _, _, events in self.accepted for one in events]


def _opened(
    database: Database, *poison: int, **settings: t.Any
) -> cabc.Iterator[tuple[DeliveryEnv, Receiver]]:
    receiver = Receiver({str(one) for one in poison})
    with CallbackReceiver(receiver.answer).serve() as url:
        env = open_env(database, url, **settings)
        yield env, receiver
        env.runtime.callback_session.close()


def _go(env: DeliveryEnv, hours: float = 0.0, minutes: float = 0.0) -> None:
    """Dispatch as a worker does while time passes."""
    end = env.clock() + dt.timedelta(hours=hours, minutes=minutes)
    due = sa.select(sa.func.min(Subscription.next_due_at)).where(Subscription.active)
    while True:
        env.dispatch()
        with env.ledger.database.read() as session:
            at = session.scalars(due).one()
        if at is None or at > end:
            break
        env.clock.now = max(at, env.clock() + dt.timedelta(seconds=1))
    env.clock.now = end


def _all(version: int, *without: int) -> set[Version]:
    return {(str(one), version) for one in TEN if one not in without}


def _see(env: DeliveryEnv, version: int, *numbers: int) -> None:
    seconds = (env.clock() - NOW).total_seconds()
    env.ledger.see(*({"id": one, "v": version} for one in numbers or TEN), seconds=seconds)


def _rows(env: DeliveryEnv) -> dict[Version, Delivery]:
    """Return the delivery of each version of each object to the only subscription."""
    query = sa.select(StoredEvent.object_id, StoredEvent.version, Delivery).join(
        Delivery, Delivery.notification_id == StoredEvent.notification_id
    )
    with env.ledger.database.read() as session:
        return {(number, version): row for number, version, row in session.execute(query)}


def _is_sound(env: DeliveryEnv) -> None:
    """No rows contradict each other, and no claim is left."""
    assert consistency.contradictions(env.ledger.database, env.clock) == []
    with env.ledger.database.read() as session:
        assert list(invariants.of_rows(session, env.clock())) == []
        assert list(invariants.of_claims(session, env.clock())) == []


def test_one_object_of_ten_waits_by_itself(any_database: Database) -> None:
    """The nine others arrive once, and their later versions too; the subscription stays active.

    Its own versions are attempted one after the other, each by its own schedule.
    """
    for env, receiver in _opened(any_database, 4):
        _see(env, 1)
        _see(env, 2)
        _go(env, minutes=2)
        assert set(receiver.versions) == _all(1, 4) | _all(2, 4)
        _see(env, 3)
        _go(env)
        assert set(receiver.versions) == _all(1, 4) | _all(2, 4) | _all(3, 4)
        _is_sound(env)
        _go(env, hours=78)
        assert len(receiver.versions) == len(set(receiver.versions)) == 27
        assert env.subscription().active and env.subscription().failures == 0
        rows = _rows(env)
        assert [rows["4", one].status for one in (1, 2, 3)] == ["queued", "retry", "created"]
        assert [rows["4", one].exhausted for one in (1, 2, 3)] == [True, False, False]
        assert receiver.refused[:2] == [[(str(one), 1) for one in TEN]] * 2
        alone = [one for (_, one), *others in receiver.refused if not others]
        assert alone == [1] * 8 + [2] * 4
        _is_sound(env)


@on_sqlite
def test_a_receiver_that_is_mended_gets_everything(any_database: Database) -> None:
    """What was exhausted is redelivered in order, with the ids that it was sent with."""
    for env, receiver in _opened(any_database, 4):
        _see(env, 1)
        _see(env, 2)
        _go(env, hours=250)
        receiver.poison.clear()
        assert env.redeliver(status="queued") == 2
        _go(env)
        assert env.statuses().keys() == {"delivered"}
        assert receiver.versions[-2:] == [("4", 1), ("4", 2)]
        assert len(receiver.versions) == len(set(receiver.versions)) == 20
        assert len({one for one, _, _ in receiver.accepted}) == len(receiver.accepted)
        _see(env, 3)
        _go(env)
        assert [len(events) for _, _, events in receiver.accepted[-1:]] == [10]
        _is_sound(env)


@on_sqlite
def test_later_versions_wait_for_one_that_is_redelivered(any_database: Database) -> None:
    """Not for one that is exhausted: if it is redelivered later, it comes after them."""
    for env, receiver in _opened(any_database, 4):
        _see(env, 1)
        _go(env, hours=100)
        _see(env, 2, 4)
        env.redeliver()
        _go(env)
        _see(env, 3, 4)
        receiver.poison.clear()
        _go(env, hours=3)
        assert [one for one in receiver.versions if one[0] == "4"] == [("4", 1), ("4", 2), ("4", 3)]
        receiver.poison.add("5")
        _see(env, 2)
        _go(env, hours=100)
        receiver.poison.clear()
        _see(env, 3, 5)
        _go(env)
        assert env.redeliver() == 1
        _go(env)
        assert [one for one in receiver.versions if one[0] == "5"] == [("5", 1), ("5", 3), ("5", 2)]
        _is_sound(env)


def test_two_objects_in_different_halves_wait_by_themselves(any_database: Database) -> None:
    """Whatever order their notifications fail in."""
    for env, receiver in _opened(any_database, 2, 9):
        _see(env, 1)
        _see(env, 2)
        _go(env, minutes=3)
        assert set(receiver.versions) == _all(1, 2, 9) | _all(2, 2, 9)
        receiver.poison.remove("9")
        _go(env, hours=1)
        assert ("9", 1) in receiver.versions and ("9", 2) in receiver.versions
        assert env.subscription().active
        receiver.poison.clear()
        env.redeliver()
        _go(env)
        assert env.statuses().keys() == {"delivered"}
        assert len(receiver.versions) == len(set(receiver.versions)) == 20
        _is_sound(env)


@on_sqlite
def test_a_callback_that_is_down_causes_few_parts(any_database: Database) -> None:
    """They are found while nothing succeeds, but only with the first failures."""
    for env, receiver in _opened(any_database, *range(1000)):
        for number in range(8):
            _see(env, 1, *range(number * 10, number * 10 + 10))
        _go(env, hours=4)
        assert 0 < len(_parts(env)) < DIVIDED_WITHIN
        assert env.subscription().failures > DIVIDED_WITHIN
        receiver.poison.clear()
        _go(env, hours=10)
        assert env.statuses().keys() == {"delivered"}
        assert len(receiver.versions) == len(set(receiver.versions)) == 80
        _is_sound(env)


def _parts(env: DeliveryEnv) -> cabc.Sequence[int]:
    with env.ledger.database.read() as session:
        query = sa.select(Notification.id).where(Notification.origin_id.is_not(None))
        return session.scalars(query.order_by(Notification.id)).all()


@on_sqlite
def test_a_quiet_callback_is_stopped_after_the_schedule(any_database: Database) -> None:
    """Ten failures without any success between, also of a part."""
    for env, receiver in _opened(any_database, *TEN):
        _see(env, 1, 1, 2)
        _go(env, hours=95)
        assert not env.subscription().active
        assert env.statuses() == {"queued": 2}
        receiver.poison.clear()
        assert env.redeliver() == 2
        _go(env)
        assert set(receiver.versions) == {("1", 1), ("2", 1)}


@on_sqlite
def test_a_notification_is_not_divided_for_an_answer_that_names_no_object(
    any_database: Database,
) -> None:
    """With the policy ``queue`` it waits for an operator, and 503 asks for time."""
    with CallbackReceiver(lambda _: 503).serve() as url:
        env = open_env(any_database, url)
        _see(env, 1)
        _go(env, hours=1)
        assert env.statuses() == {"retry": 1}
        env.runtime.settings = dataclasses.replace(env.runtime.settings, failure_policy="queue")
        _go(env, hours=9)
        assert env.statuses() == {"queued": 1} and env.subscription().active


def test_other_receivers_get_each_event_once(any_database: Database) -> None:
    """A handler that accepts all gets the parts of what a callback refuses, and the reverse."""
    woo, calls = WooEvents(), list[Version]()
    broken = {"7"}

    @woo.on("orders", name="strict")
    def handle(event: Event) -> None:
        if event.object_id in broken:
            raise ValueError("refused")
        calls.append((event.object_id, event.version))

    for env, receiver in _opened(any_database, 4):
        env.runtime.handlers = woo._handlers
        env.ledger.routes = woo._handlers.routes()
        for version in (1, 2):
            _see(env, version)
        _go(env, minutes=10)
        _see(env, 3)
        _go(env, minutes=1)
        later = _all(1) | _all(2) | _all(3)
        assert set(receiver.versions) == {one for one in later if one[0] != "4"}
        assert len(receiver.versions) == len(set(receiver.versions))
        assert set(calls) == {one for one in later if one[0] != "7"}
        assert len(calls) == len(set(calls))
        _is_sound(env)
        broken.clear()
        receiver.poison.clear()
        _go(env, hours=24)
        assert env.statuses().keys() == {"delivered"}
        for versions in (receiver.versions, calls):
            assert len(versions) == len(set(versions)) == 30
            for number in ("4", "7"):
                assert [one[1] for one in versions if one[0] == number] == [1, 2, 3]
        _is_sound(env)


@on_sqlite
def test_a_handler_gets_no_later_version_of_what_it_refused(any_database: Database) -> None:
    """Also if both are in one notification, as when an object is deleted and created again."""
    woo, calls, broken = WooEvents(), list[int](), {1}

    @woo.on("orders", name="strict")
    def handle(event: Event) -> None:
        if event.version in broken:
            raise ValueError("refused")
        calls.append(event.version)

    for env, _ in _opened(any_database):
        env.runtime.handlers = woo._handlers
        env.ledger.routes = woo._handlers.routes()
        now = env.clock()
        changes = [
            Change(
                object_id="1", event_type=EventType.UPDATED, version=version, date=now,
                source="poll", body=b"{}", changed_fields=(),
            )
            for version in (1, 2)
        ]  # fmt: skip
        with any_database.write() as session:
            rules = Rules(now=now, routes=env.ledger.routes)
            outbox.post(session, env.ledger.stream, changes, now, rules)
        _go(env)
        assert calls == []
        broken.clear()
        _go(env, minutes=1)
        assert calls == [1, 2]


def test_a_notification_that_another_receiver_has_is_divided_later(any_database: Database) -> None:
    """What is being attempted stays as it is."""
    for env, receiver in _opened(any_database, 4):
        _see(env, 1)
        with any_database.write() as session:
            number = session.scalars(sa.select(Notification.id)).one()
            other = Subscription(
                instance_id=env.ledger.stream.instance_id, channel="handler", url="h",
                active=False, created_at=NOW,
            )  # fmt: skip
            session.add(other)
            session.flush()
            delivery = Delivery(
                notification_id=number, subscription_id=other.id, status="created", due_at=NOW,
                lease_token="t", lease_until=NOW + dt.timedelta(hours=1),
                created_at=NOW, updated_at=NOW,
            )  # fmt: skip
            session.add(delivery)
        _go(env, minutes=1)
        assert _parts(env) == [] and receiver.versions == []
        with any_database.write() as session:
            session.execute(sa.update(Delivery).values(lease_token=None, lease_until=None))
        _go(env, minutes=10)
        assert len(receiver.versions) == len(set(receiver.versions)) == 9
        with any_database.read() as session:
            left = sa.select(sa.func.sum(Notification.size)).join(
                Delivery, Delivery.notification_id == Notification.id
            )
            assert session.scalars(left.where(Delivery.subscription_id == other.id)).one() == 10


def test_parts_are_redelivered_and_replayed_by_themselves_or_together(
    any_database: Database,
) -> None:
    """The id of the whole names all of its parts; each is sent with its own id."""
    for env, receiver in _opened(any_database, 4, 7):
        _see(env, 1)
        _go(env, hours=120)
        assert env.statuses()["queued"] == 2
        whole, *parts = _notifications(env)
        rows = _rows(env)
        first, second = rows["4", 1].notification_id, rows["7", 1].notification_id
        assert {first, second} <= {whole, *parts}
        receiver.poison.clear()
        assert env.redeliver(notification_id=max(first, second)) == 1
        assert env.redeliver(notification_id=whole) == 1
        _go(env)
        assert len(receiver.versions) == len(set(receiver.versions)) == 10
        sent = {events[0]: (event_id, number) for event_id, number, events in receiver.accepted}
        with any_database.write() as session:
            planned = replay.plan(session, ReplaySelection(object_id="4"), 10)
            assert [[one.object_id for one in each.events] for each in planned] == [["4"]]
            assert replay.to_callbacks(session, planned, env.clock()) == 1
            planned = replay.plan(
                session, ReplaySelection(instance_id=env.ledger.stream.instance_id), 99
            )
            assert replay.to_callbacks(session, planned, env.clock()) == len(parts)
        receiver.accepted.clear()
        _go(env)
        again = {events[0]: (event_id, number) for event_id, number, events in receiver.accepted}
        assert again == sent
        assert {number for _, number in sent.values()} == {str(one) for one in (whole, *parts)}
        _is_sound(env)


def _notifications(env: DeliveryEnv) -> cabc.Sequence[int]:
    with env.ledger.database.read() as session:
        return session.scalars(sa.select(Notification.id).order_by(Notification.id)).all()


@on_sqlite
def test_a_part_that_is_kept_hides_no_newer_event(any_database: Database) -> None:
    """The others are purged; it has a later id than notifications that are newer."""
    for env, _ in _opened(any_database, 4):
        _see(env, 1)
        env.clock.move(60)
        _see(env, 1, 20, 21)
        newer = _rows(env)["20", 1].notification_id
        _go(env, minutes=10)
        assert _rows(env)["4", 1].notification_id > newer
        with any_database.write() as session:
            old = sa.select(Delivery.notification_id).where(Delivery.status == "delivered")
            purged = sa.delete(Notification).where(
                Notification.id.in_(old), Notification.id != newer
            )
            session.execute(purged)
            assert search.first_notification_since(session, NOW) <= newer
            found = search.search(session, EventFilter(since=NOW), None, 10).entries
            assert {one.object_id for one in found} == {"4", "20", "21"}
        env.clock.move(9 * 86400)
        retention.purge(env.runtime)
        assert set(_rows(env)) == {("4", 1)}


def test_parts_are_listed_by_the_api_and_the_command(env: StoreToCallback) -> None:
    """Celery's task divides as the worker does; ``dividedFrom`` names the whole."""
    clock = OwnClock(runtime_of(env.app))
    env.app.config["CELERY"] = {"broker_url": "memory://"}
    deliver = celery_tasks.make_celery(env.app).tasks["woo_events.deliver"]
    orders = [str(row.id) for row in env.store.shop.tables["orders"]][:5]
    receiver = Receiver({orders[0]})
    env.receiver.answer = receiver.answer
    for number in orders:
        env.store.acts.status(int(number), "completed")
    env.poll()
    for _ in range(30):
        deliver.apply()
        clock.advance(seconds=20)
    assert {one for one, _ in receiver.versions} >= set(orders[1:])
    assert orders[0] not in {one for one, _ in receiver.versions}
    (waiting,) = _deliveries(env, "status='retry'")
    (whole,) = {one["dividedFrom"] for one in _deliveries(env, "") if one["dividedFrom"]}
    family = _deliveries(env, f"notificationId={whole}")
    assert waiting in family and len(family) > 2
    assert [one for one in family if one["dividedFrom"] is None][0]["notificationId"] == whole
    for one in family:  # Each part is a notification of its own.
        path = f"/notifications/{one['notificationId']}/subscriptions/{one['subscriptionId']}"
        assert env.api.call("GET", f"{path}/deliveries").json == one
    runner, number = env.app.test_cli_runner(), str(env.instance_id)
    listed = runner.invoke(args=["woo", "deliveries", "list", "--instance", number]).output
    assert listed.count(f"({whole})") == len(family) - 1
    receiver.poison.clear()
    args = ["woo", "deliveries", "redeliver", "--instance", number, "--notification", str(whole)]
    assert "1 delivery" in runner.invoke(args=args).output
    deliver.apply()
    assert _deliveries(env, "status='retry'") == []
    assert len(receiver.versions) == len(set(receiver.versions))


def _deliveries(env: StoreToCallback, where: str) -> list[dict[str, t.Any]]:
    path = "/notifications/subscriptions/deliveries?pageSize=100"
    found = env.api.call("GET", f"{path}&where={urllib.parse.quote(where)}")
    assert found.status_code == 200, found.text
    listed: list[dict[str, t.Any]] = found.json
    return listed
