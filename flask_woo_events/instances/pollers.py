"""Pollers: which resources of an instance are polled, and from where."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import GONE_DIGEST, GONE_FIELDS, Object, Poller, PollerState
from ..values.validation import folded
from ..woocommerce import endpoints
from .polled_resources import PollerConfiguration


@dataclasses.dataclass(frozen=True)
class StoreSnapshot:
    """What a check of the store saw just now."""

    #: The store's clock: what it creates or changes before a new resource is read the first time
    #: is told. Without it that counts from the first reading.
    since: dt.datetime | None
    #: Objects by the path of their list, as far as the store counted them.
    totals: cabc.Mapping[str, int | None]

    def memory_of(self, url: str) -> dict[str, object]:
        """What the poller of a new resource remembers of it."""
        total = self.totals.get(endpoints.resolve(url).path)
        return {} if total is None else {"checked_total": total}


def of_instance(session: orm.Session, instance_id: int) -> cabc.Sequence[Poller]:
    """The rows of an instance, those of resources that it no longer names included."""
    query = sa.select(Poller).where(Poller.instance_id == instance_id)
    return session.scalars(query.order_by(Poller.id)).all()


def synchronize(
    session: orm.Session,
    instance_id: int,
    wanted: cabc.Sequence[PollerConfiguration],
    now: dt.datetime,
    seen: StoreSnapshot,
) -> bool:
    """Keep the cursors of resources that stay; what is new or points elsewhere starts afresh.

    Returns whether anything is to be polled otherwise than before.
    """
    changed = False
    rows = {folded(poller.resource): poller for poller in of_instance(session, instance_id)}
    named = {folded(configuration.resource) for configuration in wanted}
    for resource, poller in rows.items():
        changed |= poller.selected is not (resource in named)
        poller.selected = resource in named
    for configuration in wanted:
        kept = configuration.model_dump(mode="json")
        known = rows.get(folded(configuration.resource))
        if known is None:
            changed = True
            session.add(
                Poller(
                    instance_id=instance_id,
                    resource=configuration.resource,
                    configuration=kept,
                    state=PollerState.BASELINE,
                    memory=seen.memory_of(configuration.url),
                    baseline_at=seen.since,
                    created_at=now,
                )
            )
            continue
        if any(known.configuration.get(key) != kept[key] for key in ("url", "id_field")):
            forget(session, known)
        changed |= (known.resource, known.configuration) != (configuration.resource, kept)
        known.resource, known.configuration = configuration.resource, kept
    return changed


def start_over(session: orm.Session, poller: Poller, *, since: dt.datetime | None = None) -> None:
    """Take nothing for known: the next poll is a baseline, and versions go on from it.

    :param since: what the store created or changed after this is told all the same.
    """
    poller.stamp += 1
    session.execute(
        sa.update(Object)
        .where(Object.poller_id == poller.id)
        .values(live=False, digest=GONE_DIGEST, fields=GONE_FIELDS, stamp=poller.stamp)
        .execution_options(synchronize_session=False)
    )
    poller.state = PollerState.BASELINE
    poller.cursor_at = poller.polled_at = poller.baseline_total = None
    poller.baseline_at = since
    poller.baseline_offset = poller.compare_offset = 0
    poller.baseline_id = poller.compare_id = None
    poller.memory = {"forgotten": poller.stamp}
    poller.failures, poller.error, poller.retry_at = 0, None, None


def forget(session: orm.Session, poller: Poller) -> None:
    """Start over with another collection: what was known of the old one is deleted."""
    start_over(session, poller)
    session.execute(
        sa.delete(Object)
        .where(Object.poller_id == poller.id)
        .execution_options(synchronize_session=False)
    )
