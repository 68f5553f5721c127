"""Reconciliation: what a consumer lacks is found without the store, and sent to it alone."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
import tracemalloc
import typing as t

import orjson
import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import GONE_DIGEST, Delivery, Instance, Object, Poller, StoredEvent
from flask_woo_events.db.states import PollerState
from flask_woo_events.delivery import cloudevents, feed
from flask_woo_events.errors import ConflictError, InputError, NotFoundError
from flask_woo_events.events import notifications
from flask_woo_events.events.feed import FeedChoice
from flask_woo_events.events.feed_cursor import FeedScope
from flask_woo_events.instances import checkpoint, pollers, subscriptions
from flask_woo_events.instances.subscription_requests import SubscriptionRequest
from flask_woo_events.sync.reconcile import copies, reconciliation, states
from flask_woo_events.sync.reconcile.copies import IdRange
from flask_woo_events.sync.reconcile.reconciliation import Request
from tests.integration.feed_env import objects_of
from tests.integration.host_app import PREFIX, runtime_of
from tests.integration.store_to_callback import StoreToCallback
from tests.integration.test_backfill_to import TwoReceivers, _two
from tests.integration.test_reconfiguration import ORDERS, Shop, database

__all__ = ["database"]

Rows = list[dict[str, t.Any]]


def _reconcile(shop: Shop, had: cabc.Iterable[t.Any], **request: t.Any) -> Rows:
    """Compare orders that a consumer has, and return what differs."""
    wanted = Request(**{"instance_id": shop.id, "resource": "orders", **request})
    lines = b"".join(orjson.dumps(one) + b"\n" for one in had)
    session = shop.runtime.__dict__.pop("store_session")
    shop.runtime.__dict__["store_session"] = None  # Each request to the store would fail.
    try:
        found = reconciliation.reconcile(shop.runtime, shop.caller, wanted, [lines])
    finally:
        shop.runtime.__dict__["store_session"] = session
    with contextlib.closing(found):
        rows = [orjson.loads(row) for row in found.rows()]
        assert found.count == len(rows)
        return rows


def _all(shop: Shop) -> dict[str, int]:
    """Return the version of each live order, as a consumer with everything has it."""
    with shop.database.read() as session:
        query = sa.select(Object.object_id, Object.version).where(Object.live)
        return {row[0]: row[1] for row in session.execute(query)}


def _lines(had: cabc.Mapping[str, int]) -> Rows:
    return [{"objectId": name, "version": version} for name, version in had.items()]


def _fill(database: Database, poller_id: int, rows: cabc.Iterable[dict[str, t.Any]]) -> None:
    now = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
    base = {
        "poller_id": poller_id, "number": None, "parent": None, "live": True, "digest": b"1" * 16,
        "fields": b"", "modified_at": now, "created_at": now, "seen_at": now, "version": 1,
        "revision": 1, "listed": True,
    }  # fmt: skip
    with database.write() as session:
        session.execute(sa.insert(Object), [base | one for one in rows])


COUNT = 5_000


def test_exactly_what_differs_is_found(any_database: Database) -> None:
    """37 missing, 12 stale and 3 extra of 5,000, whatever the order of the database's texts."""
    shop = Shop(any_database, {"orders": ORDERS}, counts=(1, 1, 0, 0))
    poller_id = shop.pollers()["orders"].id
    odd = ["Z", "a", "_", "é", "ß", "𝄞", "a b", "10a", "ab", "A", "-1"]
    ids = [*odd, *(str(number) for number in range(10_000, 10_000 + COUNT))]
    states_ = {name: 1 + index % 7 for index, name in enumerate(ids)}
    _fill(
        any_database,
        poller_id,
        [
            {"object_id": name, "number": int(name) if name.isdecimal() else None, "version": one}
            for name, one in states_.items()
        ],
    )
    gone = [str(number) for number in range(90_000, 90_100)]
    _fill(
        any_database,
        poller_id,
        [{"object_id": one, "live": False, "digest": GONE_DIGEST, "version": 9} for one in gone],
    )
    _fill(any_database, poller_id, [{"object_id": "left", "live": False}])
    had = _all(shop)
    missing, stale, extra = ids[:37], ids[100:112], [*gone[:2], "never"]
    for name in missing:
        del had[name]
    for name in stale:
        had[name] -= 1
    lines = [*reversed(_lines(had)), *_lines(dict.fromkeys([*extra, "left"], 9))]
    rows = _reconcile(shop, lines)
    assert len(rows) == 52
    assert [one["objectId"] for one in rows] == sorted({*missing, *stale, *extra})
    assert {one["objectId"]: one["why"] for one in rows} == {
        **dict.fromkeys(missing, "missing"),
        **dict.fromkeys(stale, "stale"),
        **dict.fromkeys(extra, "extra"),
    }
    known = states_ | dict.fromkeys(gone, 9) | {"never": None}
    assert all(one["version"] == known[one["objectId"]] for one in rows)
    in_part = [one for one in lines if one["objectId"].isdecimal()]
    in_part = [one for one in in_part if 10_000 < int(one["objectId"]) <= 10_050]
    part = _reconcile(shop, in_part, part=IdRange(10_000, 10_050))
    assert part == [one for one in rows if one["objectId"] in map(str, range(10_001, 10_051))]
    _check_pages(shop, poller_id, states_, gone)


