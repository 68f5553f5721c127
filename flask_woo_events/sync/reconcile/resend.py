"""Sending objects again to the one subscription whose consumer lacks them.

Each is sent with the version that the ledger has, so that nothing changes for other subscriptions:
what the consumer lacks as CREATED, an old copy as UPDATED, and what was deleted as DELETED. The
body is that of the object's last event. If that is not kept, the next poll reads the object.
"""

from __future__ import annotations

import collections.abc as cabc
import enum
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ...db.models import Delivery, Notification, Object, Poller, StoredEvent, Subscription
from ...db.states import CHOOSING_CHANNELS, UNSETTLED, Channel, EventType, Source
from ...errors import InputError, NotFoundError
from ...events import notifications, outbox, subscription_options
from ...events.outbox import Change
from ...instances import checkpoint, lifecycle, pollers
from ...instances.accounts import Caller
from ...runtime import Runtime
from ...values.validation import whole_number
from ...woocommerce import endpoints
from ..cursor import Stream, load_cursor
from ..ledger import lookup
from ..ledger.lookup import Known
from .differences import StateDifference, Why

#: Differences that are sent in one transaction, and the bytes of their objects; a larger one comes
#: alone.
AT_ONCE, MOST_BYTES = 100, 8 * 1024 * 1024
#: Events that one call records at most, so that a web request takes seconds.
MOST_RECORDED = 10_000


class Outcome(enum.StrEnum):
    """What becomes of an object that was to be sent again."""

    RECORDED = "recorded"  #: an event for the subscription was recorded
    WAITING = "waiting"  #: its last event is on its way to the subscription already
    READ = "read"  #: the next poll reads the object, and records the event
    LEFT = "left"  #: nothing is sent; docs/reconcile.md has the reasons


class Target(t.NamedTuple):
    """The subscription that gets what its consumer lacks."""

    id: int
    #: How events that only it gets name it.
    only_for: int


def target_of(session: orm.Session, instance_id: int, subscription_id: int | None) -> Target:
    """Return a subscription of an instance, by default the first one or the only one.

    :raises NotFoundError: the instance has no such subscription.
    :raises InputError: it has several, and none is the first one.
    """
    rows = session.scalars(
        sa.select(Subscription).where(
            Subscription.instance_id == instance_id,
            Subscription.current,
            Subscription.channel.in_(CHOOSING_CHANNELS),
        )
    ).all()
    if subscription_id is not None:
        rows = [row for row in rows if row.id == subscription_id]
    elif len(rows) > 1:
        rows = [row for row in rows if row.channel == Channel.WEBHOOK]
        if not rows:
            raise InputError(
                "the instance has several subscriptions, and none of its configuration; name one "
                "with subscription",
                "subscription",
            )
    if not rows:
        raise NotFoundError("No subscription found")
    return Target(rows[0].id, notifications.target_of(rows[0].channel, rows[0].id))


