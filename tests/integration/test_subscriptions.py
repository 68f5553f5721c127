"""Several subscriptions of one instance: each gets what it wants, as it wants it."""

from __future__ import annotations

import base64
import collections.abc as cabc
import contextlib
import dataclasses
import threading
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db import presence
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Attempt, Delivery, Instance, Organization, Subscription, User
from flask_woo_events.delivery import claims, replay, results, single_events
from flask_woo_events.delivery.claims import ClaimedDelivery
from flask_woo_events.delivery.replay import ReplaySelection
from flask_woo_events.delivery.results import AttemptResult
from flask_woo_events.errors import ConflictError, InputError
from flask_woo_events.instances import (
    callback_subscription,
    configuration,
    subscriptions,
)
from flask_woo_events.instances.accounts import Caller
from flask_woo_events.instances.subscription_requests import SubscriptionRequest
from flask_woo_events.instances.whole_comparison import Backfill, WholeComparison
from flask_woo_events.simulation.callback_receiver import Answering, CallbackReceiver, Received
from flask_woo_events.values.crypto import verify_body
from flask_woo_events.values.validation import validated
from tests.conftest import BACKENDS
from tests.integration.ledger_env import LedgerEnv, at, build
from tests.integration.test_dispatch import DeliveryEnv, open_env
from tests.integration.test_outbox import FAILED, LEASE, OK
from tests.waiting import HANG_SECONDS

#: What is decided in Python from rows that all databases return alike.
on_sqlite = pytest.mark.parametrize("any_url", BACKENDS[:1], indirect=True)


@dataclasses.dataclass
class Subscribers:
    """An instance with a callback, and further subscriptions to it."""

    env: DeliveryEnv
    receivers: list[CallbackReceiver]
    stack: contextlib.ExitStack

    @property
    def _caller(self) -> Caller:
        with self.env.ledger.database.read() as session:
            home = session.scalars(sa.select(Organization.id)).one()
            return Caller(organization_id=home, user_id=session.scalars(sa.select(User.id)).one())

    def add(self, answer: Answering = lambda _: 200, **members: t.Any) -> int:
        """Add a subscription with a receiver of its own; return its id."""
        receiver = CallbackReceiver(answer)
        self.receivers.append(receiver)
        url = self.stack.enter_context(receiver.serve())
        return self.create(callbackUrl=url, **members)

    def create(self, **members: t.Any) -> int:
        request = validated(SubscriptionRequest, members)
        env = self.env
        with env.ledger.database.write() as session:
            return subscriptions.create(
                session,
                env.runtime.cipher,
                self._caller,
                env.ledger.stream.instance_id,
                request,
                env.clock(),
            )

    def change(self, number: int, **members: t.Any) -> None:
        env = self.env
        with env.ledger.database.write() as session:
            subscriptions.change(
                session,
                env.runtime.cipher,
                self._caller,
                env.ledger.stream.instance_id,
                number,
                validated(SubscriptionRequest, members),
                env.clock(),
            )

    def delete(self, number: int) -> None:
        with self.env.ledger.database.write() as session:
            instance = self.env.ledger.stream.instance_id
            subscriptions.delete(session, self._caller, instance, number)

    def views(self) -> list[subscriptions.SubscriptionView]:
        with self.env.ledger.database.read() as session:
            return subscriptions.of_instance(
                session,
                self.env.runtime.cipher_or_none,
                self._caller,
                self.env.ledger.stream.instance_id,
            )

    def got(self, number: int) -> list[tuple[str, str]]:
        """Return the events of one receiver: object and type."""
        return [(one[1], one[2]) for one in self.receivers[number].events]

    def send(self, *bodies: dict[str, t.Any], gone: tuple[str, ...] = ()) -> None:
        self.env.ledger.see(*bodies, gone=gone)
        self.env.dispatch()


@pytest.fixture
def subscribers(any_database: Database) -> cabc.Iterator[Subscribers]:
    with contextlib.ExitStack() as stack:
        receiver = CallbackReceiver()
        url = stack.enter_context(receiver.serve())
        yield Subscribers(open_env(any_database, url), [receiver], stack)


