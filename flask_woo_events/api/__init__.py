"""The HTTP API, compatible with the documented Cloud Elements service."""

from __future__ import annotations

import flask

from . import (
    account_settings,
    elements,
    erasures,
    errors,
    events,
    feed,
    health,
    instances,
    notifications,
    reconcile,
    subscriptions,
    wc_auth,
    webhooks,
)
from .blueprint import NAME
from .hub import routes
from .openapi import docs_page, document


def make_blueprint(url_prefix: str) -> flask.Blueprint:
    """Make the blueprint of the API.

    :param url_prefix: the path that the API is mounted at, ``WOO_EVENTS_URL_PREFIX``.
    """
    blueprint = flask.Blueprint(
        NAME, __name__, url_prefix=url_prefix or None, template_folder="templates"
    )
    errors.register(blueprint)
    instances.register(blueprint)
    events.register(blueprint)
    feed.register(blueprint)
    notifications.register(blueprint)
    subscriptions.register(blueprint)
    reconcile.register(blueprint)
    account_settings.register(blueprint)
    erasures.register(blueprint)
    elements.register(blueprint)
    webhooks.register(blueprint)
    routes.register(blueprint)
    document.register(blueprint)
    docs_page.register(blueprint)
    wc_auth.register(blueprint)
    health.register(blueprint)
    if url_prefix:
        # Without a prefix, unknown paths belong to the host application.
        errors.register_unknown(blueprint)
    return blueprint
