"""What every way of reading is given, and what it yields."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import contextvars
import dataclasses
import datetime as dt
import functools
import typing as t

from ...db.states import Source
from ...errors import (
    AnotherStoreError,
    ObjectUnreadableError,
    StoreGarbledError,
    StoreRejectedError,
)
from ...values.dates import parse_store_date
from ...values.validation import is_id
from ...woocommerce.listing import INCLUDE_AT_ONCE, Listing
from ...woocommerce.oddities import DATES_UNREADABLE
from ...woocommerce.paging import Page
from ..cursor import Cursor, ListPosition, Stream
from ..ledger import identity
from ..ledger.lookup import LedgerView
from ..ledger.observation import Observation, ObservationBatch
from .configured_dates import ConfiguredDates

#: Objects that are read, and written, together.
IDS_AT_ONCE = INCLUDE_AT_ONCE - 3
#: Unreadable objects that one poll tries again.
RETRIES = 5
#: Requests for one listing; more means that it never ends.
MAX_REQUESTS = 100_000
#: Pages of a collection that is read whole at every poll; more means that it never ends.
MAX_PAGES = 10_000
_MIXED = "another store answers at store.url in turn with the known one: it lacks known objects"


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction writes: observations, and the cursor after them."""

    cursor: Cursor
    observed: ObservationBatch | None = None


def batch_of(
    source: Source,
    cursor: Cursor,
    observations: cabc.Sequence[Observation],
    revision: int,
    poll_date: dt.datetime,
) -> Batch:
    """Return a batch of observations; ``revision`` is the ledger's from before they were read."""
    return Batch(
        cursor,
        ObservationBatch(
            source=source, observations=observations, read_revision=revision, poll_date=poll_date
        ),
    )


