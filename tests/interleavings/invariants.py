"""The invariants: what holds after every schedule, and after one clean poll and delivery."""

from __future__ import annotations

import collections
import collections.abc as cabc
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from flask_woo_events.db.models import (
    Delivery,
    Instance,
    Object,
    Poller,
    StoredEvent,
    Subscription,
    Wait,
)
from flask_woo_events.db.states import UNSETTLED, Channel
from flask_woo_events.events.delivery_states import TRYABLE
from flask_woo_events.instances import webhooks
from tests.interleavings.environment import HANDLER, Environment, Receipt


def of_claims(session: orm.Session, now: dt.datetime) -> cabc.Iterator[str]:
    """Every claim has ended, since no process works."""
    for row in session.scalars(sa.select(Instance).where(Instance.lease_until > now)):
        yield f"instance {row.id} is still claimed"
    held = sa.or_(Delivery.lease_token.is_not(None), Delivery.lease_until.is_not(None))
    for one in session.scalars(sa.select(Delivery).where(held)):
        yield f"delivery {one.id} is still claimed"


def of_rows(session: orm.Session, now: dt.datetime) -> cabc.Iterator[str]:
    """What is said in one table agrees with the others."""
    yield from _of_waits(session)
    yield from _of_versions(session)
    yield from _of_subscriptions(session, now)


def of_instances(session: orm.Session) -> cabc.Iterator[str]:
    """An instance that is not paused is polled, and its webhooks are checked."""
    for row in session.scalars(sa.select(Instance)):
        polled = row.events_enabled and not row.disabled
        if polled != (row.next_poll_at is not None):
            yield f"instance {row.id} is {'not ' * polled}polled"
        if polled and row.vendor_type == "webhook" and row.hooks_due_at is None:
            yield f"the webhooks of instance {row.id} are never checked"


def _of_waits(session: orm.Session) -> cabc.Iterator[str]:
    """A delivery waits only for an earlier version of an object of its own."""
    events: dict[int, dict[tuple[int, str], int]] = collections.defaultdict(dict)
    for row in session.execute(
        sa.select(
            Delivery.id, StoredEvent.poller_id, StoredEvent.object_id, StoredEvent.version
        ).join(StoredEvent, StoredEvent.notification_id == Delivery.notification_id)
    ):
        versions = events[row.id]
        key = (row.poller_id, row.object_id)
        versions[key] = max(versions.get(key, 0), row.version)
    rows = {row.id: row for row in session.scalars(sa.select(Delivery))}
    for wait in session.scalars(sa.select(Wait)):
        name = f"delivery {wait.delivery_id} waits for {wait.after_id}"
        one, before = rows.get(wait.delivery_id), rows.get(wait.after_id)
        if one is None or before is None:
            yield f"{name}, one of which is missing"
        elif one.status in UNSETTLED and before.status in UNSETTLED:
            own, other = events[one.id], events[before.id]
            if one.subscription_id != before.subscription_id:
                yield f"{name} of another subscription"
            if not any(other[key] < own[key] for key in own.keys() & other.keys()):
                yield f"{name}, which has no earlier version of its objects"


def _of_versions(session: orm.Session) -> cabc.Iterator[str]:
    """The versions of an object follow each other, and the last one is in the ledger."""
    found: dict[tuple[int, str], list[int]] = collections.defaultdict(list)
    query = sa.select(StoredEvent.poller_id, StoredEvent.object_id, StoredEvent.version)
    for poller_id, object_id, version in session.execute(query.order_by(StoredEvent.id)):
        found[poller_id, object_id].append(version)
    known = {
        (row.poller_id, row.object_id): row
        for row in session.execute(
            sa.select(Object.poller_id, Object.object_id, Object.version, Object.revision)
        )
    }
    for (poller_id, object_id), versions in found.items():
        if versions != list(range(versions[0], versions[0] + len(versions))):
            yield f"object {object_id} has the versions {versions}"
        row = known.get((poller_id, object_id))
        if row is None or row.version != versions[-1]:
            yield f"the ledger has another version of object {object_id} than {versions[-1]}"
    revisions = {row.id: row.revision for row in session.scalars(sa.select(Poller))}
    for (poller_id, object_id), row in known.items():
        if row.revision > revisions[poller_id]:
            yield f"object {object_id} has a later revision than its poller"


