"""Erased rows: how each kind of row loses the data of a person.

Every function runs in the caller's transaction, reads what it changes under its locks, and changes
nothing that was erased already.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import functools
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ...db.models import (
    Attempt,
    Delivery,
    Object,
    ObjectBody,
    Poller,
    StoredEvent,
    Subscription,
)
from ...db.states import UNSETTLED, Channel
from ...events import delivery_states, outbox
from ...values import field_paths
from ...values.crypto import KeyedHash
from ...values.persons import ERASED, Persons, kept_at
from ..ledger import bodies, compression, digest

#: Before every lease.
_LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """A person to erase."""

    persons: Persons
    #: Bytes of which every text with the person's address has all; empty: any text may have it.
    needles: tuple[bytes, ...]
    #: What a hidden field that has the address begins with.
    hidden: bytes
    #: The person's ids as a customer of the store.
    customers: frozenset[int] = frozenset()

    def may_be_in(self, data: bytes | None) -> bool:
        """Return whether JSON is worth parsing."""
        if data is None:
            return False
        lower = data.lower()
        if all(one in lower for one in self.needles) or self.hidden in lower:
            return True
        return any(b'"customer_id":%d' % one in lower for one in self.customers)

    def owns(self, body: t.Any, *, order: bool) -> bool:
        """Return whether an object is the person's.

        :param order: it is an order, which a customer may own.
        """
        if not isinstance(body, dict):
            return False
        customer = body.get("customer_id") if order else None
        return self.persons.own(body) or (isinstance(customer, int) and customer in self.customers)

    def without(self, body: t.Any, *, owned: bool) -> t.Any:
        """Return a body without the person's data."""
        return self.persons.erased(body) if owned else self.persons.without_addresses(body)


def person_of(address: str, keyed: KeyedHash) -> Person:
    """Return a person by the normalized address."""
    address_hash = keyed.of(address)
    # Letters and digits of ASCII are the same in all encodings that are searched.
    runs = "".join(one if one.isascii() and one.isalnum() else " " for one in address).split()
    needles = tuple(run.encode() for run in runs)
    return Person(Persons([address_hash], keyed), needles, address_hash[:16].encode())


def erase_bodies(
    session: orm.Session, poller_id: int, object_ids: cabc.Sequence[str], person: Person, *,
    order: bool,
) -> int:  # fmt: skip
    """Erase a person from the ledger's bodies of objects; return how many were changed.

    The digest of what is left replaces the one before, so that the object does not look changed.
    """
    session.execute(sa.select(Poller.id).where(Poller.id == poller_id).with_for_update())
    query = sa.select(ObjectBody).where(
        ObjectBody.poller_id == poller_id, ObjectBody.object_id.in_(object_ids)
    )
    count = 0
    for row in session.scalars(query.execution_options(populate_existing=True)):
        plain = compression.decompress(row.data, row.dictionary)
        if plain is None:
            continue
        kept = orjson.loads(plain)
        body = kept[1] if isinstance(kept, list) else kept
        left = person.without(body, owned=person.owns(body, order=order))
        if left == body:
            continue
        count += 1
        if isinstance(kept, list):
            data = orjson.dumps([kept[0], left], option=orjson.OPT_SORT_KEYS)
        else:
            content = digest.content_of(left)
            data = content.data
            _write_digest(session, poller_id, row.object_id, content)
        row.data = compression.compress(data, row.dictionary)
    session.flush()
    return count


def _write_digest(
    session: orm.Session, poller_id: int, object_id: str, content: digest.Content
) -> None:
    """Write the digest of a row whose body is known; the store's state it was read in stays."""
    is_described = Object.described_revision == Object.revision
    session.execute(
        sa.update(Object)
        .where(
            Object.poller_id == poller_id, Object.object_id == object_id, Object.live,
            Object.body_revision == Object.revision, Object.body_fields == bodies.ALL,
        )
        .values(
            digest=content.digest, fields=content.fields, digest_version=digest.CURRENT,
            store_version=sa.case((is_described, Object.store_version), else_=""),
            store_zone=sa.case((is_described, Object.store_zone), else_=""),
            described_revision=Object.revision,
        )
        .execution_options(synchronize_session=False)
    )  # fmt: skip


@dataclasses.dataclass(slots=True)
class ErasedEvents:
    """What was changed."""

    events: int = 0
    #: Deliveries that are not sent yet; they are sent without the person.
    waiting: set[int] = dataclasses.field(default_factory=set)
    #: Deliveries that were claimed; their result is not written, and they are sent again.
    in_flight: set[int] = dataclasses.field(default_factory=set)
    attempts: set[int] = dataclasses.field(default_factory=set)


