"""Access: the signed-in user, and the CSRF token of forms."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import secrets
import typing as t
import urllib.parse

import flask
import werkzeug.exceptions

from ..errors import ForbiddenError, NotFoundError
from ..instances import accounts
from ..instances.accounts import Caller, ConsoleUser, HttpVisitor
from ..runtime import current_runtime
from ..settings import Settings
from ..values.crypto import same
from ..values.validation import LARGEST_ID, whole_number
from . import session as sessions

Answer = str | flask.typing.ResponseReturnValue
Hook = cabc.Callable[[], cabc.Callable[[], ConsoleUser | None] | None]

#: Ids in paths; an id greater than the database can store is not found.
INSTANCE = f"<int(max={LARGEST_ID}):instance_id>"
EVENT = f"<int(max={LARGEST_ID}):event_id>"
#: Our field of forms; the host has its own.
TOKEN = "woo_csrf_token"
#: Key of the session for the signed-in user, and for the user whom the host's login names.
_USER, _HOST_USER = "user", "host_user"
#: The key of the session that holds which form created which instance, and how many it holds.
_CREATED, CREATED_KEPT = "created", 8
#: Endpoints that need no user.
_OPEN = frozenset({"woo_console.sign_in", "woo_console.static", "woo_console.bootstrap"})
#: How old a session must be before it is written again, seconds.
_WRITE_AFTER = 30


def register(blueprint: flask.Blueprint, settings: Settings, hook: Hook) -> None:
    """Check the user and the CSRF token of each request to the blueprint."""

    def enter() -> Answer | None:
        flask.g.pop("woo_visitor", None)
        function = None if flask.request.endpoint in _OPEN else hook()
        if function is not None:
            flask.g.woo_visitor = _host_visitor(function())
            _bind(flask.g.woo_visitor.caller)
        if flask.request.method not in ("GET", "HEAD", "OPTIONS"):
            _check_token()
        if flask.request.endpoint in _OPEN or function is not None:
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
    return sessions.current().token()


def remember(user: Caller) -> None:
    """Start a session for an authenticated user; remove what was in it before."""
    runtime = current_runtime()
    with runtime.database.read() as session:
        known = accounts.person(session, user)
    now = runtime.clock().timestamp()
    current = sessions.current()
    current.clear()
    current.set(
        _USER,
        {
            "id": secrets.token_urlsafe(16),
            "user": user.user_id,
            "organization": user.organization_id,
            "fingerprint": known.fingerprint,
            "since": now,
            "seen": now,
        },
    )


def end() -> None:
    """End the session, also for copies of its cookie."""
    kept = sessions.current().get(_USER)
    if kept is not None:
        with current_runtime().database.write() as session:
            accounts.end_session(session, caller(), kept["id"])
    sessions.current().clear()


def remember_created(form_id: str, instance_id: int) -> None:
    """Keep in the session which instance a form created, for its last few forms."""
    kept = [*(sessions.current().get(_CREATED) or []), [form_id, instance_id]]
    sessions.current().set(_CREATED, kept[-CREATED_KEPT:])


def created_by(form_id: str) -> int | None:
    """Return the instance that a form created in this session."""
    return dict(sessions.current().get(_CREATED) or []).get(form_id)


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


def _check_token() -> None:
    given = flask.request.form.get(TOKEN) or flask.request.headers.get("X-Woo-Csrf-Token", "")
    expected = sessions.current().known_token()
    if not expected or not same(given, expected):
        raise werkzeug.exceptions.BadRequest(
            "This form has expired, or was not sent by the console. Nothing was changed. "
            "Go back, reload the page and submit it again."
        )


def _bind(user: Caller) -> None:
    """Start another session if the host's login names another user than before."""
    named = [user.organization_id, user.user_id]
    current = sessions.current()
    if current.get(_HOST_USER) != named:
        current.clear()
        current.set(_HOST_USER, named)


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
    current = sessions.current()
    kept = current.get(_USER)
    if kept is None:
        return None
    runtime = current_runtime()
    now = runtime.clock().timestamp()
    idle = dt.timedelta(minutes=settings.console_idle_minutes).total_seconds()
    whole = dt.timedelta(hours=settings.console_hours).total_seconds()
    if now - kept["seen"] > idle or now - kept["since"] > whole:
        current.clear()
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
        current.clear()
        return None
    # Pages that refresh themselves do not keep a session alive.
    if now - kept["seen"] > _WRITE_AFTER and "live" not in flask.request.args:
        current.set(_USER, {**kept, "seen": now})
    return known
