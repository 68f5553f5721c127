"""The console's cookie, in applications with all kinds of sessions."""

from __future__ import annotations

import collections.abc as cabc
import pathlib
import shutil
import typing as t

import flask
import flask.sessions
import flask_sqlalchemy
import itsdangerous
import pytest
import werkzeug.datastructures

import flask_woo_events
from flask_woo_events import ConsoleUser, WooEvents
from flask_woo_events.console import access, formatting, session
from flask_woo_events.values.crypto import Cipher
from tests.console.http_visitor import HttpVisitor
from tests.integration.host_app import add_account, dispose, make_app

App = flask_woo_events.Flask
MakeApp = cabc.Callable[..., App]


class ServerSession(werkzeug.datastructures.CallbackDict[str, t.Any], flask.sessions.SessionMixin):
    """A session whose values are kept on the server."""

    def __init__(self, session_id: str, values: dict[str, t.Any]) -> None:
        super().__init__(values, on_update=self._note)
        self.session_id = session_id
        self.modified = False

    def _note(self, _: t.Any) -> None:
        self.modified = True


class ServerSessions(flask.sessions.SessionInterface):
    """Sessions on the server under an id in a cookie, like those of Flask-Session."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, t.Any]] = {}

    def open_session(self, app: flask.Flask, request: flask.Request) -> ServerSession:
        session_id = request.cookies.get(self.get_cookie_name(app), "")
        return ServerSession(session_id, self.rows.get(session_id, {}))

    def save_session(
        self, app: flask.Flask, session: flask.sessions.SessionMixin, response: flask.Response
    ) -> None:
        assert isinstance(session, ServerSession)
        if session.modified:
            session_id = session.session_id or f"id {len(self.rows)}"
            self.rows[session_id] = dict(session)
            response.set_cookie(self.get_cookie_name(app), session_id)


class NoSessions(flask.sessions.SessionInterface):
    """An application without sessions: to write to one is an error."""

    def open_session(self, app: flask.Flask, request: flask.Request) -> None:
        return None


def cookie_of(answer: t.Any) -> dict[str, str]:
    """Return the attributes of the console's cookie in a response, with its value."""
    (header,) = answer.headers.getlist("Set-Cookie")
    parts = [part.partition("=") for part in header.split("; ")]
    assert parts[0][0] == "woo_console"
    return {name.lower(): value for name, _, value in parts}


