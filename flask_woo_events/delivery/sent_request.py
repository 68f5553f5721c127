"""The request of a delivery, built again as it was sent, to be displayed."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Delivery, Subscription
from ..db.states import OWN_CHANNELS
from ..errors import NotFoundError, SecretError
from ..events import notifications, subscription_options
from ..events.notifications import NotificationRecord
from ..events.subscription_options import SubscriptionOptions
from ..values.cloud_elements import Format
from ..values.crypto import Cipher
from ..values.validation import MASK
from . import cloudevents, destination, payload
from .send import CallbackCredentials


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentRequest:
    """What was sent to a callback; of the instance's own headers only the names."""

    headers: cabc.Mapping[str, str]
    body: bytes
    #: Why the headers lack what depends on secrets; empty if they are complete.
    incomplete: str = ""


def of(
    session: orm.Session,
    cipher: Cipher | None,
    notification_id: int,
    dates: cabc.Sequence[dt.datetime | None],
    retired_after: dt.datetime,
    subscription_id: int | None = None,
    event_id: int | None = None,
) -> list[SentRequest]:
    """Return the requests of some attempts, which differ in what depends on the time.

    The body has the bytes that were sent, as long as the instance kept its name and its tags.

    :param cipher: ``None`` if there is no encryption key.
    :param dates: when each attempt was; ``None`` for one that is still to come.
    :param retired_after: a signature key that was replaced after this date signs, too.
    :param subscription_id: the receiver, by default the callback of the instance's configuration.
    :param event_id: of CloudEvents, which have a request for each event, the event; by default the
        first one.
    :raises NotFoundError: the notification was deleted after its retention.
    """
    notification = notifications.load(session, [notification_id]).get(notification_id)
    if notification is None:
        raise NotFoundError("No notification found")
    instance_id = notification.instance_id
    row = session.get(Subscription, subscription_id) if subscription_id is not None else None
    options = subscription_options.read(row.options if row is not None else None)
    notification = _chosen(session, notification, row, options)
    own = row.id if row is not None and row.channel in OWN_CHANNELS else None
    credentials, incomplete = _credentials(session, cipher, instance_id, retired_after, own)
    sender = destination.load_sender(session, instance_id, options.format)
    message_id, body = notification.event_id, payload.build_body(notification, sender)
    content_type = "application/json"
    if sender.format is Format.CLOUDEVENTS:
        mine = (one for one in notification.events if one.id == event_id)
        event = next(mine, notification.events[0])
        message_id = cloudevents.event_id(notification, event)
        body = cloudevents.build_body(notification, event, sender)
        content_type = cloudevents.CONTENT_TYPE
    sent = []
    for at in dates:
        headers = payload.build_headers(
            body,
            message_id,
            keys=credentials.signature_keys,
            extra=dict.fromkeys(credentials.headers, MASK),
            now=at or notification.created_at,
            content_type=content_type,
        )
        if credentials.basic is not None:
            headers["Authorization"] = f"Basic {MASK}"
        sent.append(SentRequest(headers=headers, body=body, incomplete=incomplete))
    return sent


def _credentials(
    session: orm.Session,
    cipher: Cipher | None,
    instance_id: int,
    retired_after: dt.datetime,
    own: int | None,
) -> tuple[CallbackCredentials, str]:
    """Return the credentials, or none and why they cannot be read."""
    if cipher is None:
        return CallbackCredentials(), "WOO_EVENTS_ENCRYPTION_KEYS is empty"
    try:
        found = destination.load_credentials(session, cipher, instance_id, retired_after, own)
    except SecretError as exc:
        return CallbackCredentials(), str(exc)
    return found, ""


def _chosen(
    session: orm.Session,
    notification: NotificationRecord,
    row: Subscription | None,
    options: SubscriptionOptions,
) -> NotificationRecord:
    """Return a notification with the events that a subscription got; all if it wants none now."""
    if row is None:
        return notification
    wanted = session.scalar(
        sa.select(Delivery.wanted).where(
            Delivery.notification_id == notification.id, Delivery.subscription_id == row.id
        )
    )
    target = notifications.target_of(row.channel, row.id)
    chosen = notifications.chosen(notification, wanted, options.choice, target)
    return chosen if chosen.events else notification
