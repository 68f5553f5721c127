"""What a client expects of a value: types, values, members."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

#: A type, a value, a dictionary of members (others may be there), or one of the classes below.
Shape = t.Any


@dataclasses.dataclass(frozen=True)
class Fact:
    """A value of which something holds.

    :param text: completes "it is not ...".
    """

    text: str
    holds: cabc.Callable[[t.Any], bool]


@dataclasses.dataclass(frozen=True)
class Each:
    """A list whose items all have a shape.

    :param least: fewest items.
    """

    shape: Shape
    least: int = 1


@dataclasses.dataclass(frozen=True)
class Only:
    """An object with these members and no others."""

    members: dict[str, Shape]


#: A member that must not be there.
ABSENT = Fact("absent", lambda value: False)


def differences(seen: t.Any, expected: Shape, path: str = "body") -> list[str]:
    """Return in what a value differs, each difference once; no text holds ids or dates."""
    return list(dict.fromkeys(_differences(seen, expected, path)))


def _differences(seen: t.Any, expected: Shape, path: str) -> cabc.Iterator[str]:
    match expected:
        case type():
            if type(seen) is not expected:
                yield f"{path} is {type(seen).__name__}, not {expected.__name__}"
        case Fact():
            if not expected.holds(seen):
                yield f"{path} is not {expected.text}"
        case Each():
            yield from _of_items(seen, expected, path)
        case Only():
            yield from _differences(seen, expected.members, path)
            more = sorted(set(seen) - set(expected.members)) if isinstance(seen, dict) else []
            if more:
                yield f"{path} also has {', '.join(more)}"
        case dict():
            yield from _of_members(seen, expected, path)
        case _ if type(seen) is not type(expected) or seen != expected:
            yield f"{path} is {str(seen)[:200]}, not {str(expected)[:200]}"


def _of_items(seen: t.Any, expected: Each, path: str) -> cabc.Iterator[str]:
    if not isinstance(seen, list):
        yield f"{path} is {type(seen).__name__}, not list"
        return
    if len(seen) < expected.least:
        yield f"{path} has {len(seen)} items, fewer than {expected.least}"
    for item in seen:
        yield from _differences(item, expected.shape, f"{path}[]")


def _of_members(seen: t.Any, expected: dict[str, Shape], path: str) -> cabc.Iterator[str]:
    if not isinstance(seen, dict):
        yield f"{path} is {type(seen).__name__}, not an object"
        return
    for name, shape in expected.items():
        if shape is ABSENT:
            if name in seen:
                yield f"{path}.{name} is there"
        elif name not in seen:
            yield f"{path}.{name} is missing"
        else:
            yield from _differences(seen[name], shape, f"{path}.{name}")