def _of_subscriptions(session: orm.Session, now: dt.datetime) -> cabc.Iterator[str]:
    """A subscription is due no later than what can be sent; nothing is left behind by another."""
    before = orm.aliased(Delivery)
    held_back = (
        sa.select(Wait.after_id)
        .join(before, before.id == Wait.after_id)
        .where(Wait.delivery_id == Delivery.id, before.status.in_(UNSETTLED))
        .exists()
    )
    query = sa.select(Delivery).where(
        Delivery.status.in_(TRYABLE), Delivery.lease_until.is_(None), ~held_back
    )
    ready = collections.defaultdict(list)
    for one in session.scalars(query):
        ready[one.subscription_id].append(one)
    for row in session.scalars(sa.select(Subscription)):
        for one in ready[row.id]:
            at = max(filter(None, (one.due_at, row.held_until, now)))
            if row.paused:
                continue
            if row.active and row.current and (row.next_due_at is None or row.next_due_at > at):
                yield f"delivery {one.id} is due, its subscription {row.id} only {row.next_due_at}"
            if not row.active:
                yield f"delivery {one.id} is due, its subscription {row.id} is stopped"
    replaced = sa.select(Subscription.instance_id).where(
        Subscription.current, Subscription.channel == Channel.WEBHOOK
    )
    for number in session.scalars(
        sa.select(Delivery.id)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(
            sa.not_(Subscription.current),
            Delivery.status.in_(UNSETTLED),
            Subscription.instance_id.in_(replaced),
        )
    ):
        yield f"delivery {number} stays with a callback that was replaced"


def of_receipts(env: Environment, *, repeats: bool) -> cabc.Iterator[str]:
    """Each receiver gets the versions of an object in order, and each of them once.

    :param repeats: an operation sent some again.
    """
    by_object: dict[tuple[str, object], list[Receipt]] = collections.defaultdict(list)
    for one in env.receipts:
        by_object[one.receiver, one.key].append(one)
    for (receiver, key), receipts in by_object.items():
        versions = [one.version or env.versions.get((one.number, one.key)) for one in receipts]
        known = [one for one in versions if one is not None]
        again = repeats and receiver != HANDLER
        first = list(dict.fromkeys(known)) if again else known
        if first != sorted(set(first)):
            yield f"{receiver} got the versions {known} of {key}"


def of_fold(env: Environment, *, silent: bool) -> cabc.Iterator[str]:
    """The events that were accepted, applied in order, give what the store holds.

    :param silent: there was no callback for a while.
    """
    truth = env.truth()
    for name in ("handler",) if silent else ("callback", "handler"):
        known = dict(env.baseline)
        for one in env.receipts:
            if one.receiver == HANDLER:
                receiver = "handler"
            else:
                # A second subscription gets a part of what happens.
                receiver = "second" if "second.test" in one.receiver else "callback"
            if receiver == name:
                known.pop(one.key, None)
                if one.content is not None:
                    known[one.key] = one.content
        resources = {key[0] for key in env.baseline}
        wrong = sorted(
            " ".join(key)
            for key in truth.keys() | known.keys()
            if key[0] in resources and truth.get(key) != known.get(key)
        )
        if wrong:
            yield f"the {name} has another state of {', '.join(wrong)} than the store"


def of_hooks(env: Environment) -> cabc.Iterator[str]:
    """The store has one active webhook of each topic, with the current address."""
    for problem in webhooks.check(env.own, env.instance_id):
        yield f"a webhook at the store: {problem}"
    with env.own.database.read() as session:
        hooks = session.get_one(Instance, env.instance_id).hooks
    real = {row.id for row in env.store.shop.tables["webhooks"]}
    for hook in hooks:
        if hook["id"] not in real:
            yield f"webhook {hook['id']} is kept, but the store has it no more"
