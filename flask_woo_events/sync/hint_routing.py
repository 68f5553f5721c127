"""Hint routing: which resources of a poll session each hint concerns."""

from __future__ import annotations

import collections
import collections.abc as cabc

from ..db.states import PollerState
from ..woocommerce import endpoints
from .hint import Hint
from .poll_session import PollSession
from .resource_run import ResourceRun

#: Collections that share one sequence of ids: ``coupon.deleted`` may name an order
#: (WooCommerce 5.9 to 11.0).
POSTS = ("orders", "products", "discounts", "variations")


def accepts(run: ResourceRun) -> bool:
    """Return whether single objects of a resource can be read now."""
    if run.recorder.cursor.state is PollerState.BASELINE:
        return False  # The baseline reads all of them.
    return run.collection.orders_by_id or run.collection.below is not None


def concerns(run: ResourceRun, hint: Hint) -> bool:
    """Return whether a hint names an object of a resource, or one that changes with it."""
    collection = run.collection.hub_name
    return hint.collection == collection or bool(
        hint.parent and collection in _named_in(hint.collection)
    )


def route(
    run: ResourceRun, hints: cabc.Iterable[Hint], *, shared_ids: cabc.Container[str] = ()
) -> collections.Counter[str]:
    """Add the objects that hints name to a run's follow-ups; count how often each is named.

    :param shared_ids: collections in which a hint may name an object of another one of them.
    """
    named: collections.Counter[str] = collections.Counter()
    elsewhere: set[int] = set()
    if not accepts(run):
        return named
    collection, followups = run.collection.hub_name, run.followups
    for hint in hints:
        if hint.parent and hint.collection == collection and run.collection.below:
            followups.parents.add(hint.parent)
        if hint.parent and collection in _named_in(hint.collection):
            followups.reread.add(hint.parent)
        if hint.object_id is None:
            continue
        if hint.collection == collection:
            named[str(hint.object_id)] += 1
            if not (hint.parent and _reads_by_parent(run)):
                followups.candidates.add(hint.object_id)
        elif hint.collection in shared_ids and collection in shared_ids:
            elsewhere.add(hint.object_id)
    held = run.ledger.known([str(number) for number in elsewhere])
    followups.candidates.update(int(number) for number, known in held.items() if known.live)
    return named


def _named_in(collection: str | None) -> tuple[str, ...]:
    """Return the collection whose objects name those of this one, and so change with them."""
    below = endpoints.named(collection).below if collection else None
    return (below.parent,) if below is not None and below.named_in else ()


def _reads_by_parent(run: ResourceRun) -> bool:
    """Return whether all children of a parent are read together, so no single one is asked for."""
    own_route = run.recorder.cursor.memory.get("own_route")
    return run.collection.below is not None and own_route is False


def rerun(poll: PollSession, runs: cabc.Iterable[ResourceRun]) -> cabc.Iterator[ResourceRun]:
    """Yield those of the runs that changes in other resources concern.

    A changed variation or refund changes its product or order as well.
    """
    for run in runs:
        run.followups.candidates.clear()
        run.followups.parents.clear()
        poll.add_related(run)
        if run.followups.reread or (run.followups.parents and run.collection.below):
            yield run
