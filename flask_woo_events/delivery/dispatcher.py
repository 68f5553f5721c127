"""The dispatcher: claims deliveries, attempts them, and has their results written."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import dataclasses
import datetime as dt
import logging
import random
import threading
import time

import sqlalchemy as sa

from ..db.database import is_away
from ..db.leases import LeaseRenewer
from ..errors import WooEventsError
from ..events.delivery_states import DeliveryLease
from ..instances import restored
from ..runtime import Runtime
from . import attempts, claims, destination, isolation
from .claims import ClaimedDelivery
from .destination import AddressOrError
from .queues import SubscriptionQueues
from .result_writer import EndedAttempt, ResultWriter, extra_of
from .results import AttemptResult, WrittenResult
from .retry import AttemptOutcome, RetryRules

_log = logging.getLogger(__name__)

#: Deliveries that one process claims ahead for each of its threads; the rest is left to others.
CLAIMED_FOR_A_THREAD = 12
#: A deadlock of two workers makes the database end one of their transactions.
CLAIM_ATTEMPTS = 3
#: Delay before claiming again after the database was unreachable, seconds.
AFTER_OUTAGE = 2.0
#: The longest pause between two claims, and between two checks of running attempts, seconds.
CLAIM_EVERY = 1.0
CHECK_EVERY = 0.005


@dataclasses.dataclass(kw_only=True)
class DispatchReport:
    """How many attempts succeeded and failed."""

    delivered: int = 0
    failed: int = 0


class Dispatch:
    """Delivers what is due.

    :param renewer: renews the leases while callbacks are slow.
    :param chance: random numbers from 0 to 1, for the jitter.
    :param stopped: called between two claims; true ends the dispatch.
    :param gives_up: called while the database is unreachable; true ends the attempts to write
        results, so that what was sent is sent again; by default ``stopped``.
    """

    def __init__(
        self,
        runtime: Runtime,
        renewer: LeaseRenewer,
        *,
        chance: cabc.Callable[[], float] = random.random,
        stopped: cabc.Callable[[], bool] = lambda: False,
        gives_up: cabc.Callable[[], bool] | None = None,
    ) -> None:
        self._runtime = runtime
        self._renewer = renewer
        self._chance = chance
        self._stopped = stopped
        threads = runtime.settings.deliver_threads
        self._queues: SubscriptionQueues[AddressOrError] = SubscriptionQueues(
            max(1, threads // 2), threads * CLAIMED_FOR_A_THREAD
        )
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, "woo-deliver")
        self._results = ResultWriter(runtime, self._written, gives_up or stopped)
        self._counting = threading.Lock()
        self._report = DispatchReport()
        #: Threads that deliver, and before when no more are started; seconds, monotonic.
        self._working = 0
        self._threads_after = 0.0
        self._pause = threading.Event()
        #: When the next subscription is due, as of the last claim that found nothing.
        self._next_due_at: dt.datetime | None = None
        #: Set when a delivery may be due.
        self.wake = threading.Event()

    def run(self, *, forever: bool = False) -> DispatchReport:
        """Deliver until nothing more is due; call it once.

        :param forever: wait for more instead of ending, until ``stopped``.
        """
        try:
            with self._pool:
                try:
                    self._run(forever)
                finally:
                    self._give_back(self._queues.drain())
        finally:
            # On every way out: a lease that is renewed for no attempt would never end.
            for token in self._queues.unfinished:
                self._renewer.remove(DeliveryLease(token))
        return self._report

    def _run(self, forever: bool) -> None:
        while not self._stopped():
            self.wake.clear()
            # Read before the claim: an attempt that ends during it may make others due.
            busy = self._queues.busy
            claimed = self._claim(forever)
            self._queues.add(claimed)
            self._check()
            if claimed:
                continue
            if not forever and not busy:
                break
            self._wait()

    def _wait(self) -> None:
        """Wait until a delivery may be due, checking the running attempts."""
        until = time.monotonic() + CLAIM_EVERY
        if self._next_due_at is not None:
            left = (self._next_due_at - self._runtime.clock()).total_seconds()
            until = min(until, time.monotonic() + max(left, 0.0))
        while not self._stopped() and (left := until - time.monotonic()) > 0:
            running = self._queues.waiting or self._results.waiting
            if self.wake.wait(min(left, CHECK_EVERY) if running else left):
                return
            self._check()

    def _check(self) -> None:
        self._results.write_old()
        if time.monotonic() < self._threads_after or not self._queues.needs_thread():
            return
        try:
            self._pool.submit(self._work)
        except RuntimeError:
            # The system starts no more threads. Those that run go on; without any, another worker
            # must get what is claimed.
            if not self._working:
                raise
            self._threads_after = time.monotonic() + CLAIM_EVERY
            extra = {"action": "deliver"}
            _log.warning("no thread could be started", exc_info=True, extra=extra)

    def _claim(self, forever: bool) -> list[tuple[ClaimedDelivery, AddressOrError]]:
        if self._queues.full:
            return []
        for attempt in range(CLAIM_ATTEMPTS):
            try:
                if self._runtime.database.away:
                    self._await_database()
                if (found := self._claim_once()) is not None:
                    return found
            except sa.exc.SQLAlchemyError as exc:
                self._runtime.database.away = is_away(exc)
                if not forever and attempt == CLAIM_ATTEMPTS - 1:
                    raise
                extra = {"action": "claim"}
                _log.warning(
                    "the database refused a claim; trying again", exc_info=True, extra=extra
                )
        return []

    def _await_database(self) -> None:
        """Wait after an outage until others have written the results of leases that ended.

        :raises sqlalchemy.exc.SQLAlchemyError: the database is still unreachable.
        """
        with self._runtime.database.read() as session:
            session.execute(sa.select(1))
        self._pause.wait(AFTER_OUTAGE)
        self._runtime.database.away = False

    def _claim_once(self) -> list[tuple[ClaimedDelivery, AddressOrError]] | None:
        """Claim deliveries; return ``None`` if that must be tried again after a pause."""
        runtime, length, began = self._runtime, self._renewer.length, time.monotonic()
        with runtime.database.write() as session:
            if time.monotonic() - began > length.total_seconds() / 2:
                # Others waited as long for SQLite's lock, and first renew their leases.
                runtime.database.away = True
                return None
            found = claims.claim(
                session,
                runtime.clock(),
                length,
                self._queues.claim_size,
                busy=self._queues.full_subscriptions(),
                held=[one.token for one in self._renewer.held if isinstance(one, DeliveryLease)],
            )
            addresses = destination.addresses(session, self._runtime, found, self._rules)
            self._next_due_at = None if found else claims.next_due(session, runtime.clock())
        if found:
            self._renewer.add(DeliveryLease(found[0].token))
        return list(zip(found, addresses, strict=True))

    def _work(self) -> None:
        """Attempt deliveries as long as there are any."""
        with self._counting:
            self._working += 1
        try:
            while True:
                one, claim_more = self._queues.take()
                if claim_more:
                    self.wake.set()
                if one is None:
                    break
                self._deliver(*one)
            self._results.write()
        finally:
            with self._counting:
                self._working -= 1

    def _deliver(self, claimed: ClaimedDelivery, address: AddressOrError) -> None:
        outcome = self._outcome(claimed, address)
        back = self._queues.attempt_ended(claimed, outcome)
        if outcome is None:
            self._give_back([claimed])
            return
        rules = self._rules if isinstance(address, WooEventsError) else address.rules
        rules = dataclasses.replace(rules, chance=self._chance())
        result = AttemptResult(claimed, outcome, rules)
        self._results.add(EndedAttempt(result, self._runtime.clock(), back))

    def _outcome(self, claimed: ClaimedDelivery, address: AddressOrError) -> AttemptOutcome | None:
        """Attempt a delivery, and return its outcome; ``None`` if nothing was attempted."""
        try:
            return attempts.attempt(self._runtime, claimed, address, self._pause.wait)
        except BaseException as exc:
            extra = extra_of(claimed, "delivery_error")
            if is_away(exc):
                _log.warning("the database is unreachable", exc_info=True, extra=extra)
                return None
            # Also an exit of the thread: without an outcome it would be attempted for ever.
            _log.exception("a delivery failed", extra=extra)
            reason = f"the worker failed with {type(exc).__name__}, which its log shows"
            return AttemptOutcome(delivered=False, reason=reason)

    def _written(self, ended: EndedAttempt, written: WrittenResult | None) -> None:
        """Finish an attempt whose result is written, or could not be."""
        claimed, outcome = ended.result.claimed, ended.result.outcome
        back = list(ended.back)
        if written is not None:
            with self._counting:
                self._report.delivered += outcome.delivered
                self._report.failed += not (outcome.delivered or outcome.unfinished)
            if written.divides:
                self._isolate(claimed)
            if written.stopped:
                back += self._queues.stop(claimed.subscription_id)
        self._give_back(back)
        self._finish(claimed)
        if written is not None and written.awaited:
            self.wake.set()

    def _isolate(self, claimed: ClaimedDelivery) -> None:
        handler = self._runtime.handlers.get(claimed.url)
        route = handler.route if handler is not None else None
        try:
            # The parts get new ids.
            restored.look(self._runtime)
            divided = self._runtime.database.transact(
                lambda session: isolation.isolate(session, claimed, route, self._runtime.clock)
            )
        except (sa.exc.SQLAlchemyError, WooEventsError):
            # It stays as it is until it fails again.
            extra = extra_of(claimed, "isolate")
            _log.warning("a notification could not be divided", exc_info=True, extra=extra)
        else:
            if divided:
                restored.keep(self._runtime)
                self.wake.set()

    def _give_back(self, claimed: cabc.Sequence[ClaimedDelivery]) -> None:
        if not claimed:
            return
        try:
            with self._runtime.database.write() as session:
                claims.give_back(session, claimed, self._runtime.clock())
        except (sa.exc.SQLAlchemyError, WooEventsError):
            # Any worker claims them when their leases end.
            extra = {"action": "give_back"}
            _log.warning("deliveries could not be given back", exc_info=True, extra=extra)
        finally:
            for one in claimed:
                self._finish(one)

    def _finish(self, claimed: ClaimedDelivery) -> None:
        if self._queues.finish(claimed):
            self._renewer.remove(DeliveryLease(claimed.token))
            self.wake.set()

    @property
    def _rules(self) -> RetryRules:
        """The application's rules, for organisations that have set none."""
        settings = self._runtime.settings
        return RetryRules(settings.retry_schedule, settings.failure_policy)
