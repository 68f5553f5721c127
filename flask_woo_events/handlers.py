"""Handlers: functions of the application that are called with the events of its stores."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from .db.states import EventType
from .errors import ConfigurationError
from .signals import event_sent
from .values.event_choice import EventChoice
from .values.field_paths import checked
from .values.operational_kinds import KINDS

#: The ``url`` of the subscription that all receivers of ``event_sent`` share. It keeps the signal's
#: old name: rows of existing databases hold it, and a new name would be a new subscription, which
#: gets nothing of what waits for the old one.
SIGNAL = "signal event-told"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """One event, as handlers and receivers of ``event_sent`` get it."""

    #: Increases with every event, over all instances.
    id: int
    instance_id: int
    instance_name: str
    instance_tags: tuple[str, ...]
    #: The key of ``event.poller.configuration``, as ``objectType`` in notifications.
    resource: str
    object_id: str
    #: ``CREATED``, ``UPDATED`` or ``DELETED``.
    type: str
    #: 1, 2, 3 and so on for one object; in a new epoch of the database, greater than all before.
    #: The same event may come twice, with the same version.
    version: int
    #: When the object changed, by its own date in the store; UTC.
    date: dt.datetime
    #: The object as the store returned it; for DELETED only its id.
    body: cabc.Mapping[str, t.Any] = dataclasses.field(repr=False)
    #: For UPDATED: the top-level fields that differ from the version before.
    changed_fields: tuple[str, ...] = ()
    #: For UPDATED: what changed by its path, such as ``line_items[12].quantity``, each with
    #: ``before`` and ``after``, or one of them for what was removed or added; ``None`` if it is not
    #: known.
    changes: cabc.Mapping[str, cabc.Mapping[str, t.Any]] | None = dataclasses.field(
        default=None, repr=False
    )
    #: Whether ``changes`` leaves out paths or values, since they are too long.
    truncated: bool = False
    #: Names of the changes: ``order.status_changed``, ``order.refunded``,
    #: ``product.stock_changed``, ``product.price_changed``.
    names: tuple[str, ...] = ()
    #: 1 at the first attempt.
    attempt: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperationalEvent:
    """Something that stops or slows the events of an instance, or ends that."""

    #: As that of :class:`Event`.
    id: int
    instance_id: int
    instance_name: str
    instance_tags: tuple[str, ...]
    #: For example ``subscription.stopped``; ``flask woo events types --operational`` lists them.
    type: str
    #: When it was recorded; UTC.
    date: dt.datetime
    #: The same at a begin and at its end.
    problem_id: str
    #: Since when it lasts, or lasted; ``None`` at an end whose begin is not known.
    since: dt.datetime | None
    text: str
    #: What is late or missing while it lasts, what ends it, and a command that helps; empty at an
    #: end.
    costs: str = ""
    ends: str = ""
    command: str = ""
    #: The resource and the subscription that it is about, if it is about one.
    resource: str | None = None
    subscription_id: int | None = None
    #: All members of the record, as callbacks get them.
    record: cabc.Mapping[str, t.Any] = dataclasses.field(repr=False)
    #: 1 at the first attempt.
    attempt: int = 1


Function = t.TypeVar("Function", bound=cabc.Callable[[Event], object])
OperationalFunction = t.TypeVar(
    "OperationalFunction", bound=cabc.Callable[[OperationalEvent], object]
)
#: The beginning of the ``url`` of operational handlers' subscriptions.
_OPERATIONAL = "operational "


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The events that a handler gets."""

    name: str
    #: The resource whose events it gets; ``None``: all resources.
    resource: str | None
    #: The types of events that it gets; empty: all.
    types: frozenset[str]
    #: Fields of which one has to change for an UPDATED; empty: any.
    fields: tuple[str, ...] = ()

    @property
    def choice(self) -> EventChoice:
        """The events that the handler gets."""
        resources = frozenset() if self.resource is None else frozenset({self.resource})
        return EventChoice(resources=resources, types=self.types, fields=self.fields)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OperationalRoute:
    """The operational events that a handler gets."""

    #: The ``url`` of its subscriptions.
    name: str
    #: Names of kinds; empty: all but checkpoints.
    kinds: frozenset[str]


