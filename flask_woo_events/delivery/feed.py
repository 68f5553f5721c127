"""Answers of a feed: the next events in the format of their receiver, and the cursor after them."""

from __future__ import annotations

import contextlib
import dataclasses
import time

import sqlalchemy as sa
from sqlalchemy import orm

from ..errors import BusyError, InputError
from ..events import feed, feed_cursor, feed_positions
from ..events.feed import FeedChoice, FeedPart
from ..events.feed_cursor import FeedCursor
from ..events.feed_positions import FeedState
from ..events.notifications import NotificationRecord
from ..instances import restored
from ..runtime import Runtime
from ..values.cloud_elements import Format
from . import cloudevents, destination, payload
from .payload import Sender

#: In place of a cursor: from here on.
NOW = "now"
#: Seconds that one request takes up a backlog for the cursor ``now``, which must be behind it.
_PREPARING = 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """One answer of a feed."""

    #: JSON of each, in the format of its receiver.
    events: tuple[bytes, ...]
    cursor: str
    #: Retention has deleted events that come after the cursor of the request.
    truncated: bool
    #: More events may be there already.
    more: bool


def read(
    runtime: Runtime,
    chosen: FeedChoice,
    cursor: str | None,
    limit: int,
    form: Format | None = None,
) -> FeedPage:
    """Read the next events of a feed, and assign positions to some that have none.

    :param cursor: that of the last answer, :data:`NOW`, or ``None`` for the oldest event.
    :param limit: events at most.
    :param form: the format, by default that of the instance of each event.
    :raises InputError: the cursor is not one of this feed.
    :raises BusyError: the cursor is :data:`NOW`, and the events before it are still taken up.
    """
    scope = chosen.scope
    sent = None if cursor in (None, NOW) else feed_cursor.read(str(cursor), scope)
    is_behind = advance(runtime, scope.organization_id, sent, _PREPARING if cursor == NOW else 0.0)
    if cursor == NOW and is_behind:
        raise BusyError("The events before now are still being taken up; send it again")
    with runtime.database.read() as session:
        state = feed_positions.state(session, scope.organization_id)
        after = state.position if cursor == NOW else _begin(state, sent)
        part = feed.read(session, chosen, after, state.position, limit)
        # After the events: what was deleted before they were read is counted.
        purged = feed_positions.purged_up_to(session, scope.organization_id, scope.instance_id)
        events = _in_format(_Senders(session, form), part)
    return FeedPage(
        events=events,
        cursor=FeedCursor(position=part.position, life=state.life).text(scope),
        truncated=sent is not None and after < purged,
        more=part.more or is_behind,
    )


def _begin(state: FeedState, sent: FeedCursor | None) -> int:
    """Return the position after which to read.

    :raises InputError: it is later than all that were assigned.
    """
    if sent is None:
        return 0
    if _is_ahead(state, sent):
        raise InputError(
            "cursor is ahead of this feed: it is of another database, or of one whose backup was "
            "restored; after a restore run flask woo db restored, and send it again",
            "cursor",
        )
    return state.common_with(sent.life, sent.position)


def _is_ahead(state: FeedState, sent: FeedCursor) -> bool:
    return state.common_with(sent.life, sent.position) > state.position


def advance(
    runtime: Runtime, organization_id: int, sent: FeedCursor | None, seconds: float = 0.0
) -> bool:
    """Assign positions to the next committed events, if any wait for one.

    :param sent: a cursor; one that is ahead may be due to a backup that was just restored.
    :param seconds: how long to go on with a backlog; at least one part of it is taken up.
    :return: whether more of them wait.
    """
    with runtime.database.read() as session:
        state = feed_positions.state(session, organization_id)
    if not state.is_behind and (sent is None or not _is_ahead(state, sent)):
        return False
    # Before it: a position that is assigned in a restored database belongs to its new life.
    restored.look(runtime)
    if state.is_new:
        # Unless another process is adding it.
        with contextlib.suppress(sa.exc.IntegrityError), runtime.database.write() as session:
            feed_positions.prepare(session, organization_id)
    end = time.monotonic() + seconds
    while True:
        is_behind = runtime.database.transact(
            lambda session: feed_positions.advance(session, organization_id)
        )
        if not is_behind or time.monotonic() >= end:
            return is_behind


class _Senders:
    """The instances of events, each read once.

    :param form: the format of a subscription, by default that of the instance.
    """

    def __init__(self, session: orm.Session, form: Format | None) -> None:
        self._session = session
        self._form = form
        self._found: dict[int, Sender] = {}

    def of(self, instance_id: int) -> Sender:
        """Return an instance as its notifications name it."""
        found = self._found.get(instance_id)
        if found is None:
            found = destination.load_sender(self._session, instance_id, self._form)
            self._found[instance_id] = found
        return found


def _in_format(senders: _Senders, part: FeedPart) -> tuple[bytes, ...]:
    return tuple(body_of(one, senders.of(one.instance_id)) for one in part.events)


def body_of(record: NotificationRecord, sender: Sender) -> bytes:
    """Return the JSON of a notification with one event, as its receiver gets it."""
    if sender.format is Format.CLOUDEVENTS:
        return cloudevents.build_body(record, record.events[0], sender)
    return payload.build_body(record, sender)
