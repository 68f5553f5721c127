"""The rows of pollers, one for each resource of an instance."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import secrets
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db import epochs
from ..db.models import Instance, Object, Poller
from ..db.states import PollerState
from ..errors import ConflictError, WooEventsError
from ..events import operational, operational_outbox
from ..events.operational import Occurrence
from ..values.validation import KEY_LENGTH, folded
from ..woocommerce import endpoints
from .polled_resources import PollerConfiguration
from .resource_identity import ResourceIdentity, identity_of, match
from .whole_comparison import MEMORY_KEY, Backfill, WholeComparison

#: In ``Poller.memory``: objects to read and send again, and how many of them at most.
READ_AGAIN, MOST_READ_AGAIN = "again", 2_000


@dataclasses.dataclass(frozen=True)
class StoreSnapshot:
    """What the check of a store has just reported."""

    #: The time by the store's clock: later changes are sent, although the baseline of a new
    #: resource is read later. ``None``: since the begin of the baseline.
    since: dt.datetime | None
    #: Number of objects by the path of their list, as far as the store reports it.
    totals: cabc.Mapping[str, int | None]

    @classmethod
    def of(cls, facts: cabc.Mapping[str, t.Any]) -> StoreSnapshot:
        """Return the snapshot in what a check reported; an empty one if none was made."""
        since = None
        if facts.get("date"):
            # Changes in that second may be sent twice rather than lost.
            since = dt.datetime.fromisoformat(facts["date"]) - dt.timedelta(seconds=1)
        return cls(since, facts.get("totals") or {})

    def memory_of(self, url: str) -> dict[str, object]:
        """Return the memory of a new resource's poller."""
        total = self.totals.get(endpoints.resolve(url).path)
        return {} if total is None else {"checked_total": total}


def of_instance(session: orm.Session, instance_id: int) -> cabc.Sequence[Poller]:
    """Return the pollers of an instance, including those of resources it no longer names."""
    mine = (Poller.instance_id == instance_id, Poller.resource != operational_outbox.POLLER)
    query = sa.select(Poller).where(*mine)
    return session.scalars(query.order_by(Poller.id)).all()


def are_beginning(session: orm.Session) -> bool:
    """Return whether a baseline of an instance that is polled is not complete."""
    query = sa.select(Poller.id).join(Instance, Instance.id == Poller.instance_id)
    begun = Poller.selected, Poller.state == PollerState.BASELINE
    query = query.where(*begun, Instance.next_poll_at.is_not(None))
    return session.scalars(query.limit(1)).first() is not None


def synchronize(
    session: orm.Session,
    instance_id: int,
    wanted: cabc.Sequence[PollerConfiguration],
    now: dt.datetime,
    seen: StoreSnapshot,
) -> bool:
    """Make the pollers of an instance match its resources, and keep the ledgers of those that stay.

    A resource is compared by what it resolves to. A resource of a new collection begins with a
    baseline; the poller of one that is no longer named is kept, in case it comes back.

    :return: whether anything changed.
    """
    known = of_instance(session, instance_id)
    continued = match(known, wanted)
    floors = _version_floors(session, known, wanted, continued)
    # A poller that is not in a restored backup may have sent versions.
    least = epochs.version_floor(session)
    changed = _select(session, known, continued)
    _rename(session, known, continued, wanted)
    for configuration in wanted:
        kept = configuration.model_dump(mode="json")
        poller = continued.get(configuration.resource)
        if poller is None:
            changed = True
            poller = Poller(
                instance_id=instance_id,
                resource=configuration.resource,
                configuration=kept,
                state=PollerState.BASELINE,
                memory=seen.memory_of(configuration.url),
                baseline_at=seen.since,
                created_at=now,
            )
            session.add(poller)
        elif poller.configuration != kept:
            changed = True
            _reconfigure(session, poller, configuration, now)
        floor = max(floors.get(configuration.resource, 0), least)
        if floor > poller.memory.get("version_floor", 0):
            poller.memory = {**poller.memory, "version_floor": floor}
    return changed


def holds(session: orm.Session, poller: Poller) -> bool:
    """Return whether objects of a resource wait for a second reading."""
    waiting = sa.select(Object.object_id).where(
        Object.poller_id == poller.id, Object.live, Object.held_at.is_not(None)
    )
    return bool(poller.memory.get("held")) and session.scalar(waiting.limit(1)) is not None


