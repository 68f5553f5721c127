"""The queries behind the pages, on each kind of database."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import re

import pytest
from sqlalchemy import orm

from flask_woo_events.console import chart_data, instance_status, object_history, svg
from flask_woo_events.console.chart_data import Hours
from flask_woo_events.console.formatting import number
from flask_woo_events.console.instance_status import Health, InstanceFilter
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import (
    Attempt,
    Delivery,
    DeliveryStatus,
    EventType,
    Instance,
    Notification,
    Poller,
    PollerState,
    StoredEvent,
    Subscription,
    Usage,
)
from flask_woo_events.delivery import redelivery
from flask_woo_events.delivery.redelivery import DeliverySelection
from flask_woo_events.events import search
from flask_woo_events.events.search import EventFilter
from flask_woo_events.instances import accounts
from flask_woo_events.instances.accounts import Caller

NOW = dt.datetime(2026, 11, 23, 12, 30, tzinfo=dt.UTC)


def _ago(**time: float) -> dt.datetime:
    return NOW - dt.timedelta(**time)


class Books:
    """Writes rows as if things had happened."""

    def __init__(self, session: orm.Session) -> None:
        self.session = session
        user = accounts.add_user(session, "ann", "acme", NOW)
        self.caller = Caller(organization_id=user.organization_id, user_id=user.user_id)
        self._count = 0

    def instance(self, name: str = "shop", **values: object) -> Instance:
        """An instance with a poller of orders and a callback."""
        self._count += 1
        row = Instance(
            organization_id=self.caller.organization_id,
            user_id=self.caller.user_id,
            name=name,
            token_hash=f"{self._count:064}",
            tags=["eu", "Ünïcode"],
            vendor_type="polling",
            events_enabled=True,
            refresh_minutes=15,
            created_at=NOW,
            store_facts={},
            next_poll_at=NOW + dt.timedelta(minutes=5),
        )
        for key, value in values.items():
            setattr(row, key, value)
        self.session.add(row)
        self.session.flush()
        self.session.add(
            Poller(
                instance_id=row.id,
                resource="orders",
                configuration={"url": "/orders"},
                state=PollerState.ACTIVE,
                polled_at=_ago(minutes=10),
                created_at=NOW,
            )
        )
        self.session.add(
            Subscription(instance_id=row.id, url="https://a.test", created_at=_ago(days=2))
        )
        self.session.flush()
        return row

    def event(
        self,
        instance: Instance,
        object_id: str = "7",
        *,
        at: dt.datetime = NOW,
        kind: EventType = EventType.UPDATED,
        status: DeliveryStatus | None = DeliveryStatus.DELIVERED,
        body: bytes = b"{}",
        version: int = 1,
        seconds: float = 2.0,
    ) -> StoredEvent:
        """An event in a notification of its own."""
        poller = self.session.query(Poller).filter_by(instance_id=instance.id).one()
        to = self.session.query(Subscription).filter_by(instance_id=instance.id).first()
        self._count += 1
        notification = Notification(
            instance_id=instance.id,
            poller_id=poller.id,
            event_id=f"{self._count:020}",
            resource="orders",
            poll_date=at,
            size=1,
            created_at=at,
        )
        self.session.add(notification)
        self.session.flush()
        event = StoredEvent(
            instance_id=instance.id,
            poller_id=poller.id,
            notification_id=notification.id,
            resource="orders",
            object_id=object_id,
            version=version,
            event_type=kind,
            date=at,
            source="poll",
            body=body,
            created_at=at,
        )
        self.session.add(event)
        if status is not None and to is not None:
            delivery = Delivery(
                notification_id=notification.id,
                subscription_id=to.id,
                status=status,
                created_at=at,
                updated_at=at + dt.timedelta(seconds=seconds),
            )
            self.session.add(delivery)
            self.session.flush()
            reason = "200 OK" if status == DeliveryStatus.DELIVERED else "503 Down"
            self.session.add(
                Attempt(delivery_id=delivery.id, at=at, seconds=0.1, reason=reason, answer="")
            )
        self.session.flush()
        return event


@pytest.fixture
def books(any_database: Database) -> cabc.Iterator[Books]:
    """Books in a database of each kind."""
    with any_database.write() as session:
        yield Books(session)


def _found(books: Books, before: int | None = None, limit: int = 50, **choice: object) -> list[int]:
    chosen = EventFilter(organization_id=books.caller.organization_id, **choice)  # type: ignore[arg-type]
    return [one.id for one in search.search(books.session, chosen, before, limit).entries]


def test_search_answers_each_filter(books: Books) -> None:
    """Each filter leaves what it names, the newest first."""
    shop, other = books.instance(), books.instance("other")
    one = books.event(shop, "1", at=_ago(hours=3), body='{"x": "Grüße"}'.encode())
    two = books.event(other, "2", at=_ago(hours=1), kind=EventType.DELETED)
    three = books.event(shop, "3", status=DeliveryStatus.QUEUED)
    four = books.event(shop, "4", status=None)
    assert _found(books) == [four.id, three.id, two.id, one.id]
    assert _found(books, instance_id=other.id) == [two.id]
    assert _found(books, resource="orders", object_id="3") == [three.id]
    assert _found(books, event_type="DELETED") == [two.id]
    assert _found(books, status="queued") == [three.id]
    assert _found(books, status="") == [four.id]
    assert _found(books, status="delivered") == [two.id, one.id]
    assert _found(books, text="GRÜSSE") == [one.id]
    assert _found(books, since=_ago(hours=2), until=_ago(minutes=30)) == [two.id]
    assert _found(books, notification_id=two.notification_id) == [two.id]


def test_search_pages_by_id(books: Books) -> None:
    """A page says where the next one begins, the last one that it is the last."""
    shop = books.instance()
    ids = [books.event(shop).id for _ in range(5)][::-1]
    chosen = EventFilter(organization_id=books.caller.organization_id)
    first = search.search(books.session, chosen, None, 3)
    assert [one.id for one in first.entries] == ids[:3] and first.before == ids[2]
    last = search.search(books.session, chosen, first.before, 3)
    assert [one.id for one in last.entries] == ids[3:] and last.before is None


@pytest.mark.parity(96)
def test_search_of_rare_things_ends(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search stops after so many events, says so, and can be taken up below them."""
    monkeypatch.setattr(search, "EXAMINED", 4)
    monkeypatch.setattr(search, "EXAMINED_BODIES", 4)
    shop = books.instance()
    old = books.event(shop, kind=EventType.DELETED, body=b'"needle"')
    newer = [books.event(shop) for _ in range(4)]
    for choice in ({"event_type": "DELETED"}, {"text": "needle"}):
        chosen = EventFilter(instance_id=shop.id, **choice)  # type: ignore[arg-type]
        page = search.search(books.session, chosen, None, 50)
        assert (page.entries, page.before, page.examined) == ((), newer[0].id, 4)
        assert [
            one.id for one in search.search(books.session, chosen, page.before, 50).entries
        ] == [old.id]


