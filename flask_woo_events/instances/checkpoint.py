"""Checkpoints: what a consumer must have of each resource, as a count and a digest."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Object, Poller
from ..db.states import PollerState
from . import pollers

#: Digests are added modulo this number, so that the order of the objects does not count.
MODULUS = 2**256
#: Rows of the ledger in memory at a time.
_AT_ONCE = 5_000
_LIVE = sa.select(Object.object_id, Object.version).where(
    Object.poller_id == sa.bindparam("poller_id"), Object.live
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResourceCheckpoint:
    """The live objects of one resource, as its ledger has them."""

    resource: str
    #: Number of live objects.
    count: int
    #: Sum of the fingerprints of the live objects modulo 2**256, 64 hexadecimal digits.
    digest: str
    #: The greatest modified date of an object; ``None`` if the objects have no dates.
    date: dt.datetime | None
    #: When the last complete poll began, by the store's clock; ``None``: the resource has not
    #: been read to its end yet.
    poll_date: dt.datetime | None


def fingerprint(object_id: str, version: int) -> bytes:
    """Return the SHA-256 digest that identifies the content of an object, 32 bytes.

    An object has one content for each version, whatever happens to the database. The ledger's own
    digests are not fit to show: they change without a new version when a store is upgraded.
    """
    return hashlib.sha256(f"{object_id}:{version}".encode()).digest()


def of_instance(session: orm.Session, instance_id: int) -> tuple[ResourceCheckpoint, ...]:
    """Return the checkpoint of each resource that an instance polls, in their order.

    Costs about 0.4 seconds for 100,000 objects.
    """
    selected = [one for one in pollers.of_instance(session, instance_id) if one.selected]
    return tuple(_of_poller(session, one) for one in selected)


def _of_poller(session: orm.Session, poller: Poller) -> ResourceCheckpoint:
    count = total = 0
    query = _LIVE.execution_options(yield_per=_AT_ONCE)
    for object_id, version in session.execute(query, {"poller_id": poller.id}):
        count += 1
        total += int.from_bytes(fingerprint(object_id, version))
    return ResourceCheckpoint(
        resource=poller.resource,
        count=count,
        digest=f"{total % MODULUS:064x}",
        date=poller.cursor_at,
        poll_date=poll_date_of(poller),
    )


def poll_date_of(poller: Poller) -> dt.datetime | None:
    """Return when the last poll began that read a resource to its end, by the store's clock."""
    if poller.state == PollerState.BASELINE:
        return None
    # The poll that ends the baseline of some resources does not set the other date.
    ended = poller.state == PollerState.ACTIVE
    return poller.polled_at or (poller.baseline_at if ended else None)
