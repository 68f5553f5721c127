"""The HTTP API, as the documented service had it."""

from __future__ import annotations

import flask

from . import (
    accounts,
    connect,
    docs,
    elements,
    errors,
    events,
    hooks,
    hubs,
    instances,
    notifications,
    openapi,
    watching,
)
from .blueprint import NAME


def make_blueprint(url_prefix: str) -> flask.Blueprint:
    """Make the blueprint of the API.

    :param url_prefix: where it is mounted, ``WOO_EVENTS_URL_PREFIX``.
    """
    blueprint = flask.Blueprint(
        NAME, __name__, url_prefix=url_prefix or None, template_folder="templates"
    )
    errors.register(blueprint)
    instances.register(blueprint)
    events.register(blueprint)
    notifications.register(blueprint)
    accounts.register(blueprint)
    elements.register(blueprint)
    hooks.register(blueprint)
    hubs.register(blueprint)
    openapi.register(blueprint)
    docs.register(blueprint)
    connect.register(blueprint)
    watching.register(blueprint)
    if url_prefix:
        # At the root of the host, paths that are not ours are the host's.
        errors.register_unknown(blueprint)
    return blueprint
