"""Access to the console: sign-in, sessions and CSRF tokens."""

from __future__ import annotations

import datetime as dt
import importlib.util
import pathlib
import re
import typing as t

import flask
import flask_bootstrap
import flask_sqlalchemy
import flask_wtf
import flask_wtf.csrf
import pytest

import flask_woo_events
from flask_woo_events import ConfigurationError, ConsoleUser, WooEvents
from flask_woo_events.console import rate_limit
from flask_woo_events.db import upgrade
from flask_woo_events.instances import accounts
from flask_woo_events.values.crypto import Cipher
from tests.console.http_visitor import HttpVisitor, rows
from tests.integration.host_app import Account, add_account, dispose, make_app, runtime_of


def _forms(app: flask.Flask) -> list[str]:
    """Return the path of every form, for the first instance, subscription and event."""
    return [
        re.sub(r"<int\(max=\d+\):(instance|event|subscription)_id>", "1", rule.rule)
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("woo_console.") and "POST" in (rule.methods or ())
    ]


def _pass(app: flask.Flask, **time: float) -> None:
    """Advance our own clock."""
    runtime = runtime_of(app)
    later = runtime.clock() + dt.timedelta(**time)
    runtime.clock = lambda: later


def test_pages_need_a_session(app: flask.Flask) -> None:
    """Every page redirects to the sign-in page without a session."""
    client = app.test_client()
    for path in ("/", "/instances", "/instances/new", "/events", "/events.csv", "/nothing"):
        answer = client.get(f"/woo{path}")
        assert answer.status_code == 302, path
        assert answer.headers["Location"].startswith("/woo/sign-in?next="), path


def test_secrets_sign_in(ann: HttpVisitor) -> None:
    """The secrets of a user and the organization sign in."""
    page = ann.get("/")
    assert page.status_code == 200
    assert "ann" in page.text and "acme" in page.text


@pytest.mark.parametrize(("user", "organization"), [(True, False), (False, True), (False, False)])
def test_wrong_secrets_do_not(app: flask.Flask, user: bool, organization: bool) -> None:
    """Both secrets must be valid; the message does not say which one is wrong."""
    account, other = add_account(app, "ann", "acme"), add_account(app, "bob", "globex")
    visitor = HttpVisitor(app, account)
    form = {
        "user_secret": account.user if user else "wrong",
        "organization_secret": other.organization if not organization else account.organization,
    }
    answer = visitor.post("/sign-in", form)
    assert answer.status_code == 401
    assert "are not valid, or they belong to different organizations" in answer.text
    assert account.user not in answer.text
    assert visitor.get("/").status_code == 302


def test_element_token_does_not(app: flask.Flask, ann: HttpVisitor) -> None:
    """A secret cannot add a part to the header that is checked."""
    visitor = HttpVisitor(app, ann.account)
    form = {"user_secret": ann.account.user, "organization_secret": "x, Element y"}
    assert visitor.post("/sign-in", form).status_code == 401


