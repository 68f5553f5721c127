"""Notices: what a person should know of an instance's store."""

from __future__ import annotations

import datetime as dt
import typing as t

from ..db.models import Instance

#: Notices that an instance keeps.
KEPT = 20


def add(instance: Instance, kind: str, text: str, now: dt.datetime) -> None:
    """Add a notice to an instance's row; the oldest make room.

    One that says the same as the last is counted with it, at the later date.
    """
    notice: dict[str, t.Any] = {"date": now.isoformat(timespec="seconds"), "kind": kind}
    notice["text"] = text
    before = list(instance.notices)
    if before and (before[-1]["kind"], before[-1]["text"]) == (kind, text):
        notice["count"] = before.pop().get("count", 1) + 1
    instance.notices = [*before, notice][-KEPT:]
