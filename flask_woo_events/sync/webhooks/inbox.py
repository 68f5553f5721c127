"""The inbox: webhooks that were received, stored until they are processed."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ...db.leases import is_enabled, is_free
from ...db.models import Arrival, Instance
from ...instances import circuit
from ...instances.webhook_urls import Hook
from ..hint import Hint
from .waiting import PREFIX, RESOURCE, Waiting

#: Webhooks that are processed together.
BATCH_SIZE = 1_000
#: How long the processing of webhooks stays away from an instance whose poll is due, so that every
#: poller that looks once a second can claim it.
LEFT_TO_POLLS = dt.timedelta(seconds=5)


@dataclasses.dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    """One webhook whose signature was verified."""

    hook: Hook
    hint: Hint
    #: When it was received, by our own clock.
    at: dt.datetime
    #: The trace context of the span that received it.
    trace: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class PendingWebhooks:
    """Webhooks of one instance that are processed together."""

    hints: tuple[Hint, ...]
    #: The id of each row: a row with a lower id may be committed after these were read.
    ids: tuple[int, ...]
    #: The trace context of each, if it has one.
    traces: tuple[str | None, ...]


#: Instances with the secret of a webhook, or with the one after it.
_KNOWN = (
    Instance.id == sa.bindparam("instance_id"),
    Instance.hooks_epoch - sa.bindparam("epoch", type_=sa.Integer) <= 1,
)
# Built once, and a single statement: the store waits for it.
_ADD = (
    sa.insert(Arrival)
    .from_select(
        ["instance_id", "topic", "collection", "object_id", "parent", "received_at", "trace"],
        sa.select(
            Instance.id,
            sa.bindparam("topic", type_=sa.String),
            sa.bindparam("collection", type_=sa.String),
            sa.bindparam("object_id", type_=sa.BigInteger),
            sa.bindparam("parent", type_=sa.BigInteger),
            sa.bindparam("received_at", type_=Arrival.received_at.type),
            sa.bindparam("trace", type_=sa.String),
        ).where(*_KNOWN, is_enabled()),
    )
    .execution_options(preserve_rowcount=True)
)  # Otherwise it is -1 on PostgreSQL.
_FIND = sa.select(Instance.id).where(*_KNOWN)


def add(connection: sa.Connection, received: cabc.Sequence[ReceivedWebhook]) -> list[bool]:
    """Store webhooks, but none of a paused instance: the poll after the pause reads everything.

    :return: for each, whether it was accepted: not if the instance does not exist or its secret is
        too old.
    """
    instances = [one.hook.instance_id for one in received]
    return _by_instance(instances, lambda at: _add(connection, _values(received[at])))


def _add(connection: sa.Connection, values: dict[str, object]) -> bool:
    return (
        connection.execute(_ADD, values).rowcount == 1
        or connection.execute(_FIND, values).first() is not None
    )


def _by_instance(instances: cabc.Sequence[int], do: cabc.Callable[[int], bool]) -> list[bool]:
    """Call a function for the index of each instance, in the order in which all lock instances."""
    order = sorted(range(len(instances)), key=instances.__getitem__)
    done = {at: do(at) for at in order}
    return [done[at] for at in range(len(instances))]


def _values(one: ReceivedWebhook) -> dict[str, object]:
    return {
        "instance_id": one.hook.instance_id,
        "epoch": one.hook.epoch,
        "topic": one.hint.topic,
        "collection": one.hint.collection,
        "object_id": one.hint.object_id,
        "parent": one.hint.parent,
        "received_at": one.at,
        "trace": one.trace,
    }


def ping(connection: sa.Connection, pings: cabc.Sequence[tuple[Hook, dt.datetime]]) -> list[bool]:
    """Store when WooCommerce's test request reached each instance.

    :return: for each, whether the instance exists.
    """
    query = sa.update(Instance).where(Instance.id == sa.bindparam("number"))
    query = query.values(pinged_at=sa.bindparam("now", type_=Instance.pinged_at.type))
    numbers = [hook.instance_id for hook, _ in pings]
    rows = [{"number": hook.instance_id, "now": now} for hook, now in pings]
    return _by_instance(numbers, lambda at: connection.execute(query, rows[at]).rowcount == 1)


def trusted(session: orm.Session, instance_id: int, webhook_id: int) -> bool:
    """Return whether we registered this webhook and its signatures have been right so far."""
    hooks = session.scalar(sa.select(Instance.hooks).where(Instance.id == instance_id))
    return any(one.get("id") == webhook_id and not one.get("distrusted") for one in hooks or ())


def distrust(session: orm.Session, instance_id: int, webhook_id: int, now: dt.datetime) -> None:
    """Mark a webhook that signs with another secret, so that it is replaced without delay."""
    instance = session.get(Instance, instance_id, with_for_update=True)
    for one in instance.hooks if instance is not None else ():
        if instance is not None and one.get("id") == webhook_id and not one.get("distrusted"):
            others = [each for each in instance.hooks if each is not one]
            instance.hooks = [*others, {**one, "distrusted": True}]
            instance.hooks_due_at = now


def epoch_of(
    session: orm.Session, instance_id: int, organization_id: int | None = None
) -> int | None:
    """Return the number of the secret that an instance's webhooks have now.

    :param organization_id: only if the instance belongs to this organization.
    """
    query = sa.select(Instance.hooks_epoch).where(Instance.id == instance_id)
    if organization_id is not None:
        query = query.where(Instance.organization_id == organization_id)
    return session.scalars(query).one_or_none()


def due_instances(
    session: orm.Session,
    now: dt.datetime,
    instance_id: int | None = None,
    *,
    slow: bool | None = None,
) -> list[int]:
    """Return the instances whose pending webhooks can be processed, the longest waiting first.

    An instance whose poll is due is left to it for a time after webhooks were processed. What waits
    after a failed attempt does not count before its time.

    :param instance_id: only this one.
    :param slow: only those whose stores did not answer promptly, or only the others.
    """
    free = sa.or_(
        is_free(Instance.lease_until, now - LEFT_TO_POLLS),
        sa.and_(is_free(Instance.lease_until, now), Instance.next_poll_at > now),
    )
    query = (
        sa.select(Arrival.instance_id)
        .join(Instance, Instance.id == Arrival.instance_id)
        .where(free, is_enabled(), _is_ready(now), circuit.chosen(slow))
        .group_by(Arrival.instance_id)
        .order_by(sa.func.min(Arrival.id))
    )
    if instance_id is not None:
        query = query.where(Arrival.instance_id == instance_id)
    return list(session.scalars(query))


def _is_ready(now: dt.datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a webhook need not wait, or no longer."""
    return sa.or_(sa.not_(Arrival.topic.startswith(PREFIX)), Arrival.received_at <= now)


