"""Field paths: how a subscription names the fields of objects whose changes it wants."""

from __future__ import annotations

import collections.abc as cabc
import functools
import json
import re

#: Characters of a path at most, and paths of one filter.
PATH_LENGTH, PATHS_MOST = 200, 50
#: The key of an element is quoted, as in JSON, if it has dots or brackets.
_PLACE = r'\[(?:"(?:[^"\\]|\\.)*"|[^\[\]"]*)\]'
_ELEMENT = re.compile(_PLACE)
#: An element that is named by its id or its place.
_NUMBERED = re.compile(r"\[-?\d+\]")
#: The step of an element whose key is hidden, see ``hidden_fields.py``.
HIDDEN = "[[redacted]]"
_NAME = r"[^.\[\]\s\"'\\]+"
_PATH = re.compile(rf"{_NAME}({_PLACE})?(\.{_NAME}({_PLACE})?)*")


def checked(path: str) -> str:
    """Return a path as it is kept: ``status``, ``billing.email``, ``line_items[].quantity``.

    :raises ValueError: the text is no path.
    """
    path = path.strip()
    if len(path) > PATH_LENGTH or not path.isprintable() or not _is_path(path):
        raise ValueError(
            "a field of the object is expected, for example status, billing.email, "
            "line_items[].quantity or meta_data[_tracking]"
        )
    return path


def _is_path(text: str) -> bool:
    if not _PATH.fullmatch(text):
        return False
    try:
        steps(text)
    except ValueError:
        # A backslash in a quoted key begins an escape of JSON.
        return False
    return True


def top_level(path: str) -> str:
    """Return the name of the top-level field that a path leads into."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def in_utc(name: str) -> str:
    """Return the name of the field that has a local date in UTC."""
    return f"{name}_gmt"


def pattern_of(path: str) -> str:
    """Return a path without the keys of elements: ``line_items[].quantity``."""
    return _ELEMENT.sub("[]", path)


def covers(wanted: str, changed: str) -> bool:
    """Return whether a change belongs to a wanted field.

    A wanted field covers all that is in it, ``[]`` any element of a list, and an element that was
    added or removed changes all fields in it. Where keys are not unique, elements are named by
    their ids: then any of them may have the wanted key, and so may one whose key is hidden. A local
    date changes with its ``*_gmt`` date, which alone is named.

    :param wanted: for example ``line_items[].quantity``.
    :param changed: for example ``line_items[12].quantity``.
    """
    mine, theirs = steps(wanted), steps(changed)
    if theirs[0] not in (mine[0], in_utc(mine[0])):
        return False
    return all(_is_step(one, other) for one, other in zip(mine[1:], theirs[1:], strict=False))


def _is_step(wanted: str, changed: str) -> bool:
    if wanted == changed:
        return True
    if not changed.startswith("["):
        return False
    if changed == HIDDEN:
        return wanted.startswith("[")
    by_key = wanted.startswith("[") and not _NUMBERED.fullmatch(wanted)
    return wanted == "[]" or (by_key and _NUMBERED.fullmatch(changed) is not None)


def any_covers(wanted: cabc.Iterable[str], changed: cabc.Collection[str]) -> bool:
    """Return whether one of the changes belongs to one of the wanted fields."""
    return any(covers(one, other) for one in wanted for other in changed)


@functools.lru_cache(8192)
def steps(path: str) -> tuple[str, ...]:
    """Return the names and elements of a path: ``line_items``, ``[12]``, ``quantity``."""
    # The key of an element, as of meta data, may hold dots.
    elements = (_plain(one) for one in _ELEMENT.findall(path))
    names = _ELEMENT.sub(".[]", path).lstrip(".").split(".")
    return tuple(next(elements) if one == "[]" else one for one in names)


def _plain(element: str) -> str:
    """Return an element without the quotes of its key, unless the key is a number."""
    if not element.startswith('["'):
        return element
    plain = f"[{json.loads(element[1:-1])}]"
    return element if _NUMBERED.fullmatch(plain) else plain
