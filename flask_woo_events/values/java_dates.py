"""Java's date patterns, as ``SimpleDateFormat`` defines them.

Stricter than Java: 31 February is an error instead of 3 March, and ``.123456`` is a fraction of a
second instead of two minutes. A trailing ``Z`` or offset that the pattern does not mention is
read, where Java ignores it. Names of months and days are English.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import functools
import re
import typing as t

from ..errors import DatePatternError
from . import time_zones

#: Longest pattern and longest date, characters; longer ones are mistakes or attacks.
LENGTH_MAX = 100

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
          "October", "November", "December")  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

#: Microseconds per unit of the formats that are counts since 1970.
EPOCHS = {"milliseconds": 1000, "epoch": 1000, "epoch:ms": 1000, "epoch:s": 10**6, "epoch:us": 1}

_HINTS = {
    "Y": "Y is the year of a calendar week; write yyyy",
    "u": "u is the number of the day of the week; write yyyy for the year",
    "D": "D is the day of the year; write dd",
    "L": "write MM for the month",
    "k": "k counts hours from 1 to 24; write HH",
    "K": "K counts hours from 0 to 11; write hh with a, or HH",
    "x": "write XXX for the offset",
    "n": "write SSS for the fraction of a second",
}
_RANGES = {"M": (1, 12), "d": (1, 31), "H": (0, 23), "h": (1, 12), "m": (0, 59), "s": (0, 59)}
_NAMES = {"M": MONTHS, "E": DAYS, "a": ("AM", "PM")}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# Text that may follow a date although its pattern does not mention it.
_TAIL = re.compile(r"(?:[.,](?P<fraction>\d{1,9}))?(?P<zone>[Zz]|[+-]\d\d(?::?\d\d)?)?")
_ZONE_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-:/_")


class _Token(t.NamedTuple):
    letter: str  # empty for a literal
    width: int
    text: str = ""
    #: The next token is also a number, with nothing between: exactly ``width`` digits.
    exact: bool = False

    @property
    def is_number(self) -> bool:
        return self.letter in "yMdHhmsS" and not (self.letter == "M" and self.width > 2)


class _Fields(t.TypedDict, total=False):
    y: int
    M: int
    d: int
    H: int
    h: int
    m: int
    s: int
    S: int  # microseconds
    a: int
    zone: dt.tzinfo


@dataclasses.dataclass(frozen=True)
class DatePattern:
    """A date pattern of Java, or one of :data:`EPOCHS`.

    :raises DatePatternError: the pattern is not supported; the message says why.
    """

    pattern: str

    def __post_init__(self) -> None:
        if self.pattern not in EPOCHS:
            _compile(self.pattern)

    def parse(self, text: str | int, zone: dt.tzinfo = dt.UTC) -> dt.datetime:
        """Read a date as aware UTC.

        :param zone: zone of a date that has none. An hour that daylight saving time repeats is
            read as its first occurrence.
        :raises DatePatternError: the text does not match the pattern, or there is no such date.
        """
        written = str(text).strip()
        if len(written) > LENGTH_MAX:
            raise DatePatternError(f"a date has at most {LENGTH_MAX} characters")
        try:
            if unit := EPOCHS.get(self.pattern):
                return _EPOCH + dt.timedelta(microseconds=_whole(written) * unit)
            return _instant(self._read(written), zone)
        except (ValueError, OverflowError) as exc:
            raise DatePatternError(
                f"{written!r} is not a date in the form {self.pattern!r}"
            ) from exc

    def format(self, date: dt.datetime, zone: dt.tzinfo = dt.UTC) -> str:
        """Write a date in a time zone.

        :raises ValueError: the date is naive.
        """
        if date.tzinfo is None:
            raise ValueError("a date needs a time zone")
        if unit := EPOCHS.get(self.pattern):
            return str((date - _EPOCH) // dt.timedelta(microseconds=unit))
        local = date.astimezone(zone)
        return "".join(_written(token, local) for token in _compile(self.pattern))

    def _read(self, text: str) -> _Fields:
        fields: _Fields = {}
        place = 0
        tokens = _compile(self.pattern)
        for token in tokens:
            place = _step(token, text, place, fields)
        if place < len(text):
            tail = _TAIL.fullmatch(text, place)
            ends_in_seconds = [each.letter for each in tokens if each.letter][-1:] == ["s"]
            if tail is None or (tail["fraction"] and not ends_in_seconds):
                raise ValueError("text after the date")
            if tail["fraction"]:
                fields["S"] = _microseconds(tail["fraction"])
            if tail["zone"] and "zone" not in fields:
                fields["zone"] = _offset(tail["zone"])
        return fields


@functools.lru_cache(maxsize=512)
def _compile(pattern: str) -> tuple[_Token, ...]:
    if not pattern.strip():
        raise DatePatternError("a date pattern must not be empty")
    if len(pattern) > LENGTH_MAX:
        raise DatePatternError(f"a date pattern has at most {LENGTH_MAX} characters")
    tokens: list[_Token] = []
    for token in _tokens(pattern):
        if tokens and tokens[-1].is_number and token.letter and token.is_number:
            tokens[-1] = tokens[-1]._replace(exact=True)
        if token.letter and token.letter not in "yMdHhmsSazZXE":
            hint = _HINTS.get(token.letter, "quote words: 'at'")
            raise DatePatternError(f"{pattern!r}: the letter {token.letter} is not known; {hint}")
        if token.letter == "X" and token.width > 3:
            raise DatePatternError(f"{pattern!r}: an offset is X, XX or XXX")
        tokens.append(token)
    return tuple(tokens)


def _tokens(pattern: str) -> cabc.Iterator[_Token]:
    place = 0
    while place < len(pattern):
        start = pattern[place]
        if start == "'":
            text, place = _quoted(pattern, place)
            yield _Token("", 0, text)
        elif start.isascii() and start.isalpha():
            end = place + 1
            while end < len(pattern) and pattern[end] == start:
                end += 1
            yield _Token(start, end - place)
            place = end
        else:
            yield _Token("", 0, start)
            place += 1


def _quoted(pattern: str, place: int) -> tuple[str, int]:
    """Read quoted text; two quotes mean one, inside and outside of it."""
    if pattern.startswith("''", place):
        return "'", place + 2
    if place == len(pattern) - 1:
        # The documented default has a stray quote at its end: yyyy-MM-dd'T'HH:mm:ss'
        return "", place + 1
    text, place = "", place + 1
    while place < len(pattern):
        if pattern.startswith("''", place):
            text, place = text + "'", place + 2
        elif pattern[place] == "'":
            return text, place + 1
        else:
            text, place = text + pattern[place], place + 1
    raise DatePatternError(f"{pattern!r}: a quote is not closed")


def _step(token: _Token, text: str, place: int, fields: _Fields) -> int:
    """Read one token at ``place`` into ``fields``; return where the next one begins."""
    letter = token.letter
    if not letter:
        if not text.startswith(token.text, place):
            raise ValueError(f"no {token.text!r}")
        return place + len(token.text)
    if letter in "zZX":
        end = place
        while end < len(text) and text[end] in _ZONE_CHARS:
            end += 1
        fields["zone"] = _offset(text[place:end])
        return end
    if not token.is_number:
        index, end = _name(_NAMES[letter], text, place)
        if letter == "M":
            fields["M"] = index + 1
        elif letter == "a":
            fields["a"] = index
        return end
    end = place
    limit = place + token.width if token.exact else len(text)
    while end < limit and "0" <= text[end : end + 1] <= "9":
        end += 1
    digits = text[place:end]
    if token.exact and len(digits) < token.width:
        raise ValueError("too few digits")
    value = _microseconds(digits) if letter == "S" else int(digits)
    low, high = _RANGES.get(letter, (0, 999_999))
    if not low <= value <= high:
        raise ValueError("out of range")
    if letter == "y" and token.width <= 2 and len(digits) == 2:
        value = _full_year(value)
    fields[letter] = value  # type: ignore[literal-required]  # one of the number fields
    return end


def _instant(fields: _Fields, zone: dt.tzinfo) -> dt.datetime:
    hour = fields.get("H")
    if hour is None:
        hour = fields.get("h", 0) % 12 + 12 * fields.get("a", 0)
    return dt.datetime(
        fields.get("y", 1970),
        fields.get("M", 1),
        fields.get("d", 1),
        hour,
        fields.get("m", 0),
        fields.get("s", 0),
        fields.get("S", 0),
        tzinfo=fields.get("zone", zone),
    ).astimezone(dt.UTC)


def _name(names: cabc.Sequence[str], text: str, place: int) -> tuple[int, int]:
    """Find a name, long or cut to three letters, in any case."""
    for length in (None, 3):
        for index, name in enumerate(names):
            known = name[:length].lower()
            if text[place : place + len(known)].lower() == known:
                return index, place + len(known)
    raise ValueError("no such name")


def _offset(text: str) -> dt.tzinfo:
    zone: dt.tzinfo | None = time_zones.parse_abbreviation(text)
    if zone is None:
        zone = time_zones.parse_zone(text)
    return zone


def _whole(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,19}", text):
        raise ValueError("not a whole number")
    return int(text)


def _microseconds(digits: str) -> int:
    if not 1 <= len(digits) <= 9:
        raise ValueError("no fraction")
    return int(digits.ljust(6, "0")[:6])


def _full_year(two_digits: int) -> int:
    """Complete a year by Java's rule: from 80 years before now to 20 years after."""
    first = dt.datetime.now(dt.UTC).year - 80
    return first + (two_digits - first) % 100


