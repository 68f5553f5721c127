"""A host application, accounts and a store for the tests of the API and the commands."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import copy
import dataclasses
import datetime as dt
import http.server
import pathlib
import typing as t
import urllib.parse

import flask
import flask.testing
import flask_sqlalchemy
import orjson

import flask_woo_events
from flask_woo_events.instances import accounts
from flask_woo_events.runtime import Runtime
from flask_woo_events.values.crypto import Cipher
from tests.serving import serve_handler

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
SYSTEM_STATUS = {
    "environment": {"version": "9.4.2", "wp_version": "6.7"},
    "settings": {"HPOS_enabled": True},
}
INDEX = {
    "name": "Shop",
    "home": "https://shop.test",
    "timezone_string": "Europe/Berlin",
    "namespaces": ["wp/v2", "wc/v3"],
}

Headers = dict[str, str]
Body = dict[str, t.Any]


class StubStore:
    """The part of a store that a connection needs: no objects, and any configured answer."""

    def __init__(self) -> None:
        #: For ``store.url``.
        self.url = ""
        #: Requested paths in order, without their query.
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, str, bytes]] = {
            "/wp-json/": _json(200, INDEX),
            "/wp-json/wc/v3/system_status": _json(200, SYSTEM_STATUS),
        }
        self._collection = _json(200, [])

    @contextlib.contextmanager
    def serving(self) -> cabc.Iterator[t.Self]:
        """Serve the store on loopback."""
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = store.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-WP-Total", "0")
                self.send_header("X-WP-TotalPages", "0")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        with serve_handler(Handler) as self.url:
            yield self

    def refuse(self, path: str, status: int, code: str, message: str) -> None:
        """Answer one path with an error of WooCommerce's."""
        self.answers[path] = _json(status, {"code": code, "message": message})

    def say_html(self, path: str, status: int = 200) -> None:
        """Answer one path with a page."""
        self.answers[path] = (status, "text/html", b"<!doctype html><h1>Hello world!</h1>")

    def refuse_keys(self) -> None:
        """Refuse the keys for every collection."""
        error = {
            "code": "woocommerce_rest_authentication_error",
            "message": "Invalid signature - provided signature does not match.",
        }
        self._collection = _json(401, error)

    def answer(self, target: str) -> tuple[int, str, bytes]:
        """Return status, media type and body for one request."""
        path = urllib.parse.urlsplit(target).path
        self.asked.append(path)
        return self.answers.get(path, self._collection)


def _json(status: int, value: object) -> tuple[int, str, bytes]:
    return status, "application/json; charset=UTF-8", orjson.dumps(value)


def make_app(folder: pathlib.Path, **config: object) -> flask_woo_events.Flask:
    """Make an application with its own SQLite file, as a developer would write it."""
    app = flask_woo_events.Flask("host")
    app.config.update(
        TESTING=True,
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/host.sqlite3",
        WOO_EVENTS_ENCRYPTION_KEYS=[Cipher.generate_key()],
        WOO_EVENTS_ALLOW_PRIVATE_STORES=True,
    )
    app.config.update(config)
    if not app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite"):
        app.config.setdefault("WOO_EVENTS_STATE_FOLDER", str(folder))
    flask_sqlalchemy.SQLAlchemy(app)
    app.register_extension(flask_woo_events.WooEvents())
    return app


def dispose(app: flask.Flask) -> None:
    """Close all connections of an application."""
    runtime: Runtime | None = app.extensions.get("woo_events")
    if runtime is not None:
        runtime.store_session.close()
        runtime.callback_session.close()
        runtime.database.dispose()
    with app.app_context():
        for engine in app.extensions["sqlalchemy"].engines.values():
            engine.dispose()


def runtime_of(app: flask.Flask) -> Runtime:
    """Return the extension's runtime of an application."""
    return t.cast(Runtime, app.extensions["woo_events"])


