"""The tally: how well the webhooks of a store told what happened in it."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Source, StoredEvent, WebhookCoverage

#: A webhook this long after an event is about that event, if nothing happened since.
ABOUT = dt.timedelta(hours=1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CoverageCounts:
    """Changes and webhooks of one resource."""

    #: Changes that a webhook told first.
    told: int = 0
    #: Changes that polling told and no webhook did.
    missed: int = 0
    #: Webhooks that came after polling had told the change.
    late: int = 0
    #: Webhooks that said again what a webhook had said.
    repeated: int = 0
    #: Webhooks that named an object to which nothing had happened.
    wrong: int = 0


def add(
    session: orm.Session, instance_id: int, resource: str, counts: CoverageCounts, now: dt.datetime
) -> None:
    """Add to the tally of a resource; numbers may be negative."""
    values = {name: number for name, number in dataclasses.asdict(counts).items() if number}
    if not values:
        return
    mine = sa.update(WebhookCoverage).where(
        WebhookCoverage.instance_id == instance_id, WebhookCoverage.resource == resource
    )
    more = mine.values(
        {name: getattr(WebhookCoverage, name) + number for name, number in values.items()}
    )
    more = more.execution_options(synchronize_session=False)
    if session.connection().execute(more).rowcount == 0:
        session.add(
            WebhookCoverage(instance_id=instance_id, resource=resource, since=now, **values)
        )
        session.flush()


def of_instance(
    session: orm.Session, instance_id: int
) -> dict[str, tuple[CoverageCounts, dt.datetime]]:
    """The tally of each resource, and since when."""
    rows = session.scalars(
        sa.select(WebhookCoverage)
        .where(WebhookCoverage.instance_id == instance_id)
        .order_by(WebhookCoverage.resource)
    )
    return {
        row.resource: (
            CoverageCounts(
                told=row.told,
                missed=row.missed,
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
    told: cabc.Set[str],
    now: dt.datetime,
) -> CoverageCounts:
    """Judge webhooks that were looked after.

    :param named: how many webhooks named each object.
    :param told: of which of them something was told now.
    """
    repeated = sum(count - 1 for count in named.values())
    late = wrong = 0
    quiet = [object_id for object_id in named if object_id not in told]
    sources = _last_sources(session, poller_id, quiet, now - ABOUT)
    for object_id in quiet:
        source = sources.get(object_id)
        if source == Source.WEBHOOK:
            repeated += 1
        elif source is not None:
            late += 1
        else:
            wrong += 1
    done = len(told & named.keys())
    return CoverageCounts(told=done, missed=-late, late=late, repeated=repeated, wrong=wrong)


def _last_sources(
    session: orm.Session, poller_id: int, object_ids: cabc.Sequence[str], after: dt.datetime
) -> dict[str, str]:
    """Which source saw the last event of each object, if it is not older."""
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