def _written(token: _Token, local: dt.datetime) -> str:
    letter, count = token.letter, token.width
    match letter:
        case "":
            return token.text
        case "y":
            return f"{local.year % 100:02}" if count == 2 else str(local.year).zfill(count)
        case "M" if count > 2:
            return MONTHS[local.month - 1][: None if count > 3 else 3]
        case "E":
            return DAYS[local.weekday()][: None if count > 3 else 3]
        case "a":
            return "AM" if local.hour < 12 else "PM"
        case "S":
            return f"{local.microsecond:06}".ljust(count, "0")[:count]
        case "z":
            return _zone_name(local)
        case "Z" | "X":
            return _written_offset(letter, count, local)
    numbers = {
        "M": local.month,
        "d": local.day,
        "H": local.hour,
        "h": (local.hour + 11) % 12 + 1,
        "m": local.minute,
        "s": local.second,
    }
    return str(numbers[letter]).zfill(count)


def _written_offset(letter: str, count: int, local: dt.datetime) -> str:
    minutes = round((local.utcoffset() or dt.timedelta()).total_seconds() / 60)
    if letter == "X" and minutes == 0:
        return "Z"
    sign = "-" if minutes < 0 else "+"
    hours, rest = divmod(abs(minutes), 60)
    if letter == "X" and count == 1:
        return f"{sign}{hours:02}"
    return f"{sign}{hours:02}{':' if letter == 'X' and count == 3 else ''}{rest:02}"


def _zone_name(local: dt.datetime) -> str:
    name = local.tzname() or ""
    if name.isalpha():
        return name
    return f"GMT{_written_offset('X', 3, local)}"
