"""Lines of a JSON text: where in it something is wrong."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import re

import orjson

from ..errors import InputError

#: Lines shown before and after the wrong one.
AROUND = 2

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong with a text, and where."""

    message: str
    #: From 1; ``None`` when it concerns the whole.
    line: int | None = None
    column: int | None = None
    #: Number, text, and whether it is the wrong one, of the lines around.
    excerpt: tuple[tuple[int, str, bool], ...] = ()


def problem(text: str, error: InputError, prefix: str) -> Problem:
    """Where in a text the error is that reading it raised.

    :param prefix: what the error's field has before the path inside of the text.
    """
    line, column = _parser_place(error)
    if line is None and error.field:
        line = line_of(text, error.field.removeprefix(prefix).lstrip("."))
    message = str(error).removeprefix(f"{prefix}.").removeprefix(f"{prefix} ")
    return Problem(message=message, line=line, column=column, excerpt=_excerpt(text, line))


def line_of(text: str, path: str) -> int | None:
    """The line on which the value of a dotted path begins; of its nearest parent if it has none.

    Names may hold dots themselves, as ``event.poller.configuration`` does.
    """
    places = dict(_places(text))
    while path:
        if path in places:
            return places[path]
        path = path.rpartition(".")[0]
    return None


def _places(text: str) -> cabc.Iterator[tuple[str, int]]:
    """Path and line of each member of a JSON text, as far as it can be read."""
    names: list[str] = []
    #: For each open bracket the number of its members so far; ``None`` for an object.
    open_ones: list[int | None] = []
    key: str | None = None
    line, end = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", end, match.start())
        end = match.start()
        token = match[0]
        inside_object = bool(open_ones) and open_ones[-1] is None
        if token.startswith('"') and inside_object and key is None:
            key = _name(token)
            yield ".".join((*names, key)), line
        elif token in "{[":
            if open_ones and open_ones[-1] is not None:
                key = str(open_ones[-1])
                yield ".".join((*names, key)), line
            names += [] if key is None else [key]
            open_ones.append(None if token == "{" else 0)
            key = None
        elif token in "}]":
            if open_ones:
                open_ones.pop()
            key = None
            if names and len(names) >= max(len(open_ones), 1):
                names.pop()
        elif token == ",":
            key = None
            if open_ones and open_ones[-1] is not None:
                open_ones[-1] += 1


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
