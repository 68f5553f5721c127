"""Header fields of HTTP responses that stores and callbacks send."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import email.utils

from ..values.dates import in_calendar

#: The longest wait that a ``Retry-After`` can ask for, seconds: six hours.
RETRY_AFTER_CAP = 6 * 3600.0


def http_date(text: str) -> dt.datetime | None:
    """Parse a date of HTTP as aware UTC; return ``None`` when it is none."""
    try:
        date = email.utils.parsedate_to_datetime(text)
        utc = (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return in_calendar(utc)


def retry_after(headers: cabc.Mapping[str, str], now: dt.datetime | None = None) -> float | None:
    """Return the seconds of a ``Retry-After`` header, at most six hours (RFC 9110, 10.2.3).

    A date is taken relative to the response's own ``Date``: only the server's clock can be meant.

    :param now: what a date is relative to in a response without ``Date``; by default the time of
        this machine.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_CAP)
    if (until := http_date(text)) is None:
        return None
    sent = http_date(headers.get("Date", "")) or now or dt.datetime.now(dt.UTC)
    return min(max((until - sent).total_seconds(), 0.0), RETRY_AFTER_CAP)
