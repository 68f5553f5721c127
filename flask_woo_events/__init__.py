"""A Flask extension that sends the changes of WooCommerce stores as signed events."""

from __future__ import annotations

import typing as t

from .db.models import include_name
from .errors import ConfigurationError, StoreError, WooEventsError
from .extension import Flask, WooEvents
from .handlers import Event, OperationalEvent
from .instances.accounts import ConsoleUser
from .signals import (
    event_sent,
    poller_disabled,
    problem_began,
    problem_ended,
    subscription_stopped,
)

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

if t.TYPE_CHECKING:
    from .signals import event_told as event_told
else:
    from .signals import __getattr__ as __getattr__  # event_told, the old name of event_sent
