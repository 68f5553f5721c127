"""Validation of values from outside: JSON, models, and the types of their fields."""

from __future__ import annotations

import collections.abc as cabc
import re
import typing as t
import unicodedata

import orjson
import pydantic

from ..errors import InputError, NotJsonError

_TAGS = re.compile(r"<[^>]*>")
#: Longest accepted texts, characters.
NAME_LENGTH = 255
TAG_LENGTH = 190
TAGS_MOST = 100
#: Deepest nesting of a body; Python and the databases allow less than the parser.
DEPTH_MOST = 64
KEY_LENGTH = 190
URL_LENGTH = 2000
#: Largest integer of the databases.
LARGEST_ID = 2**63 - 1
#: Replaces a secret in answers; in a request it means that the secret stays as it is.
MASK = "********"

M = t.TypeVar("M", bound=pydantic.BaseModel)


def load_json(data: bytes) -> object:
    """Parse a JSON body.

    :raises NotJsonError: the body is not JSON or not UTF-8.
    :raises InputError: it is nested too deeply, or holds a character that databases cannot store.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise NotJsonError(f"the body is not JSON: {exc.msg}") from exc
    _refuse_unstorable(value, ())
    return value


def _refuse_unstorable(value: object, path: tuple[str, ...]) -> None:
    if len(path) > DEPTH_MOST:
        raise InputError(f"{path[0]} is nested more than {DEPTH_MOST} levels deep", path[0])
    if isinstance(value, str) and "\0" in value:
        name = ".".join(path) or "the body"
        raise InputError(f"{name}: a text holds the character NUL", ".".join(path) or None)
    if isinstance(value, dict):
        for name, one in value.items():
            _refuse_unstorable(name, path)
            _refuse_unstorable(one, (*path, name))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            _refuse_unstorable(one, (*path, str(index)))


def validated(model: type[M], value: object, path: tuple[str, ...] = ()) -> M:
    """Validate a value by a model.

    :param path: where the value is in the request, for the names of fields in messages.
    :raises InputError: names the first wrong field as the caller wrote it, and never its value.
    """
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as exc:
        # Not exc.json(): it fails on bytes that are not UTF-8, and quotes secrets.
        first = exc.errors(include_input=False, include_url=False, include_context=False)[0]
        field = ".".join((*path, *(str(part) for part in first["loc"])))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] in ("model_type", "dict_type"):
            message = "a JSON object is expected"
        raise InputError(f"{field or 'the body'}: {message}", field or None) from exc


def sanitized(text: str) -> str:
    """Return a name or tag without markup (``<a href=...>x</a>`` becomes ``x``)."""
    # No tag follows the last >; to search for its end there would take quadratic time.
    end = text.rfind(">") + 1
    return re.sub(r"\s+", " ", _TAGS.sub("", text[:end]) + text[end:]).strip()


def folded(name: str) -> str:
    """Return a name without case and accents, as the least exact of the databases compares it."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(one for one in decomposed if not unicodedata.combining(one)).strip()


def refuse_twins(names: cabc.Iterable[str], field: str) -> None:
    """Raise an error for names that one of the databases would treat as equal."""
    seen: dict[str, str] = {}
    for name in names:
        twin = seen.setdefault(folded(name), name)
        if twin != name:
            message = f"{field} has both {twin[:KEY_LENGTH]!r} and {name[:KEY_LENGTH]!r}"
            raise InputError(f"{message}, which some databases treat as equal", field)


def whole_number(text: str) -> int | None:
    """Read an id, or return ``None`` for text that cannot be one.

    Larger numbers than the database's integers do not exist as ids.
    """
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        return None
    number = int(text)
    return number if number <= LARGEST_ID else None


def is_id(value: object) -> t.TypeGuard[int]:
    """Return whether a value of JSON is an id that the databases can hold; 0 is one."""
    return type(value) is int and 0 <= value <= LARGEST_ID


def _flag(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def not_a_flag(value: object) -> object:
    """Refuse ``true`` as a number, which Python treats as 1."""
    if isinstance(value, bool):
        raise ValueError("a number is expected")
    return value.strip() if isinstance(value, str) else value


def printable(value: str) -> str:
    """Refuse control characters."""
    if not all(character.isprintable() for character in value):
        raise ValueError("control characters are not allowed")
    return value


Flag = t.Annotated[bool, pydantic.BeforeValidator(_flag)]
Text = t.Annotated[str, pydantic.StringConstraints(max_length=KEY_LENGTH, strip_whitespace=True)]
Printable = t.Annotated[str, pydantic.AfterValidator(printable)]
Rows = t.Annotated[int, pydantic.BeforeValidator(not_a_flag), pydantic.Field(ge=1, le=1_000_000)]
Seconds = t.Annotated[int, pydantic.BeforeValidator(not_a_flag), pydantic.Field(ge=0, le=604800)]


class Lenient(pydantic.BaseModel):
    """A model that ignores unknown fields, because clients of the documented service send some."""

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True)
