"""The dispatch of deliveries: claimed, attempted, settled."""

from __future__ import annotations

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
from .database import is_away, words
from .errors import WooEventsError
from .flow import claims, delivery, settlements
from .flow.claims import Claimed
from .flow.delivery import Target
from .flow.notification import Sender
from .flow.retry import JITTER, Outcome, Policy, Verdict, decide, span
from .flow.settlements import Settled, Settlement
from .lanes import Lanes
from .leases import DeliveryLease, Keeper
from .models import Channel, DeliveryStatus
from .runtime import Runtime
from .signals import subscription_stopped

_log = logging.getLogger(__name__)

#: Deliveries of one claim.
CLAIMED_AT_ONCE = 100
#: Two workers may wait for each other's locks; then the database ends one of them.
CLAIM_ATTEMPTS = 3
#: How often an outcome is written again while the database is away, seconds between two and
#: attempts: for ten minutes. Whoever finds the database back waits so long before he claims.
WRITE_AGAIN, WRITE_ATTEMPTS = 0.5, 1200
AFTER_OUTAGE = 2.0
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


Addressed = tuple[Claimed, Address | WooEventsError]


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
        self._lanes: Lanes[Address | WooEventsError] = Lanes(max(1, self._threads // 2))
        self._counting = threading.Lock()
        #: The last claim failed because the database was away.
        self._away = False
        self._pause = threading.Event()
        #: Set when there may be something to claim.
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
                busy = self._lanes.busy
                claimed = self._claim(forever)
                for subscription_id in self._lanes.enter(claimed):
                    pool.submit(self._drive, pool, subscription_id, report)
                if claimed:
                    continue
                if not forever and not busy:
                    break
                self.wake.wait(LOOK_EVERY)
            self._give_back(self._lanes.leave())
        return report

    def _claim(self, forever: bool) -> list[tuple[Claimed, Address | WooEventsError]]:
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

    def _claim_once(self) -> list[tuple[Claimed, Address | WooEventsError]]:
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

    def _drive(
        self,
        pool: concurrent.futures.ThreadPoolExecutor,
        subscription_id: int,
        report: DispatchReport,
    ) -> None:
        """Make one delivery of a subscription, and let the others have their turn."""
        one, few = self._lanes.next(subscription_id)
        if few:
            self.wake.set()
        if one is not None:
            self._deliver(*one, report)
            with contextlib.suppress(RuntimeError):  # The pool is closed: nothing is left to do.
                pool.submit(self._drive, pool, subscription_id, report)

    def _deliver(
        self, claimed: Claimed, address: Address | WooEventsError, report: DispatchReport
    ) -> None:
        try:
            outcome = self._attempt(claimed, address)
            settled = self._settle(claimed, outcome, address)
            with self._counting:
                report.delivered += outcome.delivered
                report.failed += not outcome.delivered
            self._give_back(self._lanes.settled(claimed, outcome, stopped=settled.stopped))
        except Exception:
            # Its lease ends by itself, and then it is tried again.
            _log.exception("a delivery failed", extra=_extra(claimed, "delivery_error"))
        finally:
            self._done(claimed)

    def _give_back(self, claimed: cabc.Sequence[Claimed]) -> None:
        if not claimed:
            return
        try:
            with self._runtime.database.write() as session:
                claims.give_back(session, claimed, self._runtime.clock())
        finally:
            for one in claimed:
                self._done(one)

    def _done(self, claimed: Claimed) -> None:
        if self._lanes.done(claimed):
            self._keeper.remove(DeliveryLease(claimed.token))

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
    ) -> Settled:
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
        if verdict.status is DeliveryStatus.RETRY and claimed.failing_since is not None:
            whole = span(settings.retry_schedule) * (1 + JITTER)
            if now - claimed.failing_since > whole:
                # Each of many notifications had few attempts; the callback had all of them.
                verdict = Verdict(DeliveryStatus.QUEUED, deactivate=True)
        settlement = Settlement(claimed, outcome, verdict)
        settled = self._write(settlement, now)
        if not settled.ours:
            extra = _extra(claimed, "lease_lost")
            _log.warning("notification %d was taken over", claimed.notification.id, extra=extra)
            return settled
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
        return settled

    def _write(self, settlement: Settlement, now: dt.datetime) -> Settled:
        """Write it, again and again while the database is away: the callback has it already."""
        group = self._runtime.group_commit(settle)
        for attempt in range(WRITE_ATTEMPTS):
            try:
                return group.write((settlement, now))
            except sa.exc.SQLAlchemyError as exc:
                last = attempt == WRITE_ATTEMPTS - 1
                if not is_away(exc) or last or self._stopped():
                    raise
                if not attempt:
                    extra = _extra(settlement.claimed, "delivery_unwritten")
                    number = settlement.claimed.notification.id
                    _log.warning(
                        "notification %d: %s; trying again", number, words(exc), extra=extra
                    )
                self._pause.wait(WRITE_AGAIN)
        raise AssertionError("unreachable")

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
    connection: sa.Connection, ended: cabc.Sequence[tuple[Settlement, dt.datetime]]
) -> list[Settled]:
    """Write attempts that ended at the same time."""
    return settlements.settle(connection, [one for one, _ in ended], max(now for _, now in ended))


def _extra(claimed: Claimed, action: str) -> dict[str, object]:
    return {
        "action": action,
        "instance": claimed.notification.instance_id,
        "notification": claimed.notification.id,
        "delivery": claimed.delivery_id,
    }
