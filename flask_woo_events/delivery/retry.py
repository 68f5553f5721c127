"""The retry decision: what follows for a delivery after an attempt."""

from __future__ import annotations

import dataclasses
import datetime as dt

from ..db.states import DeliveryStatus
from ..events.delivery_states import TRIED_WHOLE
from ..http.headers import RETRY_AFTER_CAP
from ..settings import FailurePolicy, Schedule

#: Seconds from one attempt to the next (Standard Webhooks 1.0.0): 75 h 35 min in all.
STANDARD = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
#: Seconds from the first failure (Cloud Elements): 4^x, nine times, the last after 72.8 h.
CLOUD_ELEMENTS = tuple(4**attempt for attempt in range(1, 10))
#: Each standard wait is lengthened by up to this part of it, so that retries spread out.
JITTER = 0.2

#: Consecutive failures after which a whole subscription is held, so that it costs others nothing.
HELD_AFTER = 3
#: The first pause of a held subscription, doubled with each further failure, and the longest.
FIRST_HOLD, LONGEST_HOLD = 5, 300  # seconds
#: Consecutive failures of a subscription up to which its notifications are divided although nothing
#: succeeds: enough to find one good object of ten. Beyond, the callback is down.
DIVIDED_WITHIN = 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOutcome:
    """How one attempt ended."""

    delivered: bool
    #: For operators: "200 OK", "connection refused", ...
    reason: str
    #: HTTP status, ``None`` without an answer.
    status_code: int | None = None
    #: The beginning of the answer.
    answer: str = ""
    #: How long the attempt took, seconds.
    seconds: float = 0.0
    #: The callback's ``Retry-After``, seconds.
    retry_after: float | None = None
    #: A request was made, so that the result says how the callback is doing.
    sent: bool = True
    #: Ids of events that a handler has accepted although others failed.
    handled: tuple[int, ...] = ()
    #: It ended before all requests were made, because of a rate or of slow answers.
    unfinished: bool = False

    @property
    def gone(self) -> bool:
        """The callback wants no more notifications (410, Standard Webhooks)."""
        return self.status_code == 410

    @property
    def busy(self) -> bool:
        """The callback asks for time, whatever the notification holds."""
        return self.retry_after is not None or self.status_code in (429, 503)

    @property
    def accepted(self) -> bool:
        """The receiver took the notification, or a handler some of its events."""
        return self.sent and (self.delivered or bool(self.handled))


@dataclasses.dataclass(frozen=True, slots=True)
class RetryRules:
    """What decides beside the outcome."""

    #: A named schedule, or the waits after each attempt in seconds.
    schedule: Schedule | tuple[int, ...] = "standard"
    policy: FailurePolicy = "retry"
    #: A random number from 0 to 1, for the jitter.
    chance: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class RetryDecision:
    """The next state of the delivery."""

    status: DeliveryStatus
    retry_at: dt.datetime | None = None
    #: The whole subscription is stopped.
    deactivate: bool = False
    #: It was the last attempt, but others succeed: later versions are sent without this one.
    exhausted: bool = False
    #: The failure says nothing about the callback, because others succeed.
    alone: bool = False
    #: What it holds may be the reason, so a part of it is to be sent by itself.
    divides: bool = False