def test_entry_says_why_it_is_not_delivered(books: Books) -> None:
    """The reason of the last attempt stands at what is not delivered."""
    shop = books.instance()
    books.event(shop, status=DeliveryStatus.RETRY)
    books.event(shop)
    chosen = EventFilter(instance_id=shop.id)
    assert [one.error for one in search.search(books.session, chosen, None, 9).entries] == [
        "",
        "503 Down",
    ]


def test_charts_count_by_hour(books: Books) -> None:
    """Events, latency and the store's answers stand in the hour in which they were."""
    shop = books.instance()
    for hours, seconds in ((30, 9.0), (5, 1.0), (0, 2.0), (0, 4.0)):
        books.event(shop, at=_ago(hours=hours), seconds=seconds)
    books.session.add(
        Usage(instance_id=shop.id, hour=NOW.replace(minute=0), turns=1, requests=4, seconds=2.0)
    )
    books.session.flush()
    mine = instance_status.scope(books.caller)
    events = chart_data.events(books.session, Notification.instance_id.in_(mine), NOW)
    assert events.series["orders"][-1] == 2 and events.series["orders"][-6] == 1
    assert events.total == 3
    assert chart_data.events_of_each(books.session, [shop.id], NOW)[shop.id][-1] == 2
    latency = chart_data.latency(books.session, Subscription.instance_id.in_(mine), NOW)
    assert latency.series["average"][-1] == pytest.approx(3.0, abs=0.01)
    assert latency.series["slowest"][-1] == pytest.approx(4.0, abs=0.01)
    assert latency.series["average"][-2] is None
    answers = chart_data.answers(books.session, Usage.instance_id.in_(mine), NOW)
    assert answers.series["average"][-1] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("most", "labels"), [(1, ["0", "1", "2"]), (5, ["0", "3", "6"]), (29, ["0", "20", "40"])]
)
def test_axis_counts_in_whole_numbers(most: int, labels: list[str]) -> None:
    """The lines of a chart of counts are counts, and the words of the last hour are not cut."""
    midnight = NOW.replace(hour=0)
    hours = Hours(begins=chart_data.begins(midnight), series={"orders": (*[0.0] * 23, float(most))})
    drawn = str(svg.bars(hours, "Events", number))
    assert re.findall(r'text-anchor="end">([\d,]+)<', drawn) == labels
    assert f'x="{svg.WIDTH}" y="164" text-anchor="end">00:00<' in drawn


