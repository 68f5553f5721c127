"""Test notifications: signed requests that check a callback URL."""

from __future__ import annotations

import secrets

from ..errors import InputError
from ..http.exchange import Timeouts
from ..instances import subscriptions
from ..instances.accounts import Caller
from ..instances.requests import InstanceConfiguration, parse_headers
from ..runtime import Runtime
from ..values.cloud_elements import Format
from . import cloudevents, destination, payload
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
    return send_to(runtime, configuration.callback_url, credentials_of(configuration), sender)


def send_to_subscription(
    runtime: Runtime, caller: Caller, instance_id: int, subscription_id: int
) -> AttemptOutcome:
    """POST a test notification once to a subscription, as its deliveries are; also if it is paused.

    :raises NotFoundError: the caller's organisation has no such instance or subscription.
    :raises InputError: it is only read by its feed.
    :raises SecretError: its credentials cannot be decrypted.
    """
    cipher, after = runtime.cipher, runtime.retired_after
    with runtime.database.read() as session:
        view = subscriptions.get(session, cipher, caller, instance_id, subscription_id)
        if view.is_feed:
            raise InputError(
                f"nothing is sent to subscription {subscription_id}: it is only read by its feed"
            )
        own = None if view.is_first else subscription_id
        credentials = destination.load_credentials(session, cipher, instance_id, after, own)
        sender = destination.load_sender(session, instance_id, view.options.format)
    timeouts, seconds = runtime.callback_timeouts, view.options.timeout
    if seconds is not None:
        timeouts = timeouts.within(seconds)
    return send_to(runtime, view.url, credentials, sender, timeouts)


def send_to(
    runtime: Runtime,
    url: str,
    credentials: CallbackCredentials,
    sender: Sender,
    timeouts: Timeouts | None = None,
) -> AttemptOutcome:
    """POST a test notification once to an address; never raises for the answer.

    :param timeouts: by default those of the application.
    """
    now = runtime.clock()
    event_id = f"test-{secrets.token_urlsafe(11)}"
    body, content_type = payload.build_test_body(event_id, sender, now), "application/json"
    if sender.format is Format.CLOUDEVENTS:
        body = cloudevents.build_test_body(event_id, sender, now)
        content_type = cloudevents.CONTENT_TYPE
    return sending.post(
        runtime.callback_session,
        event_id,
        body,
        url,
        credentials,
        timeouts=timeouts or runtime.callback_timeouts,
        now=now,
        content_type=content_type,
    )
