"""Dates: Java patterns compared with a JVM, macros, time zones, and the store's formats."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
import time
import urllib.parse
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_woo_events.errors import DatePatternError
from flask_woo_events.values.dates import (
    DatePattern,
    expand_macros,
    iso_z,
    java_date_string,
    parse_store_date,
    parse_zone,
    store_param,
)

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
POLL = dt.datetime(2018, 8, 20, 15, 30, 7, 123456, tzinfo=dt.UTC)
#: ``[pattern, zone, milliseconds, text, milliseconds parsed back]`` of SimpleDateFormat in Java
#: 17, not lenient, in English.
VECTORS: list[tuple[str, str, int, str, int | None]] = json.loads(
    (pathlib.Path(__file__).parent / "data" / "java_dates.json").read_text()
)
NEW_YORK = zoneinfo.ZoneInfo("America/New_York")


def milliseconds(date: dt.datetime) -> int:
    return (date - EPOCH) // dt.timedelta(milliseconds=1)


@pytest.mark.parity(14)
@pytest.mark.parametrize("pattern", sorted({row[0] for row in VECTORS}))
def test_format_writes_what_java_writes(pattern: str) -> None:
    """Every pattern of the table formats dates as Java does, in every zone."""
    rows = [row for row in VECTORS if row[0] == pattern]
    formatted = [
        DatePattern(pattern).format(EPOCH + dt.timedelta(milliseconds=ms), parse_zone(zone))
        for _pattern, zone, ms, _text, _parsed in rows
    ]
    assert formatted == [text for _pattern, _zone, _ms, text, _parsed in rows]


@pytest.mark.parity(14)
@pytest.mark.parametrize("pattern", sorted({row[0] for row in VECTORS}))
def test_parse_reads_what_java_reads(pattern: str) -> None:
    """Every text of the table is parsed as the instant that Java reads."""
    rows = [row for row in VECTORS if row[0] == pattern and row[4] is not None]
    parsed = [
        milliseconds(DatePattern(pattern).parse(text, parse_zone(zone)))
        for _pattern, zone, _ms, text, _parsed in rows
    ]
    assert parsed == [expected for *_rest, expected in rows]


@pytest.mark.parity(14, 15)
@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("yyyy-MM-dd'T'HH:mm:ss'", "2018-08-20T15:30:07", "2018-08-20T15:30:07Z"),
        ("yyyy-MM-dd'T'HH:mm:ssXXX'", "2018-08-20T15:30:07+02:00", "2018-08-20T13:30:07Z"),
        ("yyyy-MM-dd'T'HH:mm:ss", "2018-08-20T15:30:07Z", "2018-08-20T15:30:07Z"),
        ("yyyy-MM-dd'T'HH:mm:ss", "2018-08-20T15:30:07-05:00", "2018-08-20T20:30:07Z"),
        ("yyyy-MM-dd'T'HH:mm:ss", " 2018-08-20T15:30:07 ", "2018-08-20T15:30:07Z"),
        ("yyyy-MM-dd'T'HH:mm:ssXXX", "2018-08-20T15:30:07+0530", "2018-08-20T10:00:07Z"),
        ("yyyy-MM-dd HH:mm:ss z", "2018-07-15 12:00:00 PST", "2018-07-15T20:00:00Z"),
        ("yyyy-MM-dd HH:mm:ss z", "2018-07-15 12:00:00 PDT", "2018-07-15T19:00:00Z"),
        ("yyyy-MM-dd HH:mm:ss z", "2018-07-15 12:00:00 GMT-08:00", "2018-07-15T20:00:00Z"),
        ("yyyy-MM-dd HH:mm:ss Z", "2018-07-15 12:00:00 Z", "2018-07-15T12:00:00Z"),
        ("d MMM yyyy", "5 SEP 2018", "2018-09-05T00:00:00Z"),
        ("d MMM yyyy", "05 september 2018", "2018-09-05T00:00:00Z"),
        ("dd/MM/yy", "15/07/18", "2018-07-15T00:00:00Z"),
        ("dd/MM/yy", "15/07/1918", "1918-07-15T00:00:00Z"),
        ("h a", "12 am", "1970-01-01T00:00:00Z"),
        ("h a", "12 PM", "1970-01-01T12:00:00Z"),
        ("milliseconds", "1534778974000", "2018-08-20T15:29:34Z"),
        ("epoch", "1534778974000", "2018-08-20T15:29:34Z"),
        ("epoch:s", "1534778974", "2018-08-20T15:29:34Z"),
        ("epoch:us", "1534778974000000", "2018-08-20T15:29:34Z"),
    ],
)
def test_parse_accepts_real_configurations(pattern: str, text: str, expected: str) -> None:
    """Inexact patterns of real configurations, and zones missing in a pattern, are accepted."""
    assert iso_z(DatePattern(pattern).parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "microsecond"), [("07.5", 500_000), ("07.123456", 123_456), ("07.123456789", 123_456)]
)
def test_fraction_of_a_second(text: str, microsecond: int) -> None:
    """``.5`` is half a second; Java reads five milliseconds."""
    assert DatePattern("ss.SSS").parse(text).microsecond == microsecond
    assert DatePattern("ss").parse(text).microsecond == microsecond


def test_number_is_parsed_as_text() -> None:
    """A date that is a number in JSON is parsed, too."""
    assert iso_z(DatePattern("yyyyMMdd").parse(20180820)) == "2018-08-20T00:00:00Z"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("yyyy-MM-dd", "2018-02-31"),
        ("yyyy-MM-dd", "2019-02-29"),
        ("yyyy-MM-dd", "2018-13-01"),
        ("yyyy-MM-dd", "0000-01-01"),
        ("yyyy-MM-dd", "99999-01-01"),
        ("yyyy-MM-dd", "2018-08-20 and more"),
        ("yyyy-MM-dd", "20.5"),
        ("yyyy-MM-dd", "2018-08-20.5"),
        ("yyyy-MM-dd", ""),
        ("yyyy-MM-dd", "٢٠١٨-08-20"),
        ("yyyyMMdd", "2018820"),
        ("HH", "24"),
        ("hh", "13"),
        ("ss", "60"),
        ("MMM", "Foo"),
        ("yyyy-MM-dd'T'HH", "2018-08-20 15"),
        ("HH:mm z", "12:00 Nowhere/Town"),
        ("HH:mmXXX", "12:00+25:00"),
        ("HH:mmXXX", "12:00"),
        ("milliseconds", "12.5"),
        ("milliseconds", "9" * 19),
        ("milliseconds", "²"),
        ("yyyyX", "0001+23:00"),
        ("yyyy", "2" * 200),
    ],
)
def test_parse_refuses(pattern: str, text: str) -> None:
    """A text that does not match the pattern raises ``DatePatternError``."""
    with pytest.raises(DatePatternError):
        DatePattern(pattern).parse(text)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("YYYY-MM-dd", "yyyy"),
        ("DD", "write dd"),
        ("yyyy-MM-ddXXXX", "XXX"),
        ("yyyy 'at", "quote"),
        ("yesterday", "letter"),
        ("", "empty"),
        ("y" * 101, "100"),
    ],
)
def test_pattern_error_suggests_a_fix(pattern: str, message: str) -> None:
    """An invalid pattern is refused when it is created, and the error suggests a fix."""
    with pytest.raises(DatePatternError, match=message):
        DatePattern(pattern)


def test_naive_dates_are_refused() -> None:
    """A naive datetime is refused, as its zone would be a guess."""
    naive = POLL.replace(tzinfo=None)
    for call in (DatePattern("yyyy").format, iso_z, store_param, java_date_string):
        with pytest.raises(ValueError, match="time zone"):
            call(naive)
    with pytest.raises(ValueError, match="time zone"):
        expand_macros("", last_poll=naive, now=POLL)


def test_daylight_saving_of_a_zone() -> None:
    """A repeated hour is its first occurrence; a skipped hour is read as winter time."""
    pattern = DatePattern("yyyy-MM-dd HH:mm")
    assert iso_z(pattern.parse("2018-11-04 01:30", NEW_YORK)) == "2018-11-04T05:30:00Z"
    assert iso_z(pattern.parse("2018-03-11 02:30", NEW_YORK)) == "2018-03-11T07:30:00Z"


@given(
    st.datetimes(
        min_value=dt.datetime(1900, 1, 2),
        max_value=dt.datetime(2200, 1, 1),
        allow_imaginary=False,
        timezones=st.sampled_from([dt.UTC, NEW_YORK, parse_zone("+05:45")]),
    ),
    st.sampled_from(
        [
            "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
            "EEE, dd MMM yyyy HH:mm:ss.SSSSSS Z",
            "yyyyMMddHHmmssSSSSSSX",
            "d/M/yyyy h:m:s.SSSSSS a XX",
            "epoch:us",
        ]
    ),
)
def test_round_trip(date: dt.datetime, pattern: str) -> None:
    """A pattern with an offset parses its own output as the same instant."""
    # A single X writes only whole hours.
    zone = dt.UTC if pattern.endswith("SX") else parse_zone("+05:45")
    compiled = DatePattern(pattern)
    # In UTC, as Python compares an ambiguous hour as unequal to any time of another zone.
    assert compiled.parse(compiled.format(date, zone)) == date.astimezone(dt.UTC)


@given(st.text(max_size=120), st.text(alphabet="yMdHhmsSazZXE'-: 0123456789", max_size=120))
def test_any_input_parses_or_raises_a_date_pattern_error(text: str, pattern: str) -> None:
    """No pattern and no text raises any other exception."""
    try:
        DatePattern(pattern).parse(text)
    except DatePatternError:
        pass


def test_long_texts_are_parsed_fast() -> None:
    """Parsing does not backtrack: the worst allowed pattern and text take milliseconds."""
    began = time.process_time()
    with pytest.raises(DatePatternError):
        DatePattern("MMM" + "a" * 96).parse("may" + "am" * 48)
    assert time.process_time() - began < 0.1


@pytest.mark.parity(16)
@pytest.mark.parametrize(
    ("name", "minutes"),
    [
        ("UTC", 0),
        ("gmt", 0),
        ("Z", 0),
        ("EST", -300),
        ("EDT", -240),
        ("MST", -420),
        ("PST", -420),
        ("PDT", -420),
        ("CST", -300),
        ("HST", -600),
        ("-8:00", -480),
        ("+0530", 330),
        ("+05:30", 330),
        ("-08", -480),
        ("GMT+1", 60),
        ("UTC+01:00", 60),
        ("Europe/Berlin", 120),
        ("Etc/GMT+5", -300),
    ],
)
def test_parse_zone_in_july(name: str, minutes: int) -> None:
    """Names have their meaning in Java's TimeZone: PST has daylight saving time, EST has not."""
    offset = dt.datetime(2018, 7, 15, 12, tzinfo=parse_zone(name)).utcoffset()
    assert offset == dt.timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Base", "+8", "+24:00", "+01:60", "../etc/passwd", "/etc/localtime", "America",
     "A" * 300, "\0", "+٠١:00"],
)  # fmt: skip
def test_parse_zone_refuses(name: str) -> None:
    """An invalid zone is an error, also if its name is a path to a file."""
    with pytest.raises(DatePatternError):
        parse_zone(name)