def pending(session: orm.Session, instance_id: int, now: dt.datetime) -> PendingWebhooks | None:
    """Return the oldest pending webhooks of an instance that need not wait, if it has any."""
    rows = session.execute(
        sa.select(
            Arrival.topic,
            Arrival.collection,
            Arrival.object_id,
            Arrival.parent,
            Arrival.id,
            Arrival.trace,
        )
        .where(Arrival.instance_id == instance_id, _is_ready(now))
        .order_by(Arrival.id)
        .limit(BATCH_SIZE)
    ).all()
    if not rows:
        return None
    return PendingWebhooks(
        tuple(Hint(*row[:4]) for row in rows),
        tuple(row.id for row in rows),
        tuple(row.trace for row in rows),
    )


def failing_resources(
    session: orm.Session, instance_id: int, now: dt.datetime
) -> dict[str, tuple[int, dt.datetime]]:
    """Return the failures and the next attempt of each collection that waits as a whole."""
    rows = session.execute(
        sa.select(Arrival.collection, Arrival.topic, sa.func.min(Arrival.received_at))
        .where(
            Arrival.instance_id == instance_id,
            Arrival.topic.startswith(RESOURCE),
            Arrival.received_at > now,
        )
        .group_by(Arrival.collection, Arrival.topic)
    )
    found: dict[str, tuple[int, dt.datetime]] = {}
    for name, topic, until in rows:
        collection = str(name)
        failures = int(topic.removeprefix(RESOURCE))
        found[collection] = max(found.get(collection, (0, until)), (failures, until))
    return found


def wait(session: orm.Session, instance_id: int, waiting: cabc.Iterable[Waiting]) -> None:
    """Store hints that could not be followed, each until its next attempt."""
    session.add_all(
        Arrival(
            instance_id=instance_id,
            topic=one.topic,
            collection=one.collection,
            object_id=one.named.object_id,
            parent=one.named.parent,
            received_at=one.until,
            trace=one.trace,
        )
        for one in waiting
    )


def remove(session: orm.Session, processed: PendingWebhooks) -> None:
    """Delete processed webhooks; any that were received meanwhile stay."""
    session.execute(
        sa.delete(Arrival)
        .where(Arrival.id.in_(processed.ids))
        .execution_options(synchronize_session=False)
    )
