"""Handlers: functions of the application that are called for the events of its stores."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import time
import traceback
import typing as t

import flask
import orjson

from .errors import ConfigurationError
from .flow.claims import Claimed
from .flow.notification import Sender, without_nulls
from .flow.outbox import Route
from .flow.recorded import EventRecord
from .flow.retry import Outcome
from .flow.settlements import ANSWER_KEPT
from .models import EventType
from .signals import event_told

#: The name under which the signal's receivers are served together.
SIGNAL = "signal event-told"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """One event as a handler gets it."""

    #: Grows with every event of all instances.
    id: int
    instance_id: int
    instance_name: str
    instance_tags: tuple[str, ...]
    #: The key of ``event.poller.configuration``, as ``objectType`` in notifications.
    resource: str
    object_id: str
    #: ``CREATED``, ``UPDATED`` or ``DELETED``.
    type: str
    #: 1, 2, 3 and so on for one object. The same event may come twice; its version tells.
    version: int
    #: The object's own date of the change, UTC.
    date: dt.datetime
    #: The object as the store gave it; of a DELETED only the id.
    body: cabc.Mapping[str, t.Any] = dataclasses.field(repr=False)
    #: Top-level fields that differ from the version before, for UPDATED.
    changed_fields: tuple[str, ...] = ()
    #: 1 at the first attempt.
    attempt: int = 1


Function = t.TypeVar("Function", bound=cabc.Callable[[Event], object])


@dataclasses.dataclass(frozen=True)
class _Handler:
    route: Route
    function: cabc.Callable[[Event], object]


class Handlers:
    """The handlers of one extension object, for all applications that it serves."""

    def __init__(self) -> None:
        self._known: dict[str, _Handler] = {}

    def on(
        self, resource: str | None, types: cabc.Collection[str], name: str | None
    ) -> cabc.Callable[[Function], Function]:
        """Register a function; see ``WooEvents.on``."""
        wrong = set(types) - set(EventType)
        if wrong:
            raise ConfigurationError(
                f"{', '.join(sorted(wrong))} is no type of event; "
                f"woo.on knows {', '.join(EventType)}"
            )

        def register(function: Function) -> Function:
            called = name or f"{function.__module__}.{function.__qualname__}"
            if called in self._known or called == SIGNAL:
                raise ConfigurationError(
                    f"There is a handler {called!r} already; give this one a name of its own: "
                    "@woo.on(..., name='...')"
                )
            route = Route(name=called, resource=resource, types=frozenset(types))
            self._known[called] = _Handler(route, function)
            return function

        return register

    def routes(self) -> tuple[Route, ...]:
        """Who wants which events, the receivers of the signal included."""
        found = [one.route for one in self._known.values()]
        if event_told.receivers:
            found.append(Route(name=SIGNAL, resource=None, types=frozenset()))
        return tuple(found)

    def call(
        self,
        claimed: Claimed,
        sender: Sender,
        context: cabc.Callable[[], contextlib.AbstractContextManager[object]],
    ) -> Outcome:
        """Hand the events of a delivery to its handler; never raises for what the handler does.

        An event that the handler fails for is tried again; those that it took are not.

        :param context: pushes the application's context.
        """
        began = time.monotonic()
        handler = self._known.get(claimed.url)
        if handler is None and claimed.url != SIGNAL:
            return Outcome(
                delivered=False,
                reason=f"this application has no handler {claimed.url!r} any more",
            )
        route = handler.route if handler is not None else None
        taken: list[int] = []
        failure: Exception | None = None
        failed = 0
        for record in claimed.notification.events:
            if record.id in claimed.handled:
                continue
            if route is not None and not route.wants(
                claimed.notification.resource, record.event_type
            ):
                continue
            event = _event(claimed, record, sender)
            try:
                with context():
                    self._tell(handler, event)
            except Exception as exc:
                # Whatever it is: the handler is the application's.
                failed += 1
                failure = failure or exc
            else:
                taken.append(record.id)
        seconds = time.monotonic() - began
        if failure is None:
            return Outcome(delivered=True, reason="handled", seconds=seconds)
        return Outcome(
            delivered=False,
            reason=f"{failed} of {failed + len(taken)} events: {_said(failure)}",
            answer="".join(traceback.format_exception(failure))[-ANSWER_KEPT:],
            seconds=seconds,
            handled=tuple(taken),
        )

    def _tell(self, handler: _Handler | None, event: Event) -> None:
        if handler is not None:
            handler.function(event)
            return
        app = flask.current_app._get_current_object()  # type: ignore[attr-defined]
        event_told.send(app, event=event)


def _event(claimed: Claimed, record: EventRecord, sender: Sender) -> Event:
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
        attempt=claimed.attempts + 1,
    )


def _said(failure: Exception) -> str:
    text = str(failure).strip().splitlines()
    return f"{type(failure).__name__}: {text[0][:200]}" if text else type(failure).__name__
