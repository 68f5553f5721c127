"""Who gets into the console, for how long, and what a form needs to be believed."""

from __future__ import annotations

import datetime as dt
import importlib.util
import pathlib
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
    """The path of every form of the console, for the first instance and event."""
    return [
        rule.rule.replace(f"<int(max={2**63 - 1}):instance_id>", "1").replace(
            f"<int(max={2**63 - 1}):event_id>", "1"
        )
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("woo_console.") and "POST" in (rule.methods or ())
    ]


def _pass(app: flask.Flask, **time: float) -> None:
    """Let time pass by our own clock."""
    runtime = runtime_of(app)
    later = runtime.clock() + dt.timedelta(**time)
    runtime.clock = lambda: later


def test_nobody_sees_anything(app: flask.Flask) -> None:
    """Who is not signed in is led to the sign-in from every page."""
    client = app.test_client()
    for path in ("/", "/instances", "/instances/new", "/events", "/events.csv", "/nothing"):
        answer = client.get(f"/woo{path}")
        assert answer.status_code == 302, path
        assert answer.headers["Location"].startswith("/woo/sign-in?next="), path


def test_secrets_sign_in(ann: HttpVisitor) -> None:
    """The secrets of a user and the organisation show the overview."""
    page = ann.get("/")
    assert page.status_code == 200
    assert "ann" in page.text and "acme" in page.text


@pytest.mark.parametrize(("user", "organization"), [(True, False), (False, True), (False, False)])
def test_wrong_secrets_do_not(app: flask.Flask, user: bool, organization: bool) -> None:
    """Both secrets must be right and belong together; which one is wrong is not said."""
    account, other = add_account(app, "ann", "acme"), add_account(app, "bob", "globex")
    person = HttpVisitor(app, account)
    form = {
        "user_secret": account.user if user else "wrong",
        "organization_secret": other.organization if not organization else account.organization,
    }
    answer = person.post("/sign-in", form)
    assert answer.status_code == 401
    assert "are not valid, or do not belong together" in answer.text
    assert account.user not in answer.text
    assert person.get("/").status_code == 302


def test_element_token_does_not(app: flask.Flask, ann: HttpVisitor) -> None:
    """What is no secret cannot be smuggled into the header that is checked."""
    person = HttpVisitor(app, ann.account)
    form = {"user_secret": ann.account.user, "organization_secret": "x, Element y"}
    assert person.post("/sign-in", form).status_code == 401


