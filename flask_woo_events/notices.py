"""Notices: what a person should know of an instance's store."""

from __future__ import annotations

import datetime as dt

from .models import Instance

#: Notices that an instance keeps.
KEPT = 20


def add(instance: Instance, kind: str, text: str, now: dt.datetime) -> None:
    """Add a notice to an instance's row; the oldest make room."""
    notice = {"date": now.isoformat(timespec="seconds"), "kind": kind, "text": text}
    instance.notices = [*instance.notices, notice][-KEPT:]
