"""Test notifications: signed requests that check a callback URL."""

from __future__ import annotations

import secrets

from ..instances.requests import InstanceConfiguration, parse_headers
from ..runtime import Runtime
from . import payload
from . import send as sending
from .destination import as_sent
from .payload import Sender
from .retry import AttemptOutcome
from .send import CallbackCredentials


def credentials_of(configuration: InstanceConfiguration) -> CallbackCredentials:
    """Return the credentials that a checked configuration gives its callback.

    :raises InputError: its headers cannot be sent.
    """
    name, password = configuration.basic_username, configuration.basic_password
    return CallbackCredentials(
        signature_keys=(configuration.signature_key,) if configuration.signature_key else (),
        headers=parse_headers(configuration.callback_headers or ""),
        basic=(as_sent(name), as_sent(password)) if name else None,
    )


def send(runtime: Runtime, configuration: InstanceConfiguration, sender: Sender) -> AttemptOutcome:
    """POST a test notification once, as deliveries are; never raises for the answer.

    :param sender: the instance, which may not exist yet.
    :raises InputError: the headers of the configuration cannot be sent.
    """
    now = runtime.clock()
    event_id = f"test-{secrets.token_urlsafe(11)}"
    return sending.post(
        runtime.callback_session,
        event_id,
        payload.build_test_body(event_id, sender, now),
        configuration.callback_url,
        credentials_of(configuration),
        timeouts=runtime.callback_timeouts,
        now=now,
    )