@dataclasses.dataclass(frozen=True)
class OperationalHandler:
    """A registered function with its route."""

    route: OperationalRoute
    function: cabc.Callable[[OperationalEvent], object]


@dataclasses.dataclass(frozen=True)
class Handler:
    """A registered function with its route."""

    route: Route
    function: cabc.Callable[[Event], object]


class Handlers:
    """The handlers of one extension object, shared by all of its applications."""

    def __init__(self) -> None:
        self._known: dict[str, Handler] = {}
        self._operational: dict[str, OperationalHandler] = {}

    def on(
        self,
        resource: str | None,
        types: cabc.Collection[str],
        name: str | None,
        fields: cabc.Collection[str] = (),
    ) -> cabc.Callable[[Function], Function]:
        """Return a decorator that registers a handler; see ``WooEvents.on``.

        :raises ConfigurationError: a type is unknown, a field is no path, or the decorator meets a
            name twice.
        """
        if isinstance(fields, str):
            raise ConfigurationError(f"fields is {fields!r}; write a tuple: fields=({fields!r},)")
        try:
            paths = tuple(checked(path) for path in fields)
        except (TypeError, AttributeError):
            raise ConfigurationError("fields of woo.on: a tuple of texts is expected") from None
        except ValueError as exc:
            raise ConfigurationError(f"fields of woo.on: {exc}") from None
        wrong = set(types) - set(EventType)
        if wrong:
            raise ConfigurationError(
                f"{', '.join(sorted(wrong))} is no type of event; "
                f"woo.on knows {', '.join(EventType)}"
            )

        def register(function: Function) -> Function:
            called = name or f"{function.__module__}.{function.__qualname__}"
            if called in self._known or called == SIGNAL or called.startswith(_OPERATIONAL):
                raise ConfigurationError(
                    f"There is a handler {called!r} already; give this one a name of its own: "
                    "@woo.on(..., name='...')"
                )
            route = Route(name=called, resource=resource, types=frozenset(types), fields=paths)
            self._known[called] = Handler(route, function)
            return function

        return register

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of all handlers, and of the signal while it has receivers."""
        found = [one.route for one in self._known.values()]
        if event_sent.receivers:
            found.append(Route(name=SIGNAL, resource=None, types=frozenset()))
        return tuple(found)

    def on_operational(
        self, kinds: cabc.Collection[str], name: str | None
    ) -> cabc.Callable[[OperationalFunction], OperationalFunction]:
        """Return a decorator that registers a handler; see ``WooEvents.on_operational``.

        :raises ConfigurationError: a kind is unknown, or the decorator meets a name twice.
        """
        if wrong := set(kinds) - set(KINDS):
            raise ConfigurationError(
                f"{', '.join(sorted(wrong))} is no kind of operational event; "
                f"woo.on_operational knows {', '.join(KINDS)}"
            )

        def register(function: OperationalFunction) -> OperationalFunction:
            called = _OPERATIONAL + (name or f"{function.__module__}.{function.__qualname__}")
            if called in self._operational:
                raise ConfigurationError(
                    f"There is a handler {called!r} already; give this one a name of its own: "
                    "@woo.on_operational(..., name='...')"
                )
            route = OperationalRoute(name=called, kinds=frozenset(kinds))
            self._operational[called] = OperationalHandler(route, function)
            return function

        return register

    def operational_routes(self) -> tuple[OperationalRoute, ...]:
        """Return the routes of all operational handlers."""
        return tuple(one.route for one in self._operational.values())

    def get_operational(self, name: str) -> OperationalHandler | None:
        """Return the operational handler whose subscriptions have this ``url``."""
        return self._operational.get(name)

    def get(self, name: str) -> Handler | None:
        """Return the handler with this name, if there is one."""
        return self._known.get(name)
