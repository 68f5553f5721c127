"""Retention: old delivered notifications are deleted, in small transactions."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Connection, Delivery, Notification, Subscription, Usage
from ..db.states import UNSETTLED
from ..events import delivery_states, feed_positions
from ..runtime import Runtime

#: Notifications of one transaction: other processes write between two of them.
AT_ONCE = 200


@dataclasses.dataclass(kw_only=True)
class Purged:
    """How many rows were deleted."""

    notifications: int = 0
    usage: int = 0


def purge(runtime: Runtime, stopped: cabc.Callable[[], bool] = lambda: False) -> Purged:
    """Delete notifications that are older than ``WOO_EVENTS_RETENTION_DAYS``, with their events.

    Notifications that are not delivered yet are kept, however old they are. Old hours of usage
    and expired connections are deleted, too.

    :param stopped: called between two commits; true ends the purge.
    """
    purged = Purged()
    now = runtime.clock()
    before = now - dt.timedelta(days=runtime.settings.retention_days)
    after = 0
    while not stopped():
        found = _next(runtime, before, after)
        if not found:
            break
        after = max(found)
        with runtime.database.write() as session:
            ids = _settled(session, found)
            feed_positions.record_purge(session, ids)
            session.execute(sa.delete(Notification).where(Notification.id.in_(ids)))
        purged.notifications += len(ids)
    with runtime.database.write() as session:
        deleted = session.execute(sa.delete(Usage).where(Usage.hour < before))
        purged.usage = max(getattr(deleted, "rowcount", 0), 0)
        session.execute(sa.delete(Connection).where(Connection.expires_at < before))
    return purged


def _next(runtime: Runtime, before: dt.datetime, after: int) -> dict[int, int]:
    """Return the next old notifications, each with its instance, whose feeds can record it."""

    def work(session: orm.Session) -> dict[int, int]:
        rows = session.execute(
            sa.select(Notification.id, Notification.instance_id)
            .where(Notification.created_at < before, Notification.id > after)
            .order_by(Notification.id)
            .limit(AT_ONCE)
        )
        found = {number: instance_id for number, instance_id in rows}
        feed_positions.prepare_purge(session, set(found.values()))
        return found

    try:
        return runtime.database.transact(work)
    except sa.exc.IntegrityError:
        return runtime.database.transact(work)  # Another process has just added one.


def _settled(session: orm.Session, found: dict[int, int]) -> list[int]:
    """Return the notifications to delete, those that are delivered.

    The feeds and subscriptions of their instances are locked: nobody replays them until the commit.

    :param found: notifications, each with its instance.
    """
    instances = set(found.values())
    feed_positions.lock_for_purge(session, instances)
    numbers = session.scalars(
        sa.select(Subscription.id).where(Subscription.instance_id.in_(instances))
    ).all()
    delivery_states.lock_subscriptions(session, Subscription.id.in_(numbers))
    unsettled = set(
        session.scalars(
            sa.select(Delivery.notification_id).where(
                Delivery.notification_id.in_(list(found)), Delivery.status.in_(UNSETTLED)
            )
        )
    )
    return [one for one in found if one not in unsettled]
