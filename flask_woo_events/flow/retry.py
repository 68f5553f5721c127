"""The retry decision: what happens to a delivery after an attempt."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ..models import DeliveryStatus

Policy = t.Literal["retry", "queue"]

#: Seconds from one attempt to the next (Standard Webhooks 1.0.0): 75 h 35 min in all.
STANDARD = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
#: Seconds from the first failure (Cloud Elements): 4^x, nine times, the last after 72.8 h.
CLOUD_ELEMENTS = tuple(4**attempt for attempt in range(1, 10))
#: The longest wait that a callback's Retry-After can ask for, seconds.
RETRY_AFTER_CAP = 6 * 3600
#: Each standard wait is lengthened by up to this part of it, so that retries do not march in step.
JITTER = 0.2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attempt ended."""

    delivered: bool
    #: For people: "200 OK", "connection refused", ...
    reason: str
    #: HTTP status, ``None`` without an answer.
    status_code: int | None = None
    #: The beginning of the answer.
    answer: str = ""
    #: How long the attempt took.
    seconds: float = 0.0
    #: Seconds that the callback asked us to wait.
    retry_after: float | None = None

    @property
    def gone(self) -> bool:
        """The callback says that it will never want anything again (410)."""
        return self.status_code == 410


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the delivery."""

    status: DeliveryStatus
    retry_at: dt.datetime | None = None
    #: The whole subscription is to be stopped.
    deactivate: bool = False


def decide(
    outcome: Outcome,
    *,
    attempts: int,
    first_failed_at: dt.datetime | None,
    now: dt.datetime,
    schedule: str,
    policy: Policy,
    chance: float,
) -> Verdict:
    """Decide what happens after an attempt.

    :param attempts: how many attempts there were, this one included.
    :param first_failed_at: when the first of them failed, ``None`` when this is the first.
    :param now: our own clock, aware.
    :param schedule: ``standard`` or ``cloud-elements``.
    :param chance: a random number from 0 to 1, for the jitter.
    """
    if outcome.delivered:
        return Verdict(DeliveryStatus.DELIVERED)
    if outcome.gone:
        return Verdict(DeliveryStatus.QUEUED, deactivate=True)
    if policy == "queue":
        return Verdict(DeliveryStatus.QUEUED)
    waits = CLOUD_ELEMENTS if schedule == "cloud-elements" else STANDARD
    if attempts > len(waits):
        return Verdict(DeliveryStatus.QUEUED, deactivate=True)
    wait = waits[attempts - 1]
    if schedule == "cloud-elements":
        retry_at = (first_failed_at or now) + dt.timedelta(seconds=wait)
    else:
        retry_at = now + dt.timedelta(seconds=wait * (1 + JITTER * chance))
    if outcome.retry_after is not None:
        asked = min(max(outcome.retry_after, 0.0), RETRY_AFTER_CAP)
        retry_at = max(retry_at, now + dt.timedelta(seconds=asked))
    return Verdict(DeliveryStatus.RETRY, max(retry_at, now))
