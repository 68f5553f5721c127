"""The poll of one instance: which of its resources are read, in which order, and when again."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import logging

import sqlalchemy as sa
from sqlalchemy import orm

from .. import tracing
from ..db.database import is_away
from ..db.leases import InstanceLease, LeaseRenewer, is_free
from ..db.models import Instance, Poller
from ..db.states import PollerState, Source
from ..errors import (
    AnotherStoreError,
    ConfigurationError,
    InputError,
    OutOfPatienceError,
    SchemaError,
    SecretError,
    StoreError,
    TransportError,
    WooEventsError,
)
from ..instances import circuit, connecting, pollers, privacy, store_condition
from ..runtime import Runtime
from ..signals import poller_disabled
from ..values.wording import counted
from . import hint_routing, usage
from .backoff import retry_delay
from .belief import Hold
from .gate import Gate
from .instance_run import InstanceRun, extra_of
from .journal.follow import JournalSync, open_journal
from .ledger.observation import AGAIN_AFTER
from .poll_session import PollSession, open_poll_session
from .reading.base import Batch
from .recorder import save_all
from .report import PollReport
from .resource_run import ResourceRun

_log = logging.getLogger(__name__)

#: How often, in one interval, an instance that holds asks whether its store is back, and how soon.
PROBES, SOON = 3, dt.timedelta(minutes=1)
#: When an instance without regular polls is polled next.
NEVER = dt.timedelta(days=3650)

Progress = cabc.Callable[[str, int, int], None]


def due_instances(
    runtime: Runtime,
    *,
    all_of_them: bool = False,
    instance_id: int | None = None,
    most: int | None = None,
    slow: bool | None = None,
) -> list[int]:
    """Return the instances to poll now, the longest waiting first, without those being polled.

    :param all_of_them: also those that are not due yet.
    :param instance_id: only this one, if it is due.
    :param most: the greatest number to return.
    :param slow: only those whose stores did not answer promptly, or only the others.
    """
    now = runtime.clock()
    query = sa.select(Instance.id).where(Instance.next_poll_at.is_not(None), circuit.chosen(slow))
    if not all_of_them:
        free = is_free(Instance.lease_until, now)
        query = query.where(Instance.next_poll_at <= now, free)
    if instance_id is not None:
        query = query.where(Instance.id == instance_id)
    with runtime.database.read() as session:
        return list(session.scalars(query.order_by(Instance.next_poll_at, Instance.id).limit(most)))


class InstancePoll(InstanceRun):
    """Polls the resources of one instance that are due, and follows the store's journal.

    :param renewer: renews the lease while the store is slow.
    :param only: poll just this resource.
    :param forced: also poll what waits after a failure.
    :param progress: called during a baseline with the resource, the objects read and their total.
    :param stopped: checked between commits; true ends the poll there.
    :param also_off: also poll an instance whose events are off.
    """

    def __init__(
        self,
        runtime: Runtime,
        renewer: LeaseRenewer,
        *,
        only: str | None = None,
        forced: bool = False,
        progress: Progress | None = None,
        stopped: cabc.Callable[[], bool] = lambda: False,
        also_off: bool = False,
    ) -> None:
        super().__init__(runtime, renewer, stopped=stopped, also_off=also_off)
        self._only = only
        self._forced = forced
        self._progress = progress
        # By instance, since several threads poll several of them at the same time.
        #: Those whose poll ended with a hold.
        self._holding: set[int] = set()
        #: After how long the stores must be read again of those that do not wait for an interval.
        self._again: dict[int, dt.timedelta] = {}

    def _not_run(self, instance_id: int, error: str, reports: list[PollReport]) -> list[PollReport]:
        return [PollReport(instance=instance_id, resource=self._only or "*", error=error)]

    def _release(
        self,
        session: orm.Session,
        instance: Instance,
        lease: InstanceLease,
        started: dt.datetime,
        reports: list[PollReport],
    ) -> None:
        """Make the instance due when its interval ends or a failed poller may retry."""
        usage.add(session, lease.instance_id, reports, started)
        held, again = lease.instance_id in self._holding, self._again.get(lease.instance_id)
        regular = lease.regular_poll_at
        # A poll that was asked for during this one is due: this one may have read too early.
        asked = instance.regular_poll_at != regular
        if self._stopped() or self._only is not None or asked:
            lease.release(session, None, None)
            return
        if held or again is not None:
            wait = max(dt.timedelta(minutes=instance.refresh_minutes) / PROBES, SOON)
            at = self._runtime.clock() + (wait if held or again is None else again)
            lease.release(session, at, at)
            return
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

    def _give_back(self, session: orm.Session, lease: InstanceLease, exc: BaseException) -> None:
        # Not sooner than after a killed worker, so that the store is not read again and again.
        wait = self._renewer.length if is_away(exc) else SOON
        lease.postpone(session, self._runtime.clock() + wait)

    def _work(self, lease: InstanceLease, started: dt.datetime, reports: list[PollReport]) -> None:
        with tracing.within(None, instance=lease.instance_id):
            with tracing.span("woo_events.poll") as span:
                self._poll_store(lease, started, reports)
                span.set(
                    events=sum(report.events for report in reports),
                    requests=sum(report.requests for report in reports),
                )

    def _poll_store(
        self, lease: InstanceLease, started: dt.datetime, reports: list[PollReport]
    ) -> None:
        self._holding.discard(lease.instance_id)
        self._again.pop(lease.instance_id, None)
        try:
            if lease.connecting:
                self._connect(lease)
            poll, regular = self._open(lease, started)
        except (OutOfPatienceError, SchemaError):
            raise
        except (SecretError, ConfigurationError, InputError, TransportError) as exc:
            reports += self._cannot_open(lease, started, exc)
            return
        belief, before = poll.judge.belief, poll.judge.belief.to_json()
        try:
            if belief.hold is None or self._is_back(poll):
                reports += self._poll(lease, poll, started, regular)
                if any(run.recorder.reverses for run in poll.runs):
                    belief.reverse(started)
                if (hold := self._alternation(lease, poll, started)) is not None:
                    self._held(lease, poll, hold)
            else:
                reports += self._held(lease, poll, belief.hold)
        except AnotherStoreError as exc:
            reports += self._held(lease, poll, self._hold(lease, poll, exc, started))
        if belief.hold is None:
            poll.save_learned()
        if belief.to_json() != before:
            with self._database.write() as session:
                lease.renew(session, self._renewer.until)
                belief.save(session, lease.instance_id)

    def _connect(self, lease: InstanceLease) -> None:
        """Check the store, for which a web request had no time."""
        facts = connecting.check(self._runtime, lease.instance_id)
        with self._database.write() as session:
            lease.renew(session, self._renewer.until)
            connecting.finish(session, lease.read(session), facts, self._runtime.clock())
        _log.info("instance %d: its store is connected", lease.instance_id, extra=lease.extra)

    def _poll(
        self, lease: InstanceLease, poll: PollSession, started: dt.datetime, regular: bool
    ) -> list[PollReport]:
        """Poll once.

        :param regular: this is the regular poll, not one after a failure.
        """
        reads_journal = (regular or self._forced) and self._only is None
        journal = open_journal(self._runtime, poll, started, reads_journal=reads_journal)
        gate = self._read_all(poll, journal)
        self._close(poll, journal, gate)
        if journal.changed:
            with self._database.write() as session:
                journal.save(session, lease, self._renewer.until)
        self._conclude(poll, gate)
        if any(run.recorder.older and run.recorder.again_after == AGAIN_AFTER for run in poll.runs):
            self._again[lease.instance_id] = AGAIN_AFTER
        if any(run.is_cut for run in poll.runs):
            self._again[lease.instance_id] = dt.timedelta()
        reports = [run.report for run in poll.runs if run.reading is not None or run.report.error]
        return [journal.report, *reports] if journal.report.requests else reports

    def _conclude(self, poll: PollSession, gate: Gate) -> None:
        """Keep what this poll has shown of the store; an operator's acceptance is used up."""
        poll.store.keep_rest()
        judge, belief = poll.judge, poll.judge.belief
        failed = any(run.report.error for run in poll.runs) or self._stopped()
        if not failed and not gate.waiting:
            belief.accepted = None
        both = (*poll.runs, *poll.waiting)
        if belief.adopting and not any("compare_all" in run.recorder.notes for run in both):
            belief.adopting = False
        if judge.proved and not belief.adopting:
            with contextlib.suppress(TransportError):
                judge.learn()

    def _held(self, lease: InstanceLease, poll: PollSession, hold: Hold) -> list[PollReport]:
        """Report the hold of each resource; it is no failure of theirs."""
        self._holding.add(lease.instance_id)
        with self._database.write() as session:
            lease.renew(session, self._renewer.until)
            for row in pollers.of_instance(session, lease.instance_id):
                if row.selected and row.state != PollerState.DISABLED:
                    row.error = hold.text(lease.instance_id)
        for run in poll.runs:
            run.report.error = hold.text(lease.instance_id)
        return [run.report for run in poll.runs]

    def _read_all(self, poll: PollSession, journal: JournalSync) -> Gate:
        """Poll the resources that need it, and read the objects that the journal names."""
        followed = journal.followed()
        for run in poll.in_order():
            if not journal.is_followed(run):
                self._step(poll, run, poll.read)
        for run in followed:
            poll.add_waiting(run)
            if run.followups.names_objects or run.recorder.retries:
                self._check(poll, run)
        for run in poll.in_search_order():
            if not journal.is_followed(run) and run.report.error is None:
                self._step(poll, run, poll.search)
        for run in hint_routing.rerun(poll, followed):
            if run.report.error is None:
                self._check(poll, run)
        return self._pass_gate(poll)

    def _check(self, poll: PollSession, run: ResourceRun) -> None:
        self._step(poll, run, lambda named: poll.check(named, Source.JOURNAL))
        run.followups.reread.clear()

    def _step(
        self,
        poll: PollSession,
        run: ResourceRun,
        read: cabc.Callable[[ResourceRun], cabc.Generator[Batch]],
    ) -> None:
        if not self._stopped():
            self._record(poll, run, read(run))

    def _close(self, poll: PollSession, journal: JournalSync, gate: Gate) -> None:
        """Save the cursors of the resources that were read, and report."""
        complete = not self._stopped()
        ended = [run for run in poll.runs if run.report.error is None]
        read = [run for run in ended if run.reading is not None]
        waiting = {
            run.stream.resource: reason
            for run in read
            if (reason := gate.waiting.get(run.stream.poller_id)) is not None
        }
        if complete:
            for run in ended:
                journal.complete(run)
        for run in read:
            if run.stream.resource not in waiting:
                run.recorder.end_hold(self._runtime.clock())
            run.recorder.keep_oddities(run.oddities, complete=complete)
        save_all([run.recorder for run in read], ended=complete)
        for run in read:
            if (reason := waiting.get(run.stream.resource)) is not None:
                self._note_waiting(run, reason)
        for run in poll.runs:
            report, extra = run.report, extra_of(run.report)
            if report.error is not None:
                _log.warning("polling %s: %s", report.resource, report.error, extra=extra)
            else:
                found = counted(report.events, "event")
                _log.info("polled %s: %s", report.resource, found, extra=extra)

    def _note_waiting(self, run: ResourceRun, reason: str) -> None:
        """Show what waits at the gate; it is no failure of the resource."""
        run.report.error = reason

        def note(session: orm.Session) -> None:
            session.get_one(Poller, run.stream.poller_id).error = reason

        run.recorder.transact(note)

    def _open(self, lease: InstanceLease, started: dt.datetime) -> tuple[PollSession, bool]:
        regular = _is_regular(lease, started)
        poll = open_poll_session(
            self._runtime,
            self._renewer,
            lease,
            lambda poller: self._is_due(poller, started, regular),
        )
        return poll, regular

    def _is_due(self, poller: Poller, now: dt.datetime, regular: bool) -> bool:
        if poller.state == PollerState.DISABLED:
            return False
        if self._only is not None:
            return poller.resource == self._only
        if self._forced:
            return True
        return regular if poller.retry_at is None else poller.retry_at <= now

    def _recorded(self, poll: PollSession, run: ResourceRun, batch: Batch) -> bool:
        total = batch.cursor.baseline_total
        if self._progress is not None and total:
            if batch.observed is not None and batch.observed.since is not None:
                done = min(batch.cursor.baseline.offset, total)
                self._progress(run.stream.resource, done, total)
        return not self._stopped()

    def _failed(self, poll: PollSession, run: ResourceRun, exc: Exception) -> None:
        def count(session: orm.Session) -> str | None:
            row = session.get_one(Poller, run.stream.poller_id)
            return self._count_failure(session, row, exc, poll.interval)

        run.oddities |= poll.client.oddities.take()
        run.recorder.keep_oddities(run.oddities, complete=False)
        disabled = run.recorder.transact(count)
        if disabled is not None:
            self._send_disabled(run.stream.instance_id, run.stream.resource, disabled)

    def _cannot_open(
        self, lease: InstanceLease, started: dt.datetime, exc: WooEventsError
    ) -> list[PollReport]:
        """Report that the stored keys or address cannot be used, for each resource that is due.

        Lost keys are no failure of a resource: the instance asks again, as one that holds does, so
        that it goes on without a command.
        """
        failure = isinstance(exc, InputError | TransportError)
        reports, disabled = [], dict[str, str | None]()
        if not failure:
            self._holding.add(lease.instance_id)
        with self._database.write() as session:
            lease.renew(session, self._renewer.until)
            instance = session.get_one(Instance, lease.instance_id)
            connecting.fail(instance, exc)
            regular = _is_regular(lease, started)
            interval = dt.timedelta(minutes=instance.refresh_minutes)
            for row in pollers.of_instance(session, instance.id):
                if row.selected and self._is_due(row, started, regular):
                    row.error = str(exc)
                    if failure:
                        disabled[row.resource] = self._count_failure(session, row, exc, interval)
                    report = PollReport(instance=instance.id, resource=row.resource, error=str(exc))
                    reports.append(report)
        for report in reports:
            _log.warning("polling %s: %s", report.resource, exc, extra=extra_of(report))
            if (reason := disabled.get(report.resource)) is not None:
                self._send_disabled(report.instance, report.resource, reason)
        return reports

    def _count_failure(
        self, session: orm.Session, row: Poller, exc: Exception, interval: dt.timedelta
    ) -> str | None:
        """Schedule the next attempt of a resource; return the reason if it was disabled."""
        row.failures += 1
        row.error = str(exc)
        if (sign := store_condition.sign_of(exc)) != row.memory.get(store_condition.SIGN, ""):
            row.memory = {**row.memory, store_condition.SIGN: sign}
        if "own_route" in row.memory:
            # It may be outdated, and the reason.
            row.memory = {**row.memory, "route_failed": True}
        retry_after = exc.retry_after if isinstance(exc, StoreError) else None
        delay = retry_delay(row.failures, interval=interval, retry_after=retry_after)
        row.retry_at = self._runtime.clock() + delay
        if row.failures >= self._runtime.settings.poll_failures_allowed:
            pollers.disable(session, row, exc, self._runtime.clock())
        row.error = privacy.without_persons(
            session, lambda: self._runtime.cipher, row.instance_id, row.error
        )
        return row.error if row.state == PollerState.DISABLED else None

    def _send_disabled(self, instance_id: int, resource: str, reason: str) -> None:
        self._runtime.send(
            poller_disabled, instance_id=instance_id, resource=resource, reason=reason
        )


def _is_regular(lease: InstanceLease, started: dt.datetime) -> bool:
    """Return whether a poll that started then is the regular one, not one after a failure."""
    return lease.regular_poll_at is None or lease.regular_poll_at <= started