def _check_pages(shop: Shop, poller_id: int, live: dict[str, int], gone: list[str]) -> None:
    """Compare the pages of the state and the checkpoint with what is there."""
    shown: list[states.ObjectState] = []
    cursor: str | None = None
    with shop.database.read() as session:
        while True:
            page, cursor = states.page(session, poller_id, cursor, 1_000)
            shown += page
            if cursor is None:
                break
        [found] = checkpoint.of_instance(session, shop.id)
    names = [one.object_id for one in shown]
    assert len(names) == len(set(names))
    store = {one: version for one, version in _all(shop).items() if one not in live}
    expected = live | store
    assert {one.object_id: one.version for one in shown if one.live} == expected
    assert {one.object_id for one in shown if not one.live} == set(gone)
    # As a consumer computes it, which has the page's digests or none of them.
    assert found.count == len(expected)
    assert int(found.digest, 16) == sum(int(one.digest, 16) for one in shown if one.live) % 2**256
    own = (hashlib.sha256(f"{one}:{version}".encode()) for one, version in expected.items())
    assert int(found.digest, 16) == sum(int(one.hexdigest(), 16) for one in own) % 2**256


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "é", "a" * 3_000, "W10", "WzEsMV0", "bnVsbA", "e30", "WzksIjEiXQ", "WzEsIlx1MDAwMCJd",
     "W1tbW1tb"],
)  # fmt: skip
def test_a_cursor_is_checked(database: Database, cursor: str) -> None:
    """A cursor that was made up, cut, or made for another resource is refused."""
    with database.read() as session, pytest.raises(InputError, match="cursor is not the cursor"):
        states.page(session, 1, cursor, 10)


@dataclasses.dataclass
class Consumer:
    """One of two receivers, which has everything, and what it gets from then on."""

    two: TwoReceivers
    had: dict[str, int]
    seen: int = 0

    @property
    def shop(self) -> Shop:
        return self.two.shop

    def send(self, had: cabc.Iterable[t.Any] | None = None) -> dict[str, str]:
        """Have what differs sent again; return what becomes of each object."""
        lines = _lines(self.had) if had is None else had
        rows = _reconcile(self.shop, lines, send=True, subscription_id=self.two.target)
        return {one["objectId"]: one["send"] for one in rows}

    def got(self) -> list[tuple[int, str, int]]:
        """Return what it got since the last call, and check that the other one got nothing."""
        new = self.two.got(self.two.target)[self.seen :]
        self.seen += len(new)
        return new

    def settle(self) -> None:
        """Note that everything has arrived."""
        with self.shop.database.write() as session:
            session.execute(sa.text("UPDATE woo_delivery SET status = 'delivered'"))


