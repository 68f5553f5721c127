"""The HTTP API, as the documented service had it."""

from __future__ import annotations

import flask

from . import (
    account_settings,
    elements,
    errors,
    events,
    health,
    instances,
    notifications,
    wc_auth,
    webhooks,
)
from .blueprint import NAME
from .hub import routes
from .openapi import docs_page, document


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
    account_settings.register(blueprint)
    elements.register(blueprint)
    webhooks.register(blueprint)
    routes.register(blueprint)
    document.register(blueprint)
    docs_page.register(blueprint)
    wc_auth.register(blueprint)
    health.register(blueprint)
    if url_prefix:
        # At the root of the host, paths that are not ours are the host's.
        errors.register_unknown(blueprint)
    return blueprint
