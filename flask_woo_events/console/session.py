"""The console's session: a signed cookie of its own, whatever sessions the application has."""

from __future__ import annotations

import hashlib
import secrets
import typing as t

import flask
import itsdangerous

from ..errors import ConfigurationError
from ..runtime import current_runtime
from ..settings import Settings

COOKIE = "woo_console"
#: The key of the request's environ that holds its session.
_ENVIRON = "woo_events.console_session"
_SALT = "woo_events.console"
#: The value of forms that shows that this session's pages sent them, and the time of writing.
_TOKEN, _WRITTEN = "token", "written"


class Session:
    """What the console keeps of one browser.

    :param values: read from a cookie with a valid signature, or empty.
    """

    def __init__(self, values: dict[str, t.Any]) -> None:
        self._values = values
        #: The cookie must be written again.
        self.changed = False

    def __repr__(self) -> str:
        return f"<Session with {', '.join(sorted(self._values)) or 'nothing'}>"

    def get(self, key: str) -> t.Any:
        """Return a value, or ``None``."""
        return self._values.get(key)

    def set(self, key: str, value: t.Any) -> None:
        """Keep a value, which must be JSON."""
        self._values[key] = value
        self.changed = True

    def pop(self, key: str) -> t.Any:
        """Remove a value and return it; ``None`` if there is none."""
        if key not in self._values:
            return None
        self.changed = True
        return self._values.pop(key)

    def clear(self) -> None:
        """Remove all values, also the token of forms."""
        self.changed = self.changed or bool(self._values)
        self._values = {}

    def token(self) -> str:
        """Return the CSRF token of this session's forms."""
        if _TOKEN not in self._values:
            self.set(_TOKEN, secrets.token_urlsafe(32))
        if self.age() > _lifetime() / 2:
            # The form of this page stays valid for some time.
            self.changed = True
        return str(self._values[_TOKEN])

    def known_token(self) -> str:
        """Return the CSRF token that a page may have, or an empty text."""
        return str(self._values.get(_TOKEN, ""))

    def age(self) -> float:
        """Return the seconds since the cookie was written; 0 for a new session."""
        now = current_runtime().clock().timestamp()
        return now - float(self._values.get(_WRITTEN, now))

    def cookie(self) -> str | None:
        """Return the signed value of the cookie, or ``None`` if there is nothing to keep."""
        if not self._values.keys() - {_WRITTEN}:
            return None
        self._values[_WRITTEN] = current_runtime().clock().timestamp()
        return _serializer().dumps(self._values)


def current() -> Session:
    """Return the session of the current request."""
    environ = flask.request.environ
    if _ENVIRON not in environ:
        environ[_ENVIRON] = _load(flask.request.cookies.get(COOKIE, ""))
    return t.cast(Session, environ[_ENVIRON])


def register(blueprint: flask.Blueprint, settings: Settings) -> None:
    """Write the cookie with each response that has changed the session."""

    def write(response: flask.Response) -> flask.Response:
        session: Session | None = flask.request.environ.get(_ENVIRON)
        if session is None or not session.changed:
            return response
        value = session.cookie()
        attributes: dict[str, t.Any] = {
            "path": flask.request.script_root + settings.console_prefix,
            "secure": _is_https(),
            "httponly": True,
            "samesite": "Lax",
        }
        if value is None:
            response.delete_cookie(COOKIE, **attributes)
        else:
            response.set_cookie(COOKIE, value, **attributes)
        return response

    blueprint.after_request(write)


def _load(cookie: str) -> Session:
    try:
        values = _serializer().loads(cookie)
    except itsdangerous.BadData:
        return Session({})
    found = Session(values)
    # A cookie that is this old holds no user that is still signed in.
    return Session({}) if found.age() > _lifetime() else found


def _lifetime() -> float:
    return current_runtime().settings.console_hours * 3600.0


def _serializer() -> itsdangerous.URLSafeSerializer:
    keys = current_runtime().settings.encryption_keys
    if not keys:
        raise ConfigurationError(
            "WOO_EVENTS_ENCRYPTION_KEYS is empty; without it the console cannot sign its cookie. "
            "Make a key with: flask woo keys generate"
        )
    # Oldest first, as itsdangerous expects them, so that a new key ends no session.
    return itsdangerous.URLSafeSerializer(
        list(keys),
        salt=_SALT,
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )


def _is_https() -> bool:
    # Also if the application is not configured to trust its proxy: a client that sends this header
    # falsely only keeps its own browser from sending the cookie over http.
    proxied = flask.request.headers.get("X-Forwarded-Proto", "").split(",")[0]
    return flask.request.is_secure or proxied.strip().lower() == "https"
