"""Responses of the console: security headers and error pages."""

from __future__ import annotations

import logging

import flask
import sqlalchemy as sa
import werkzeug.exceptions

from ..db.database import refuses_value
from ..errors import (
    AccessError,
    ConflictError,
    ForbiddenError,
    InputError,
    NotFoundError,
    SecretError,
    TransportError,
    WooEventsError,
)
from .access import Answer

_log = logging.getLogger(__name__)

#: Only our own files, and Bootstrap's icons, which are data URLs in its style sheet.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_STATUS: tuple[tuple[type[WooEventsError], int, str], ...] = (
    (ForbiddenError, 403, "Access denied"),
    (AccessError, 401, "Please sign in"),
    (NotFoundError, 404, "Not found"),
    (InputError, 400, "This request is not valid"),
    (ConflictError, 409, "This is not possible now"),
    (SecretError, 409, "A stored secret cannot be decrypted"),
    (TransportError, 502, "The store or callback did not respond"),
)


def register(blueprint: flask.Blueprint) -> None:
    """Add the security headers and the error pages."""
    blueprint.after_request(_add_headers)
    blueprint.register_error_handler(WooEventsError, _ours)
    blueprint.register_error_handler(sa.exc.SQLAlchemyError, _databases)
    blueprint.register_error_handler(UnicodeEncodeError, _databases)
    blueprint.register_error_handler(werkzeug.exceptions.HTTPException, _werkzeugs)


def register_unknown(blueprint: flask.Blueprint) -> None:
    """Add a route for unknown paths below the prefix, so that they have the same error page."""
    blueprint.add_url_rule("/<path:unknown>", view_func=_unknown, endpoint="unknown")


def _unknown(unknown: str) -> Answer:
    raise werkzeug.exceptions.NotFound("There is no page at this address.")


def _add_headers(response: flask.Response) -> flask.Response:
    for name, value in _HEADERS.items():
        response.headers[name] = value
    if flask.request.endpoint not in ("woo_console.static", "woo_console.bootstrap"):
        # After signing out, the back button must not show data of a store.
        response.headers["Cache-Control"] = "no-store"
    return response


def _ours(error: WooEventsError) -> Answer:
    for kind, status, title in _STATUS:
        if isinstance(error, kind):
            return _page(status, title, str(error))
    _log.error("%s", error, extra={"action": "console_error"})
    return _page(500, "The console is not configured correctly", str(error))


def _databases(error: Exception) -> Answer:
    if refuses_value(error):
        return _page(
            400,
            "This request is not valid",
            "The database cannot store a text of this request: use other characters, or fewer.",
        )
    raise error


def _werkzeugs(error: werkzeug.exceptions.HTTPException) -> Answer:
    if error.response is not None:
        return error  # A redirect, or another response of the host's login.
    if error.code == 500:
        _log.error(
            "A page of the console failed", exc_info=error, extra={"action": "console_error"}
        )
    return _page(error.code or 500, error.name, error.description or "")


def _page(status: int, title: str, message: str) -> Answer:
    signed_in = "woo_visitor" in flask.g
    return flask.render_template(
        "woo_console/error.html", title=title, message=message, signed_in=signed_in
    ), status