def test_health_is_told_apart(books: Books) -> None:
    """Each state has its instances, the reason, and a filter."""
    session = books.session
    healthy = books.instance("healthy")
    paused = books.instance("paused", disabled=True)
    late = books.instance("late", next_poll_at=_ago(minutes=9))
    polled = books.instance(
        "polled", next_poll_at=_ago(minutes=9), lease_until=NOW + dt.timedelta(1)
    )
    failing, stopped, held, starting = (
        books.instance(name) for name in ("failing", "stopped", "held", "starting")
    )
    session.query(Poller).filter_by(instance_id=failing.id).update({"error": "502", "failures": 3})
    session.query(Poller).filter_by(instance_id=starting.id).update({"state": "baseline"})
    session.query(Subscription).filter_by(instance_id=stopped.id).update(
        {"active": False, "reason": "410 Gone"}
    )
    session.query(Subscription).filter_by(instance_id=held.id).update(
        {"held_until": NOW + dt.timedelta(minutes=1), "failures": 7}
    )
    session.flush()
    counts = instance_status.counts(session, books.caller, NOW)
    assert counts == {
        Health.HEALTHY: 2,
        Health.STARTING: 1,
        Health.LATE: 1,
        Health.FAILING: 3,
        Health.DISABLED: 1,
    }
    for health, rows in (
        (Health.HEALTHY, [healthy, polled]),
        (Health.STARTING, [starting]),
        (Health.LATE, [late]),
        (Health.FAILING, [failing, stopped, held]),
        (Health.DISABLED, [paused]),
    ):
        found = instance_status.glances(session, books.caller, InstanceFilter(health=health), NOW)
        assert [one.id for one in found] == [row.id for row in rows]
    whys = {
        one.name: one.why
        for one in instance_status.glances(session, books.caller, InstanceFilter(), NOW)
    }
    assert whys["failing"] == "orders: 502"
    assert whys["stopped"] == "Deliveries wait: 410 Gone"
    assert whys["held"] == "Deliveries wait: the callback failed 7 times in a row"
    assert whys["late"] == "Due for 9 minutes and not polled"
    assert whys["healthy"] == ""
    assert [one.name for one in instance_status.troubled(session, books.caller, NOW, 2)] == [
        "failing",
        "stopped",
    ]


def test_instances_are_found_by_name_and_tag(books: Books) -> None:
    """A part of a name in any case, and a whole tag, with the signs that LIKE knows."""
    shop = books.instance("50% off_SHOP")
    books.instance("500 offers", tags=["europe"])
    for wanted in (
        InstanceFilter(search="% OFF_s"),
        InstanceFilter(tag="Ünïcode"),
        InstanceFilter(tag="eu"),
    ):
        found = instance_status.glances(books.session, books.caller, wanted, NOW)
        assert [one.id for one in found] == [shop.id], wanted
    assert instance_status.tags(books.session, books.caller) == ["eu", "europe", "Ünïcode"]


def test_idle_workers_are_noticed(books: Books) -> None:
    """What is due for minutes while nobody works means that no worker runs."""
    session, caller = books.session, books.caller
    shop = books.instance(next_poll_at=_ago(seconds=30))
    assert instance_status.idle_since(session, caller, NOW) is None
    shop.next_poll_at = _ago(minutes=7)
    session.flush()
    assert instance_status.idle_since(session, caller, NOW) == _ago(minutes=7)
    books.instance(lease_until=NOW + dt.timedelta(seconds=5))
    assert instance_status.idle_since(session, caller, NOW) is None


def test_freshness_counts_instances(books: Books) -> None:
    """Instances are counted by the age of the oldest of their resources."""
    books.instance()
    old = books.instance()
    books.session.query(Poller).filter_by(instance_id=old.id).update({"polled_at": _ago(hours=3)})
    fresh = books.instance(disabled=True)
    books.session.query(Poller).filter_by(instance_id=fresh.id).update({"polled_at": None})
    never = books.instance()
    books.session.query(Poller).filter_by(instance_id=never.id).update({"polled_at": None})
    found = dict(instance_status.freshness(books.session, books.caller, NOW))
    assert found == {"up to 15 min": 1, "up to 1 h": 0, "up to 6 h": 1, "up to 24 h": 0,
                     "longer": 0, "never": 1}  # fmt: skip