@pytest.fixture
def make(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[MakeApp]:
    """Return a function that makes an application with the console and its tables."""
    apps = []

    def make(**config: object) -> App:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        apps.append(make_app(tmp_path, **{"WOO_EVENTS_CONSOLE": True, **config}))
        return apps[-1]

    yield make
    for app in apps:
        dispose(app)


def _use(app: App) -> None:
    """Sign in, send a form, read the message that it leaves, and sign out."""
    visitor = HttpVisitor(app, add_account(app, "ann", "acme"))
    visitor.sign_in()
    answer = visitor.post("/deliveries/redeliver", {"event": "1"})
    assert answer.status_code == 302, answer.text
    assert "alert-info" in visitor.get("/deliveries").text
    assert "alert-info" not in visitor.get("/deliveries").text
    assert visitor.post("/sign-out").status_code == 302
    assert visitor.get("/").status_code == 302


@pytest.mark.parametrize(
    "config",
    [
        {"SESSION_COOKIE_NAME": "sid", "SESSION_COOKIE_DOMAIN": "elsewhere.test"},
        {"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_SAMESITE": "None"},
        {"SESSION_COOKIE_SAMESITE": "Strict", "SESSION_COOKIE_PATH": "/elsewhere"},
        {"SESSION_COOKIE_HTTPONLY": False, "PERMANENT_SESSION_LIFETIME": 0},
    ],
)
def test_settings_of_the_hosts_sessions(make: MakeApp, config: dict[str, object]) -> None:
    """The settings of the application's own session change nothing."""
    _use(make(SECRET_KEY="of the host", **config))


def test_sessions_on_the_server(make: MakeApp) -> None:
    """The console writes no session of the application's, and leaves those that exist."""
    app = make()
    app.session_interface = sessions = ServerSessions()
    app.add_url_rule("/host", view_func=lambda: flask.session.setdefault("name", "of the host"))
    visitor = HttpVisitor(app, add_account(app, "bob", "globex"))
    visitor.client.get("/host")
    visitor.sign_in()
    visitor.post("/sign-out")
    _use(app)
    assert sessions.rows == {"id 0": {"name": "of the host"}}


def test_application_without_sessions(make: MakeApp) -> None:
    """The console needs neither a SECRET_KEY nor sessions of the application."""
    app = make()
    assert app.secret_key is None
    app.session_interface = NoSessions()
    _use(app)


def test_attributes(make: MakeApp) -> None:
    """Scripts cannot read the cookie, other sites cannot send forms with it, and it stays here."""
    client = make().test_client()
    cookie = cookie_of(client.get("/woo/sign-in"))
    assert cookie.keys() == {"woo_console", "httponly", "path", "samesite"}
    assert (cookie["path"], cookie["samesite"]) == ("/woo", "Lax")


@pytest.mark.parametrize(
    "request_",
    [
        {"base_url": "https://host.test"},
        {"headers": {"X-Forwarded-Proto": "https"}},
        {"headers": {"X-Forwarded-Proto": "HTTPS, http"}},
    ],
)
def test_secure_under_https(make: MakeApp, request_: dict[str, t.Any]) -> None:
    """Under https the browser sends the cookie over https only, also behind a proxy."""
    assert "secure" in cookie_of(make().test_client().get("/woo/sign-in", **request_))


def test_path_below_a_mount_point(make: MakeApp) -> None:
    """The path of the cookie includes that of the application."""
    app = make(WOO_EVENTS_CONSOLE_PREFIX="/ops")
    answer = app.test_client().get("/ops/sign-in", environ_overrides={"SCRIPT_NAME": "/shop"})
    assert cookie_of(answer)["path"] == "/shop/ops"


def test_signing_out_clears_the_cookie(make: MakeApp) -> None:
    """After signing out the browser has no cookie of the console."""
    app = make()
    visitor = HttpVisitor(app, add_account(app, "ann", "acme"))
    visitor.sign_in()
    cookie = cookie_of(visitor.post("/sign-out"))
    assert (cookie["max-age"], cookie["path"]) == ("0", "/woo")
    assert visitor.client.get_cookie("woo_console", path="/woo") is None


def test_altered_cookies_are_nobodys(make: MakeApp) -> None:
    """A cookie that another key or another part of the application signed has no effect."""
    app = make(SECRET_KEY="of the host")
    visitor = HttpVisitor(app, add_account(app, "ann", "acme"))
    visitor.sign_in()
    good = visitor.cookie()
    values = itsdangerous.URLSafeSerializer("x").loads_unsafe(good)[1]
    (key,) = app.config["WOO_EVENTS_ENCRYPTION_KEYS"]
    content, _, signature = good.rpartition(".")
    forged = [
        # Not at its end, where some bits of Base64 mean nothing.
        f"{content}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
        itsdangerous.URLSafeSerializer("of the host", salt="woo_events.console").dumps(values),
        itsdangerous.URLSafeSerializer(key).dumps(values),
        "é\x01.x", "." * 4000,
    ]  # fmt: skip
    for one in forged:
        visitor.client.set_cookie("woo_console", one, path="/woo")
        assert visitor.get("/").status_code == 302
    visitor.client.set_cookie("woo_console", good, path="/woo")
    assert visitor.get("/").status_code == 200


def test_another_encryption_key_ends_no_session(make: MakeApp) -> None:
    """A session survives a new key, and ends when its own key is removed."""
    old, new = Cipher.generate_key(), Cipher.generate_key()
    app = make(WOO_EVENTS_ENCRYPTION_KEYS=[old])
    visitor = HttpVisitor(app, add_account(app, "ann", "acme"))
    visitor.sign_in()
    for keys, status in (([old, new], 200), ([new], 302)):
        later = make_app(
            pathlib.Path(app.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///")).parent,
            WOO_EVENTS_CONSOLE=True,
            WOO_EVENTS_ENCRYPTION_KEYS=keys,
        )
        client = later.test_client()
        client.set_cookie("woo_console", visitor.cookie(), path="/woo")
        assert client.get("/woo/").status_code == status
        dispose(later)


def test_without_an_encryption_key(make: MakeApp) -> None:
    """Without a key the console says which setting is missing."""
    answer = make(WOO_EVENTS_ENCRYPTION_KEYS=[]).test_client().get("/woo/sign-in")
    assert answer.status_code == 500
    assert "WOO_EVENTS_ENCRYPTION_KEYS is empty" in answer.text


def test_other_user_of_the_hosts_login(tmp_path: pathlib.Path, tables: pathlib.Path) -> None:
    """A form of one user is refused if the application's login names another one by now."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    app, woo = App("host"), WooEvents()
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/host.sqlite3",
        WOO_EVENTS_ENCRYPTION_KEYS=[Cipher.generate_key()],
        WOO_EVENTS_CONSOLE=True,
    )
    flask_sqlalchemy.SQLAlchemy(app)
    app.register_extension(woo)
    names = [ConsoleUser("ann", "acme")]

    @woo.console_access
    def user() -> ConsoleUser:
        return names[-1]

    visitor = HttpVisitor(app, add_account(app, "ann", "acme"))
    add_account(app, "bob", "globex")
    token = visitor.token()
    form = {"woo_csrf_token": token, "event": "1"}
    assert visitor.client.post("/woo/deliveries/redeliver", data=form).status_code == 302
    names.append(ConsoleUser("bob", "globex"))
    assert visitor.client.post("/woo/deliveries/redeliver", data=form).status_code == 400
    assert visitor.token() != token
    dispose(app)


def test_fullest_cookie_fits(make: MakeApp) -> None:
    """Browsers drop cookies of more than 4,096 bytes; the largest one is smaller."""
    app = make()
    visitor = HttpVisitor(app, add_account(app, "ann", "acme"))
    visitor.sign_in()
    with app.test_request_context("/woo/", headers={"Cookie": f"woo_console={visitor.cookie()}"}):
        for number in range(20):
            access.remember_created(f"{number:0>40}", 2**63 - 1 - number)
        formatting.flash("".join(chr(0x1F300 + 37 * number % 700) for number in range(1000)))
        assert access.token()
        value = session.current().cookie()
    assert value is not None and len(value) < 3800
