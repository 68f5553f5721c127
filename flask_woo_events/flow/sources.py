"""What every source of observations is given, and what it yields."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import dataclasses
import datetime as dt
import typing as t

from ..dates import parse_store_date
from ..errors import StoreGarbledError
from ..store.listing import Listing
from ..store.paging import Page
from .cursor import Cursor, Stream
from .ledger import Known, Observation, Sighting


class LedgerView(t.Protocol):
    """Read access to the ledger of one resource."""

    def ticket(self) -> int:
        """The ledger's stamp now; see ``ledger.ticket``."""

    def known(self, object_ids: cabc.Sequence[str]) -> dict[str, Known]:
        """What is known of these objects."""

    def live_numbers(self, after: int | None, until: int | None) -> list[int]:
        """Numeric ids of live objects in ``(after, until]``."""

    def count_live(self) -> int:
        """How many objects are live."""


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction writes: observations and the cursor behind them."""

    cursor: Cursor
    sighting: Sighting | None = None


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
    #: Pages of the rolling comparison.
    compare_pages: int

    def date_of(self, date: dt.datetime | None) -> dt.datetime:
        """The store's clock of an answer."""
        return date or self.clock()

    def observe(
        self, row: cabc.Mapping[str, t.Any], seen_at: dt.datetime, id_field: str | None = None
    ) -> Observation:
        """An observation of a row that was read in full."""
        collection = self.listing.collection
        return Observation(
            object_id=object_id(row, id_field or self.stream.configuration.id_field),
            body=row,
            seen_at=seen_at,
            modified_at=parse_store_date(row.get(collection.modified_field)),
            created_at=parse_store_date(row.get(collection.created_field)),
        )


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
