"""The trial of a callback URL: one notification, signed, that says that it is a test."""

from __future__ import annotations

import datetime as dt
import secrets

import orjson

from .crypto import sign_body, standard_headers
from .dates import java_date_string
from .errors import TransportError
from .flow import delivery
from .flow.delivery import ANSWER_READ, Target
from .flow.notification import ELEMENT_KEY, SENDER
from .flow.retry import Outcome
from .runtime import Runtime
from .schemas import Configuration, parse_headers
from .transport import USER_AGENT, exchange


def target_of(configuration: Configuration) -> Target:
    """What a checked configuration wants its callback to be sent with.

    :raises InputError: its headers cannot be sent.
    """
    name, password = configuration.basic_username, configuration.basic_password
    return Target(
        signature_keys=(configuration.signature_key,) if configuration.signature_key else (),
        headers=parse_headers(configuration.callback_headers or ""),
        basic=(name.encode().decode("latin-1"), password.encode().decode("latin-1"))
        if name
        else None,
    )


def send(runtime: Runtime, url: str, target: Target, instance_name: str) -> Outcome:
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
        return Outcome(delivered=False, reason=str(exc))
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
