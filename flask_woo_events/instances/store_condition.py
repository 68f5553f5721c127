"""The condition of a store: whether it answers, and whether it accepts the key.

A failure of a resource says which of both it shows (:func:`sign_of`). When all resources say the
same at the end of a run, the store is unreachable, or the key is rejected.
"""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt

from sqlalchemy import orm

from ..db.models import Instance, Poller
from ..db.states import PollerState
from ..errors import (
    AnotherStoreError,
    StoreAccessError,
    StoreBusyError,
    StoreError,
    StoreFailedError,
    StoreFirewallError,
    TransportError,
)
from ..events import operational
from ..events.operational import Occurrence

#: The member of a poller's memory with what its last failure shows.
SIGN = "failure_shows"
REJECTED, SILENT = "rejected", "silent"
#: Failures in a row of every resource after which a store is unreachable: one is often an accident.
UNREACHABLE_AFTER = 2
#: A restore whose objects are read one after the other is one as long as no pause is longer.
RESTORED, RESTORED_WITHIN = "store.restored", dt.timedelta(hours=1)


def sign_of(exc: Exception) -> str:
    """Return what a failure shows of the store; empty if it concerns the resource alone."""
    if isinstance(exc, StoreAccessError) and not isinstance(exc, StoreFirewallError):
        return REJECTED
    if isinstance(exc, AnotherStoreError):
        return ""
    silent = (StoreFirewallError, StoreBusyError, StoreFailedError)
    if isinstance(exc, silent) or not isinstance(exc, StoreError):
        return SILENT if isinstance(exc, TransportError) else ""
    return ""


def note(
    session: orm.Session, instance: Instance, selected: cabc.Sequence[Poller], now: dt.datetime
) -> None:
    """Record what began or ended by a run, in the transaction that ends it.

    :param instance: its row is locked.
    :param selected: the pollers of its resources.
    """
    signs = [(one.memory.get(SIGN) if one.failures else None, one.failures) for one in selected
             if one.state != PollerState.DISABLED or one.memory.get(SIGN)]  # fmt: skip
    if not signs:
        return
    error = next((one.error for one in selected if one.error and one.memory.get(SIGN)), None)
    if all(sign == SILENT and failures >= UNREACHABLE_AFTER for sign, failures in signs):
        operational.begin(session, instance, _unreachable(instance, error), now)
    elif any(sign != SILENT for sign, _ in signs):
        text = "the store answers again"
        operational.end(session, instance, Occurrence(kind="store.reachable", text=text), now)
    if all(sign == REJECTED for sign, _ in signs):
        operational.begin(session, instance, _rejected(instance, error), now)
    elif any(sign is None for sign, _ in signs):
        text = "the store accepts the key again"
        operational.end(session, instance, Occurrence(kind="key.accepted", text=text), now)


def note_restored(session: orm.Session, instance_id: int, resource: str, now: dt.datetime) -> None:
    """Record that objects became older; once for those that follow each other within an hour."""
    instance = session.get_one(Instance, instance_id, populate_existing=True)
    reported = instance.reported or {}
    last = reported.get(RESTORED)
    instance.reported = {**reported, RESTORED: now.isoformat()}
    if last is not None and dt.datetime.fromisoformat(last) > now - RESTORED_WITHIN:
        return
    what = Occurrence(
        kind=RESTORED,
        resource=resource,
        text=f"the store shows {resource} as they were before, as after the restore of a backup",
        costs="What happened in the store since its backup is lost there.",
        ends="A comparison of the whole store, which sends what differs.",
    )
    operational.record(session, instance_id, what, now)


def _unreachable(instance: Instance, error: str | None) -> Occurrence:
    return Occurrence(
        kind="store.unreachable",
        text=f"the store does not answer: {error}",
        costs="Nothing is read. What happens meanwhile is sent afterwards.",
        ends="The next poll that is answered.",
        command=f"flask woo poll --once --instance {instance.id}",
    )


def _rejected(instance: Instance, error: str | None) -> Occurrence:
    return Occurrence(
        kind="key.rejected",
        text=f"the store refuses the key: {error}",
        costs="Nothing is read. What happens meanwhile is sent afterwards.",
        ends="A poll with a key that the store accepts.",
        command=f"flask woo instances change {instance.id} FILE",
    )