def _select(
    session: orm.Session, known: cabc.Sequence[Poller], continued: cabc.Mapping[str, Poller]
) -> bool:
    """Select the pollers that continue; return whether that changes anything."""
    ids, changed = {poller.id for poller in continued.values()}, False
    for poller in known:
        selected = poller.id in ids
        changed |= poller.selected is not selected
        if selected and not poller.selected:
            # Without polls, only a comparison finds what no date shows.
            request_comparison(poller, comparison_of(poller))
        poller.selected = selected
    return changed


def _rename(
    session: orm.Session,
    known: cabc.Sequence[Poller],
    continued: cabc.Mapping[str, Poller],
    wanted: cabc.Sequence[PollerConfiguration],
) -> None:
    """Give the pollers their keys; an instance has one poller of a name."""
    names = {poller.id: key for key, poller in continued.items()}
    taken = {folded(configuration.resource) for configuration in wanted}
    for poller in known:
        if poller.id not in names and folded(poller.resource) in taken:
            if _has_ledger(session, poller):
                names[poller.id] = _unused(poller, taken)
            else:
                session.delete(poller)  # It was never read, so nothing was sent.
    renamed = [one for one in known if names.get(one.id, one.resource) != one.resource]
    for poller in renamed:
        poller.resource = f"{poller.id}:{secrets.token_hex(8)}"
    session.flush()
    for poller in renamed:
        poller.resource = names[poller.id]
    session.flush()


def _unused(poller: Poller, taken: cabc.Container[str]) -> str:
    """Return a name for a poller whose key another resource takes."""
    name = f"{poller.configuration['resource'][: KEY_LENGTH - 40]} (poller {poller.id})"
    while folded(name) in taken:
        name += "'"
    return name


def _has_ledger(session: orm.Session, poller: Poller) -> bool:
    return bool(session.scalar(sa.select(sa.exists().where(Object.poller_id == poller.id))))


def _reconfigure(
    session: orm.Session, poller: Poller, configuration: PollerConfiguration, now: dt.datetime
) -> None:
    """Give a poller another configuration of its collection; its ledger is kept."""
    before, after = identity_of(poller), ResourceIdentity.of(configuration)
    memory = dict(poller.memory)
    if before.key != after.key:
        memory["keys"] = sorted({*memory.get("keys", ()), before.key} - {after.key})
    poller.memory = memory
    if before.membership != after.membership:
        _filter(session, poller)
    poller.configuration = configuration.model_dump(mode="json")
    enable(session, poller, now)
    poller.failures, poller.error, poller.retry_at = 0, None, None


def _filter(session: orm.Session, poller: Poller) -> None:
    """Prepare a poller for another filter: its ledger holds what the filter before listed."""
    dropped = ("hidden", "missing_since", "accept_missing")
    poller.memory = {name: one for name, one in poller.memory.items() if name not in dropped}
    read_at = poller.polled_at or poller.baseline_at
    if read_at is not None and (poller.polled_at or _has_ledger(session, poller)):
        # An object of that very second may have been created after the poll read the list.
        since = read_at - dt.timedelta(seconds=1)
        request_comparison(
            poller, comparison_of(poller).with_filter(poller.configuration["url"], since)
        )


def _version_floors(
    session: orm.Session,
    known: cabc.Sequence[Poller],
    wanted: cabc.Sequence[PollerConfiguration],
    continued: cabc.Mapping[str, Poller],
) -> dict[str, int]:
    """Return the greatest version that other pollers have used under a resource's key, by key.

    A receiver knows objects by key and id, so that objects of another collection with the same ids
    need greater versions.
    """
    used = {one.id: {identity_of(one).key, *one.memory.get("keys", ())} for one in known}
    floors: dict[str, int] = {}
    for configuration in wanted:
        key, own = folded(configuration.resource), continued.get(configuration.resource)
        if own is not None and folded(own.resource) == key:
            continue  # Its key was its own since the last change.
        others = [one for one in known if one is not own and key in used[one.id]]
        if others:
            ids = [one.id for one in others]
            query = sa.select(sa.func.max(Object.version)).where(Object.poller_id.in_(ids))
            set_before = [
                one.memory.get("version_floor", 0) for one in known if one in (own, *others)
            ]
            floors[configuration.resource] = max(session.scalar(query) or 0, *set_before)
    return floors


