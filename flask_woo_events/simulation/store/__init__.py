"""A simulated WooCommerce store, for demos and tests."""

from __future__ import annotations

from .clock import SimClock
from .server import Server
from .store import SimulatedStore
from .versions import VERSIONS, Version

__all__ = ["VERSIONS", "Server", "SimClock", "SimulatedStore", "Version"]
