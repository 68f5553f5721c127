"""Poll progress: how far each resource has been read, and how long ago completely."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Instance, Notification, Poller
from ..db.states import PollerState
from ..instances.accounts import Caller

#: The ages that the chart of freshness distinguishes.
_AGES = (
    ("up to 15 min", dt.timedelta(minutes=15)),
    ("up to 1 h", dt.timedelta(hours=1)),
    ("up to 6 h", dt.timedelta(hours=6)),
    ("up to 24 h", dt.timedelta(hours=24)),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResourceProgress:
    """How far the poll of one resource is."""

    resource: str
    #: Whether its baseline is being recorded.
    baseline: bool
    #: Objects of the baseline read so far, and in total.
    read: int
    total: int | None
    polled_at: dt.datetime | None
    #: Whether it was polled completely since the poll that is watched was requested.
    done: bool
    error: str | None


def progress(
    session: orm.Session, instance_id: int, after: dt.datetime | None = None
) -> list[ResourceProgress]:
    """Return how far the poll of each selected resource of an instance is.

    :param after: the last complete poll before this one was requested, by the store's clock.
    """
    instance = session.get_one(Instance, instance_id)
    query = sa.select(Poller).where(Poller.instance_id == instance_id, Poller.selected)
    return [
        ResourceProgress(
            resource=poller.resource,
            baseline=poller.state == PollerState.BASELINE,
            read=poller.baseline_offset,
            total=poller.baseline_total,
            polled_at=complete_at(instance, poller),
            done=poller.polled_at is not None and (after is None or poller.polled_at > after),
            error=poller.error,
        )
        for poller in session.scalars(query.order_by(Poller.id))
    ]


def events_since(session: orm.Session, instance_id: int, since: dt.datetime) -> int:
    """Count an instance's events recorded since then, by our own clock."""
    size = sa.select(sa.func.sum(Notification.size)).where(
        Notification.instance_id == instance_id,
        Notification.kind.is_(None),
        Notification.created_at >= since,
    )
    return int(session.scalar(size) or 0)


def complete_at(instance: Instance, poller: Poller) -> dt.datetime | None:
    """Return when the last complete read of a resource began, by the store's clock.

    The baseline counts, because a resource without dates is polled only after it. What the
    journal of the companion plugin covers is as fresh as the instance's last regular poll, by our
    own clock.
    """
    date = poller.polled_at
    if date is None and poller.state == PollerState.ACTIVE:
        date = poller.baseline_at
    covered = instance.journal.get("state") == "following" and poller.id in instance.journal.get(
        "covered", ()
    )
    if not covered or date is None or instance.regular_poll_at is None or poller.error is not None:
        return date
    last_poll = instance.regular_poll_at - dt.timedelta(minutes=instance.refresh_minutes)
    return max(date, last_poll)


def freshness(session: orm.Session, caller: Caller, now: dt.datetime) -> list[tuple[str, int]]:
    """Count the enabled instances by the age of their last complete poll."""
    complete = sa.func.coalesce(
        Poller.polled_at, sa.case((Poller.state == PollerState.ACTIVE, Poller.baseline_at))
    )
    enabled = (
        Instance.organization_id == caller.organization_id,
        Instance.events_enabled,
        sa.not_(Instance.disabled),
        Poller.selected,
    )
    has_journal = sa.func.coalesce(Instance.journal["state"].as_string(), "") == "following"
    oldest = (
        sa.select(
            sa.func.min(complete).label("at"),
            (sa.func.count() - sa.func.count(complete)).label("missing"),
        )
        .join(Instance, Instance.id == Poller.instance_id)
        .where(*enabled, sa.not_(has_journal))
        .group_by(Poller.instance_id)
        .subquery()
    )
    ages = [(oldest.c.at >= now - age, label) for label, age in _AGES]
    bucket = sa.case((oldest.c.missing > 0, "never"), *ages, else_="longer").label("age")
    buckets = sa.select(bucket).select_from(oldest).subquery()
    rows = session.execute(sa.select(buckets.c.age, sa.func.count()).group_by(buckets.c.age))
    found = collections.Counter({label: count for label, count in rows})
    # What the journal covers is read without a poll; only the JSON of the instance knows it.
    with_journal: dict[int, list[dt.datetime | None]] = {}
    query = sa.select(Poller, Instance).join(Instance, Instance.id == Poller.instance_id)
    for poller, instance in session.execute(query.where(*enabled, has_journal)):
        with_journal.setdefault(instance.id, []).append(complete_at(instance, poller))
    found.update(_age(dates, now) for dates in with_journal.values())
    return [(label, found[label]) for label in (*(label for label, _ in _AGES), "longer", "never")]


def _age(dates: cabc.Sequence[dt.datetime | None], now: dt.datetime) -> str:
    known = [date for date in dates if date is not None]
    if len(known) < len(dates):
        return "never"
    return next((label for label, age in _AGES if min(known) >= now - age), "longer")