@pytest.fixture
def consumer(database: Database) -> Consumer:
    two = _two(Shop(database, {"orders": ORDERS}))
    return Consumer(two, _all(two.shop))


def _consumer(database: Database) -> Consumer:
    two = _two(Shop(database, {"orders": ORDERS}))
    return Consumer(two, _all(two.shop))


def test_what_is_kept_is_sent_at_once_to_one_subscription(any_database: Database) -> None:
    """Lost, old and deleted orders arrive again with their versions; nobody else gets anything."""
    consumer = _consumer(any_database)
    shop = consumer.shop
    first, second, gone = shop.ids("orders")[:3]
    shop.acts.status(first, "completed")
    shop.acts.status(second, "completed")
    shop.acts.delete_for_good("orders", gone)
    shop.poll()
    consumer.settle()
    consumer.got()
    others = consumer.two.got(consumer.two.other)
    before = _all(shop)
    had = before | {str(second): 1, str(gone): 1}
    del had[str(first)]
    consumer.had = had
    expected = dict.fromkeys(map(str, (first, second, gone)), "recorded")
    assert consumer.send() == expected
    assert sorted(consumer.got()) == sorted(
        [(first, "CREATED", 2), (second, "UPDATED", 2), (gone, "DELETED", 2)]
    )
    # It is on its way: a second call sends nothing again.
    assert consumer.send() == dict.fromkeys(expected, "waiting")
    assert consumer.got() == []
    consumer.settle()
    assert consumer.send() == expected
    assert len(consumer.got()) == 3
    assert consumer.two.got(consumer.two.other) == others
    assert _all(shop) == before
    shop.poll()
    assert consumer.got() == []


def test_what_is_sent_again_has_an_id_of_its_own(consumer: Consumer) -> None:
    """A consumer that drops repetitions by their ids would drop what it lacks, at each call."""
    shop = consumer.shop
    changed, lost = map(str, shop.ids("orders")[:2])
    shop.acts.status(int(changed), "completed")
    shop.poll()
    lines = [one for one in _lines(consumer.had) if one["objectId"] != lost]
    for _ in range(2):
        consumer.settle()
        consumer.send(lines)
        shop.poll()
    with shop.database.read() as session:
        events = session.scalars(sa.select(StoredEvent).order_by(StoredEvent.id)).all()
        again = notifications.load_single(session, [one.id for one in events])
        whole = notifications.load(session, [one.notification_id for one in events])
    versions = [(one.object_id, one.version) for one in events]
    assert versions.count((changed, 2)) == 3 and versions.count((lost, 1)) == 2
    assert len({one.event_id for one in again.values()}) == len(events)
    ids = {cloudevents.event_id(one, event) for one in whole.values() for event in one.events}
    assert len(ids) == len(events)


def test_what_is_not_kept_is_read_by_the_next_poll(any_database: Database) -> None:
    """Orders of the baseline have no event; the poll reads them, and keeps their versions."""
    consumer = _consumer(any_database)
    shop, before = consumer.shop, _all(consumer.shop)
    lost, old, changed, gone = map(str, shop.ids("orders")[:4])
    consumer.had = before | {old: 0}
    for name in (lost, changed, gone):
        del consumer.had[name]
    assert consumer.send() == dict.fromkeys((lost, old, changed, gone), "read")
    assert consumer.got() == []
    # Meanwhile the store goes on: what it changes goes to all, and needs no second event.
    shop.acts.status(int(changed), "completed")
    shop.acts.delete_for_good("orders", int(gone))
    shop.poll()
    news = [(int(changed), "UPDATED", 2), (int(gone), "DELETED", 2)]
    assert sorted(consumer.got()) == sorted(
        [(int(lost), "CREATED", 1), (int(old), "UPDATED", 1), *news]
    )
    assert sorted(consumer.two.got(consumer.two.other)) == sorted(news)
    assert pollers.READ_AGAIN not in shop.pollers()["orders"].memory
    assert shop.poll() == []
    assert _all(shop) == {name: 1 + (name == changed) for name in before if name != gone}


