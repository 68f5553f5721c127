"""Access: who looks at the console, and whether a form that is sent is one of ours."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import secrets
import typing as t
import urllib.parse

import flask
import flask_wtf.csrf
import werkzeug.exceptions
import wtforms.validators

from ..errors import ForbiddenError, NotFoundError
from ..instances import accounts
from ..instances.accounts import Caller, ConsoleUser, HttpVisitor
from ..runtime import current_runtime
from ..settings import Settings
from ..values.crypto import same
from ..values.validation import LARGEST_ID, whole_number

Answer = str | flask.typing.ResponseReturnValue
Hook = cabc.Callable[[], cabc.Callable[[], ConsoleUser | None] | None]

#: Ids in paths; greater ones than a database can hold do not exist.
INSTANCE = f"<int(max={LARGEST_ID}):instance_id>"
EVENT = f"<int(max={LARGEST_ID}):event_id>"
#: Our keys of the session and our field of forms, beside those of the host.
SESSION = "woo_console"
TOKEN = "woo_csrf_token"
_KEPT = {"id", "user", "organization", "fingerprint", "since", "seen"}
#: Pages that need nobody to be known.
_OPEN = frozenset({"woo_console.sign_in", "woo_console.static", "woo_console.bootstrap"})
#: A session is written anew only when it was last written so long ago, seconds.
_WRITE_AFTER = 30


def register(blueprint: flask.Blueprint, settings: Settings, hook: Hook) -> None:
    """Let nothing of the blueprint through without a look."""

    def enter() -> Answer | None:
        if flask.request.method not in ("GET", "HEAD", "OPTIONS"):
            _check_token(settings)
        if flask.request.endpoint in _OPEN:
            return None
        function = hook()
        if function is not None:
            flask.g.woo_person = _hosts_person(function())
            return None
        person = _remembered(settings)
        if person is None:
            return flask.redirect(flask.url_for("woo_console.sign_in", next=_here()))
        flask.g.woo_person = person
        return None

    blueprint.before_request(enter)
    blueprint.context_processor(lambda: {"own_login": hook() is None})


def person() -> HttpVisitor:
    """Who looks."""
    return t.cast(HttpVisitor, flask.g.woo_person)


def caller() -> Caller:
    """Who looks, as the middle wants to know it."""
    return person().caller


def number(name: str) -> int | None:
    """An id of the query; ``None`` for none, and for what a database cannot hold."""
    return whole_number(flask.request.args.get(name, ""))


def token() -> str:
    """The value of the field ``woo_csrf_token`` of a form."""
    return str(flask_wtf.csrf.generate_csrf(token_key=TOKEN))


def remember(who: Caller) -> None:
    """Begin a session for somebody whose secrets were good.

    Nothing of ours that was in the session before stays in it.
    """
    forget()
    regenerate = getattr(flask.current_app.session_interface, "regenerate", None)
    if regenerate is not None:
        # Flask-Session keeps sessions on the server, by an id that somebody may have planted.
        regenerate(flask.session)
    runtime = current_runtime()
    with runtime.database.read() as session:
        known = accounts.person(session, who)
    now = runtime.clock().timestamp()
    flask.session[SESSION] = {
        "id": secrets.token_urlsafe(16),
        "user": who.user_id,
        "organization": who.organization_id,
        "fingerprint": known.fingerprint,
        "since": now,
        "seen": now,
    }


def end() -> None:
    """End the session, also for whoever has copied its cookie."""
    kept = flask.session.get(SESSION)
    if isinstance(kept, dict) and "id" in kept:
        with current_runtime().database.write() as session:
            accounts.end_session(session, caller(), kept["id"])
    forget()


def forget() -> None:
    """Drop the session from the browser."""
    flask.session.pop(SESSION, None)
    flask.session.pop(TOKEN, None)


def onward(target: str) -> str:
    """Where to go after signing in: a page of the console and nowhere else."""
    home = flask.url_for("woo_console.home")
    parts = urllib.parse.urlsplit(target)
    ours = not parts.scheme and not parts.netloc and target.startswith(home)
    return target if ours and "\\" not in target and target.isprintable() else home


def _here() -> str:
    if flask.request.method != "GET":
        return flask.url_for("woo_console.home")
    path = flask.request.script_root + flask.request.full_path.rstrip("?")
    return path if len(path) < 1000 else flask.url_for("woo_console.home")


def _check_token(settings: Settings) -> None:
    given = flask.request.form.get(TOKEN) or flask.request.headers.get("X-Woo-Csrf-Token")
    try:
        flask_wtf.csrf.validate_csrf(
            given, time_limit=settings.console_hours * 3600, token_key=TOKEN
        )
    except wtforms.validators.ValidationError as exc:
        raise werkzeug.exceptions.BadRequest(
            "This form is too old, or it does not come from the console. Nothing was changed. "
            "Go back, load the page anew and send it again."
        ) from exc


def _hosts_person(name: ConsoleUser | None) -> HttpVisitor:
    if name is None:
        raise ForbiddenError("The application's login does not let you see this console")
    with current_runtime().database.read() as session:
        try:
            return accounts.person(session, accounts.named(session, ConsoleUser(*name)))
        except NotFoundError as exc:
            raise ForbiddenError(str(exc)) from exc


def _remembered(settings: Settings) -> HttpVisitor | None:
    """Who signed in, if that still holds."""
    kept = flask.session.get(SESSION)
    if not isinstance(kept, dict) or kept.keys() != _KEPT:
        return None
    runtime = current_runtime()
    now = runtime.clock().timestamp()
    idle = dt.timedelta(minutes=settings.console_idle_minutes).total_seconds()
    whole = dt.timedelta(hours=settings.console_hours).total_seconds()
    if now - kept["seen"] > idle or now - kept["since"] > whole:
        forget()
        return None
    who = Caller(organization_id=kept["organization"], user_id=kept["user"])
    try:
        with runtime.database.read() as session:
            known = accounts.person(session, who)
    except NotFoundError:
        known = None
    if (
        known is None
        or kept["id"] in known.ended_sessions
        or not same(known.fingerprint, kept["fingerprint"])
    ):
        forget()
        return None
    # Pages that load themselves anew do not keep a session alive.
    if now - kept["seen"] > _WRITE_AFTER and "live" not in flask.request.args:
        flask.session[SESSION] = {**kept, "seen": now}
    return known