def erase_events(
    session: orm.Session,
    instance_id: int,
    poller_id: int,
    event_ids: cabc.Sequence[int],
    owned: cabc.Set[str],
    person: Person,
    now: dt.datetime,
) -> ErasedEvents:
    """Erase a person from events, and from what callbacks and handlers answered to them.

    What a worker has claimed is given back: the result of its attempt may repeat the person. With
    the poller's lock nobody copies an event meanwhile, and later events of the same objects may be
    copies that were made before.

    :param poller_id: whose events they are.
    :param owned: the objects that are the person's.
    """
    session.execute(sa.select(Poller.id).where(Poller.id == poller_id).with_for_update())
    subscriptions = delivery_states.lock_subscriptions(
        session, Subscription.instance_id == instance_id
    )
    found = ErasedEvents()
    changed: set[int] = set()
    query = sa.select(
        StoredEvent.id, StoredEvent.notification_id, StoredEvent.object_id, StoredEvent.body,
        StoredEvent.changes,
    ).where(sa.or_(StoredEvent.id.in_(event_ids), _follow(poller_id, event_ids)))  # fmt: skip
    for row in session.execute(query).all():
        is_owned = row.object_id in owned
        body = _erased_json(row.body, functools.partial(person.without, owned=is_owned))
        changes = row.changes and _erased_json(
            row.changes,
            functools.partial(_changes, persons=person.persons, owned=is_owned),
        )
        if (body, changes) == (row.body, row.changes):
            continue
        changed.add(row.notification_id)
        found.events += 1
        values = {"body": body, "changes": changes}
        session.execute(_update(StoredEvent).where(StoredEvent.id == row.id).values(values))
    if changed:
        _settle(session, changed, found)
        if found.in_flight:
            outbox.wake(session, subscriptions, now)
    return found


def _follow(poller_id: int, event_ids: cabc.Sequence[int]) -> sa.ColumnElement[bool]:
    """Return the condition of events that were recorded after all of these, of their objects."""
    named = sa.select(StoredEvent.object_id).where(StoredEvent.id.in_(event_ids))
    return sa.and_(
        StoredEvent.poller_id == poller_id,
        StoredEvent.id > max(event_ids),
        StoredEvent.object_id.in_(named),
    )


def _settle(session: orm.Session, notification_ids: set[int], found: ErasedEvents) -> None:
    """Count, give back and erase what belongs to the deliveries of notifications."""
    query = sa.select(Delivery.id, Delivery.status, Delivery.lease_token).where(
        Delivery.notification_id.in_(notification_ids)
    )
    rows = session.execute(query).all()
    found.waiting = {row.id for row in rows if row.status in UNSETTLED}
    found.in_flight = {row.id for row in rows if row.lease_token is not None}
    delivery_states.end_leases(session, sorted(found.in_flight), _LONG_AGO)
    texts = (
        sa.select(Attempt.id, Attempt.answer, Attempt.reason, Subscription.channel)
        .join(Delivery, Delivery.id == Attempt.delivery_id)
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(Delivery.notification_id.in_(notification_ids))
    )
    for row in session.execute(texts).all():
        # The receiver knew all of the body, and may repeat any of it.
        reason = ERASED if row.channel == Channel.HANDLER and row.reason else row.reason
        if _write_attempt(session, row, row.answer and ERASED, reason):
            found.attempts.add(row.id)


def erase_attempts(
    session: orm.Session, attempt_ids: cabc.Sequence[int], person: Person
) -> set[int]:
    """Erase texts of attempts that hold a person's address; return the ids of what was changed."""
    query = sa.select(Attempt.id, Attempt.answer, Attempt.reason).where(Attempt.id.in_(attempt_ids))
    without = person.persons.without_addresses
    return {
        row.id
        for row in session.execute(query).all()
        if _write_attempt(session, row, without(row.answer), without(row.reason))
    }


def _write_attempt(session: orm.Session, row: t.Any, answer: str, reason: str) -> bool:
    if (answer, reason) == (row.answer, row.reason):
        return False
    values = {"answer": answer, "reason": reason}
    session.execute(_update(Attempt).where(Attempt.id == row.id).values(values))
    return True


def _erased_json(data: bytes, without: cabc.Callable[[t.Any], t.Any]) -> bytes:
    value = orjson.loads(data)
    left = without(value)
    return data if left == value else orjson.dumps(left)


def _changes(changes: t.Any, persons: Persons, *, owned: bool) -> t.Any:
    """Return the changes of an event without a person's data; paths of what is kept stay."""
    if not owned:
        return persons.without_addresses(changes)
    values = {
        path: {name: persons.erased(one, _kept_at(path)) for name, one in value.items()}
        for path, value in changes["changes"].items()
    }
    return persons.without_addresses(changes | {"changes": values})


def _kept_at(path: str) -> t.Any:
    try:
        steps = field_paths.steps(path)
    except ValueError:
        return None
    return kept_at(one for one in steps if not one.startswith("["))


def _update(table: type[t.Any]) -> sa.Update:
    return sa.update(table).execution_options(synchronize_session=False)
