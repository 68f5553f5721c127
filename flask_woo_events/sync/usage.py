"""Usage: requests, time and failures of each instance, counted by the hour."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Usage
from .report import PollReport


def add(
    session: orm.Session, instance_id: int, reports: cabc.Sequence[PollReport], now: dt.datetime
) -> None:
    """Count one run of an instance, whose row is locked, so no other worker counts now."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    counted = {
        "turns": 1,
        "requests": sum(report.requests for report in reports),
        "seconds": sum(report.seconds for report in reports),
        "failures": sum(report.error is not None for report in reports),
    }
    more = {name: getattr(Usage, name) + value for name, value in counted.items()}
    updated = session.execute(
        sa.update(Usage)
        .where(Usage.instance_id == instance_id, Usage.hour == hour)
        .values(**more)
        .execution_options(synchronize_session=False)
    )
    if t.cast("sa.CursorResult[t.Any]", updated).rowcount == 0:
        session.execute(sa.insert(Usage).values(instance_id=instance_id, hour=hour, **counted))
