"""Steps of the clock: due times that were written while it was ahead.

SQLite has no clock of its own, so that a wrong clock of the machine makes polls, retries and leases
due hours too late. The clock of a server can be set back as well.
"""

from __future__ import annotations

import datetime as dt
import logging
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from .models import Delivery, Instance, Object, Poller, Subscription

_log = logging.getLogger(__name__)

#: Times in the future, by table: they end, or something is due.
_DUE: tuple[tuple[type[t.Any], tuple[str, ...]], ...] = (
    (Instance, ("next_poll_at", "regular_poll_at", "hooks_due_at", "lease_until")),
    (Poller, ("retry_at",)),
    (Subscription, ("next_due_at", "held_until", "rate_used_until")),
    (Delivery, ("lease_until",)),
)
#: Times in the past, by table.
_PAST: tuple[tuple[type[t.Any], str], ...] = (
    (Subscription, "failing_since"),
    (Delivery, "first_failed_at"),
    (Object, "held_at"),
)
#: The longest time between two polls of an instance beside its own interval.
_LONGEST_WAIT = dt.timedelta(minutes=10)


def pull_back(session: orm.Session, now: dt.datetime, ahead: dt.timedelta) -> None:
    """Subtract from due times what the clock was ahead.

    A time that was written before the step becomes earlier, too, but not earlier than now: at
    worst, something is tried early, once.

    :param now: the current time.
    :param ahead: how far the clock was ahead.
    """
    seconds = ahead.total_seconds()
    extra = {"action": "clock", "seconds": -seconds}
    _log.warning("the clock was set back by %.0f s; due times follow it", seconds, extra=extra)
    for model, names in _DUE:
        for name in names:
            column = getattr(model, name)
            rows = session.execute(sa.select(model.id, column).where(column > now)).all()
            earlier = [{"id": key, name: max(at - ahead, now)} for key, at in rows]
            _update(session, model, earlier)
    # A retry belongs to the attempt before it, so that its schedule is kept.
    written = Delivery.updated_at > now
    deliveries = session.execute(
        sa.select(Delivery.id, Delivery.due_at, Delivery.updated_at).where(
            written, Delivery.due_at.is_not(None)
        )
    ).all()
    retries = [
        {"id": row.id, "due_at": max(row.due_at - ahead, now), "updated_at": now}
        for row in deliveries
    ]
    _update(session, Delivery, retries)
    for model, name in _PAST:
        column = getattr(model, name)
        statement = sa.update(model).where(column > now).values({name: now})
        session.execute(statement.execution_options(synchronize_session=False))


def pull_back_polls(session: orm.Session, now: dt.datetime) -> None:
    """Make instances due whose next poll is later than their interval allows.

    As after a clock that was wrong while no worker ran.

    :param now: the current time.
    """
    instances = session.execute(
        sa.select(Instance.id, Instance.refresh_minutes, Instance.next_poll_at).where(
            Instance.next_poll_at > now + _LONGEST_WAIT, Instance.refresh_minutes > 0
        )
    ).all()
    late = [
        {"id": row.id, "next_poll_at": now, "regular_poll_at": now}
        for row in instances
        if row.next_poll_at > now + dt.timedelta(minutes=row.refresh_minutes) + _LONGEST_WAIT
    ]
    _update(session, Instance, late)


def _update(session: orm.Session, model: type[t.Any], rows: list[dict[str, t.Any]]) -> None:
    if rows:
        session.execute(sa.update(model), rows)
