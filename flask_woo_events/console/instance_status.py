"""The status of an organization's instances: health, last and next poll, lag, tags, names."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import json
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Instance, Poller, Subscription
from ..db.states import PollerState
from ..instances import problems
from ..instances.accounts import Caller
from ..instances.health import LATE_AFTER, Health, health, stopped
from . import chart_data
from .poll_progress import complete_at

#: The newest instances, whose tags the filter offers.
TAGGED_INSTANCES = 2000


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceStatus:
    """The status of one instance."""

    id: int
    name: str
    tags: tuple[str, ...]
    vendor_type: str
    health: Health
    #: Why it is not healthy; empty when it is.
    reason: str
    #: Start of the last complete poll of all its resources, by the store's clock.
    polled_at: dt.datetime | None
    next_poll_at: dt.datetime | None
    #: How much older than its interval that poll is; ``None`` when it is not polled.
    lag: dt.timedelta | None
    #: Whether a worker is polling it.
    polling: bool
    #: Our webhooks at the store: how many are active, and how many there are.
    webhooks: tuple[int, int]
    #: Number of events in each of the last hours, the oldest first.
    events: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceFilter:
    """The filter of the list of instances."""

    #: A part of the name; case does not matter.
    search: str = ""
    tag: str = ""
    health: Health | None = None


def scope(caller: Caller) -> sa.Select[t.Any]:
    """Return the query for the ids of the caller's instances."""
    return sa.select(Instance.id).where(Instance.organization_id == caller.organization_id)


def counts(session: orm.Session, caller: Caller, now: dt.datetime) -> dict[Health, int]:
    """Return how many instances have each health."""
    state = health(now)
    rows = session.execute(
        sa.select(state, sa.func.count())
        .where(Instance.organization_id == caller.organization_id)
        .group_by(state)
    )
    found = {Health(name): count for name, count in rows}
    return {one: found.get(one, 0) for one in Health}


def statuses(
    session: orm.Session,
    caller: Caller,
    wanted: InstanceFilter,
    now: dt.datetime,
    *,
    after_id: int = 0,
    limit: int = 50,
    with_events: bool = True,
) -> list[InstanceStatus]:
    """Return instances by id; the number of queries does not depend on the number of instances.

    :param with_events: count their events of the last day.
    """
    if "\0" in wanted.search + wanted.tag:
        return []  # PostgreSQL refuses it in a parameter, and no name contains it
    state = health(now)
    query = sa.select(Instance, state).where(
        Instance.organization_id == caller.organization_id, Instance.id > after_id
    )
    if wanted.search:
        name = sa.func.lower(Instance.name)
        query = query.where(name.contains(wanted.search.lower(), autoescape=True))
    if wanted.tag:
        text = sa.cast(Instance.tags, sa.Text)
        # MariaDB's JSON is text; all three databases keep the text that json.dumps wrote.
        query = query.where(text.contains(json.dumps(wanted.tag), autoescape=True))
    if wanted.health is not None:
        query = query.where(state == wanted.health)
    rows = session.execute(query.order_by(Instance.id).limit(limit)).all()
    found = [(row, Health(name)) for row, name in rows]
    events = (
        chart_data.events_of_each(session, [row.id for row, _ in found], now) if with_events else {}
    )
    return _statuses(session, found, events, now)


def status(
    session: orm.Session, caller: Caller, instance_id: int, now: dt.datetime
) -> InstanceStatus:
    """Return the status of one instance, which is known to be the caller's."""
    found = statuses(session, caller, InstanceFilter(), now, after_id=instance_id - 1, limit=1)
    return found[0]


def needing_attention(
    session: orm.Session, caller: Caller, now: dt.datetime, limit: int
) -> list[InstanceStatus]:
    """Return instances that are failing, late or degraded."""
    state = health(now)
    worst_first = [Health.FAILING.value, Health.LATE.value, Health.DEGRADED.value]
    rank = sa.case({one: rank for rank, one in enumerate(worst_first)}, value=state)
    rows = session.execute(
        sa.select(Instance, state)
        .where(
            Instance.organization_id == caller.organization_id,
            state.in_(worst_first),
        )
        .order_by(rank, Instance.id)
        .limit(limit)
    )
    return _statuses(session, [(row, Health(name)) for row, name in rows], {}, now)


def tags(session: orm.Session, caller: Caller) -> list[str]:
    """Return the tags of instances, the most frequent first."""
    rows = session.scalars(
        sa.select(Instance.tags)
        .where(Instance.organization_id == caller.organization_id)
        .order_by(Instance.id.desc())
        .limit(TAGGED_INSTANCES)
    )
    seen = collections.Counter(tag for row in rows for tag in row)
    return [tag for tag, _ in sorted(seen.items(), key=lambda one: (-one[1], one[0]))]


