"""Formatting of dates, numbers, texts and icons, and the message on the next page."""

from __future__ import annotations

import datetime as dt
import functools
import importlib.resources
import re
import typing as t
import urllib.parse

import flask
import markupsafe
import orjson

from ..errors import InputError
from ..runtime import current_runtime
from ..values.dates import parse_iso
from ..values.wording import counted
from . import access, session, svg

#: Characters shown of one value; the JSON has all of it.
VALUE_SHOWN = 300
#: Characters shown of an object, and of one text in it; the download has all of it.
BODY_SHOWN, TEXT_SHOWN = 200_000, 2_000
#: Key of the session for the message on the next page, and how many of its characters are kept.
_FLASH, FLASH_KEPT = "flash", 300
#: Characters that change the direction of the text after them, replaced by their escapes.
_BIDIRECTIONAL = {
    code: f"\\u{code:04x}"
    for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def register(blueprint: flask.Blueprint) -> None:
    """Add these functions to the templates of the console, not to those of the host."""
    functions = {
        "ago": ago,
        "breakable": breakable,
        "brief": brief,
        "counted": counted,
        "csrf_token": access.token,
        "duration": duration,
        "flashed": flashed,
        "icon": icon,
        "number": number,
        "pretty": pretty,
        "receiver_address": receiver_address,
        "svg": svg,
        "value": value,
        "when": when,
    }
    blueprint.context_processor(lambda: {**functions, "visitor": flask.g.get("woo_visitor")})


def date(text: str) -> dt.datetime | None:
    """Parse a date; without an offset it is UTC. Return ``None`` if the text is empty.

    :raises InputError: the text is not a date.
    """
    if not text.strip():
        return None
    try:
        return parse_iso(text.strip())
    except ValueError as exc:
        raise InputError(f"{text[:50]!r} is not a date; use the format 2026-11-24 20:15") from exc


def flash(text: str) -> None:
    """Show a message on the next page."""
    session.current().set(_FLASH, text[:FLASH_KEPT])


def flashed() -> str:
    """Return the message of the previous page, once."""
    return str(session.current().pop(_FLASH) or "")


def when(date: dt.datetime | None, empty: str = "never") -> markupsafe.Markup:
    """Return the time relative to now as HTML, with the exact date in its title."""
    if date is None:
        return markupsafe.escape(empty)
    exact = f"{date:%Y-%m-%d %H:%M:%S} UTC"
    return markupsafe.Markup('<time datetime="{}" title="{}">{}</time>').format(
        date.isoformat(timespec="seconds"), exact, ago(date)
    )


def ago(date: dt.datetime) -> str:
    """Return the time relative to now: ``3 min ago`` or ``in 3 min``."""
    seconds = (current_runtime().clock() - date).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(-seconds)}"


def duration(seconds: float) -> str:
    """Return a duration in its largest unit: ``250 ms``, ``3.2 s``, ``12 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "0 s"


def number(count: float) -> str:
    """Return a number with separators: ``12,345``."""
    return f"{count:,.0f}"


def receiver_address(url: str) -> str:
    """Return the host and the path of a callback; its query may hold secrets."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return url.partition("?")[0]
    return f"{parts.netloc}{parts.path.rstrip('/')}"


def breakable(address: str) -> markupsafe.Markup:
    """Return an address as HTML that is broken before a slash if its place is narrow."""
    return markupsafe.Markup("<wbr>/").join(address.split("/"))


def brief(text: str, most: int = VALUE_SHOWN) -> str:
    """Shorten a text that is longer than its place."""
    return text if len(text) <= most else f"{text[:most].rstrip()}…"


def value(any_value: t.Any) -> str:
    """Return a value of an object as a short text."""
    text = any_value if isinstance(any_value, str) else orjson.dumps(any_value).decode()
    more = len(text) - VALUE_SHOWN
    shown = text if more <= 0 else f"{text[:VALUE_SHOWN]}… ({more:,} more characters)"
    return f'"{shown}"' if isinstance(any_value, str) else shown


def pretty(body: t.Any, most: int = BODY_SHOWN) -> str:
    """Return an object as indented JSON, with very long texts shortened.

    :param most: characters shown.
    """
    text = orjson.dumps(_shortened(body), option=orjson.OPT_INDENT_2).decode()
    text = text.translate(_BIDIRECTIONAL)
    if len(text) <= most:
        return text
    return f"{text[:most]}\n… {len(text) - most:,} more characters"


def _shortened(body: t.Any) -> t.Any:
    if isinstance(body, str) and len(body) > TEXT_SHOWN:
        return f"{body[:TEXT_SHOWN]}… ({len(body) - TEXT_SHOWN:,} more characters)"
    if isinstance(body, dict):
        return {_shortened(name): _shortened(one) for name, one in body.items()}
    if isinstance(body, list):
        return [_shortened(one) for one in body]
    return body


@functools.cache
def _icons() -> dict[str, str]:
    sprite = importlib.resources.files("flask_bootstrap").joinpath(
        "static/bootstrap5/icons/bootstrap-icons.svg"
    )
    symbols = re.findall(
        r'<symbol[^>]* id="([\w-]+)"[^>]*>(.*?)</symbol>', sprite.read_text("utf-8"), re.DOTALL
    )
    return dict(symbols)


@functools.cache
def icon(name: str) -> markupsafe.Markup:
    """Return one of Bootstrap's icons as SVG, hidden from screen readers."""
    return markupsafe.Markup(
        '<svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="currentColor" '
        'aria-hidden="true" focusable="false">'
        f"{_icons()[name]}</svg>"
    )