def test_the_store_decides_about_what_the_ledger_has_never_known(any_database: Database) -> None:
    """An order that is new in the store is CREATED for all; one that is not there is DELETED."""
    consumer = _consumer(any_database)
    shop = consumer.shop
    new = str(shop.place_order())
    lines = [*_lines(consumer.had), {"objectId": new}, {"objectId": 999_999}, {"objectId": "slug"}]
    assert consumer.send(lines) == {new: "read", "999999": "read", "slug": "left"}
    shop.poll()
    assert sorted(consumer.got()) == [(int(new), "CREATED", 1), (999_999, "DELETED", 1)]
    assert consumer.two.got(consumer.two.other) == [(int(new), "CREATED", 1)]
    lines = [*_lines(_all(shop)), {"objectId": 999_999}]
    consumer.settle()
    assert _reconcile(shop, lines) == [{"objectId": "999999", "why": "extra", "version": 1}]
    assert consumer.send(lines) == {"999999": "recorded"}
    assert consumer.got() == [(999_999, "DELETED", 1)]
    shop.poll()
    assert consumer.got() == []


def test_a_wrong_answer_of_the_store_deletes_nothing(consumer: Consumer) -> None:
    """A list that lacks even known orders proves nothing about an unknown one."""
    shop = consumer.shop
    assert consumer.send([*_lines(consumer.had), {"objectId": 999_999}]) == {"999999": "read"}
    shop.store.faults.add("empty_list", times=100)
    with contextlib.suppress(AssertionError):
        shop.poll()
    assert consumer.got() == []
    shop.store.faults.clear()
    shop.poll()
    assert consumer.got() == [(999_999, "DELETED", 1)]


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_an_interrupted_poll_sends_each_once(consumer: Consumer, stop_after: int) -> None:
    """What was asked for is forgotten in the transaction that records its event."""
    shop = consumer.shop
    lost = consumer.shop.ids("orders")
    consumer.had = {}
    assert set(consumer.send().values()) == {"read"}
    shop.stop_after = stop_after
    shop.poll()
    shop.stop_after = None
    shop.poll()
    assert sorted(consumer.got()) == [(one, "CREATED", 1) for one in lost]


def test_what_cannot_be_read_is_forgotten_after_a_day(consumer: Consumer) -> None:
    """Requests that nobody could fulfil do not cost requests for ever."""
    shop = consumer.shop
    consumer.had = {}
    consumer.send()
    shop.wait(86_500)
    shop.poll()
    assert consumer.got() == []
    assert pollers.READ_AGAIN not in shop.pollers()["orders"].memory