def test_each_gets_the_events_that_it_wants(subscribers: Subscribers) -> None:
    """By type, by resource and by changed field; the first one, without a choice, all of them."""
    subscribers.add(eventTypes=["deleted"])
    subscribers.add(fields=["status"])
    subscribers.add(resources=["orders"], eventTypes=["CREATED"])
    one, two = {"id": 1, "status": "new", "total": 1}, {"id": 2, "status": "new", "total": 1}
    subscribers.send(one, two)
    subscribers.send(one | {"status": "paid"}, two | {"total": 2})
    subscribers.send(gone=("1",))
    created, deleted = [("1", "CREATED"), ("2", "CREATED")], [("1", "DELETED")]
    assert subscribers.got(0) == [*created, ("1", "UPDATED"), ("2", "UPDATED"), *deleted]
    assert subscribers.got(1) == deleted
    assert subscribers.got(2) == [*created, ("1", "UPDATED"), *deleted]
    assert subscribers.got(3) == created
    # A notification without a wanted event is no delivery.
    with subscribers.env.ledger.database.read() as session:
        assert len(session.scalars(sa.select(Delivery)).all()) == 3 + 1 + 3 + 1


@on_sqlite
def test_a_field_of_which_no_value_was_kept(subscribers: Subscribers) -> None:
    """A new trigger field misses no change, also if the values of another field are known."""
    subscribers.add(fields=["status"])
    env = subscribers.env
    stream = dataclasses.replace(
        env.ledger.stream, keeps_bodies=False, watched=frozenset({"status"})
    )
    env.ledger = dataclasses.replace(env.ledger, stream=stream)
    order = {"id": 1, "status": "new", "billing": {"email": "a"}, "total": 1}
    subscribers.send(order)
    subscribers.add(fields=["billing.email"])
    subscribers.add(fields=["total"])
    env.ledger.see(order | {"status": "paid", "billing": {"email": "b"}})
    subscribers.change(2, fields=["billing.email"])
    env.dispatch()
    assert subscribers.got(1) == [("1", "CREATED"), ("1", "UPDATED")]
    assert subscribers.got(2) == [("1", "UPDATED")]
    assert subscribers.got(3) == []


@on_sqlite
@pytest.mark.parametrize("keeps_bodies", [True, False])
def test_a_local_date_changes_with_its_utc(subscribers: Subscribers, keeps_bodies: bool) -> None:
    """Although only the latter is named as changed."""
    subscribers.add(fields=["date_paid"])
    env = subscribers.env
    stream = dataclasses.replace(
        env.ledger.stream, keeps_bodies=keeps_bodies, watched=frozenset({"date_paid"})
    )
    env.ledger = dataclasses.replace(env.ledger, stream=stream)
    order = {"id": 1, "total": 1, "date_paid": None, "date_paid_gmt": None}
    subscribers.send(order)
    subscribers.send(order | {"total": 2})
    assert subscribers.got(1) == [("1", "CREATED")]
    dates = {"date_paid": "2026-11-23T13:00:00", "date_paid_gmt": "2026-11-23T12:00:00"}
    subscribers.send(order | {"total": 2} | dates)
    assert subscribers.got(1) == [("1", "CREATED"), ("1", "UPDATED")]


@on_sqlite
def test_a_replay_sends_what_is_chosen_now(subscribers: Subscribers) -> None:
    """Also of a notification of which it did not want all when it was recorded."""
    number = subscribers.add(fields=["status"])
    one, two = {"id": 1, "status": "new", "total": 1}, {"id": 2, "status": "new", "total": 1}
    subscribers.send(one, two)
    subscribers.send(one | {"status": "paid"}, two | {"total": 2})
    subscribers.change(number, fields=[], eventTypes=["UPDATED"])
    subscribers.receivers[1].clear()
    env = subscribers.env
    with env.ledger.database.write() as session:
        planned = replay.plan(session, replay.ReplaySelection(), 100)
        assert replay.to_callbacks(session, planned, env.clock(), number) == 2
    env.dispatch()
    assert subscribers.got(1) == [("1", "UPDATED"), ("2", "UPDATED")]


