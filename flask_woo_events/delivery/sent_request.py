"""The request of a delivery, built again as it was sent, to be displayed."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

from sqlalchemy import orm

from ..errors import NotFoundError, SecretError
from ..events import notifications
from ..values.crypto import Cipher
from ..values.validation import MASK
from . import destination, payload
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
) -> list[SentRequest]:
    """Return the requests of some attempts, which differ in what depends on the time.

    The body has the bytes that were sent, as long as the instance kept its name and its tags.

    :param cipher: ``None`` if there is no encryption key.
    :param dates: when each attempt was; ``None`` for one that is still to come.
    :param retired_after: a signature key that was replaced after this date signs, too.
    :raises NotFoundError: the notification was deleted after its retention.
    """
    notification = notifications.load(session, [notification_id]).get(notification_id)
    if notification is None:
        raise NotFoundError("No notification found")
    instance_id = notification.instance_id
    credentials, incomplete = CallbackCredentials(), "WOO_EVENTS_ENCRYPTION_KEYS is empty"
    if cipher is not None:
        try:
            credentials = destination.load_credentials(session, cipher, instance_id, retired_after)
            incomplete = ""
        except SecretError as exc:
            incomplete = str(exc)
    body = payload.build_body(notification, destination.load_sender(session, instance_id))
    sent = []
    for at in dates:
        headers = payload.build_headers(
            body,
            notification.event_id,
            keys=credentials.signature_keys,
            extra=dict.fromkeys(credentials.headers, MASK),
            now=at or notification.created_at,
        )
        if credentials.basic is not None:
            headers["Authorization"] = f"Basic {MASK}"
        sent.append(SentRequest(headers=headers, body=body, incomplete=incomplete))
    return sent