@contextlib.contextmanager
def all_calls_taken(app: flask.Flask) -> cabc.Iterator[None]:
    """Have other requests hold all places for calls of stores and callbacks in the block."""
    runtime = runtime_of(app)
    with contextlib.ExitStack() as stack:
        for organization_id in range(runtime.settings.web_calls):
            stack.enter_context(runtime.web_calls.limited(-1 - organization_id))
        yield


@dataclasses.dataclass(frozen=True)
class Account:
    """The secrets of one user."""

    user: str
    organization: str

    @property
    def headers(self) -> Headers:
        """Return the header with both secrets."""
        return {"Authorization": f"User {self.user}, Organization {self.organization}"}

    def element(self, token: str) -> Headers:
        """Return the header for one instance."""
        return {"Authorization": f"User {self.user}, Element {token}"}


def add_account(app: flask.Flask, name: str, organization: str) -> Account:
    """Add a user of a new organisation."""
    with runtime_of(app).database.write() as session:
        user = accounts.add_user(session, name, organization, NOW)
    assert user.organization_secret is not None
    return Account(user.user_secret, user.organization_secret)


DATA = pathlib.Path(__file__).parent.parent / "data"
PREFIX = "/elements/api-v2"


def documented(name: str, store_url: str) -> Body:
    """Return a documented body with the host and the secrets replaced."""
    text = DATA.joinpath(name).read_text()
    for placeholder, value in {
        "{{page.elementKey}}": "woocommercerest",
        "https://api.cloud-elements.com": "https://app.example",
        "<http://mycoolstore.com>": store_url,
        "<WEB_STORE_URL>": store_url,
        "xxxxxxxxxxxxxxxxxxxxxxxxx": "signed",
        "xxxxxxxxxxxxxxxxxxxxxxxx": "cs_test",
        "xxxxxxxxxxxxxxxxxx": "ck_test",
        "<CONSUMER_KEY>": "ck_test",
        "<CONSUMER_SECRET>": "cs_test",
        "<OPTIONAL_SIGNATURE_KEY>": "signed",
        "<minutes>": "15",
        "<CALLBACK_URL>": "https://mycoolapp.com/events",
        "<Add_Your_Tag>": "Docs",
        "<INSTANCE_NAME>": "API Instance with Polling",
    }.items():
        text = text.replace(placeholder, value)
    body: Body = orjson.loads(text)
    return body


def body_for(store_url: str, **configuration: object) -> Body:
    """Return a body that creates an instance with the default pollers and events enabled."""
    keys = {"oauth.api.key": "ck_test", "oauth.api.secret": "cs_test"}
    events = {
        "event.notification.enabled": True,
        "event.notification.callback.url": "https://mycoolapp.com/events",
    }
    return {
        "element": {"key": "woocommercerest"},
        "configuration": {"store.url": store_url, **keys, **events, **configuration},
        "tags": ["Docs"],
        "name": "API Instance",
    }


class Api:
    """The API as one user calls it."""

    def __init__(self, client: flask.testing.FlaskClient, headers: Headers, store: str) -> None:
        self.client = client
        self.headers = headers
        self.store = store

    def call(
        self, method: str, path: str, body: object = None, headers: Headers | None = None
    ) -> t.Any:
        """Send JSON, if any, and return the response."""
        return self.client.open(
            PREFIX + path,
            method=method,
            json=body if body is not None else None,
            headers=headers or self.headers,
        )

    def create(self, **keys: t.Any) -> Body:
        """Create an instance and return the answer.

        :param keys: ``name``, ``tags``, and keys of the configuration.
        """
        name, tags = keys.pop("name", "shop"), keys.pop("tags", None)
        body = body_for(self.store, **copy.deepcopy(keys)) | {"name": name}
        if tags is not None:
            body["tags"] = tags
        response = self.call("POST", "/instances", body)
        assert response.status_code == 200, response.text
        created: Body = response.json
        return created
