"""The dispatch of deliveries: claimed, attempted, settled."""

from __future__ import annotations

import collections
import collections.abc as cabc
import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import logging
import random
import threading

import sqlalchemy as sa
from sqlalchemy import orm

from . import profiles
from .errors import WooEventsError
from .flow import claims, delivery
from .flow.claims import Claimed, Settled, Settlement
from .flow.delivery import Target
from .flow.notification import Sender
from .flow.retry import JITTER, Outcome, Policy, Verdict, decide, hold, span
from .leases import DeliveryLease, Keeper
from .models import Channel, DeliveryStatus
from .runtime import Runtime
from .signals import subscription_stopped

_log = logging.getLogger(__name__)

#: The longest pause between two looks at what other processes gave us to do, seconds.
LOOK_EVERY = 1.0


@dataclasses.dataclass(kw_only=True)
class DispatchReport:
    """What came of the deliveries that were due."""

    delivered: int = 0
    failed: int = 0


@dataclasses.dataclass(frozen=True)
class Address:
    """What a delivery is sent with, and by which policy it is tried again."""

    sender: Sender
    target: Target
    policy: Policy


class Dispatch:
    """Sends what is due.

    :param keeper: renews the leases while callbacks are slow.
    :param chance: random numbers for the jitter.
    :param stopped: asked between two claims.
    """

    def __init__(
        self,
        runtime: Runtime,
        keeper: Keeper,
        *,
        chance: cabc.Callable[[], float] = random.random,
        stopped: cabc.Callable[[], bool] = lambda: False,
    ) -> None:
        self._runtime = runtime
        self._keeper = keeper
        self._chance = chance
        self._stopped = stopped
        self._threads = runtime.settings.deliver_threads
        #: Deliveries on their way, by subscription.
        self._running: collections.Counter[int] = collections.Counter()
        self._lock = threading.Lock()
        #: Set when there may be something to claim, or room for it.
        self.wake = threading.Event()

    def run(self, *, forever: bool = False) -> DispatchReport:
        """Deliver until nothing more is due.

        :param forever: wait for more instead of ending, until ``stopped``.
        """
        report = DispatchReport()
        with concurrent.futures.ThreadPoolExecutor(self._threads, "woo-deliver") as pool:
            while not self._stopped():
                self.wake.clear()
                # Asked first: what ends meanwhile may give more to do.
                busy = self._busy()
                claimed = self._claim(forever)
                if claimed:
                    lease = contextlib.ExitStack()
                    lease.enter_context(self._keeper.hold(DeliveryLease(claimed[0][0].token)))
                    left = _Countdown(len(claimed), lease.close)
                    for one, address in claimed:
                        pool.submit(self._deliver, one, address, report, left)
                    continue
                if not forever and not busy:
                    break
                self.wake.wait(LOOK_EVERY)
        return report

    def _busy(self) -> int:
        with self._lock:
            return self._running.total()

    def _claim(self, forever: bool) -> list[tuple[Claimed, Address | WooEventsError]]:
        # One subscription never has all the threads: others must not wait for a slow one.
        each = max(1, self._threads // 4)
        with self._lock:
            room = self._threads - self._running.total()
            busy = [one for one, count in self._running.items() if count >= each]
        if not room:
            return []
        try:
            with self._runtime.database.write() as session:
                found = claims.claim(
                    session,
                    self._runtime.clock(),
                    self._keeper.length,
                    room,
                    each=each,
                    busy=busy,
                )
                addresses = self._addresses(session, found)
        except sa.exc.SQLAlchemyError:
            if not forever:
                raise
            _log.warning("the database does not answer; trying again", exc_info=True)
            return []
        with self._lock:
            self._running.update(one.subscription_id for one in found)
        return list(zip(found, addresses, strict=True))

    def _deliver(
        self,
        claimed: Claimed,
        address: Address | WooEventsError,
        report: DispatchReport,
        left: _Countdown,
    ) -> None:
        try:
            outcome = self._attempt(claimed, address)
            self._settle(claimed, outcome, address)
            with self._lock:
                report.delivered += outcome.delivered
                report.failed += not outcome.delivered
        except Exception:
            # Its lease ends by itself, and then it is tried again.
            _log.exception("a delivery failed", extra=_extra(claimed, "delivery_error"))
        finally:
            left.one_less()
            with self._lock:
                self._running[claimed.subscription_id] -= 1
                if not self._running[claimed.subscription_id]:
                    del self._running[claimed.subscription_id]
            self.wake.set()

    def _attempt(self, claimed: Claimed, address: Address | WooEventsError) -> Outcome:
        if isinstance(address, WooEventsError):
            # For example a key that is missing from the configuration: it can be mended.
            return Outcome(delivered=False, reason=str(address))
        if self._runtime.settings.coalesce:
            with self._runtime.database.read() as session:
                superseded = claims.superseded(session, claimed)
            told = claimed.notification
            events = tuple(one for one in told.events if one.id not in superseded)
            if not events:
                return Outcome(delivered=True, sent=False, reason="superseded by later versions")
            told = dataclasses.replace(told, events=events)
            claimed = dataclasses.replace(claimed, notification=told)
        if claimed.channel == Channel.HANDLER:
            return self._runtime.handlers.call(claimed, address.sender, self._runtime.context)
        return delivery.attempt(
            self._runtime.callback_session,
            claimed.notification,
            claimed.url,
            address.sender,
            address.target,
            timeouts=self._runtime.callback_timeouts,
            now=self._runtime.clock(),
        )

    def _settle(
        self, claimed: Claimed, outcome: Outcome, address: Address | WooEventsError
    ) -> None:
        """Write how it ended, together with others, and say so."""
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
        held_until = None
        if verdict.status is DeliveryStatus.RETRY:
            held_until = hold(claimed.failures + 1, outcome.retry_after, now)
            whole = span(settings.retry_schedule) * (1 + JITTER)
            if claimed.failing_since is not None and now - claimed.failing_since > whole:
                # Each of many notifications had few attempts; the callback had all of them.
                verdict = Verdict(DeliveryStatus.QUEUED, deactivate=True)
        settlement = Settlement(claimed, outcome, verdict, held_until)
        settled = self._runtime.group_commit(settle).write((settlement, now))
        if not settled.ours:
            extra = _extra(claimed, "lease_lost")
            _log.warning("notification %d was taken over", claimed.notification.id, extra=extra)
            return
        level = logging.ERROR if verdict.status is DeliveryStatus.QUEUED else logging.INFO
        extra = _extra(claimed, f"delivery_{verdict.status.value}")
        _log.log(level, "notification %d: %s", claimed.notification.id, outcome.reason, extra=extra)
        if settled.stopped:
            self._runtime.send(
                subscription_stopped,
                instance_id=claimed.notification.instance_id,
                subscription_id=claimed.subscription_id,
                reason=outcome.reason,
            )

    def _addresses(
        self, session: orm.Session, claimed: cabc.Sequence[Claimed]
    ) -> list[Address | WooEventsError]:
        found: dict[int, Address | WooEventsError] = {}
        for instance_id in {one.notification.instance_id for one in claimed}:
            try:
                found[instance_id] = self._address(session, instance_id)
            except WooEventsError as exc:
                found[instance_id] = exc
        return [found[one.notification.instance_id] for one in claimed]

    def _address(self, session: orm.Session, instance_id: int) -> Address:
        sender = profiles.load_sender(session, instance_id)
        runtime = self._runtime
        target = profiles.load_target(session, runtime.cipher, instance_id, runtime.retired_after)
        policy = profiles.load_policy(session, instance_id) or self._runtime.settings.failure_policy
        return Address(sender, target, "queue" if policy == "queue" else "retry")


def settle(
    session: orm.Session, ended: cabc.Sequence[tuple[Settlement, dt.datetime]]
) -> list[Settled]:
    """Write attempts that ended at the same time."""
    return claims.settle(session, [one for one, _ in ended], max(now for _, now in ended))


class _Countdown:
    """Does something when the last of several is done."""

    def __init__(self, count: int, then: cabc.Callable[[], None]) -> None:
        self._left = count
        self._then = then
        self._lock = threading.Lock()

    def one_less(self) -> None:
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self._then()


def _extra(claimed: Claimed, action: str) -> dict[str, object]:
    return {
        "action": action,
        "instance": claimed.notification.instance_id,
        "notification": claimed.notification.id,
        "delivery": claimed.delivery_id,
    }
