"""Errors in a JSON text: their line, column and an excerpt."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import re

import orjson

from ..errors import InputError

#: Lines shown before and after the line with the error.
AROUND = 2

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


@dataclasses.dataclass(frozen=True, kw_only=True)
class JsonProblem:
    """An error in a text, and its position."""

    message: str
    #: From 1; ``None`` when the error concerns the whole text.
    line: int | None = None
    column: int | None = None
    #: The lines around it: number, text, and whether it has the error.
    excerpt: tuple[tuple[int, str, bool], ...] = ()


def problem(text: str, error: InputError, prefix: str) -> JsonProblem:
    """Locate the error that parsing or validating a text raised.

    :param prefix: the part of the error's field before the path inside the text.
    """
    line, column = _parser_place(error)
    if line is None and error.field:
        line = line_of(text, error.field.removeprefix(prefix).lstrip("."))
    message = str(error).removeprefix(f"{prefix}.").removeprefix(f"{prefix} ")
    return JsonProblem(message=message, line=line, column=column, excerpt=_excerpt(text, line))


def line_of(text: str, path: str) -> int | None:
    """Return the line of the value at a dotted path, or of its nearest parent.

    Names may contain dots themselves, as ``event.poller.configuration`` does.
    """
    places = dict(_places(text))
    while path:
        if path in places:
            return places[path]
        path = path.rpartition(".")[0]
    return None


def _places(text: str) -> cabc.Iterator[tuple[str, int]]:
    """Yield the path and line of each member of a JSON text, as far as it can be parsed."""
    names: list[str] = []
    #: The number of members so far of each open array; ``None`` for an open object.
    open_brackets: list[int | None] = []
    key: str | None = None
    line, end = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", end, match.start())
        end = match.start()
        token = match[0]
        inside_object = bool(open_brackets) and open_brackets[-1] is None
        if token.startswith('"') and inside_object and key is None:
            key = _name(token)
            yield ".".join((*names, key)), line
        elif token in "{[":
            if open_brackets and open_brackets[-1] is not None:
                key = str(open_brackets[-1])
                yield ".".join((*names, key)), line
            names += [] if key is None else [key]
            open_brackets.append(None if token == "{" else 0)
            key = None
        elif token in "}]":
            if open_brackets:
                open_brackets.pop()
            key = None
            if names and len(names) >= max(len(open_brackets), 1):
                names.pop()
        elif token == ",":
            key = None
            if open_brackets and open_brackets[-1] is not None:
                open_brackets[-1] += 1


def _name(token: str) -> str:
    try:
        return str(orjson.loads(token))
    except orjson.JSONDecodeError:
        return token.strip('"')


def _parser_place(error: BaseException | None) -> tuple[int | None, int | None]:
    while error is not None:
        if isinstance(error, orjson.JSONDecodeError):
            return error.lineno, error.colno
        error = error.__cause__
    return None, None


def _excerpt(text: str, line: int | None) -> tuple[tuple[int, str, bool], ...]:
    if line is None:
        return ()
    lines = text.splitlines() or [""]
    first = max(line - AROUND, 1)
    return tuple(
        (number, lines[number - 1][:200], number == line)
        for number in range(first, min(line + AROUND, len(lines)) + 1)
    )
