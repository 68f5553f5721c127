"""The trial of a callback URL: one notification, signed, that says that it is a test."""

from __future__ import annotations

import datetime as dt
import secrets

import orjson

from ..errors import TransportError
from ..http.exchange import USER_AGENT, exchange
from ..instances.requests import InstanceConfiguration, parse_headers
from ..runtime import Runtime
from ..values.cloud_elements import ELEMENT_KEY, SENDER
from ..values.crypto import sign_body, standard_headers
from ..values.dates import java_date_string
from . import send as delivery
from .retry import AttemptOutcome
from .send import ANSWER_READ, CallbackCredentials


def target_of(configuration: InstanceConfiguration) -> CallbackCredentials:
    """What a checked configuration wants its callback to be sent with.

    :raises InputError: its headers cannot be sent.
    """
    name, password = configuration.basic_username, configuration.basic_password
    return CallbackCredentials(
        signature_keys=(configuration.signature_key,) if configuration.signature_key else (),
        headers=parse_headers(configuration.callback_headers or ""),
        basic=(name.encode().decode("latin-1"), password.encode().decode("latin-1"))
        if name
        else None,
    )


def send(
    runtime: Runtime, url: str, target: CallbackCredentials, instance_name: str
) -> AttemptOutcome:
    """POST a test notification once, by the way that deliveries go; never raises for the answer.

    It has no events and the severity ``low``; its ``action`` and ``message.test`` say what it is.
    """
    now = runtime.clock()
    event_id = f"test-{secrets.token_urlsafe(11)}"
    body = _body(event_id, instance_name, now)
    headers = dict(target.headers)
    headers["Content-Type"] = "application/json"
    headers["User-Agent"] = USER_AGENT
    headers["Elements-Webhook-Id"] = event_id
    if target.signature_keys:
        headers["Elements-Webhook-Signature"] = sign_body(body, target.signature_keys[-1])
        headers.update(standard_headers(event_id, now, body, target.signature_keys))
    try:
        answer = exchange(
            runtime.callback_session,
            "POST",
            url,
            headers=headers,
            data=body,
            auth=target.basic,
            timeouts=runtime.callback_timeouts,
            max_bytes=ANSWER_READ,
        )
    except TransportError as exc:
        return AttemptOutcome(delivered=False, reason=str(exc))
    return delivery.outcome_of(answer, target, now)


def _body(event_id: str, instance_name: str, now: dt.datetime) -> bytes:
    return orjson.dumps(
        {
            "severity": "low",
            "createdDate": java_date_string(now),
            "topic": f"instance-test-{ELEMENT_KEY}-events",
            "action": "test",
            "id": "0",
            "message": {
                "elementKey": ELEMENT_KEY,
                "eventId": event_id,
                "instanceName": instance_name,
                "test": True,
                "raw": {},
                "events": [],
            },
            "user": SENDER,
        }
    )