@on_sqlite
def test_what_is_left_out_is_not_in_the_body(subscribers: Subscribers) -> None:
    """Neither as an event nor among the raw records."""
    subscribers.add(fields=["status"])
    subscribers.send({"id": 1, "status": "a"}, {"id": 2, "status": "a", "total": 1})
    subscribers.send({"id": 1, "status": "b"}, {"id": 2, "status": "a", "total": 2})
    message = subscribers.receivers[1].received[-1].json["message"]
    assert [one["objectId"] for one in message["events"]] == ["1"]
    assert [one["objectId"] for one in message["raw"]["orders"]] == ["1"]


@on_sqlite
def test_a_change_counts_for_what_waits(subscribers: Subscribers) -> None:
    """What is no longer wanted is not sent; what is wanted only now is not added to what waits."""
    number = subscribers.add(eventTypes=["CREATED"], paused=True)
    env = subscribers.env
    env.ledger.see({"id": 1, "v": 1})
    env.ledger.see({"id": 1, "v": 2}, {"id": 2, "v": 1})
    assert [one.waiting for one in subscribers.views()] == [2, 2]
    subscribers.change(number, eventTypes=[], format="thin")
    subscribers.change(number, paused=False)
    env.dispatch()
    assert subscribers.got(1) == [("1", "CREATED"), ("2", "CREATED")]
    assert list(subscribers.receivers[1].received[0].json["message"]["raw"]) == [
        "pollDate", "objectType",
    ]  # fmt: skip
    subscribers.change(number, paused=True)
    env.ledger.see({"id": 1, "v": 3}, {"id": 3})
    subscribers.change(number, eventTypes=["DELETED"], paused=False)
    env.dispatch()
    assert len(subscribers.got(1)) == 2
    assert subscribers.views()[1].waiting == 0


@on_sqlite
def test_a_paused_one_keeps_what_happens(subscribers: Subscribers) -> None:
    """Others go on; it gets everything in order once it is resumed."""
    number = subscribers.add()
    subscribers.change(number, paused=True)
    subscribers.send({"id": 1, "v": 1})
    subscribers.send({"id": 1, "v": 2})
    assert (len(subscribers.got(0)), len(subscribers.got(1))) == (2, 0)
    subscribers.change(number, paused=False)
    subscribers.env.dispatch()
    assert subscribers.got(1) == [("1", "CREATED"), ("1", "UPDATED")]


@on_sqlite
def test_the_first_one_has_choices_too(subscribers: Subscribers) -> None:
    """They stay when its callback URL changes; what the configuration has is refused."""
    (first,) = subscribers.views()
    assert first.is_first
    subscribers.change(first.id, eventTypes=["DELETED"], description="stock")
    with pytest.raises(InputError, match=r"event\.notification\.signature\.key"):
        subscribers.change(first.id, signatureKey="k")
    with pytest.raises(InputError, match=r"event\.notification\.callback\.url"):
        subscribers.delete(first.id)
    receiver = CallbackReceiver()
    subscribers.receivers.append(receiver)
    url = subscribers.stack.enter_context(receiver.serve())
    for address in ("", url):
        with subscribers.env.ledger.database.write() as session:
            instance = session.get_one(Instance, subscribers.env.ledger.stream.instance_id)
            callback_subscription.synchronize(session, instance, address, at(1))
    assert subscribers.views()[0].options.description == "stock"
    subscribers.send({"id": 1})
    subscribers.send(gone=("1",))
    assert subscribers.got(1) == [("1", "DELETED")]


def test_each_has_its_own_credentials(subscribers: Subscribers) -> None:
    """A new key signs beside the one before for some time; headers and password are its own."""
    number = subscribers.add(
        signatureKey="old", headers={"X-Team": "stock"}, username="ann", password="pä"
    )
    subscribers.change(number, signatureKey="new")
    subscribers.change(number, headers={"X-Team": "********"}, password="********")
    subscribers.send({"id": 1})
    (received,) = subscribers.receivers[1].received
    assert received.is_signed_with("new")
    previous = received.headers["Elements-Webhook-Signature-Previous"]
    assert verify_body(received.body, ("old",), previous)
    assert received.headers["X-Team"] == "stock"
    basic = received.headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(basic).decode() == "ann:pä"
    (plain,) = subscribers.receivers[0].received
    assert plain.headers["X-Team"] is None and plain.headers["Elements-Webhook-Signature"] is None
    subscribers.env.clock.move(8 * 86400)
    subscribers.send({"id": 2})
    later = subscribers.receivers[1].received[-1].headers
    assert later["Elements-Webhook-Signature-Previous"] is None
    view = subscribers.views()[1].credentials
    assert (view.is_signed, view.headers, view.has_password) == (True, ("X-Team",), True)


