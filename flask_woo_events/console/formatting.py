"""How dates, numbers and texts are shown, and the icons beside them."""

from __future__ import annotations

import datetime as dt
import functools
import importlib.resources
import re
import typing as t

import flask
import markupsafe
import orjson

from ..errors import InputError
from ..runtime import current_runtime
from ..values.dates import parse_iso
from . import access, svg

#: Characters of one value that are shown; the whole is in the JSON.
VALUE_SHOWN = 300
#: Of an object, and of one text in it, so that what follows is seen; the whole can be downloaded.
BODY_SHOWN, TEXT_SHOWN = 200_000, 2_000
#: Characters that turn the direction of what follows, shown by their numbers.
_TURNING = {
    code: f"\\u{code:04x}"
    for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def register(blueprint: flask.Blueprint) -> None:
    """Give the templates these functions, and no other templates of the host."""
    functions = {
        "ago": ago,
        "brief": brief,
        "csrf_token": access.token,
        "duration": duration,
        "icon": icon,
        "number": number,
        "pretty": pretty,
        "svg": svg,
        "told": told,
        "value": value,
        "when": when,
    }
    blueprint.context_processor(lambda: {**functions, "person": flask.g.get("woo_person")})


def date(text: str) -> dt.datetime | None:
    """A date that somebody typed, UTC unless it says otherwise.

    :raises InputError: it is none.
    """
    if not text.strip():
        return None
    try:
        return parse_iso(text.strip())
    except ValueError as exc:
        raise InputError(f"{text[:50]!r} is not a date; write 2026-11-24 20:15") from exc


def tell(text: str) -> None:
    """Say something on the next page."""
    flask.session["woo_console_told"] = text[:500]


def told() -> str:
    """What the page before had to say."""
    return str(flask.session.pop("woo_console_told", ""))


def when(date: dt.datetime | None, empty: str = "never") -> markupsafe.Markup:
    """How long ago, or in how long; the exact date is in its title."""
    if date is None:
        return markupsafe.escape(empty)
    exact = f"{date:%Y-%m-%d %H:%M:%S} UTC"
    return markupsafe.Markup('<time datetime="{}" title="{}">{}</time>').format(
        date.isoformat(timespec="seconds"), exact, ago(date)
    )


def ago(date: dt.datetime) -> str:
    """``3 min ago`` or ``in 3 min``."""
    seconds = (current_runtime().clock() - date).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(-seconds)}"


def duration(seconds: float) -> str:
    """``250 ms``, ``3.2 s``, ``12 min``: in the greatest unit that fits."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "0 s"


def number(count: float) -> str:
    """``12,345``."""
    return f"{count:,.0f}"


def brief(text: str, most: int = VALUE_SHOWN) -> str:
    """A text, cut where it is too long for its place."""
    return text if len(text) <= most else f"{text[:most].rstrip()}…"


def value(any_value: t.Any) -> str:
    """A value of an object as it is shown beside others."""
    text = any_value if isinstance(any_value, str) else orjson.dumps(any_value).decode()
    more = len(text) - VALUE_SHOWN
    shown = text if more <= 0 else f"{text[:VALUE_SHOWN]}… ({more:,} characters more)"
    return f'"{shown}"' if isinstance(any_value, str) else shown


def pretty(body: t.Any) -> str:
    """An object as indented JSON, with the beginnings of very long texts in it."""
    text = orjson.dumps(_shortened(body), option=orjson.OPT_INDENT_2).decode()
    text = text.translate(_TURNING)
    if len(text) <= BODY_SHOWN:
        return text
    return f"{text[:BODY_SHOWN]}\n… {len(text) - BODY_SHOWN:,} characters more"


def _shortened(body: t.Any) -> t.Any:
    if isinstance(body, str) and len(body) > TEXT_SHOWN:
        return f"{body[:TEXT_SHOWN]}… ({len(body) - TEXT_SHOWN:,} characters more)"
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
    """One of Bootstrap's icons, for the eye alone: what it means stands beside it."""
    return markupsafe.Markup(
        '<svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="currentColor" '
        'aria-hidden="true" focusable="false">'
        f"{_icons()[name]}</svg>"
    )