def decide(
    outcome: AttemptOutcome,
    rules: RetryRules,
    *,
    attempts: int,
    first_failed_at: dt.datetime | None,
    failing_since: dt.datetime | None = None,
    failures: int = 0,
    isolated: bool = False,
    now: dt.datetime,
) -> RetryDecision:
    """Decide what follows after an attempt.

    :param attempts: the number of attempts, this one included.
    :param first_failed_at: when the first of them failed; ``None`` when this is the first.
    :param failing_since: since when all attempts of the subscription have failed.
    :param failures: how many these are, this one included.
    :param isolated: what the delivery holds is known to fail by itself, or waits for what does.
    :param now: our own clock, aware.
    """
    if outcome.delivered:
        return RetryDecision(DeliveryStatus.DELIVERED)
    if outcome.unfinished:
        return RetryDecision(DeliveryStatus.RETRY, now)
    if outcome.gone:
        return RetryDecision(DeliveryStatus.QUEUED, deactivate=True)
    if rules.policy == "queue":
        return RetryDecision(DeliveryStatus.QUEUED)
    alone = _is_alone(first_failed_at, failing_since, isolated)
    waits = waits_of(rules.schedule)
    if attempts > len(waits):
        return RetryDecision(
            DeliveryStatus.QUEUED, deactivate=not alone, exhausted=alone, alone=alone
        )
    # Each of many notifications may have few attempts; together they were a schedule's.
    whole = span(rules.schedule) * (1 + JITTER)
    if not alone and failing_since is not None and now - failing_since > whole:
        return RetryDecision(DeliveryStatus.QUEUED, deactivate=True)
    wait = waits[attempts - 1]
    if rules.schedule == "cloud-elements":
        retry_at = (first_failed_at or now) + dt.timedelta(seconds=wait)
    else:
        retry_at = now + dt.timedelta(seconds=wait * (1 + JITTER * rules.chance))
    if outcome.retry_after is not None:
        asked = min(max(outcome.retry_after, 0.0), RETRY_AFTER_CAP)
        retry_at = max(retry_at, now + dt.timedelta(seconds=asked))
    may_be_content = alone or (failures <= DIVIDED_WITHIN and not outcome.busy)
    return RetryDecision(
        DeliveryStatus.RETRY,
        max(retry_at, now),
        divides=attempts >= TRIED_WHOLE and may_be_content,
        alone=alone,
    )


def _is_alone(
    first_failed_at: dt.datetime | None, failing_since: dt.datetime | None, isolated: bool
) -> bool:
    """Return whether others have succeeded since a delivery failed first, or was isolated."""
    if failing_since is None:
        return isolated or first_failed_at is not None
    return first_failed_at is not None and failing_since > first_failed_at


def decide_plainly(
    outcome: AttemptOutcome, rules: RetryRules, *, attempts: int, now: dt.datetime
) -> RetryDecision:
    """Decide what follows if what :func:`decide` says cannot be computed or written.

    The wait is the longest of the standard schedule. So no attempt is earlier than in any schedule,
    and none follows the last one. The subscription stays as it is.
    """
    if outcome.delivered:
        return RetryDecision(DeliveryStatus.DELIVERED)
    if outcome.gone or rules.policy == "queue" or attempts > len(STANDARD):
        return RetryDecision(DeliveryStatus.QUEUED)
    return RetryDecision(DeliveryStatus.RETRY, now + dt.timedelta(seconds=max(STANDARD)))


def waits_of(schedule: Schedule | tuple[int, ...]) -> tuple[int, ...]:
    """Return the waits of a schedule, in seconds."""
    if isinstance(schedule, tuple):
        return schedule
    return CLOUD_ELEMENTS if schedule == "cloud-elements" else STANDARD


def span(schedule: Schedule | tuple[int, ...]) -> dt.timedelta:
    """Return how long a schedule goes on after the first failure, without its jitter."""
    if schedule == "cloud-elements":
        return dt.timedelta(seconds=CLOUD_ELEMENTS[-1])
    if isinstance(schedule, tuple):
        # Holds may be longer than short waits.
        waits = (max(one, hold_seconds(number)) for number, one in enumerate(schedule, start=1))
        return dt.timedelta(seconds=sum(waits))
    return dt.timedelta(seconds=sum(STANDARD))


def hold(failures: int, retry_after: float | None, now: dt.datetime) -> dt.datetime | None:
    """Return until when a failing subscription is held; ``None`` while it is not.

    One notification that a callback rejects must not stop the others, so a single failure holds
    nothing. A callback that is down must not receive a request for every waiting notification.

    :param failures: consecutive failures of the subscription, this one included.
    :param retry_after: the callback's ``Retry-After``, seconds; it holds the whole subscription.
    """
    if retry_after is not None:
        asked = min(max(retry_after, 0.0), RETRY_AFTER_CAP)
        return now + dt.timedelta(seconds=asked)
    seconds = hold_seconds(failures)
    return now + dt.timedelta(seconds=seconds) if seconds else None


def hold_seconds(failures: int) -> int:
    """Return how long a subscription is held after so many failures in a row; 0: not at all."""
    if failures < HELD_AFTER:
        return 0
    return min(FIRST_HOLD << min(failures - HELD_AFTER, 10), LONGEST_HOLD)
