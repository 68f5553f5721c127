"""Health: whether an instance is polled on time, and whether anything of it fails."""

from __future__ import annotations

import datetime as dt
import enum
import typing as t

import sqlalchemy as sa

from ..db.leases import is_free
from ..db.models import Instance, Poller, Subscription
from ..db.states import PollerState

#: How long a poll may be due before its instance counts as late.
LATE_AFTER = dt.timedelta(minutes=2)


class Health(enum.StrEnum):
    """The state of an instance."""

    HEALTHY = "healthy"  #: polled on time, and nothing fails
    STARTING = "starting"  #: its baseline is being recorded
    DEGRADED = "degraded"  #: sends less or later than it should, see its problems
    LATE = "late"  #: due, and no worker polls it
    FAILING = "failing"  #: a resource fails, or deliveries are stopped
    DISABLED = "disabled"  #: paused, or its events are disabled


def late(now: dt.datetime) -> sa.ColumnElement[bool]:
    """Return the condition that an instance is due and no worker polls it."""
    return sa.and_(Instance.next_poll_at < now - LATE_AFTER, is_free(Instance.lease_until, now))


def count_late(now: dt.datetime) -> sa.Select[t.Any]:
    """Return the query that counts late instances."""
    return sa.select(sa.func.count()).select_from(Instance).where(late(now))


def stopped(now: dt.datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a subscription is sent nothing: stopped, or held for a while."""
    paused = sa.or_(sa.not_(Subscription.active), Subscription.held_until > now)
    return sa.and_(Subscription.current, paused)


def health(now: dt.datetime) -> sa.ColumnElement[str]:
    """Return the expression for the health of an instance, a value of :class:`Health`."""
    selected = sa.exists().where(Poller.instance_id == Instance.id, Poller.selected)
    failing = selected.where(
        sa.or_(Poller.error.is_not(None), Poller.state == PollerState.DISABLED)
    )
    undelivered = sa.exists().where(Subscription.instance_id == Instance.id, stopped(now))
    return sa.case(
        (sa.or_(Instance.disabled, sa.not_(Instance.events_enabled)), Health.DISABLED.value),
        (sa.or_(failing, undelivered), Health.FAILING.value),
        (late(now), Health.LATE.value),
        (Instance.problems.is_not(None), Health.DEGRADED.value),
        (selected.where(Poller.state == PollerState.BASELINE), Health.STARTING.value),
        else_=Health.HEALTHY.value,
    )
