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
from sqlalchemy import event, orm

from ..errors import LeaseLostError
from . import limits
from .database import Database, is_locked
from .models import Instance

_log = logging.getLogger(__name__)
#: Pause after a renewal that the database refused, seconds.
RETRY_AFTER = 1.0
#: How long a renewal waits for a row that another transaction has locked, seconds. The others of
#: the process must not wait with it, and a batch that locks the row renews the lease itself.
LOCKED_WITHIN = 1


#: Returns the end of a lease that is claimed or renewed now; called once its row is locked.
Until = cabc.Callable[[], dt.datetime]

_INSTANCE = t.cast("sa.Table", Instance.__table__)
# Built once and without the mapper, because they run with every batch. The key is not locked, so
# that PostgreSQL still lets others add rows that refer to the instance.
_LOCK = (
    sa.select(
        _INSTANCE.c.lease_fence,
        _INSTANCE.c.lease_until,
        _INSTANCE.c.regular_poll_at,
        _INSTANCE.c.events_enabled,
        _INSTANCE.c.disabled,
        _INSTANCE.c.slow_since,
        _INSTANCE.c.connecting.is_not(None).label("connecting"),
    )
    .where(_INSTANCE.c.id == sa.bindparam("instance_id"))
    .with_for_update(key_share=True)
)
_RENEW = (
    sa.update(_INSTANCE)
    .where(_INSTANCE.c.id == sa.bindparam("instance_id"))
    .values(lease_until=sa.bindparam("until"))
)
_CLAIM = _RENEW.values(lease_fence=sa.bindparam("fence"))


@dataclasses.dataclass(frozen=True, slots=True)
class InstanceLease:
    """The right to poll one instance."""

    instance_id: int
    #: Each claim and each release increments it; a writer must hold the number in the row.
    fence: int
    #: When all resources were due as it was claimed; another time in the row is a new request.
    regular_poll_at: dt.datetime | None = None
    #: The store did not answer promptly before.
    slow: bool = False
    #: The store is still to be checked.
    connecting: bool = False

    @property
    def extra(self) -> dict[str, object]:
        """Fields for log records."""
        return {"instance": self.instance_id}

    def read(self, session: orm.Session) -> Instance:
        """Return the instance's row.

        :raises LeaseLostError: it was deleted.
        """
        instance = session.get(Instance, self.instance_id)
        if instance is None:
            raise LeaseLostError(f"instance {self.instance_id} was deleted")
        return instance

    def renew(self, session: orm.Session, until: Until) -> None:
        """Renew the lease; in the transaction of a batch this is also its fence.

        :raises LeaseLostError: another worker has claimed the instance.
        """
        row = session.execute(_LOCK, {"instance_id": self.instance_id}).one_or_none()
        if row is None or row.lease_fence != self.fence:
            raise LeaseLostError(
                f"instance {self.instance_id} was changed, or taken over by another worker"
            )
        session.execute(_RENEW, {"instance_id": self.instance_id, "until": until()})

    def release(
        self,
        session: orm.Session,
        next_poll_at: dt.datetime | None,
        regular_poll_at: dt.datetime | None,
        *,
        ended_at: dt.datetime | None = None,
    ) -> None:
        """Release the instance and set when it is due again.

        An instance that was paused meanwhile stays paused; one that was changed stays due. The
        fence is incremented, so that a renewal that waits for this commit does not revive the
        lease.

        :param next_poll_at: ``None`` to leave the due time as it is.
        :param regular_poll_at: when all of its resources are due, not only failed ones.
        :param ended_at: stays as the end of the lease if the poll is due by then.
        """
        held = sa.update(Instance).where(
            Instance.id == self.instance_id, Instance.lease_fence == self.fence
        )
        held = held.execution_options(synchronize_session=False)
        if next_poll_at is not None:
            # Not in the condition: MariaDB would lock rows of other instances to look for it.
            paused = Instance.next_poll_at.is_(None)
            session.execute(
                held.values(
                    next_poll_at=_unless(paused, next_poll_at),
                    regular_poll_at=_unless(paused, regular_poll_at),
                )
            )
        end = None
        if ended_at is not None:
            at = sa.literal(ended_at, Instance.lease_until.type)
            end = sa.case((Instance.next_poll_at <= at, at), else_=None)
        session.execute(held.values(lease_until=end, lease_fence=self.fence + 1))

    def postpone(self, session: orm.Session, at: dt.datetime) -> None:
        """Release the instance after a failure; if it is due before a time, it is due then."""
        held = sa.update(Instance).where(
            Instance.id == self.instance_id, Instance.lease_fence == self.fence
        )
        earliest = sa.literal(at, Instance.next_poll_at.type)
        due = sa.case((Instance.next_poll_at < at, earliest), else_=Instance.next_poll_at)
        session.execute(held.values(next_poll_at=due).execution_options(synchronize_session=False))
        self.release(session, None, None)


