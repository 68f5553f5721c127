"""A backfill for one subscription: it alone gets what is known, all get what has changed."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Delivery, Instance, Subscription
from flask_woo_events.errors import ConflictError, NotFoundError
from flask_woo_events.events import notifications, subscription_options
from flask_woo_events.handlers import Event
from flask_woo_events.instances import callback_subscription, lifecycle, subscriptions
from flask_woo_events.instances.subscription_requests import SubscriptionRequest
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import StoreToCallback
from tests.integration.test_reconfiguration import ORDERS, Shop, database

__all__ = ["database"]

Got = list[tuple[int, str, int]]


@dataclasses.dataclass
class TwoReceivers:
    """A shop whose orders go to two subscriptions, the target of backfills and another one."""

    shop: Shop
    target: int
    other: int

    def got(self, subscription_id: int) -> Got:
        """Return what a subscription is sent: object, type and version, in order."""
        with self.shop.database.read() as session:
            row = session.get_one(Subscription, subscription_id)
            chosen = subscription_options.read(row.options).choice
            target = notifications.target_of(row.channel, row.id)
            query = sa.select(Delivery.notification_id, Delivery.wanted).where(
                Delivery.subscription_id == subscription_id
            )
            found: Got = []
            for number, wanted in session.execute(query.order_by(Delivery.notification_id)):
                record = notifications.load(session, [number])[number]
                for one in notifications.chosen(record, wanted, chosen, target).events:
                    found.append((int(one.object_id), one.event_type.value, one.version))
            return found

    def backfill(self, **part: object) -> None:
        self.shop.backfill(subscription_id=self.target, **part)


def _add(shop: Shop, session: orm.Session, **members: object) -> int:
    request = SubscriptionRequest.model_validate({"callbackUrl": "http://x.test/", **members})
    cipher = shop.runtime.cipher
    return subscriptions.create(session, cipher, shop.caller, shop.id, request, shop.now)


def _two(shop: Shop, **members: object) -> TwoReceivers:
    with shop.database.write() as session:
        return TwoReceivers(shop, _add(shop, session, **members), _add(shop, session))


@pytest.fixture
def two(database: Database) -> TwoReceivers:
    return _two(Shop(database, {"orders": ORDERS}))


def test_only_the_target_gets_what_is_known(any_database: Database) -> None:
    """Each order is CREATED once, with its next version; the versions after it go to both."""
    two = _two(Shop(any_database, {"orders": ORDERS}))
    two.backfill()
    there = two.shop.ids("orders")
    two.shop.poll()
    assert sorted(two.got(two.target)) == [(number, "CREATED", 2) for number in there]
    assert two.got(two.other) == []
    assert two.shop.poll() == []
    two.shop.acts.order_meta(there[0])
    two.shop.poll()
    assert two.got(two.target)[-1] == (there[0], "UPDATED", 3)
    assert two.got(two.other) == [(there[0], "UPDATED", 3)]


def test_what_happened_meanwhile_goes_to_all(any_database: Database) -> None:
    """The slice that finds a change sends it to both: a new, a changed and a deleted order."""
    two = _two(Shop(any_database, {"orders": ORDERS}))
    shop = two.shop
    changed, gone, *others = shop.ids("orders")
    new = shop.place_order()
    shop.acts.status(changed, "completed")
    shop.acts.delete_for_good("orders", gone)
    two.backfill()
    shop.poll()
    assert sorted(two.got(two.other)) == sorted(
        [(new, "CREATED", 1), (changed, "UPDATED", 3), (gone, "DELETED", 2)]
    )
    assert sorted(two.got(two.target)) == sorted(
        [*two.got(two.other), (changed, "CREATED", 2)] + [(one, "CREATED", 2) for one in others]
    )
    of_changed = [one[1:] for one in two.got(two.target) if one[0] == changed]
    assert of_changed == [("CREATED", 2), ("UPDATED", 3)]


def test_an_order_that_comes_back_is_created_once(two: TwoReceivers) -> None:
    """An order that was deleted and is there again is CREATED for both, once."""
    shop = two.shop
    back = shop.ids("orders")[0]
    shop.acts.trash_post(back)
    shop.poll()
    shop.acts.untrash_order(back)
    two.backfill()
    shop.poll()
    for one in (two.target, two.other):
        assert [event[1] for event in two.got(one) if event[0] == back] == ["DELETED", "CREATED"]


@pytest.mark.parametrize("stop_after", [1, 2])
def test_an_interrupted_one_goes_on(two: TwoReceivers, stop_after: int) -> None:
    """The target gets every order once, although the poll that began was interrupted."""
    two.backfill()
    two.shop.stop_after = stop_after
    two.shop.poll()
    two.shop.stop_after = None
    two.shop.poll()
    assert sorted(two.got(two.target)) == [(one, "CREATED", 2) for one in two.shop.ids("orders")]
    assert two.got(two.other) == []


@pytest.mark.parametrize("changes", [False, True])
def test_during_the_baseline(database: Database, changes: bool) -> None:
    """Before the baseline has ended the others get only what has changed since it began."""
    shop = Shop(database, {"orders": ORDERS}, first_poll=False)
    two = _two(shop)
    shop.stop_after = 1
    assert shop.poll() == []
    two.backfill()
    shop.stop_after = None
    changed = shop.ids("orders")[-1]
    if changes:
        shop.wait(60)
        shop.acts.order_meta(changed)
    for _ in range(3):
        shop.poll()
    created = [one[0] for one in two.got(two.target) if one[1] == "CREATED"]
    assert sorted(created) == shop.ids("orders")
    assert [one[:2] for one in two.got(two.other)] == [(changed, "UPDATED")] * changes
    versions = [one[2] for one in two.got(two.target) if one[0] == changed]
    assert versions == sorted(set(versions))


def test_its_choice_of_events_counts(database: Database) -> None:
    """A target that wants no CREATED gets none, and a part has only objects of its dates."""
    two = _two(Shop(database, {"orders": ORDERS}), eventTypes=["UPDATED"])
    two.backfill()
    two.shop.poll()
    assert two.got(two.target) == []
    with two.shop.database.write() as session:
        request = SubscriptionRequest.model_validate({"eventTypes": None})
        cipher, caller = two.shop.runtime.cipher, two.shop.caller
        subscriptions.change(
            session, cipher, caller, two.shop.id, two.target, request, two.shop.now
        )
    dates = sorted(
        dt.datetime.fromisoformat(f"{order['date_modified_gmt']}+00:00")
        for order in two.shop.store.truth("orders").values()
    )
    two.backfill(since=dates[-1])
    two.shop.poll()
    assert len(two.got(two.target)) == dates.count(dates[-1])


def test_a_handler_gets_nothing_of_it(database: Database) -> None:
    """Functions of the application are others, too."""
    shop = Shop(database, {"orders": ORDERS})

    def pack(event: Event) -> None:
        pass

    shop.runtime.handlers.on(None, (), "pack")(pack)
    two = _two(shop)
    changed = shop.ids("orders")[0]
    shop.acts.status(changed, "completed")
    two.backfill()
    shop.poll()
    with database.read() as session:
        query = sa.select(Subscription.id).where(Subscription.url == "pack")
        handler = session.scalars(query).one()
    assert two.got(handler) == [(changed, "UPDATED", 3)]


def test_the_callback_url_may_change_meanwhile(database: Database) -> None:
    """A backfill for the first subscription goes on to the new callback URL."""
    shop = Shop(database, {"orders": ORDERS})

    def move(url: str) -> int:
        with database.write() as session:
            instance = session.get_one(Instance, shop.id)
            callback_subscription.synchronize(session, instance, url, shop.now)
            session.flush()
            mine = sa.select(Subscription.id).where(Subscription.current)
            return session.scalars(mine.where(Subscription.url == url)).one()

    two = TwoReceivers(shop, move("http://one.test/"), 0)
    two.backfill()
    two.target = move("http://two.test/")
    shop.poll()
    assert len(two.got(two.target)) == len(shop.ids("orders"))


def test_what_is_refused(two: TwoReceivers) -> None:
    """A subscription of no or another instance, and a second backfill for one subscription."""
    for wrong in (99, 0):
        with pytest.raises(NotFoundError, match=f"has no subscription {wrong}"):
            two.shop.backfill(subscription_id=wrong)
    two.backfill()
    with pytest.raises(ConflictError, match="still under way"):
        two.backfill()


def test_the_command(env: StoreToCallback) -> None:
    """``--to`` names the subscription, which has to be one of the instance."""

    def run(number: int) -> str:
        words = ["woo", "instances", "backfill", str(env.instance_id), "--to", str(number)]
        return str(env.app.test_cli_runner().invoke(args=words).output)

    with runtime_of(env.app).database.read() as session:
        query = sa.select(Subscription.id).where(Subscription.instance_id == env.instance_id)
        first = session.scalars(query).one()
    assert f"to subscription {first}, and DELETED for those that are gone to all" in run(first)
    assert "has no subscription 99" in run(99)
    assert len(env.arrivals()) == 26  # 12 orders, 6 products, 3 coupons and 5 customers


def test_an_older_request_is_read(two: TwoReceivers) -> None:
    """A backfill for all that an earlier release requested goes to all."""
    with two.shop.database.write() as session:
        lifecycle.backfill(session, two.shop.caller, two.shop.id, two.shop.now)
    two.shop.poll()
    assert two.got(two.target) == two.got(two.other) != []
