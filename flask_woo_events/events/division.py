"""Division: the events of one notification become several, so that a part can go on by itself.

A receiver that refuses one object refuses the notification that holds it, with all the others. A
notification that keeps failing is therefore divided until the object is alone, and notifications
with later versions of it are divided, too. The parts are notifications as all others, with ids of
their own; the first one keeps the ids of the whole. What is sent with an id is never more than what
was sent with it before.

The versions of one object stay together. The subscriptions of the instance are locked by the
caller, and before them its instance and its poller.
"""

from __future__ import annotations

import collections
import collections.abc as cabc
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db import epochs
from ..db.models import Delivery, Notification, StoredEvent, Wait
from ..db.states import UNSETTLED
from . import delivery_order, delivery_states
from .delivery_order import in_parts
from .delivery_states import Part


def divide(
    session: orm.Session,
    notification_id: int,
    parts: cabc.Sequence[Part],
    subscription_id: int,
    now: dt.datetime,
) -> list[int]:
    """Divide a notification, and return the ids of its parts.

    :param subscription_id: the subscription that refuses the whole; others get the parts as well.
    """
    epoch = epochs.current(session)
    whole = session.get_one(Notification, notification_id, populate_existing=True)
    rows = [
        Notification(
            instance_id=whole.instance_id,
            poller_id=whole.poller_id,
            origin_id=whole.origin_id or whole.id,
            event_id=epochs.new_event_id(epoch),
            resource=whole.resource,
            poll_date=whole.poll_date,
            size=len(part.event_ids),
            trace=whole.trace,
            created_at=whole.created_at,
        )
        for part in parts[1:]
    ]
    whole.size = len(parts[0].event_ids)
    session.add_all(rows)
    session.flush()
    for row, part in zip(rows, parts[1:], strict=True):
        session.execute(
            sa.update(StoredEvent)
            .where(StoredEvent.id.in_(part.event_ids))
            .values(notification_id=row.id)
            .execution_options(synchronize_session=False)
        )
    ids = [whole.id, *(row.id for row in rows)]
    _divide_deliveries(session, dict(zip(ids, parts, strict=True)), subscription_id, now)
    return ids


def _divide_deliveries(
    session: orm.Session,
    parts: cabc.Mapping[int, Part],
    subscription_id: int,
    now: dt.datetime,
) -> None:
    """Give the parts of a notification the deliveries that the whole had; none of these is leased.

    :param parts: by the ids of their notifications; the first is that of the whole.
    """
    whole = sa.select(Delivery).where(Delivery.notification_id == next(iter(parts)))
    for row in session.scalars(whole.execution_options(populate_existing=True)).all():
        refusing = row.subscription_id == subscription_id
        mine = delivery_states.divide(session, row, parts, now, refusing=refusing)
        ends = sa.or_(Wait.delivery_id == row.id, Wait.after_id == row.id)
        session.execute(sa.delete(Wait).where(ends))
        delivery_order.keep_of(session, row.subscription_id, mine)


def set_apart(
    session: orm.Session,
    subscription_id: int,
    poller_id: int,
    objects: cabc.Iterable[str],
    now: dt.datetime,
) -> dict[str, int]:
    """Divide what waits for a subscription, so that versions of some objects are by themselves.

    What is being attempted is left as it is.

    :return: the new notifications of the objects whose events were moved.
    """
    moved: dict[str, int] = {}
    alone: set[int] = set()
    for number, by_object in _waiting(session, subscription_id, poller_id, objects).items():
        ids = frozenset(events_of(session, number))
        rest = ids.difference(*by_object.values())
        parts = [Part(event_ids=frozenset(one), isolated=True) for one in by_object.values()]
        names = list(by_object)
        if rest:
            parts.insert(0, Part(event_ids=rest))
        else:
            del names[0]
        if len(parts) == 1:
            alone.add(number)
        elif not is_leased(session, number, now):
            divided = divide(session, number, parts, subscription_id, now)
            moved.update(zip(names, divided[1:], strict=True))
    for numbers in in_parts(alone):
        mine = sa.select(Delivery.id).where(
            Delivery.subscription_id == subscription_id, Delivery.notification_id.in_(numbers)
        )
        delivery_states.isolate(session, session.scalars(mine).all())
    return moved


def _waiting(
    session: orm.Session, subscription_id: int, poller_id: int, objects: cabc.Iterable[str]
) -> dict[int, dict[str, set[int]]]:
    """Return the events of objects that wait for a subscription, by notification and object."""
    found: dict[int, dict[str, set[int]]] = collections.defaultdict(dict)
    for names in in_parts(objects):
        query = (
            sa.select(StoredEvent.notification_id, StoredEvent.object_id, StoredEvent.id)
            .join(Delivery, Delivery.notification_id == StoredEvent.notification_id)
            .where(
                StoredEvent.poller_id == poller_id,
                StoredEvent.object_id.in_(names),
                Delivery.subscription_id == subscription_id,
                Delivery.status.in_(UNSETTLED),
                sa.not_(Delivery.isolated),
            )
            .order_by(StoredEvent.id)
        )
        for number, object_id, event_id in session.execute(query):
            found[number].setdefault(object_id, set()).add(event_id)
    return found


def events_of(session: orm.Session, notification_id: int) -> dict[int, str]:
    """Return the objects of a notification's events by the ids of these, in their order."""
    query = (
        sa.select(StoredEvent.id, StoredEvent.object_id)
        .where(StoredEvent.notification_id == notification_id)
        .order_by(StoredEvent.id)
    )
    return {event_id: object_id for event_id, object_id in session.execute(query)}


def is_leased(session: orm.Session, notification_id: int, now: dt.datetime) -> bool:
    """Return whether a worker attempts a delivery of a notification, to any subscription.

    The lease of a killed worker stays in its row while the subscription is paused or stopped.
    """
    query = sa.select(sa.func.count()).where(
        Delivery.notification_id == notification_id,
        Delivery.lease_token.is_not(None),
        Delivery.lease_until >= now,
    )
    return bool(session.scalar(query))
