"""``/deliveries``: what could not be delivered, and sending it again."""

from __future__ import annotations

import flask


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
