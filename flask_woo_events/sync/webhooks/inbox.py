"""Arrivals: what the webhooks of stores said, kept until it is looked after."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ...db.leases import is_free
from ...db.models import Arrival, Instance
from ...instances.webhook_urls import Hook
from .parse import Hint

#: Arrivals that are looked after together.
TOGETHER = 1_000


@dataclasses.dataclass(frozen=True, slots=True)
class Arrived:
    """One webhook whose signature was right."""

    hook: Hook
    hint: Hint
    #: Our own clock.
    at: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """Arrivals of one instance that are looked after together."""

    hints: tuple[Hint, ...]
    #: Their rows, each by its id: one with a lower id than these may be committed after them.
    ids: tuple[int, ...]


# Made once, and one statement: a store waits for it.
_ADD = (
    sa.insert(Arrival)
    .from_select(
        ["instance_id", "topic", "collection", "object_id", "parent", "received_at"],
        sa.select(
            Instance.id,
            sa.bindparam("topic", type_=sa.String),
            sa.bindparam("collection", type_=sa.String),
            sa.bindparam("object_id", type_=sa.BigInteger),
            sa.bindparam("parent", type_=sa.BigInteger),
            sa.bindparam("received_at", type_=Arrival.received_at.type),
        ).where(
            Instance.id == sa.bindparam("instance_id"),
            Instance.hooks_epoch - sa.bindparam("epoch", type_=sa.Integer) <= 1,
        ),
    )
    .execution_options(preserve_rowcount=True)
)  # Otherwise it is -1 on PostgreSQL.


def add(connection: sa.Connection, arrived: cabc.Sequence[Arrived]) -> list[bool]:
    """Keep what webhooks said.

    :return: for each, whether it was kept; not when there is no such instance, or its secret is
        too old.
    """
    return [connection.execute(_ADD, _values(one)).rowcount == 1 for one in arrived]


def _values(one: Arrived) -> dict[str, object]:
    return {
        "instance_id": one.hook.instance_id,
        "epoch": one.hook.epoch,
        "topic": one.hint.topic,
        "collection": one.hint.collection,
        "object_id": one.hint.object_id,
        "parent": one.hint.parent,
        "received_at": one.at,
    }


def ping(connection: sa.Connection, pings: cabc.Sequence[tuple[Hook, dt.datetime]]) -> list[bool]:
    """Note that stores reached us.

    :return: for each, whether there is such an instance.
    """
    query = sa.update(Instance).where(Instance.id == sa.bindparam("number"))
    query = query.values(pinged_at=sa.bindparam("now", type_=Instance.pinged_at.type))
    return [
        connection.execute(query, {"number": hook.instance_id, "now": now}).rowcount == 1
        for hook, now in pings
    ]


def trusted(session: orm.Session, instance_id: int, webhook_id: int) -> bool:
    """Whether a webhook is one of ours that has been signing rightly."""
    hooks = session.scalar(sa.select(Instance.hooks).where(Instance.id == instance_id))
    return any(one.get("id") == webhook_id and not one.get("distrusted") for one in hooks or ())


def distrust(session: orm.Session, instance_id: int, webhook_id: int, now: dt.datetime) -> None:
    """Note that a webhook of ours signs with another secret; the guardian replaces it at once."""
    instance = session.get(Instance, instance_id, with_for_update=True)
    for one in instance.hooks if instance is not None else ():
        if instance is not None and one.get("id") == webhook_id and not one.get("distrusted"):
            others = [each for each in instance.hooks if each is not one]
            instance.hooks = [*others, {**one, "distrusted": True}]
            instance.hooks_due_at = now


def epoch_of(
    session: orm.Session, instance_id: int, organization_id: int | None = None
) -> int | None:
    """Which secret an instance's webhooks have now.

    :param organization_id: only of this organisation.
    """
    query = sa.select(Instance.hooks_epoch).where(Instance.id == instance_id)
    if organization_id is not None:
        query = query.where(Instance.organization_id == organization_id)
    return session.scalars(query).one_or_none()


def instances(session: orm.Session, now: dt.datetime, instance_id: int | None = None) -> list[int]:
    """Instances with arrivals that may be looked after, those waiting longest first.

    :param instance_id: only this one.
    """
    free = is_free(Instance.lease_until, now)
    query = (
        sa.select(Arrival.instance_id)
        .join(Instance, Instance.id == Arrival.instance_id)
        .where(free, Instance.events_enabled, sa.not_(Instance.disabled))
        .group_by(Arrival.instance_id)
        .order_by(sa.func.min(Arrival.id))
    )
    if instance_id is not None:
        query = query.where(Arrival.instance_id == instance_id)
    return list(session.scalars(query))


def waiting(session: orm.Session, instance_id: int) -> Waiting | None:
    """The oldest arrivals of an instance."""
    rows = session.execute(
        sa.select(Arrival.id, Arrival.topic, Arrival.collection, Arrival.object_id, Arrival.parent)
        .where(Arrival.instance_id == instance_id)
        .order_by(Arrival.id)
        .limit(TOGETHER)
    ).all()
    if not rows:
        return None
    return Waiting(tuple(Hint(*row[1:]) for row in rows), tuple(row.id for row in rows))


def remove(session: orm.Session, waiting: Waiting) -> None:
    """Forget arrivals that were looked after; those which came meanwhile stay."""
    session.execute(
        sa.delete(Arrival)
        .where(Arrival.id.in_(waiting.ids))
        .execution_options(synchronize_session=False)
    )
