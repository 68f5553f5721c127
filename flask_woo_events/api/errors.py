"""The errors of the API: ``{message, requestId, providerMessage}`` and nothing else."""

from __future__ import annotations

import logging
import secrets
import typing as t
import urllib.parse

import flask
import sqlalchemy as sa
import werkzeug.exceptions
import werkzeug.routing

from ..db.database import is_away, refuses_value, words
from ..errors import (
    AccessError,
    BusyError,
    ConflictError,
    ForbiddenError,
    InputError,
    NotFoundError,
    OutOfPatienceError,
    SecretError,
    StoreAccessError,
    StoreFirewallError,
    StoreRejectedError,
    TransportError,
    WooEventsError,
)
from .responses import ErrorResponse, dump

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_log = logging.getLogger(__name__)
#: Seconds in Retry-After while the database is unreachable.
RETRY_AFTER = 30
#: The same while too many requests wait for stores or events.
BUSY_RETRY_AFTER = 1

#: Headers that scripts of other origins can read (Cloud Elements).
EXPOSED = (
    "Elements-Returned-Count, Elements-Total-Count, Elements-Request-Id, "
    "Elements-Next-Page-Token, Elements-Trace-Id, Elements-Error, Content-Disposition"
)


def request_id() -> str:
    """Return the id of this request, 24 hexadecimal digits."""
    if "woo_request_id" not in flask.g:
        flask.g.woo_request_id = secrets.token_hex(12)
    return t.cast(str, flask.g.woo_request_id)


def register(blueprint: flask.Blueprint) -> None:
    """Answer every error of the blueprint in the documented form."""
    blueprint.register_error_handler(WooEventsError, _package_error)
    blueprint.register_error_handler(werkzeug.exceptions.HTTPException, _http_error)
    blueprint.register_error_handler(sa.exc.SQLAlchemyError, _database_error)
    blueprint.register_error_handler(UnicodeEncodeError, _database_error)
    blueprint.after_request(_add_headers)


def register_unknown(blueprint: flask.Blueprint) -> None:
    """Answer unknown paths and methods below the prefix in the documented form as well."""
    blueprint.add_url_rule(
        "/<path:unknown>",
        view_func=_unknown,
        methods=_METHODS,
        provide_automatic_options=False,
    )
    blueprint.after_request(_limit_allow)


def _unknown(unknown: str) -> flask.Response:
    if known := _known_methods():
        raise werkzeug.exceptions.MethodNotAllowed(valid_methods=known)
    raise werkzeug.exceptions.NotFound("No resource found at this path")


def _limit_allow(response: flask.Response) -> flask.Response:
    """List in answers to OPTIONS only the methods that a path has."""
    if flask.request.method == "OPTIONS" and (known := _known_methods()):
        head = ["HEAD"] if "GET" in known else []
        response.headers["Allow"] = ", ".join([*known, *head, "OPTIONS"])
    return response


def _known_methods() -> list[str]:
    adapter = flask.globals.request_ctx.url_adapter
    assert adapter is not None
    return [method for method in _METHODS if _is_package_error(adapter, method)]


def _is_package_error(adapter: werkzeug.routing.MapAdapter, method: str) -> bool:
    try:
        return not str(adapter.match(method=method)[0]).endswith("._unknown")
    except (werkzeug.exceptions.HTTPException, werkzeug.routing.RequestRedirect):
        return False


def answer(status: int, message: str, provider: str | None = None) -> flask.Response:
    """Build the answer of an error.

    :param provider: the store's own message.
    """
    error = ErrorResponse(message=message, requestId=request_id(), providerMessage=provider or None)
    response = flask.jsonify(dump(error))
    response.status_code = status
    response.headers["Elements-Error"] = "true"
    return response


def _package_error(exc: Exception) -> flask.Response:
    match exc:
        case InputError():
            return answer(400, str(exc))
        case ForbiddenError():
            return answer(403, str(exc))
        case AccessError():
            return answer(401, str(exc))
        case NotFoundError():
            return answer(404, str(exc))
        case ConflictError() | SecretError():
            return answer(409, str(exc))
        case StoreFirewallError():
            message = "A firewall refused the request to the store at configuration.store.url"
            return answer(502, message, str(exc))
        case StoreAccessError():
            message = "The store refused configuration.oauth.api.key and oauth.api.secret"
            return answer(400, message, exc.said or str(exc))
        case StoreRejectedError(code="rest_no_route"):
            path = urllib.parse.urlsplit(exc.url).path
            message = f"event.poller.configuration has a url that the store does not have: {path}"
            return answer(400, message, exc.said or str(exc))
        case OutOfPatienceError(busy=True):
            return _busy("Too many requests to stores at the same time; send it again")
        case BusyError():
            return _busy(str(exc))
        case TransportError():
            message = "The store at configuration.store.url could not be used"
            return answer(502, message, str(exc))
    _log.error("%s", exc, exc_info=exc, extra={"action": "api_error", "request": request_id()})
    return answer(500, "The service is not set up completely; see its log")


def _busy(message: str) -> flask.Response:
    response = answer(429, message)
    response.headers["Retry-After"] = str(BUSY_RETRY_AFTER)
    return response


def _database_error(exc: Exception) -> flask.Response:
    if refuses_value(exc):
        return answer(
            400, "The database cannot store a text of this request: use other characters, or fewer"
        )
    if not is_away(exc):
        raise exc
    return _away(exc)


def _away(exc: Exception) -> flask.Response:
    """Ask the client to repeat the request, because nothing can be stored now."""
    extra = {"action": "database_away", "request": request_id()}
    _log.warning("a request could not be stored: %s", words(exc), extra=extra)
    response = answer(503, "The service cannot store anything at the moment; try again later")
    response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def _http_error(exc: Exception) -> flask.Response:
    assert isinstance(exc, werkzeug.exceptions.HTTPException)
    if isinstance(exc, werkzeug.routing.RequestRedirect):
        return t.cast(flask.Response, exc.get_response())
    response = answer(exc.code or 500, exc.description or exc.name)
    for name, value in exc.get_headers():
        if name.lower() in ("allow", "retry-after", "www-authenticate"):
            response.headers[name] = value
    return response


def _add_headers(response: flask.Response) -> flask.Response:
    response.headers["Elements-Request-Id"] = request_id()
    response.headers["Elements-Trace-Id"] = request_id()
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
    response.headers["Cache-Control"] = "no-store"
    if "woo_hub_instance" in flask.g:
        response.headers["Elements-Element-Instance-Id"] = str(flask.g.woo_hub_instance)
    return response
