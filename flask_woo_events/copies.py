"""Copies: the request of a delivery as it was sent, built again to be looked at."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from . import profiles
from .crypto import Cipher
from .flow import notification as notifications
from .flow.notification import Sender
from .flow.outbox import Claimed, EventRecord
from .models import Event, EventType, Notification
from .values import MASK


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What was sent to a callback; of the instance's own headers only the names."""

    headers: cabc.Mapping[str, str]
    body: bytes


def of(
    session: orm.Session, cipher: Cipher, notification_id: int, at: dt.datetime | None
) -> Request:
    """The request of one attempt.

    The body has the bytes that were sent, as long as the instance kept its name and its tags.

    :param at: when the attempt was; ``None`` for one that is still to come.
    :raises SecretError: the signature key cannot be decrypted.
    """
    row = session.get_one(Notification, notification_id)
    profile = profiles.load_profile(session, row.instance_id)
    target = profiles.load_target(session, cipher, row.instance_id)
    told = _told(session, row)
    sender = Sender(
        instance_id=profile.id,
        name=profile.name,
        tags=profile.tags,
        account_id=profile.user_id,
        company_id=profile.organization_id,
        user_id=profile.user_id,
        filter_nulls=profile.filter_nulls,
    )
    body = notifications.build_body(told, sender)
    headers = notifications.build_headers(
        body,
        told,
        keys=target.signature_keys,
        extra=dict.fromkeys(target.headers, MASK),
        now=at or row.created_at,
    )
    if target.basic is not None:
        headers["Authorization"] = f"Basic {MASK}"
    return Request(headers=headers, body=body)


def _told(session: orm.Session, row: Notification) -> Claimed:
    """A notification as the dispatch has it, without a lease."""
    query = sa.select(Event).where(Event.notification_id == row.id).order_by(Event.id)
    return Claimed(
        delivery_id=0,
        token="",
        subscription_id=0,
        url="",
        attempts=0,
        first_failed_at=None,
        instance_id=row.instance_id,
        resource=row.resource,
        notification_id=row.id,
        event_id=row.event_id,
        poll_date=row.poll_date,
        created_at=row.created_at,
        events=tuple(
            EventRecord(
                id=event.id,
                object_id=event.object_id,
                event_type=EventType(event.event_type),
                version=event.version,
                date=event.date,
                body=event.body,
                changed_fields=tuple(event.changed_fields or ()),
            )
            for event in session.scalars(query)
        ),
    )
