"""The run of one instance: what polls and webhook processing have in common."""

from __future__ import annotations

import abc
import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import logging
import time

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.database import is_away, words
from ..db.leases import InstanceLease, LeaseRenewer, claim_instance, is_enabled
from ..db.models import Instance
from ..errors import (
    AnotherStoreError,
    LeaseLostError,
    NotFoundError,
    OutOfPatienceError,
    SchemaError,
    TransportError,
    WooEventsError,
)
from ..events import operational
from ..events.operational import Occurrence
from ..http.patience import Patience, current_patience, waiting_with
from ..instances import circuit, configuration, notices, problems, restored
from ..instances.problems import ProblemChanges
from ..runtime import Runtime
from .belief import ALTERNATING_REASON, Belief, Doubt, Hold
from .gate import Gate
from .poll_session import PollSession
from .reading.base import Batch
from .report import PollReport
from .resource_run import ResourceRun

_log = logging.getLogger(__name__)


class InstanceRun(abc.ABC):
    """Claims one instance at a time, records what its resources yield, and releases it.

    :param renewer: renews the lease while the store is slow.
    :param stopped: checked between commits; true ends the run there.
    :param also_off: also run an instance whose events are off.
    """

    def __init__(
        self,
        runtime: Runtime,
        renewer: LeaseRenewer,
        *,
        stopped: cabc.Callable[[], bool] = lambda: False,
        also_off: bool = False,
    ) -> None:
        self._runtime = runtime
        self._database = runtime.database
        self._renewer = renewer
        self._stopped = stopped
        self._also_off = also_off

    def run(self, instance_id: int, *, slow: bool = True) -> list[PollReport]:
        """Run one instance, unless another worker has it.

        A failing resource is reported and does not stop the others.

        :param slow: also if its store did not answer promptly before.
        """
        reports: list[PollReport] = []
        restored.look(self._runtime)
        lease = self._database.transact(lambda session: self._claim(session, instance_id, slow))
        if lease is None:
            return self._not_run(instance_id, self._why_not(instance_id), reports)
        started = self._runtime.clock()
        patience = circuit.patience(self._runtime.settings, limited=not lease.slow)
        try:
            try:
                with self._renewer.hold(lease), waiting_with(patience):
                    self._work(lease, started, reports)
            except OutOfPatienceError as exc:
                self._give_up(lease, patience, exc)
                return reports
            changes = self._database.transact(
                lambda session: self._release_locked(session, lease, started, reports, patience)
            )
            problems.announce(self._runtime, instance_id, changes)
        except (LeaseLostError, NotFoundError) as exc:
            _log.warning("%s", exc, extra={"action": "lease_lost", "instance": instance_id})
            return self._not_run(instance_id, str(exc), reports)
        except BaseException as exc:
            self._abandon(lease, exc)
            raise
        return reports

    def _claim(self, session: orm.Session, instance_id: int, slow: bool) -> InstanceLease | None:
        clock, length, off = self._runtime.clock, self._renewer.length, self._also_off
        return claim_instance(session, instance_id, clock, length, slow=slow, also_off=off)

    def _give_up(self, lease: InstanceLease, patience: Patience, exc: OutOfPatienceError) -> None:
        """Leave an instance, which is still due, to the threads for slow stores."""

        def write(session: orm.Session) -> None:
            number = lease.instance_id
            instance = session.get(Instance, number, with_for_update={"key_share": True})
            if instance is not None:
                now = self._runtime.clock()
                circuit.note(instance, patience, self._runtime.settings, now)
                lease.release(session, None, None)

        self._database.transact(write)
        _log.warning(
            "instance %d: its store does not answer promptly, and waits for a thread for slow "
            "stores: %s", lease.instance_id, exc, extra={"action": "slow_store", **lease.extra},
        )  # fmt: skip

    def _why_not(self, instance_id: int) -> str:
        with self._database.read() as session:
            query = sa.select(Instance.id).where(Instance.id == instance_id, is_enabled())
            if session.scalar(query) is None:
                return "this instance is paused, or its events are off"
        return "another worker is polling this instance"

    def _release_locked(
        self,
        session: orm.Session,
        lease: InstanceLease,
        started: dt.datetime,
        reports: list[PollReport],
        patience: Patience,
    ) -> ProblemChanges | None:
        # Locked first: a request for another poll must not be overwritten, and another worker
        # that has the instance by now counts its usage after us.
        instance = session.get(Instance, lease.instance_id, with_for_update={"key_share": True})
        if instance is None:
            return None
        self._release(session, instance, lease, started, reports)
        circuit.note(instance, patience, self._runtime.settings, self._runtime.clock())
        session.flush()
        lost = configuration.unreadable(session, self._runtime.cipher_or_none, instance.id)
        return problems.compare(session, instance, self._runtime.clock(), lost)

    def _abandon(self, lease: InstanceLease, exc: BaseException) -> None:
        """Give an instance back whose run failed, so that other work need not wait for it."""
        try:
            with self._database.write() as session:
                self._give_back(session, lease, exc)
        except Exception:
            # The lease ends by itself.
            extra = {"action": "give_back", **lease.extra}
            _log.warning("an instance could not be given back", exc_info=True, extra=extra)

    @abc.abstractmethod
    def _not_run(self, instance_id: int, error: str, reports: list[PollReport]) -> list[PollReport]:
        """Return the reports of a run that could not claim or keep the instance."""

    @abc.abstractmethod
    def _work(self, lease: InstanceLease, started: dt.datetime, reports: list[PollReport]) -> None:
        """Do the work of a run, and append its reports."""

    @abc.abstractmethod
    def _release(
        self,
        session: orm.Session,
        instance: Instance,
        lease: InstanceLease,
        started: dt.datetime,
        reports: list[PollReport],
    ) -> None:
        """Count the run and release the instance, whose row is locked."""

    @abc.abstractmethod
    def _give_back(self, session: orm.Session, lease: InstanceLease, exc: BaseException) -> None:
        """Release the instance after an error, so that it is tried again, but not at once."""

    @abc.abstractmethod
    def _recorded(self, poll: PollSession, run: ResourceRun, batch: Batch) -> bool:
        """Use a batch that was committed; return whether to read the next one."""

    @abc.abstractmethod
    def _failed(self, poll: PollSession, run: ResourceRun, exc: Exception) -> None:
        """Schedule the next attempt of a resource that failed."""

    def _hold(
        self, lease: InstanceLease, poll: PollSession, exc: AnotherStoreError, now: dt.datetime
    ) -> Hold:
        """Record nothing of the store until it is proved to be the known one."""
        belief, before = poll.judge.belief, poll.judge.belief.hold
        belief.reverse(now)
        if before is not None and (alternation := self._alternation(lease, poll, now)):
            return alternation
        if exc.root:
            hold = poll.judge.examine(exc.root, now, before)
        else:
            since = now if before is None else before.since
            hold = Hold(Doubt(exc.verdict), since, str(exc))
        return self._begin_hold(lease, belief, hold, now)

    def _begin_hold(
        self, lease: InstanceLease, belief: Belief, hold: Hold, now: dt.datetime
    ) -> Hold:
        before, belief.hold = belief.hold, hold
        with self._database.write() as session:
            lease.renew(session, self._renewer.until)
            belief.save(session, lease.instance_id)
            if before is None or before.verdict is not hold.verdict:
                instance = session.get_one(Instance, lease.instance_id)
                notices.add(instance, "hold", hold.text(instance.id), now)
                operational.begin(session, instance, _replaced(instance, hold), now)
        return hold

    def _alternation(
        self, lease: InstanceLease, poll: PollSession, now: dt.datetime
    ) -> Hold | None:
        """Hold if several stores answer in turn, or go on holding; otherwise return ``None``."""
        belief = poll.judge.belief
        if not belief.alternates(now):
            return None
        since = now if belief.hold is None else belief.hold.since
        hold = Hold(Doubt.ALTERNATING, since, ALTERNATING_REASON)
        return hold if hold == belief.hold else self._begin_hold(lease, belief, hold, now)

    def _is_back(self, poll: PollSession) -> bool:
        """Return whether the known store answers again; then the hold ends.

        :raises AnotherStoreError: it gives another address as its own.
        """
        belief, now = poll.judge.belief, self._runtime.clock()
        try:
            back = poll.judge.probe()
        except (AnotherStoreError, OutOfPatienceError):
            raise
        except TransportError:
            return False
        if not back:
            belief.reverse(now)
        if not back or self._alternation(poll.lease, poll, now) is not None:
            return False
        belief.hold, number = None, poll.lease.instance_id
        _log.info("instance %d: its store is back", number, extra=poll.lease.extra)
        with self._database.write() as session:
            poll.lease.renew(session, self._renewer.until)
            belief.save(session, number)
            text = "The known store answers again; what happened meanwhile is read."
            instance = session.get_one(Instance, number)
            notices.add(instance, "hold ended", text, now)
            known = Occurrence(kind="store.recognized", text=text)
            operational.end(session, instance, known, now)
        return True

    def _pass_gate(self, poll: PollSession) -> Gate:
        """Record the deletions that the gate lets pass; notice what a restore looks like."""
        for run in poll.runs:
            if run.report.error is None and not self._stopped():
                self._record(poll, run, poll.read_missing(run))
        gate = Gate(poll, poll.judge.belief, self._runtime.clock())
        for run, gone in gate.weigh():
            if run.report.error is None and not self._stopped():
                self._confirm(poll, run, gate, gone)
        if gate.newest_gone or any(run.recorder.older for run in poll.runs):
            poll.compare_all_next(self._runtime.clock())
        return gate

    def _confirm(
        self, poll: PollSession, run: ResourceRun, gate: Gate, gone: cabc.Sequence[str]
    ) -> None:
        """Record what the second witness says of missing objects."""
        self._record(poll, run, gate.confirm(run, gone))

    def _record(self, poll: PollSession, run: ResourceRun, batches: cabc.Generator[Batch]) -> None:
        """Record what a resource yields; report its cost and its failure."""
        report = run.report
        before, began = poll.client.requests_made, time.monotonic()
        try:
            with contextlib.closing(batches):
                for batch in batches:
                    run.recorder.record(batch, self._runtime.clock())
                    if not self._recorded(poll, run, batch):
                        break
        except (LeaseLostError, AnotherStoreError, SchemaError, OutOfPatienceError):
            raise
        except WooEventsError as exc:
            if (patience := current_patience()) is not None and patience.exhausted:
                raise OutOfPatienceError(str(exc)) from exc
            report.error = str(exc)
            self._failed(poll, run, exc)
        except Exception as exc:
            if is_away(exc):
                raise  # The database failed, not the resource; the instance stays due.
            # A bug that one resource triggers must not stop the others.
            exc.args = tuple(
                poll.client.hide(one) if isinstance(one, str) else one for one in exc.args
            )
            report.error = f"{type(exc).__name__}: {words(exc)}"
            self._failed(poll, run, exc)
            _log.exception("reading %s failed", report.resource, extra=extra_of(report))
        finally:
            run.oddities |= poll.client.oddities.take()
            report.requests += poll.client.requests_made - before
            report.seconds = round(report.seconds + time.monotonic() - began, 3)
            report.observed, report.events = run.recorder.observed, run.recorder.events


def _replaced(instance: Instance, hold: Hold) -> Occurrence:
    return Occurrence(
        kind="store.replaced",
        text=hold.reason,
        since=hold.since,
        costs="Nothing is sent; what happens meanwhile is sent afterwards.",
        ends="A poll that is answered by the known store, or a person who accepts this one.",
        command=f"flask woo instances accept {instance.id}",
    )


def extra_of(report: PollReport) -> dict[str, object]:
    """Return the fields that a log line about a report carries."""
    return {"action": "poll", **dataclasses.asdict(report)}