def test_too_many_attempts_wait(app: flask.Flask) -> None:
    """After ten attempts an address has to wait."""
    visitor = HttpVisitor(app, add_account(app, "ann", "acme"))
    for _ in range(10):
        visitor.post("/sign-in", {"user_secret": "x", "organization_secret": "y"})
    answer = visitor.post("/sign-in", {"user_secret": "x", "organization_secret": "y"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 300
    _pass(app, minutes=5)
    visitor.sign_in()


def test_good_attempts_count_for_nothing(app: flask.Flask) -> None:
    """Successful sign-ins do not count, so users behind one proxy do not lock each other out."""
    account = add_account(app, "ann", "acme")
    for _ in range(12):
        HttpVisitor(app, account).sign_in()


def test_attempts_forget_the_least_recent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of addresses does not fill memory."""
    monkeypatch.setattr(rate_limit, "_REMEMBERED", 100)
    kept, now = rate_limit.RateLimiter(3, dt.timedelta(minutes=1)), dt.datetime.now(dt.UTC)
    for number in range(1000):
        kept.wait(str(number), now)
    assert len(kept._made) == 100


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.test/",
        "//evil.test/woo/",
        "/\\evil.test",
        "/woo/\\evil.test",
        "/elsewhere",
        "javascript:alert(1)",
        "/woo/\nx",
        "",
    ],
)
def test_signing_in_leads_nowhere_else(app: flask.Flask, target: str) -> None:
    """Signing in redirects only to pages of the console."""
    visitor = HttpVisitor(app, add_account(app, "ann", "acme"))
    assert visitor.sign_in(target).headers["Location"] == "/woo/"


def test_signing_in_leads_to_the_page_asked_for(app: flask.Flask) -> None:
    """Signing in redirects to the requested page."""
    visitor = HttpVisitor(app, add_account(app, "ann", "acme"))
    led = visitor.get("/events?type=DELETED").headers["Location"]
    assert led == "/woo/sign-in?next=/woo/events?type%3DDELETED"
    assert visitor.sign_in("/woo/events?type=DELETED").headers["Location"].endswith("type=DELETED")


def test_planted_cookie_is_not_kept(app: flask.Flask) -> None:
    """Signing in replaces the cookie and the token that a browser had before."""
    visitor = HttpVisitor(app, add_account(app, "ann", "acme"))
    planted = visitor.token()
    before = visitor.cookie()
    visitor.post("/sign-in", {"user_secret": "x", "organization_secret": "y"})
    visitor.sign_in()
    assert visitor.cookie() != before
    answer = visitor.client.post("/woo/sign-out", data={"woo_csrf_token": planted})
    assert answer.status_code == 400
    visitor.client.set_cookie("woo_console", before, path="/woo")
    assert visitor.get("/").status_code == 302


def test_removed_user_is_out(app: flask.Flask, ann: HttpVisitor) -> None:
    """Removing a user ends the session."""
    add_user = runtime_of(app)
    with add_user.database.write() as session:
        accounts.remove_user(session, "ann", "acme")
    assert ann.get("/instances").status_code == 302


def test_other_secret_ends_the_session(app: flask.Flask, ann: HttpVisitor) -> None:
    """A new user with the same name and id but another secret is a different user."""
    with runtime_of(app).database.write() as session:
        accounts.remove_user(session, "ann", "acme")
        accounts.add_user(session, "ann", "acme", dt.datetime.now(dt.UTC))
    assert ann.get("/instances").status_code == 302


def test_idle_session_ends(app: flask.Flask, ann: HttpVisitor) -> None:
    """A session ends after half an hour without a request."""
    for _ in range(3):
        _pass(app, minutes=29)
        assert ann.get("/").status_code == 200
    _pass(app, minutes=31)
    assert ann.get("/").status_code == 302


def test_pages_that_load_themselves_do_not_keep_a_session(
    app: flask.Flask, ann: HttpVisitor
) -> None:
    """Pages that refresh themselves do not keep a session alive."""
    for _ in range(3):
        assert ann.get("/events?live=on").status_code == 200
        _pass(app, minutes=11)
    assert ann.get("/").status_code == 302


def test_session_ends_in_any_case(app: flask.Flask, ann: HttpVisitor) -> None:
    """A session ends twelve hours after signing in."""
    for _ in range(25):
        assert ann.get("/").status_code == 200
        _pass(app, minutes=29)
    assert ann.get("/").status_code == 302


def test_signing_out_ends_it(ann: HttpVisitor) -> None:
    """After signing out, pages redirect to the sign-in page."""
    assert ann.post("/sign-out").status_code == 302
    assert ann.get("/").status_code == 302


def test_copied_cookie_ends_with_the_session(app: flask.Flask, ann: HttpVisitor) -> None:
    """Signing out ends the session for copies of its cookie, and no other session."""
    copy = HttpVisitor(app, ann.account)
    copy.client.set_cookie("woo_console", ann.cookie(), path="/woo")
    other = HttpVisitor(app, ann.account)
    other.sign_in()
    assert copy.get("/instances").status_code == 200
    assert ann.post("/sign-out").status_code == 302
    assert copy.get("/instances").status_code == 302
    assert other.get("/instances").status_code == 200


@pytest.mark.parametrize("given", [None, "", "wrong", "another's"])
def test_forms_need_their_token(
    app: flask.Flask, ann: HttpVisitor, bob: HttpVisitor, given: str | None
) -> None:
    """A form without the token of its session is refused and changes nothing."""
    before = rows(app)
    paths = _forms(app)
    assert len(paths) >= 20
    for path in paths:
        token = bob.token() if given == "another's" else given
        data = {"woo_csrf_token": token} if token is not None else {}
        assert ann.client.post(path, data=data).status_code == 400, path
    assert rows(app) == before


def test_form_is_good_as_long_as_the_session(app: flask.Flask, ann: HttpVisitor) -> None:
    """A form stays valid until the session ends, however old its page is."""
    token = ann.token()
    for _ in range(20):
        assert ann.get("/").status_code == 200
        _pass(app, minutes=29)
    answer = ann.client.post("/woo/sign-out", data={"woo_csrf_token": token})
    assert answer.status_code == 302


def test_form_of_the_sign_in_page_expires(app: flask.Flask) -> None:
    """A cookie is refused twelve hours after it was written, also without a user."""
    visitor = HttpVisitor(app, add_account(app, "ann", "acme"))
    token = visitor.token()
    secrets = {
        "user_secret": visitor.account.user,
        "organization_secret": visitor.account.organization,
        "woo_csrf_token": token,
    }
    _pass(app, hours=13)
    assert visitor.client.post("/woo/sign-in", data=secrets).status_code == 400
    visitor.sign_in()


def test_every_answer_is_safe(ann: HttpVisitor) -> None:
    """Pages, errors and files have the security headers."""
    for path in ("/", "/nothing", "/sign-in", "/static/console.js", "/bootstrap.css"):
        with ann.get(path) as answer:
            headers = answer.headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        stored = headers.get("Cache-Control") == "no-store"
        assert stored == (not path.endswith((".js", ".css"))), path


def test_pages_have_no_inline_code(ann: HttpVisitor) -> None:
    """Pages contain no inline script or style."""
    for path in ("/", "/instances/new", "/events", "/deliveries", "/deliveries/replay"):
        page = ann.get(path).text
        assert " style=" not in page and "<style" not in page
        assert page.count("<script") == 1 and "<script src=" in page
        assert " onclick" not in page


class _Host:
    """A host application that uses the same packages."""

    def __init__(self, folder: pathlib.Path, *, console_first: bool) -> None:
        self.app = flask_woo_events.Flask("host")
        self.app.config.update(
            TESTING=True,
            SECRET_KEY="of the host",
            SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/host.sqlite3",
            WOO_EVENTS_ENCRYPTION_KEYS=[Cipher.generate_key()],
            WOO_EVENTS_CONSOLE=True,
        )
        flask_sqlalchemy.SQLAlchemy(self.app)
        steps: list[t.Callable[[], object]] = [
            lambda: flask_wtf.csrf.CSRFProtect(self.app),
            lambda: flask_bootstrap.Bootstrap4(self.app),
            lambda: self.app.register_extension(WooEvents()),
        ]
        if console_first:
            steps.insert(0, steps.pop())
        for step in steps:
            step()
        upgrade.upgrade(runtime_of(self.app).database.engine)
        self.app.add_url_rule("/form", view_func=lambda: "sent", methods=["POST"])


@pytest.mark.parametrize("console_first", [True, False])
def test_host_may_have_the_same_packages(tmp_path: pathlib.Path, console_first: bool) -> None:
    """The host's own Bootstrap and CSRF protection keep working, and so does the console."""
    host = _Host(tmp_path, console_first=console_first)
    account = add_account(host.app, "ann", "acme")
    visitor = HttpVisitor(host.app, account)
    visitor.sign_in()
    assert visitor.get("/").status_code == 200
    assert host.app.test_client().post("/form").status_code == 400
    answer = host.app.test_client().post(
        "/elements/api-v2/instances", json={}, headers=account.headers
    )
    assert "element.key" in answer.text, "the API asks no browser's token"
    dispose(host.app)


def test_host_decides_who_sees_it(app: flask.Flask, ann: HttpVisitor) -> None:
    """With ``console_access``, the host's login replaces the sign-in page."""
    woo = WooEvents()
    other = _with_hook(app, woo)
    who: list[ConsoleUser | None] = [ConsoleUser("ann", "acme")]

    @woo.console_access
    def user() -> ConsoleUser | None:
        return who[0]

    client = other.test_client()
    page = client.get("/woo/")
    assert page.status_code == 200 and "Sign out" not in page.text
    for refused in (None, ConsoleUser("ann", "globex"), ConsoleUser("eve", "acme")):
        who[0] = refused
        assert client.get("/woo/").status_code == 403
    dispose(other)


def test_hosts_login_may_redirect(app: flask.Flask, ann: HttpVisitor) -> None:
    """The function may end the request with a redirect."""
    woo = WooEvents()
    other = _with_hook(app, woo)

    @woo.console_access
    def user() -> ConsoleUser | None:
        flask.abort(flask.redirect("/login"))

    answer = other.test_client().get("/woo/")
    assert answer.status_code == 302 and answer.headers["Location"] == "/login"
    dispose(other)


def _with_hook(app: flask.Flask, woo: WooEvents) -> flask_woo_events.Flask:
    other = flask_woo_events.Flask("other")
    names = ("SQLALCHEMY_DATABASE_URI", "WOO_EVENTS_ENCRYPTION_KEYS", "TESTING")
    other.config.update({name: app.config[name] for name in names}, WOO_EVENTS_CONSOLE=True)
    flask_sqlalchemy.SQLAlchemy(other)
    other.register_extension(woo)
    return other


def test_console_is_off_unless_set(tmp_path: pathlib.Path) -> None:
    """Without the setting there is no console."""
    app = make_app(tmp_path)
    assert not [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/woo")]
    dispose(app)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"WOO_EVENTS_CONSOLE_PREFIX": "/"}, "WOO_EVENTS_CONSOLE_PREFIX"),
        ({"WOO_EVENTS_CONSOLE_PREFIX": "/elements/api-v2"}, "WOO_EVENTS_CONSOLE_PREFIX"),
    ],
)
def test_wrong_settings_say_so(
    tmp_path: pathlib.Path, config: dict[str, object], words: str
) -> None:
    """Wrong settings raise an error when the extension is initialized."""
    with pytest.raises(ConfigurationError, match=words):
        make_app(tmp_path, **{"WOO_EVENTS_CONSOLE": True, **config})


def test_missing_extra_says_how_to_install_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the extra's packages are missing, the error names the command to install them."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'flask-woo-events\[console\]'"):
        make_app(tmp_path, WOO_EVENTS_CONSOLE=True)


def test_console_can_be_elsewhere(tmp_path: pathlib.Path) -> None:
    """The prefix is a setting, and every link follows it."""
    app = make_app(tmp_path, WOO_EVENTS_CONSOLE=True, WOO_EVENTS_CONSOLE_PREFIX="/ops/woo/")
    page = app.test_client().get("/ops/woo/sign-in")
    assert page.status_code == 200
    assert "/ops/woo/static/console.css" in page.text and '"/woo' not in page.text
    dispose(app)


def test_api_account_is_not_a_session(app: flask.Flask, ann: HttpVisitor) -> None:
    """The API's authorization header does not open the console."""
    account: Account = ann.account
    answer = app.test_client().get("/woo/instances", headers=account.headers)
    assert answer.status_code == 302
