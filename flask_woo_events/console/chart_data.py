"""The numbers of charts: events, deliveries and the stores' answers, hour by hour."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from ..db.models import Delivery, DeliveryStatus, Notification, Subscription, Usage
from ..events import search

#: Hours that a chart shows.
HOURS = 24

Scope = sa.ColumnElement[bool]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hours:
    """Numbers of each of the last hours, the oldest first."""

    #: When each hour begins, UTC.
    begins: tuple[dt.datetime, ...]
    #: By what they are told apart: a resource, for example.
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
    hour = _hour(Notification.created_at)
    rows = session.execute(
        sa.select(hour, Notification.resource, sa.func.sum(Notification.size))
        .where(scope, Notification.created_at >= hours[0])
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
    hour = _hour(Notification.created_at)
    rows = session.execute(
        sa.select(hour, Notification.instance_id, sa.func.sum(Notification.size))
        .where(
            Notification.instance_id.in_(instance_ids),
            Notification.id >= _first_notification(session, hours[0]),
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
    hour = _hour(Delivery.updated_at)
    rows = session.execute(
        sa.select(hour, _average_seconds(*dates), _most_seconds(*dates))
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


def _first_notification(session: orm.Session, since: dt.datetime) -> int:
    """An id that no notification since then is below; a little before that time."""
    query = (
        sa.select(Notification.id)
        .where(Notification.created_at >= since - search.SLACK)
        .order_by(Notification.created_at, Notification.id)
    )
    return session.scalars(query.limit(1)).one_or_none() or 2**63 - 1


def _first_delivery(session: orm.Session, since: dt.datetime) -> int:
    """The same of deliveries, which are written with their notifications."""
    # Of a few: a replay may have written the delivery of an old notification just now.
    few = (
        sa.select(Delivery.id)
        .where(Delivery.notification_id >= _first_notification(session, since))
        .order_by(Delivery.notification_id, Delivery.id)
        .limit(100)
        .subquery()
    )
    return session.scalar(sa.select(sa.func.min(few.c.id))) or 2**63 - 1


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


class _hour(FunctionElement[t.Any]):  # noqa: N801  # like a function of SQL
    """The hour of a date, in the quickest way of each database: a date, or ``2026-11-24 20``."""

    inherit_cache = True


@compiles(_hour)
def _compile_hour(element: t.Any, compiler: t.Any, **kwargs: t.Any) -> str:
    return f"substr({compiler.process(element.clauses, **kwargs)}, 1, 13)"


@compiles(_hour, "postgresql")
def _compile_hour_postgresql(element: t.Any, compiler: t.Any, **kwargs: t.Any) -> str:
    return f"date_trunc('hour', {compiler.process(element.clauses, **kwargs)})"


class _seconds(FunctionElement[float]):  # noqa: N801  # like a function of SQL
    """Seconds from one date to another, aggregated; each database has its own way."""

    type = sa.Double()
    inherit_cache = True
    aggregate = ""


class _average_seconds(_seconds):  # noqa: N801
    """On average."""

    inherit_cache = True
    aggregate = "avg"


class _most_seconds(_seconds):  # noqa: N801
    """At most."""

    inherit_cache = True
    aggregate = "max"


@compiles(_seconds)
def _compile_seconds(element: t.Any, compiler: t.Any, **kwargs: t.Any) -> str:
    begin, end = (compiler.process(one, **kwargs) for one in element.clauses)
    # Of the interval and not of its seconds, which are numeric and slow.
    return f"EXTRACT(EPOCH FROM {element.aggregate}({end} - {begin}))"


@compiles(_seconds, "sqlite")
def _compile_seconds_sqlite(element: t.Any, compiler: t.Any, **kwargs: t.Any) -> str:
    begin, end = (compiler.process(one, **kwargs) for one in element.clauses)
    return f"({element.aggregate}(julianday({end}) - julianday({begin})) * 86400.0)"


@compiles(_seconds, "mysql", "mariadb")
def _compile_seconds_mysql(element: t.Any, compiler: t.Any, **kwargs: t.Any) -> str:
    begin, end = (compiler.process(one, **kwargs) for one in element.clauses)
    return f"({element.aggregate}(TIMESTAMPDIFF(MICROSECOND, {begin}, {end})) / 1000000)"
