"""The queries of the pages, on each kind of database."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import re

import pytest
from sqlalchemy import orm

from flask_woo_events.console import (
    chart_data,
    instance_status,
    object_history,
    poll_progress,
    svg,
)
from flask_woo_events.console.chart_data import Hours
from flask_woo_events.console.formatting import number
from flask_woo_events.console.instance_status import InstanceFilter
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import (
    Attempt,
    Delivery,
    Instance,
    Notification,
    Poller,
    StoredEvent,
    Subscription,
    Usage,
)
from flask_woo_events.db.states import DeliveryStatus, EventType, PollerState
from flask_woo_events.delivery import redelivery
from flask_woo_events.delivery.redelivery import DeliverySelection
from flask_woo_events.events import search
from flask_woo_events.events.search import EventFilter
from flask_woo_events.instances import accounts
from flask_woo_events.instances.accounts import Caller
from flask_woo_events.instances.health import Health

NOW = dt.datetime(2026, 11, 23, 12, 30, tzinfo=dt.UTC)


def _ago(**time: float) -> dt.datetime:
    return NOW - dt.timedelta(**time)


class HistoryEnv:
    """Writes rows of instances, events and deliveries."""

    def __init__(self, session: orm.Session) -> None:
        self.session = session
        user = accounts.add_user(session, "ann", "acme", NOW)
        self.caller = Caller(organization_id=user.organization_id, user_id=user.user_id)
        self._count = 0

    def instance(self, name: str = "shop", **values: object) -> Instance:
        """Write an instance with a poller of orders and a callback."""
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
        """Write an event in a notification of its own."""
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
def history_env(any_database: Database) -> cabc.Iterator[HistoryEnv]:
    """Return the environment in a database of each kind."""
    with any_database.write() as session:
        yield HistoryEnv(session)


def _found(
    history_env: HistoryEnv, before: int | None = None, limit: int = 50, **choice: object
) -> list[int]:
    chosen = EventFilter(organization_id=history_env.caller.organization_id, **choice)  # type: ignore[arg-type]
    return [one.id for one in search.search(history_env.session, chosen, before, limit).entries]


def test_search_answers_each_filter(history_env: HistoryEnv) -> None:
    """Each filter returns the matching events, newest first."""
    shop, other = history_env.instance(), history_env.instance("other")
    one = history_env.event(shop, "1", at=_ago(hours=3), body='{"x": "Grüße"}'.encode())
    two = history_env.event(other, "2", at=_ago(hours=1), kind=EventType.DELETED)
    three = history_env.event(shop, "3", status=DeliveryStatus.QUEUED)
    four = history_env.event(shop, "4", status=None)
    assert _found(history_env) == [four.id, three.id, two.id, one.id]
    assert _found(history_env, instance_id=other.id) == [two.id]
    assert _found(history_env, resource="orders", object_id="3") == [three.id]
    assert _found(history_env, event_type="DELETED") == [two.id]
    assert _found(history_env, status="queued") == [three.id]
    assert _found(history_env, status="") == [four.id]
    assert _found(history_env, status="delivered") == [two.id, one.id]
    assert _found(history_env, text="GRÜSSE") == [one.id]
    assert _found(history_env, since=_ago(hours=2), until=_ago(minutes=30)) == [two.id]
    assert _found(history_env, notification_id=two.notification_id) == [two.id]


def test_search_pages_by_id(history_env: HistoryEnv) -> None:
    """A page returns where the next page begins; the last page returns None."""
    shop = history_env.instance()
    ids = [history_env.event(shop).id for _ in range(5)][::-1]
    chosen = EventFilter(organization_id=history_env.caller.organization_id)
    first = search.search(history_env.session, chosen, None, 3)
    assert [one.id for one in first.entries] == ids[:3] and first.before == ids[2]
    last = search.search(history_env.session, chosen, first.before, 3)
    assert [one.id for one in last.entries] == ids[3:] and last.before is None


@pytest.mark.parity(96)
def test_search_of_rare_things_ends(
    history_env: HistoryEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search stops after a number of events, says so, and can be continued."""
    monkeypatch.setattr(search, "EXAMINED", 4)
    monkeypatch.setattr(search, "EXAMINED_BODIES", 4)
    shop = history_env.instance()
    old = history_env.event(shop, kind=EventType.DELETED, body=b'"needle"')
    newer = [history_env.event(shop) for _ in range(4)]
    for choice in ({"event_type": "DELETED"}, {"text": "needle"}):
        chosen = EventFilter(instance_id=shop.id, **choice)  # type: ignore[arg-type]
        page = search.search(history_env.session, chosen, None, 50)
        assert (page.entries, page.before, page.examined) == ((), newer[0].id, 4)
        assert [
            one.id for one in search.search(history_env.session, chosen, page.before, 50).entries
        ] == [old.id]


