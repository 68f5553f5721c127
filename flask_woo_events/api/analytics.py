"""Analytics: the numbers of events over time."""

from __future__ import annotations

import calendar
import collections
import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Delivery, Instance, Notification, StoredEvent
from ..db.states import UNSETTLED, DeliveryStatus
from ..errors import InputError
from ..events.sql_functions import EpochSeconds

Interval = t.Literal["year", "quarter", "month", "week", "day", "hour", "minute", "second"]
INTERVALS: tuple[str, ...] = t.get_args(Interval)
#: Lengths of the intervals that always have the same one, seconds.
_WIDTHS = {"week": 604_800, "day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
#: Most buckets in one answer.
BUCKETS_MOST = 2_000


@dataclasses.dataclass(frozen=True, slots=True)
class EventCounts:
    """Events of one instance in one bucket."""

    instance_id: int
    user_id: int
    count: int
    #: Events whose deliveries all succeeded.
    success: int
    #: Events with a delivery that was tried without success.
    failed: int


@dataclasses.dataclass(frozen=True, slots=True)
class Bucket:
    """The events of one interval of time."""

    start: dt.datetime
    counts: tuple[EventCounts, ...]

    @property
    def total(self) -> int:
        """The events of all instances."""
        return sum(one.count for one in self.counts)


def buckets(
    session: orm.Session,
    organization_id: int,
    since: dt.datetime,
    until: dt.datetime,
    interval: str,
    *,
    instance_id: int | None = None,
) -> list[Bucket]:
    """Count events by the time at which they were recorded, with empty buckets.

    Both ends have a bucket, so an hour by the minute has 61 of them (Cloud Elements).

    :raises InputError: the interval is unknown, ``until`` is before ``since``, or there would be
        more than 2,000 buckets.
    """
    starts = _starts(since, until, interval)
    rows = session.execute(
        _query(organization_id, since, until, _WIDTHS.get(interval, 86_400), instance_id)
    )
    found: dict[dt.datetime, dict[int, EventCounts]] = collections.defaultdict(dict)
    for seconds, number, user_id, count, failed, waiting in rows:
        start = floor(dt.datetime.fromtimestamp(int(seconds), dt.UTC), interval)
        before = found[start].get(number, EventCounts(number, user_id, 0, 0, 0))
        found[start][number] = EventCounts(
            number,
            user_id,
            before.count + count,
            before.success + count - int(failed) - int(waiting),
            before.failed + int(failed),
        )
    return [Bucket(start, tuple(found[start].values())) for start in starts]


def floor(date: dt.datetime, interval: str) -> dt.datetime:
    """Return the beginning of the interval that a date is in, UTC; weeks begin on Monday."""
    if interval in ("year", "quarter", "month"):
        months = {"year": 12, "quarter": 3, "month": 1}[interval]
        month = (date.month - 1) // months * months + 1
        return date.replace(month=month, day=1, hour=0, minute=0, second=0, microsecond=0)
    width = _WIDTHS[interval]
    # The first of January 1970 was a Thursday.
    shift = 3 * 86_400 if interval == "week" else 0
    seconds = (int(date.timestamp()) + shift) // width * width - shift
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _starts(since: dt.datetime, until: dt.datetime, interval: str) -> list[dt.datetime]:
    if interval not in INTERVALS:
        raise InputError(f"interval must be one of {', '.join(INTERVALS)}", "interval")
    if until < since:
        raise InputError("to must not be before from", "to")
    start = floor(since, interval)
    if interval in _WIDTHS and (until - start).total_seconds() / _WIDTHS[interval] > BUCKETS_MOST:
        raise InputError(
            f"interval={interval} over this time makes more than {BUCKETS_MOST:,} counts; "
            "choose a longer interval",
            "interval",
        )
    starts = []
    while start <= until:
        starts.append(start)
        start = _next(start, interval)
    return starts


def _next(start: dt.datetime, interval: str) -> dt.datetime:
    if interval in _WIDTHS:
        return start + dt.timedelta(seconds=_WIDTHS[interval])
    for _ in range({"year": 12, "quarter": 3, "month": 1}[interval]):
        start += dt.timedelta(days=calendar.monthrange(start.year, start.month)[1])
    return start


def _query(
    organization_id: int,
    since: dt.datetime,
    until: dt.datetime,
    width: int,
    instance_id: int | None,
) -> sa.Executable:
    """Select counts by instance and bucket; buckets longer than a week are summed from days."""
    states = (
        sa.select(
            Delivery.notification_id,
            sa.func.max(sa.case((Delivery.attempts > 0, 1), else_=0)).label("tried"),
            sa.func.max(sa.case((Delivery.status.in_(UNSETTLED), 1), else_=0)).label("open"),
            sa.func.max(sa.case((Delivery.status == DeliveryStatus.QUEUED, 1), else_=0)).label(
                "queued"
            ),
        )
        .join(Notification, Notification.id == Delivery.notification_id)
        .where(Notification.created_at >= since, Notification.created_at <= until)
        .group_by(Delivery.notification_id)
        .subquery()
    )
    failed = sa.and_(states.c.open == 1, sa.or_(states.c.tried == 1, states.c.queued == 1))
    waiting = sa.and_(states.c.open == 1, states.c.tried == 0, states.c.queued == 0)
    shift = 3 * 86_400 if width == _WIDTHS["week"] else 0
    seconds = EpochSeconds(Notification.created_at)
    bucket = (seconds - (seconds + shift) % width).label("bucket")
    query = (
        sa.select(
            bucket,
            Instance.id,
            Instance.user_id,
            sa.func.count(StoredEvent.id),
            sa.func.sum(sa.case((failed, 1), else_=0)),
            sa.func.sum(sa.case((waiting, 1), else_=0)),
        )
        .select_from(StoredEvent)
        .join(Notification, Notification.id == StoredEvent.notification_id)
        .join(Instance, Instance.id == Notification.instance_id)
        .outerjoin(states, states.c.notification_id == Notification.id)
        .where(
            Instance.organization_id == organization_id,
            Notification.kind.is_(None),
            Notification.created_at >= since,
            Notification.created_at <= until,
        )
        .group_by(bucket, Instance.id, Instance.user_id)
    )
    return query if instance_id is None else query.where(Instance.id == instance_id)
