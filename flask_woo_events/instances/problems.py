"""Problems: what makes an instance send less or later than it should, and what ends it."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import logging
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import WAITING_TOPICS, Arrival, Instance, Poller, Subscription
from ..db.states import HTTP_CHANNELS, Channel, PollerState
from ..runtime import Runtime
from ..signals import problem_began, problem_ended
from ..values.wording import counted
from ..woocommerce import oddities
from . import connecting, holds, notices, pollers, stops, store_condition
from .connecting import ConnectionState
from .health import LATE_AFTER
from .specification import CONNECTION_KEYS

_log = logging.getLogger(__name__)

#: The member of a poller's memory that holds the details of oddities by code.
ODDITIES = "oddities"
#: How long a baseline may take before it is a problem, and a webhook may wait.
BASELINE_AFTER, WEBHOOKS_AFTER = dt.timedelta(hours=1), dt.timedelta(minutes=10)
#: Code of an instance whose secrets cannot be decrypted.
NEEDS_KEYS = "needs-keys"
#: Codes that have other notices, or that end by themselves so often that a notice would say little.
_NOT_NOTED = ("held", "failing", "connecting")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem of an instance, or of one of its resources."""

    code: str
    #: ``None``: it concerns all of them.
    resource: str | None = None
    #: When it was first seen, by our clock.
    since: dt.datetime
    text: str
    #: What is late or missing while it lasts.
    costs: str
    #: What ends it.
    ends: str
    #: A command that helps; empty if there is none.
    command: str = ""
    #: The subscription that it concerns, but not the one of the instance's configuration.
    subscription_id: int | None = None

    def __str__(self) -> str:
        named = not self.resource or self.text.startswith(f"{self.resource} ")
        return self.text if named else f"{self.resource}: {self.text}"

    @property
    def key(self) -> tuple[str, str | None, int | None]:
        """What stays the same while the problem lasts."""
        return self.code, self.resource, self.subscription_id


@dataclasses.dataclass(frozen=True)
class ProblemChanges:
    """The problems that began and those that ended since they were last compared."""

    instance_name: str
    began: tuple[Problem, ...] = ()
    ended: tuple[Problem, ...] = ()


def of_instance(
    session: orm.Session,
    instance: Instance,
    now: dt.datetime,
    lost: cabc.Sequence[str] | None = None,
) -> tuple[Problem, ...]:
    """Return the problems of an instance now; a paused one has none.

    :param lost: keys of the secrets that cannot be decrypted; ``None``: as of the last run.
    """
    if instance.disabled or not instance.events_enabled:
        return ()
    selected = [one for one in pollers.of_instance(session, instance.id) if one.selected]
    return _of_selected(session, instance, selected, now, lost)


def _of_selected(
    session: orm.Session,
    instance: Instance,
    selected: cabc.Sequence[Poller],
    now: dt.datetime,
    lost: cabc.Sequence[str] | None,
) -> tuple[Problem, ...]:
    found = [
        *(_kept_keys(instance) if lost is None else needs_keys(instance.id, lost, now)),
        *_held(session, instance, selected),
        *_connecting(instance),
        *(
            problem
            for poller in selected
            for problem in _of_poller(poller, now)
            # All resources fail as the check did.
            if instance.connecting is None or problem.code != "failing"
        ),
        *_late(instance, now),
        *_webhooks(session, instance, now),
        *_callbacks(session, instance, now),
    ]
    known = {one.key: one.since for one in _read(instance.problems)}
    return tuple(
        dataclasses.replace(one, since=min(one.since, known.get(one.key, one.since)))
        for one in found
    )


