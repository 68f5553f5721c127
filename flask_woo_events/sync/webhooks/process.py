"""Settling: what webhooks hinted at, asked of the store at once and told."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import logging
import threading
import time

import sqlalchemy as sa
from sqlalchemy import orm

from ...db.leases import InstanceLease, LeaseRenewer, claim_instance
from ...db.models import Instance, PollerState, Source
from ...errors import LeaseLostError, StoreError, StoreRestoredError, WooEventsError
from ...events import webhook_coverage
from ...runtime import Runtime
from ...woocommerce.webhooks import GONE_BELOW
from .. import hint_routing, usage
from ..backoff import pause
from ..poll_session import PollSession, ResourceRun, open_turn
from ..reading.base import Batch
from ..report import PollReport
from . import inbox
from .inbox import Waiting
from .parse import Hint

_log = logging.getLogger(__name__)

#: Codes of coupons that are looked for at once; the next poll reads all coupons.
_CODES = 20
#: A store is not polled more often than this because of webhooks that name no object.
_POLL_APART = dt.timedelta(minutes=1)


class HintProcessor:
    """Looks after arrivals, one instance at a time.

    :param stopped: asked between commits.
    """

    def __init__(
        self,
        runtime: Runtime,
        keeper: LeaseRenewer,
        stopped: cabc.Callable[[], bool] = lambda: False,
    ) -> None:
        self._runtime = runtime
        self._database = runtime.database
        self._keeper = keeper
        self._stopped = stopped
        #: Failures in a row, and when to try again, of instances whose store does not answer.
        self._failing: dict[int, tuple[int, dt.datetime]] = {}
        self._lock = threading.Lock()

    def due(self, *, instance_id: int | None = None) -> list[int]:
        """Instances with something to look after.

        :param instance_id: only this one.
        """
        now = self._runtime.clock()
        with self._database.read() as session:
            waiting = inbox.instances(session, now, instance_id)
        with self._lock:
            return [one for one in waiting if self._failing.get(one, (0, now))[1] <= now]

    def run(self, instance_id: int) -> list[PollReport]:
        """Look after all arrivals of an instance, unless another worker has it."""
        with self._database.write() as session:
            lease = claim_instance(session, instance_id, self._runtime.clock(), self._keeper.length)
        if lease is None:
            return []
        reports: list[PollReport] = []
        try:
            with self._keeper.hold(lease):
                while not self._stopped() and self._batch(lease, reports):
                    pass
        except LeaseLostError as exc:
            _log.warning("%s", exc, extra={"action": "lease_lost", "instance": instance_id})
            return reports
        self._tell(instance_id, reports)
        with self._database.write() as session:
            if reports:
                usage.add(session, instance_id, reports, self._runtime.clock())
            lease.release(session, None, None)
        return reports

    def _tell(self, instance_id: int, reports: cabc.Sequence[PollReport]) -> None:
        events = sum(report.events for report in reports)
        requests = sum(report.requests for report in reports)
        extra = {"action": "settle", "instance": instance_id, "events": events}
        _log.info(
            "looked after webhooks of instance %d: %d events, %d requests",
            instance_id, events, requests, extra={**extra, "requests": requests},
        )  # fmt: skip

    def _batch(self, lease: InstanceLease, reports: list[PollReport]) -> bool:
        """Look after some arrivals; false when there are no more, or the store does not answer."""
        with self._database.read() as session:
            waiting = inbox.waiting(session, lease.instance_id)
        if waiting is None:
            return False
        turn = open_turn(
            self._runtime, self._keeper, lease, lambda poller: poller.state != PollerState.DISABLED
        )
        named = {
            job.stream.poller_id: hint_routing.name(job, waiting.hints, astray=hint_routing.POSTS)
            for job in turn.jobs
        }
        try:
            for job in _twice(turn):
                if job.look.candidates or job.look.again or job.look.parents:
                    self._settle(turn, job)
        except StoreRestoredError as exc:
            # A poll starts over; it sees what the arrivals are about.
            extra = {"action": "restored", "instance": lease.instance_id}
            _log.warning("instance %d: %s", lease.instance_id, exc, extra=extra)
            self._finish(lease, turn, waiting, {}, poll_now=True)
            return False
        finally:
            reports += [job.report for job in turn.jobs if job.reading is not None]
        failed = next((job.report.error for job in turn.jobs if job.report.error), None)
        if failed is not None:
            return False
        with self._lock:
            self._failing.pop(lease.instance_id, None)
        self._finish(lease, turn, waiting, named, poll_now=_unnamed(turn, waiting.hints))
        return True

    def _settle(self, turn: PollSession, job: ResourceRun) -> None:
        before, began = turn.client.requests_made, time.monotonic()
        try:
            with contextlib.closing(turn.settle(job, Source.WEBHOOK)) as batches:
                for batch in batches:
                    job.book.enter(batch, self._runtime.clock())
                    _hint_at_coupons(turn, job, batch)
        except (LeaseLostError, StoreRestoredError):
            raise
        except WooEventsError as exc:
            job.report.error = str(exc)
            self._later(turn, exc)
        finally:
            job.report.requests += turn.client.requests_made - before
            job.report.seconds += round(time.monotonic() - began, 3)
            job.report.observed, job.report.events = job.book.observed, job.book.events
            job.look.again.clear()

    def _later(self, turn: PollSession, exc: WooEventsError) -> None:
        """What is in doubt stays so until the store answers again."""
        number, now = turn.lease.instance_id, self._runtime.clock()
        asked = exc.retry_after if isinstance(exc, StoreError) else None
        with self._lock:
            failures = self._failing.get(number, (0, now))[0] + 1
            wait = pause(failures, interval=turn.interval, asked=asked) / 6
            self._failing[number] = (failures, now + wait)
        extra = {"action": "settle", "instance": number}
        _log.warning("webhooks of instance %d wait: %s", number, exc, extra=extra)

    def _finish(
        self,
        lease: InstanceLease,
        turn: PollSession,
        waiting: Waiting,
        named: cabc.Mapping[int, cabc.Mapping[str, int]],
        *,
        poll_now: bool,
    ) -> None:
        now = self._runtime.clock()
        with self._database.write() as session:
            lease.renew(session, self._keeper.until())
            inbox.remove(session, waiting)
            for job in turn.jobs:
                if counts := named.get(job.stream.poller_id):
                    judged = webhook_coverage.judge(
                        session, job.stream.poller_id, counts, job.book.changed, now
                    )
                    webhook_coverage.add(
                        session, lease.instance_id, job.stream.resource, judged, now
                    )
            if poll_now:
                _poll_soon(session, lease.instance_id, now)


def _twice(turn: PollSession) -> cabc.Iterator[ResourceRun]:
    """The jobs; and once more those to which another one hinted meanwhile."""
    yield from turn.in_order()
    yield from hint_routing.again(turn, turn.in_order())


def _hint_at_coupons(turn: PollSession, job: ResourceRun, batch: Batch) -> None:
    """A changed order may have used a coupon, of which no webhook tells (5.9 to 11.0)."""
    coupons = [one for one in turn.jobs if one.collection.hub_name == "discounts"]
    if job.collection.hub_name != "orders" or not coupons or batch.sighting is None:
        return
    bodies = [
        seen.body
        for seen in batch.sighting.observations
        if seen.body is not None and seen.object_id in job.book.changed
    ]
    lines = [line for body in bodies for line in body.get("coupon_lines") or ()]
    codes = {str(line.get("code") or "") for line in lines if isinstance(line, dict)} - {""}
    numbers = turn.coupons(sorted(codes)[:_CODES])
    for one in coupons:
        one.look.candidates |= numbers


def _unnamed(turn: PollSession, hints: cabc.Sequence[Hint]) -> bool:
    """Whether something happened to an object that only a poll can find."""
    whole = {
        job.collection.hub_name
        for job in turn.jobs
        if not job.collection.orders_by_id or job.book.cursor.state is PollerState.BASELINE
    }
    polled = {job.collection.hub_name for job in turn.jobs}
    return any(
        hint.object_id is None
        or hint.collection in whole
        or (hint.topic in GONE_BELOW and hint.collection not in polled)
        for hint in hints
    )


def _poll_soon(session: orm.Session, instance_id: int, now: dt.datetime) -> None:
    due = now + _POLL_APART
    session.execute(
        sa.update(Instance)
        .where(Instance.id == instance_id, Instance.next_poll_at > due)
        .values(next_poll_at=due, regular_poll_at=due)
        .execution_options(synchronize_session=False)
    )
