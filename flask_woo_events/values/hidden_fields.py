"""Hidden fields: fields of objects whose values are never stored nor sent (``WOO_EVENTS_REDACT``).

In the ledger a keyed hash takes the place of each value, so that a change of it is seen and nobody
can try values against a dump. What is sent has ``[redacted]`` instead.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import re
import typing as t

import orjson

from . import field_paths
from .crypto import KeyedHash
from .persons import normalized

#: What is shown in place of a text; numbers and booleans are left out.
REDACTED = "[redacted]"
_TOKEN = re.compile(r"\[redacted([:#])[0-9a-f]{32}\]")
_PREFIXES = (b"[redacted:", b"[redacted#")
#: Members of an element that its path names are shown: they name it.
_NAMING = frozenset({"id", "key"})
#: What the ledger is compared by.
_NEVER = frozenset({"id"})

Steps = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class HiddenField:
    """A field whose values are hidden."""

    #: The only resource; ``None``: all.
    resource: str | None
    steps: Steps


def parsed(text: str) -> HiddenField:
    """Return the field that an entry of the setting names: ``orders:billing.phone``.

    :raises ValueError: the text is no path, or the path is that of the object's id.
    """
    resource, colon, path = text.partition(":")
    if not colon or "[" in resource:
        resource, path = "", text
    steps = field_paths.steps(field_paths.checked(path))
    if steps[0] in _NEVER:
        raise ValueError("the id of an object cannot be redacted")
    return HiddenField(resource.strip() or None, steps)


def sealed(body: t.Any, fields: cabc.Iterable[Steps], keyed: KeyedHash) -> t.Any:
    """Return an object with a keyed hash in place of each value of these fields."""
    for steps in fields:
        body = _sealed(body, steps, keyed)
    return body


def _sealed(value: t.Any, steps: Steps, keyed: KeyedHash) -> t.Any:
    if not steps:
        return _hidden(value, keyed)
    step, rest = steps[0], steps[1:]
    if isinstance(value, list):
        if not step.startswith("["):
            return [_sealed(one, steps, keyed) for one in value]
        return [_element(one, step, rest, keyed) for one in value]
    if isinstance(value, dict) and step in value:
        return value | {step: _sealed(value[step], rest, keyed)}
    return value


def _element(value: t.Any, step: str, rest: Steps, keyed: KeyedHash) -> t.Any:
    if step != "[]" and not (isinstance(value, dict) and _is_named(value, step[1:-1])):
        return value
    if rest or not isinstance(value, dict):
        return _sealed(value, rest, keyed)
    return {name: one if name in _NAMING else _hidden(one, keyed) for name, one in value.items()}


def _is_named(element: dict[str, t.Any], key: str) -> bool:
    return any(str(element.get(name)) == key.strip('"') for name in ("key", "id", "name"))


def _hidden(value: t.Any, keyed: KeyedHash) -> t.Any:
    if isinstance(value, dict):
        return {name: _hidden(one, keyed) for name, one in value.items()}
    if isinstance(value, list):
        return [_hidden(one, keyed) for one in value]
    if value is None or (isinstance(value, str) and _TOKEN.fullmatch(value)):
        return value
    kind = ":" if isinstance(value, str) else "#"
    # The first half finds the address of a person whatever its case.
    first = keyed.of(normalized(str(value)))[:16]
    return f"[redacted{kind}{first}{keyed.of(orjson.dumps(value).decode())[:16]}]"


def shown(body: bytes) -> bytes:
    """Return the JSON of an object as it is sent, from that with keyed hashes."""
    if not any(one in body for one in _PREFIXES):
        return body
    return orjson.dumps(_shown(orjson.loads(body)))


def _shown(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {name: _shown(one) for name, one in value.items() if not _is_left_out(one)}
    if isinstance(value, list):
        return [_shown(one) for one in value if not _is_left_out(one)]
    return REDACTED if isinstance(value, str) and _TOKEN.fullmatch(value) else value


def _is_left_out(value: t.Any) -> bool:
    return isinstance(value, str) and (one := _TOKEN.fullmatch(value)) is not None and one[1] == "#"


def shown_path(path: str) -> str:
    """Return a path of a change as it is sent, without the keyed hashes that name elements."""
    return _TOKEN.sub(REDACTED, path)


def holds(value: t.Any) -> bool:
    """Return whether a value, or anything in it, is hidden."""
    data = orjson.dumps(value)
    return any(one in data for one in _PREFIXES)
