"""A simulated WooCommerce store, for demonstrations, tests and users' own CI."""

from __future__ import annotations

from .clock import SimClock
from .server import Server
from .store import SimulatedStore
from .versions import VERSIONS, Version

__all__ = ["VERSIONS", "Server", "SimClock", "SimulatedStore", "Version"]
