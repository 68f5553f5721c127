"""Values from outside: JSON parsed, models applied, and the kinds of value that occur in them."""

from __future__ import annotations

import collections.abc as cabc
import re
import typing as t
import unicodedata

import orjson
import pydantic

from ..errors import InputError

_TAGS = re.compile(r"<[^>]*>")
#: Longest texts that are accepted, characters.
NAME_LENGTH = 255
TAG_LENGTH = 190
TAGS_MOST = 100
#: Deepest nesting of a body; Python and the database have less patience than the parser.
DEPTH_MOST = 64
KEY_LENGTH = 190
#: Greater ids than a database can hold do not exist.
LARGEST_ID = 2**63 - 1
URL_LENGTH = 2000
#: What a secret reads back as; sent to us it means "as it is".
MASK = "********"

M = t.TypeVar("M", bound=pydantic.BaseModel)


def whole_number(text: str) -> int | None:
    """Read an id or a count: digits, and no more than a database can hold."""
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > LARGEST_ID:
        return None
    return int(text)


def load_json(data: bytes) -> object:
    """Parse a request's body.

    :raises InputError: it is not JSON, not UTF-8, nested too deeply, or holds what no database
        can keep.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise InputError(f"the body is not JSON: {exc.msg}") from exc
    _refuse_unkeepable(value, ())
    return value


def _refuse_unkeepable(value: object, path: tuple[str, ...]) -> None:
    if len(path) > DEPTH_MOST:
        raise InputError(f"{path[0]} is nested more than {DEPTH_MOST} levels deep", path[0])
    if isinstance(value, str) and "\0" in value:
        name = ".".join(path) or "the body"
        raise InputError(f"{name}: a text holds the character NUL", ".".join(path) or None)
    if isinstance(value, dict):
        for name, one in value.items():
            _refuse_unkeepable(name, path)
            _refuse_unkeepable(one, (*path, name))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            _refuse_unkeepable(one, (*path, str(index)))


def validated(model: type[M], value: object, path: tuple[str, ...] = ()) -> M:
    """Check a value against a model.

    :raises InputError: names the first wrong field as the caller wrote it, and never its value.
    """
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as exc:
        # Not exc.json(): that fails on bytes that are not UTF-8, and repeats secrets.
        first = exc.errors(include_input=False, include_url=False, include_context=False)[0]
        field = ".".join((*path, *(str(part) for part in first["loc"])))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] in ("model_type", "dict_type"):
            message = "a JSON object is expected"
        raise InputError(f"{field or 'the body'}: {message}", field or None) from exc


def sanitized(text: str) -> str:
    """A name or tag without markup (``<a href=...>x</a>`` is ``x``)."""
    # Behind the last > there is no tag; looking for its end there would take quadratic time.
    end = text.rfind(">") + 1
    return re.sub(r"\s+", " ", _TAGS.sub("", text[:end]) + text[end:]).strip()


def folded(name: str) -> str:
    """A name as the least exact of our databases compares it: without case and accents."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(one for one in decomposed if not unicodedata.combining(one)).strip()


def refuse_twins(names: cabc.Iterable[str], field: str) -> None:
    """Refuse names that one of our databases would take for the same."""
    seen: dict[str, str] = {}
    for name in names:
        twin = seen.setdefault(folded(name), name)
        if twin != name:
            message = f"{field} has both {twin[:KEY_LENGTH]!r} and {name[:KEY_LENGTH]!r}"
            raise InputError(f"{message}, which some databases take for the same", field)


def _flag(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def not_a_flag(value: object) -> object:
    """A number or its text, but not ``true``, which Python takes for 1."""
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
StoreToCallback = t.Annotated[str, pydantic.AfterValidator(printable)]
Rows = t.Annotated[int, pydantic.BeforeValidator(not_a_flag), pydantic.Field(ge=1, le=1_000_000)]
Seconds = t.Annotated[int, pydantic.BeforeValidator(not_a_flag), pydantic.Field(ge=0, le=604800)]


class Lenient(pydantic.BaseModel):
    """Clients of the documented service send more than is documented; it is no error."""

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True)
