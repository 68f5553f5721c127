"""The dispatch of deliveries: claimed, attempted, settled."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import dataclasses
import logging
import random
import threading
import time

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.database import is_away
from ..db.leases import DeliveryLease, LeaseRenewer
from ..db.models import Channel, DeliveryStatus
from ..errors import WooEventsError
from ..runtime import Runtime
from . import claims, destination, handler_calls, send
from .claims import ClaimedDelivery
from .payload import Sender
from .queues import SubscriptionQueues
from .result_writer import Ended, ResultWriter, extra_of
from .results import AttemptResult, Settled
from .retry import JITTER, AttemptOutcome, Policy, RetryDecision, decide, span
from .send import CallbackCredentials

_log = logging.getLogger(__name__)

#: Deliveries of one claim.
CLAIMED_AT_ONCE = 100
#: Deliveries that wait in one process for each of its threads; more may be claimed by others.
CLAIMED_FOR_A_THREAD = 12
#: Two workers may wait for each other's locks; then the database ends one of them.
CLAIM_ATTEMPTS = 3
#: Whoever finds the database back waits so long before he claims, seconds.
AFTER_OUTAGE = 2.0
#: The longest pause between two looks at what other processes gave us to do, and at what is on
#: its way, seconds.
LOOK_EVERY = 1.0
LOOK_AFTER_EVERY = 0.005


@dataclasses.dataclass(kw_only=True)
class DispatchReport:
    """What came of the deliveries that were due."""

    delivered: int = 0
    failed: int = 0


@dataclasses.dataclass(frozen=True)
class Address:
    """What a delivery is sent with, and by which policy it is tried again."""

    sender: Sender
    target: CallbackCredentials
    policy: Policy


Addressed = tuple[ClaimedDelivery, Address | WooEventsError]


class Dispatch:
    """Sends what is due.

    :param keeper: renews the leases while callbacks are slow.
    :param chance: random numbers for the jitter.
    :param stopped: asked between two claims.
    """

    def __init__(
        self,
        runtime: Runtime,
        keeper: LeaseRenewer,
        *,
        chance: cabc.Callable[[], float] = random.random,
        stopped: cabc.Callable[[], bool] = lambda: False,
    ) -> None:
        self._runtime = runtime
        self._keeper = keeper
        self._chance = chance
        self._stopped = stopped
        threads = runtime.settings.deliver_threads
        self._lanes: SubscriptionQueues[Address | WooEventsError] = SubscriptionQueues(
            max(1, threads // 2), threads * CLAIMED_FOR_A_THREAD
        )
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, "woo-deliver")
        self._outcomes = ResultWriter(runtime, self._written, stopped)
        self._counting = threading.Lock()
        self._report = DispatchReport()
        #: The last claim failed because the database was away.
        self._away = False
        self._pause = threading.Event()
        #: Set when there may be something to claim.
        self.wake = threading.Event()

    def run(self, *, forever: bool = False) -> DispatchReport:
        """Deliver until nothing more is due; once.

        :param forever: wait for more instead of ending, until ``stopped``.
        """
        with self._pool:
            while not self._stopped():
                self.wake.clear()
                # Asked first: what ends meanwhile may give more to do.
                busy = self._lanes.busy
                claimed = self._claim(forever)
                self._lanes.enter(claimed)
                self._look_after()
                if claimed:
                    continue
                if not forever and not busy:
                    break
                self._wait()
            self._give_back(self._lanes.leave())
        return self._report

    def _wait(self) -> None:
        """Until there may be something to claim, looking after what is on its way."""
        until = time.monotonic() + LOOK_EVERY
        while not self._stopped() and (left := until - time.monotonic()) > 0:
            under_way = self._lanes.waiting or self._outcomes.waiting
            if self.wake.wait(min(left, LOOK_AFTER_EVERY) if under_way else left):
                return
            self._look_after()

    def _look_after(self) -> None:
        self._outcomes.write_old()
        if self._lanes.short():
            self._pool.submit(self._work)

    def _claim(self, forever: bool) -> list[tuple[ClaimedDelivery, Address | WooEventsError]]:
        if self._lanes.full:
            return []
        for attempt in range(CLAIM_ATTEMPTS):
            try:
                if self._away:
                    self._come_back()
                return self._claim_once()
            except sa.exc.SQLAlchemyError as exc:
                self._away = is_away(exc)
                if not forever and attempt == CLAIM_ATTEMPTS - 1:
                    raise
                extra = {"action": "claim"}
                _log.warning(
                    "the database refused a claim; trying again", exc_info=True, extra=extra
                )
        return []

    def _come_back(self) -> None:
        """After an outage leave those alone that have something to write down: their leases ended.

        :raises sqlalchemy.exc.SQLAlchemyError: the database is still away.
        """
        with self._runtime.database.read() as session:
            session.execute(sa.select(1))
        self._pause.wait(AFTER_OUTAGE)
        self._away = False

    def _claim_once(self) -> list[tuple[ClaimedDelivery, Address | WooEventsError]]:
        runtime = self._runtime
        with runtime.database.write() as session:
            found = claims.claim(
                session,
                runtime.clock(),
                self._keeper.length,
                CLAIMED_AT_ONCE,
                busy=self._lanes.ahead(),
            )
            addresses = self._addresses(session, found)
        if found:
            self._keeper.add(DeliveryLease(found[0].token))
        return list(zip(found, addresses, strict=True))

    def _work(self) -> None:
        """Make deliveries, whosever turn it is, as long as there are any."""
        while True:
            one, few = self._lanes.take()
            if few:
                self.wake.set()
            if one is None:
                break
            self._deliver(*one)
        self._outcomes.write()

    def _deliver(self, claimed: ClaimedDelivery, address: Address | WooEventsError) -> None:
        try:
            outcome = self._attempt(claimed, address)
            verdict = self._verdict(claimed, outcome, address)
        except Exception:
            # Its lease ends by itself, and then it is tried again.
            _log.exception("a delivery failed", extra=extra_of(claimed, "delivery_error"))
            self._lanes.ended(claimed, None)
            self._done(claimed)
        else:
            back = self._lanes.ended(claimed, outcome)
            settlement = AttemptResult(claimed, outcome, verdict)
            self._outcomes.add(Ended(settlement, self._runtime.clock(), back))

    def _written(self, ended: Ended, settled: Settled | None) -> None:
        """Go on after an outcome that is written, or that could not be."""
        claimed, outcome = ended.settlement.claimed, ended.settlement.outcome
        back = list(ended.back)
        if settled is not None:
            with self._counting:
                self._report.delivered += outcome.delivered
                self._report.failed += not outcome.delivered
            if settled.stopped:
                back += self._lanes.stop(claimed.subscription_id)
        self._give_back(back)
        self._done(claimed)
        if settled is not None and settled.awaited:
            self.wake.set()

    def _give_back(self, claimed: cabc.Sequence[ClaimedDelivery]) -> None:
        if not claimed:
            return
        try:
            with self._runtime.database.write() as session:
                claims.give_back(session, claimed, self._runtime.clock())
        except (sa.exc.SQLAlchemyError, WooEventsError):
            # They are claimed again when their leases end.
            extra = {"action": "give_back"}
            _log.warning("deliveries could not be given back", exc_info=True, extra=extra)
        finally:
            for one in claimed:
                self._done(one)

    def _done(self, claimed: ClaimedDelivery) -> None:
        if self._lanes.done(claimed):
            self._keeper.remove(DeliveryLease(claimed.token))
            self.wake.set()

    def _attempt(
        self, claimed: ClaimedDelivery, address: Address | WooEventsError
    ) -> AttemptOutcome:
        if isinstance(address, WooEventsError):
            # For example a key that is missing from the configuration: it can be mended.
            return AttemptOutcome(delivered=False, reason=str(address))
        if self._runtime.settings.coalesce:
            with self._runtime.database.read() as session:
                superseded = claims.superseded(session, claimed)
            told = claimed.notification
            events = tuple(one for one in told.events if one.id not in superseded)
            if not events:
                return AttemptOutcome(
                    delivered=True, sent=False, reason="superseded by later versions"
                )
            told = dataclasses.replace(told, events=events)
            claimed = dataclasses.replace(claimed, notification=told)
        if claimed.channel == Channel.HANDLER:
            return handler_calls.call(
                self._runtime.handlers, claimed, address.sender, self._runtime.context
            )
        return send.attempt(
            self._runtime.callback_session,
            claimed.notification,
            claimed.url,
            address.sender,
            address.target,
            timeouts=self._runtime.callback_timeouts,
            now=self._runtime.clock(),
        )

    def _verdict(
        self, claimed: ClaimedDelivery, outcome: AttemptOutcome, address: Address | WooEventsError
    ) -> RetryDecision:
        """What becomes of a delivery whose attempt ended like this."""
        settings, now = self._runtime.settings, self._runtime.clock()
        policy = settings.failure_policy if isinstance(address, WooEventsError) else address.policy
        verdict = decide(
            outcome,
            attempts=claimed.attempts + 1,
            first_failed_at=claimed.first_failed_at,
            now=now,
            schedule=settings.retry_schedule,
            policy=policy,
            chance=self._chance(),
        )
        if verdict.status is DeliveryStatus.RETRY and claimed.failing_since is not None:
            whole = span(settings.retry_schedule) * (1 + JITTER)
            if now - claimed.failing_since > whole:
                # Each of many notifications had few attempts; the callback had all of them.
                return RetryDecision(DeliveryStatus.QUEUED, deactivate=True)
        return verdict

    def _addresses(
        self, session: orm.Session, claimed: cabc.Sequence[ClaimedDelivery]
    ) -> list[Address | WooEventsError]:
        found: dict[int, Address | WooEventsError] = {}
        for instance_id in {one.notification.instance_id for one in claimed}:
            try:
                found[instance_id] = self._address(session, instance_id)
            except WooEventsError as exc:
                found[instance_id] = exc
        return [found[one.notification.instance_id] for one in claimed]

    def _address(self, session: orm.Session, instance_id: int) -> Address:
        sender = destination.load_sender(session, instance_id)
        runtime = self._runtime
        target = destination.load_target(
            session, runtime.cipher, instance_id, runtime.retired_after
        )
        policy = (
            destination.load_policy(session, instance_id) or self._runtime.settings.failure_policy
        )
        return Address(sender, target, "queue" if policy == "queue" else "retry")
