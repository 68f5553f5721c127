"""Subscriptions: where the notifications of an instance go."""

from __future__ import annotations

import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import UNSETTLED, Channel, Delivery, DeliveryStatus, Instance, Subscription
from ..events import outbox


def synchronize(
    session: orm.Session, instance: Instance, callback_url: str, now: dt.datetime
) -> None:
    """One current subscription for the callback URL; what waits moves to a new one with it."""
    earlier = session.scalars(
        sa.select(Subscription)
        .where(Subscription.instance_id == instance.id, Subscription.channel == Channel.WEBHOOK)
        .order_by(Subscription.id)
        .with_for_update()
    ).all()
    current = next((one for one in earlier if one.current), None)
    if current is not None and current.url == callback_url:
        return
    if current is not None:
        current.current, current.next_due_at = False, None
    waiting: dict[str, t.Any] = {"status": DeliveryStatus.QUEUED.value, "due_at": None}
    if callback_url:
        fresh = Subscription(
            instance_id=instance.id,
            url=callback_url,
            active=True,
            current=True,
            created_at=now,
        )
        session.add(fresh)
        session.flush()
        outbox.wake(session, [fresh], now)
        waiting = {
            "subscription_id": fresh.id,
            "status": DeliveryStatus.CREATED.value,
            "due_at": now,
            "attempts": 0,
            "first_failed_at": None,
        }
    session.execute(
        sa.update(Delivery)
        .where(
            Delivery.subscription_id.in_([one.id for one in earlier]),
            Delivery.status.in_(UNSETTLED),
        )
        # Who is delivering to the old URL at this moment loses the lease.
        .values(**waiting, lease_token=None, lease_until=None, updated_at=now)
        .execution_options(synchronize_session=False)
    )
