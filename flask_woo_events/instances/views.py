"""Views of instances, for the API, the console and the commands."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Instance, Subscription, User
from ..db.states import Channel
from ..events import webhook_coverage
from ..events.webhook_coverage import CoverageCounts
from . import configuration as configurations
from . import holds, pollers, problems
from .accounts import Caller
from .configuration import ConfigurationEntry
from .connecting import ConnectionState, state_of
from .holds import HoldView
from .lifecycle import find
from .problems import Problem
from .requests import key_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class PollerView:
    """The state of the poller of one resource."""

    resource: str
    url: str
    state: str
    failures: int
    error: str | None
    polled_at: dt.datetime | None
    #: Time of the next try after a failure, if it is not the next poll of the instance.
    retry_at: dt.datetime | None
    #: Fields that do not count as a change: those of the configuration, or those found unstable.
    ignored_fields: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceView:
    """An instance for display."""

    id: int
    name: str
    tags: tuple[str, ...]
    created_at: dt.datetime
    disabled: bool
    #: Whether the store was checked.
    state: ConnectionState
    events_enabled: bool
    vendor_type: str
    user_id: int
    user_name: str
    callback_url: str
    subscription_id: int | None
    configuration: tuple[ConfigurationEntry, ...]
    pollers: tuple[PollerView, ...]
    store_facts: cabc.Mapping[str, t.Any]
    next_poll_at: dt.datetime | None
    #: Minutes between two polls; 0 for none.
    refresh_minutes: int
    #: Our webhooks at the store: ``topic``, ``id``, ``status``, ``error``.
    webhooks: tuple[cabc.Mapping[str, t.Any], ...]
    #: How completely the webhooks reported changes, by resource.
    tally: cabc.Mapping[str, tuple[CoverageCounts, dt.datetime]]
    #: Whether the companion plugin's journal is read: ``state``, ``head``, ``reason``.
    journal: cabc.Mapping[str, t.Any]
    #: What a person should know of the store, the latest last: ``date``, ``kind``, ``text``.
    notices: tuple[cabc.Mapping[str, t.Any], ...]
    #: What is not sent until a person accepts it, or the store shows something else.
    hold: HoldView | None
    #: What makes it send less or later than it should.
    problems: tuple[Problem, ...]


def get(session: orm.Session, caller: Caller, instance_id: int, now: dt.datetime) -> InstanceView:
    """Return one instance.

    :param now: for its problems.
    :raises NotFoundError: the caller's organisation has no instance with this id.
    """
    return _view(session, find(session, caller, instance_id), now)


def list_(
    session: orm.Session,
    caller: Caller,
    now: dt.datetime,
    *,
    tags: cabc.Sequence[str] = (),
    search: str = "",
    after_id: int = 0,
    limit: int = 200,
) -> list[InstanceView]:
    """Return the instances of the caller's organisation, by id.

    :param tags: only instances with all of these tags.
    :param search: only instances whose name contains this, case-insensitive.
    :param after_id: only later ids, for paging.
    """
    query = sa.select(Instance).where(
        Instance.organization_id == caller.organization_id, Instance.id > after_id
    )
    if "\0" in search:
        return []  # no name holds NUL, and PostgreSQL refuses it in a parameter
    if search:
        query = query.where(sa.func.lower(Instance.name).contains(search.lower(), autoescape=True))
    found = []
    for instance in session.scalars(query.order_by(Instance.id)):
        if set(tags) <= set(instance.tags):
            found.append(_view(session, instance, now))
            if len(found) == limit:
                break
    return found


def _view(session: orm.Session, instance: Instance, now: dt.datetime) -> InstanceView:
    entries = tuple(configurations.entries(session, instance.id))
    subscription = session.scalars(
        sa.select(Subscription).where(
            Subscription.instance_id == instance.id,
            Subscription.current,
            Subscription.channel == Channel.WEBHOOK,
        )
    ).one_or_none()
    kept = {entry.key: entry.value for entry in entries}
    selected = [one for one in pollers.of_instance(session, instance.id) if one.selected]
    user = session.get_one(User, instance.user_id)
    return InstanceView(
        id=instance.id,
        name=instance.name,
        tags=tuple(instance.tags),
        created_at=instance.created_at,
        disabled=instance.disabled,
        state=state_of(instance),
        events_enabled=instance.events_enabled,
        vendor_type=instance.vendor_type,
        user_id=user.id,
        user_name=user.name,
        callback_url=kept.get(key_of("callback_url"), ""),
        subscription_id=subscription.id if subscription is not None else None,
        configuration=entries,
        pollers=tuple(
            PollerView(
                resource=poller.resource,
                url=poller.configuration["url"],
                state=poller.state,
                failures=poller.failures,
                error=poller.error,
                polled_at=poller.polled_at,
                retry_at=poller.retry_at,
                ignored_fields=pollers.ignored_fields(poller),
            )
            for poller in selected
        ),
        store_facts=instance.store_facts,
        next_poll_at=instance.next_poll_at,
        refresh_minutes=instance.refresh_minutes,
        notices=tuple(instance.notices),
        hold=holds.of_instance(session, instance, selected),
        problems=problems.of_instance(session, instance, now),
        journal=_journal(instance),
        webhooks=tuple(instance.hooks),
        tally=webhook_coverage.of_instance(session, instance.id),
    )


def _journal(instance: Instance) -> dict[str, t.Any]:
    kept = instance.journal
    position = kept.get("position")
    absent = "the plugin is not installed" if instance.store_facts.get("journal") is False else ""
    return {
        "state": "following" if position else "absent" if kept or absent else "unknown",
        "head": position["after"] if position else None,
        "reason": kept.get("reason") or ("" if position else absent),
    }
