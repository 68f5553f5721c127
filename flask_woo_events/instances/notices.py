"""Notices: what an operator should know about an instance's store."""

from __future__ import annotations

import datetime as dt
import typing as t

from ..db.models import Instance

#: Most notices per instance.
KEPT = 20


def add(instance: Instance, kind: str, text: str, now: dt.datetime) -> None:
    """Add a notice to an instance, and drop the oldest above the limit.

    A repetition of the last notice increments its count and updates its date.
    """
    notice: dict[str, t.Any] = {"date": now.isoformat(timespec="seconds"), "kind": kind}
    notice["text"] = text
    before = list(instance.notices)
    if before and (before[-1]["kind"], before[-1]["text"]) == (kind, text):
        notice["count"] = before.pop().get("count", 1) + 1
    instance.notices = [*before, notice][-KEPT:]
