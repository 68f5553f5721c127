"""``/deliveries``: what could not be delivered, and sending it again."""

from __future__ import annotations

import flask


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    blueprint.add_url_rule("/deliveries", view_func=listed, endpoint="deliveries")


def listed() -> str:
    """What waits."""
    return flask.render_template("woo_console/deliveries.html")
