"""Webhook coverage: how many of a store's changes its webhooks reported."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import StoredEvent, WebhookCoverage
from ..db.states import Source

#: A webhook up to this long after an event is about that event, if the object did not change since.
ABOUT = dt.timedelta(hours=1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CoverageCounts:
    """Numbers of changes and webhooks of one resource."""

    #: Changes that a webhook reported first; named as the column and the API's member.
    told: int = 0
    #: Changes that a poll found and no webhook reported.
    missed: int = 0
    #: Webhooks that came after a poll had found the change.
    late: int = 0
    #: Webhooks about a change that a webhook had reported.
    repeated: int = 0
    #: Webhooks about an object that had not changed.
    wrong: int = 0


def add(
    session: orm.Session, instance_id: int, resource: str, counts: CoverageCounts, now: dt.datetime
) -> None:
    """Add to the numbers of a resource.

    What is added may be negative, the sum is not: several webhooks may follow one missed change.
    """
    values = {name: number for name, number in dataclasses.asdict(counts).items() if number}
    if not values:
        return
    update = sa.update(WebhookCoverage).where(
        WebhookCoverage.instance_id == instance_id, WebhookCoverage.resource == resource
    )
    sums = {name: getattr(WebhookCoverage, name) + number for name, number in values.items()}
    update = update.values(
        {name: sa.case((total < 0, 0), else_=total) for name, total in sums.items()}
    )
    update = update.execution_options(synchronize_session=False)
    if session.connection().execute(update).rowcount == 0:
        first = {name: max(number, 0) for name, number in values.items()}
        session.add(WebhookCoverage(instance_id=instance_id, resource=resource, since=now, **first))
        session.flush()


def of_instance(
    session: orm.Session, instance_id: int
) -> dict[str, tuple[CoverageCounts, dt.datetime]]:
    """Return the numbers of each resource, and since when they are counted."""
    rows = session.scalars(
        sa.select(WebhookCoverage)
        .where(WebhookCoverage.instance_id == instance_id)
        .order_by(WebhookCoverage.resource)
    )
    return {
        row.resource: (
            CoverageCounts(
                told=row.told,
                missed=max(row.missed, 0),  # Earlier releases counted below zero.
                late=row.late,
                repeated=row.repeated,
                wrong=row.wrong,
            ),
            row.since,
        )
        for row in rows
    }


def judge(
    session: orm.Session,
    poller_id: int,
    named: cabc.Mapping[str, int],
    changed: cabc.Set[str],
    now: dt.datetime,
) -> CoverageCounts:
    """Count webhooks that were processed by what they reported.

    :param named: how many webhooks named each object.
    :param changed: objects for which processing recorded an event.
    """
    repeated = sum(count - 1 for count in named.values())
    late = wrong = 0
    unchanged = [object_id for object_id in named if object_id not in changed]
    sources = _last_sources(session, poller_id, unchanged, now - ABOUT)
    for object_id in unchanged:
        source = sources.get(object_id)
        if source == Source.WEBHOOK:
            repeated += 1
        elif source is not None:
            late += 1
        else:
            wrong += 1
    reported = len(changed & named.keys())
    return CoverageCounts(told=reported, missed=-late, late=late, repeated=repeated, wrong=wrong)


def _last_sources(
    session: orm.Session, poller_id: int, object_ids: cabc.Sequence[str], after: dt.datetime
) -> dict[str, str]:
    """Return the source of each object's last event after a date."""
    found: dict[str, str] = {}
    for start in range(0, len(object_ids), 500):
        query = (
            sa.select(StoredEvent.object_id, StoredEvent.source)
            .where(
                StoredEvent.poller_id == poller_id,
                StoredEvent.object_id.in_(object_ids[start : start + 500]),
                StoredEvent.created_at >= after,
            )
            .order_by(StoredEvent.id)
        )
        found |= {object_id: source for object_id, source in session.execute(query)}
    return found
