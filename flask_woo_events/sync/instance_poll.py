"""The polls of one instance: claimed, read, committed batch by batch, failures written down."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import logging
import time

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.database import is_away
from ..db.leases import InstanceLease, LeaseRenewer, claim_instance, is_free
from ..db.models import Instance, Poller, PollerState, Source
from ..errors import LeaseLostError, StoreError, StoreRestoredError, WooEventsError
from ..instances import notices, pollers
from ..runtime import Runtime
from ..signals import poller_disabled
from . import hint_routing, usage
from .backoff import pause
from .journal.follow import JournalSync, open_following
from .poll_session import PollSession, ResourceRun, open_turn
from .reading.base import Batch
from .report import PollReport

_log = logging.getLogger(__name__)

#: When an instance is polled again whose regular polls are switched off.
NEVER = dt.timedelta(days=3650)

Progress = cabc.Callable[[str, int, int], None]


def due_instances(
    runtime: Runtime,
    *,
    all_of_them: bool = False,
    instance_id: int | None = None,
    most: int | None = None,
) -> list[int]:
    """Instances to poll now, the longest waiting first; those held by a worker are left out.

    :param all_of_them: also those that are not due yet.
    :param instance_id: only this one, if it is due.
    :param most: how many at most.
    """
    now = runtime.clock()
    query = sa.select(Instance.id).where(Instance.next_poll_at.is_not(None))
    if not all_of_them:
        free = is_free(Instance.lease_until, now)
        query = query.where(Instance.next_poll_at <= now, free)
    if instance_id is not None:
        query = query.where(Instance.id == instance_id)
    with runtime.database.read() as session:
        return list(session.scalars(query.order_by(Instance.next_poll_at, Instance.id).limit(most)))


class InstancePoll:
    """One turn of one instance.

    :param keeper: renews the lease while the store is slow.
    :param only: poll just this resource.
    :param forced: poll also what waits after a failure.
    :param progress: called during a baseline with the resource, objects done and in all.
    :param stopped: asked between commits; true ends the turn there.
    """

    def __init__(
        self,
        runtime: Runtime,
        keeper: LeaseRenewer,
        *,
        only: str | None = None,
        forced: bool = False,
        progress: Progress | None = None,
        stopped: cabc.Callable[[], bool] = lambda: False,
    ) -> None:
        self._runtime = runtime
        self._database = runtime.database
        self._keeper = keeper
        self._only = only
        self._forced = forced
        self._progress = progress
        self._stopped = stopped

    def run(self, instance_id: int) -> list[PollReport]:
        """Poll every resource of an instance that is due.

        A failing resource is written down and does not stop the others.
        """
        with self._database.write() as session:
            lease = claim_instance(session, instance_id, self._runtime.clock(), self._keeper.length)
        if lease is None:
            return [self._nothing(instance_id, "another worker is polling this instance")]
        started = self._runtime.clock()
        try:
            with self._keeper.hold(lease):
                reports = self._poll_all(lease, started)
        except LeaseLostError as exc:
            _log.warning("%s", exc, extra={"action": "lease_lost", "instance": instance_id})
            return [self._nothing(instance_id, str(exc))]
        with self._database.write() as session:
            usage.add(session, instance_id, reports, started)
            self._release(session, lease, started)
        return reports

    def _nothing(self, instance_id: int, error: str) -> PollReport:
        return PollReport(instance=instance_id, resource=self._only or "*", error=error)

    def _release(self, session: orm.Session, lease: InstanceLease, started: dt.datetime) -> None:
        """Give the instance back; it is due when its interval ends or a failed poller may retry."""
        instance = session.get(Instance, lease.instance_id)
        if self._stopped() or self._only is not None or instance is None:
            lease.release(session, None, None)
            return
        regular = instance.regular_poll_at
        # One that fell due meanwhile stays so: somebody asked for it after we had begun to read.
        ahead = self._forced and regular is not None and regular > self._runtime.clock()
        if ahead or regular is None or regular <= started:
            regular = started + (dt.timedelta(minutes=instance.refresh_minutes) or NEVER)
        retry = session.scalars(
            sa.select(sa.func.min(Poller.retry_at)).where(
                Poller.instance_id == lease.instance_id,
                Poller.selected,
                Poller.state != PollerState.DISABLED,
            )
        ).one()
        lease.release(session, min(regular, retry or regular), regular)

    def _poll_all(
        self, lease: InstanceLease, started: dt.datetime, *, again: bool = False
    ) -> list[PollReport]:
        turn, following = self._open(lease, started)
        try:
            self._read_all(turn, following)
        except StoreRestoredError as exc:
            self._start_over(lease, exc)
            if not again:
                return self._poll_all(lease, started, again=True)
        for job in turn.jobs:
            self._close(job, following)
        if following.changed:
            with self._database.write() as session:
                following.save(session, lease, self._keeper.until())
        reports = [job.report for job in turn.jobs if job.reading is not None or job.report.error]
        return [following.report, *reports] if following.report.requests else reports

    def _read_all(self, turn: PollSession, following: JournalSync) -> None:
        """Poll what has to be polled, and look where the journal says."""
        followed = following.followed()
        for job in turn.in_order():
            if not following.is_followed(job):
                self._step(turn, job, turn.read)
        for job in followed:
            if job.look.candidates or job.look.again or job.look.parents:
                self._look_after(turn, job)
        for job in turn.in_search_order():
            if not following.is_followed(job) and job.report.error is None:
                self._step(turn, job, turn.search)
        for job in hint_routing.again(turn, followed):
            if job.report.error is None:
                self._look_after(turn, job)

    def _look_after(self, turn: PollSession, job: ResourceRun) -> None:
        self._step(turn, job, lambda one: turn.settle(one, Source.JOURNAL))
        job.look.again.clear()

    def _close(self, job: ResourceRun, following: JournalSync) -> None:
        report = job.report
        if report.error is None and not self._stopped():
            following.ended(job)
        if report.error is None and job.reading is not None:
            job.book.close(ended=not self._stopped())
        report.observed, report.events = job.book.observed, job.book.events
        report.seconds = round(report.seconds, 3)
        if report.error is not None:
            _log.warning("polling %s: %s", report.resource, report.error, extra=_extra(report))
            return
        _log.info("polled %s: %d events", report.resource, report.events, extra=_extra(report))

    def _open(self, lease: InstanceLease, started: dt.datetime) -> tuple[PollSession, JournalSync]:
        with self._database.read() as session:
            instance = session.get_one(Instance, lease.instance_id)
            regular = instance.regular_poll_at is None or instance.regular_poll_at <= started
        turn = open_turn(
            self._runtime, self._keeper, lease, lambda one: self._is_due(one, started, regular)
        )
        asks = (regular or self._forced) and self._only is None
        return turn, open_following(self._runtime, turn, started, asks=asks)

    def _is_due(self, poller: Poller, now: dt.datetime, regular: bool) -> bool:
        if poller.state == PollerState.DISABLED:
            return False
        if self._only is not None:
            return poller.resource == self._only
        if self._forced:
            return True
        return regular if poller.retry_at is None else poller.retry_at <= now

    def _step(
        self,
        turn: PollSession,
        job: ResourceRun,
        source: cabc.Callable[[ResourceRun], cabc.Generator[Batch]],
    ) -> None:
        """Enter what a source yields; write its failure down."""
        report = job.report
        if self._stopped():
            return
        before, began = turn.client.requests_made, time.monotonic()
        try:
            with contextlib.closing(source(job)) as batches:
                for batch in batches:
                    job.book.enter(batch, self._runtime.clock())
                    self._show(job, batch)
                    if self._stopped():
                        break
        except (LeaseLostError, StoreRestoredError):
            raise
        except WooEventsError as exc:
            report.error = str(exc)
            self._fail(turn, job, exc)
        except Exception as exc:
            if is_away(exc):
                raise  # No resource is to blame; the instance stays due.
            # A fault of ours with one resource must not silence the others.
            report.error = f"{type(exc).__name__}: {exc}"
            self._fail(turn, job, exc)
            _log.exception("polling %s failed", job.stream.resource, extra=_extra(report))
        finally:
            report.requests += turn.client.requests_made - before
            report.seconds += time.monotonic() - began

    def _show(self, job: ResourceRun, batch: Batch) -> None:
        if self._progress is not None and batch.cursor.baseline_total:
            if batch.sighting is not None and batch.sighting.since is not None:
                done = min(batch.cursor.baseline.offset, batch.cursor.baseline_total)
                self._progress(job.stream.resource, done, batch.cursor.baseline_total)

    def _fail(self, turn: PollSession, job: ResourceRun, exc: Exception) -> None:
        with job.book.transaction() as session:
            row = session.get_one(Poller, job.stream.poller_id)
            row.failures += 1
            row.error = str(exc)
            # What the store has may be the reason: it is asked anew.
            row.memory = {name: value for name, value in row.memory.items() if name != "statuses"}
            if "own_route" in row.memory:
                row.memory = {**row.memory, "route_failed": True}
            asked = exc.retry_after if isinstance(exc, StoreError) else None
            wait = pause(row.failures, interval=turn.interval, asked=asked)
            row.retry_at = self._runtime.clock() + wait
            if row.failures >= self._runtime.settings.poll_failures_allowed:
                row.state = PollerState.DISABLED
                row.error = f"disabled after {row.failures} failures in a row; the last: {exc}"
            disabled = row.error if row.state == PollerState.DISABLED else None
        if disabled is not None:
            self._runtime.send(
                poller_disabled,
                instance_id=job.stream.instance_id,
                resource=job.stream.resource,
                reason=disabled,
            )

    def _start_over(self, lease: InstanceLease, exc: StoreRestoredError) -> None:
        """Take a restored store as it is; what happened in it since the last poll is told."""
        extra = {"action": "restored", "instance": lease.instance_id}
        _log.warning("instance %d: %s", lease.instance_id, exc, extra=extra)
        with self._database.write() as session:
            lease.renew(session, self._keeper.until())
            for poller in pollers.of_instance(session, lease.instance_id):
                if poller.state == PollerState.ACTIVE:
                    pollers.start_over(session, poller, since=poller.polled_at)
            instance = session.get_one(Instance, lease.instance_id)
            notices.add(instance, "restored", str(exc), self._runtime.clock())


def _extra(report: PollReport) -> dict[str, object]:
    return {"action": "poll", **dataclasses.asdict(report)}
