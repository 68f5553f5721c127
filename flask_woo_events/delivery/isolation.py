"""Isolation: what makes a delivery fail again and again is found, and waits by itself."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Delivery, Instance, Notification, Poller, Subscription
from ..db.states import Channel, DeliveryStatus
from ..events import delivery_states, division, outbox
from ..events.delivery_states import Part
from ..handlers import Route
from .claims import ClaimedDelivery


def isolate(
    session: orm.Session,
    failed: ClaimedDelivery,
    route: Route | None,
    clock: cabc.Callable[[], dt.datetime],
) -> bool:
    """Divide the notification of a delivery that failed again, and what waits for its objects.

    A callback gets the halves, now. A handler, or a receiver of single events that accepted some,
    has shown for which events it fails. A notification of one object is not divided, but those with
    its later versions are.

    :param route: of the handler, if there is one.
    :return: false if it is left as it is, because it is claimed, settled or deleted.
    """
    instance_id, poller_id = _lock(session, failed.notification.id)
    mine = Subscription.instance_id == instance_id
    subscriptions = delivery_states.lock_subscriptions(session, mine)
    delivery = session.get(Delivery, failed.delivery_id, populate_existing=True)
    if delivery is None or delivery.status != DeliveryStatus.RETRY:
        return False
    now = clock()
    if division.is_leased(session, delivery.notification_id, now):
        return False
    objects = division.events_of(session, delivery.notification_id)
    parts = _parts(objects, frozenset(delivery.handled or ()), failed, route)
    if len(parts) > 1:
        division.divide(session, delivery.notification_id, parts, delivery.subscription_id, now)
    else:
        delivery_states.isolate(session, [delivery.id])
    stuck = {objects[event] for one in parts if one.isolated for event in one.event_ids}
    division.set_apart(session, delivery.subscription_id, poller_id, sorted(stuck), now)
    outbox.wake(session, subscriptions, now)
    return True


def _lock(session: orm.Session, notification_id: int) -> tuple[int, int]:
    """Lock the instance and the poller, to which the rows of new notifications refer."""
    query = sa.select(Notification.instance_id, Notification.poller_id)
    row = session.execute(query.where(Notification.id == notification_id)).one_or_none()
    if row is None:
        return 0, 0
    for table, number in ((Instance, row.instance_id), (Poller, row.poller_id)):
        locked = sa.select(table.id).where(table.id == number)
        session.execute(locked.with_for_update(read=True, key_share=True)).all()
    return row.instance_id, row.poller_id


def _parts(
    objects: cabc.Mapping[int, str],
    handled: frozenset[int],
    failed: ClaimedDelivery,
    route: Route | None,
) -> list[Part]:
    """Return the parts of a notification; a single one if it is not divided.

    :param objects: of its events, by their ids.
    """
    by_object: dict[str, set[int]] = {}
    for event_id, object_id in objects.items():
        by_object.setdefault(object_id, set()).add(event_id)
    if handled:
        return _parts_by_event(by_object, handled, failed, route)
    sent = {one.object_id for one in failed.notification.events}
    groups = [ids for object_id, ids in by_object.items() if object_id in sent]
    # A handler was called for each; a receiver of single events may have got only the first.
    if len(groups) <= 1 or failed.channel == Channel.HANDLER:
        return [Part(event_ids=frozenset(objects), isolated=True)]
    half = len(groups) // 2
    second = frozenset[int]().union(*groups[half:])
    # What the subscription does not want stays with the first.
    return [
        Part(event_ids=frozenset(objects) - second, again=True),
        Part(event_ids=second, again=True),
    ]


def _parts_by_event(
    by_object: cabc.Mapping[str, set[int]],
    handled: frozenset[int],
    failed: ClaimedDelivery,
    route: Route | None,
) -> list[Part]:
    """Return one part for each object for which a handler fails, and one for all others."""
    resource = failed.notification.resource
    wanted = {
        event.id
        for event in failed.notification.events
        if route is None or event.is_wanted(resource, route.choice)
    }
    done = handled | (frozenset[int]().union(*by_object.values()) - wanted)
    groups = [frozenset(ids) for ids in by_object.values()]
    parts = [Part(event_ids=ids, isolated=True) for ids in groups if not ids <= done]
    accepted = frozenset[int]().union(*(ids for ids in groups if ids <= done))
    return [*parts, *([Part(event_ids=accepted, accepted=True)] if accepted else [])]
