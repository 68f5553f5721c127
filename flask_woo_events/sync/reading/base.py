"""What every source of observations is given, and what it yields."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import dataclasses
import datetime as dt
import typing as t

from ...errors import StoreGarbledError
from ...values.dates import parse_store_date
from ...woocommerce.listing import Listing
from ...woocommerce.paging import Page
from ..cursor import Cursor, Stream
from ..ledger.lookup import Known
from ..ledger.observation import Observation, ObservationBatch


class LedgerView(t.Protocol):
    """Read access to the ledger of one resource."""

    def ticket(self) -> int:
        """The ledger's stamp now; see ``ledger.ticket``."""

    def known(self, object_ids: cabc.Sequence[str]) -> dict[str, Known]:
        """What is known of these objects."""

    def live_numbers(self, after: int | None, until: int | None) -> list[int]:
        """Numeric ids of live objects in ``(after, until]``."""

    def live_ids(self) -> list[str]:
        """Ids of live objects, whatever they look like."""

    def count_live(self) -> int:
        """How many objects are live."""

    def modified_after(self, after: dt.datetime, most: int) -> list[int]:
        """Numeric ids of live objects modified after a date, the latest first."""

    def children(self, parents: cabc.Sequence[int]) -> dict[int, int]:
        """Live objects that belong to one of the parents, each with its parent."""

    def children_between(self, after: int | None, until: int | None) -> dict[int, int]:
        """Live objects whose parent's id is in ``(after, until]``, each with its parent."""

    def parents_of(self, numbers: cabc.Sequence[int]) -> dict[int, int]:
        """To which order or product each of these objects belongs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction writes: observations and the cursor behind them."""

    cursor: Cursor
    sighting: ObservationBatch | None = None


@dataclasses.dataclass(slots=True)
class Followups:
    """What the sources of one poll leave for the search behind them."""

    #: Ids that are in the ledger and were not shown, or were shown and are not in the ledger.
    candidates: set[int] = dataclasses.field(default_factory=set)
    #: Ids to be read again, since something that belongs to them changed.
    again: set[int] = dataclasses.field(default_factory=set)
    #: Ids of parents that changed: what is below them is to be read again.
    parents: set[int] = dataclasses.field(default_factory=set)
    #: Objects that the store counts; ``None`` when it did not say.
    total: int | None = None
    #: Every object was compared in this poll: the candidates are all there are.
    complete: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One poll of one resource: where it reads and how far it may go."""

    stream: Stream
    listing: Listing
    ledger: LedgerView
    #: Our own clock, in case a store sends no ``Date``.
    clock: cabc.Callable[[], dt.datetime]
    #: How far behind the cursor a window begins.
    overlap: dt.timedelta
    #: Pages of the rolling comparison, at least.
    compare_pages: int
    #: Part of a resource that the rolling comparison covers in one poll, so that all of it is
    #: compared within the time set.
    compare_share: float = 0.0
    #: Whether any object that is known was seen in this turn, in whichever resource.
    anchored: cabc.Callable[[], bool] = lambda: True
    #: What the objects are below of.
    parents: Listing | None = None
    #: The store lists them only by parent.
    by_parent: bool = False

    def date_of(self, date: dt.datetime | None) -> dt.datetime:
        """The store's clock of an answer."""
        return date or self.clock()

    def began(self, cursor: Cursor, date: dt.datetime, rows: cabc.Sized) -> dt.datetime:
        """The store's clock after which what it creates is new, from the first page on.

        What comes into an empty list in that very second is new as well.
        """
        return cursor.baseline_at or (date if rows else date - dt.timedelta(seconds=1))

    def may_end(self, rows: int, cursor: Cursor) -> bool:
        """Whether a first reading that came to so many rows may end.

        An empty list may be a lie, after which all that the store ever had would be new. It is
        believed when the check of the store saw it empty too. Otherwise the first reading goes on;
        what is new then tells its date of creation. Where objects have none, the store is
        believed when it showed something else.
        """
        if rows or cursor.memory.get("checked_total") == 0:
            return True
        return not self.listing.collection.dated and self.anchored()

    def observe(
        self, row: cabc.Mapping[str, t.Any], seen_at: dt.datetime, *, parent: int | None = None
    ) -> Observation:
        """An observation of a row that was read in full."""
        collection = self.listing.collection
        if parent is not None and "parent_id" not in row:
            row = {**row, "parent_id": parent}  # WooCommerce 9.x shows it, older ones do not.
        return Observation(
            object_id=object_id(row, self.stream.configuration.id_field),
            body=row,
            seen_at=seen_at,
            modified_at=parse_store_date(row.get(collection.modified_field)),
            created_at=parse_store_date(row.get(collection.created_field)),
            parent=parent if parent is not None else _whole(row.get("parent_id")),
        )


def _whole(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def object_id(row: cabc.Mapping[str, t.Any], path: str) -> str:
    """The value at ``idField``, a dotted path, as text.

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
    """Yield pages, each with a ticket from before it was read, and fetch the next one meanwhile.

    The store works on a page while the one before is being written; two pages hold no object
    in common, so that the early ticket makes none of them stale.
    """

    def step() -> tuple[int, Page | None]:
        return reading.ledger.ticket(), next(pages, None)

    with concurrent.futures.ThreadPoolExecutor(1, "woo-ahead") as pool:
        waiting = pool.submit(step)
        while True:
            ticket, page = waiting.result()
            if page is None:
                return
            if not page.last:
                waiting = pool.submit(step)
            yield ticket, page
            if page.last:
                return