def test_first_reading_is_a_complete_one(books: Books) -> None:
    """After its first reading a store is as fresh as that, also where nothing has dates."""
    shop = books.instance()
    pollers = books.session.query(Poller).filter_by(instance_id=shop.id)
    pollers.update({"polled_at": None, "baseline_at": _ago(minutes=30), "state": "baseline"})
    assert dict(instance_status.freshness(books.session, books.caller, NOW))["never"] == 1
    pollers.update({"state": "active"})
    assert dict(instance_status.freshness(books.session, books.caller, NOW))["up to 1 h"] == 1
    assert instance_status.glance(books.session, books.caller, shop.id, NOW).polled_at == _ago(
        minutes=30
    )


def test_journal_keeps_a_store_fresh(books: Books) -> None:
    """What the journal covers is as new as the last turn, though no poll of it is needed."""
    shop = books.instance(regular_poll_at=NOW + dt.timedelta(minutes=10))
    pollers = books.session.query(Poller).filter_by(instance_id=shop.id)
    pollers.update({"polled_at": _ago(hours=9)})
    assert dict(instance_status.freshness(books.session, books.caller, NOW))["up to 24 h"] == 1
    covered = [poller.id for poller in pollers]
    shop.journal = {"state": "following", "covered": covered[:-1]}
    books.session.flush()
    assert dict(instance_status.freshness(books.session, books.caller, NOW))["up to 24 h"] == 1
    shop.journal = {"state": "following", "covered": covered}
    books.session.flush()
    glance = instance_status.glance(books.session, books.caller, shop.id, NOW)
    assert glance.polled_at == _ago(minutes=5) and glance.lag == dt.timedelta()
    assert dict(instance_status.freshness(books.session, books.caller, NOW))["up to 15 min"] == 1


def test_lag_is_what_a_poll_is_behind(books: Books) -> None:
    """A store is behind once its last complete poll is older than its interval."""
    shop = books.instance(refresh_minutes=15)
    pollers = books.session.query(Poller).filter_by(instance_id=shop.id)
    for minutes, late in ((14, 0), (16, 0), (75, 60)):
        pollers.update({"polled_at": _ago(minutes=minutes)})
        lag = instance_status.glance(books.session, books.caller, shop.id, NOW).lag
        assert lag == dt.timedelta(minutes=late)
    shop.refresh_minutes = 0
    books.session.flush()
    assert instance_status.glance(books.session, books.caller, shop.id, NOW).lag is None


def test_history_tells_versions_apart(books: Books) -> None:
    """The versions of an object, the newest first, each with what differs from the one before."""
    shop = books.instance()
    books.event(shop, body=b'{"id":7,"a":{"b":[1,2]},"gone":1}', version=2)
    books.event(shop, body=b'{"id":7,"a":{"b":[1,3]},"new":null}', version=3)
    deleted = books.event(shop, kind=EventType.DELETED, version=4)
    again = books.event(shop, kind=EventType.CREATED, version=5)
    books.event(shop, "8", version=3)
    found = object_history.versions(books.session, shop.id, "orders", "7")
    assert [one.entry.version for one in found] == [5, 4, 3, 2]
    assert found[3].differences is None and found[0].differences is None
    assert found[2].differences is not None
    told = {one.path: (one.before, one.after) for one in found[2].differences}
    assert told == {"a.b[1]": (2, 3), "new": (None, None), "gone": (1, None)}
    assert object_history.previous(books.session, again.id) is None
    assert object_history.previous(books.session, deleted.id) is not None
    assert object_history.versions(books.session, shop.id + 1, "orders", "7") == ()


def test_backlogs_say_what_waits(books: Books) -> None:
    """Subscriptions with anything waiting are counted by state; those without are left out."""
    shop = books.instance()
    books.event(books.instance("fine"))
    for status in (DeliveryStatus.QUEUED, DeliveryStatus.QUEUED, DeliveryStatus.RETRY):
        books.event(shop, status=status, at=_ago(hours=1))
    stopped = books.instance("stopped")
    books.session.query(Subscription).filter_by(instance_id=stopped.id).update({"active": False})
    backlog, idle = redelivery.backlogs(books.session, books.caller.organization_id)
    assert idle.subscription.instance_id == stopped.id and idle.oldest_at is None
    books.session.query(Subscription).filter_by(instance_id=stopped.id).update({"active": True})
    assert (backlog.queued, backlog.retry, backlog.created) == (2, 1, 0)
    assert backlog.oldest_at == _ago(hours=1)
    assert backlog.subscription.instance_id == shop.id
    wanted = DeliverySelection(organization_id=books.caller.organization_id)
    assert redelivery.redeliver(books.session, wanted, NOW) == 3
    [backlog] = redelivery.backlogs(books.session, books.caller.organization_id)
    assert (backlog.queued, backlog.retry, backlog.created) == (0, 0, 3)