def test_entry_has_the_reason_of_a_failure(history_env: HistoryEnv) -> None:
    """An undelivered event has the reason of its last attempt."""
    shop = history_env.instance()
    history_env.event(shop, status=DeliveryStatus.RETRY)
    history_env.event(shop)
    chosen = EventFilter(instance_id=shop.id)
    assert [one.error for one in search.search(history_env.session, chosen, None, 9).entries] == [
        "",
        "503 Down",
    ]


def test_charts_count_by_hour(history_env: HistoryEnv) -> None:
    """Events, latency and response times are counted by hour."""
    shop = history_env.instance()
    for hours, seconds in ((30, 9.0), (5, 1.0), (0, 2.0), (0, 4.0)):
        history_env.event(shop, at=_ago(hours=hours), seconds=seconds)
    history_env.session.add(
        Usage(instance_id=shop.id, hour=NOW.replace(minute=0), turns=1, requests=4, seconds=2.0)
    )
    history_env.session.flush()
    mine = instance_status.scope(history_env.caller)
    events = chart_data.events(history_env.session, Notification.instance_id.in_(mine), NOW)
    assert events.series["orders"][-1] == 2 and events.series["orders"][-6] == 1
    assert events.total == 3
    assert chart_data.events_of_each(history_env.session, [shop.id], NOW)[shop.id][-1] == 2
    latency = chart_data.latency(history_env.session, Subscription.instance_id.in_(mine), NOW)
    assert latency.series["average"][-1] == pytest.approx(3.0, abs=0.01)
    assert latency.series["slowest"][-1] == pytest.approx(4.0, abs=0.01)
    assert latency.series["average"][-2] is None
    answers = chart_data.answers(history_env.session, Usage.instance_id.in_(mine), NOW)
    assert answers.series["average"][-1] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("most", "labels"), [(1, ["0", "1", "2"]), (5, ["0", "3", "6"]), (29, ["0", "20", "40"])]
)
def test_axis_counts_in_whole_numbers(most: int, labels: list[str]) -> None:
    """A chart of counts has whole numbers on its axis, and its last label is not cut."""
    midnight = NOW.replace(hour=0)
    hours = Hours(begins=chart_data.begins(midnight), series={"orders": (*[0.0] * 23, float(most))})
    drawn = str(svg.bars(hours, "Events", number))
    assert re.findall(r'text-anchor="end">([\d,]+)<', drawn) == labels
    assert f'x="{svg.WIDTH}" y="164" text-anchor="end">00:00<' in drawn


def test_health_of_instances(history_env: HistoryEnv) -> None:
    """Each health has its instances, a reason and a filter."""
    session = history_env.session
    healthy = history_env.instance("healthy")
    paused = history_env.instance("paused", disabled=True)
    late = history_env.instance("late", next_poll_at=_ago(minutes=9))
    polled = history_env.instance(
        "polled", next_poll_at=_ago(minutes=9), lease_until=NOW + dt.timedelta(1)
    )
    failing, stopped, held, starting = (
        history_env.instance(name) for name in ("failing", "stopped", "held", "starting")
    )
    odd = {
        "code": "x",
        "resource": "orders",
        "text": "order 7 cannot be read",
        "costs": "",
        "ends": "",
    }
    degraded = history_env.instance("odd", problems=[odd | {"since": NOW.isoformat()}])
    session.query(Poller).filter_by(instance_id=failing.id).update({"error": "502", "failures": 3})
    session.query(Poller).filter_by(instance_id=starting.id).update({"state": "baseline"})
    session.query(Subscription).filter_by(instance_id=stopped.id).update(
        {"active": False, "reason": "410 Gone"}
    )
    session.query(Subscription).filter_by(instance_id=held.id).update(
        {"held_until": NOW + dt.timedelta(minutes=1), "failures": 7}
    )
    session.flush()
    counts = instance_status.counts(session, history_env.caller, NOW)
    assert counts == {
        Health.HEALTHY: 2,
        Health.STARTING: 1,
        Health.DEGRADED: 1,
        Health.LATE: 1,
        Health.FAILING: 3,
        Health.DISABLED: 1,
    }
    for health, rows in (
        (Health.HEALTHY, [healthy, polled]),
        (Health.STARTING, [starting]),
        (Health.DEGRADED, [degraded]),
        (Health.LATE, [late]),
        (Health.FAILING, [failing, stopped, held]),
        (Health.DISABLED, [paused]),
    ):
        found = instance_status.statuses(
            session, history_env.caller, InstanceFilter(health=health), NOW
        )
        assert [one.id for one in found] == [row.id for row in rows]
    reasons = {
        one.name: one.reason
        for one in instance_status.statuses(session, history_env.caller, InstanceFilter(), NOW)
    }
    assert reasons["odd"] == "orders: order 7 cannot be read"
    assert reasons["failing"] == "orders: 502"
    assert reasons["stopped"] == "Deliveries are stopped: 410 Gone"
    assert reasons["held"] == "Deliveries are stopped: the callback failed 7 times in a row"
    assert reasons["late"] == "Due for 9 minutes; no worker has polled it"
    assert reasons["healthy"] == ""
    assert [
        one.name for one in instance_status.needing_attention(session, history_env.caller, NOW, 2)
    ] == [
        "failing",
        "stopped",
    ]