@pytest.mark.parity(17)
@pytest.mark.parametrize(
    ("macro", "expected"),
    [
        ("${gmtDate:yyyy-MM-dd'T'HH:mm:ssXXX}", "2018-08-20T15:30:07Z"),
        ("${gmtDate:yyyy-MM-dd'T'HH:mm:ssZ}", "2018-08-20T15:30:07+0000"),
        ("${gmtDate}", "2018-08-20T15:30:07"),
        ("${date:yyyy/MM/dd HH:mm:ss}", "2018/08/20 15:30:07"),
        ("${date}", "2018-08-20T15:30:07"),
        ("${dateTimeZone:PST:yyyy-MM-dd'T'HH:mm:ssXXX}", "2018-08-20T08:30:07-07:00"),
        ("${dateTimeZone:{PST}:HH:mm}", "08:30"),
        ("${dateTimeZone:-8:00:HH:mm}", "07:30"),
        ("${dateTimeZone:{-8:00}:HH:mm}", "07:30"),
        ("${DateTimeZone:-0800:HH:mm}", "07:30"),
        ("${dateTimeZone:America/Port-au-Prince:HH:mm}", "11:30"),
        ("${dateTimeZone:EST}", "2018-08-20T10:30:07"),
        ("${nowTimeZone:EST:HH:mm}", "11:30"),
        ("${nowTimeZone:{EST}:HH:mm}", "11:30"),
        ("${epoch}", "1534779007123"),
        ("${epoch:s}", "1534779007"),
        ("${epoch:ms}", "1534779007123"),
        ("${epoch:us}", "1534779007123456"),
        ("${milliseconds}", "1534779007123"),
    ],
)
def test_macro(macro: str, expected: str) -> None:
    """Each macro is replaced by its date, encoded for a query."""
    url = expand_macros(
        f"/orders?since={macro}&x={{1}}", last_poll=POLL, now=POLL + dt.timedelta(hours=1)
    )
    query = urllib.parse.parse_qs(url.partition("?")[2])
    assert query == {"since": [expected], "x": ["{1}"]}


