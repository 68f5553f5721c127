"""Holds: what of an instance is not sent, since when, and what accepting it sends."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Instance, Object, Poller
from ..db.states import EventType

#: The member of a poller's memory that says that missing objects wait.
MISSING = "missing"
#: Verdicts on a store whose acceptance compares all of it with the ledger.
REPLACED = ("another", "unknown")


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldResource:
    """What accepting a hold may send for one resource."""

    resource: str
    #: Number of objects.
    objects: int
    event_type: str = EventType.DELETED


@dataclasses.dataclass(frozen=True, kw_only=True)
class HoldView:
    """What an instance holds back."""

    #: ``copy``, ``another``, ``unknown`` or ``alternating`` store: nothing is recorded.
    #: ``deletions``: missing objects wait; all other changes are sent.
    kind: str
    since: dt.datetime
    reason: str
    resources: tuple[HeldResource, ...]
    #: Accepts what is held.
    command: str


def of_instance(
    session: orm.Session, instance: Instance, selected: cabc.Sequence[Poller]
) -> HoldView | None:
    """Return what an instance holds back; ``None`` if it holds nothing.

    :param selected: the pollers of its resources.
    """
    command = f"flask woo instances accept {instance.id}"
    if hold := (instance.belief or {}).get("hold"):
        replaced = selected if hold["verdict"] in REPLACED else []
        return HoldView(
            kind=hold["verdict"],
            since=dt.datetime.fromisoformat(hold["since"]),
            reason=hold["reason"],
            resources=tuple(
                HeldResource(resource=one.resource, objects=_objects(session, one)[0])
                for one in replaced
            ),
            command=command,
        )
    waiting = [(one, _objects(session, one, held=True)) for one in selected if _waits(one)]
    waiting = [(one, found) for one, found in waiting if found[0]]
    if not waiting:
        return None
    return HoldView(
        kind="deletions",
        since=min(since for _, (_, since) in waiting if since is not None),
        reason=" ".join(one.error or "" for one, _ in waiting).strip(),
        resources=tuple(
            HeldResource(resource=one.resource, objects=count) for one, (count, _) in waiting
        ),
        command=command,
    )


def _waits(poller: Poller) -> bool:
    return bool(poller.memory.get(MISSING))


def _objects(
    session: orm.Session, poller: Poller, *, held: bool = False
) -> tuple[int, dt.datetime | None]:
    """Return the number of live objects, and since when the first of them waits.

    :param held: only those that wait.
    """
    query = sa.select(sa.func.count(), sa.func.min(Object.held_at)).where(
        Object.poller_id == poller.id, Object.live
    )
    if held:
        query = query.where(Object.held_at.is_not(None))
    count, since = session.execute(query).one()
    return count, since
