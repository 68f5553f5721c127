"""The two applications of the intake benchmark, which gunicorn serves."""

from __future__ import annotations

import hmac
import os
import typing as t

import flask
import flask_sqlalchemy
import sqlalchemy as sa

import flask_woo_events
from flask_woo_events.db.database import Database
from flask_woo_events.values import crypto

PREFIX = "/elements/api-v2"
SECRET = "a-secret-of-the-bare-view"
BARE = sa.Table(
    "bare",
    sa.MetaData(),
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("topic", sa.String(190)),
    sa.Column("object_id", sa.BigInteger),
)


def make_app() -> flask.Flask:
    """Return an application with the extension."""
    app = flask_woo_events.Flask("ours")
    app.config.from_prefixed_env()
    flask_sqlalchemy.SQLAlchemy(app)
    app.register_extension(flask_woo_events.WooEvents())
    return app


def bare() -> flask.Flask:
    """Return a minimal intake: one HMAC and one INSERT, with the same connection settings."""
    app = flask.Flask("bare")
    uri = os.environ["FLASK_SQLALCHEMY_DATABASE_URI"]
    database = Database(sa.create_engine(uri))
    insert = BARE.insert()
    secret = SECRET.encode()

    @app.post("/hook")
    def hook() -> tuple[dict[str, t.Any], int]:
        body = flask.request.get_data()
        sent = flask.request.headers.get("X-WC-Webhook-Signature", "").encode()
        if not hmac.compare_digest(sent, crypto._hmac(secret, body).encode()):
            flask.abort(401)
        topic = flask.request.headers["X-WC-Webhook-Topic"]
        with database.engine.begin() as connection:
            connection.execute(insert, {"topic": topic, "object_id": flask.json.loads(body)["id"]})
        return {}, 200

    return app
