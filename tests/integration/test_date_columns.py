"""Dates in columns: what is written is what SQLAlchemy itself writes and reads."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from flask_woo_events.db.base import UtcDateTime
from tests.examples import examples

_OURS = UtcDateTime().bind_processor(sqlite.dialect())
_GENERIC = sa.DateTime().dialect_impl(sqlite.dialect()).bind_processor(sqlite.dialect())
_ZONES = st.timezones() | st.builds(
    lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)), st.integers(-1439, 1439)
)


@settings(deadline=None, max_examples=examples(100))
@given(st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29), timezones=_ZONES))
def test_dates_are_written_as_before(value: dt.datetime) -> None:
    """Rows of earlier releases compare with new ones as text."""
    assert _GENERIC is not None
    assert _OURS(value) == _GENERIC(value.astimezone(dt.UTC).replace(tzinfo=None))


def test_naive_dates_are_refused() -> None:
    """Nobody would know their zone."""
    assert _OURS(None) is None
    with pytest.raises(ValueError, match="aware"):
        _OURS(dt.datetime(2026, 1, 1))
