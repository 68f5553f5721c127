"""Attempts: one claimed delivery, sent to its callback or given to its handler."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import sys

from .. import tracing
from ..db.states import Channel
from ..errors import WooEventsError
from ..events.notifications import EventRecord, NotificationRecord
from ..http.exchange import Timeouts
from ..runtime import Runtime
from ..values.cloud_elements import Format
from . import claims, cloudevents, handler_calls, rate, send, single_events
from .claims import ClaimedDelivery
from .destination import AddressOrError
from .payload import Sender
from .retry import AttemptOutcome
from .send import CallbackCredentials


def attempt(
    runtime: Runtime,
    claimed: ClaimedDelivery,
    address: AddressOrError,
    pause: cabc.Callable[[float], object],
) -> AttemptOutcome:
    """Attempt a delivery once, and return how it ended.

    :param pause: waits for a number of seconds, between two requests of one attempt.
    """
    number, attempt = claimed.subscription_id, claimed.attempts + 1
    with traced(claimed.notification, subscription=number, attempt=attempt):
        return _attempt(runtime, claimed, address, pause)


def traced(notification: NotificationRecord, **attributes: object) -> tracing.Span:
    """Return a block whose spans continue the trace in which a notification was recorded."""
    return tracing.within(
        notification.trace,
        instance=notification.instance_id,
        resource=notification.resource,
        notification=notification.event_id,
        event_ids=[one.id for one in notification.events],
        **attributes,
    )


def _attempt(
    runtime: Runtime,
    claimed: ClaimedDelivery,
    address: AddressOrError,
    pause: cabc.Callable[[float], object],
) -> AttemptOutcome:
    if isinstance(address, WooEventsError):
        return AttemptOutcome(delivered=False, reason=str(address))
    is_handler, credentials = claimed.channel == Channel.HANDLER, address.credentials
    if isinstance(credentials, WooEventsError) and not is_handler:
        # For example an encryption key that is missing: an operator can add it.
        return AttemptOutcome(delivered=False, reason=str(credentials))
    if not claimed.notification.events:
        reason = "the subscription does not choose its events"
        return AttemptOutcome(delivered=True, sent=False, reason=reason)
    # A begin is sent also when its end waits.
    if runtime.settings.coalesce and claimed.notification.kind is None:
        claimed = _without_superseded(runtime, claimed)
        if not claimed.notification.events:
            return AttemptOutcome(delivered=True, sent=False, reason="superseded by later versions")
    if isinstance(credentials, WooEventsError) or is_handler:
        return handler_calls.call(runtime.handlers, claimed, address.sender, runtime.context)
    if address.sender.format is not Format.CLOUDEVENTS:
        claimed = _without(claimed, claimed.handled)
        if not claimed.notification.events:
            return AttemptOutcome(delivered=True, sent=False, reason="delivered already")
    timeouts, options = runtime.callback_timeouts, claimed.options
    return request(
        runtime,
        claimed.notification,
        claimed.url,
        address.sender,
        credentials,
        timeouts=timeouts if options.timeout is None else timeouts.within(options.timeout),
        handled=claimed.handled,
        between=lambda: None if options.rate is None else pause(1 / options.rate),
        most=None if options.rate is None else rate.requests_of_attempt(options.rate, sys.maxsize),
    )


def _without_superseded(runtime: Runtime, claimed: ClaimedDelivery) -> ClaimedDelivery:
    handler = runtime.handlers.get(claimed.url)
    chosen = handler.route.choice if handler is not None else claimed.options.choice
    with runtime.database.read() as session:
        return _without(claimed, claims.superseded(session, claimed, chosen))


def _without(claimed: ClaimedDelivery, event_ids: frozenset[int]) -> ClaimedDelivery:
    """Return a delivery without some events, as those that were accepted one by one before."""
    if not event_ids:
        return claimed
    events = tuple(one for one in claimed.notification.events if one.id not in event_ids)
    notification = dataclasses.replace(claimed.notification, events=events)
    return dataclasses.replace(claimed, notification=notification)


def request(
    runtime: Runtime,
    notification: NotificationRecord,
    url: str,
    sender: Sender,
    credentials: CallbackCredentials,
    *,
    timeouts: Timeouts,
    handled: frozenset[int] = frozenset(),
    between: cabc.Callable[[], object] = lambda: None,
    most: int | None = None,
) -> AttemptOutcome:
    """POST a notification, or each of its events if the receiver wants CloudEvents.

    :param handled: ids of events that an earlier attempt has delivered one by one.
    :param between: called between two requests.
    :param most: requests at most; the next attempt makes the others.
    """
    session = runtime.callback_session
    if sender.format is not Format.CLOUDEVENTS:
        return send.attempt(
            session,
            notification,
            url,
            sender,
            credentials,
            timeouts=timeouts,
            now=runtime.clock(),
        )

    def one(event: EventRecord) -> AttemptOutcome:
        return send.post(
            session,
            cloudevents.event_id(notification, event),
            cloudevents.build_body(notification, event, sender),
            url,
            credentials,
            timeouts=timeouts,
            now=runtime.clock(),
            content_type=cloudevents.CONTENT_TYPE,
        )

    return single_events.attempt(notification, handled, one, between, most)
