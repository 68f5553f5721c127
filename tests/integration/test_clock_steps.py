"""A clock that was hours ahead and comes back: what was written meanwhile is due in time."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa

from flask_woo_events.db.clock import utc_now
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Delivery, Instance, Notification, Poller, Subscription
from flask_woo_events.db.presence import Presence
from flask_woo_events.db.states import DeliveryStatus
from flask_woo_events.sync.instance_poll import due_instances
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of
from tests.integration.ledger_env import build
from tests.integration.store_to_callback import StoreToCallback

HOUR = dt.timedelta(hours=1)
JUMP = 3 * HOUR


def test_an_installation_goes_on(env: StoreToCallback) -> None:
    """Polls and retries happen after their intervals, not after the jump."""
    runtime, begin = runtime_of(env.app), utc_now()
    now = [begin]
    runtime.clock = lambda: now[0]
    presence = Presence(runtime.database, runtime.clock)
    presence.renew()
    now[0] = begin + JUMP
    presence.renew()
    env.receiver.answer = lambda _received: 503
    env.store.acts.status(env.first("orders"), "completed")
    worker = Worker(runtime)
    worker.poll_once(due_instances(runtime))
    assert worker.deliver_once().failed > 0
    env.receiver.answer = lambda _received: 200
    now[0] = begin + dt.timedelta(seconds=10)
    presence.renew()
    with runtime.database.read() as session:
        instance = session.scalars(sa.select(Instance)).one()
        assert instance.next_poll_at is not None
        assert instance.next_poll_at <= now[0] + dt.timedelta(minutes=instance.refresh_minutes)
    assert worker.deliver_once().delivered == 0, "the schedule of the retry is kept"
    now[0] += dt.timedelta(minutes=instance.refresh_minutes)
    assert due_instances(runtime) == [instance.id]
    assert worker.deliver_once().delivered > 0


def test_every_due_time_follows_the_clock(any_database: Database) -> None:
    """Leases and holds end, and what was due before the step is not due later."""
    now = utc_now()
    ahead = now + JUMP
    stream = build(any_database).stream
    with any_database.write() as session:
        instance = session.get_one(Instance, stream.instance_id)
        instance.refresh_minutes = 120
        instance.next_poll_at = instance.regular_poll_at = ahead + HOUR
        instance.lease_until = ahead + dt.timedelta(seconds=7)
        instance.hooks_due_at = now + dt.timedelta(minutes=5)
        poller = session.get_one(Poller, stream.poller_id)
        poller.retry_at = ahead + 2 * HOUR
        subscription = session.scalars(sa.select(Subscription)).one()
        subscription.held_until = subscription.next_due_at = ahead + HOUR / 12
        subscription.failing_since = ahead
        notification = Notification(
            instance_id=instance.id, poller_id=poller.id, event_id="x" * 20, resource="orders",
            poll_date=now, size=1, created_at=ahead,
        )  # fmt: skip
        session.add(notification)
        session.flush()
        delivery = Delivery(
            notification_id=notification.id, subscription_id=subscription.id,
            status=DeliveryStatus.RETRY, attempts=1, due_at=ahead + 5 * HOUR,
            first_failed_at=ahead, created_at=ahead, updated_at=ahead,
        )  # fmt: skip
        session.add(delivery)
    Presence(any_database, lambda: ahead).renew()
    Presence(any_database, lambda: now).renew()
    with any_database.read() as session:
        instance = session.get_one(Instance, stream.instance_id)
        assert instance.next_poll_at == instance.regular_poll_at == now + HOUR
        assert instance.lease_until == now + dt.timedelta(seconds=7)
        assert instance.hooks_due_at == now
        assert session.get_one(Poller, stream.poller_id).retry_at == now + 2 * HOUR
        subscription = session.scalars(sa.select(Subscription)).one()
        assert subscription.held_until == subscription.next_due_at == now + HOUR / 12
        assert subscription.failing_since == now
        delivery = session.scalars(sa.select(Delivery)).one()
        assert delivery.due_at == now + 5 * HOUR
        assert delivery.first_failed_at == now
    before = delivery.due_at
    Presence(any_database, lambda: now + dt.timedelta(seconds=5)).renew()
    with any_database.read() as session:
        assert session.scalars(sa.select(Delivery.due_at)).one() == before, "once"


def test_a_jump_while_no_worker_ran(any_database: Database) -> None:
    """A worker that starts finds instances whose next poll is beyond their interval."""
    now = utc_now()
    instance_id = build(any_database).stream.instance_id
    due = sa.select(Instance.next_poll_at)
    for later, expected in ((JUMP, now), (dt.timedelta(minutes=5), now + dt.timedelta(minutes=5))):
        with any_database.write() as session:
            instance = session.get_one(Instance, instance_id)
            instance.refresh_minutes, instance.next_poll_at = 15, now + later
        Presence(any_database, lambda: now).renew()
        with any_database.read() as session:
            assert session.scalars(due).one() == expected
