"""A Flask extension that sends the changes of WooCommerce stores as signed events.

The names below are imported when they are used, so that ``flask_woo_events.client`` can be used
where neither Flask nor SQLAlchemy is loaded.
"""

from __future__ import annotations

import importlib
import typing as t

if t.TYPE_CHECKING:
    from .db.models import include_name as include_name
    from .errors import ConfigurationError as ConfigurationError
    from .errors import StoreError as StoreError
    from .errors import WooEventsError as WooEventsError
    from .extension import Flask as Flask
    from .extension import WooEvents as WooEvents
    from .handlers import Event as Event
    from .handlers import OperationalEvent as OperationalEvent
    from .instances.accounts import ConsoleUser as ConsoleUser
    from .signals import event_sent as event_sent
    from .signals import event_told as event_told
    from .signals import poller_disabled as poller_disabled
    from .signals import problem_began as problem_began
    from .signals import problem_ended as problem_ended
    from .signals import subscription_stopped as subscription_stopped

__all__ = [
    "ConfigurationError",
    "ConsoleUser",
    "Event",
    "Flask",
    "OperationalEvent",
    "StoreError",
    "WooEvents",
    "WooEventsError",
    "event_sent",
    "include_name",
    "poller_disabled",
    "problem_began",
    "problem_ended",
    "subscription_stopped",
]

_PLACES = {
    "ConfigurationError": "errors",
    "ConsoleUser": "instances.accounts",
    "Event": "handlers",
    "Flask": "extension",
    "OperationalEvent": "handlers",
    "StoreError": "errors",
    "WooEvents": "extension",
    "WooEventsError": "errors",
    "include_name": "db.models",
}


def __getattr__(name: str) -> t.Any:
    """Import a name of the package (PEP 562)."""
    if name in __all__:
        place = importlib.import_module(f".{_PLACES.get(name, 'signals')}", __name__)
        value = globals()[name] = getattr(place, name)
        return value
    if name == "event_told":
        from . import signals

        return signals.renamed(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