class GuardLease:
    """The right to check and repair the webhooks of one instance.

    :param until: the time in its ``hooks_due_at``; if another time is there, the lease is lost.
    """

    def __init__(self, instance_id: int, until: dt.datetime, slow: bool = False) -> None:
        self._instance_id = instance_id
        #: The store did not answer promptly before.
        self.slow = slow
        #: The times that may be in the row: the last one known to be committed, and later ones
        #: whose commit may have failed.
        self._until = [until]

    @property
    def extra(self) -> dict[str, object]:
        """Fields for log records."""
        return {"instance": self._instance_id}

    def renew(self, session: orm.Session, until: Until) -> None:
        """Renew the lease.

        :raises LeaseLostError: another process has changed the due time.
        """
        mine = sa.select(Instance.hooks_due_at).where(Instance.id == self._instance_id)
        if session.scalar(mine.with_for_update(key_share=True)) not in self._until:
            raise LeaseLostError(f"the webhooks of instance {self._instance_id} are due again")
        self._until.append(until())
        event.listen(session, "after_commit", self._committed, once=True)
        session.execute(
            sa.update(Instance)
            .where(Instance.id == self._instance_id)
            .values(hooks_due_at=self._until[-1])
            .execution_options(synchronize_session=False)
        )

    def release(self, session: orm.Session, due_at: Until) -> None:
        """Release the webhooks and set when they are due again.

        :raises LeaseLostError: another process has changed the due time, or the result is written.
        """
        self.renew(session, due_at)
        # A renewal that waits for this commit must not revive the lease.
        self._until = []

    def _committed(self, session: orm.Session) -> None:
        self._until = self._until[-1:]


class Lease(t.Protocol):
    """A lease that :class:`LeaseRenewer` can renew."""

    @property
    def extra(self) -> dict[str, object]: ...

    def renew(self, session: orm.Session, until: Until) -> None: ...


def is_free(
    lease_until: orm.InstrumentedAttribute[dt.datetime | None],
    now: dt.datetime | sa.BindParameter[dt.datetime],
) -> sa.ColumnElement[bool]:
    """Return the condition that no worker holds a row.

    :param lease_until: the column with the end of its lease.
    """
    return sa.or_(lease_until.is_(None), lease_until <= now)


def is_enabled() -> sa.ColumnElement[bool]:
    """Return the condition that requests may go to an instance's store."""
    return sa.and_(Instance.events_enabled, sa.not_(Instance.disabled))


def claim_instance(
    session: orm.Session,
    instance_id: int,
    clock: cabc.Callable[[], dt.datetime],
    length: dt.timedelta,
    *,
    slow: bool = True,
    also_off: bool = False,
) -> InstanceLease | None:
    """Claim an instance; return ``None`` if another worker holds it, or if it is not polled.

    :param clock: read once the row is locked, which may take long.
    :param slow: also one whose store did not answer promptly before.
    :param also_off: also one whose events are off.
    """
    row = session.execute(_LOCK, {"instance_id": instance_id}).one_or_none()
    now = clock()
    if row is None or row.disabled or not (row.events_enabled or also_off):
        return None
    if row.lease_until is not None and row.lease_until > now:
        return None
    is_slow = row.slow_since is not None
    if is_slow and not slow:
        return None
    lease = InstanceLease(
        instance_id, row.lease_fence + 1, row.regular_poll_at, is_slow, bool(row.connecting)
    )
    names = {"instance_id": instance_id, "fence": lease.fence, "until": now + length}
    session.execute(_CLAIM, names)
    return lease


def _unless(
    condition: sa.ColumnElement[bool], date: dt.datetime | None
) -> sa.ColumnElement[dt.datetime | None]:
    return sa.case((condition, None), else_=sa.literal(date, Instance.next_poll_at.type))


def claim_guard(
    session: orm.Session,
    instance_id: int,
    clock: cabc.Callable[[], dt.datetime],
    length: dt.timedelta,
    *,
    slow: bool = True,
) -> GuardLease | None:
    """Claim the webhooks of an instance if they are due for a check.

    :param clock: read once the row is locked, which may take long.
    :param slow: also those at a store that did not answer promptly before.
    """
    row = session.get(Instance, instance_id, with_for_update={"key_share": True})
    now = clock()
    if row is None or row.hooks_due_at is None or row.hooks_due_at > now:
        return None
    is_slow = row.slow_since is not None
    if is_slow and not slow:
        return None
    row.hooks_due_at = now + length
    return GuardLease(instance_id, row.hooks_due_at, is_slow)


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

    @property
    def held(self) -> frozenset[Lease]:
        """The leases of running work."""
        with self._lock:
            return frozenset(self._held)

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
            # All of them, also after a failure: a list, because the loop must reach each.
            renewed = [self._renew(lease) for lease in self.held]
            pause = regular if all(renewed) else min(regular, RETRY_AFTER)

    def _renew(self, lease: Lease) -> bool:
        """Renew a lease; return false if that must be tried again soon."""
        try:
            with self._database.write() as session:
                limits.wait_at_most(session.connection(), LOCKED_WITHIN)
                lease.renew(session, self.until)
        except LeaseLostError:
            pass  # The holder gets the error when it next writes.
        except Exception as exc:
            if is_locked(exc):
                return False
            # Any error: without this thread, all leases of the process would end.
            extra = {"action": "renew", **lease.extra}
            _log.warning("a lease could not be renewed", exc_info=True, extra=extra)
            return False
        return True
