"""Event detail: one recorded event with its object, its deliveries and their attempts."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Attempt, Delivery, Instance, StoredEvent, Subscription
from ..errors import NotFoundError
from .changes import Changes
from .search import EventEntry, entries_of

#: Member of a recorded body that is only the object's id, because the database did not take more.
TRUNCATED = "bodyTruncated"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEntry:
    """One attempt to deliver it."""

    at: dt.datetime
    seconds: float
    status_code: int | None
    reason: str
    #: The beginning of the answer.
    answer: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryEntry:
    """The delivery of its notification to one subscription."""

    id: int
    subscription_id: int
    channel: str
    #: The callback's address, or the handler's name.
    url: str
    status: str
    due_at: dt.datetime | None
    #: Whether notifications are sent to the subscription.
    active: bool
    #: Nothing is sent until a person resumes it.
    paused: bool
    #: The subscription wanted the event when it was recorded; otherwise it gets others only.
    has_event: bool
    attempts: tuple[AttemptEntry, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EventDetail:
    """One event with its object and the attempts to deliver it."""

    entry: EventEntry
    body: t.Any
    #: For UPDATED, the values that changed, if they are known.
    changes: Changes | None
    deliveries: tuple[DeliveryEntry, ...]

    @property
    def attempts(self) -> tuple[AttemptEntry, ...]:
        """The attempts of all of its deliveries."""
        return tuple(attempt for one in self.deliveries for attempt in one.attempts)


def load(session: orm.Session, event_id: int, organization_id: int | None = None) -> EventDetail:
    """Return one event with its object and its deliveries.

    :param organization_id: the organisation it must belong to; ``None``: any, for the command line.
    :raises NotFoundError: there is no such event, or it was deleted after its retention.
    """
    event = session.get(StoredEvent, event_id)
    if event is None or organization_id not in (None, _owner(session, event.instance_id)):
        raise NotFoundError(f"There is no event {event_id}; see: flask woo events list")
    return EventDetail(
        entry=entries_of(session, sa.select(StoredEvent).where(StoredEvent.id == event_id))[0],
        body=orjson.loads(event.body),
        changes=Changes.from_json(event.changes),
        deliveries=_deliveries(session, event),
    )


def _owner(session: orm.Session, instance_id: int) -> int:
    return session.get_one(Instance, instance_id).organization_id


def _deliveries(session: orm.Session, event: StoredEvent) -> tuple[DeliveryEntry, ...]:
    rows = session.execute(
        sa.select(Delivery, Subscription)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(Delivery.notification_id == event.notification_id)
        .order_by(Delivery.id)
    ).all()
    attempts: dict[int, list[AttemptEntry]] = {delivery.id: [] for delivery, _ in rows}
    query = sa.select(Attempt).where(Attempt.delivery_id.in_(attempts)).order_by(Attempt.id)
    for one in session.scalars(query):
        attempts[one.delivery_id].append(
            AttemptEntry(
                at=one.at,
                seconds=one.seconds,
                status_code=one.status_code,
                reason=one.reason,
                answer=one.answer,
            )
        )
    return tuple(
        DeliveryEntry(
            id=delivery.id,
            subscription_id=subscription.id,
            channel=subscription.channel,
            url=subscription.url,
            status=delivery.status,
            due_at=delivery.due_at,
            active=subscription.active and subscription.current,
            paused=subscription.paused,
            has_event=delivery.wanted is None or event.id in delivery.wanted,
            attempts=tuple(attempts[delivery.id]),
        )
        for delivery, subscription in rows
    )
