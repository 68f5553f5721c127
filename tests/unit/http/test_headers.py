"""The ``Retry-After`` header of stores and callbacks."""

from __future__ import annotations

import datetime as dt

import pytest

from flask_woo_events.http.headers import RETRY_AFTER_CAP, retry_after

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
IN_TWO_MINUTES = "Mon, 23 Nov 2026 12:02:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": " 90 "}, 90),
        ({"Retry-After": "9" * 30}, RETRY_AFTER_CAP),
        ({"Retry-After": IN_TWO_MINUTES}, 120),
        ({"Retry-After": IN_TWO_MINUTES, "Date": "Mon, 23 Nov 2026 12:01:00 GMT"}, 60),
        ({"Retry-After": IN_TWO_MINUTES, "Date": "Mon, 23 Nov 2026 12:05:00 GMT"}, 0),
        ({"Retry-After": IN_TWO_MINUTES, "Date": "now"}, 120),
        ({"Retry-After": "later"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """The value is seconds, or a date, which is compared with the response's own date."""
    assert retry_after(headers, NOW) == seconds
