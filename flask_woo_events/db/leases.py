"""Leases: which worker holds an instance, its webhooks or a delivery, and for how long."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import logging
import threading
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..errors import LeaseLostError
from .database import Database
from .models import Instance

_log = logging.getLogger(__name__)
#: Pause after a renewal that the database refused, seconds.
RETRY_AFTER = 1.0


# Built once and without the mapper, because it runs with every batch.
_RENEW = (
    sa.update(Instance.__table__)  # type: ignore[arg-type]
    .where(
        Instance.__table__.c.id == sa.bindparam("instance_id"),
        Instance.__table__.c.lease_fence == sa.bindparam("fence"),
    )
    .values(lease_until=sa.bindparam("until"))
)


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceLease:
    """The right to poll one instance."""

    instance_id: int
    #: Each claim increments it; a writer must hold the number in the row.
    fence: int
    #: When all resources were due as it was claimed; another time in the row is a new request.
    regular_poll_at: dt.datetime | None = None

    @property
    def extra(self) -> dict[str, object]:
        """Fields for log records."""
        return {"instance": self.instance_id}

    def renew(self, session: orm.Session, until: dt.datetime) -> None:
        """Renew the lease; in the transaction of a batch this is also its fence.

        :raises LeaseLostError: another worker has claimed the instance.
        """
        kept = session.execute(
            _RENEW, {"instance_id": self.instance_id, "fence": self.fence, "until": until}
        )
        if _rows(kept) != 1:
            raise LeaseLostError(
                f"instance {self.instance_id} was changed, or taken over by another worker"
            )

    def release(
        self,
        session: orm.Session,
        next_poll_at: dt.datetime | None,
        regular_poll_at: dt.datetime | None,
    ) -> None:
        """Release the instance and set when it is due again.

        An instance that was paused meanwhile stays paused; one that was changed stays due.

        :param next_poll_at: ``None`` to leave the due time as it is.
        :param regular_poll_at: when all of its resources are due, not only failed ones.
        """
        held = sa.update(Instance).where(
            Instance.id == self.instance_id, Instance.lease_fence == self.fence
        )
        held = held.execution_options(synchronize_session=False)
        session.execute(held.values(lease_until=None))
        if next_poll_at is not None:
            # Not in the condition: MariaDB would lock rows of other instances to look for it.
            paused = Instance.next_poll_at.is_(None)
            session.execute(
                held.values(
                    next_poll_at=_unless(paused, next_poll_at),
                    regular_poll_at=_unless(paused, regular_poll_at),
                )
            )


class GuardLease:
    """The right to check and repair the webhooks of one instance.

    :param until: the time in its ``hooks_due_at``; if another time is there, the lease is lost.
    """

    def __init__(self, instance_id: int, until: dt.datetime) -> None:
        self._instance_id = instance_id
        self._until = until

    @property
    def extra(self) -> dict[str, object]:
        """Fields for log records."""
        return {"instance": self._instance_id}

    def renew(self, session: orm.Session, until: dt.datetime) -> None:
        """Renew the lease.

        :raises LeaseLostError: another process has changed the due time.
        """
        kept = session.execute(
            sa.update(Instance)
            .where(Instance.id == self._instance_id, Instance.hooks_due_at == self._until)
            .values(hooks_due_at=until)
            .execution_options(synchronize_session=False)
        )
        if _rows(kept) != 1:
            raise LeaseLostError(f"the webhooks of instance {self._instance_id} are due again")
        self._until = until


class Lease(t.Protocol):
    """A lease that :class:`LeaseRenewer` can renew."""

    @property
    def extra(self) -> dict[str, object]: ...

    def renew(self, session: orm.Session, until: dt.datetime) -> None: ...


def is_free(
    lease_until: orm.InstrumentedAttribute[dt.datetime | None],
    now: dt.datetime | sa.BindParameter[dt.datetime],
) -> sa.ColumnElement[bool]:
    """Return the condition that no worker holds a row.

    :param lease_until: the column with the end of its lease.
    """
    return sa.or_(lease_until.is_(None), lease_until < now)


def is_enabled() -> sa.ColumnElement[bool]:
    """Return the condition that requests may go to an instance's store."""
    return sa.and_(Instance.events_enabled, sa.not_(Instance.disabled))


def claim_instance(
    session: orm.Session, instance_id: int, now: dt.datetime, length: dt.timedelta
) -> InstanceLease | None:
    """Claim an instance; return ``None`` if another worker holds it, or if it is not polled."""
    fence = session.scalars(
        sa.select(Instance.lease_fence).where(Instance.id == instance_id)
    ).one_or_none()
    if fence is None:
        return None
    taken = session.execute(
        sa.update(Instance)
        .where(
            Instance.id == instance_id,
            Instance.lease_fence == fence,
            is_free(Instance.lease_until, now),
            is_enabled(),
        )
        .values(lease_fence=fence + 1, lease_until=now + length)
        .execution_options(synchronize_session=False)
    )
    if _rows(taken) != 1:
        return None
    # After the update, which locked the row.
    regular = session.scalars(
        sa.select(Instance.regular_poll_at).where(Instance.id == instance_id)
    ).one()
    return InstanceLease(instance_id, fence + 1, regular)


def _unless(
    condition: sa.ColumnElement[bool], date: dt.datetime | None
) -> sa.ColumnElement[dt.datetime | None]:
    return sa.case((condition, None), else_=sa.literal(date, Instance.next_poll_at.type))


def _rows(result: sa.Result[t.Any]) -> int:
    return t.cast("sa.CursorResult[t.Any]", result).rowcount


class LeaseRenewer:
    """A thread that renews the leases of running work.

    A killed or stopped process does not renew, so other workers take over when its leases end.

    :param length: length of a lease; it is renewed three times in that time.
    """

    def __init__(
        self,
        database: Database,
        clock: cabc.Callable[[], dt.datetime],
        length: dt.timedelta,
    ) -> None:
        self._database = database
        self._clock = clock
        self.length = length
        self._held: set[Lease] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def until(self) -> dt.datetime:
        """Return the end of a lease that is claimed or renewed now."""
        return self._clock() + self.length

    @contextlib.contextmanager
    def hold(self, lease: Lease) -> cabc.Iterator[None]:
        """Renew a lease while the block runs."""
        self.add(lease)
        try:
            yield
        finally:
            self.remove(lease)

    def add(self, lease: Lease) -> None:
        """Renew a lease until :meth:`remove`."""
        with self._lock:
            self._held.add(lease)

    def remove(self, lease: Lease) -> None:
        """Stop renewing a lease."""
        with self._lock:
            self._held.discard(lease)

    def __enter__(self) -> LeaseRenewer:
        self._thread = threading.Thread(target=self._run, name="woo-leases", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        regular = self.length.total_seconds() / 3
        pause = regular
        while not self._stopped.wait(pause):
            with self._lock:
                held = list(self._held)
            pause = regular
            for lease in held:
                try:
                    with self._database.write() as session:
                        lease.renew(session, self.until())
                except LeaseLostError:
                    pass  # The holder gets the error when it next writes.
                except sa.exc.SQLAlchemyError:
                    extra = {"action": "renew", **lease.extra}
                    _log.warning("a lease could not be renewed", exc_info=True, extra=extra)
                    pause = min(regular, RETRY_AFTER)