def test_instances_are_found_by_name_and_tag(history_env: HistoryEnv) -> None:
    """Instances are found by a part of the name and by tag; LIKE wildcards are literal."""
    shop = history_env.instance("50% off_SHOP")
    history_env.instance("500 offers", tags=["europe"])
    for wanted in (
        InstanceFilter(search="% OFF_s"),
        InstanceFilter(tag="Ünïcode"),
        InstanceFilter(tag="eu"),
    ):
        found = instance_status.statuses(history_env.session, history_env.caller, wanted, NOW)
        assert [one.id for one in found] == [shop.id], wanted
    assert instance_status.tags(history_env.session, history_env.caller) == [
        "eu",
        "europe",
        "Ünïcode",
    ]


def test_idle_workers_are_noticed(history_env: HistoryEnv) -> None:
    """If an instance is due for minutes and no lease is held, no worker runs."""
    session, caller = history_env.session, history_env.caller
    shop = history_env.instance(next_poll_at=_ago(seconds=30))
    assert instance_status.idle_since(session, caller, NOW) is None
    shop.next_poll_at = _ago(minutes=7)
    session.flush()
    assert instance_status.idle_since(session, caller, NOW) == _ago(minutes=7)
    history_env.instance(lease_until=NOW + dt.timedelta(seconds=5))
    assert instance_status.idle_since(session, caller, NOW) is None


def test_freshness_counts_instances(history_env: HistoryEnv) -> None:
    """Instances are counted by the age of their oldest resource."""
    history_env.instance()
    old = history_env.instance()
    history_env.session.query(Poller).filter_by(instance_id=old.id).update(
        {"polled_at": _ago(hours=3)}
    )
    fresh = history_env.instance(disabled=True)
    history_env.session.query(Poller).filter_by(instance_id=fresh.id).update({"polled_at": None})
    never = history_env.instance()
    history_env.session.query(Poller).filter_by(instance_id=never.id).update({"polled_at": None})
    found = dict(poll_progress.freshness(history_env.session, history_env.caller, NOW))
    assert found == {"up to 15 min": 1, "up to 1 h": 0, "up to 6 h": 1, "up to 24 h": 0,
                     "longer": 0, "never": 1}  # fmt: skip


def test_baseline_counts_as_complete_poll(history_env: HistoryEnv) -> None:
    """A baseline counts as a complete poll, also for resources without dates."""
    shop = history_env.instance()
    pollers = history_env.session.query(Poller).filter_by(instance_id=shop.id)
    pollers.update({"polled_at": None, "baseline_at": _ago(minutes=30), "state": "baseline"})
    assert dict(poll_progress.freshness(history_env.session, history_env.caller, NOW))["never"] == 1
    pollers.update({"state": "active"})
    assert (
        dict(poll_progress.freshness(history_env.session, history_env.caller, NOW))["up to 1 h"]
        == 1
    )
    assert instance_status.status(
        history_env.session, history_env.caller, shop.id, NOW
    ).polled_at == _ago(minutes=30)


