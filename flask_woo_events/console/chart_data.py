"""The numbers of charts: events, deliveries and the stores' answers, hour by hour."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Delivery, Notification, Subscription, Usage
from ..db.states import DeliveryStatus
from ..events import search
from ..events.sql_functions import AverageSeconds, Hour, MostSeconds
from ..values.validation import LARGEST_ID

#: Hours that a chart shows.
HOURS = 24

Scope = sa.ColumnElement[bool]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hours:
    """Numbers of each of the last hours, the oldest first."""

    #: When each hour begins, UTC.
    begins: tuple[dt.datetime, ...]
    #: By what they are distinguished: a resource, for example.
    series: cabc.Mapping[str, tuple[float | None, ...]]

    @property
    def total(self) -> float:
        """All of them together."""
        return sum(one or 0 for values in self.series.values() for one in values)


def begins(now: dt.datetime, hours: int = HOURS) -> tuple[dt.datetime, ...]:
    """When each of the last hours began; the last one is still going on."""
    this = now.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    return tuple(this - dt.timedelta(hours=ago) for ago in range(hours - 1, -1, -1))


def events(session: orm.Session, scope: Scope, now: dt.datetime) -> Hours:
    """Events of the last day by resource.

    :param scope: a condition on ``Notification.instance_id``.
    """
    hours = begins(now)
    hour = Hour(Notification.created_at)
    rows = session.execute(
        sa.select(hour, Notification.resource, sa.func.sum(Notification.size))
        .where(scope, Notification.kind.is_(None), Notification.created_at >= hours[0])
        .group_by(hour, Notification.resource)
    )
    return _arranged(hours, ((hour, resource, float(count)) for hour, resource, count in rows))


def events_of_each(
    session: orm.Session, instance_ids: cabc.Collection[int], now: dt.datetime
) -> dict[int, tuple[int, ...]]:
    """Events of the last day of each instance, all resources together."""
    if not instance_ids:
        return {}
    hours = begins(now)
    hour = Hour(Notification.created_at)
    rows = session.execute(
        sa.select(hour, Notification.instance_id, sa.func.sum(Notification.size))
        .where(
            Notification.instance_id.in_(instance_ids),
            Notification.kind.is_(None),
            Notification.id >= search.first_notification_since(session, hours[0]),
            Notification.created_at >= hours[0],
        )
        .group_by(hour, Notification.instance_id)
    )
    found = {one: [0] * len(hours) for one in instance_ids}
    places = {_key(hour): place for place, hour in enumerate(hours)}
    for begin, instance_id, count in rows:
        place = places.get(_key(begin))
        if place is not None:
            found[instance_id][place] = int(count)
    return {one: tuple(counts) for one, counts in found.items()}


def latency(session: orm.Session, scope: Scope, now: dt.datetime) -> Hours:
    """Seconds from an event's being seen to its being delivered: the average and the slowest.

    :param scope: a condition on ``Subscription.instance_id``.
    """
    hours = begins(now)
    dates = (Delivery.created_at, Delivery.updated_at)
    hour = Hour(Delivery.updated_at)
    rows = session.execute(
        sa.select(hour, AverageSeconds(*dates), MostSeconds(*dates))
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(
            scope,
            Delivery.id >= _first_delivery(session, hours[0]),
            Delivery.created_at >= hours[0],
            Delivery.status == DeliveryStatus.DELIVERED,
        )
        .group_by(hour)
    ).all()
    return _arranged(
        hours,
        (
            (begin, name, max(float(value), 0.0))
            for begin, average, slowest in rows
            for name, value in (("average", average), ("slowest", slowest))
        ),
        empty=None,
    )


def _first_delivery(session: orm.Session, since: dt.datetime) -> int:
    """Return an id that no delivery since then is below: they are written with notifications."""
    # Of a few: a replay may have written the delivery of an old notification just now.
    few = (
        sa.select(Delivery.id)
        .where(Delivery.notification_id >= search.first_notification_since(session, since))
        .order_by(Delivery.notification_id, Delivery.id)
        .limit(100)
        .subquery()
    )
    return session.scalar(sa.select(sa.func.min(few.c.id))) or LARGEST_ID


def answers(session: orm.Session, scope: Scope, now: dt.datetime) -> Hours:
    """Seconds that a store took for one answer, on average.

    :param scope: a condition on ``Usage.instance_id``.
    """
    hours = begins(now)
    rows = session.execute(
        sa.select(Usage.hour, sa.func.sum(Usage.requests), sa.func.sum(Usage.seconds))
        .where(scope, Usage.hour >= hours[0])
        .group_by(Usage.hour)
    )
    return _arranged(
        hours,
        (
            (hour, "average", float(seconds) / int(requests))
            for hour, requests, seconds in rows
            if requests
        ),
        empty=None,
    )


def _arranged(
    hours: tuple[dt.datetime, ...],
    rows: cabc.Iterable[tuple[dt.datetime | str, str, float]],
    empty: float | None = 0.0,
) -> Hours:
    places = {_key(hour): place for place, hour in enumerate(hours)}
    series: dict[str, list[float | None]] = {}
    for hour, name, value in rows:
        place = places.get(_key(hour))
        if place is not None:
            series.setdefault(name, [empty] * len(hours))[place] = value
    return Hours(
        begins=hours, series={name: tuple(values) for name, values in sorted(series.items())}
    )


def _key(hour: dt.datetime | str) -> str:
    return hour if isinstance(hour, str) else f"{hour:%Y-%m-%d %H}"
