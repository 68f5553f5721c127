"""Time zones by the names that users and Java write."""

from __future__ import annotations

import datetime as dt
import functools
import re
import zoneinfo

from ..errors import DatePatternError

# The three-letter names that Java's ``TimeZone`` reads as a place with its daylight saving time.
# ``BST`` is Britain here and Bangladesh in Java. ``EST``, ``MST`` and ``HST`` are fixed offsets.
_PLACES = {
    "PST": "America/Los_Angeles",
    "CST": "America/Chicago",
    "AST": "America/Anchorage",
    "BST": "Europe/London",
    "CET": "Europe/Paris",
    "EET": "Europe/Athens",
    "WET": "Europe/Lisbon",
    "JST": "Asia/Tokyo",
    "IST": "Asia/Kolkata",
}
#: Offsets from UTC in minutes of the abbreviations that a date may have.
ABBREVIATIONS = {
    "UTC": 0,
    "GMT": 0,
    "UT": 0,
    "Z": 0,
    "EST": -300,
    "EDT": -240,
    "CST": -360,
    "CDT": -300,
    "MST": -420,
    "MDT": -360,
    "PST": -480,
    "PDT": -420,
    "AKST": -540,
    "AKDT": -480,
    "HST": -600,
    "WET": 0,
    "WEST": 60,
    "BST": 60,
    "CET": 60,
    "CEST": 120,
    "EET": 120,
    "EEST": 180,
    "MSK": 180,
    "IST": 330,
    "JST": 540,
    "AEST": 600,
    "AEDT": 660,
    "NZST": 720,
    "NZDT": 780,
}
_NAME_CHARS = 64
_OFFSET = re.compile(
    r"(?P<base>UTC|GMT|UT)?(?P<sign>[+-])"
    r"(?:(?P<hours>\d\d?):(?P<minutes>\d\d)|(?P<plain>\d\d)(?P<rest>\d\d)?|(?P<digit>\d))"
)


def fixed(minutes: int) -> dt.timezone:
    """Return the zone with this offset from UTC in minutes."""
    return dt.timezone(dt.timedelta(minutes=minutes)) if minutes else dt.UTC


def parse_offset(text: str) -> dt.timezone | None:
    """Read ``±h:mm``, ``±hh:mm``, ``±hhmm`` or ``±hh``, also after ``GMT`` or ``UTC``.

    Hours are 0 to 23 and minutes 00 to 59. A single digit is allowed only after ``GMT``.
    """
    match = _OFFSET.fullmatch(text) if text.isascii() else None
    if match is None or (match["digit"] and not match["base"]):
        return None
    hours = int(match["hours"] or match["plain"] or match["digit"])
    minutes = int(match["minutes"] or match["rest"] or 0)
    if hours > 23 or minutes > 59:
        return None
    east = hours * 60 + minutes
    return fixed(-east if match["sign"] == "-" else east)


def parse_abbreviation(text: str) -> dt.timezone | None:
    """Read the zone in a date, where ``PST`` is UTC-8 even in summer."""
    minutes = ABBREVIATIONS.get(text.upper())
    return fixed(minutes) if minutes is not None else parse_offset(text)


@functools.lru_cache(maxsize=256)
def parse_zone(text: str) -> dt.tzinfo:
    """Return the zone of a setting: an abbreviation, ``Z``, an offset or a name of IANA's list.

    As in Java's ``TimeZone``, ``PST`` and ``CST`` follow daylight saving time, while ``EST``,
    ``MST`` and ``HST`` are fixed offsets.

    :raises DatePatternError: there is no such zone.
    """
    name = text.strip()
    upper = name.upper()
    if len(name) <= _NAME_CHARS:
        if (zone := parse_offset(upper)) is not None:
            return zone
        if upper in ABBREVIATIONS and upper not in _PLACES:
            return fixed(ABBREVIATIONS[upper])
        try:
            return zoneinfo.ZoneInfo(_PLACES.get(upper, name))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise DatePatternError(
        f"{name[:_NAME_CHARS]!r} is not a time zone; "
        "write UTC, EST, +01:00 or a name such as Europe/Berlin"
    )
