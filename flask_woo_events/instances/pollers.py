"""The rows of pollers, one for each resource of an instance."""

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
    """What the check of a store has just reported."""

    #: The time by the store's clock: later changes are sent, although the baseline of a new
    #: resource is read later. ``None``: since the begin of the baseline.
    since: dt.datetime | None
    #: Number of objects by the path of their list, as far as the store reports it.
    totals: cabc.Mapping[str, int | None]

    def memory_of(self, url: str) -> dict[str, object]:
        """Return the memory of a new resource's poller."""
        total = self.totals.get(endpoints.resolve(url).path)
        return {} if total is None else {"checked_total": total}


def of_instance(session: orm.Session, instance_id: int) -> cabc.Sequence[Poller]:
    """Return the pollers of an instance, including those of resources it no longer names."""
    query = sa.select(Poller).where(Poller.instance_id == instance_id)
    return session.scalars(query.order_by(Poller.id)).all()


def synchronize(
    session: orm.Session,
    instance_id: int,
    wanted: cabc.Sequence[PollerConfiguration],
    now: dt.datetime,
    seen: StoreSnapshot,
) -> bool:
    """Make the pollers of an instance match its resources, and keep the cursors of those that stay.

    A resource that is new or has another collection begins with a baseline.

    :return: whether anything changed.
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


def holds(session: orm.Session, poller: Poller) -> bool:
    """Return whether objects of a resource wait for a second reading."""
    waiting = sa.select(Object.object_id).where(
        Object.poller_id == poller.id, Object.live, Object.held_at.is_not(None)
    )
    return bool(poller.memory.get("held")) and session.scalar(waiting.limit(1)) is not None


def start_over(session: orm.Session, poller: Poller, *, since: dt.datetime | None = None) -> None:
    """Discard the ledger's contents, so that the next poll is a baseline; versions continue.

    :param since: objects that the store creates or changes after this are sent all the same.
    """
    poller.revision += 1
    session.execute(
        sa.update(Object)
        .where(Object.poller_id == poller.id)
        .values(live=False, digest=GONE_DIGEST, fields=GONE_FIELDS, revision=poller.revision)
        .execution_options(synchronize_session=False)
    )
    poller.state = PollerState.BASELINE
    poller.cursor_at = poller.polled_at = poller.baseline_total = None
    poller.baseline_at = since
    poller.baseline_offset = poller.compare_offset = 0
    poller.baseline_id = poller.compare_id = None
    poller.memory = {"forgotten": poller.revision}
    poller.failures, poller.error, poller.retry_at = 0, None, None


def forget(session: orm.Session, poller: Poller) -> None:
    """Start over with another collection, and delete the ledger of the old one."""
    start_over(session, poller)
    session.execute(
        sa.delete(Object)
        .where(Object.poller_id == poller.id)
        .execution_options(synchronize_session=False)
    )