@on_sqlite
def test_its_secrets_are_rotated_with_the_others(subscribers: Subscribers) -> None:
    """``flask woo keys rotate`` encrypts them again; a lost key is named, and can be replaced."""
    number = subscribers.add(signatureKey="k")
    env = subscribers.env
    instance_id = env.ledger.stream.instance_id
    with env.ledger.database.write() as session:
        assert configuration.rotate(session, env.runtime.cipher, instance_id) == (1, [])
    other = open_env(env.ledger.database, "http://127.0.0.1:9/").runtime
    with env.ledger.database.write() as session:
        _, lost = configuration.rotate(session, other.cipher, instance_id)
    assert lost == [f"the key and headers of subscription {number}"]


def _events(received: cabc.Iterable[Received]) -> list[tuple[str, str, int]]:
    return [(one.json["subject"], one.json["type"], one.json["objectversion"]) for one in received]


@on_sqlite
def test_cloudevents_are_single(subscribers: Subscribers) -> None:
    """A request for each event; one that is refused is sent again alone, in order by object."""
    refuses = True

    def answer(received: Received) -> int:
        return 500 if refuses and received.json["subject"] == "orders/2" else 200

    subscribers.add(answer, format="cloudevents", signatureKey="k")
    subscribers.send({"id": 1, "v": 1}, {"id": 2, "v": 1}, {"id": 3, "v": 1})
    receiver = subscribers.receivers[1]
    created = "woocommerce.orders.created"
    assert _events(receiver.received) == [(f"orders/{one}", created, 1) for one in (1, 2, 3)]
    first = receiver.received[0]
    assert first.headers["Content-Type"] == "application/cloudevents+json; charset=UTF-8"
    assert first.json["id"] == first.headers["webhook-id"] and first.is_signed_with("k")
    assert first.json["data"]["object"] == {"id": 1, "v": 1}
    assert {name for name in first.json if name != "data"} == {
        "specversion", "id", "source", "type", "subject", "time", "datacontenttype",
        "objectversion",
    }  # fmt: skip
    receiver.clear()
    refuses = False
    subscribers.send({"id": 2, "v": 2})
    assert _events(receiver.received) == []
    subscribers.env.clock.move(60)
    subscribers.env.dispatch()
    subscribers.env.dispatch()
    updated = "woocommerce.orders.updated"
    assert _events(receiver.received) == [("orders/2", created, 1), ("orders/2", updated, 2)]


@on_sqlite
def test_another_format_repeats_nothing_that_was_accepted(subscribers: Subscribers) -> None:
    """What was accepted one by one is not in the notification that follows."""
    refuses = True

    def answer(received: Received) -> int:
        return 500 if refuses and b'"orders/2"' in received.body else 200

    number = subscribers.add(answer, format="cloudevents")
    subscribers.send({"id": 1}, {"id": 2}, {"id": 3})
    receiver = subscribers.receivers[1]
    receiver.clear()
    refuses = False
    subscribers.change(number, format="extended")
    subscribers.env.clock.move(60)
    subscribers.env.dispatch()
    assert [one[1] for one in receiver.events] == ["2"]


