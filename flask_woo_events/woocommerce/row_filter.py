"""Filters and orders rows by what a store cannot filter and order by."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import decimal
import json
import re
import typing as t

from .ceql import IS_NOT_NULL, IS_NULL, Condition, Value, Where

Row = cabc.Mapping[str, t.Any]
Test = cabc.Callable[[Row], bool]

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].{1,30})?\Z")
_ORDER: dict[str, cabc.Callable[[t.Any, t.Any], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def row_test(where: Where) -> Test:
    """Return the function that decides whether a row meets a ``where``.

    A list meets a condition if one of its elements does. ``!=`` is the opposite of ``=``.
    """
    if isinstance(where, Condition):
        return _condition(where)
    tests = [row_test(part) for part in where.parts]
    if where.word == "and":
        return lambda row: all(test(row) for test in tests)
    return lambda row: any(test(row) for test in tests)


def leaves(row: object, path: str) -> cabc.Iterator[object]:
    """Yield the values at a dotted path, also those in lists; nothing for null."""
    if isinstance(row, list):
        for one in row:
            yield from leaves(one, path)
    elif not path:
        if row is not None:
            yield row
    elif isinstance(row, dict):
        name, _dot, rest = path.partition(".")
        yield from leaves(row.get(name), rest)


def order_key(row: Row, path: str) -> tuple[int, decimal.Decimal, str, str]:
    """Return the key that sorts rows: null, then numbers by value, then texts without case."""
    nothing = decimal.Decimal(0)
    for value in leaves(row, path):
        number = _number(value)
        if number is not None:
            return 1, number, "", ""
        return 2, nothing, as_text(value).casefold(), as_text(value)
    return 0, nothing, "", ""


def as_text(value: object) -> str:
    """Return a text as it is, and anything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _condition(condition: Condition) -> Test:
    field, op = condition.field, condition.op
    if op in (IS_NULL, IS_NOT_NULL):
        wanted = op == IS_NULL
        return lambda row: wanted == (next(leaves(row, field), None) is None)
    if op == "like":
        pattern = condition.value.casefold().split("%")
        return lambda row: any(_is_like(as_text(one), pattern) for one in leaves(row, field))
    if op in _ORDER:
        operand, compare = _Operand.of(condition.values[0]), _ORDER[op]
        return lambda row: any(
            operand.ordered(one, compare, gmt) for one, gmt in _dated(row, field)
        )
    equal = _equal(condition.values)
    if op == "!=":
        return lambda row: not any(equal(one, gmt) for one, gmt in _dated(row, field))
    return lambda row: any(equal(one, gmt) for one, gmt in _dated(row, field))


def _dated(row: Row, field: str) -> cabc.Iterator[tuple[object, object]]:
    """Yield values, each with the same date in UTC if the row has it."""
    if field.endswith("_gmt"):
        return ((one, one) for one in leaves(row, field))
    gmt = next(leaves(row, f"{field}_gmt"), None) if "date" in field else None
    return ((one, gmt) for one in leaves(row, field))


def _equal(values: cabc.Sequence[Value]) -> cabc.Callable[[object, object], bool]:
    operands = [_Operand.of(value) for value in values]
    texts = {one.text for one in operands}
    # A quoted number is a text for texts: '007' is not '7'.
    bare = {one.number for one in operands if not one.quoted} - {None}
    numbers = {one.number for one in operands} - {None}
    dates = [one for one in operands if one.date is not None]

    def equal(value: object, gmt: object) -> bool:
        if as_text(value) in texts:
            return True
        number = _number(value)
        if number is not None:
            return number in (bare if isinstance(value, str) else numbers)
        return any(one.dates(value, gmt, lambda left, right: left == right) for one in dates)

    return equal


@dataclasses.dataclass(frozen=True)
class _Operand:
    """A value of a condition, as everything that it can be compared as."""

    text: str
    quoted: bool
    number: decimal.Decimal | None
    date: dt.datetime | None

    @classmethod
    def of(cls, value: Value) -> _Operand:
        text = value.text
        if not value.quoted and text.lower() in ("true", "false"):
            text = text.lower()
        return cls(text, value.quoted, _number(text), _date(text))

    def ordered(
        self, value: object, compare: cabc.Callable[[t.Any, t.Any], bool], gmt: object
    ) -> bool:
        """Compare numbers with numbers, dates with dates, and other texts with texts."""
        if self.number is not None:
            number = _number(value)
            return number is not None and compare(number, self.number)
        if self.date is not None:
            return self.dates(value, gmt, compare)
        return isinstance(value, str) and compare(value, self.text)

    def dates(
        self, value: object, gmt: object, compare: cabc.Callable[[t.Any, t.Any], bool]
    ) -> bool:
        """Compare dates: local ones of the store, or both in UTC if one has an offset."""
        wanted, date = self.date, _date(value)
        if wanted is None or date is None:
            return False
        if wanted.tzinfo is not None and date.tzinfo is None:
            date = _date(gmt) or date
        if wanted.tzinfo is not None or date.tzinfo is not None:
            wanted, date = _aware(wanted), _aware(date)
        return compare(date, wanted)


def _aware(date: dt.datetime) -> dt.datetime:
    return date.replace(tzinfo=dt.UTC) if date.tzinfo is None else date


def _number(value: object) -> decimal.Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return decimal.Decimal(repr(value))
    return decimal.Decimal(value) if isinstance(value, str) and _NUMBER.match(value) else None


def _date(value: object) -> dt.datetime | None:
    if not isinstance(value, str) or not _DATE.match(value):
        return None
    try:
        return dt.datetime.fromisoformat(value)
    except ValueError:
        return None


def _is_like(text: str, pattern: cabc.Sequence[str]) -> bool:
    """Match a pattern, split at ``%``, without case."""
    first, last = pattern[0], pattern[-1]
    folded = text.casefold()
    if len(pattern) == 1:
        return folded == first
    if not folded.startswith(first):
        return False
    at, end = len(first), len(folded) - len(last)
    if end < at or not folded.endswith(last):
        return False
    for part in pattern[1:-1]:
        found = folded.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
