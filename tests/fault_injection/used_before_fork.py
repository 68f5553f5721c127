"""An application that uses its database in its factory, as ``db.create_all()`` does.

``gunicorn --preload`` calls the factory in the process that it forks.
"""

from __future__ import annotations

import flask
import sqlalchemy as sa

from benchmarks import intake_apps
from flask_woo_events.runtime import EXTENSION, Runtime


def make_app() -> flask.Flask:
    """Return the application; its engine has a connection."""
    app = intake_apps.make_app()
    with app.app_context(), app.extensions["sqlalchemy"].engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    runtime: Runtime = app.extensions[EXTENSION]
    assert runtime.database.answers()
    return app
