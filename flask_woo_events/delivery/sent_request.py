"""Copies: the request of a delivery as it was sent, built again to be looked at."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

from sqlalchemy import orm

from ..errors import NotFoundError
from ..events import notifications
from ..values.crypto import Cipher
from ..values.validation import MASK
from . import destination, payload


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentRequest:
    """What was sent to a callback; of the instance's own headers only the names."""

    headers: cabc.Mapping[str, str]
    body: bytes


def of(
    session: orm.Session,
    cipher: Cipher,
    notification_id: int,
    dates: cabc.Sequence[dt.datetime | None],
    retired_after: dt.datetime,
) -> list[SentRequest]:
    """The requests of some attempts, which differ in what depends on the time.

    The body has the bytes that were sent, as long as the instance kept its name and its tags.

    :param dates: when each attempt was; ``None`` for one that is still to come.
    :param retired_after: a signature key that was replaced after that signs too.
    :raises NotFoundError: its retention is over.
    :raises SecretError: the signature key cannot be decrypted.
    """
    told = notifications.load(session, [notification_id]).get(notification_id)
    if told is None:
        raise NotFoundError("No notification found")
    target = destination.load_target(session, cipher, told.instance_id, retired_after)
    body = payload.build_body(told, destination.load_sender(session, told.instance_id))
    copies = []
    for at in dates:
        headers = payload.build_headers(
            body,
            told.event_id,
            keys=target.signature_keys,
            extra=dict.fromkeys(target.headers, MASK),
            now=at or told.created_at,
        )
        if target.basic is not None:
            headers["Authorization"] = f"Basic {MASK}"
        copies.append(SentRequest(headers=headers, body=body))
    return copies
