"""The checkpoint: how many live objects each resource of an instance has, and their digest.

A receiver that keeps the version of each object computes the same two numbers, and so sees whether
it has everything.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib

import sqlalchemy as sa
from sqlalchemy import orm

from ...db.models import Object, Poller

#: Rows that are read at a time.
TOGETHER = 1_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResourceCheckpoint:
    """The live objects of one resource."""

    resource: str
    #: Number of objects.
    count: int
    #: 64 hex digits: the sum of SHA-256 of ``id:version`` of each, modulo 2**256.
    digest: str
    #: When the last complete poll began, by the store's clock; ``None`` before the first one.
    date: dt.datetime | None


def of_instance(session: orm.Session, instance_id: int) -> tuple[ResourceCheckpoint, ...]:
    """Return the checkpoint of each polled resource, in the order of their keys."""
    query = sa.select(Poller.id, Poller.resource, Poller.polled_at).where(
        Poller.instance_id == instance_id, Poller.selected
    )
    return tuple(
        _of_poller(session, *row) for row in session.execute(query.order_by(Poller.resource)).all()
    )


def _of_poller(
    session: orm.Session, poller_id: int, resource: str, date: dt.datetime | None
) -> ResourceCheckpoint:
    query = sa.select(Object.object_id, Object.version).where(
        Object.poller_id == poller_id, Object.live
    )
    count = total = 0
    for object_id, version in session.execute(query, execution_options={"yield_per": TOGETHER}):
        count += 1
        total += int.from_bytes(hashlib.sha256(f"{object_id}:{version}".encode()).digest())
    digest = f"{total % 2**256:064x}"
    return ResourceCheckpoint(resource=resource, count=count, digest=digest, date=date)
