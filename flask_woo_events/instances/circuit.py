"""The circuit of a store: whether it answered promptly lately, and how long it is waited for.

It is closed at first, and runs of its instance wait ``store_patience`` for it. When that is not
enough it opens: its runs wait for one of a few threads of their own, with the time-outs of the
settings as the only limit. A run there tries the store (half-open), and closes the circuit if its
answers were prompt.
"""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Instance
from ..http.patience import Patience
from ..settings import Settings

#: An answer within this time is prompt, seconds.
PROMPT = 1.0
#: The part of the patience within which a run closes the circuit.
CLOSES_WITHIN = 0.5


def chosen(slow: bool | None) -> sa.ColumnElement[bool]:
    """Return the condition that the circuit of an instance's store is open, or closed.

    :param slow: ``True`` for open; ``None`` for either.
    """
    if slow is None:
        return sa.true()
    return Instance.slow_since.is_not(None) if slow else Instance.slow_since.is_(None)


def slow_ones(session: orm.Session, instance_ids: cabc.Collection[int]) -> set[int]:
    """Return those of these instances whose stores did not answer promptly before."""
    query = sa.select(Instance.id).where(chosen(True))
    return set(session.scalars(query)) & set(instance_ids)


def patience(settings: Settings, *, limited: bool) -> Patience:
    """Return the patience of a run."""
    if limited:
        return Patience(settings.store_patience, prompt=PROMPT)
    return Patience(prompt=PROMPT)


def note(instance: Instance, spent: Patience, settings: Settings, now: dt.datetime) -> None:
    """Open or close the circuit of an instance, whose row is locked, after a run."""
    if spent.spent >= settings.store_patience:
        instance.slow_since = instance.slow_since or now
    elif spent.answers and spent.spent < settings.store_patience * CLOSES_WITHIN:
        instance.slow_since = None


def free_places(session: orm.Session, settings: Settings, now: dt.datetime) -> int:
    """Return how many more runs of slow stores may begin, where no process counts its threads."""
    # A claim of the registered webhooks is only seen by their due time.
    claimed = Instance.hooks_due_at.between(now, now + dt.timedelta(seconds=settings.lease_seconds))
    running = sa.select(sa.func.count(Instance.id)).where(
        chosen(True), sa.or_(Instance.lease_until > now, claimed)
    )
    return max(0, settings.slow_threads - session.scalars(running).one())
