"""The console: HTML pages for people who look after their stores' events."""

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
    sign_in,
    store_form,
)
from .rate_limit import CALLS, WITHIN, Attempts

#: The blueprint's name, for ``url_for("woo_console.home")``.
NAME = "woo_console"

_BOOTSTRAP = "static/bootstrap5/css/bootstrap.min.css"


def make_blueprint(
    settings: Settings, hook: cabc.Callable[[], cabc.Callable[[], ConsoleUser | None] | None]
) -> flask.Blueprint:
    """Make the blueprint of the console.

    :param hook: gives what was registered with ``@woo.console_access``, if anything was.
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
    access.register(blueprint, settings, hook)
    responses.register(blueprint)
    formatting.register(blueprint)
    for module in (sign_in, overview, instances, events):
        module.register(blueprint)
    calls = Attempts(CALLS, WITHIN)
    store_form.register(blueprint, calls)
    deliveries.register(blueprint, calls)
    responses.register_unknown(blueprint)
    return blueprint


def bootstrap() -> flask.Response:
    """Bootstrap's style sheet, out of Bootstrap-Flask, whichever one the host itself uses."""
    with importlib.resources.as_file(
        importlib.resources.files("flask_bootstrap").joinpath(_BOOTSTRAP)
    ) as path:
        return flask.send_file(path, mimetype="text/css", max_age=86400)