@dataclasses.dataclass(slots=True)
class Followups:
    """Objects that one way of reading leaves to the next."""

    #: Ids to ask the store for: they are named, or only the ledger or only the store has them.
    candidates: set[int] = dataclasses.field(default_factory=set)
    #: Those that a consumer asked for, which may be unknown to the ledger and to the store.
    asked: set[str] = dataclasses.field(default_factory=set)
    #: Ids of known objects that a list lacks; the gate decides whether they are deleted.
    gone: set[str] = dataclasses.field(default_factory=set)
    #: Those of them that are in the trash.
    trashed: set[str] = dataclasses.field(default_factory=set)
    #: Ids of changed objects that could not be read; the cursor does not move past them.
    due: set[int] = dataclasses.field(default_factory=set)
    #: How many more objects the ledger holds than the store counts.
    shortfall: int = 0
    #: Ids to read again, since their parent or a child changed.
    reread: set[int] = dataclasses.field(default_factory=set)
    #: Ids of changed parents: their children must be read again.
    parents: set[int] = dataclasses.field(default_factory=set)
    #: Those of them whose children were read after that.
    read_parents: set[int] = dataclasses.field(default_factory=set)
    #: Known objects are missing that nothing names: many more may be.
    lacks_anchors: bool = False
    #: The store's own count of the objects; ``None`` if it sent none.
    total: int | None = None
    #: Where the comparison began: the rows of the listing before it, and an id that is not less
    #: than theirs.
    edge: ListPosition | None = None
    #: Every object was compared in this poll, so there are no other candidates.
    complete: bool = False

    @property
    def names_objects(self) -> bool:
        """Whether any object has to be read."""
        return bool(self.candidates or self.reread or self.parents)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """One poll of one resource: what it reads, and its limits."""

    stream: Stream
    listing: Listing
    ledger: LedgerView
    #: Our own clock, for stores that send no ``Date``.
    clock: cabc.Callable[[], dt.datetime]
    #: How far before the cursor a window begins, and a feed before the last poll.
    overlap: dt.timedelta
    #: The fewest pages that the rolling comparison covers in one poll.
    compare_pages: int
    #: The polls in which it covers the whole resource.
    compare_polls: int = 1
    #: When it pauses until the next poll, by the monotonic clock in seconds; ``None``: after
    #: ``comparison.MAX_SECONDS``.
    compare_until: float | None = None
    #: Whether the store showed any object of the ledger in this poll, in any resource.
    anchored: cabc.Callable[[], bool] = lambda: True
    #: The listing of their parents, if the objects have any.
    parents: Listing | None = None
    #: Whether the store lists them only by parent.
    by_parent: bool = False
    #: The listing of the filter before, if the ledger may still hold what it listed.
    before: Listing | None = None

    @functools.cached_property
    def anchors(self) -> list[int]:
        """The oldest, the middle and the newest known object: the store is recognized by them."""
        return self.ledger.anchors()

    @functools.cached_property
    def dates(self) -> ConfiguredDates:
        """The dates that the configuration names."""
        return ConfiguredDates.of(self.stream.configuration, self.listing.collection)

    @property
    def can_include(self) -> bool:
        """Whether objects can be read by their ids."""
        return self.listing.collection.orders_by_id and not self.by_parent

    def read_by_ids(self, ids: cabc.Sequence[int]) -> tuple[list[Observation], dt.datetime]:
        """Read live objects by their ids, each request with the anchors; return the first date.

        Deleted and unreadable objects are left out. Where a request has no room for the anchors,
        the rest of them are read before and after the others, since another store may answer in
        between.

        :raises AnotherStoreError: one answer shows the anchors, and another one does not.
        """
        observations: dict[str, Observation] = {}
        size = self.listing.at_once
        with_each = self.anchors[-(size // 2) :] if size > 1 else []
        step = max(size - len(with_each), 1)
        groups = [[*ids[start : start + step], *with_each] for start in range(0, len(ids), step)]
        rest = [one for one in self.anchors if not ids or one not in with_each]
        around = [rest] if rest else []
        first: dt.datetime | None = None
        shown: list[bool] = []
        for wanted in [*around, *groups, *around] if ids else around:
            answer = self.listing.by_ids(list(dict.fromkeys(wanted)))
            date = self.date_of(answer.date)
            first = first or date
            seen = [self.observe(row, date) for row in answer.data]
            observations |= {one.object_id: one for one in seen}
            if self.anchors and len(groups) + len(around) > 1:
                shown.append(self._shows(rest if wanted is rest else with_each, seen))
        of_groups = shown[len(around) : len(shown) - len(around)]
        if len(set(of_groups)) > 1 or (rest and shown[:1] != shown[-1:]):
            raise AnotherStoreError(_MIXED, verdict="another")
        return list(observations.values()), first or self.clock()

    def _shows(self, anchors: cabc.Sequence[int], seen: cabc.Sequence[Observation]) -> bool:
        """Return whether an answer shows one of these known objects as the ledger knows it."""
        names = {str(one) for one in anchors}
        known = [one for one in seen if one.object_id in names]
        evidence = identity.gather(self.ledger.known([one.object_id for one in known]), known)
        return bool(evidence.same or evidence.alike)

    def retry(self, cursor: Cursor, followups: Followups) -> cabc.Iterator[Batch]:
        """Read objects again that could not be read; note those that are gone.

        An object of the baseline, which has not seen it, is recorded as the baseline would.
        """
        unreadable = self.listing.unreadable
        for number in () if self.by_parent else unreadable.due(RETRIES):
            revision, date = self.ledger.revision, self.clock()
            body = self._listed_again(number)
            listed = body is not None
            if body is None:
                try:
                    body = self.one(number)
                except (ObjectUnreadableError, StoreRejectedError):
                    unreadable.add(number)
                    continue
            if body is None or self.listing.excludes(body):
                unreadable.remove(number)
                followups.gone.add(str(number))
                continue
            old = unreadable.is_old(number)
            if listed:
                unreadable.remove(number)
            elif self.can_include:
                unreadable.hurry([number])
            else:
                unreadable.release(number)  # Only the list itself shows whether it can.
            batch = batch_of(Source.COMPARE, cursor, [self.observe(body, date)], revision, date)
            if old and batch.observed is not None:
                observed = dataclasses.replace(
                    batch.observed, source=Source.BASELINE, since=cursor.baseline_at
                )
                batch = Batch(cursor, observed)
            yield batch

    def one(self, number: int) -> dict[str, t.Any] | None:
        """Read one object at its own address, in the trash or not; ``None`` if there is none.

        The lists of all variations and of all refunds have no addresses of their objects
        (WooCommerce 11.0.1): those are below the parents.

        :raises StoreError: as :meth:`~.Listing.one`.
        """
        if self.listing.collection.below is None:
            return self.listing.one(number)
        parent = self.ledger.parents_of([number]).get(number)
        if parent is None:
            return self.listing.one(number)
        body = self.listing.below(parent).one(number)
        return body if body is None else {"parent_id": parent, **body}

    def _listed_again(self, number: int) -> cabc.Mapping[str, t.Any] | None:
        """Return an unreadable object if its list can show it."""
        if not self.can_include:
            return None
        rows: list[dict[str, t.Any]] = self.listing.by_ids([number], again=True).data
        return next((row for row in rows if row.get("id") == number), None)

    def date_of(self, date: dt.datetime | None) -> dt.datetime:
        """Return the date of a response, by the store's clock."""
        return date or self.clock()

    def began(self, cursor: Cursor, date: dt.datetime, rows: cabc.Sized) -> dt.datetime:
        """Return the date after which the store's objects are new: that of the first page.

        Objects that enter an empty list in that very second are new as well.
        """
        return cursor.baseline_at or (date if rows else date - dt.timedelta(seconds=1))

    def may_end(self, rows: int, cursor: Cursor) -> bool:
        """Return whether a baseline that has read this many rows may end.

        An empty list may be wrong, and every object would later count as new. It is accepted if
        the connection check saw an empty list too. Otherwise the baseline goes on, and creation
        dates show which objects are new. A collection without creation dates is accepted as empty
        if the store showed objects of another resource.
        """
        if rows or cursor.memory.get("checked_total") == 0:
            return True
        return not self.listing.collection.dated and self.anchored()

    def _report_date(self, detail: str) -> None:
        self.listing.client.oddities.add(DATES_UNREADABLE, detail)

    def observe(
        self,
        row: cabc.Mapping[str, t.Any],
        seen_at: dt.datetime,
        *,
        parent: int | None = None,
        listed: bool = True,
    ) -> Observation:
        """Return the observation of a row that was read in full."""
        collection = self.listing.collection
        if parent is not None and "parent_id" not in row:
            row = {**row, "parent_id": parent}  # WooCommerce before 9.x leaves it out.
        number = object_id(row, self.stream.configuration.id_field)
        own = (
            parse_store_date(row.get(collection.modified_field)),
            parse_store_date(row.get(collection.created_field)),
        )
        updated, created = self.dates.read(row, number, own, self._report_date)
        seen = Observation(
            object_id=number,
            body=row,
            seen_at=seen_at,
            modified_at=own[0],
            created_at=own[1],
            configured_updated=updated,
            configured_created=created,
            parent=parent if parent is not None else _whole(row.get("parent_id")),
            listed=listed,
            placed=self.listing.is_placed(row),
        )
        stored = self.stream.stored
        return seen if stored is None else stored.apply(seen)


def _whole(value: object) -> int | None:
    return value if is_id(value) and value else None


def object_id(row: cabc.Mapping[str, t.Any], path: str) -> str:
    """Return the value at ``idField``, a dotted path, as text.

    :raises StoreGarbledError: the row has no such value.
    """
    value: t.Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, cabc.Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise StoreGarbledError(f"a row has no id at {path!r}", status=200)
    text = str(value)
    if len(text) > 190:
        raise StoreGarbledError(f"a row's id at {path!r} is longer than 190 characters", status=200)
    return text


def read_ahead(reading: Reading, pages: cabc.Iterator[Page]) -> cabc.Iterator[tuple[int, Page]]:
    """Yield pages, each with the ledger's revision before the read; fetch the next one meanwhile.

    The store prepares a page while the one before is being written. Two pages share no object, so
    the early revision makes none of them stale.
    """

    def step() -> tuple[int, Page | None]:
        return reading.ledger.revision, next(pages, None)

    # The patience of the poll limits the other thread, too.
    run = contextvars.copy_context().run
    with concurrent.futures.ThreadPoolExecutor(1, "woo-ahead") as pool:
        waiting = pool.submit(run, step)
        while True:
            revision, page = waiting.result()
            if page is None:
                return
            if not page.last:
                waiting = pool.submit(run, step)
            yield revision, page
            if page.last:
                return
