"""The overview: how the instances of an organisation are doing, at a glance."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import enum
import json
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.leases import is_free
from ..db.models import Instance, Notification, Poller, PollerState, Subscription
from ..instances.accounts import Caller
from . import chart_data

#: How long a poll may be due before an instance counts as late.
LATE_AFTER = dt.timedelta(minutes=2)
#: Instances whose tags are offered for choice, the newest.
TAGS_OF = 2000


class Health(enum.StrEnum):
    """How an instance is doing, in one word."""

    HEALTHY = "healthy"  #: polled on time, nothing failed
    STARTING = "starting"  #: what exists is being read the first time
    LATE = "late"  #: due and no worker took it
    FAILING = "failing"  #: a resource fails, or deliveries are stopped
    DISABLED = "disabled"  #: paused, or its events are off


@dataclasses.dataclass(frozen=True, kw_only=True)
class Glance:
    """One instance at a glance."""

    id: int
    name: str
    tags: tuple[str, ...]
    vendor_type: str
    health: Health
    #: Why it is not healthy, for people; empty when it is.
    why: str
    #: When all of its resources were last read to the end, by the store's clock.
    polled_at: dt.datetime | None
    next_poll_at: dt.datetime | None
    #: By how much that is longer ago than its interval; ``None`` when it is not polled.
    lag: dt.timedelta | None
    #: A worker polls it at this moment.
    polling: bool
    #: Of our webhooks at the store: those in order, and all.
    hooks: tuple[int, int]
    #: Events of each of the last hours, the oldest first.
    events: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Advance:
    """How far the poll of one resource is."""

    resource: str
    #: It is read for the first time.
    first: bool
    #: Objects read of the first time, and in all.
    read: int
    total: int | None
    polled_at: dt.datetime | None
    #: Of the poll that somebody watches: it was read to the end since then.
    done: bool
    error: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceFilter:
    """Which instances are asked for."""

    #: A part of the name, in any case.
    search: str = ""
    tag: str = ""
    health: Health | None = None


def scope(caller: Caller) -> sa.Select[t.Any]:
    """Ids of the caller's instances, for conditions."""
    return sa.select(Instance.id).where(Instance.organization_id == caller.organization_id)


def counts(session: orm.Session, caller: Caller, now: dt.datetime) -> dict[Health, int]:
    """How many instances are in each state."""
    health = _health(now)
    rows = session.execute(
        sa.select(health, sa.func.count())
        .where(Instance.organization_id == caller.organization_id)
        .group_by(health)
    )
    found = {Health(name): count for name, count in rows}
    return {one: found.get(one, 0) for one in Health}


def glances(
    session: orm.Session,
    caller: Caller,
    wanted: InstanceFilter,
    now: dt.datetime,
    *,
    after_id: int = 0,
    limit: int = 50,
    counted: bool = True,
) -> list[Glance]:
    """Instances by id, with a few queries for all of them together.

    :param counted: with their events of the last day.
    """
    if "\0" in wanted.search + wanted.tag:
        return []  # PostgreSQL refuses it in a parameter, and no name holds it
    health = _health(now)
    query = sa.select(Instance, health).where(
        Instance.organization_id == caller.organization_id, Instance.id > after_id
    )
    if wanted.search:
        name = sa.func.lower(Instance.name)
        query = query.where(name.contains(wanted.search.lower(), autoescape=True))
    if wanted.tag:
        kept = sa.cast(Instance.tags, sa.Text)
        # A MariaDB JSON is text; all three keep the text that json.dumps wrote.
        query = query.where(kept.contains(json.dumps(wanted.tag), autoescape=True))
    if wanted.health is not None:
        query = query.where(health == wanted.health)
    rows = session.execute(query.order_by(Instance.id).limit(limit)).all()
    found = [(row, Health(name)) for row, name in rows]
    events = (
        chart_data.events_of_each(session, [row.id for row, _ in found], now) if counted else {}
    )
    return _glances(session, found, events, now)


def glance(session: orm.Session, caller: Caller, instance_id: int, now: dt.datetime) -> Glance:
    """One instance, which is known to be the caller's."""
    found = glances(session, caller, InstanceFilter(), now, after_id=instance_id - 1, limit=1)
    return found[0]


def troubled(session: orm.Session, caller: Caller, now: dt.datetime, limit: int) -> list[Glance]:
    """Instances that somebody should look at."""
    health = _health(now)
    rows = session.execute(
        sa.select(Instance, health)
        .where(
            Instance.organization_id == caller.organization_id,
            health.in_([Health.FAILING.value, Health.LATE.value]),
        )
        .order_by(health, Instance.id)
        .limit(limit)
    )
    return _glances(session, [(row, Health(name)) for row, name in rows], {}, now)


def tags(session: orm.Session, caller: Caller) -> list[str]:
    """Tags that instances have, the most frequent first."""
    rows = session.scalars(
        sa.select(Instance.tags)
        .where(Instance.organization_id == caller.organization_id)
        .order_by(Instance.id.desc())
        .limit(TAGS_OF)
    )
    seen = collections.Counter(tag for row in rows for tag in row)
    return [tag for tag, _ in sorted(seen.items(), key=lambda one: (-one[1], one[0]))]


