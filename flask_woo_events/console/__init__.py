"""The console: HTML pages to connect stores and to follow their events and deliveries."""

from __future__ import annotations

import collections.abc as cabc
import importlib.resources

import flask

from ..instances.accounts import ConsoleUser
from ..settings import Settings
from . import (
    access,
    deliveries,
    events,
    formatting,
    instances,
    overview,
    responses,
    session,
    sign_in,
    store_form,
    subscriptions,
)
from .rate_limit import CALLS, WITHIN, RateLimiter

#: The blueprint's name, for ``url_for("woo_console.home")``.
NAME = "woo_console"

_BOOTSTRAP = "static/bootstrap5/css/bootstrap.min.css"


def make_blueprint(
    settings: Settings, hook: cabc.Callable[[], cabc.Callable[[], ConsoleUser | None] | None]
) -> flask.Blueprint:
    """Make the blueprint of the console.

    :param hook: returns the function registered with ``@woo.console_access``, or ``None``.
    """
    blueprint = flask.Blueprint(
        NAME,
        __name__,
        url_prefix=settings.console_prefix,
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )
    blueprint.add_url_rule("/bootstrap.css", view_func=bootstrap)
    session.register(blueprint, settings)
    access.register(blueprint, settings, hook)
    responses.register(blueprint)
    formatting.register(blueprint)
    for module in (sign_in, overview, instances, events):
        module.register(blueprint)
    calls = RateLimiter(CALLS, WITHIN)
    store_form.register(blueprint, calls)
    subscriptions.register(blueprint, calls)
    deliveries.register(blueprint, calls)
    responses.register_unknown(blueprint)
    return blueprint


def bootstrap() -> flask.Response:
    """Send Bootstrap's style sheet from Bootstrap-Flask, whichever version the host uses."""
    with importlib.resources.as_file(
        importlib.resources.files("flask_bootstrap").joinpath(_BOOTSTRAP)
    ) as path:
        return flask.send_file(path, mimetype="text/css", max_age=86400)
