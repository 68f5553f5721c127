"""Daily checkpoints: recorded as operational events, consistent with the events before them."""

from __future__ import annotations

import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Instance, Notification, Poller, Subscription
from ..db.states import Channel
from ..events import operational, subscription_options
from ..events.operational import Occurrence
from ..instances import checkpoint
from ..instances.checkpoint import ResourceCheckpoint
from ..runtime import Runtime
from ..values.dates import iso_z
from ..values.operational_kinds import CHECKPOINT

#: From one checkpoint of an instance to the next.
EVERY = dt.timedelta(days=1)


def due(runtime: Runtime) -> list[int]:
    """Return the instances whose checkpoint is due, and all without one if a handler asks."""
    condition: sa.ColumnElement[bool] = Instance.checkpoint_at <= runtime.clock()
    if _is_handled(runtime):
        condition = sa.or_(condition, Instance.checkpoint_at.is_(None))
    with runtime.database.read() as session:
        return list(session.scalars(sa.select(Instance.id).where(condition).order_by(Instance.id)))


def record(runtime: Runtime, instance_id: int) -> bool:
    """Record the checkpoint of an instance; false if another worker has just done it.

    After a pause of days, an instance gets one.
    """
    return runtime.database.transact(
        lambda session: _record(
            session, instance_id, runtime.clock(), by_handler=_is_handled(runtime)
        )
    )


def _is_handled(runtime: Runtime) -> bool:
    return any(CHECKPOINT in one.kinds for one in runtime.handlers.operational_routes())


def _record(session: orm.Session, instance_id: int, now: dt.datetime, *, by_handler: bool) -> bool:
    instance = session.get(Instance, instance_id, with_for_update={"key_share": True})
    if instance is None:
        return False
    due = instance.checkpoint_at
    if (due is None and not by_handler) or (due is not None and due > now):
        return False
    if not by_handler and not _is_wanted(session, instance_id):
        instance.checkpoint_at = None
        return False
    following = now if due is None else due + EVERY
    instance.checkpoint_at = following if following > now else now + EVERY
    # Each way into the ledger locks the poller first: nothing is recorded while they are counted.
    mine = sa.select(Poller.id, Poller.resource).where(
        Poller.instance_id == instance_id, Poller.selected
    )
    locked = mine.order_by(Poller.id).with_for_update()
    pollers = {row.resource: row.id for row in session.execute(locked)}
    what = Occurrence(
        kind=CHECKPOINT,
        text="what each resource has, with all notifications up to the last one",
        more={
            "resources": [
                _shown(one, _last_notification(session, pollers[one.resource]))
                for one in checkpoint.of_instance(session, instance_id)
            ]
        },
    )
    operational.record(session, instance_id, what, now)
    return True


def _is_wanted(session: orm.Session, instance_id: int) -> bool:
    query = sa.select(Subscription.options).where(
        Subscription.instance_id == instance_id,
        Subscription.current,
        Subscription.channel == Channel.OPERATIONAL,
    )
    return any(subscription_options.read(one).checkpoint for one in session.scalars(query))


def _last_notification(session: orm.Session, poller_id: int) -> int | None:
    """Return the id of the last notification of a poller, which its lock keeps the last."""
    query = sa.select(sa.func.max(Notification.id)).where(Notification.poller_id == poller_id)
    return session.scalar(query)


def _shown(one: ResourceCheckpoint, last: int | None) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {
        "resource": one.resource,
        "count": one.count,
        "digest": one.digest,
        "lastNotificationId": None if last is None else str(last),
        "date": None if one.date is None else iso_z(one.date),
        "pollDate": None if one.poll_date is None else iso_z(one.poll_date),
    }
    return {name: value for name, value in found.items() if value is not None}