def compare(
    session: orm.Session, instance: Instance, now: dt.datetime, lost: cabc.Sequence[str]
) -> ProblemChanges:
    """Keep the present problems of an instance; return which of them began, and which ended.

    :param lost: keys of the secrets that cannot be decrypted.
    """
    if instance.disabled or not instance.events_enabled:
        return _keep(instance, [], now)
    selected = [one for one in pollers.of_instance(session, instance.id) if one.selected]
    store_condition.note(session, instance, selected, now)
    found = _of_selected(session, instance, selected, now, lost)
    # During a poll the row still says that it is due.
    return _keep(instance, [one for one in found if one.code != "late"], now)


def compare_keys(instance: Instance, lost: cabc.Sequence[str], now: dt.datetime) -> ProblemChanges:
    """Keep which secrets of an instance cannot be decrypted, after a change of its configuration.

    :param lost: their keys.
    """
    before = list(_read(instance.problems))
    since = [one.since for one in before if one.code == NEEDS_KEYS]
    if not since:
        return ProblemChanges(instance.name)
    others = [one for one in before if one.code != NEEDS_KEYS]
    return _keep(instance, [*needs_keys(instance.id, lost, since[0]), *others], now)


def _keep(instance: Instance, found: cabc.Sequence[Problem], now: dt.datetime) -> ProblemChanges:
    before = {one.key: one for one in _read(instance.problems)}
    kept = [_written(one) for one in found] or None
    if kept != instance.problems:
        instance.problems = kept
    present = {one.key for one in found}
    began = tuple(one for one in found if one.key not in before)
    ended = tuple(one for key, one in before.items() if key not in present)
    for ending, those in (("", began), (" ended", ended)):
        for one in those:
            if one.code not in _NOT_NOTED:
                notices.add(instance, one.code + ending, str(one), now)
    return ProblemChanges(instance.name, began, ended)


def announce(runtime: Runtime, instance_id: int, changes: ProblemChanges | None) -> None:
    """Log which problems of an instance began or ended, and send their signals, after a commit."""
    if changes is None:
        return
    for one in changes.began:
        extra = {"action": "problem", "instance": instance_id, "code": one.code}
        _log.warning(
            "instance %d (%s): %s; %s", instance_id, changes.instance_name, one, one.costs,
            extra=extra,
        )  # fmt: skip
    for one in changes.ended:
        extra = {"action": "problem_ended", "instance": instance_id, "code": one.code}
        _log.info(
            "instance %d (%s): ended: %s", instance_id, changes.instance_name, one, extra=extra
        )
    for signal, those in ((problem_began, changes.began), (problem_ended, changes.ended)):
        for one in those:
            runtime.send(
                signal, instance_id=instance_id, resource=one.resource, code=one.code,
                text=one.text, costs=one.costs, ends=one.ends,
            )  # fmt: skip


def needs_keys(
    instance_id: int, lost: cabc.Sequence[str], now: dt.datetime
) -> cabc.Iterator[Problem]:
    """Yield the problem of an instance whose secrets cannot be decrypted, if there are any.

    :param lost: their keys.
    """
    if not lost:
        return
    costs = []
    if any(key in CONNECTION_KEYS for key in lost):
        costs.append("The store is not read. What happens meanwhile is sent afterwards.")
    if any(key not in CONNECTION_KEYS for key in lost):
        costs.append("Notifications to the callback are kept and not sent.")
    yield Problem(
        code="needs-keys",
        since=now,
        text=f"{', '.join(lost)} cannot be decrypted with WOO_EVENTS_ENCRYPTION_KEYS",
        costs=" ".join(costs),
        ends="The encryption key that is missing, or a request that sends these secrets again.",
        command=f"flask woo instances change {instance_id} FILE",
    )


def _kept_keys(instance: Instance) -> cabc.Iterator[Problem]:
    return (one for one in _read(instance.problems) if one.code == NEEDS_KEYS)


def texts(instance: Instance) -> list[str]:
    """Return the texts of an instance's problems as of its last poll."""
    return [str(one) for one in _read(instance.problems)]