def test_journal_keeps_a_store_fresh(history_env: HistoryEnv) -> None:
    """A resource that the journal covers is as fresh as the last regular poll."""
    shop = history_env.instance(regular_poll_at=NOW + dt.timedelta(minutes=10))
    pollers = history_env.session.query(Poller).filter_by(instance_id=shop.id)
    pollers.update({"polled_at": _ago(hours=9)})
    assert (
        dict(poll_progress.freshness(history_env.session, history_env.caller, NOW))["up to 24 h"]
        == 1
    )
    covered = [poller.id for poller in pollers]
    shop.journal = {"state": "following", "covered": covered[:-1]}
    history_env.session.flush()
    assert (
        dict(poll_progress.freshness(history_env.session, history_env.caller, NOW))["up to 24 h"]
        == 1
    )
    shop.journal = {"state": "following", "covered": covered}
    history_env.session.flush()
    glance = instance_status.status(history_env.session, history_env.caller, shop.id, NOW)
    assert glance.polled_at == _ago(minutes=5) and glance.lag == dt.timedelta()
    assert (
        dict(poll_progress.freshness(history_env.session, history_env.caller, NOW))["up to 15 min"]
        == 1
    )


def test_lag_is_what_a_poll_is_behind(history_env: HistoryEnv) -> None:
    """The lag is the age of the last complete poll beyond the interval."""
    shop = history_env.instance(refresh_minutes=15)
    pollers = history_env.session.query(Poller).filter_by(instance_id=shop.id)
    for minutes, late in ((14, 0), (16, 0), (75, 60)):
        pollers.update({"polled_at": _ago(minutes=minutes)})
        lag = instance_status.status(history_env.session, history_env.caller, shop.id, NOW).lag
        assert lag == dt.timedelta(minutes=late)
    shop.refresh_minutes = 0
    history_env.session.flush()
    assert instance_status.status(history_env.session, history_env.caller, shop.id, NOW).lag is None


def test_history_compares_versions(history_env: HistoryEnv) -> None:
    """The history has the versions of an object, newest first, with their differences."""
    shop = history_env.instance()
    history_env.event(shop, body=b'{"id":7,"a":{"b":[1,2]},"gone":1}', version=2)
    history_env.event(shop, body=b'{"id":7,"a":{"b":[1,3]},"new":null}', version=3)
    deleted = history_env.event(shop, kind=EventType.DELETED, version=4)
    again = history_env.event(shop, kind=EventType.CREATED, version=5)
    history_env.event(shop, "8", version=3)
    found = object_history.versions(history_env.session, shop.id, "orders", "7")
    assert [one.entry.version for one in found] == [5, 4, 3, 2]
    assert found[3].differences is None and found[0].differences is None
    assert found[2].differences is not None
    changes = {one.path: (one.before, one.after) for one in found[2].differences.each}
    assert changes == {"a.b": ([1, 2], [1, 3]), "new": (None, None), "gone": (1, None)}
    assert object_history.previous(history_env.session, again.id) is None
    assert object_history.previous(history_env.session, deleted.id) is not None
    assert object_history.versions(history_env.session, shop.id + 1, "orders", "7") == ()


def test_backlogs_count_undelivered_notifications(history_env: HistoryEnv) -> None:
    """Backlogs count undelivered notifications by status, for subscriptions that have any."""
    shop = history_env.instance()
    history_env.event(history_env.instance("fine"))
    for status in (DeliveryStatus.QUEUED, DeliveryStatus.QUEUED, DeliveryStatus.RETRY):
        history_env.event(shop, status=status, at=_ago(hours=1))
    stopped = history_env.instance("stopped")
    history_env.session.query(Subscription).filter_by(instance_id=stopped.id).update(
        {"active": False}
    )
    backlog, idle = redelivery.backlogs(history_env.session, history_env.caller.organization_id)
    assert idle.subscription.instance_id == stopped.id and idle.oldest_at is None
    history_env.session.query(Subscription).filter_by(instance_id=stopped.id).update(
        {"active": True}
    )
    assert (backlog.queued, backlog.retry, backlog.created) == (2, 1, 0)
    assert backlog.oldest_at == _ago(hours=1)
    assert backlog.subscription.instance_id == shop.id
    wanted = DeliverySelection(organization_id=history_env.caller.organization_id)
    assert redelivery.redeliver(history_env.session, wanted, NOW) == 3
    [backlog] = redelivery.backlogs(history_env.session, history_env.caller.organization_id)
    assert (backlog.queued, backlog.retry, backlog.created) == (0, 0, 3)