def test_no_more_than_so_many_are_read(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that lacks everything of a large store is sent a backfill instead."""
    monkeypatch.setattr(pollers, "MOST_READ_AGAIN", 5)
    consumer.had = {}
    outcomes = list(consumer.send().values())
    assert outcomes.count("read") == 5
    assert set(outcomes) == {"read", "left"}
    consumer.shop.poll()
    assert len(consumer.got()) == 5


def test_one_call_takes_seconds(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A web request records a part of very many events; the next one sends the rest."""
    shop = consumer.shop
    for number in shop.ids("orders"):
        shop.acts.status(number, "completed")
    shop.poll()
    consumer.settle()
    consumer.got()
    consumer.had = {}
    for name in ("reconciliation.AT_ONCE", "resend.MOST_RECORDED"):
        monkeypatch.setattr(f"flask_woo_events.sync.reconcile.{name}", 4)
    sent: set[int] = set()
    for _ in range(2):
        assert list(consumer.send().values()).count("recorded") == 4
        sent |= {one[0] for one in consumer.got()}
    assert len(sent) == 8


@pytest.mark.parametrize("version", ["5.9", "11.0"])
def test_children_are_read_by_their_parents(database: Database, version: str) -> None:
    """A refund of the baseline is read again, also where the store lists it only by its order."""
    shop = Shop(database, {"orders": ORDERS}, version=version)
    order = shop.ids("orders")[0]
    refund = shop.rest("POST", f"orders/{order}/refunds", amount="1.00")["id"]
    shop.patch(orders=ORDERS, refunds="/hubs/ecommerce/refunds")
    shop.poll()
    two = _two(shop)
    rows = _reconcile(shop, [], resource="refunds", send=True, subscription_id=two.target)
    assert rows == [{"objectId": str(refund), "why": "missing", "version": 1, "send": "read"}]
    shop.poll()
    assert two.got(two.target) == [(refund, "CREATED", 1)]
    assert two.got(two.other) == []


def test_the_choice_of_the_subscription_counts(database: Database) -> None:
    """A subscription that wants no CREATED is sent none, and is told so."""
    two = _two(Shop(database, {"orders": ORDERS}), eventTypes=["UPDATED"])
    consumer = Consumer(two, {})
    shop = two.shop
    first = shop.ids("orders")[0]
    shop.acts.status(first, "completed")
    shop.poll()
    consumer.settle()
    consumer.got()
    lost = _all(shop)
    had = {**lost, str(first): 1}
    assert consumer.send(_lines(had)) == {str(first): "recorded"}
    assert consumer.got() == [(first, "UPDATED", 2)]
    consumer.settle()
    del had[str(first)]
    assert consumer.send(_lines(had)) == {str(first): "left"}


def test_what_lacks_is_read_from_a_feed(any_database: Database) -> None:
    """A backfill and a comparison put it into the feed of the one subscription; nothing is sent."""
    shop = Shop(any_database, {"orders": ORDERS})
    with shop.database.write() as session:
        request = SubscriptionRequest.model_validate({"feed": True})
        number = subscriptions.create(
            session, shop.runtime.cipher, shop.caller, shop.id, request, shop.now
        )
    scope = FeedScope(
        organization_id=shop.caller.organization_id, instance_id=shop.id, subscription_id=number
    )
    cursor: str | None = None

    def got() -> list[int]:
        nonlocal cursor
        page = feed.read(shop.runtime, FeedChoice(scope=scope, target=number), cursor, 100)
        cursor = page.cursor
        return sorted(map(int, objects_of(page)))

    shop.backfill(subscription_id=number)
    shop.poll()
    orders = sorted(shop.ids("orders"))
    assert got() == orders
    had = [one for one in _lines(_all(shop)) if one["objectId"] != str(orders[0])]
    for named in (number, None):
        [row] = _reconcile(shop, had, send=True, subscription_id=named)
        assert (row["objectId"], row["send"]) == (str(orders[0]), "recorded")
        assert got() == [orders[0]]
    everyone = FeedScope(organization_id=shop.caller.organization_id)
    assert feed.read(shop.runtime, FeedChoice(scope=everyone), None, 100).events == ()
    with shop.database.read() as session:
        assert session.scalars(sa.select(Delivery.id)).all() == []


def test_versions_stay_in_order(consumer: Consumer) -> None:
    """An order that changes after it was sent again arrives as it is at the end."""
    shop = consumer.shop
    first = shop.ids("orders")[0]
    shop.acts.status(first, "completed")
    shop.poll()
    consumer.settle()
    consumer.got()
    del consumer.had[str(first)]
    assert consumer.send() == {str(first): "recorded"}
    shop.acts.status(first, "on-hold")
    shop.poll()
    assert consumer.got() == [(first, "CREATED", 2), (first, "UPDATED", 3)]
    with shop.database.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM woo_wait")) == 1


def test_dates_find_old_copies_where_the_format_has_no_version(consumer: Consumer) -> None:
    """Consumers of the documented format send the date of the body."""
    shop = consumer.shop
    orders = shop.store.truth("orders")
    had = [
        {"objectId": number, "date_modified_gmt": order["date_modified_gmt"]}
        for number, order in orders.items()
    ]
    assert _reconcile(shop, had) == []
    shop.acts.status(shop.ids("orders")[0], "completed")
    shop.poll()
    first = str(shop.ids("orders")[0])
    assert _reconcile(shop, had) == [{"objectId": first, "why": "stale", "version": 2}]
    had[0]["date_modified_gmt"] = "2031-01-01T00:00:00"
    assert _reconcile(shop, had) == [{"objectId": first, "why": "newer", "version": 2}]
    assert _reconcile(shop, had, send=True, subscription_id=consumer.two.target) == [
        {"objectId": first, "why": "newer", "version": 2, "send": "left"}
    ]


def test_what_a_filter_excludes_is_no_difference(consumer: Consumer) -> None:
    """A change of the filter was not sent, so that a consumer may have those orders or not."""
    shop = consumer.shop
    before = _all(shop)
    shop.patch(orders=f"{ORDERS}?where=status='completed'")
    shop.poll()
    assert _all(shop).keys() < before.keys()
    assert _reconcile(shop, _lines(before)) == _reconcile(shop, _lines(_all(shop))) == []


def test_nothing_is_said_before_everything_was_read(database: Database) -> None:
    """During the baseline the ledger lacks orders, which a consumer would delete."""
    shop = Shop(database, {"orders": ORDERS}, first_poll=False)
    with pytest.raises(ConflictError, match="not been read to their end yet"):
        _reconcile(shop, [])
    shop.stop_after = 1
    shop.poll()
    with pytest.raises(ConflictError, match="not been read to their end yet"):
        _reconcile(shop, [], send=True)
    shop.stop_after = None
    shop.poll()
    assert len(_reconcile(shop, [])) == len(shop.ids("orders"))


def test_a_disabled_resource_can_be_compared(consumer: Consumer) -> None:
    """Its ledger is complete, although it is old."""
    with consumer.shop.database.write() as session:
        poller = session.scalars(sa.select(Poller)).one()
        poller.state = PollerState.DISABLED
    assert _reconcile(consumer.shop, _lines(consumer.had)) == []


def test_a_feed_does_not_know_everything(database: Database) -> None:
    """A list of what changed says nothing of other orders."""
    feed = "/wp-json/wc/v3/orders?modified_after=${date}&dates_are_gmt=true"
    shop = Shop(database, {"orders": feed})
    known, silent = map(str, shop.ids("orders")[:2])
    shop.wait(60)
    shop.acts.order_meta(int(known))
    shop.poll()
    row = {"objectId": known, "why": "missing", "version": 1}
    assert _reconcile(shop, [{"objectId": silent}]) == [row]


def test_a_failing_line_changes_nothing(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent unless all of the lines could be read."""
    monkeypatch.setattr(copies, "IN_MEMORY", 2)
    with pytest.raises(InputError, match="line 13"):
        consumer.send([*_lines(consumer.had), {"objectId": None}])
    assert consumer.got() == []
    with consumer.shop.database.read() as session:
        assert session.scalars(sa.select(StoredEvent.id)).all() == []


def test_the_subscription_has_to_be_one_of_the_instance(consumer: Consumer) -> None:
    """Without a first one it must be named."""
    shop = consumer.shop
    for wrong in (0, 99):
        with pytest.raises(NotFoundError, match="No subscription found"):
            _reconcile(shop, [], send=True, subscription_id=wrong)
    with pytest.raises(InputError, match="name one with subscription"):
        _reconcile(shop, [], send=True)
    with pytest.raises(InputError, match="resource 'products' is not polled.*polls orders"):
        _reconcile(shop, [], resource="products")


def test_large_objects_are_sent_a_few_at_a_time(consumer: Consumer) -> None:
    """100 objects of some megabytes each would need a gigabyte of the web server's memory."""
    shop, large = consumer.shop, 2 * 1024 * 1024
    for one in shop.ids("orders"):
        shop.acts.status(one, "completed")
    shop.poll()
    consumer.settle()
    body = orjson.dumps({"id": 1, "text": "x" * large})
    with shop.database.write() as session:
        session.execute(sa.update(StoredEvent).values(body=body))
    tracemalloc.start()
    try:
        assert set(consumer.send([]).values()) == {"recorded"}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(consumer.got()) >= 12
    assert peak < 9 * large, f"{peak / large:.1f} times an object"


def test_what_is_deleted_during_the_upload_gets_nothing(consumer: Consumer) -> None:
    """A body may arrive for minutes; nothing may be recorded for a receiver that is gone."""
    shop, number = consumer.shop, consumer.two.target
    wanted = Request(instance_id=shop.id, resource="orders", send=True, subscription_id=number)
    changed = shop.ids("orders")[0]
    shop.acts.status(changed, "completed")
    shop.poll()
    consumer.settle()

    def lines() -> cabc.Iterator[bytes]:
        yield b""
        with shop.database.write() as session:
            subscriptions.delete(session, shop.caller, shop.id, number)

    with shop.database.read() as session:
        before = session.scalars(sa.select(StoredEvent.id)).all()
    with pytest.raises(NotFoundError, match="No subscription found"):
        reconciliation.reconcile(shop.runtime, shop.caller, wanted, lines())
    with shop.database.read() as session:
        assert session.scalars(sa.select(StoredEvent.id)).all() == before
        assert session.scalars(sa.select(Poller.memory)).one().get("again") is None


def test_dripping_bodies_hold_few_threads(env: StoreToCallback) -> None:
    """Bodies of any length are read for as long as they arrive; other requests are answered."""
    runtime = runtime_of(env.app)
    with runtime.database.read() as session:
        mine = session.get_one(Instance, env.instance_id).organization_id
    with runtime.reconciles.taken(mine):
        with runtime.reconciles.taken(mine):
            busy = _post(env, "resource=orders", b"")
            assert busy.status_code == 429 and busy.headers["Retry-After"]
            assert "at the same time" in busy.json["message"]
        assert _post(env, "resource=orders", b"").status_code == 200
        # The place is free again once the answer is sent, also one of an error.
        assert _post(env, "resource=orders", b"[").status_code == 400
        assert _post(env, "resource=orders", b"").status_code == 200


NDJSON = {"Content-Type": "application/x-ndjson"}


def _post(env: StoreToCallback, query: str, body: bytes, **headers: str) -> t.Any:
    path = f"{PREFIX}/instances/{env.instance_id}/reconcile?{query}"
    return env.api.client.post(path, data=body, headers=env.api.headers | NDJSON | headers)


def test_the_routes_answer_with_rows_that_the_command_prints(env: StoreToCallback) -> None:
    """A consumer compares, has sent again what it lost, and its checkpoint agrees."""
    path = f"/instances/{env.instance_id}"
    objects: Rows = []
    cursor = ""
    while True:
        page = env.api.call("GET", f"{path}/state?resource=orders&limit=5{cursor}").json
        objects += page["objects"]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert len(objects) == 12
    had = [{"objectId": one["objectId"], "version": one["version"]} for one in objects]
    lost = had.pop(0)["objectId"]
    body = b"\n".join(map(orjson.dumps, had))
    answer = _post(env, "resource=orders", body)
    row = {"objectId": lost, "why": "missing", "version": 1}
    assert answer.headers["Elements-Returned-Count"] == "1"
    assert answer.json == {
        "resource": "orders",
        "compared": 11,
        "counts": {"missing": 1, "stale": 0, "newer": 0, "extra": 0},
        "differences": [row],
    }
    runner = env.app.test_cli_runner()
    words = ["woo", "reconcile", str(env.instance_id), "orders", "-"]
    result = runner.invoke(args=words, input=body)
    assert result.output == (f"missing {lost} (version 1)\n11 copies compared: 1 missing.\n")
    result = runner.invoke(args=[*words, "--json"], input=body)
    first, last = map(json.loads, result.output.splitlines())
    assert (first, last["compared"], last["counts"]["missing"]) == (row, 11, 1)
    result = runner.invoke(args=[*words, "--send"], input=body)
    assert result.output.endswith("To be sent again: 1 read.\n"), result.output
    assert env.arrivals() == {("orders", lost, "CREATED")}
    assert _post(env, "resource=orders&send=true", body).json["differences"] == [
        row | {"send": "recorded"}
    ]
    env.receiver.clear()
    assert env.delivered() == {("orders", lost, "CREATED")}
    shown = env.api.call("GET", f"{path}/checkpoint").json
    assert shown["instanceId"] == env.instance_id
    orders = next(one for one in shown["resources"] if one["resource"] == "orders")
    digests = sum(int(one["digest"], 16) for one in objects) % 2**256
    assert (orders["count"], int(orders["digest"], 16)) == (12, digests)
    assert orders["pollDate"] is not None
    assert runner.invoke(args=[*words, "--subscription", "1"]).exit_code == 2
    assert "line 1 is not JSON" in runner.invoke(args=words, input=b"x").output


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
#: Parameters, body, headers, status and a part of the message.
WRONG: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("resource=orders", b'{"objectId": 1}\n[[[[', {}, 400, "line 2 is not JSON in UTF-8"),
    ("resource=orders", b"a=b", FORM, 415, "application/x-ndjson"),
    ("resource=orders", b"x" * 5_000, {}, 400, "line 1 has more than 4,096 bytes"),
    ("", b"", {}, 400, "resource is missing"),
    ("resource=nonesuch", b"", {}, 400, "the instance polls"),
    ("resource=orders&sent=true", b"", {}, 400, "no parameter 'sent'"),
    ("resource=orders&send=1", b"", {}, 400, "send must be true or false"),
    ("resource=orders&after=-1", b"", {}, 400, "after must be a whole number"),
    ("resource=orders&after=50&until=3", b"", {}, 400, "until must be greater than after"),
    ("resource=orders&resource=products", b"", {}, 400, "resource is given more than once"),
    ("resource=orders&send=true&subscription=99", b"", {}, 404, "No subscription found"),
]
WRONG_PAGES = ["", "resource=x", *(f"resource=orders&{one}" for one in (
    "limit=0", "limit=10001", "limit=x", "cursor=x", "page=2"))]  # fmt: skip


def test_wrong_requests_are_refused(env: StoreToCallback) -> None:
    """The answers name what is wrong."""
    for query, body, headers, status, message in WRONG:
        answer = _post(env, query, body, **headers)
        assert answer.status_code == status, (query, answer.text)
        assert message in answer.json["message"]
    for query in WRONG_PAGES:
        answer = env.api.call("GET", f"/instances/{env.instance_id}/state?{query}")
        assert answer.status_code == 400, (query, answer.text)
    assert env.api.call("GET", f"/instances/{env.instance_id}/checkpoint?a=b").status_code == 400
    # Too large a body is refused before it is read.
    path = f"{PREFIX}/instances/{env.instance_id}/reconcile?resource=orders"
    size = {"CONTENT_LENGTH": "100000000"}
    answer = env.api.client.post(path, headers=env.api.headers | NDJSON, environ_overrides=size)
    assert answer.status_code == 413
    assert "after and until" in answer.text
