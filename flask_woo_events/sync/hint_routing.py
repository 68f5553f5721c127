"""Hinting: what webhooks and the journal name, given to the resources of a turn."""

from __future__ import annotations

import collections
import collections.abc as cabc

from ..db.models import PollerState
from ..woocommerce import endpoints
from .poll_session import PollSession, ResourceRun
from .webhooks.parse import Hint

#: Collections that share one sequence of ids: ``coupon.deleted`` may name an order
#: (WooCommerce 5.9 to 11.0).
POSTS = ("orders", "products", "discounts", "variations")


def takes(job: ResourceRun) -> bool:
    """Whether a resource can be asked for single objects now."""
    if job.book.cursor.state is PollerState.BASELINE:
        return False  # The first reading tells what it finds; it is brought forward.
    return job.collection.orders_by_id or job.collection.below is not None


def concerns(job: ResourceRun, hint: Hint) -> bool:
    """Whether a hint says something to a resource."""
    collection = job.collection.hub_name
    return hint.collection == collection or bool(
        hint.parent and collection in _named_in(hint.collection)
    )


def name(
    job: ResourceRun, hints: cabc.Iterable[Hint], *, astray: cabc.Container[str] = ()
) -> collections.Counter[str]:
    """Put what hints name into a job's ``look``; count how often each object is named.

    :param astray: collections in which a hint may name an object of another one of them.
    """
    named: collections.Counter[str] = collections.Counter()
    elsewhere: set[int] = set()
    if not takes(job):
        return named
    collection = job.collection.hub_name
    for hint in hints:
        if hint.parent and hint.collection == collection and job.collection.below:
            job.look.parents.add(hint.parent)
        if hint.parent and collection in _named_in(hint.collection):
            job.look.again.add(hint.parent)
        if hint.object_id is None:
            continue
        if hint.collection == collection:
            named[str(hint.object_id)] += 1
            if not (hint.parent and _by_parent(job)):
                job.look.candidates.add(hint.object_id)
        elif hint.collection in astray and collection in astray:
            elsewhere.add(hint.object_id)
    held = job.view.known([str(one) for one in elsewhere])
    job.look.candidates.update(int(one) for one, known in held.items() if known.live)
    return named


def _named_in(collection: str | None) -> tuple[str, ...]:
    """The collection whose objects name those of this one, and so change with them."""
    below = endpoints.named(collection).below if collection else None
    return (below.parent,) if below is not None and below.named_in else ()


def _by_parent(job: ResourceRun) -> bool:
    """All of a parent's children are read anyway: none of them has to be asked for by itself."""
    return job.collection.below is not None and job.book.cursor.memory.get("own_route") is False


def again(turn: PollSession, jobs: cabc.Iterable[ResourceRun]) -> cabc.Iterator[ResourceRun]:
    """Those of the jobs to which another one hinted meanwhile.

    A changed variation or refund changes its product or order as well.
    """
    for job in jobs:
        job.look.candidates.clear()
        job.look.parents.clear()
        turn.hint(job)
        if job.look.again or (job.look.parents and job.collection.below):
            yield job
