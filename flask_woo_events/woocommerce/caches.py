"""Caches before a store: the signs that an answer is older than its request."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import re

from ..values.validation import whole_number

#: How far the store's ``Date`` may fall behind the earlier answers of a client: the servers of
#: one store have clocks that differ.
TOLERANCE = dt.timedelta(seconds=10)
#: How long different requests may get the same ``Date``, seconds.
STANDING = 30.0
#: X-Cache, X-LiteSpeed-Cache, CF-Cache-Status, X-Proxy-Cache, X-WC-Cache and others; not those of
#: an object cache, which WordPress keeps up to date.
_NAMES = re.compile(r"(?:x-(?!object-|db-)(?:[a-z0-9-]+-)?cache(?:-status)?|cf-cache-status)\Z")
_HIT = re.compile(r"\b(?:tcp_)?(?:hit|stale|updating)\b", re.IGNORECASE)


def sign_of(headers: cabc.Mapping[str, str]) -> str:
    """Return which header says that a cache answered; empty if none does."""
    if age := whole_number(headers.get("Age", "").strip()):
        return f"Age is {age} seconds"
    for name, value in headers.items():
        if _NAMES.match(name.lower()) and _HIT.search(value):
            return f"{name} is {value}"
    # Varnish adds the request that filled its cache.
    if len(headers.get("X-Varnish", "").split()) > 1:
        return "X-Varnish names two requests"
    return ""


class Dates:
    """Compares the ``Date`` of the answers of one client."""

    def __init__(self) -> None:
        self._latest: dt.datetime | None = None
        #: When the latest date was first seen, seconds.
        self._since = 0.0

    def sign(self, date: dt.datetime | None, sent_at: float, now: float) -> str:
        """Return what is wrong about a date; empty if nothing is.

        :param sent_at: when the request was sent, monotonic seconds.
        :param now: when the answer was there.
        """
        if date is None:
            return ""
        if self._latest is None or date > self._latest:
            self._latest, self._since = date, now
            return ""
        if date < self._latest - TOLERANCE:
            return "Date is earlier than in an answer before"
        if date == self._latest and sent_at - self._since > STANDING:
            return f"Date is the same for {sent_at - self._since:.0f} seconds"
        return ""
