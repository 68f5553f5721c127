"""Events of WooCommerce stores, for Flask."""

from __future__ import annotations

from .errors import ConfigurationError, StoreError, WooEventsError
from .extension import Flask, WooEvents
from .models import include_name

__all__ = [
    "ConfigurationError",
    "Flask",
    "StoreError",
    "WooEvents",
    "WooEventsError",
    "include_name",
]
