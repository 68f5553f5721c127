"""Retention: old delivered notifications are deleted, in small transactions."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Connection, Delivery, Notification, Subscription, Usage
from ..db.states import UNSETTLED
from ..events import delivery_states
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
        with runtime.database.write() as session:
            ids, after = _oldest(session, before, after)
            if ids:
                session.execute(sa.delete(Notification).where(Notification.id.in_(ids)))
        purged.notifications += len(ids)
        if not after:
            break
    with runtime.database.write() as session:
        deleted = session.execute(sa.delete(Usage).where(Usage.hour < before))
        purged.usage = max(getattr(deleted, "rowcount", 0), 0)
        session.execute(sa.delete(Connection).where(Connection.expires_at < before))
    return purged


def _oldest(session: orm.Session, before: dt.datetime, after: int) -> tuple[list[int], int]:
    """Return ids to delete among the next old notifications, and where to go on; 0 at the end.

    The subscriptions of their instances are locked: nobody replays them until the commit.
    """
    found = session.execute(
        sa.select(Notification.id, Notification.instance_id)
        .where(Notification.created_at < before, Notification.id > after)
        .order_by(Notification.id)
        .limit(AT_ONCE)
    ).all()
    if not found:
        return [], 0
    rows = [row.id for row in found]
    instances = {row.instance_id for row in found}
    numbers = session.scalars(
        sa.select(Subscription.id).where(Subscription.instance_id.in_(instances))
    ).all()
    delivery_states.lock_subscriptions(session, Subscription.id.in_(numbers))
    unsettled = set(
        session.scalars(
            sa.select(Delivery.notification_id).where(
                Delivery.notification_id.in_(rows), Delivery.status.in_(UNSETTLED)
            )
        )
    )
    return [one for one in rows if one not in unsettled], rows[-1]
