"""Metrics of all instances, counted in the tables at each request.

So they are correct with any number of processes, and a killed process loses none of them.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Arrival, Delivery, Instance, Poller, Subscription, Usage, WebhookCoverage
from ..db.states import UNSETTLED, PollerState
from ..instances import health, problems

#: Most resources and stores with a series of their own; the others count only in the sums.
RESOURCES, STORES = 20, 100
#: The share of the pollers whose last poll is not older than the metric says.
QUANTILE = 0.95

Labels = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Metric:
    """One gauge and its values."""

    name: str
    #: Its meaning, with its unit.
    help: str
    values: tuple[tuple[Labels, float], ...]


def collect(session: orm.Session, now: dt.datetime) -> list[Metric]:
    """Count everything."""
    return [
        *_polls(session, now),
        *_problems(session),
        *_deliveries(session, now),
        *_stores(session, now),
        *_webhooks(session),
    ]


_POLLED = (
    Poller.selected,
    Poller.state == PollerState.ACTIVE,
    Instance.events_enabled,
    sa.not_(Instance.disabled),
)


def _polls(session: orm.Session, now: dt.datetime) -> cabc.Iterator[Metric]:
    polled = (
        sa.select(Poller.resource, sa.func.count(Poller.polled_at))
        .join(Instance, Instance.id == Poller.instance_id)
        .where(*_POLLED)
        .group_by(Poller.resource)
        .order_by(sa.func.count().desc(), Poller.resource)
        .limit(RESOURCES)
    )
    ages: list[tuple[Labels, float]] = []
    for resource, count in session.execute(polled).all():
        if count:
            oldest = _oldest_but(session, resource, int(count * (1 - QUANTILE)))
            ages.append(({"resource": resource}, max((now - oldest).total_seconds(), 0.0)))
    yield Metric(
        "woo_events_freshness_seconds",
        "Age of the last complete poll, which 95 of 100 pollers of a resource do not exceed",
        tuple(ages),
    )
    yield _one(
        session,
        "woo_events_polls_failing",
        "Resources of instances whose last poll failed and that are retried",
        _count(Poller).where(Poller.selected, Poller.failures > 0, Poller.state != "disabled"),
    )
    yield _one(
        session,
        "woo_events_polls_disabled",
        "Resources of instances that are disabled after repeated failures",
        _count(Poller).where(Poller.selected, Poller.state == PollerState.DISABLED),
    )
    yield _one(
        session,
        "woo_events_instances_late",
        "Instances that have been due for more than two minutes and are not polled",
        health.count_late(now),
    )


def _problems(session: orm.Session) -> cabc.Iterator[Metric]:
    counts = problems.counts(session)
    yield Metric(
        "woo_events_problems",
        "Problems of instances and their resources as of their last polls, by code",
        tuple(({"code": code}, float(count)) for code, count in sorted(counts.items())),
    )


def _oldest_but(session: orm.Session, resource: str, skipped: int) -> dt.datetime:
    """Return when the oldest poller was polled, without the ``skipped`` oldest ones."""
    query = (
        sa.select(Poller.polled_at)
        .join(Instance, Instance.id == Poller.instance_id)
        .where(*_POLLED, Poller.resource == resource, Poller.polled_at.is_not(None))
        .order_by(Poller.polled_at)
        .offset(skipped)
        .limit(1)
    )
    found = session.scalars(query).one()
    assert found is not None
    return found


def _deliveries(session: orm.Session, now: dt.datetime) -> cabc.Iterator[Metric]:
    # From the subscriptions, whose index skips the deliveries that have succeeded.
    waiting = (
        sa.select(Delivery.status, sa.func.count(), sa.func.min(Delivery.created_at))
        .select_from(Subscription)
        .join(Delivery, Delivery.subscription_id == Subscription.id)
        .where(Delivery.status.in_(UNSETTLED))
        .group_by(Delivery.status)
    )
    found = {status: (count, oldest) for status, count, oldest in session.execute(waiting)}
    nothing: tuple[int, dt.datetime] = (0, now)
    by_status = {status.value: found.get(status.value, nothing) for status in UNSETTLED}
    yield Metric(
        "woo_events_outbox",
        "Deliveries that have not succeeded, by status: created, retry, or queued",
        tuple(({"status": status}, float(count)) for status, (count, _) in by_status.items()),
    )
    yield Metric(
        "woo_events_oldest_undelivered_seconds",
        "Age of the oldest delivery that has not succeeded, by status",
        tuple(
            ({"status": status}, max((now - oldest).total_seconds(), 0.0))
            for status, (_, oldest) in by_status.items()
        ),
    )
    yield _one(
        session,
        "woo_events_subscriptions_stopped",
        "Callbacks that are no longer tried; see flask woo doctor",
        _count(Subscription).where(Subscription.current, sa.not_(Subscription.active)),
    )


def _stores(session: orm.Session, now: dt.datetime) -> cabc.Iterator[Metric]:
    """Count requests in the last full hour, which no longer changes."""
    hour = now.replace(minute=0, second=0, microsecond=0) - dt.timedelta(hours=1)
    in_all = sa.select(sa.func.coalesce(sa.func.sum(Usage.requests), 0)).where(Usage.hour == hour)
    most = (
        sa.select(Usage.instance_id, Usage.requests)
        .where(Usage.hour == hour)
        .order_by(Usage.requests.desc(), Usage.instance_id)
        .limit(STORES)
    )
    yield Metric(
        "woo_events_store_requests_per_hour",
        "Requests to a store in the last full hour, of the stores with the most",
        tuple(({"instance": str(one)}, float(count)) for one, count in session.execute(most)),
    )
    yield _one(
        session,
        "woo_events_requests_per_hour",
        "Requests to all stores in the last full hour",
        in_all,
    )


def _webhooks(session: orm.Session) -> cabc.Iterator[Metric]:
    tallied = (
        sa.select(
            WebhookCoverage.resource,
            sa.func.sum(WebhookCoverage.told),
            sa.func.sum(WebhookCoverage.missed),
            sa.func.sum(WebhookCoverage.late),
        )
        .group_by(WebhookCoverage.resource)
        .order_by(
            sa.func.sum(WebhookCoverage.told + WebhookCoverage.missed).desc(),
            WebhookCoverage.resource,
        )
        .limit(RESOURCES)
    )
    rates: list[tuple[Labels, float]] = []
    for resource, reported, found, late in session.execute(tallied):
        missed = max(int(found), 0)  # Earlier releases counted below zero.
        changes = int(reported) + missed + int(late)
        rates.append(({"resource": resource}, missed / changes if changes else 0.0))
    yield Metric(
        "woo_events_webhook_miss_ratio",
        "Share of the changes that only polling found",
        tuple(rates),
    )
    yield _one(
        session,
        "woo_events_arrivals_waiting",
        "Webhooks that were received and are not processed yet",
        _count(Arrival),
    )


def _count(table: type[orm.DeclarativeBase]) -> sa.Select[t.Any]:
    return sa.select(sa.func.count()).select_from(table)


def _one(session: orm.Session, name: str, text: str, query: sa.Select[t.Any]) -> Metric:
    return Metric(name, text, (({}, float(session.scalars(query).one())),))
