"""Webhook processing: reads the objects that webhooks name, without waiting for the next poll."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import logging
import threading
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ... import tracing
from ...db.database import is_away
from ...db.leases import InstanceLease, LeaseRenewer
from ...db.models import Instance
from ...db.states import PollerState, Source
from ...errors import (
    AnotherStoreError,
    ConfigurationError,
    InputError,
    SchemaError,
    SecretError,
    StoreError,
)
from ...events import webhook_coverage
from ...runtime import Runtime
from ...woocommerce.webhooks import GONE_BELOW
from .. import hint_routing, usage
from ..backoff import retry_delay
from ..gate import Gate
from ..hint import Hint
from ..instance_run import InstanceRun
from ..poll_session import PollSession, open_poll_session
from ..reading.base import Batch
from ..report import PollReport
from ..resource_run import ResourceRun
from . import inbox
from .batch import SOONER, HintBatch, answers
from .inbox import PendingWebhooks
from .waiting import HintTarget, is_waiting, named_in, restrict, unreadable

_log = logging.getLogger(__name__)

#: Coupon codes that are looked up for one batch of orders; the next poll reads all coupons.
_MAX_CODES = 20
#: Webhooks that name no object bring the next poll forward to this time from now.
_POLL_WITHIN = dt.timedelta(minutes=1)


class HintProcessor(InstanceRun):
    """Processes pending webhooks, one instance at a time.

    :param stopped: checked between batches of webhooks; true ends the run there.
    """

    def __init__(
        self,
        runtime: Runtime,
        renewer: LeaseRenewer,
        stopped: cabc.Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(runtime, renewer, stopped=stopped)
        #: For instances whose store does not answer: failures in a row, and the next attempt.
        self._failing: dict[int, tuple[int, dt.datetime]] = {}
        #: The batch of each instance that is being processed.
        self._batches: dict[int, HintBatch] = {}
        self._lock = threading.Lock()

    def due(self, *, instance_id: int | None = None, slow: bool | None = None) -> list[int]:
        """Return the instances whose pending webhooks can be processed now.

        :param instance_id: only this one.
        :param slow: only those whose stores did not answer promptly, or only the others.
        """
        now = self._runtime.clock()
        with self._database.read() as session:
            due = inbox.due_instances(session, now, instance_id, slow=slow)
        with self._lock:
            return [number for number in due if self._failing.get(number, (0, now))[1] <= now]

    def _not_run(self, instance_id: int, error: str, reports: list[PollReport]) -> list[PollReport]:
        return reports

    def _release(
        self,
        session: orm.Session,
        instance: Instance,
        lease: InstanceLease,
        started: dt.datetime,
        reports: list[PollReport],
    ) -> None:
        events = sum(report.events for report in reports)
        requests = sum(report.requests for report in reports)
        extra = {"action": "settle", "instance": lease.instance_id, "events": events}
        _log.info(
            "processed webhooks of instance %d: %d events, %d requests",
            lease.instance_id, events, requests, extra={**extra, "requests": requests},
        )  # fmt: skip
        now = self._runtime.clock()
        if reports:
            usage.add(session, lease.instance_id, reports, now)
        lease.release(session, None, None, ended_at=now)

    def _give_back(self, session: orm.Session, lease: InstanceLease, exc: BaseException) -> None:
        now = self._runtime.clock()
        if is_away(exc):
            with self._lock:
                failures = self._failing.get(lease.instance_id, (0, now))[0]
                self._failing[lease.instance_id] = (failures, now + self._renewer.length)
        else:
            self._postpone(lease.instance_id, exc, dt.timedelta())
        lease.release(session, None, None, ended_at=now)

    def _work(self, lease: InstanceLease, started: dt.datetime, reports: list[PollReport]) -> None:
        while not self._stopped() and self._process(lease, reports):
            pass

    def _process(self, lease: InstanceLease, reports: list[PollReport]) -> bool:
        """Process a batch of webhooks.

        :return: false if none are left, the store does not answer, or the instance's poll is due.
        """
        now = self._runtime.clock()
        with self._database.read() as session:
            pending = inbox.pending(session, lease.instance_id, now)
            failing = inbox.failing_resources(session, lease.instance_id, now)
        if pending is None:
            return False
        with tracing.within(None, instance=lease.instance_id):
            with tracing.span("woo_events.process_webhooks", causes=pending.traces) as span:
                span.set(webhooks=len(pending.ids))
                return self._follow(lease, reports, pending, failing, now)

    def _follow(
        self,
        lease: InstanceLease,
        reports: list[PollReport],
        pending: PendingWebhooks,
        failing: cabc.Mapping[str, tuple[int, dt.datetime]],
        now: dt.datetime,
    ) -> bool:
        try:
            poll = open_poll_session(
                self._runtime,
                self._renewer,
                lease,
                lambda poller: poller.state != PollerState.DISABLED,
            )
        except SchemaError:
            raise
        except (SecretError, ConfigurationError, InputError) as exc:
            self._postpone(lease.instance_id, exc, dt.timedelta())
            return False
        batch = self._batches[lease.instance_id] = HintBatch(pending, failing, poll, now)
        try:
            if not self._is_ours(lease, poll):
                return False
            for run in _twice(poll):
                if run.followups.names_objects and run.report.error is None:
                    self._read(poll, run, batch)
            gate = self._pass_gate(poll)
        except AnotherStoreError as exc:
            self._hold(lease, poll, exc, self._runtime.clock())
            self._postpone(lease.instance_id, exc, poll.interval)
            return False
        finally:
            del self._batches[lease.instance_id]
            reports += [run.report for run in poll.runs if run.reading is not None]
        for run in poll.runs:
            run.recorder.keep_oddities({}, complete=False)
        poll.save_learned()
        failed = [run for run in poll.runs if run.failure is not None]
        for run in failed:
            batch.fail(run, run.failure)
        if batch.is_outage and failed:
            self._postpone(lease.instance_id, t.cast(Exception, failed[0].failure), poll.interval)
            return False
        batch.set_failed_apart(failed)
        batch.set_unreadable_apart(poll.runs)
        again = bool(gate.waiting) or any(run.recorder.older for run in poll.runs)
        poll_soon = again or _needs_poll(poll, pending.hints)
        goes_on = self._finish(lease, poll, batch, poll_soon=poll_soon)
        with self._lock:
            self._failing.pop(lease.instance_id, None)
        return goes_on

    def _read(self, poll: PollSession, run: ResourceRun, batch: HintBatch) -> None:
        """Read what the hints name of one resource; what cannot be read waits for itself alone."""
        self._record(poll, run, poll.check(run, Source.WEBHOOK))
        if run.failure is not None and not batch.gives_up:

            def read(named: cabc.Sequence[HintTarget]) -> bool:
                restrict(run.followups, named)
                return self._reads(poll, run, poll.check(run, Source.WEBHOOK, alone=True))

            self._set_apart(poll, run, named_in(run.followups), read, batch)
        run.followups.reread.clear()

    def _confirm(
        self, poll: PollSession, run: ResourceRun, gate: Gate, gone: cabc.Sequence[str]
    ) -> None:
        super()._confirm(poll, run, gate, gone)
        if run.failure is not None:

            def confirm(named: cabc.Sequence[HintTarget]) -> bool:
                return self._reads(poll, run, gate.confirm(run, [str(one[0]) for one in named]))

            numbers = [HintTarget(int(one)) for one in gone if one.isdecimal()]
            batch = self._batches[poll.lease.instance_id]
            self._set_apart(poll, run, numbers, confirm, batch)

    def _reads(self, poll: PollSession, run: ResourceRun, batches: cabc.Generator[Batch]) -> bool:
        """Record a part of what failed together; return whether that was possible."""
        run.report.error = run.failure = None
        self._record(poll, run, batches)
        return run.failure is None

    def _set_apart(
        self,
        poll: PollSession,
        run: ResourceRun,
        named: cabc.Sequence[HintTarget],
        read: cabc.Callable[[cabc.Sequence[HintTarget]], bool],
        batch: HintBatch,
    ) -> None:
        """Find out which objects are the reason of a failure, and have only these wait."""
        failure = run.failure
        if not answers(poll, run):
            batch.fail(run, failure)
            return
        alone = unreadable(named, read)
        if len(alone) == len(named) > 1:
            return  # It is the resource.
        run.report.error = run.failure = None
        batch.set_apart(run, alone, failure)
        if alone:
            what = f"{len(alone)} of {run.stream.resource}"
            extra = {"action": "settle", "instance": poll.lease.instance_id}
            _log.warning(
                "webhooks of instance %d wait: %s cannot be read: %s",
                poll.lease.instance_id, what, failure, extra=extra,
            )  # fmt: skip

    def _is_ours(self, lease: InstanceLease, poll: PollSession) -> bool:
        """Return whether the instance does not hold, or its store is back."""
        hold = poll.judge.belief.hold
        if hold is None or self._is_back(poll):
            return True
        self._postpone(lease.instance_id, AnotherStoreError(hold.reason), poll.interval)
        return False

    def _recorded(self, poll: PollSession, run: ResourceRun, batch: Batch) -> bool:
        """Follow up coupons: no webhook reports that an order used one (WooCommerce 5.9 to 11.0).

        All batches are read even when stopped, since the webhooks are then deleted.
        """
        coupons = [other for other in poll.runs if other.collection.hub_name == "discounts"]
        if run.collection.hub_name == "orders" and coupons and batch.observed is not None:
            bodies = [
                seen.body
                for seen in batch.observed.observations
                if seen.body is not None and seen.object_id in run.recorder.changed
            ]
            lines = [line for body in bodies for line in body.get("coupon_lines") or ()]
            codes = {str(line.get("code") or "") for line in lines if isinstance(line, dict)} - {""}
            numbers = poll.coupons(sorted(codes)[:_MAX_CODES])
            for other in coupons:
                other.followups.candidates |= numbers
        return True

    def _failed(self, poll: PollSession, run: ResourceRun, exc: Exception) -> None:
        run.failure = exc

    def _postpone(self, instance_id: int, exc: BaseException, interval: dt.timedelta) -> None:
        """Keep the webhooks pending until the next attempt."""
        now = self._runtime.clock()
        retry_after = exc.retry_after if isinstance(exc, StoreError) else None
        with self._lock:
            failures = self._failing.get(instance_id, (0, now))[0] + 1
            delay = retry_delay(failures, interval=interval, retry_after=retry_after)
            self._failing[instance_id] = (failures, now + delay / SOONER)
        extra = {"action": "settle", "instance": instance_id}
        _log.warning("webhooks of instance %d wait: %s", instance_id, exc, extra=extra)

    def _finish(
        self,
        lease: InstanceLease,
        poll: PollSession,
        batch: HintBatch,
        *,
        poll_soon: bool,
    ) -> bool:
        """Delete processed webhooks, keep what waits; return false if the poll is due."""

        def write(session: orm.Session) -> bool:
            lease.renew(session, self._renewer.until)
            now = self._runtime.clock()
            inbox.remove(session, batch.pending)
            inbox.wait(session, lease.instance_id, batch.waiting)
            for run in poll.runs:
                if counts := batch.counts.get(run.stream.poller_id):
                    judged = webhook_coverage.judge(
                        session, run.stream.poller_id, counts, run.recorder.changed, now
                    )
                    webhook_coverage.add(
                        session, lease.instance_id, run.stream.resource, judged, now
                    )
            if poll_soon:
                _poll_soon(session, lease.instance_id, now)
            due = session.scalar(
                sa.select(Instance.next_poll_at).where(Instance.id == lease.instance_id)
            )
            return due is None or due > now

        return self._database.transact(write)


def _twice(poll: PollSession) -> cabc.Iterator[ResourceRun]:
    """Yield all runs, then again those that changes in other resources concern."""
    yield from poll.in_order()
    yield from hint_routing.rerun(poll, poll.in_order())


def _needs_poll(poll: PollSession, hints: cabc.Sequence[Hint]) -> bool:
    """Return whether a hint concerns an object that only a poll can find."""
    only_polled = {
        run.collection.hub_name
        for run in poll.runs
        if not run.collection.orders_by_id or run.recorder.cursor.state is PollerState.BASELINE
    }
    selected = {run.collection.hub_name for run in poll.runs}
    return any(
        (None in (hint.object_id, hint.collection) and not is_waiting(hint))
        or hint.collection in only_polled
        or (hint.topic in GONE_BELOW and hint.collection not in selected)
        for hint in hints
    )


def _poll_soon(session: orm.Session, instance_id: int, now: dt.datetime) -> None:
    """Bring the regular poll forward, also when failed resources are tried again before it."""
    due = sa.literal(now + _POLL_WITHIN, Instance.next_poll_at.type)
    session.execute(
        sa.update(Instance)
        .where(Instance.id == instance_id)
        .values(
            next_poll_at=sa.case((Instance.next_poll_at > due, due), else_=Instance.next_poll_at),
            regular_poll_at=sa.case(
                (Instance.regular_poll_at > due, due), else_=Instance.regular_poll_at
            ),
        )
        .execution_options(synchronize_session=False)
    )
