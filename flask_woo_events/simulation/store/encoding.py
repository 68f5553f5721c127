"""JSON, money and texts in the format of WordPress."""

from __future__ import annotations

import decimal
import html
import json
import re
import typing as t
import unicodedata

import orjson

Json = dict[str, t.Any]

_CENT = decimal.Decimal("0.01")
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def encode(value: t.Any) -> bytes:
    """Encode as PHP does: in ASCII, with escaped slashes."""
    fast = orjson.dumps(value)
    if not fast.isascii():
        fast = _encode(value).encode("ascii")
    return fast.replace(b"/", b"\\/")


def number(value: t.Any) -> decimal.Decimal:
    """Read a number that a client sent; return zero for anything else."""
    try:
        read = decimal.Decimal(str(value if value not in (None, "") else "0"))
    except decimal.InvalidOperation:
        return decimal.Decimal(0)
    return read if read.is_finite() else decimal.Decimal(0)


def money(value: t.Any) -> str:
    """Format an amount with two decimals."""
    return str(number(value).quantize(_CENT, decimal.ROUND_HALF_UP))


def json_number(value: decimal.Decimal) -> int | float:
    """Return a JSON number, without a decimal point where none is needed."""
    return int(value) if value == value.to_integral_value() else float(value)


def title(text: str) -> str:
    """Clean a title as WordPress stores it: single ampersands become entities."""
    return re.sub(r"&(?!#?\w+;)", "&amp;", text)


def slug(text: str) -> str:
    """Make a slug: without accents and punctuation, with hyphens between words."""
    bare = re.sub(r"<[^>]*>", "", html.unescape(text))
    plain = unicodedata.normalize("NFKD", bare).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", plain).strip("-")


def text(value: t.Any) -> str:
    """Read a text parameter; null is an empty text."""
    return str(value or "")


def boolean(value: t.Any) -> bool:
    """Read a boolean parameter: ``true``, ``1``, ``yes`` and ``on`` are true."""
    return value is True or str(value).lower() in ("true", "1", "yes", "on")