class Resender:
    """Sends the objects of one resource again, part by part.

    :param target: see :func:`target_of`.
    """

    def __init__(
        self,
        runtime: Runtime,
        caller: Caller,
        instance_id: int,
        poller_id: int,
        target: Target,
    ) -> None:
        self._runtime = runtime
        self._caller = caller
        self._instance_id = instance_id
        self._poller_id = poller_id
        self._target = target
        #: Objects that the next poll reads, each with the type of its event.
        self._to_read: dict[str, str] = {}
        self._recorded = 0

    def send(self, differences: cabc.Sequence[StateDifference]) -> dict[str, Outcome]:
        """Record events for some objects, as they are in the ledger now; return what of each.

        :param differences: at most ``AT_ONCE``.
        :raises NotFoundError: the subscription or the instance was deleted meanwhile.
        """
        outcomes: dict[str, Outcome] = {}
        for part in self._parts(differences):
            outcomes |= self._send_part(part)
        return outcomes

    def _parts(
        self, differences: cabc.Sequence[StateDifference]
    ) -> cabc.Iterator[list[StateDifference]]:
        """Divide objects so that the bodies of their last events fit into memory together."""
        size = sa.func.max(sa.func.length(StoredEvent.body))
        query = (
            sa.select(StoredEvent.object_id, size)
            .join(Object, _is_last())
            .where(*self._of([one.object_id for one in differences]))
            .group_by(StoredEvent.object_id)
        )
        with self._runtime.database.read() as session:
            sizes = {name: size for name, size in session.execute(query)}
        part: list[StateDifference] = []
        total = 0
        for one in differences:
            total += (own := sizes.get(one.object_id, 0))
            if part and total > MOST_BYTES:
                yield part
                part, total = [], own
            part.append(one)
        yield part

    def _send_part(self, differences: cabc.Sequence[StateDifference]) -> dict[str, Outcome]:
        if self._recorded >= MOST_RECORDED:
            return {one.object_id: Outcome.LEFT for one in differences}
        before = dict(self._to_read)

        def work(session: orm.Session) -> dict[str, Outcome]:
            self._to_read = dict(before)
            return self._send(session, {one.object_id: one for one in differences})

        outcomes = self._runtime.database.transact(work)
        self._recorded += sum(one is Outcome.RECORDED for one in outcomes.values())
        return outcomes

    def finish(self) -> None:
        """Have the next poll read the objects that need it."""
        if self._to_read:
            self._runtime.database.transact(self._request)

    def _request(self, session: orm.Session) -> None:
        lifecycle.read_again(
            session,
            self._caller,
            self._instance_id,
            self._poller_id,
            {one: {str(self._target.only_for): kind} for one, kind in self._to_read.items()},
            self._runtime.clock(),
        )

    def _send(
        self, session: orm.Session, differences: cabc.Mapping[str, StateDifference]
    ) -> dict[str, Outcome]:
        # The locks that each batch of a poll takes, in its order.
        lifecycle.find(session, self._caller, self._instance_id, lock=True)
        mine = sa.select(Poller).where(Poller.id == self._poller_id).with_for_update()
        poller = session.scalars(mine).one()
        stream, _cursor = load_cursor(poller, self._runtime.settings)
        ids = list(differences)
        known = lookup.known(session, self._poller_id, ids)
        waiting, events = self._waiting(session, ids), self._events(session, ids)
        # The lines may have arrived for minutes.
        target_of(session, self._instance_id, self._target.id)
        row = session.get_one(Subscription, self._target.id)
        chosen = subscription_options.read(row.options).choice
        now = self._runtime.clock()
        # Not before those of the events, so that no receiver takes them for older ones, and not in
        # the future of the store.
        dates = [checkpoint.poll_date_of(poller) or now]
        poll_date = max([*dates, *(one.poll_date for one in events.values())])
        outcomes = dict.fromkeys(ids, Outcome.LEFT)
        changes: list[Change] = []
        for object_id, difference in differences.items():
            state = known.get(object_id)
            kind = _event_type(difference, state)
            if kind is None or not chosen.wants(stream.resource, kind, (), None):
                continue
            if object_id in waiting:
                outcomes[object_id] = Outcome.WAITING
                continue
            event = events.get(object_id)
            deleted = kind is EventType.DELETED and state is not None
            if event is None and not deleted:
                if self._may_read(stream, object_id, state):
                    self._to_read[object_id] = kind.value
                    outcomes[object_id] = Outcome.READ
                continue
            assert state is not None
            outcomes[object_id] = Outcome.RECORDED
            changes.append(
                Change(
                    object_id=object_id,
                    event_type=kind,
                    version=state.version,
                    date=poll_date if event is None else event.date,
                    source=Source.COMPARE.value,
                    body=_only_id(object_id) if event is None or deleted else event.body,
                    changed_fields=(),
                    only_for=self._target.only_for,
                )
            )
        outbox.post(session, stream, changes, poll_date, outbox.Rules(now=now))
        return outcomes

    def _may_read(self, stream: Stream, object_id: str, state: Known | None) -> bool:
        """Return whether the next poll can read one more object by its id."""
        collection = endpoints.resolve(stream.configuration.url)
        number = whole_number(object_id)
        return (
            len(self._to_read) < pollers.MOST_READ_AGAIN
            and number is not None
            and str(number) == object_id
            and stream.configuration.id_field == "id"
            and stream.feed_since is None
            and (collection.orders_by_id or (collection.below is not None and state is not None))
        )

    def _waiting(self, session: orm.Session, ids: cabc.Sequence[str]) -> set[str]:
        """Return the objects whose last version is not settled yet for the subscription."""
        query = (
            sa.select(StoredEvent.object_id, StoredEvent.id, StoredEvent.only_for, Delivery.wanted)
            .join(Delivery, Delivery.notification_id == StoredEvent.notification_id)
            .join(Object, _is_last())
            .where(
                Delivery.subscription_id == self._target.id,
                Delivery.status.in_(UNSETTLED),
                *self._of(ids),
            )
        )
        return {
            object_id
            for object_id, event_id, only_for, wanted in session.execute(query)
            if only_for in (None, self._target.only_for) and (wanted is None or event_id in wanted)
        }

    def _events(self, session: orm.Session, ids: cabc.Sequence[str]) -> dict[str, t.Any]:
        """Return the last event of those objects of which it is kept."""
        query = (
            sa.select(
                StoredEvent.object_id, StoredEvent.date, StoredEvent.body, Notification.poll_date
            )
            .join(Object, _is_last())
            .join(Notification, Notification.id == StoredEvent.notification_id)
            .where(*self._of(ids))
            .order_by(StoredEvent.id)
        )
        return {row.object_id: row for row in session.execute(query)}

    def _of(self, ids: cabc.Sequence[str]) -> tuple[sa.ColumnElement[bool], ...]:
        return StoredEvent.poller_id == self._poller_id, StoredEvent.object_id.in_(ids)


def _is_last() -> sa.ColumnElement[bool]:
    return sa.and_(
        Object.poller_id == StoredEvent.poller_id,
        Object.object_id == StoredEvent.object_id,
        Object.version == StoredEvent.version,
    )


def _event_type(difference: StateDifference, state: Known | None) -> EventType | None:
    """Return the type of the event that a consumer lacks; ``None`` if it lacks none.

    The ledger may have changed since the comparison.

    :param state: the object now.
    """
    if difference.why is Why.NEWER or (state is not None and state.excluded):
        return None
    if state is None:
        # Perhaps it is new in the store; the poll that reads it decides.
        return EventType.DELETED
    if state.live:
        return EventType.UPDATED if difference.why is Why.STALE else EventType.CREATED
    return None if difference.why is Why.MISSING else EventType.DELETED


def _only_id(object_id: str) -> bytes:
    number = whole_number(object_id)
    return orjson.dumps({"id": object_id if number is None else number})