def names(session: orm.Session, caller: Caller, ids: cabc.Collection[int]) -> dict[int, str]:
    """Names of some of the caller's instances."""
    rows = session.execute(
        sa.select(Instance.id, Instance.name).where(
            Instance.organization_id == caller.organization_id, Instance.id.in_(ids)
        )
    )
    return {instance_id: name for instance_id, name in rows}


def choices(session: orm.Session, caller: Caller, limit: int = 2_000) -> list[tuple[int, str]]:
    """Ids and names to choose from, by name."""
    rows = session.execute(
        sa.select(Instance.id, Instance.name)
        .where(Instance.organization_id == caller.organization_id)
        .order_by(Instance.name, Instance.id)
        .limit(limit)
    )
    return [(instance_id, name) for instance_id, name in rows]


def idle_since(session: orm.Session, caller: Caller, now: dt.datetime) -> dt.datetime | None:
    """Since when no worker takes what is due; ``None`` when one works or nothing waits.

    Seen from what is due and left lying, whoever the worker would be.
    """
    waiting, working = session.execute(
        sa.select(
            sa.func.min(Instance.next_poll_at),
            sa.func.max(Instance.lease_until),
        ).where(
            Instance.organization_id == caller.organization_id,
            Instance.events_enabled,
            sa.not_(Instance.disabled),
        )
    ).one()
    if waiting is None or waiting > now - LATE_AFTER or (working is not None and working > now):
        return None
    return waiting


#: Ages that the chart of freshness tells apart.
_AGES = (
    ("up to 15 min", dt.timedelta(minutes=15)),
    ("up to 1 h", dt.timedelta(hours=1)),
    ("up to 6 h", dt.timedelta(hours=6)),
    ("up to 24 h", dt.timedelta(hours=24)),
)


def freshness(session: orm.Session, caller: Caller, now: dt.datetime) -> list[tuple[str, int]]:
    """How many instances were polled to the end how long ago; those switched off left out."""
    complete = sa.func.coalesce(
        Poller.polled_at, sa.case((Poller.state == PollerState.ACTIVE, Poller.baseline_at))
    )
    watched = (
        Instance.organization_id == caller.organization_id,
        Instance.events_enabled,
        sa.not_(Instance.disabled),
        Poller.selected,
    )
    follows = sa.func.coalesce(Instance.journal["state"].as_string(), "") == "following"
    oldest = (
        sa.select(
            sa.func.min(complete).label("at"),
            (sa.func.count() - sa.func.count(complete)).label("missing"),
        )
        .join(Instance, Instance.id == Poller.instance_id)
        .where(*watched, sa.not_(follows))
        .group_by(Poller.instance_id)
        .subquery()
    )
    ages = [(oldest.c.at >= now - age, words) for words, age in _AGES]
    bucket = sa.case((oldest.c.missing > 0, "never"), *ages, else_="longer").label("age")
    buckets = sa.select(bucket).select_from(oldest).subquery()
    rows = session.execute(sa.select(buckets.c.age, sa.func.count()).group_by(buckets.c.age))
    found = collections.Counter({words: count for words, count in rows})
    # What a journal covers is read without being polled, which only its memory knows.
    followed: dict[int, list[dt.datetime | None]] = {}
    query = sa.select(Poller, Instance).join(Instance, Instance.id == Poller.instance_id)
    for poller, instance in session.execute(query.where(*watched, follows)):
        followed.setdefault(instance.id, []).append(complete_at(instance, poller))
    found.update(_age(dates, now) for dates in followed.values())
    named = [words for words, _ in _AGES]
    return [(words, found[words]) for words in (*named, "longer", "never")]


def _age(dates: cabc.Sequence[dt.datetime | None], now: dt.datetime) -> str:
    known = [date for date in dates if date is not None]
    if len(known) < len(dates):
        return "never"
    return next((words for words, age in _AGES if min(known) >= now - age), "longer")


def advances(
    session: orm.Session, instance_id: int, after: dt.datetime | None = None
) -> list[Advance]:
    """How far the poll of each selected resource of an instance is.

    :param after: the last complete poll before somebody asked for this one, the store's clock.
    """
    instance = session.get_one(Instance, instance_id)
    query = sa.select(Poller).where(Poller.instance_id == instance_id, Poller.selected)
    return [
        Advance(
            resource=poller.resource,
            first=poller.state == PollerState.BASELINE,
            read=poller.baseline_offset,
            total=poller.baseline_total,
            polled_at=complete_at(instance, poller),
            done=poller.polled_at is not None and (after is None or poller.polled_at > after),
            error=poller.error,
        )
        for poller in session.scalars(query.order_by(Poller.id))
    ]


def found_since(session: orm.Session, instance_id: int, since: dt.datetime) -> int:
    """Events of an instance that were recorded since then, our own clock."""
    size = sa.select(sa.func.sum(Notification.size)).where(
        Notification.instance_id == instance_id, Notification.created_at >= since
    )
    return int(session.scalar(size) or 0)


