"""An example application that connects WooCommerce stores.

Run the web server with ``flask --app example_app run`` and a worker with
``flask --app example_app woo poll``.
Settings come from the environment: ``FLASK_SQLALCHEMY_DATABASE_URI``, ``FLASK_WOO_EVENTS_...``.
"""

from __future__ import annotations

import collections.abc as cabc
import os
import pathlib

import flask_sqlalchemy
from cryptography.fernet import Fernet
from sqlalchemy.orm import DeclarativeBase

from flask_woo_events import Flask, WooEvents


class Base(DeclarativeBase):
    """Base class of the application's own models."""


db = flask_sqlalchemy.SQLAlchemy(model_class=Base)
woo = WooEvents()


def create_app(config: cabc.Mapping[str, object] | None = None) -> Flask:
    """Create the application.

    :param config: settings that override the environment, for tests.
    """
    app = Flask(__name__)
    pathlib.Path(app.instance_path).mkdir(parents=True, exist_ok=True)
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///woo-events.sqlite3"
    app.config.from_prefixed_env()
    app.config.from_mapping(config or {})
    app.config.setdefault("WOO_EVENTS_ENCRYPTION_KEYS", [])
    if not app.config["WOO_EVENTS_ENCRYPTION_KEYS"]:
        app.config["WOO_EVENTS_ENCRYPTION_KEYS"] = [_development_key(app)]
    db.init_app(app)
    app.register_extension(woo)
    return app


def _development_key(app: Flask) -> str:
    """Return a key from a file. In production, set FLASK_WOO_EVENTS_ENCRYPTION_KEYS instead."""
    path = pathlib.Path(app.instance_path) / "encryption.key"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
    return path.read_text().strip()