def test_too_many_attempts_wait(app: flask.Flask) -> None:
    """After ten attempts an address waits, and is let in again later."""
    person = HttpVisitor(app, add_account(app, "ann", "acme"))
    for _ in range(10):
        person.post("/sign-in", {"user_secret": "x", "organization_secret": "y"})
    answer = person.post("/sign-in", {"user_secret": "x", "organization_secret": "y"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 300
    _pass(app, minutes=5)
    person.sign_in()


def test_good_attempts_count_for_nothing(app: flask.Flask) -> None:
    """People behind one proxy do not lock each other out by signing in."""
    account = add_account(app, "ann", "acme")
    for _ in range(12):
        HttpVisitor(app, account).sign_in()


def test_attempts_forget_the_least_recent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of addresses does not fill the memory."""
    monkeypatch.setattr(rate_limit, "_REMEMBERED", 100)
    kept, now = rate_limit.Attempts(3, dt.timedelta(minutes=1)), dt.datetime.now(dt.UTC)
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
    """After signing in one is at a page of the console, whatever the address asked for."""
    person = HttpVisitor(app, add_account(app, "ann", "acme"))
    assert person.sign_in(target).headers["Location"] == "/woo/"


def test_signing_in_leads_to_the_page_asked_for(app: flask.Flask) -> None:
    """After signing in one is where one wanted to be."""
    person = HttpVisitor(app, add_account(app, "ann", "acme"))
    led = person.get("/events?type=DELETED").headers["Location"]
    assert led == "/woo/sign-in?next=/woo/events?type%3DDELETED"
    assert person.sign_in("/woo/events?type=DELETED").headers["Location"].endswith("type=DELETED")


def test_planted_session_is_not_kept(app: flask.Flask) -> None:
    """What was in the session before signing in is worth nothing after it."""
    person = HttpVisitor(app, add_account(app, "ann", "acme"))
    planted = person.token()
    with person.client.session_transaction() as session:
        session["woo_console"] = {"user": 99, "organization": 99, "fingerprint": "planted"}
        session["of the host"] = "kept"
    person.post("/sign-in", {"user_secret": "x", "organization_secret": "y"})
    person.sign_in()
    with person.client.session_transaction() as session:
        assert session["woo_console"]["user"] != 99
        assert session["of the host"] == "kept"
    answer = person.client.post("/woo/sign-out", data={"woo_csrf_token": planted})
    assert answer.status_code == 400


def test_session_on_a_server_gets_another_id(app: flask.Flask) -> None:
    """Where the host keeps sessions by an id, the id is another one after signing in."""
    called: list[object] = []
    interface = t.cast(t.Any, app.session_interface)
    interface.regenerate = called.append
    HttpVisitor(app, add_account(app, "ann", "acme")).sign_in()
    assert len(called) == 1


def test_removed_user_is_out(app: flask.Flask, ann: HttpVisitor) -> None:
    """Removing a user ends the session."""
    add_user = runtime_of(app)
    with add_user.database.write() as session:
        accounts.remove_user(session, "ann", "acme")
    assert ann.get("/instances").status_code == 302


def test_other_secret_ends_the_session(app: flask.Flask, ann: HttpVisitor) -> None:
    """A user of the same name and number with another secret is somebody else."""
    with runtime_of(app).database.write() as session:
        accounts.remove_user(session, "ann", "acme")
        accounts.add_user(session, "ann", "acme", dt.datetime.now(dt.UTC))
    assert ann.get("/instances").status_code == 302


def test_idle_session_ends(app: flask.Flask, ann: HttpVisitor) -> None:
    """Half an hour without a request ends the session; requests in between keep it."""
    for _ in range(3):
        _pass(app, minutes=29)
        assert ann.get("/").status_code == 200
    _pass(app, minutes=31)
    assert ann.get("/").status_code == 302


def test_pages_that_load_themselves_do_not_keep_a_session(
    app: flask.Flask, ann: HttpVisitor
) -> None:
    """A page left open does not stay signed in for ever."""
    for _ in range(3):
        assert ann.get("/events?live=on").status_code == 200
        _pass(app, minutes=11)
    assert ann.get("/").status_code == 302


def test_session_ends_in_any_case(app: flask.Flask, ann: HttpVisitor) -> None:
    """Twelve hours after signing in one signs in again."""
    for _ in range(25):
        assert ann.get("/").status_code == 200
        _pass(app, minutes=29)
    assert ann.get("/").status_code == 302


def test_signing_out_ends_it(ann: HttpVisitor) -> None:
    """After signing out nothing is shown."""
    assert ann.post("/sign-out").status_code == 302
    assert ann.get("/").status_code == 302


def test_copied_cookie_ends_with_the_session(app: flask.Flask, ann: HttpVisitor) -> None:
    """Signing out ends the session for whoever copied its cookie, and only this session."""
    kept = ann.client.get_cookie("session")
    assert kept is not None
    thief = HttpVisitor(app, ann.account)
    thief.client.set_cookie("session", kept.value)
    other = HttpVisitor(app, ann.account)
    other.sign_in()
    assert thief.get("/instances").status_code == 200
    assert ann.post("/sign-out").status_code == 302
    assert thief.get("/instances").status_code == 302
    assert other.get("/instances").status_code == 200


@pytest.mark.parametrize("given", [None, "", "wrong", "another's"])
def test_forms_need_their_token(
    app: flask.Flask, ann: HttpVisitor, bob: HttpVisitor, given: str | None
) -> None:
    """Every form without the token of its own session is refused and changes nothing."""
    before = rows(app)
    paths = _forms(app)
    assert len(paths) >= 14
    for path in paths:
        token = bob.token() if given == "another's" else given
        data = {"woo_csrf_token": token} if token is not None else {}
        assert ann.client.post(path, data=data).status_code == 400, path
    assert rows(app) == before


def test_form_is_good_as_long_as_the_session(app: flask.Flask, ann: HttpVisitor) -> None:
    """A form that was open for longer than Flask-WTF's hour can still be sent."""
    app.config["WTF_CSRF_TIME_LIMIT"] = -1
    assert ann.post("/sign-out").status_code == 302


def test_every_answer_is_safe(ann: HttpVisitor) -> None:
    """Pages, errors and files have the headers that keep a browser safe."""
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
    """What the policy forbids is not in the pages."""
    for path in ("/", "/instances/new", "/events", "/deliveries", "/deliveries/replay"):
        page = ann.get(path).text
        assert " style=" not in page and "<style" not in page
        assert page.count("<script") == 1 and "<script src=" in page
        assert " onclick" not in page


class _Host:
    """A host that has the same packages for itself."""

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
            steps.insert(1, steps.pop())
        for step in steps:
            step()
        upgrade.upgrade(runtime_of(self.app).database.engine)
        self.app.add_url_rule("/form", view_func=lambda: "sent", methods=["POST"])


@pytest.mark.parametrize("console_first", [True, False])
def test_host_may_have_the_same_packages(tmp_path: pathlib.Path, console_first: bool) -> None:
    """The host's own Bootstrap and CSRF protection go on working, and so does the console."""
    host = _Host(tmp_path, console_first=console_first)
    account = add_account(host.app, "ann", "acme")
    person = HttpVisitor(host.app, account)
    person.sign_in()
    assert person.get("/").status_code == 200
    assert host.app.test_client().post("/form").status_code == 400
    answer = host.app.test_client().post(
        "/elements/api-v2/instances", json={}, headers=account.headers
    )
    assert "element.key" in answer.text, "the API asks no browser's token"
    dispose(host.app)


def test_host_decides_who_sees_it(app: flask.Flask, ann: HttpVisitor) -> None:
    """With ``console_access`` the host's login counts, and there is no sign-in of ours."""
    woo = WooEvents()
    other = _with_hook(app, woo)
    who: list[ConsoleUser | None] = [ConsoleUser("ann", "acme")]

    @woo.console_access
    def user() -> ConsoleUser | None:
        return who[0]

    client = other.test_client()
    page = client.get("/woo/")
    assert page.status_code == 200 and "Sign out" not in page.text
    for nobody in (None, ConsoleUser("ann", "globex"), ConsoleUser("eve", "acme")):
        who[0] = nobody
        assert client.get("/woo/").status_code == 403
    dispose(other)


def test_hosts_login_may_redirect(app: flask.Flask, ann: HttpVisitor) -> None:
    """The function may end the request as a view does."""
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
    names = ("SQLALCHEMY_DATABASE_URI", "WOO_EVENTS_ENCRYPTION_KEYS", "SECRET_KEY", "TESTING")
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
        ({"SECRET_KEY": None}, "SECRET_KEY"),
        ({"WOO_EVENTS_CONSOLE_PREFIX": "/"}, "WOO_EVENTS_CONSOLE_PREFIX"),
        ({"WOO_EVENTS_CONSOLE_PREFIX": "/elements/api-v2"}, "WOO_EVENTS_CONSOLE_PREFIX"),
    ],
)
def test_wrong_settings_say_so(
    tmp_path: pathlib.Path, config: dict[str, object], words: str
) -> None:
    """What the console needs is said when the extension is initialised."""
    with pytest.raises(ConfigurationError, match=words):
        make_app(tmp_path, **{"SECRET_KEY": "x", "WOO_EVENTS_CONSOLE": True, **config})


def test_missing_extra_says_how_to_install_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the packages of the extra the error names the command."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'flask-woo-events\[console\]'"):
        make_app(tmp_path, SECRET_KEY="x", WOO_EVENTS_CONSOLE=True)


def test_console_can_be_elsewhere(tmp_path: pathlib.Path) -> None:
    """The prefix is a setting, and every link follows it."""
    app = make_app(
        tmp_path, SECRET_KEY="x", WOO_EVENTS_CONSOLE=True, WOO_EVENTS_CONSOLE_PREFIX="/ops/woo/"
    )
    page = app.test_client().get("/ops/woo/sign-in")
    assert page.status_code == 200
    assert "/ops/woo/static/console.css" in page.text and '"/woo' not in page.text
    dispose(app)


def test_api_account_is_not_a_session(app: flask.Flask, ann: HttpVisitor) -> None:
    """The header of the API opens no page of the console."""
    account: Account = ann.account
    answer = app.test_client().get("/woo/instances", headers=account.headers)
    assert answer.status_code == 302
