"""Sending: one HTTP request with a notification to its callback."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import http
import time
import urllib.parse

import requests

from .. import tracing
from ..errors import TransportError
from ..events.notifications import NotificationRecord
from ..http.exchange import Exchange, Timeouts, exchange
from ..http.headers import retry_after
from ..values.masking import SecretMask, secrets_of_basic, secrets_of_headers
from . import payload
from .payload import Sender
from .results import ANSWER_KEPT
from .retry import AttemptOutcome

#: Bytes of a callback's answer that are read at most.
ANSWER_READ = 65536
#: The domain of the retired service. A documented call names an address there as its callback, and
#: nobody answers for who owns it next.
RETIRED = "cloud-elements.com"


@dataclasses.dataclass(frozen=True)
class CallbackCredentials:
    """What requests to an instance's callback are sent with: keys, headers and Basic auth."""

    #: Signature keys, oldest first.
    signature_keys: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    headers: cabc.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    basic: tuple[str, str] | None = dataclasses.field(default=None, repr=False)

    @property
    def mask(self) -> SecretMask:
        """What hides these secrets in the answers of the callback."""
        secrets = {*self.signature_keys, *secrets_of_headers(self.headers)}
        if self.basic is not None:
            user, password = (part.encode("latin-1").decode() for part in self.basic)
            secrets |= secrets_of_basic(user, password)
        return SecretMask(secrets)


def attempt(
    session: requests.Session,
    notification: NotificationRecord,
    url: str,
    sender: Sender,
    credentials: CallbackCredentials,
    *,
    timeouts: Timeouts,
    now: dt.datetime,
) -> AttemptOutcome:
    """POST a notification once; never raises for what the callback does.

    :param sender: its format is none of ``cloudevents``.
    :param now: our own clock, for the signature's timestamp.
    """
    body = payload.build_body(notification, sender)
    return post(session, notification.event_id, body, url, credentials, timeouts=timeouts, now=now)


def post(
    session: requests.Session,
    event_id: str,
    body: bytes,
    url: str,
    credentials: CallbackCredentials,
    *,
    timeouts: Timeouts,
    now: dt.datetime,
    content_type: str = "application/json",
) -> AttemptOutcome:
    """POST a body once, signed; never raises for what the callback does.

    :param event_id: ``message.eventId`` of the body, or the id of a CloudEvent.
    :param now: our own clock, for the signature's timestamp.
    """
    host = (urllib.parse.urlsplit(url).hostname or "").rstrip(".")
    if f".{host}".endswith(f".{RETIRED}"):
        reason = (
            f"{host} belongs to the retired service, and the store's data would leave to it; set "
            "event.notification.callback.url to the address of your own receiver"
        )
        return AttemptOutcome(delivered=False, reason=reason)
    headers = payload.build_headers(
        body,
        event_id,
        keys=credentials.signature_keys,
        extra=credentials.headers,
        now=now,
        content_type=content_type,
    )
    began = time.monotonic()
    try:
        with tracing.request("POST", url) as span:
            answer = exchange(
                session,
                "POST",
                url,
                headers=_traced(headers, span.headers),
                data=body,
                auth=credentials.basic,
                timeouts=timeouts,
                max_bytes=ANSWER_READ,
            )
            span.answered(answer.status)
    except TransportError as exc:
        return AttemptOutcome(delivered=False, reason=str(exc), seconds=time.monotonic() - began)
    return _outcome(answer, credentials, now)


def _traced(headers: dict[str, str], added: dict[str, str]) -> dict[str, str]:
    """Add the trace context of a span, in place of one among the instance's headers."""
    if not added:
        return headers
    return {name: one for name, one in headers.items() if name.lower() not in added} | added


def _outcome(
    answer: Exchange, credentials: CallbackCredentials, now: dt.datetime
) -> AttemptOutcome:
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
        answer=_shown(answer.body, credentials),
        seconds=answer.seconds,
        retry_after=retry_after(answer.headers, now),
    )


def _shown(body: bytes, credentials: CallbackCredentials) -> str:
    """Return the beginning of an answer, with the secrets of the request masked."""
    text = body.decode("utf-8", "replace").replace("\0", "")
    # More than is kept, so that a secret at its end is whole.
    return credentials.mask.hide(text[: 2 * ANSWER_KEPT])[:ANSWER_KEPT]
