"""What a request to the API holds: who calls, and a body within its limits."""

from __future__ import annotations

import typing as t

import flask
import pydantic
import werkzeug.exceptions

from ..errors import AccessError, InputError, NotFoundError
from ..instances.accounts import Caller, authenticate
from ..runtime import Runtime, current_runtime
from ..values.validation import load_json, validated, whole_number

M = t.TypeVar("M", bound=pydantic.BaseModel)

#: Instances a page, and at most (Cloud Elements: 200).
PAGE_SIZE = 200


def caller() -> Caller:
    """Who calls.

    :raises AccessError: nobody we know.
    """
    header = flask.request.headers.get("Authorization")
    with current_runtime().database.read() as session:
        return authenticate(session, header)


def instance_of(who: Caller, instance_id: str | None) -> int:
    """The instance that a path names, or the one of the token where the path names none.

    :raises AccessError: neither names one.
    :raises NotFoundError: the token is another instance's.
    """
    if instance_id is None:
        if who.instance_id is None:
            raise AccessError(
                "This call needs Authorization: User <USER_SECRET>, Element <INSTANCE_TOKEN>"
            )
        return who.instance_id
    number = whole_number(instance_id)
    if number is None or who.instance_id not in (None, number):
        raise NotFoundError("No instance found")
    return number


def base_url(runtime: Runtime) -> str:
    """Return the API's address as clients and stores see it, with its prefix."""
    return runtime.settings.public_url or (
        flask.request.url_root.rstrip("/") + runtime.settings.url_prefix
    )


def body(model: type[M]) -> M:
    """The request's body, checked.

    :raises InputError: it is not JSON, or not what the model asks for.
    """
    return validated(model, load_json(_data(current_runtime())))


def json_object() -> dict[str, t.Any]:
    """The request's body, a JSON object of any members.

    :raises InputError: it is something else.
    """
    value = load_json(_data(current_runtime()))
    if not isinstance(value, dict):
        raise InputError("the body: a JSON object is expected")
    return value


def _data(runtime: Runtime) -> bytes:
    request, limit = flask.request, runtime.settings.max_body_bytes
    if request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raise werkzeug.exceptions.UnsupportedMediaType(
            "Send the header Content-Type: application/json"
        )
    data = raw_body(limit, "WOO_EVENTS_MAX_BODY_BYTES")
    if not data:
        raise InputError("the body is empty; a JSON object is expected")
    return data


def raw_body(limit: int, setting: str) -> bytes:
    """The request's body as it came.

    :param limit: bytes at most.
    :param setting: where the limit comes from, for the error.
    """
    request = flask.request
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit, setting)
    data = _read(request, limit)
    if len(data) > limit:
        raise _too_large(limit, setting)
    return data


def _read(request: flask.Request, limit: int) -> bytes:
    """A body, or a little more than the limit of one that has no Content-Length."""
    data = bytearray()
    try:
        while len(data) <= limit:
            more = request.stream.read(limit + 1 - len(data))
            if not more:
                break
            data += more
    except OSError as exc:
        # Werkzeug's own server says so of chunks that are none.
        raise InputError("the body cannot be read to its end") from exc
    return bytes(data)


def _too_large(limit: int, setting: str) -> werkzeug.exceptions.HTTPException:
    return werkzeug.exceptions.RequestEntityTooLarge(
        f"The body is larger than {limit:,} bytes ({setting})"
    )


def page_size() -> int:
    """``pageSize`` of the query, from 1 to 200."""
    text = flask.request.args.get("pageSize", str(PAGE_SIZE))
    number = whole_number(text)
    if not number:
        raise InputError(f"pageSize must be a number from 1 to {PAGE_SIZE}", "pageSize")
    return min(number, PAGE_SIZE)


def flag(name: str) -> bool:
    """A truth value of the query, ``false`` when it is left out."""
    text = flask.request.args.get(name, "false").strip().lower()
    if text not in ("true", "false"):
        raise InputError(f"{name} must be true or false", name)
    return text == "true"