@on_sqlite
def test_slow_single_events_keep_no_thread(
    subscribers: Subscribers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt ends after some seconds; the next one goes on after what else is due."""
    monkeypatch.setattr(single_events, "LONGEST", 0.0)
    subscribers.add(format="cloudevents")
    subscribers.env.ledger.see(*({"id": number} for number in range(3)))
    report = subscribers.env.dispatch()
    assert (report.delivered, report.failed) == (2, 0)
    assert [one[0] for one in _events(subscribers.receivers[1].received)] == [
        "orders/0", "orders/1", "orders/2",
    ]  # fmt: skip
    with subscribers.env.ledger.database.read() as session:
        attempts = session.scalars(sa.select(Attempt.id).join(Delivery).where(
            Delivery.subscription_id == subscribers.views()[1].id)).all()  # fmt: skip
    assert len(attempts) == 3


@on_sqlite
def test_short_waits_are_all_used(subscribers: Subscribers) -> None:
    """Although holds are longer, a list of waits has as many attempts as it says."""
    subscribers.add(lambda _: 500, retrySchedule=[1] * 8)
    subscribers.send({"id": 1})
    for _ in range(200):
        subscribers.env.clock.move(5)
        subscribers.env.dispatch()
    assert len(subscribers.receivers[1].received) == 9
    assert not subscribers.views()[1].active


@on_sqlite
def test_metadata_whose_key_is_not_unique_triggers(subscribers: Subscribers) -> None:
    """Its elements are named by ids, any of which may have the key."""
    meta = [{"id": 1, "key": "note", "value": "a"}, {"id": 2, "key": "note", "value": "b"}]
    tracking = {"id": 3, "key": "_tracking", "value": "A"}
    subscribers.add(fields=["meta_data[_tracking]"], eventTypes=["UPDATED"])
    subscribers.send({"id": 1, "meta_data": [*meta, tracking]})
    subscribers.send({"id": 1, "meta_data": [*meta, tracking | {"value": "B"}]})
    assert subscribers.got(1) == [("1", "UPDATED")]


@on_sqlite
def test_a_slow_rate_of_single_events(subscribers: Subscribers) -> None:
    """One attempt makes as many requests as fit into seconds; the next ones make the others."""
    subscribers.add(format="cloudevents", requestsPerSecond=0.1)
    subscribers.send(*({"id": number} for number in range(4)))
    assert len(subscribers.receivers[1].received) == 1
    for _ in range(30):
        subscribers.env.clock.move(2)
        subscribers.env.dispatch()
    assert [one[0] for one in _events(subscribers.receivers[1].received)] == [
        f"orders/{number}" for number in range(4)
    ]
    view = subscribers.views()[1]
    assert (view.failures, view.waiting) == (0, 0)


@on_sqlite
def test_a_callback_that_is_away_gets_one_request(subscribers: Subscribers) -> None:
    """The events after one that got no answer are not tried."""

    def answer(received: Received) -> int:
        raise ConnectionError

    subscribers.add(answer, format="cloudevents")
    subscribers.send({"id": 1}, {"id": 2}, {"id": 3})
    assert subscribers.views()[1].failures == 1
    assert subscribers.env.statuses() == {"delivered": 1, "retry": 1}


@on_sqlite
def test_a_dead_one_does_not_touch_the_others(subscribers: Subscribers) -> None:
    """Its deliveries wait, and those of the others are sent."""
    subscribers.add(lambda _: 500)
    subscribers.add()
    for version in range(4):
        subscribers.send({"id": 1, "v": version})
    assert len(subscribers.got(0)) == len(subscribers.got(2)) == 4
    assert subscribers.views()[1].waiting == 4


@on_sqlite
def test_a_refused_object_among_unwanted_ones_waits_alone(subscribers: Subscribers) -> None:
    """A division counts what the subscription wants; others get each event once."""

    refused = {"objectId": "3", "eventType": "UPDATED"}

    def answer(received: Received) -> int:
        return 422 if any(refused.items() <= one.items() for one in received.events) else 200

    subscribers.add(answer, fields=["status"])
    subscribers.send(*({"id": number, "status": "a", "n": 0} for number in range(8)))
    later = [{"id": number, "status": "a", "n": 1} for number in range(8)]
    for number in (0, 2, 3):
        later[number] = {"id": number, "status": "b", "n": 0}
    subscribers.receivers[1].clear()
    subscribers.send(*later)
    for _ in range(12):
        subscribers.env.clock.move(600)
        subscribers.env.dispatch()
    got = {one for one in subscribers.got(1) if one[1] == "UPDATED"}
    assert got == {("0", "UPDATED"), ("2", "UPDATED"), ("3", "UPDATED")}
    assert sorted(subscribers.got(0)) == sorted(
        [(str(one), kind) for one in range(8) for kind in ("CREATED", "UPDATED")]
    )


def claim_all(ledger: LedgerEnv, seconds: float) -> list[ClaimedDelivery]:
    with ledger.database.write() as session:
        return claims.claim(session, at(seconds), LEASE, 50)


def _write(ledger: LedgerEnv, claimed: cabc.Sequence[ClaimedDelivery], seconds: float) -> None:
    with ledger.database.begin() as connection:
        results.write(connection, [AttemptResult(one, OK) for one in claimed], at(seconds))


def limited_ledger(database: Database, **options: t.Any) -> LedgerEnv:
    ledger = build(database)
    with database.write() as session:
        session.execute(sa.update(Subscription).values(options=options))
    return ledger


@pytest.mark.parametrize("wakes_every", [0.05, 0.15])
def test_a_rate_holds_over_workers(any_database: Database, wakes_every: float) -> None:
    """Two a second: 100 notifications take 50 seconds, whichever of two workers claims them."""
    ledger = limited_ledger(any_database, rate=2)
    for number in range(0, 100, 20):
        for one in range(number, number + 20):
            ledger.see({"id": one})
    sent, seconds = list[float](), 0.0
    while len(sent) < 100:
        for _worker in range(2):
            claimed = claim_all(ledger, seconds)
            sent += [seconds] * len(claimed)
            if claimed:
                _write(ledger, claimed, seconds)
        seconds += wakes_every
    assert 45 <= sent[-1] <= 55
    assert all(later - sooner > 0.9 for sooner, later in zip(sent, sent[3:], strict=False))


def test_requests_at_once_hold_over_workers(any_database: Database) -> None:
    """A third is claimed when one of two ends, or when the lease of a killed worker does."""
    ledger = limited_ledger(any_database, concurrency=2)
    for number in range(5):
        ledger.see({"id": number})
    first = claim_all(ledger, 0)
    assert len(first) == 2 and claim_all(ledger, 0) == []
    _write(ledger, first[:1], 1)
    assert len(second := claim_all(ledger, 1)) == 1 and claim_all(ledger, 1) == []
    _write(ledger, second, 2)
    assert len(claim_all(ledger, 2)) == 1
    assert len(claim_all(ledger, 20)) == 2


@on_sqlite
def test_the_worker_wakes_when_a_rate_allows_more(subscribers: Subscribers) -> None:
    """It does not wait for its next regular look at the database."""
    subscribers.add(requestsPerSecond=2)
    for number in range(3):
        subscribers.env.ledger.see({"id": number})
    env = subscribers.env
    with env.ledger.database.write() as session:
        claimed = claims.claim(session, env.clock(), LEASE, 50)
        assert len(claimed) == 3 + 1
        due = claims.next_due(session, env.clock())
    assert due is not None and 0 < (due - env.clock()).total_seconds() <= 0.5


def test_results_of_several_are_not_mixed_up(any_database: Database) -> None:
    """Those that are written together are each reported for its own subscription."""
    ledger = build(any_database)
    build_second = build(any_database)
    for number in range(2):
        ledger.see({"id": number})
        build_second.see({"id": number})
    claimed = sorted(claim_all(ledger, 0), key=lambda one: one.notification.events[0].object_id)
    gone = dataclasses.replace(FAILED, status_code=410)
    ends = [AttemptResult(one, gone if one is claimed[2] else OK) for one in claimed]
    with any_database.begin() as connection:
        written = results.write(connection, ends, at(1))
    assert [one.stopped for one in written] == [False, False, True, False]
    assert [one.status for one in written] == ["delivered", "delivered", "queued", "delivered"]


@on_sqlite
def test_no_second_one_while_an_older_worker_runs(subscribers: Subscribers) -> None:
    """It would send everything to it; one of this release does not stand in the way."""
    database, now = subscribers.env.ledger.database, subscribers.env.clock()
    presence.Presence(database, lambda: now).renew()
    subscribers.create(callbackUrl="http://a.test/")
    with database.write() as session:
        session.execute(
            sa.text("INSERT INTO woo_worker (name, seen_at) VALUES ('process 7 on a', :now)"),
            {"now": now.replace(tzinfo=None)},
        )
    with pytest.raises(ConflictError, match="process 7 on a; restart it"):
        subscribers.create(callbackUrl="http://b.test/")


@on_sqlite
def test_a_removed_one_leaves_its_log(subscribers: Subscribers) -> None:
    """What waits is discarded, what was sent stays, its secrets go."""
    number = subscribers.add(signatureKey="k")
    subscribers.send({"id": 1})
    subscribers.change(number, paused=True)
    subscribers.send({"id": 2})
    subscribers.delete(number)
    assert [one.is_first for one in subscribers.views()] == [True]
    assert subscribers.env.statuses() == {"delivered": 3}
    env = subscribers.env
    with env.ledger.database.read() as session:
        instance_id = env.ledger.stream.instance_id
        assert not configuration.credentials_of(session, env.runtime.cipher, instance_id, number)
    subscribers.send({"id": 3})
    assert len(subscribers.got(1)) == 1


@on_sqlite
@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({}, "callbackUrl"),
        ({"callbackUrl": "ftp://a.test/"}, "callbackUrl"),
        ({"callbackUrl": "http://u:p@a.test/"}, "callbackUrl"),
        ({"resources": ["ordres"]}, "resources.0"),
        ({"eventTypes": ["CHANGED"]}, "eventTypes.0"),
        ({"fields": ["a b"]}, "fields.0"),
        ({"fields": ["a"] * 51}, "fields"),
        ({"format": "xml"}, "format"),
        ({"retrySchedule": []}, "retrySchedule"),
        ({"retrySchedule": [0]}, "retrySchedule"),
        ({"retrySchedule": [True]}, "retrySchedule"),
        ({"timeoutSeconds": 0}, "timeoutSeconds"),
        ({"requestsPerSecond": 0}, "requestsPerSecond"),
        ({"requestsPerSecond": True}, "requestsPerSecond"),
        ({"concurrentRequests": 101}, "concurrentRequests"),
        ({"headers": {"Host": "a"}}, "headers"),
        ({"headers": {"a b": "c"}}, "headers"),
        ({"headers": {"X-New": "********"}}, "headers.X-New"),
        ({"username": "a:b"}, "username"),
        ({"eventType": ["CREATED"]}, "eventType"),
    ],
)
def test_wrong_members_are_named(
    subscribers: Subscribers, members: dict[str, t.Any], field: str
) -> None:
    """With the field as the caller wrote it; nothing is added."""
    with pytest.raises(InputError) as caught:
        subscribers.create(**({"callbackUrl": "http://a.test/"} if members else {}) | members)
    assert caught.value.field == field
    assert len(subscribers.views()) == 1


@on_sqlite
def test_a_replay_sends_a_backfill_to_its_subscription_only(subscribers: Subscribers) -> None:
    """Those that did not get it at first do not get it then."""
    number = subscribers.add()
    env = subscribers.env
    subscribers.send({"id": 1})
    whole = WholeComparison(backfill=Backfill(revision=10, subscription_id=number))
    stream = dataclasses.replace(env.ledger.stream, comparison=whole)
    env.ledger = dataclasses.replace(env.ledger, stream=stream)
    subscribers.send({"id": 1})
    assert (len(subscribers.got(0)), len(subscribers.got(1))) == (1, 2)
    with env.ledger.database.write() as session:
        planned = replay.plan(session, ReplaySelection(), 100)[-1:]
        replay.to_callbacks(session, planned, env.clock())
    env.dispatch()
    assert (len(subscribers.got(0)), len(subscribers.got(1))) == (1, 3)


@on_sqlite
def test_a_time_limit_of_its_own(subscribers: Subscribers) -> None:
    """A receiver that does not answer is given up; the application's limit is much longer."""
    ended = threading.Event()

    def answer(received: Received) -> int:
        ended.wait(HANG_SECONDS)
        return 200

    subscribers.add(answer, timeoutSeconds=1)
    try:
        subscribers.send({"id": 1})
        assert subscribers.env.statuses() == {"delivered": 1, "retry": 1}
    finally:
        ended.set()


@on_sqlite
def test_a_schedule_of_its_own(subscribers: Subscribers) -> None:
    """Waits in seconds; after the last one the subscription stops."""
    subscribers.add(lambda _: 500, retrySchedule=[10, 20])
    subscribers.send({"id": 1})
    for wait in (10, 20):
        subscribers.env.clock.move(wait - 1)
        subscribers.env.dispatch()
        before = len(subscribers.receivers[1].received)
        subscribers.env.clock.move(1)
        subscribers.env.dispatch()
        assert len(subscribers.receivers[1].received) == before + 1
    assert subscribers.env.statuses() == {"delivered": 1, "queued": 1}
    assert not subscribers.views()[1].active
