"""The dispatch of deliveries: claimed, attempted, settled."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import dataclasses
import datetime as dt
import logging
import random

from . import profiles
from .errors import LeaseLostError, WooEventsError
from .flow import delivery, outbox
from .flow.delivery import Target
from .flow.notification import Sender
from .flow.outbox import Claimed
from .flow.retry import Outcome, decide
from .leases import DeliveryLease, Keeper
from .models import DeliveryStatus
from .runtime import Runtime

_log = logging.getLogger(__name__)

#: Deliveries claimed at once.
CLAIMED_AT_ONCE = 50


@dataclasses.dataclass(kw_only=True)
class DispatchReport:
    """What came of the deliveries that were due."""

    delivered: int = 0
    failed: int = 0


class Dispatch:
    """Sends what is due.

    :param keeper: renews the leases while callbacks are slow.
    :param chance: random numbers for the jitter.
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

    def run(self) -> DispatchReport:
        """Deliver until nothing more is due."""
        report = DispatchReport()
        threads = self._runtime.settings.deliver_threads
        with concurrent.futures.ThreadPoolExecutor(threads, "woo-deliver") as pool:
            while not self._stopped():
                claimed = self._claim()
                if not claimed:
                    break
                with self._keeper.hold(DeliveryLease(claimed[0].token)):
                    for delivered in pool.map(self._deliver, claimed):
                        report.delivered += delivered
                        report.failed += not delivered
        return report

    def _claim(self) -> list[Claimed]:
        with self._runtime.database.write() as session:
            return outbox.claim(
                session, self._runtime.clock(), self._keeper.length, CLAIMED_AT_ONCE
            )

    def _deliver(self, claimed: Claimed) -> bool:
        outcome = self._attempt(claimed)
        try:
            status = self._settle(claimed, outcome)
        except LeaseLostError as exc:
            _log.warning("%s", exc, extra=_extra(claimed, "lease_lost"))
            return outcome.delivered
        level = logging.INFO if status is not DeliveryStatus.QUEUED else logging.ERROR
        _log.log(
            level,
            "notification %d: %s",
            claimed.notification_id,
            outcome.reason,
            extra=_extra(claimed, f"delivery_{status.value}"),
        )
        return outcome.delivered

    def _attempt(self, claimed: Claimed) -> Outcome:
        try:
            sender, target = self._address(claimed.instance_id)
        except WooEventsError as exc:
            # For example a key that is missing from the configuration: it can be mended.
            return Outcome(delivered=False, reason=str(exc))
        return delivery.attempt(
            self._runtime.callback_session,
            claimed,
            sender,
            target,
            timeouts=self._runtime.callback_timeouts,
            now=self._runtime.clock(),
        )

    def _settle(self, claimed: Claimed, outcome: Outcome) -> DeliveryStatus:
        settings, now = self._runtime.settings, self._runtime.clock()
        verdict = decide(
            outcome,
            attempts=claimed.attempts + 1,
            first_failed_at=claimed.first_failed_at,
            now=now,
            schedule=settings.retry_schedule,
            policy=settings.failure_policy,
            chance=self._chance(),
        )
        with self._runtime.database.write() as session:
            outbox.settle(session, claimed, outcome, verdict, now)
        return verdict.status

    def _address(self, instance_id: int) -> tuple[Sender, Target]:
        with self._runtime.database.read() as session:
            profile = profiles.load_profile(session, instance_id)
            target = profiles.load_target(session, self._runtime.cipher, instance_id)
        sender = Sender(
            instance_id=profile.id,
            name=profile.name,
            tags=profile.tags,
            account_id=profile.user_id,
            company_id=profile.organization_id,
            user_id=profile.user_id,
            filter_nulls=profile.filter_nulls,
        )
        return sender, target


def next_due(runtime: Runtime) -> dt.datetime | None:
    """When the next delivery is due."""
    with runtime.database.read() as session:
        return outbox.next_due(session)


def _extra(claimed: Claimed, action: str) -> dict[str, object]:
    return {
        "action": action,
        "instance": claimed.instance_id,
        "notification": claimed.notification_id,
        "delivery": claimed.delivery_id,
    }
