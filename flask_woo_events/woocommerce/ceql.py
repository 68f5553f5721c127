"""``where`` in CEQL, the documented query language: its parser and what it parses to."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import re

from ..errors import InputError

#: Longest ``where``, characters.
LENGTH_MOST = 4000
#: Most conditions of one ``where``: each row that is filtered here is compared with each of them.
CONDITIONS_MOST = 100
#: Most parentheses within each other.
DEPTH_MOST = 50
#: Conditions that have no value.
IS_NULL, IS_NOT_NULL = "is null", "is not null"

_QUOTED = r"'(?:[^']++|'')*+'"
_FIELD = re.compile(r"\s*+(?:`(?P<quoted>[\w.-]+)`|(?P<plain>[\w.-]+))\s*+")
_OPERATOR = re.compile(
    r"(?P<op><=|>=|!=|=|<|>)\s*+"
    r"|(?<=\s)(?:(?P<like>like)\b\s*+|(?P<in>in)\s*+\(|is\s++(?P<not>not\s++)?null\b)",
    re.IGNORECASE,
)
_VALUE = re.compile(rf"(?P<quoted>{_QUOTED})|(?![=<>!])(?P<bare>[^\s'()]++)")
_LISTED = re.compile(rf"\s*+(?:(?P<quoted>{_QUOTED})|(?P<bare>[^\s'(),]++))\s*+(?P<end>[,)])")
_OPEN = re.compile(r"\s*+\(")
_CLOSE = re.compile(r"\s*+\)")
_JOIN = re.compile(r"(?:\s++|(?<=\))\s*+)(?P<word>and|or)(?=[\s(])", re.IGNORECASE)
_END = re.compile(r"\s*+\Z")


@dataclasses.dataclass(frozen=True)
class Value:
    """A value of a condition."""

    text: str
    quoted: bool = True


@dataclasses.dataclass(frozen=True)
class Condition:
    """A comparison of one field."""

    field: str
    #: ``=``, ``!=``, ``<``, ``>``, ``<=``, ``>=``, ``in``, ``like``, ``is null``, ``is not null``.
    op: str
    #: Several with ``in``, none with ``is null`` and ``is not null``, else one.
    values: tuple[Value, ...]
    #: As the client wrote it, for errors.
    text: str

    @property
    def texts(self) -> tuple[str, ...]:
        """The values as texts."""
        return tuple(value.text for value in self.values)

    @property
    def value(self) -> str:
        """The first value, or an empty text."""
        return self.values[0].text if self.values else ""


@dataclasses.dataclass(frozen=True)
class Junction:
    """Conditions joined by ``and``, or by ``or``."""

    word: str
    parts: tuple[Where, ...]


Where = Condition | Junction


def parse_where(text: str, parameter: str = "where") -> Where:
    """Parse a ``where``; a quote in a quoted value is written twice.

    ``and`` binds stronger than ``or``.

    :param parameter: the name of the parameter, for the error.
    :raises InputError: the text cannot be parsed.
    """
    if len(text) > LENGTH_MOST:
        raise InputError(f"where has more than {LENGTH_MOST} characters", parameter)
    return _Parser(text, parameter).whole()


def read_where(text: str, parameter: str = "where") -> tuple[Condition, ...]:
    """Parse a ``where`` whose conditions must all be joined by ``and``.

    :raises InputError: the text cannot be parsed, or contains ``or``.
    """
    parts = conjuncts(parse_where(text, parameter))
    conditions = tuple(one for one in parts if isinstance(one, Condition))
    if len(conditions) < len(parts):
        raise InputError("this where takes conditions joined by and, without or", parameter)
    return conditions


def conjuncts(where: Where) -> tuple[Where, ...]:
    """Return the parts that must all hold."""
    if isinstance(where, Junction) and where.word == "and":
        return where.parts
    return (where,)


def conditions_of(where: Where) -> cabc.Iterator[Condition]:
    """Yield all conditions."""
    if isinstance(where, Condition):
        yield where
    else:
        for part in where.parts:
            yield from conditions_of(part)


class _Parser:
    """A parser by recursive descent, in linear time."""

    def __init__(self, text: str, parameter: str) -> None:
        self._text = text
        self._parameter = parameter
        self._at = 0
        self._depth = 0
        self._count = 0

    def whole(self) -> Where:
        where = self._joined("or")
        if not self._next(_END):
            raise self._error()
        return where

    def _joined(self, word: str) -> Where:
        """Parse parts joined by a word; those of ``or`` are joined by ``and``."""
        parts: list[Where] = []
        while True:
            part = self._joined("and") if word == "or" else self._part()
            flat = isinstance(part, Junction) and part.word == word
            parts += part.parts if isinstance(part, Junction) and flat else (part,)
            match = _JOIN.match(self._text, self._at)
            if match is None or match["word"].lower() != word:
                return parts[0] if len(parts) == 1 else Junction(word, tuple(parts))
            self._at = match.end()

    def _part(self) -> Where:
        if not self._next(_OPEN):
            return self._condition()
        self._depth += 1
        if self._depth > DEPTH_MOST:
            raise InputError(
                f"where has more than {DEPTH_MOST} parentheses within each other", self._parameter
            )
        where = self._joined("or")
        if not self._next(_CLOSE):
            raise self._error()
        self._depth -= 1
        return where

    def _condition(self) -> Condition:
        begin = self._at
        self._count += 1
        if self._count > CONDITIONS_MOST:
            raise InputError(
                f"where has more than {CONDITIONS_MOST} conditions; write field IN (...) for "
                "several values of a field",
                self._parameter,
            )
        field = self._take(_FIELD, begin)
        match = self._take(_OPERATOR, begin)
        values: tuple[Value, ...] = ()
        if match["op"] or match["like"]:
            values = (self._value(self._take(_VALUE, begin), begin),)
        elif match["in"]:
            values = self._listed(begin)
        op = match["op"] or (match["like"] and "like") or (match["in"] and "in")
        op = op or (IS_NOT_NULL if match["not"] else IS_NULL)
        shown = self._text[begin : self._at].strip()[:100]
        return Condition(field["quoted"] or field["plain"], op, values, shown)

    def _listed(self, begin: int) -> tuple[Value, ...]:
        values = []
        while True:
            match = self._take(_LISTED, begin)
            values.append(self._value(match, begin))
            if match["end"] == ")":
                return tuple(values)

    def _value(self, match: re.Match[str], begin: int) -> Value:
        if match["quoted"] is not None:
            return Value(match["quoted"][1:-1].replace("''", "'"))
        if match["bare"].lower() == "null":
            shown = self._text[begin : match.end()].strip()[:100]
            raise InputError(f"write IS NULL instead of {shown!r}", self._parameter)
        return Value(match["bare"], quoted=False)

    def _next(self, pattern: re.Pattern[str]) -> bool:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return match is not None

    def _take(self, pattern: re.Pattern[str], begin: int) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        if match is None:
            self._at = begin
            raise self._error()
        self._at = match.end()
        return match

    def _error(self) -> InputError:
        rest = self._text[self._at :].strip()[:100]
        return InputError(
            "where is not made of conditions such as status='completed', with =, !=, <, <=, >, "
            f">=, LIKE, IN or IS NULL, joined by AND or OR; it cannot be read at {rest!r}",
            self._parameter,
        )
