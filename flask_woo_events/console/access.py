"""Access: the signed-in user, the session, and the CSRF token of forms."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
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

#: Ids in paths; an id greater than the database can store is not found.
INSTANCE = f"<int(max={LARGEST_ID}):instance_id>"
EVENT = f"<int(max={LARGEST_ID}):event_id>"
#: Our key of the session and our field of forms; the host has its own.
SESSION = "woo_console"
TOKEN = "woo_csrf_token"
#: The key of the session that holds which form created which instance, and how many it holds.
CREATED, CREATED_KEPT = "woo_created", 8
_KEPT = {"id", "user", "organization", "fingerprint", "since", "seen"}
#: Endpoints that need no user.
_OPEN = frozenset({"woo_console.sign_in", "woo_console.static", "woo_console.bootstrap"})
#: How old a session must be before it is written again, seconds.
_WRITE_AFTER = 30


def register(blueprint: flask.Blueprint, settings: Settings, hook: Hook) -> None:
    """Check the user and the CSRF token of each request to the blueprint."""

    def enter() -> Answer | None:
        if flask.request.method not in ("GET", "HEAD", "OPTIONS"):
            _check_token(settings)
        if flask.request.endpoint in _OPEN:
            return None
        function = hook()
        if function is not None:
            flask.g.woo_visitor = _host_visitor(function())
            return None
        known = _session_visitor(settings)
        if known is None:
            return flask.redirect(flask.url_for("woo_console.sign_in", next=_here()))
        flask.g.woo_visitor = known
        return None

    blueprint.before_request(enter)
    blueprint.context_processor(lambda: {"own_login": hook() is None})


def visitor() -> HttpVisitor:
    """Return the signed-in user."""
    return t.cast(HttpVisitor, flask.g.woo_visitor)


def caller() -> Caller:
    """Return the ids of the signed-in user and the organization."""
    return visitor().caller


def calling() -> contextlib.AbstractContextManager[object]:
    """Limit the calls of stores and callbacks in the block, as for requests to the API."""
    return current_runtime().web_calls.limited(caller().organization_id)


def number(name: str) -> int | None:
    """Return an id of the query; ``None`` if there is none that the database can store."""
    return whole_number(flask.request.args.get(name, ""))


def token() -> str:
    """Return the value of the field ``woo_csrf_token`` of a form."""
    return str(flask_wtf.csrf.generate_csrf(token_key=TOKEN))


def remember(user: Caller) -> None:
    """Start a session for an authenticated user; remove what was in it before."""
    forget()
    regenerate = getattr(flask.current_app.session_interface, "regenerate", None)
    if regenerate is not None:
        # Flask-Session keeps sessions on the server, under an id that an attacker may have set.
        regenerate(flask.session)
    runtime = current_runtime()
    with runtime.database.read() as session:
        known = accounts.person(session, user)
    now = runtime.clock().timestamp()
    flask.session[SESSION] = {
        "id": secrets.token_urlsafe(16),
        "user": user.user_id,
        "organization": user.organization_id,
        "fingerprint": known.fingerprint,
        "since": now,
        "seen": now,
    }


def end() -> None:
    """End the session, also for copies of its cookie."""
    kept = flask.session.get(SESSION)
    if isinstance(kept, dict) and "id" in kept:
        with current_runtime().database.write() as session:
            accounts.end_session(session, caller(), kept["id"])
    forget()


def forget() -> None:
    """Remove the session from the cookie."""
    for key in (SESSION, TOKEN, CREATED):
        flask.session.pop(key, None)


def remember_created(form_id: str, instance_id: int) -> None:
    """Keep in the session which instance a form created, for its last few forms."""
    kept = [*flask.session.get(CREATED, []), [form_id, instance_id]]
    flask.session[CREATED] = kept[-CREATED_KEPT:]


def created_by(form_id: str) -> int | None:
    """Return the instance that a form created in this session."""
    return dict(flask.session.get(CREATED, [])).get(form_id)


def onward(target: str) -> str:
    """Return where to redirect after signing in: always a page of the console."""
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
            "This form has expired, or was not sent by the console. Nothing was changed. "
            "Go back, reload the page and submit it again."
        ) from exc


def _host_visitor(name: ConsoleUser | None) -> HttpVisitor:
    if name is None:
        raise ForbiddenError("The application's login does not give you access to this console")
    with current_runtime().database.read() as session:
        try:
            return accounts.person(session, accounts.named(session, ConsoleUser(*name)))
        except NotFoundError as exc:
            raise ForbiddenError(str(exc)) from exc


def _session_visitor(settings: Settings) -> HttpVisitor | None:
    """Return the user of the session, or ``None`` if it has ended."""
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
    user = Caller(organization_id=kept["organization"], user_id=kept["user"])
    try:
        with runtime.database.read() as session:
            known = accounts.person(session, user)
    except NotFoundError:
        known = None
    if (
        known is None
        or kept["id"] in known.ended_sessions
        or not same(known.fingerprint, kept["fingerprint"])
    ):
        forget()
        return None
    # Pages that refresh themselves do not keep a session alive.
    if now - kept["seen"] > _WRITE_AFTER and "live" not in flask.request.args:
        flask.session[SESSION] = {**kept, "seen": now}
    return known