def complete_at(instance: Instance, poller: Poller) -> dt.datetime | None:
    """When the last complete reading of a resource began, the store's clock.

    The first one is one, too: a resource without dates is polled only after it. What the journal
    of the companion plugin covers is as new as the last turn, by our own clock.
    """
    date = poller.polled_at
    if date is None and poller.state == PollerState.ACTIVE:
        date = poller.baseline_at
    covered = instance.journal.get("state") == "following" and poller.id in instance.journal.get(
        "covered", ()
    )
    if not covered or date is None or instance.regular_poll_at is None or poller.error is not None:
        return date
    turn = instance.regular_poll_at - dt.timedelta(minutes=instance.refresh_minutes)
    return max(date, turn)


def _health(now: dt.datetime) -> sa.ColumnElement[str]:
    selected = sa.exists().where(Poller.instance_id == Instance.id, Poller.selected)
    failing = selected.where(
        sa.or_(Poller.error.is_not(None), Poller.state == PollerState.DISABLED)
    )
    stopped = sa.exists().where(Subscription.instance_id == Instance.id, _stopped(now))
    free = is_free(Instance.lease_until, now)
    return sa.case(
        (sa.or_(Instance.disabled, sa.not_(Instance.events_enabled)), Health.DISABLED.value),
        (sa.or_(failing, stopped), Health.FAILING.value),
        (sa.and_(Instance.next_poll_at < now - LATE_AFTER, free), Health.LATE.value),
        (selected.where(Poller.state == PollerState.BASELINE), Health.STARTING.value),
        else_=Health.HEALTHY.value,
    )


def _stopped(now: dt.datetime) -> sa.ColumnElement[bool]:
    """A subscription that is not sent to: it needs a person, or it is held for a while."""
    resting = sa.or_(sa.not_(Subscription.active), Subscription.held_until > now)
    return sa.and_(Subscription.current, resting)


def _glances(
    session: orm.Session,
    rows: cabc.Sequence[tuple[Instance, Health]],
    events: cabc.Mapping[int, tuple[int, ...]],
    now: dt.datetime,
) -> list[Glance]:
    ids = [instance.id for instance, _ in rows]
    pollers: dict[int, list[Poller]] = {one: [] for one in ids}
    chosen = sa.select(Poller).where(Poller.instance_id.in_(ids), Poller.selected)
    for poller in session.scalars(chosen.order_by(Poller.id)):
        pollers[poller.instance_id].append(poller)
    stopped = {
        instance_id: reason or f"the callback failed {failures} times in a row"
        for instance_id, reason, failures in session.execute(
            sa.select(Subscription.instance_id, Subscription.reason, Subscription.failures).where(
                Subscription.instance_id.in_(ids), _stopped(now)
            )
        )
    }
    return [
        Glance(
            id=instance.id,
            name=instance.name,
            tags=tuple(instance.tags),
            vendor_type=instance.vendor_type,
            health=health,
            why=_why(instance, health, pollers[instance.id], stopped.get(instance.id), now),
            polled_at=_polled_at(instance, pollers[instance.id]),
            next_poll_at=instance.next_poll_at,
            lag=_lag(instance, health, pollers[instance.id], now),
            polling=instance.lease_until is not None and instance.lease_until > now,
            hooks=(
                sum(one.get("status") == "active" for one in instance.hooks),
                len(instance.hooks),
            ),
            events=events.get(instance.id, ()),
        )
        for instance, health in rows
    ]


def _polled_at(instance: Instance, pollers: cabc.Sequence[Poller]) -> dt.datetime | None:
    dates = [complete_at(instance, poller) for poller in pollers]
    known = [date for date in dates if date is not None]
    return min(known) if known and len(known) == len(dates) else None


def _lag(
    instance: Instance, health: Health, pollers: cabc.Sequence[Poller], now: dt.datetime
) -> dt.timedelta | None:
    polled_at = _polled_at(instance, pollers)
    if health is Health.DISABLED or not instance.refresh_minutes or polled_at is None:
        return None
    # A poll takes its time, and the store's clock is not ours.
    late = now - polled_at - dt.timedelta(minutes=instance.refresh_minutes)
    return late if late > LATE_AFTER else dt.timedelta()


def _why(
    instance: Instance,
    health: Health,
    pollers: cabc.Sequence[Poller],
    stopped: str | None,
    now: dt.datetime,
) -> str:
    if health is Health.DISABLED:
        return "Paused by a person" if instance.disabled else "Events are switched off"
    if health is Health.FAILING:
        reasons = [
            f"{poller.resource}: {poller.error or 'disabled after failures'}"
            for poller in pollers
            if poller.error is not None or poller.state == PollerState.DISABLED
        ]
        if stopped is not None:
            reasons.append(f"Deliveries wait: {stopped}")
        return "; ".join(reasons)
    if health is Health.LATE and instance.next_poll_at is not None:
        minutes = int((now - instance.next_poll_at).total_seconds() // 60)
        return f"Due for {minutes} minutes and not polled"
    if health is Health.STARTING:
        first = [poller.resource for poller in pollers if poller.state == PollerState.BASELINE]
        return f"Reading for the first time: {', '.join(first)}"
    return ""
