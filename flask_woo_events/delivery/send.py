"""The delivery: one attempt to hand a notification to its callback."""

from __future__ import annotations

import base64
import collections.abc as cabc
import dataclasses
import datetime as dt
import email.utils
import http
import time

import requests

from ..errors import TransportError
from ..events.notifications import NotificationRecord
from ..http.exchange import Exchange, Timeouts, exchange
from ..values.validation import MASK
from . import payload
from .payload import Sender
from .results import ANSWER_KEPT
from .retry import AttemptOutcome

#: Texts that are shorter are not looked for in answers.
SECRET_LENGTH = 4
#: Bytes of a callback's answer that are read at all.
ANSWER_READ = 65536


@dataclasses.dataclass(frozen=True)
class CallbackCredentials:
    """What an instance wants its callback to be sent with."""

    #: Signature keys, oldest first.
    signature_keys: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    headers: cabc.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    basic: tuple[str, str] | None = dataclasses.field(default=None, repr=False)


def attempt(
    session: requests.Session,
    told: NotificationRecord,
    url: str,
    sender: Sender,
    target: CallbackCredentials,
    *,
    timeouts: Timeouts,
    now: dt.datetime,
) -> AttemptOutcome:
    """POST a notification once; never raises for what the callback does.

    :param now: our own clock, for the signature's timestamp.
    """
    body = payload.build_body(told, sender)
    headers = payload.build_headers(
        body, told.event_id, keys=target.signature_keys, extra=target.headers, now=now
    )
    began = time.monotonic()
    try:
        answer = exchange(
            session,
            "POST",
            url,
            headers=headers,
            data=body,
            auth=target.basic,
            timeouts=timeouts,
            max_bytes=ANSWER_READ,
        )
    except TransportError as exc:
        return AttemptOutcome(delivered=False, reason=str(exc), seconds=time.monotonic() - began)
    return outcome_of(answer, target, now)


def outcome_of(answer: Exchange, target: CallbackCredentials, now: dt.datetime) -> AttemptOutcome:
    """What a callback's answer means."""
    try:
        phrase = http.HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    reason = f"{answer.status} {phrase}".strip()
    if 300 <= answer.status < 400:
        reason += "; redirects are not followed, put the final address into the callback URL"
    return AttemptOutcome(
        delivered=200 <= answer.status < 300,
        reason=reason,
        status_code=answer.status,
        answer=_shown(answer.body, target),
        seconds=answer.seconds,
        retry_after=_retry_after(answer.headers.get("Retry-After"), now),
    )


def _shown(body: bytes, target: CallbackCredentials) -> str:
    """The beginning of an answer, without the secrets that an echo of our request holds."""
    text = body.decode("utf-8", "replace").replace("\0", "")
    for secret in sorted(_secrets(target), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text[:ANSWER_KEPT]


def _secrets(target: CallbackCredentials) -> set[str]:
    secrets = {*target.signature_keys, *target.headers.values()}
    if target.basic is not None:
        user, password = (part.encode("latin-1") for part in target.basic)
        secrets |= {password.decode("utf-8", "replace")}
        secrets |= {base64.b64encode(user + b":" + password).decode()}
    # What is as short as a word would be found everywhere.
    return {one for one in secrets if len(one) >= SECRET_LENGTH}


def _retry_after(header: str | None, now: dt.datetime) -> float | None:
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=dt.UTC)
    return max((date - now).total_seconds(), 0.0)
