"""The rows of instances: created, changed, paused and deleted."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Instance, Poller, Subscription
from ..db.states import CHOOSING_CHANNELS, Channel
from ..errors import ConflictError, InputError, NotFoundError
from ..events import delivery_states, operational, outbox
from ..events.operational import Occurrence
from ..values.crypto import Cipher, hash_token, new_token
from . import callback_subscription, configuration, connecting, holds, notices, pollers
from .accounts import Caller
from .requests import InstanceRequest
from .specification import CONNECTION_KEYS, CurrentSpec, InstanceSpec, plan

T = t.TypeVar("T", Instance, Poller)
#: Rows that are changed together.
_TOGETHER = 500
#: How long objects that could not be read are asked for.
_ASKED_FOR = dt.timedelta(days=1)


def create(
    session: orm.Session,
    cipher: Cipher,
    caller: Caller,
    wanted: InstanceSpec,
    facts: cabc.Mapping[str, t.Any] | None,
    now: dt.datetime,
    *,
    keep_token: bool = False,
) -> tuple[int, str]:
    """Create an instance, and return its id and token.

    :param facts: what the check of the store reported; ``None`` if a worker has to check it.
    :param keep_token: also store the token encrypted; otherwise only its hash is stored, so that
        the token cannot be read again.
    """
    token = new_token()
    belief = None
    if facts is not None:
        belief = {"root": facts.get("root", ""), "users": facts.get("users", [])}
    instance = Instance(
        organization_id=caller.organization_id,
        user_id=caller.user_id,
        name=wanted.name,
        token_hash=hash_token(token),
        tags=list(wanted.tags),
        vendor_type=wanted.configuration.vendor_type,
        events_enabled=wanted.configuration.enabled,
        refresh_minutes=wanted.refresh_minutes,
        created_at=now,
        store_facts=connecting.stored(facts or {}),
        belief=belief,
        connecting=connecting.pending(now) if facts is None else None,
    )
    session.add(instance)
    session.flush()
    configuration.put_token(session, cipher if keep_token else None, instance.id, token)
    _apply(session, cipher, instance, wanted, now, facts or {})
    return instance.id, token


def replace_token(
    session: orm.Session, cipher: Cipher | None, caller: Caller, instance_id: int
) -> str:
    """Give an instance a new token, and return it; the one before is refused from the commit on.

    :param cipher: to store the token encrypted; ``None`` to store only its hash.
    :raises NotFoundError: the caller's organisation has no instance with this id.
    """
    instance = find(session, caller, instance_id, lock=True, changes_key=True)
    token = new_token()
    instance.token_hash = hash_token(token)
    configuration.put_token(session, cipher, instance_id, token)
    session.flush()
    return token


def change(
    session: orm.Session,
    cipher: Cipher,
    caller: Caller,
    instance_id: int,
    wanted: InstanceSpec,
    facts: cabc.Mapping[str, t.Any] | None,
    now: dt.datetime,
    *,
    check_later: bool = False,
) -> Instance:
    """Apply a specification to an instance, from the next delivery and the next poll on.

    A poll under way is interrupted if the specification concerns it.

    :param facts: what the store reported, if it was checked again.
    :param check_later: a worker has to check it.
    """
    instance = find(session, caller, instance_id, lock=True)
    instance.name = wanted.name
    instance.tags = list(wanted.tags)
    instance.vendor_type = wanted.configuration.vendor_type
    instance.events_enabled = wanted.configuration.enabled
    instance.refresh_minutes = wanted.refresh_minutes
    if facts is not None:
        # Another address of the same store: its users prove that.
        connecting.finish(session, instance, facts, now)
    elif check_later:
        instance.connecting = connecting.pending(now)
    if facts is not None or check_later:
        _try_now(session, instance)
    if wanted.reconnects or facts is not None or check_later or not instance.events_enabled:
        _interrupt(instance)
    configuration.retire_key(session, cipher, instance_id, wanted.texts, now)
    _apply(session, cipher, instance, wanted, now, facts or {})
    return instance


def before(session: orm.Session, cipher: Cipher, caller: Caller, instance_id: int) -> CurrentSpec:
    """Return the current state of an instance, before a change."""
    instance = find(session, caller, instance_id)
    stored = configuration.read(session, cipher, instance_id)
    return CurrentSpec(
        name=instance.name,
        tags=tuple(instance.tags),
        texts=stored.texts,
        unreadable=frozenset(stored.unreadable),
        connected=instance.connecting is None,
    )


def plan_again(
    session: orm.Session,
    cipher: Cipher,
    caller: Caller,
    instance_id: int,
    request: InstanceRequest,
    checked: InstanceSpec,
    *,
    partial: bool,
) -> InstanceSpec:
    """Apply a request to the locked instance as it is now.

    The store is checked outside of any transaction, which may take minutes. Meanwhile another
    request may have changed what the first specification would change back.

    :param checked: the first specification, whose store was checked.
    :raises ConflictError: the store or its keys are not those that were checked.
    """
    find(session, caller, instance_id, lock=True)
    latest = plan(request, before(session, cipher, caller, instance_id), partial=partial)
    if latest.reconnects and latest.access != checked.access:
        raise ConflictError(
            f"Another request changed {', '.join(CONNECTION_KEYS)} of this instance meanwhile; "
            "send it again"
        )
    return latest


def set_enabled(
    session: orm.Session, caller: Caller, instance_id: int, enabled: bool, now: dt.datetime
) -> None:
    """Resume or pause an instance; while it is paused, no request goes to its store.

    To resume an instance also enables its disabled pollers.
    """
    instance = find(session, caller, instance_id, lock=True)
    instance.disabled = not enabled
    if enabled:
        enable_pollers(session, instance, now)
    else:
        _interrupt(instance)
        _schedule(instance, now)
        session.flush()


def enable_pollers(session: orm.Session, instance: Instance, now: dt.datetime) -> None:
    """Enable the pollers of an instance that were disabled after failures."""
    for poller in pollers.of_instance(session, instance.id):
        if pollers.enable(session, poller, now):
            _interrupt(instance)
    _schedule(instance, now)
    session.flush()


def poll_now(session: orm.Session, caller: Caller, instance_id: int, now: dt.datetime) -> None:
    """Make all resources of an instance due, also those that wait after a failure.

    :raises ConflictError: the instance is paused, or its events are off.
    """
    instance = find(session, caller, instance_id, lock=True)
    if instance.disabled or not instance.events_enabled:
        raise ConflictError("This instance is not polled: it is paused, or its events are off")
    for poller in pollers.of_instance(session, instance_id):
        poller.retry_at = None
    # A poll under way sees by the new date that another one was asked for.
    instance.next_poll_at = instance.regular_poll_at = now
    session.flush()


def backfill(
    session: orm.Session,
    caller: Caller,
    instance_id: int,
    now: dt.datetime,
    *,
    resources: cabc.Collection[str] = (),
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    subscription_id: int | None = None,
) -> list[str]:
    """Send CREATED for every object of the store, and DELETED for the known ones that are gone.

    :param resources: only of these; empty: of all.
    :param since: CREATED only for objects that were modified at or after it.
    :param until: CREATED only for objects that were modified before it.
    :param subscription_id: CREATED for objects that are known only to this subscription; what has
        changed meanwhile is sent to all.
    :return: the resources that are read.
    :raises InputError: the instance does not poll one of them, or the dates leave nothing.
    :raises NotFoundError: the instance has no such subscription.
    :raises ConflictError: a backfill is under way that one with dates would replace.
    """
    instance = find(session, caller, instance_id, lock=True)
    polled = {
        one.resource: one for one in pollers.of_instance(session, instance_id) if one.selected
    }
    if unknown := sorted(set(resources) - polled.keys()):
        raise InputError(
            f"instance {instance_id} does not poll {', '.join(unknown)}; it polls "
            f"{', '.join(sorted(polled))}"
        )
    if since is not None and until is not None and since >= until:
        raise InputError("the end of the dates is not after their beginning")
    target = None if subscription_id is None else _target(session, instance_id, subscription_id)
    _interrupt(instance)
    chosen = sorted(set(resources) or polled)
    for name in chosen:
        pollers.request_backfill(session, polled[name], now, since, until, target)
    _schedule(instance, now)
    session.flush()
    return chosen


def read_again(
    session: orm.Session,
    caller: Caller,
    instance_id: int,
    poller_id: int,
    objects: cabc.Mapping[str, cabc.Mapping[str, str]],
    now: dt.datetime,
) -> None:
    """Make the next poll read objects, and send them to single subscriptions; it is due now.

    :param objects: see :func:`~.pollers.request_reading`.
    """
    instance = find(session, caller, instance_id, lock=True)
    _interrupt(instance)
    until = now + max(_ASKED_FOR, 2 * dt.timedelta(minutes=instance.refresh_minutes))
    poller = session.get_one(Poller, poller_id)
    pollers.request_reading(session, poller, objects, until, now)
    _schedule(instance, now)
    session.flush()


def _target(session: orm.Session, instance_id: int, subscription_id: int) -> int:
    """Return how changes for one subscription only name it."""
    one = session.get(Subscription, subscription_id)
    if (
        one is None
        or one.instance_id != instance_id
        or not one.current
        or one.channel not in CHOOSING_CHANNELS
    ):
        raise NotFoundError(
            f"Instance {instance_id} has no subscription {subscription_id}; see: "
            f"flask woo subscriptions list {instance_id}"
        )
    return outbox.CONFIGURED if one.channel == Channel.WEBHOOK else one.id


def accept(session: orm.Session, caller: Caller, instance_id: int, now: dt.datetime) -> list[str]:
    """Accept what an instance holds back: another store, or the objects that are missing now.

    :return: the resources whose missing objects are sent as deleted, or ``["*"]`` for a store.
    """
    instance = find(session, caller, instance_id, lock=True)
    belief, rows = dict(instance.belief or {}), pollers.of_instance(session, instance_id)
    accepted: list[str] = []
    if hold := belief.pop("hold", None):
        accepted = ["*"]
        belief.pop("reversals", None)
        text = "A person accepted the store that answers."
        notices.add(instance, "hold ended", text, now)
        operational.end(session, instance, Occurrence(kind="store.recognized", text=text), now)
        if hold["verdict"] == "copy":
            belief["root"] = hold["root"]
        elif hold["verdict"] in holds.REPLACED:
            belief = {"adopting": True}
            for poller in rows:
                poller.memory = {**poller.memory, "compare_all": now.isoformat()}
    else:
        accepted = [poller.resource for poller in rows if pollers.holds(session, poller)]
        if accepted:
            belief["accepted"] = now.isoformat()
    if accepted:
        instance.belief = belief
        _interrupt(instance)
        for poller in rows:
            poller.retry_at = None
    _schedule(instance, now)
    session.flush()
    return accepted


def record_restored(session: orm.Session, now: dt.datetime) -> None:
    """Record of each instance that the database is an older one; once in each epoch."""
    for number in session.scalars(sa.select(Instance.id).order_by(Instance.id)).all():
        operational.record(session, number, _RESTORED, now)


_RESTORED = Occurrence(
    kind="database.restored",
    text="the database of the application is older than what was known of it, as after the "
    "restore of a backup",
    costs="What was recorded since the backup is lost; what differs from it is sent again, with "
    "new ids and higher versions.",
    ends="The comparison of all stores, which has begun.",
)


def begin_epoch(session: orm.Session, version_floor: int, now: dt.datetime) -> None:
    """Compare all stores with a restored ledger, and end the polls that are running.

    :param version_floor: new versions are greater.
    """
    for instance in _all(session, Instance):
        _interrupt(instance)
        if instance.next_poll_at is not None:
            _schedule(instance, now)
    for poller in _all(session, Poller):
        pollers.begin_epoch(poller, version_floor)


def _all(session: orm.Session, table: type[T]) -> cabc.Iterator[T]:
    """Lock and yield all rows of a table, in the order of their ids; flush what is changed."""
    last = 0
    while True:
        query = sa.select(table).where(table.id > last).order_by(table.id).limit(_TOGETHER)
        rows = session.scalars(query.with_for_update(key_share=True)).all()
        if not rows:
            return
        yield from rows
        last = rows[-1].id
        session.flush()
        session.expunge_all()


def delete(session: orm.Session, caller: Caller, instance_id: int) -> None:
    """Delete an instance with its configuration, events and deliveries."""
    instance = find(session, caller, instance_id, lock=True)
    # The database deletes deliveries in its own order, so nobody may be about to change them.
    delivery_states.lock_subscriptions(session, Subscription.instance_id == instance_id)
    session.delete(instance)
    session.flush()


def find(
    session: orm.Session,
    caller: Caller,
    instance_id: int,
    *,
    lock: bool = False,
    changes_key: bool = False,
) -> Instance:
    """Return the row of one of the caller's instances.

    :param lock: lock the row until the commit.
    :param changes_key: lock it also against new rows that refer to it, as PostgreSQL does when a
        unique column changes.
    :raises NotFoundError: the caller's organisation has no instance with this id.
    """
    # Without the key, so that PostgreSQL still lets others add rows that refer to the instance.
    held = {"key_share": not changes_key} if lock else None
    instance = session.get(Instance, instance_id, with_for_update=held)
    # Another organisation's instance does not exist for the caller.
    if instance is None or instance.organization_id != caller.organization_id:
        raise NotFoundError("No instance found")
    return instance


def _apply(
    session: orm.Session,
    cipher: Cipher,
    instance: Instance,
    wanted: InstanceSpec,
    now: dt.datetime,
    facts: cabc.Mapping[str, t.Any],
) -> None:
    configuration.write(session, cipher, instance.id, wanted.texts)
    seen = pollers.StoreSnapshot.of(facts)
    if pollers.synchronize(session, instance.id, wanted.pollers, now, seen):
        _interrupt(instance)
    callback_subscription.synchronize(session, instance, wanted.configuration.callback_url, now)
    _schedule(instance, now)
    session.flush()


def _try_now(session: orm.Session, instance: Instance) -> None:
    """Forget how long the store did not answer before it got another address or other keys."""
    instance.slow_since = None
    for poller in pollers.of_instance(session, instance.id):
        poller.retry_at = None


def _interrupt(instance: Instance) -> None:
    """Take the instance away from a worker that polls it with the old state.

    The worker's next commit fails by the higher fence; otherwise it would overwrite the new
    cursor with the old one.
    """
    instance.lease_fence = Instance.lease_fence + 1
    instance.lease_until = None


def _schedule(instance: Instance, now: dt.datetime) -> None:
    wanted = instance.events_enabled and not instance.disabled
    instance.next_poll_at = now if wanted else None
    instance.regular_poll_at = None
    instance.hooks_due_at = now if wanted and instance.vendor_type == "webhook" else None
