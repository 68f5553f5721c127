"""Calls of the application's handlers: the attempts of their deliveries."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import time
import traceback

import flask
import orjson

from .. import tracing
from ..events.notifications import EventRecord
from ..handlers import SIGNAL, Event, Handler, Handlers, OperationalEvent
from ..signals import event_sent
from ..values.dates import parse_iso
from .claims import ClaimedDelivery
from .payload import Sender, without_nulls
from .results import ANSWER_KEPT
from .retry import AttemptOutcome


def call(
    handlers: Handlers,
    claimed: ClaimedDelivery,
    sender: Sender,
    context: cabc.Callable[[], contextlib.AbstractContextManager[object]],
) -> AttemptOutcome:
    """Call a handler with the events of a delivery; never raises for what the handler does.

    The events for which it raises are attempted again, the others are not. An exit of its thread,
    as by ``sys.exit()`` or a time-out of gevent, is a failure like any other.

    :param context: returns the application's context, which is pushed for each call.
    """
    if claimed.notification.kind is not None:
        return _call_operational(handlers, claimed, sender, context)
    began = time.monotonic()
    handler = handlers.get(claimed.url)
    if handler is None and claimed.url != SIGNAL:
        return AttemptOutcome(
            delivered=False,
            reason=f"this application has no handler {claimed.url!r} any more",
        )
    route = handler.route if handler is not None else None
    accepted: list[int] = []
    failure: BaseException | None = None
    failed: list[str] = []
    for record in claimed.notification.events:
        if record.id in claimed.handled:
            continue
        if route is not None and not record.is_wanted(claimed.notification.resource, route.choice):
            continue
        if record.object_id in failed:
            # A later version waits for the one that failed.
            continue
        try:
            event = _event(claimed, record, sender)
            with context(), tracing.span("woo_events.handle") as span:
                span.set(handler=claimed.url, event_ids=[record.id])
                _call_one(handler, event)
        except BaseException as exc:
            # Any error: the handler is the application's.
            failed.append(record.object_id)
            failure = failure or exc
        else:
            accepted.append(record.id)
    seconds = time.monotonic() - began
    if failure is None:
        return AttemptOutcome(delivered=True, reason="handled", seconds=seconds)
    return AttemptOutcome(
        delivered=False,
        reason=f"{len(failed)} of {len(failed) + len(accepted)} events: {_summary(failure)}",
        answer="".join(traceback.format_exception(failure))[-ANSWER_KEPT:],
        seconds=seconds,
        handled=tuple(accepted),
    )


def _call_operational(
    handlers: Handlers,
    claimed: ClaimedDelivery,
    sender: Sender,
    context: cabc.Callable[[], contextlib.AbstractContextManager[object]],
) -> AttemptOutcome:
    """Call an operational handler with the one event of a delivery."""
    began, handler = time.monotonic(), handlers.get_operational(claimed.url)
    if handler is None:
        return AttemptOutcome(
            delivered=False,
            reason=f"this application has no handler {claimed.url!r} any more",
        )
    try:
        event = _operational_event(claimed, sender)
        with context():
            handler.function(event)
    except BaseException as exc:
        # Any error: the handler is the application's.
        return AttemptOutcome(
            delivered=False,
            reason=_summary(exc),
            answer="".join(traceback.format_exception(exc))[-ANSWER_KEPT:],
            seconds=time.monotonic() - began,
        )
    return AttemptOutcome(delivered=True, reason="handled", seconds=time.monotonic() - began)


def _operational_event(claimed: ClaimedDelivery, sender: Sender) -> OperationalEvent:
    [stored] = claimed.notification.events
    record = orjson.loads(stored.body)
    since = record.get("since")
    return OperationalEvent(
        id=stored.id,
        instance_id=claimed.notification.instance_id,
        instance_name=sender.name,
        instance_tags=sender.tags,
        type=claimed.notification.type_of(stored),
        date=stored.date,
        problem_id=record["problemId"],
        since=None if since is None else parse_iso(since),
        text=record["text"],
        costs=record.get("costs", ""),
        ends=record.get("ends", ""),
        command=record.get("command", ""),
        resource=record.get("resource"),
        subscription_id=record.get("subscriptionId"),
        record=record,
        attempt=claimed.attempts + 1,
    )


def _call_one(handler: Handler | None, event: Event) -> None:
    if handler is not None:
        handler.function(event)
        return
    app = flask.current_app._get_current_object()  # type: ignore[attr-defined]
    event_sent.send(app, event=event)


def _event(claimed: ClaimedDelivery, record: EventRecord, sender: Sender) -> Event:
    body = orjson.loads(record.body)
    return Event(
        id=record.id,
        instance_id=claimed.notification.instance_id,
        instance_name=sender.name,
        instance_tags=sender.tags,
        resource=claimed.notification.resource,
        object_id=record.object_id,
        type=record.event_type.value,
        version=record.version,
        date=record.date,
        body=without_nulls(body) if sender.filter_nulls else body,
        changed_fields=record.changed_fields,
        changes=None if record.changes is None else record.changes.values,
        truncated=record.changes is not None and record.changes.truncated,
        names=record.names(claimed.notification.resource),
        attempt=claimed.attempts + 1,
    )


def _summary(failure: BaseException) -> str:
    try:
        text = str(failure).strip().splitlines()
    except Exception:
        text = []
    return f"{type(failure).__name__}: {text[0][:200]}" if text else type(failure).__name__
