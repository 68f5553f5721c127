"""Settlements: how attempts ended, what comes next, and how their subscriptions are doing."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa

from ..db.models import Attempt, Delivery, DeliveryStatus, Subscription, Wait
from ..errors import LeaseLostError
from .claims import TRYABLE, ClaimedDelivery
from .retry import AttemptOutcome, RetryDecision, hold

#: Bytes of a callback's answer that an attempt keeps.
ANSWER_KEPT = 4096

_DELIVERY = t.cast("sa.Table", Delivery.__table__)
_SUBSCRIPTIONS = t.cast("sa.Table", Subscription.__table__)


@dataclasses.dataclass(frozen=True, slots=True)
class AttemptResult:
    """How one attempt ended, and what comes next."""

    claimed: ClaimedDelivery
    outcome: AttemptOutcome
    verdict: RetryDecision


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """What became of a settlement."""

    #: It was written; otherwise its lease had ended and another worker has the delivery.
    ours: bool
    #: It stopped the subscription.
    stopped: bool = False
    #: Something waited for it, and may be claimed now.
    awaited: bool = False


_SETTLE = (
    sa.update(_DELIVERY)
    .where(
        _DELIVERY.c.id == sa.bindparam("delivery"),
        _DELIVERY.c.lease_token == sa.bindparam("token"),
    )
    .values(
        status=sa.bindparam("status"),
        due_at=sa.bindparam("due_at"),
        attempts=sa.bindparam("attempts"),
        first_failed_at=sa.bindparam("first_failed_at"),
        handled=sa.bindparam("handled"),
        lease_token=None,
        lease_until=None,
        updated_at=sa.bindparam("updated_at"),
    )
)
_ATTEMPT = sa.insert(t.cast("sa.Table", Attempt.__table__))
_WAITED_FOR = sa.select(Wait.after_id).where(Wait.after_id.in_(sa.bindparam("ids", expanding=True)))


_DOING = (
    sa.select(
        _SUBSCRIPTIONS.c.id,
        _SUBSCRIPTIONS.c.active,
        _SUBSCRIPTIONS.c.failures,
        _SUBSCRIPTIONS.c.failing_since,
        _SUBSCRIPTIONS.c.held_until,
    )
    .where(_SUBSCRIPTIONS.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(_SUBSCRIPTIONS.c.id)
    .with_for_update()
)


def settle(
    connection: sa.Connection, settlements: cabc.Sequence[AttemptResult], now: dt.datetime
) -> list[Settled]:
    """Write how attempts ended and what comes next, all in the caller's transaction.

    :raises LeaseLostError: some of several are not ours any more; each is to be settled alone.
    """
    groups: dict[int, list[AttemptResult]] = collections.defaultdict(list)
    for one in settlements:
        groups[one.claimed.subscription_id].append(one)
    # First, as claims do: two that lock in another order wait for each other.
    doing = connection.execute(_DOING, {"ids": list(groups)}).all()
    rows = [_settled(one, now) for one in settlements]
    if connection.execute(_SETTLE, rows).rowcount != len(rows):
        if len(rows) > 1:
            raise LeaseLostError("some of these deliveries were taken over by another worker")
        return [Settled(ours=False)]
    connection.execute(_ATTEMPT, [_attempt(one, now) for one in settlements])
    ids = [one.claimed.delivery_id for one in settlements]
    waited_for = set(connection.scalars(_WAITED_FOR, {"ids": ids}))
    stopped: set[int] = set()
    for row in doing:
        stopped |= _look_after(connection, row, groups[row.id], waited_for, now)
    return [
        Settled(True, one.claimed.delivery_id in stopped, one.claimed.delivery_id in waited_for)
        for one in settlements
    ]


def _settled(one: AttemptResult, now: dt.datetime) -> dict[str, t.Any]:
    first = one.claimed.first_failed_at
    if not one.outcome.delivered:
        first = first or now
    return {
        "delivery": one.claimed.delivery_id,
        "token": one.claimed.token,
        "status": one.verdict.status.value,
        "due_at": one.verdict.retry_at,
        "attempts": one.claimed.attempts + 1,
        "first_failed_at": first,
        "handled": sorted(one.claimed.handled.union(one.outcome.handled)) or None,
        "updated_at": now,
    }


def _attempt(one: AttemptResult, now: dt.datetime) -> dict[str, t.Any]:
    return {
        "delivery_id": one.claimed.delivery_id,
        "at": now,
        "seconds": one.outcome.seconds,
        "status_code": one.outcome.status_code,
        "reason": one.outcome.reason,
        "answer": one.outcome.answer[:ANSWER_KEPT],
    }


def _look_after(
    connection: sa.Connection,
    row: t.Any,
    them: cabc.Sequence[AttemptResult],
    waited_for: cabc.Set[int],
    now: dt.datetime,
) -> set[int]:
    """Say of a subscription how it is doing, and when to look at it again.

    :return: the delivery whose end stopped it, if one did.
    """
    if not row.active:
        _queue(connection, row.id, now)
        return set()
    again = any(one.claimed.delivery_id in waited_for for one in them)
    if change := _doing(row, them, again, now):
        connection.execute(
            sa.update(_SUBSCRIPTIONS).where(_SUBSCRIPTIONS.c.id == row.id).values(**change)
        )
    for one in them:
        if one.verdict.deactivate:
            deactivate(connection, row.id, one.outcome.reason, now)
            return {one.claimed.delivery_id}
    return set()


def _doing(
    row: t.Any, them: cabc.Sequence[AttemptResult], again: bool, now: dt.datetime
) -> dict[str, t.Any]:
    """What changes of a subscription whose deliveries ended like this; usually nothing.

    :param again: something waited for one of them.
    """
    failed = [one for one in them if not one.outcome.delivered]
    if not any(one.outcome.sent for one in them):
        return {"next_due_at": now}
    if len(failed) < len(them):
        well = {"failures": 0, "failing_since": None, "held_until": None}
        return {"next_due_at": now, **well} if failed or again or row.failures else {}
    failures = row.failures + len(failed)
    holds = [
        hold(failures, one.outcome.retry_after, now)
        for one in failed
        if one.verdict.status is DeliveryStatus.RETRY
    ]
    held_until = max((one for one in (*holds, row.held_until) if one is not None), default=None)
    return {
        "failures": failures,
        "failing_since": row.failing_since or now,
        "held_until": held_until,
        "next_due_at": max(held_until or now, now),
    }


def deactivate(
    connection: sa.Connection, subscription_id: int, reason: str, now: dt.datetime
) -> None:
    """Stop a subscription; what waits for it is queued until a person redelivers it."""
    connection.execute(
        sa.update(_SUBSCRIPTIONS)
        .where(_SUBSCRIPTIONS.c.id == subscription_id)
        .values(active=False, reason=reason, next_due_at=None)
    )
    _queue(connection, subscription_id, now)


def _queue(connection: sa.Connection, subscription_id: int, now: dt.datetime) -> None:
    connection.execute(
        sa.update(_DELIVERY)
        .where(_DELIVERY.c.subscription_id == subscription_id, _DELIVERY.c.status.in_(TRYABLE))
        .values(status=DeliveryStatus.QUEUED.value, due_at=None, updated_at=now)
    )