def names(session: orm.Session, caller: Caller, ids: cabc.Collection[int]) -> dict[int, str]:
    """Return the names of some of the caller's instances by id."""
    rows = session.execute(
        sa.select(Instance.id, Instance.name).where(
            Instance.organization_id == caller.organization_id, Instance.id.in_(ids)
        )
    )
    return {instance_id: name for instance_id, name in rows}


def choices(session: orm.Session, caller: Caller, limit: int = 2_000) -> list[tuple[int, str]]:
    """Return ids and names for a selection, sorted by name."""
    rows = session.execute(
        sa.select(Instance.id, Instance.name)
        .where(Instance.organization_id == caller.organization_id)
        .order_by(Instance.name, Instance.id)
        .limit(limit)
    )
    return [(instance_id, name) for instance_id, name in rows]


def idle_since(session: orm.Session, caller: Caller, now: dt.datetime) -> dt.datetime | None:
    """Return since when due instances have waited; ``None`` if none waits or one is polled."""
    waiting, leased_until = session.execute(
        sa.select(
            sa.func.min(Instance.next_poll_at),
            sa.func.max(Instance.lease_until),
        ).where(
            Instance.organization_id == caller.organization_id,
            Instance.events_enabled,
            sa.not_(Instance.disabled),
        )
    ).one()
    working = leased_until is not None and leased_until > now
    if waiting is None or waiting > now - LATE_AFTER or working:
        return None
    return waiting


def _statuses(
    session: orm.Session,
    rows: cabc.Sequence[tuple[Instance, Health]],
    events: cabc.Mapping[int, tuple[int, ...]],
    now: dt.datetime,
) -> list[InstanceStatus]:
    ids = [instance.id for instance, _ in rows]
    pollers: dict[int, list[Poller]] = {one: [] for one in ids}
    chosen = sa.select(Poller).where(Poller.instance_id.in_(ids), Poller.selected)
    for poller in session.scalars(chosen.order_by(Poller.id)):
        pollers[poller.instance_id].append(poller)
    undelivered = {
        instance_id: reason or f"the callback failed {failures} times in a row"
        for instance_id, reason, failures in session.execute(
            sa.select(Subscription.instance_id, Subscription.reason, Subscription.failures).where(
                Subscription.instance_id.in_(ids), stopped(now)
            )
        )
    }
    return [
        InstanceStatus(
            id=instance.id,
            name=instance.name,
            tags=tuple(instance.tags),
            vendor_type=instance.vendor_type,
            health=state,
            reason=_reason(
                instance, state, pollers[instance.id], undelivered.get(instance.id), now
            ),
            polled_at=_polled_at(instance, pollers[instance.id]),
            next_poll_at=instance.next_poll_at,
            lag=_lag(instance, state, pollers[instance.id], now),
            polling=instance.lease_until is not None and instance.lease_until > now,
            webhooks=(
                sum(one.get("status") == "active" for one in instance.hooks),
                len(instance.hooks),
            ),
            events=events.get(instance.id, ()),
        )
        for instance, state in rows
    ]


def _polled_at(instance: Instance, pollers: cabc.Sequence[Poller]) -> dt.datetime | None:
    dates = [complete_at(instance, poller) for poller in pollers]
    known = [date for date in dates if date is not None]
    return min(known) if known and len(known) == len(dates) else None


def _lag(
    instance: Instance, state: Health, pollers: cabc.Sequence[Poller], now: dt.datetime
) -> dt.timedelta | None:
    polled_at = _polled_at(instance, pollers)
    if state is Health.DISABLED or not instance.refresh_minutes or polled_at is None:
        return None
    # A poll takes time, and the store's clock may differ from ours.
    lag = now - polled_at - dt.timedelta(minutes=instance.refresh_minutes)
    return lag if lag > LATE_AFTER else dt.timedelta()


def _reason(
    instance: Instance,
    state: Health,
    pollers: cabc.Sequence[Poller],
    undelivered: str | None,
    now: dt.datetime,
) -> str:
    if state is Health.DISABLED:
        return "Polling is paused" if instance.disabled else "Events are disabled"
    if state is Health.FAILING:
        reasons = [
            f"{poller.resource}: {poller.error or 'disabled after failures'}"
            for poller in pollers
            if poller.error is not None or poller.state == PollerState.DISABLED
        ]
        if undelivered is not None:
            reasons.append(f"Deliveries are stopped: {undelivered}")
        return "; ".join(reasons)
    if state is Health.LATE and instance.next_poll_at is not None:
        minutes = int((now - instance.next_poll_at).total_seconds() // 60)
        return f"Due for {minutes} minutes; no worker has polled it"
    if state is Health.DEGRADED:
        return "; ".join(problems.texts(instance))
    if state is Health.STARTING and instance.connecting is not None:
        return "Connecting: the worker has not checked the store yet"
    if state is Health.STARTING:
        first = [poller.resource for poller in pollers if poller.state == PollerState.BASELINE]
        return f"Recording the baseline: {', '.join(first)}"
    return ""
