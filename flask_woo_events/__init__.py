"""Events of WooCommerce stores, for Flask."""

from __future__ import annotations

from .db.models import include_name
from .errors import ConfigurationError, StoreError, WooEventsError
from .extension import Flask, WooEvents
from .handlers import Event
from .instances.accounts import ConsoleUser
from .signals import event_told, poller_disabled, subscription_stopped

__all__ = [
    "ConfigurationError",
    "ConsoleUser",
    "Event",
    "Flask",
    "StoreError",
    "WooEvents",
    "WooEventsError",
    "event_told",
    "include_name",
    "poller_disabled",
    "subscription_stopped",
]
