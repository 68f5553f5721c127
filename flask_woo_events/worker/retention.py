"""Retention: what has been told long enough ago is deleted, a little at a time."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import UNSETTLED, Connection, Delivery, Notification, Usage
from ..runtime import Runtime

#: Notifications of one transaction: others write between two of them.
AT_ONCE = 200


@dataclasses.dataclass(kw_only=True)
class Purged:
    """What was deleted."""

    notifications: int = 0
    usage: int = 0


def purge(runtime: Runtime, stopped: cabc.Callable[[], bool] = lambda: False) -> Purged:
    """Delete notifications that are older than ``WOO_EVENTS_RETENTION_DAYS``, with their events.

    What has not arrived yet is kept, however old: it is the only copy of what happened.

    :param stopped: asked between two commits.
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
        gone = session.execute(sa.delete(Usage).where(Usage.hour < before))
        purged.usage = max(getattr(gone, "rowcount", 0), 0)
        session.execute(sa.delete(Connection).where(Connection.expires_at < before))
    return purged


def _oldest(session: orm.Session, before: dt.datetime, after: int) -> tuple[list[int], int]:
    """Of the next old notifications those that may go, and where to go on; 0 at the end."""
    rows = session.scalars(
        sa.select(Notification.id)
        .where(Notification.created_at < before, Notification.id > after)
        .order_by(Notification.id)
        .limit(AT_ONCE)
    ).all()
    if not rows:
        return [], 0
    open_ones = set(
        session.scalars(
            sa.select(Delivery.notification_id).where(
                Delivery.notification_id.in_(rows), Delivery.status.in_(UNSETTLED)
            )
        )
    )
    return [one for one in rows if one not in open_ones], rows[-1]
