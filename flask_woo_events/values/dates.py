"""Dates of stores, callbacks and poller URLs, read and written as aware datetimes."""

from __future__ import annotations

import datetime as dt
import re
import urllib.parse

from ..errors import DatePatternError
from .java_dates import DAYS, EPOCHS, MONTHS, DatePattern
from .time_zones import parse_zone

__all__ = [
    "DatePattern",
    "expand_macros",
    "in_calendar",
    "iso_z",
    "java_date_string",
    "parse_iso",
    "parse_store_date",
    "parse_zone",
    "store_param",
]

#: Default format of a macro: the one that WooCommerce accepts with ``dates_are_gmt``.
DEFAULT_FORMAT = "yyyy-MM-dd'T'HH:mm:ss"

#: The first and the last date that are read.
FIRST_DATE = dt.datetime(2, 1, 1, tzinfo=dt.UTC)
LAST_DATE = dt.datetime(9998, 12, 31, 23, 59, 59, tzinfo=dt.UTC)

# Characters of a date that a query does not escape. A plus sign would be read as a space.
_PLAIN = ":/,'"
_BRACE = re.compile("[{}]")
_ZONE_THEN_FORMAT = re.compile(
    r"(?:\{(?P<braced>[^{}]*)\}|(?P<zone>(?:[A-Za-z][A-Za-z0-9_/]*(?:-[A-Za-z][A-Za-z0-9_/]*)*)?"
    r"(?:[+-]\d{1,2}(?::?\d\d)?)?))(?::(?P<format>.*))?"
)


def in_calendar(date: dt.datetime) -> dt.datetime:
    """Move an aware date of the calendar's first or last year away from its end.

    MySQL's greatest date is 9999-12-31T23:59:59. An overlap, an interval or a zone added to it
    would be no date.
    """
    return min(max(date, FIRST_DATE), LAST_DATE)


def parse_iso(text: str) -> dt.datetime:
    """Read an ISO 8601 date as aware UTC; a date without an offset is UTC.

    A date of the years 1 and 9999 becomes the first or last one of its neighbor's.

    :raises ValueError: the text is not a date, or the date is out of range.
    """
    try:
        date = dt.datetime.fromisoformat(text)
        utc = date.replace(tzinfo=dt.UTC) if date.tzinfo is None else date.astimezone(dt.UTC)
    except OverflowError as exc:
        raise ValueError(str(exc)) from exc
    return in_calendar(utc)


def parse_store_date(text: object) -> dt.datetime | None:
    """Read a ``*_gmt`` date of a store as aware UTC.

    :return: ``None`` for null, empty text, WordPress' zero date and anything else that is no date.
    """
    if not isinstance(text, str):
        return None
    try:
        return parse_iso(text)
    except ValueError:
        return None


def store_param(date: dt.datetime) -> str:
    """Write a date for ``modified_after`` with ``dates_are_gmt=true``: naive UTC, to the second.

    With a ``Z`` or an offset WooCommerce would convert it to the site's zone and compare that
    with its GMT column. Source: ``WP_Date_Query::build_mysql_datetime``.
    """
    return _utc(date).replace(tzinfo=None).isoformat(timespec="seconds")


def iso_z(date: dt.datetime) -> str:
    """Write ``2018-08-20T15:29:06Z``."""
    return store_param(date) + "Z"


def java_date_string(date: dt.datetime) -> str:
    """Write a date as Java's ``Date.toString``: ``Mon Aug 20 15:30:07 UTC 2018``."""
    utc = _utc(date)
    day, month = DAYS[utc.weekday()][:3], MONTHS[utc.month - 1][:3]
    return f"{day} {month} {utc.day:02} {utc:%H:%M:%S} UTC {utc.year:04}"


def expand_macros(
    url: str,
    *,
    last_poll: dt.datetime,
    now: dt.datetime,
    default_format: str = DEFAULT_FORMAT,
    zone: dt.tzinfo = dt.UTC,
) -> str:
    """Replace ``${gmtDate:…}`` and the other macros in a poller's url.

    ======================================= ==================================================
    ``${gmtDate:FORMAT}``, ``${date:…}``    the last poll, UTC; the format may be left out
    ``${date}``                             the last poll, in ``zone`` if there is no format
    ``${dateTimeZone:ZONE:FORMAT}``         the last poll, in a zone; also ``{ZONE}``
    ``${nowTimeZone:ZONE:FORMAT}``          now, in a zone
    ``${epoch}``, ``${epoch:s}``, ``ms``,   the last poll as a count since 1970; milliseconds
    ``us``, ``${milliseconds}``             unless another unit is named
    ======================================= ==================================================

    Names are case-insensitive. Dates are percent-encoded where a query needs it.

    :param default_format: the format of a macro that names none.
    :param zone: the zone of ``${date}``.
    :raises DatePatternError: an unknown macro, format or zone.
    :raises ValueError: a date is naive.
    """
    last_poll, now = _utc(last_poll), _utc(now)
    pieces = []
    place = 0
    while (start := url.find("${", place)) >= 0:
        end = _closing_brace(url, start + 2)
        macro = url[start + 2 : end]
        if macro.strip().lower() == "date":
            text = DatePattern(default_format).format(last_poll, zone)
        else:
            text = _macro(macro, last_poll, now, default_format)
        pieces += [url[place:start], urllib.parse.quote(text, safe=_PLAIN)]
        place = end + 1
    return "".join([*pieces, url[place:]])


def _closing_brace(url: str, place: int) -> int:
    depth = 1
    for brace in _BRACE.finditer(url, place):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    raise DatePatternError("a macro ${…} is not closed", "url")


def _macro(text: str, last_poll: dt.datetime, now: dt.datetime, default_format: str) -> str:
    name, _colon, rest = text.partition(":")
    match name.strip().lower():
        case "gmtdate" | "date":
            return DatePattern(rest or default_format).format(last_poll)
        case "datetimezone" | "nowtimezone" as kind:
            split = _ZONE_THEN_FORMAT.fullmatch(rest)
            zone = split and (split["braced"] or split["zone"])
            if split and zone:
                date = now if kind.startswith("now") else last_poll
                pattern = DatePattern(split["format"] or default_format)
                return pattern.format(date, parse_zone(zone))
        case "epoch" | "milliseconds" if text.strip().lower() in EPOCHS:
            return DatePattern(text.strip().lower()).format(last_poll)
    raise DatePatternError(
        f"the macro ${{{text[:80]}}} is not known; write ${{gmtDate:{DEFAULT_FORMAT}}}", "url"
    )


def _utc(date: dt.datetime) -> dt.datetime:
    if date.tzinfo is None:
        raise ValueError("a date needs a time zone")
    return date.astimezone(dt.UTC)