def counts(session: orm.Session) -> dict[str, int]:
    """Return how many problems all instances have, by code, as of their last polls."""
    found: dict[str, int] = {}
    query = sa.select(Instance.problems).where(
        Instance.problems.is_not(None), Instance.events_enabled, sa.not_(Instance.disabled)
    )
    for kept in session.scalars(query):
        for one in _read(kept):
            found[one.code] = found.get(one.code, 0) + 1
    return found


def _read(kept: cabc.Sequence[cabc.Mapping[str, t.Any]] | None) -> cabc.Iterator[Problem]:
    names = {field.name for field in dataclasses.fields(Problem)}
    for one in kept or ():
        # A worker of a later release may have written more.
        known = {name: value for name, value in one.items() if name in names}
        yield Problem(**{**known, "since": dt.datetime.fromisoformat(one["since"])})


def _written(problem: Problem) -> dict[str, t.Any]:
    return dataclasses.asdict(problem) | {"since": problem.since.isoformat(timespec="seconds")}


def _held(
    session: orm.Session, instance: Instance, selected: cabc.Sequence[Poller]
) -> cabc.Iterator[Problem]:
    hold = holds.of_instance(session, instance, selected)
    if hold is None:
        return
    deletions = hold.kind == "deletions"
    yield Problem(
        code="held",
        since=hold.since,
        text=hold.reason,
        costs="These deletions are not sent; all other changes are."
        if deletions
        else "Nothing is sent; what happens meanwhile is sent afterwards.",
        ends="A poll that shows the objects again, or a person who accepts that they are deleted."
        if deletions
        else "A poll that is answered by the known store, or a person who accepts this one.",
        command=hold.command,
    )


def _connecting(instance: Instance) -> cabc.Iterator[Problem]:
    begun, error = connecting.since(instance), (instance.connecting or {}).get("error")
    if begun is None:
        return
    command, costs = f"flask woo poll --once --instance {instance.id}", "Nothing of it is sent."
    if connecting.state_of(instance) is ConnectionState.REFUSED:
        yield Problem(
            code="refused",
            since=begun,
            text=f"the store refuses the keys: {error}",
            costs=costs,
            ends="A check with keys that the store accepts; send others with PATCH /instances.",
            command=command,
        )
    else:
        yield Problem(
            code="connecting",
            since=begun,
            text=f"the store is not checked yet: {error or 'it did not answer in time'}",
            costs=costs,
            ends="A worker that checks the store before its first poll.",
            command=command,
        )


def _of_poller(poller: Poller, now: dt.datetime) -> cabc.Iterator[Problem]:
    number, name = poller.instance_id, poller.resource
    if poller.state == PollerState.DISABLED:
        yield Problem(
            code="disabled",
            resource=name,
            since=now,
            text=poller.error or "disabled after repeated failures",
            costs="Nothing of this resource is sent. What happens meanwhile is sent afterwards.",
            ends="A person who resumes it.",
            command=f"flask woo instances resume {number}",
        )
    elif poller.failures:
        when = f" (next attempt at {poller.retry_at:%Y-%m-%d %H:%M:%S})" if poller.retry_at else ""
        yield Problem(
            code="failing",
            resource=name,
            since=now,
            text=f"{poller.error}{when}",
            costs="Changes of this resource are sent late.",
            ends="The next poll that succeeds.",
            command=f"flask woo poll --once --instance {number} --resource '{name}'",
        )
    elif poller.state == PollerState.BASELINE and now - poller.created_at > BASELINE_AFTER:
        yield Problem(
            code="baseline",
            resource=name,
            since=poller.created_at,
            text=f"the baseline has not ended; it has read {poller.baseline_offset} "
            f"of {poller.baseline_total or 'an unknown number of'} objects",
            costs="Deletions are not sent before its end; new and changed objects are.",
            ends="A poll that reaches the end of the list.",
        )
    for code, detail in poller.memory.get(ODDITIES, {}).items():
        # A later release may have left the code out.
        if oddity := oddities.by_code(code):
            yield Problem(
                code=code,
                resource=name,
                since=now,
                text=detail,
                costs=oddity.costs,
                ends=oddity.ends,
            )


