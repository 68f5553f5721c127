"""What every answer of the console has: headers that keep it safe, and pages for errors."""

from __future__ import annotations

import logging

import flask
import werkzeug.exceptions

from ..errors import (
    AccessError,
    ConflictError,
    ForbiddenError,
    InputError,
    NotFoundError,
    TransportError,
    WooEventsError,
)
from .access import Answer

_log = logging.getLogger(__name__)

#: Nothing but our own files, and Bootstrap's icons, which are data in its style sheet.
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
    (ForbiddenError, 403, "You may not see this"),
    (AccessError, 401, "Please sign in"),
    (NotFoundError, 404, "There is nothing here"),
    (InputError, 400, "That cannot be done"),
    (ConflictError, 409, "Something changed meanwhile"),
    (TransportError, 502, "The other side did not answer"),
)


def register(blueprint: flask.Blueprint) -> None:
    """Add the headers and the pages."""
    blueprint.after_request(_add_headers)
    blueprint.register_error_handler(WooEventsError, _ours)
    blueprint.register_error_handler(werkzeug.exceptions.HTTPException, _werkzeugs)


def register_unknown(blueprint: flask.Blueprint) -> None:
    """Answer unknown paths below the prefix like the others."""
    blueprint.add_url_rule("/<path:unknown>", view_func=_unknown, endpoint="unknown")


def _unknown(unknown: str) -> Answer:
    raise werkzeug.exceptions.NotFound("There is no page at this address.")


def _add_headers(response: flask.Response) -> flask.Response:
    for name, value in _HEADERS.items():
        response.headers[name] = value
    if flask.request.endpoint not in ("woo_console.static", "woo_console.bootstrap"):
        # What a store told is nobody's business after signing out.
        response.headers["Cache-Control"] = "no-store"
    return response


def _ours(error: WooEventsError) -> Answer:
    for kind, status, title in _STATUS:
        if isinstance(error, kind):
            return _page(status, title, str(error))
    _log.error("%s", error, extra={"action": "console_error"})
    return _page(500, "This does not work as it is set up", str(error))


def _werkzeugs(error: werkzeug.exceptions.HTTPException) -> Answer:
    if error.response is not None:
        return error  # A redirect, or whatever the host's login answers with.
    if error.code == 500:
        _log.error("a page failed", exc_info=error, extra={"action": "console_error"})
    return _page(error.code or 500, error.name, error.description or "")


def _page(status: int, title: str, message: str) -> Answer:
    signed_in = "woo_person" in flask.g
    return flask.render_template(
        "woo_console/error.html", title=title, message=message, signed_in=signed_in
    ), status