def comparison_of(poller: Poller) -> WholeComparison:
    """Return the comparison that is requested of a poller, or one without a reason."""
    return WholeComparison.from_memory(poller.memory) or WholeComparison()


def request_comparison(poller: Poller, comparison: WholeComparison) -> None:
    """Make the next polls compare all of a resource with its ledger, once it has a baseline."""
    memory = {name: value for name, value in poller.memory.items() if name != "whole"}
    poller.memory = {**memory, MEMORY_KEY: comparison.to_json()}


def request_backfill(
    session: orm.Session,
    poller: Poller,
    now: dt.datetime,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    subscription_id: int | None = None,
) -> None:
    """Make the next polls send CREATED for what is there, and DELETED for what is gone.

    :param since: only for objects that were modified at or after it.
    :param until: only for objects that were modified before it.
    :param subscription_id: CREATED only to this subscription, or ``outbox.CONFIGURED``.
    :raises ConflictError: an earlier one, which this one would replace, has not ended.
    """
    backfill = Backfill(
        revision=poller.revision, since=since, until=until, subscription_id=subscription_id
    )
    comparison = comparison_of(poller)
    is_part = subscription_id is not None or not backfill.includes(None)
    if comparison.backfill is not None and is_part:
        raise ConflictError(
            f"a backfill of {poller.resource} is still under way; request the next one after it"
        )
    request_comparison(poller, dataclasses.replace(comparison, backfill=backfill))
    enable(session, poller, now)


def request_reading(
    session: orm.Session,
    poller: Poller,
    objects: cabc.Mapping[str, cabc.Mapping[str, str]],
    until: dt.datetime,
    now: dt.datetime,
) -> None:
    """Make the next poll read some objects, and send each of them to some subscriptions.

    :param objects: by id; the type of the event by ``only_for`` of the subscription.
    :param until: what could not be read by then is forgotten.
    """
    kept = dict(poller.memory.get(READ_AGAIN, {}).get("objects", {}))
    for object_id, targets in objects.items():
        kept[object_id] = {**kept.pop(object_id, {}), **targets}
    latest = dict(list(kept.items())[-MOST_READ_AGAIN:])
    requested = {"until": until.isoformat(), "objects": latest}
    poller.memory = {**poller.memory, READ_AGAIN: requested}
    enable(session, poller, now)


def begin_epoch(poller: Poller, version_floor: int) -> None:
    """Make the next polls find what differs from a restored ledger, with greater versions."""
    restored = dataclasses.replace(comparison_of(poller), restored=poller.revision)
    request_comparison(poller, restored)
    poller.memory = {**poller.memory, "version_floor": version_floor}


def enable(session: orm.Session, poller: Poller, now: dt.datetime) -> bool:
    """Enable a poller that was disabled after failures; return whether it was."""
    if poller.state != PollerState.DISABLED:
        return False
    done = poller.polled_at is not None
    poller.state = PollerState.ACTIVE if done else PollerState.BASELINE
    poller.failures, poller.error, poller.retry_at = 0, None, None
    resource = poller.resource
    text = f"{resource} are polled again"
    again = Occurrence(kind="poller.enabled", number=poller.id, resource=resource, text=text)
    operational.record(session, poller.instance_id, again, now)
    return True


def disable(session: orm.Session, poller: Poller, exc: Exception, now: dt.datetime) -> None:
    """Disable a poller after repeated failures."""
    text = f"disabled after {poller.failures} failures in a row; the last: "
    poller.state, poller.error = PollerState.DISABLED, f"{text}{exc}"
    # The text of an unexpected error may quote the object that it met.
    last = str(exc) if isinstance(exc, WooEventsError) else type(exc).__name__
    what = Occurrence(
        kind="poller.disabled",
        number=poller.id,
        resource=poller.resource,
        text=f"{poller.resource}: {text}{last}",
        costs="Nothing of this resource is sent. What happens meanwhile is sent afterwards.",
        ends="A person who resumes it.",
        command=f"flask woo instances resume {poller.instance_id}",
    )
    operational.record(session, poller.instance_id, what, now)


def ignored_fields(poller: Poller) -> tuple[str, ...]:
    """Return the fields that the configuration names, or those that were found to be unstable."""
    chosen = poller.configuration.get("ignored_fields")
    return tuple(sorted(poller.memory.get("ignored", ()) if chosen is None else chosen))
