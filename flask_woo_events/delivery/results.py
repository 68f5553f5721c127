"""Results: how attempts ended, what follows for the delivery, and for its subscription."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

import sqlalchemy as sa

from ..db.models import Attempt, Delivery, Subscription, Wait
from ..db.states import DeliveryStatus
from ..errors import LeaseLostError
from ..events import delivery_states, operational
from ..events.delivery_states import AttemptUpdate
from ..instances import stops
from .claims import ClaimedDelivery
from .retry import AttemptOutcome, RetryDecision, RetryRules, decide, decide_plainly, hold

#: Bytes of a callback's answer that an attempt keeps.
ANSWER_KEPT = 4096

_SUBSCRIPTIONS = t.cast("sa.Table", Subscription.__table__)


@dataclasses.dataclass(frozen=True, slots=True)
class AttemptResult:
    """How one attempt ended, and by which rules it is decided what follows."""

    claimed: ClaimedDelivery
    outcome: AttemptOutcome
    rules: RetryRules = RetryRules()


@dataclasses.dataclass(frozen=True, slots=True)
class WrittenResult:
    """What writing a result changed."""

    #: The delivery's status; ``None`` if its lease had ended and another worker has it.
    status: DeliveryStatus | None
    #: It stopped the subscription.
    stopped: bool = False
    #: A later delivery was held back by this one, or by a limit, and may be claimed now.
    awaited: bool = False
    #: A part of what it holds is to be sent by itself.
    divides: bool = False


_FAILED = sa.select(
    Delivery.id, Delivery.attempts, Delivery.first_failed_at, Delivery.isolated
).where(Delivery.id.in_(sa.bindparam("ids", expanding=True)))
_ATTEMPT = sa.insert(t.cast("sa.Table", Attempt.__table__))
_WAITED_FOR = sa.select(Wait.after_id).where(Wait.after_id.in_(sa.bindparam("ids", expanding=True)))
_CONDITION = (
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


def write(
    connection: sa.Connection, results: cabc.Sequence[AttemptResult], now: dt.datetime
) -> list[WrittenResult]:
    """Decide what follows from attempts and write it, all in the caller's transaction.

    An operator may have redelivered a delivery during its attempt, which then counts as the first.

    :raises LeaseLostError: some of several leases have ended; each result must be written alone.
    """
    groups: dict[int, list[AttemptResult]] = collections.defaultdict(list)
    for one in results:
        groups[one.claimed.subscription_id].append(one)
    # Lock the subscriptions first, as claims do: another order would be a deadlock.
    conditions = {row.id: row for row in connection.execute(_CONDITION, {"ids": list(groups)})}
    decisions = _decide(connection, groups, conditions, now)
    ended = [_ended(one, decisions[one.claimed.delivery_id], now) for one in results]
    if not delivery_states.end_attempts(connection, ended):
        if len(results) > 1:
            raise LeaseLostError("some of these deliveries were taken over by another worker")
        return [WrittenResult(None)]
    connection.execute(_ATTEMPT, [_attempt(one, now) for one in results])
    for one in results:
        # Otherwise two operational receivers that refuse would report each other for ever.
        if decisions[one.claimed.delivery_id].exhausted and one.claimed.notification.kind is None:
            _record_exhausted(connection, one, now)
    waited_for = set(connection.scalars(_WAITED_FOR, {"ids": list(decisions)}))
    stopped: set[int] = set()
    for number, row in conditions.items():
        stopped |= _update_subscription(connection, row, groups[number], decisions, waited_for, now)
    return [
        WrittenResult(
            decisions[number].status,
            number in stopped,
            number in waited_for or one.claimed.options.is_limited,
            decisions[number].divides,
        )
        for one in results
        for number in (one.claimed.delivery_id,)
    ]


def write_plainly(
    connection: sa.Connection, one: AttemptResult, now: dt.datetime, *, listed: bool
) -> WrittenResult:
    """Write an attempt whose consequences cannot be computed or written.

    It counts, so that the delivery is attempted no more often than its schedule says. Nothing of
    the subscription changes: a claim has made it due again at the end of the lease.

    :param listed: also write the row of the attempt.
    """
    number = _SUBSCRIPTIONS.c.id
    locked = sa.select(number).where(number == one.claimed.subscription_id).with_for_update()
    connection.execute(locked).all()
    decision = decide_plainly(one.outcome, one.rules, attempts=1 + one.claimed.attempts, now=now)
    update = _ended(one, decision, now)
    update["counted"] = 1
    if not delivery_states.end_attempts(connection, [update]):
        return WrittenResult(None)
    if listed:
        connection.execute(_ATTEMPT, [_attempt(one, now)])
    return WrittenResult(decision.status)


def _decide(
    connection: sa.Connection,
    groups: cabc.Mapping[int, cabc.Sequence[AttemptResult]],
    conditions: cabc.Mapping[int, t.Any],
    now: dt.datetime,
) -> dict[int, RetryDecision]:
    """Return what follows for each delivery from its row as it is now."""
    failed = [
        one.claimed.delivery_id
        for group in groups.values()
        for one in group
        if not one.outcome.delivered
    ]
    rows = {row.id: row for row in connection.execute(_FAILED, {"ids": failed})} if failed else {}
    decisions = {}
    for number, group in groups.items():
        condition = conditions.get(number)
        if any(one.outcome.accepted for one in group):
            # It ends the failures before it.
            condition = None
        for one in group:
            row = rows.get(one.claimed.delivery_id)
            decisions[one.claimed.delivery_id] = decide(
                one.outcome,
                one.rules,
                attempts=1 + (row.attempts if row is not None else one.claimed.attempts),
                first_failed_at=row.first_failed_at if row is not None else None,
                failing_since=condition.failing_since if condition is not None else None,
                failures=condition.failures + len(group) if condition is not None else 0,
                isolated=row is not None and row.isolated,
                now=now,
            )
    return decisions


def _ended(one: AttemptResult, decision: RetryDecision, now: dt.datetime) -> AttemptUpdate:
    return {
        "delivery": one.claimed.delivery_id,
        "token": one.claimed.token,
        "status": decision.status.value,
        "due_at": decision.retry_at,
        "failed_at": None if one.outcome.delivered or one.outcome.unfinished else now,
        "handled": sorted(one.claimed.handled.union(one.outcome.handled)) or None,
        "counted": 0 if one.outcome.unfinished else 1,
        "exhausted": decision.exhausted,
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


def _update_subscription(
    connection: sa.Connection,
    row: t.Any,
    results: cabc.Sequence[AttemptResult],
    decisions: cabc.Mapping[int, RetryDecision],
    waited_for: cabc.Set[int],
    now: dt.datetime,
) -> set[int]:
    """Update a subscription's failure counters and next due time.

    :return: the delivery whose result stopped it, if one did.
    """
    if not row.active:
        delivery_states.queue_all(connection, row.id, now)
        return set()
    awaited = any(
        one.claimed.delivery_id in waited_for or one.claimed.options.is_limited for one in results
    )
    if change := _change(row, results, decisions, awaited, now):
        connection.execute(
            sa.update(_SUBSCRIPTIONS).where(_SUBSCRIPTIONS.c.id == row.id).values(**change)
        )
    for one in results:
        if decisions[one.claimed.delivery_id].deactivate:
            deactivate(connection, row.id, one.outcome.reason, now)
            claimed, reason = one.claimed, one.outcome.reason
            instance_id = claimed.notification.instance_id
            what = stops.stopped(claimed, instance_id, row.id, reason)
            operational.record_with(connection, instance_id, what, now)
            return {one.claimed.delivery_id}
    return set()


def _record_exhausted(connection: sa.Connection, one: AttemptResult, now: dt.datetime) -> None:
    claimed, notification = one.claimed, one.claimed.notification
    what = stops.exhausted(
        claimed,
        notification.instance_id,
        claimed.subscription_id,
        delivery_id=claimed.delivery_id,
        resource=notification.resource,
        notification_id=notification.id,
        reason=one.outcome.reason,
    )
    operational.record_with(connection, notification.instance_id, what, now)


def _change(
    row: t.Any,
    results: cabc.Sequence[AttemptResult],
    decisions: cabc.Mapping[int, RetryDecision],
    awaited: bool,
    now: dt.datetime,
) -> dict[str, t.Any]:
    """Return the new values of a subscription; usually none.

    :param awaited: one of these deliveries held another one back, or counted for a limit.
    """
    failed = [one for one in results if not one.outcome.delivered]
    if not any(one.outcome.sent for one in results):
        return {"next_due_at": now}
    if any(one.outcome.accepted for one in results):
        # A receiver of single events may accept some, and then ask for time.
        asked = [hold(0, one.outcome.retry_after, now) for one in failed if one.outcome.handled]
        held_until = max((one for one in asked if one is not None), default=None)
        healthy = {"failures": 0, "failing_since": None, "held_until": held_until}
        due = {"next_due_at": held_until or now}
        return due | healthy if failed or awaited or row.failures else {}
    counted = [one for one in failed if not decisions[one.claimed.delivery_id].alone]
    failures = row.failures + len(counted)
    holds = [
        hold(0 if decision.alone else failures, one.outcome.retry_after, now)
        for one in failed
        if (decision := decisions[one.claimed.delivery_id]).status is DeliveryStatus.RETRY
    ]
    held_until = max((one for one in (*holds, row.held_until) if one is not None), default=None)
    return {
        "failures": failures,
        "failing_since": row.failing_since or (now if counted else None),
        "held_until": held_until,
        "next_due_at": max(held_until or now, now),
    }


def deactivate(
    connection: sa.Connection, subscription_id: int, reason: str, now: dt.datetime
) -> None:
    """Stop a subscription, and queue its deliveries until an operator redelivers them."""
    connection.execute(
        sa.update(_SUBSCRIPTIONS)
        .where(_SUBSCRIPTIONS.c.id == subscription_id)
        .values(active=False, reason=reason, next_due_at=None)
    )
    delivery_states.queue_all(connection, subscription_id, now)
