"""Texts about stores and receivers, which may quote what these sent."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ...db.models import Connection, Instance, OperationalRecord, Poller, Subscription
from .rows import Person

#: Texts of rows that may quote a store or a callback.
_TEXTS: dict[type[t.Any], tuple[str, ...]] = {
    Instance: (
        "notices",
        "problems",
        "hooks",
        "store_facts",
        "belief",
        "connecting",
        "journal",
        "reported",
    ),
    Poller: ("memory", "error"),
    Subscription: ("reason",),
    OperationalRecord: ("record",),
}


def erase_texts(session: orm.Session, instance_id: int, person: Person) -> int:
    """Erase texts about an instance that hold a person's address; return how many were changed."""
    mine = (
        sa.select(Instance).where(Instance.id == instance_id),
        sa.select(Poller).where(Poller.instance_id == instance_id).order_by(Poller.id),
        sa.select(Subscription)
        .where(Subscription.instance_id == instance_id)
        .order_by(Subscription.id),
        sa.select(OperationalRecord)
        .where(OperationalRecord.instance_id == instance_id)
        .order_by(OperationalRecord.id),
    )
    count = 0
    for query in mine:
        locked = query.with_for_update().execution_options(populate_existing=True)
        for row in session.scalars(locked).all():
            count += _erase_columns(row, _TEXTS[type(row)], person)
    session.flush()
    return count


def erase_connections(session: orm.Session, organization_id: int, person: Person) -> int:
    """Erase errors of connections by approval; return how many were changed."""
    query = sa.select(Connection).where(Connection.organization_id == organization_id)
    rows = session.scalars(query.order_by(Connection.id).with_for_update()).all()
    return sum(_erase_columns(row, ("error",), person) for row in rows)


def _erase_columns(row: object, names: cabc.Iterable[str], person: Person) -> int:
    count = 0
    for name in names:
        value = getattr(row, name)
        left = person.persons.without_addresses(value)
        if left != value:
            count += 1
            setattr(row, name, left)
    return count
