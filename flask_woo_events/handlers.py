"""Handlers: functions of the application that are called for the events of its stores."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from .db.models import EventType
from .errors import ConfigurationError
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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A function of the application that wants events, beside the callback URL."""

    name: str
    #: The resource that it wants events of; ``None``: of all.
    resource: str | None
    #: The types that it wants; empty: all.
    types: frozenset[str]

    def wants(self, resource: str, event_type: str) -> bool:
        """Whether an event is for it."""
        named = self.resource is None or self.resource == resource
        return named and (not self.types or event_type in self.types)


@dataclasses.dataclass(frozen=True)
class Handler:
    """A registered function, and which events it wants."""

    route: Route
    function: cabc.Callable[[Event], object]


class Handlers:
    """The handlers of one extension object, for all applications that it serves."""

    def __init__(self) -> None:
        self._known: dict[str, Handler] = {}

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
            self._known[called] = Handler(route, function)
            return function

        return register

    def routes(self) -> tuple[Route, ...]:
        """Who wants which events, the receivers of the signal included."""
        found = [one.route for one in self._known.values()]
        if event_told.receivers:
            found.append(Route(name=SIGNAL, resource=None, types=frozenset()))
        return tuple(found)

    def get(self, name: str) -> Handler | None:
        """Return the handler of this name, if the application has it."""
        return self._known.get(name)
