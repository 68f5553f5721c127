"""Erasure: a person is removed from all rows of an organization, part by part.

The suppression is committed first: from then on nothing of the person is recorded. Each part is a
transaction of its own that ends with the position of the next one, so that an erasure that was
stopped goes on where it stopped, when it is asked for again.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ...db import presence
from ...db.models import Erasure, Organization
from ...errors import ConflictError
from ...instances import privacy
from ...runtime import Runtime
from ...values.persons import checked_address
from .rows import person_of
from .run import ErasureRun

#: The migration since which workers know erased persons.
_KNOWN_SINCE = "0016"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ErasureResult:
    """What an erasure has done so far."""

    #: ``None`` for a dry run.
    id: int | None
    #: Whether nothing is left to do; otherwise it has to be asked for again.
    complete: bool
    #: Rows that were changed, or would be, see ``run.COUNTS``.
    counts: dict[str, int]


def erase(
    runtime: Runtime,
    organization_id: int,
    email: str,
    asked_by: str,
    *,
    progress: cabc.Callable[[int], object] = lambda rows: None,
    stopped: cabc.Callable[[], bool] = lambda: False,
) -> ErasureResult:
    """Erase a person, and store nothing of them from now on.

    :param email: the person's address, in any case.
    :param asked_by: for the record.
    :param progress: called with the number of rows that were read since the last call.
    :param stopped: called between two parts; true ends the erasure until it is asked for again.
    :raises InputError: the address is none.
    :raises ConflictError: a worker of an earlier release runs, which would write the person back.
    :raises ConfigurationError: no encryption key is configured.
    """
    address, now = checked_address(email), runtime.clock()
    with runtime.database.write() as session:
        if older := presence.older(session, _KNOWN_SINCE, now):
            raise ConflictError(
                "a worker of an earlier release runs, which would write the person back: "
                f"{', '.join(older)}; restart it with this release first"
            )
        keyed = privacy.keyed_hash(session, runtime.cipher, organization_id)
        address_hash = keyed.of(address)
        suppression = privacy.suppress(session, organization_id, address_hash, now)
        row = _begun(session, organization_id, address_hash, asked_by, now)
        customers = {int(one): set(ids) for one, ids in suppression.customers.items()}
        number, suppression_id, position = row.id, suppression.id, row.position
        counts = t.cast("dict[str, int]", row.counts)
    person = person_of(address, keyed)
    run = ErasureRun(runtime, organization_id, person, number, progress)
    run.resume(counts, suppression_id, customers)
    complete = run.go(position, stopped)
    return ErasureResult(id=number, complete=complete, counts=run.counts)


def search(
    runtime: Runtime,
    organization_id: int,
    email: str,
    *,
    progress: cabc.Callable[[int], object] = lambda rows: None,
    stopped: cabc.Callable[[], bool] = lambda: False,
) -> ErasureResult:
    """Count what an erasure would change, and change nothing.

    :raises InputError: the address is none.
    """
    address = checked_address(email)
    with runtime.database.read() as session:
        keyed = privacy.hash_for_search(session, runtime.cipher, organization_id)
    run = ErasureRun(runtime, organization_id, person_of(address, keyed), None, progress)
    complete = run.go({}, stopped)
    return ErasureResult(id=None, complete=complete, counts=run.counts)


def lift(runtime: Runtime, organization_id: int, email: str, asked_by: str) -> None:
    """End the suppression of a person, whose data is then recorded again.

    :raises InputError: the address is none.
    :raises NotFoundError: the person is not suppressed.
    """
    address = checked_address(email)
    with runtime.database.write() as session:
        keyed = privacy.hash_for_search(session, runtime.cipher, organization_id)
        now = runtime.clock()
        privacy.lift(session, organization_id, keyed.of(address), asked_by, now)


def lift_by_id(runtime: Runtime, organization_id: int, erasure_id: int, asked_by: str) -> None:
    """End the suppression of the person of an erasure.

    :raises NotFoundError: the organization has no such erasure, or it was lifted.
    """
    with runtime.database.write() as session:
        address_hash = session.scalar(
            sa.select(Erasure.address_hash).where(
                Erasure.id == erasure_id, Erasure.organization_id == organization_id
            )
        )
        privacy.lift(session, organization_id, address_hash or "", asked_by, runtime.clock())


def recorded(session: orm.Session, organization_id: int, most: int) -> list[Erasure]:
    """Return the latest erasures of an organization, the newest first."""
    query = sa.select(Erasure).where(Erasure.organization_id == organization_id)
    return list(session.scalars(query.order_by(Erasure.id.desc()).limit(most)))


def organization_named(session: orm.Session, name: str | None) -> int | None:
    """Return an organization by its name, or the only one; ``None`` if that is not clear."""
    query = sa.select(Organization.id).order_by(Organization.id).limit(2)
    if name is not None:
        query = query.where(Organization.name == name)
    found = session.scalars(query).all()
    return found[0] if len(found) == 1 else None


def _begun(
    session: orm.Session, organization_id: int, address_hash: str, asked_by: str, now: dt.datetime
) -> Erasure:
    """Return the erasure to go on with: one that was stopped, or a new one."""
    row = session.scalars(
        sa.select(Erasure)
        .where(
            Erasure.organization_id == organization_id, Erasure.address_hash == address_hash,
            Erasure.action == privacy.ERASE, Erasure.ended_at.is_(None),
        )
        .limit(1)
    ).one_or_none()  # fmt: skip
    if row is None:
        row = Erasure(
            organization_id=organization_id, action=privacy.ERASE, address_hash=address_hash,
            asked_by=asked_by, began_at=now, counts={}, position={},
        )  # fmt: skip
        session.add(row)
        session.flush()
    return row