def test_macros_in_a_row() -> None:
    """Several macros and the text between them stay in order."""
    text = expand_macros("a${epoch:s}b${date:yyyy}$c", last_poll=POLL, now=POLL)
    assert text == "a1534779007b2018$c"


def test_macro_default_format() -> None:
    """A macro without a format uses the caller's default."""
    text = expand_macros("${date}", last_poll=POLL, now=POLL, default_format="milliseconds")
    assert text == "1534779007123"


@pytest.mark.parametrize(
    "macro",
    ["${yesterday}", "${", "${date", "${epoch:0}", "${dateTimeZone:Nowhere:HH}",
     "${dateTimeZone}", "${dateTimeZone:{PST:HH}", "${date:YYYY}", "${}", "${milliseconds:s}"],
)  # fmt: skip
def test_macro_refuses(macro: str) -> None:
    """An unknown macro, or one with an unknown zone or format, is an error."""
    with pytest.raises(DatePatternError):
        expand_macros(macro, last_poll=POLL, now=POLL)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T21:03:50", "2026-11-23T21:03:50Z"),
        ("2026-11-23T21:03:50Z", "2026-11-23T21:03:50Z"),
        ("2026-11-23T21:03:50+01:00", "2026-11-23T20:03:50Z"),
        ("9999-12-31T23:59:59", "9998-12-31T23:59:59Z"),  # MySQL's maximum
        ("0001-01-01T00:00:00", "0002-01-01T00:00:00Z"),
    ],
)
def test_parse_store_date(text: str, expected: str) -> None:
    """A date without a zone is UTC; a date with an offset is converted to UTC."""
    date = parse_store_date(text)
    assert date is not None and date.tzinfo is dt.UTC and iso_z(date) == expected


@pytest.mark.parametrize(
    "value", [None, "", "0000-00-00T00:00:00", "yesterday", 5, "0001-01-01T00:00:00+23:00"]
)
def test_parse_store_date_of_an_invalid_value(value: object) -> None:
    """Null, WordPress' zero date and invalid texts are read as None."""
    assert parse_store_date(value) is None


def test_store_param_is_naive_utc() -> None:
    """A date parameter is naive UTC, the only form that WooCommerce compares correctly."""
    assert store_param(POLL.astimezone(NEW_YORK)) == "2018-08-20T15:30:07"


@pytest.mark.parity(36)
def test_java_date_string_of_the_captured_body() -> None:
    """A notification's createdDate has the format of Java's Date.toString."""
    assert java_date_string(POLL) == "Mon Aug 20 15:30:07 UTC 2018"
