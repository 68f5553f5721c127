"""Operational events: what stops a stream, and its end, recorded in the transaction of its cause.

A record is one row, inserted without a lock, so that any transaction can write it. A worker makes
notifications of the rows afterwards (``operational_outbox.py``). What begins is recorded once, and
its end once: by the change of state that both are, or by what the instance's row keeps of begins.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.database import Work, announce
from ..db.models import Instance, OperationalRecord
from ..values.dates import iso_z
from ..values.operational_kinds import KINDS


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """Something that began, ended or happened once."""

    #: A name of ``KINDS``.
    kind: str
    #: Without secrets and without data of the shop.
    text: str
    #: What distinguishes several of a kind in one instance: the number of a row.
    number: int | None = None
    resource: str | None = None
    #: The subscription that it is about, which does not get it.
    subscription_id: int | None = None
    #: What is late or missing while it lasts, what ends it, and a command that helps.
    costs: str = ""
    ends: str = ""
    command: str = ""
    #: Since when; ``None``: since it is recorded. An end has the date of its begin.
    since: dt.datetime | None = None
    #: Other members of the record.
    more: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)

    @property
    def subject(self) -> str:
        """What the begin and its end have in common, the ``objectId``."""
        begin = KINDS[self.kind].ends or self.kind
        return begin if self.number is None else f"{begin}/{self.number}"

    def _record(self) -> dict[str, t.Any]:
        members = {
            "resource": self.resource,
            "subscriptionId": self.subscription_id,
            "text": self.text,
            "costs": self.costs,
            "ends": self.ends,
            "command": self.command,
            "since": None if self.since is None else iso_z(self.since),
        }
        found = {name: value for name, value in members.items() if value not in (None, "")}
        return found | dict(self.more)

    def row(self, instance_id: int, now: dt.datetime) -> dict[str, t.Any]:
        """Return the columns of its row."""
        return {
            "instance_id": instance_id,
            "kind": self.kind,
            "subject": self.subject,
            "subscription_id": self.subscription_id,
            "record": self._record(),
            "created_at": now,
        }


_INSERT = sa.insert(t.cast("sa.Table", OperationalRecord.__table__))


def record(session: orm.Session, instance_id: int, what: Occurrence, now: dt.datetime) -> None:
    """Record an operational event in the caller's transaction, whose commit wakes a worker."""
    session.execute(_INSERT, [what.row(instance_id, now)])
    announce(session, Work.OPERATIONAL)


def record_with(
    connection: sa.Connection, instance_id: int, what: Occurrence, now: dt.datetime
) -> None:
    """Record an operational event where there is no session; the caller notifies the database."""
    connection.execute(_INSERT, [what.row(instance_id, now)])


def begin(session: orm.Session, instance: Instance, what: Occurrence, now: dt.datetime) -> bool:
    """Record what begins for an instance, whose row is locked, unless it has begun already."""
    reported = instance.reported or {}
    if what.kind in reported:
        return False
    instance.reported = {**reported, what.kind: now.isoformat()}
    record(session, instance.id, what, now)
    return True


def end(session: orm.Session, instance: Instance, what: Occurrence, now: dt.datetime) -> bool:
    """Record the end of what began for an instance, whose row is locked, if it was recorded."""
    reported = dict(instance.reported or {})
    if reported.pop(KINDS[what.kind].ends, None) is None:
        return False
    instance.reported = reported or None
    record(session, instance.id, what, now)
    return True


def has_begun(instance: Instance, kind: str) -> bool:
    """Return whether something was recorded for an instance and has not ended."""
    return kind in (instance.reported or {})
