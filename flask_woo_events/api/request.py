"""The caller, parameters and body of a request to the API, checked."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import pydantic
import werkzeug.exceptions

from ..errors import AccessError, ForbiddenError, InputError, NotFoundError, NotJsonError
from ..instances.accounts import Caller, authenticate
from ..runtime import Runtime, current_runtime
from ..values.validation import load_json, validated, whole_number

M = t.TypeVar("M", bound=pydantic.BaseModel)

#: Rows of a page, the default and the maximum (Cloud Elements: 200).
PAGE_SIZE = 200
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
#: Bytes of a body that are read at a time.
_CHUNK = 256 * 1024


def caller() -> Caller:
    """Authenticate the caller.

    :raises AccessError: the Authorization header is missing or wrong.
    :raises werkzeug.exceptions.NotAcceptable: the caller accepts no JSON.
    """
    header = flask.request.headers.get("Authorization")
    with current_runtime().database.read() as session:
        who = authenticate(session, header)
    accepted = flask.request.accept_mimetypes
    if accepted and not any(_is_json(one) for one, quality in accepted if quality > 0):
        raise werkzeug.exceptions.NotAcceptable("Answers are JSON: send Accept: application/json")
    return who


def _is_json(media_type: str) -> bool:
    return "json" in media_type.lower() or media_type.lower() in ("*/*", "application/*")


def account() -> Caller:
    """Authenticate a caller who may act for the whole organization.

    :raises AccessError: the Authorization header is missing or wrong.
    :raises ForbiddenError: the token of an instance was sent instead of the organization's secret.
    """
    who = caller()
    if who.instance_id is not None:
        raise ForbiddenError(
            "A token gives access to its instance only; this call needs "
            "Authorization: User <USER_SECRET>, Organization <ORGANIZATION_SECRET>"
        )
    return who


def instance_of(who: Caller, instance_id: str | None) -> int:
    """Return the instance of the path, or the token's where the path has none.

    :raises AccessError: neither has one.
    :raises NotFoundError: the path names another instance than the only one to be reached.
    """
    if instance_id is None:
        if who.chosen_id is None:
            raise AccessError(
                "This call needs Authorization: User <USER_SECRET>, Element <INSTANCE_TOKEN> "
                "with the token of an instance that exists"
            )
        return who.chosen_id
    number = whole_number(instance_id)
    if number is None or who.instance_id not in (None, number):
        raise NotFoundError("No instance found")
    return number


def body(model: type[M]) -> M:
    """Read the request's body.

    :raises InputError: it is not JSON, or does not match the model.
    """
    return validated(model, _parsed_body())


def json_object() -> dict[str, t.Any]:
    """Read the request's body, a JSON object with any members.

    :raises InputError: it is not a JSON object.
    """
    value = _parsed_body()
    if not isinstance(value, dict):
        raise InputError("the body: a JSON object is expected")
    return value


def _parsed_body() -> object:
    """Parse the body as JSON, whatever type it is said to have.

    :raises InputError: it is not JSON.
    :raises werkzeug.exceptions.UnsupportedMediaType: it is not JSON and not said to be.
    """
    data = _data(current_runtime())
    try:
        return load_json(data)
    except NotJsonError:
        kind = flask.request.mimetype
        if not kind or _is_json(kind):
            raise
        raise werkzeug.exceptions.UnsupportedMediaType(
            "The body is not JSON; send JSON with the header Content-Type: application/json"
        ) from None


def _data(runtime: Runtime) -> bytes:
    request, limit = flask.request, runtime.settings.max_body_bytes
    if request.mimetype in _FORMS:
        raise werkzeug.exceptions.UnsupportedMediaType(
            "Send the header Content-Type: application/json"
        )
    data = raw_body(limit, "WOO_EVENTS_MAX_BODY_BYTES")
    if not data:
        raise InputError("the body is empty; a JSON object is expected")
    return data


def raw_body(limit: int, setting: str) -> bytes:
    """Read the bytes of the request's body.

    :param limit: most bytes.
    :param setting: the setting that holds the limit, for the error.
    """
    request = flask.request
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit, setting)
    data = _read(request, limit)
    if len(data) > limit:
        raise _too_large(limit, setting)
    return data


def _read(request: flask.Request, limit: int) -> bytes:
    """Read a body, or one byte more than the limit when there is no Content-Length."""
    data = bytearray()
    try:
        while len(data) <= limit:
            more = request.stream.read(limit + 1 - len(data))
            if not more:
                break
            data += more
    except OSError as exc:
        # Werkzeug's own server raises it for malformed chunks.
        raise InputError("the body cannot be read completely") from exc
    return bytes(data)


def body_chunks(limit: int) -> cabc.Iterator[bytes]:
    """Yield the request's body piece by piece, also one that is said to be of no type.

    :param limit: the reader refuses more bytes.
    :raises InputError: it cannot be read completely.
    :raises werkzeug.exceptions.RequestEntityTooLarge: it says that it has more bytes.
    :raises werkzeug.exceptions.UnsupportedMediaType: it is a form.
    """
    request = flask.request
    if request.mimetype in _FORMS:
        raise werkzeug.exceptions.UnsupportedMediaType(
            "Send lines of JSON with the header Content-Type: application/x-ndjson"
        )
    if request.content_length is not None and request.content_length > limit:
        raise werkzeug.exceptions.RequestEntityTooLarge(
            f"The body is larger than {limit:,} bytes; send parts with after and until"
        )
    try:
        while chunk := request.stream.read(_CHUNK):
            yield chunk
    except OSError as exc:
        raise InputError("the body cannot be read completely") from exc


def _too_large(limit: int, setting: str) -> werkzeug.exceptions.HTTPException:
    return werkzeug.exceptions.RequestEntityTooLarge(
        f"The body is larger than {limit:,} bytes ({setting})"
    )


def page_size() -> int:
    """Read ``pageSize`` of the query, from 1 to 200; larger numbers are 200."""
    text = flask.request.args.get("pageSize", str(PAGE_SIZE))
    number = whole_number(text)
    if not number:
        raise InputError(f"pageSize must be a number from 1 to {PAGE_SIZE}", "pageSize")
    return min(number, PAGE_SIZE)


def refuse_others(*known: str) -> None:
    """Refuse parameters that would have no effect, so that no client relies on them.

    :param known: the parameters that the call has.
    :raises InputError: the query has another one, or one of them twice.
    """
    for name, values in flask.request.args.lists():
        if name not in known:
            raise InputError(f"this call has no parameter {name[:100]!r}", name[:100])
        if len(values) > 1 and not name.endswith("[]"):
            raise InputError(f"{name} is given more than once", name)


def flag(name: str) -> bool:
    """Read a boolean of the query, ``false`` without it."""
    text = flask.request.args.get(name, "false").strip().lower()
    if text not in ("true", "false"):
        raise InputError(f"{name} must be true or false", name)
    return text == "true"