def _late(instance: Instance, now: dt.datetime) -> cabc.Iterator[Problem]:
    due, leased = instance.next_poll_at, instance.lease_until
    if due is not None and due < now - LATE_AFTER and (leased is None or leased <= now):
        if instance.slow_since is not None:
            yield Problem(
                code="late",
                since=due,
                text=f"a poll is due since {due:%Y-%m-%d %H:%M} UTC and waits for a thread for "
                f"slow stores: this one has not answered promptly since "
                f"{instance.slow_since:%Y-%m-%d %H:%M} UTC",
                costs="Changes are sent late.",
                ends="A free thread (WOO_EVENTS_SLOW_THREADS), then prompt answers of the store.",
                command="flask woo poll",
            )
            return
        yield Problem(
            code="late",
            since=due,
            text=f"a poll is due since {due:%Y-%m-%d %H:%M} UTC, and no worker polls",
            costs="Changes that polls find are sent late.",
            ends="A running worker.",
            command="flask woo poll",
        )


def _webhooks(session: orm.Session, instance: Instance, now: dt.datetime) -> cabc.Iterator[Problem]:
    if instance.vendor_type != "webhook":
        return
    off = [one for one in instance.hooks if one.get("error") or one.get("status") != "active"]
    if off:
        topics = ", ".join(sorted(str(one.get("topic")) for one in off)[:5])
        yield Problem(
            code="webhooks-inactive",
            since=now,
            text=f"{counted(len(off), 'webhook')} at the store not active: {topics}",
            costs="The changes that they report are sent after the next poll.",
            ends="The regular check of the webhooks, which registers them again.",
            command=f"flask woo webhooks register {instance.id}",
        )
    late = Arrival.received_at < now - WEBHOOKS_AFTER
    query = sa.select(sa.func.count(), sa.func.min(Arrival.received_at)).where(
        Arrival.instance_id == instance.id,
        sa.or_(late, Arrival.topic.startswith(WAITING_TOPICS)),
    )
    count, oldest = session.execute(query).one()
    if count:
        yield Problem(
            code="webhooks-waiting",
            # What could not be read has the date of its next attempt.
            since=min(oldest, now),
            text=f"{counted(count, 'webhook')} not processed: received before "
            f"{now - WEBHOOKS_AFTER:%H:%M} UTC, or of objects that cannot be read",
            costs="The changes that they report are sent late.",
            ends="A worker that can read the objects from the store.",
            command="flask woo poll",
        )


def _callbacks(
    session: orm.Session, instance: Instance, now: dt.datetime
) -> cabc.Iterator[Problem]:
    query = sa.select(Subscription).where(
        Subscription.instance_id == instance.id,
        Subscription.current,
        Subscription.channel.in_(HTTP_CHANNELS),
        # A person has paused it.
        sa.not_(Subscription.paused),
    )
    for one in session.scalars(query.order_by(Subscription.id)):
        number = None if one.channel == Channel.WEBHOOK else one.id
        name = stops.receiver_of(one, one.id)
        command = stops.redeliver_command(one, instance.id, one.id)
        if not one.active:
            yield Problem(
                code="callback-stopped",
                since=one.failing_since or now,
                text=f"deliveries to {name} are stopped: {one.reason}",
                costs="Notifications are kept and not sent.",
                ends="A person who redelivers them.",
                command=command,
                subscription_id=number,
            )
        elif one.held_until is not None and one.held_until > now:
            yield Problem(
                code="callback-failing",
                since=one.failing_since or now,
                text=f"{name} failed {counted(one.failures, 'time')} in a row",
                costs="Notifications are sent late.",
                ends=f"The next attempt that succeeds; it is due at {one.held_until:%H:%M:%S} UTC.",
                command=command,
                subscription_id=number,
            )
