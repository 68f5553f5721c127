"""Pages of a collection, read from the store for a client's query."""

from __future__ import annotations

import base64
import collections.abc as cabc
import dataclasses
import datetime as dt
import hashlib

import orjson

from ...errors import InputError, StoreGarbledError
from ...woocommerce.ceql import Junction, Where, conditions_of
from ...woocommerce.client import StoreClient, StoreResponse
from ...woocommerce.endpoints import Collection
from ...woocommerce.list_filters import FilterSupport, Params, member_of
from ...woocommerce.listing import Filters, Listing
from ...woocommerce.paging import walk
from ...woocommerce.row_filter import Row as AnyRow
from ...woocommerce.row_filter import Test, row_test
from . import scan
from .scan import Placed, Start

Row = scan.Row

#: Most rows of one page of WooCommerce.
PAGE_MOST = 100
#: Most requests for one page while rows are added and removed.
REQUESTS_MOST = 20
#: Highest offset of a row that can be requested.
OFFSET_MOST = 10_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageQuery:
    """A client's query of a collection."""

    #: Conditions that must all hold.
    where: tuple[Where, ...] = ()
    #: Members of each row; empty for all.
    fields: tuple[str, ...] = ()
    #: Field and ``asc`` or ``desc``; ``None`` for the order of ids.
    order: tuple[str, str] | None = None
    page: int = 1
    page_size: int = 200
    #: The value of ``nextPage``, which takes precedence over ``page``.
    token: str = ""
    count: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class CollectionPage:
    """A page of a collection."""

    rows: list[Row]
    #: For ``nextPage``; empty at the end.
    token: str
    #: Rows of all pages; ``None`` without ``count`` or when the store does not report it.
    total: int | None


@dataclasses.dataclass(frozen=True)
class _Part:
    """Rows as the store returned them, the offset after them, and the total."""

    rows: list[Row]
    end: int
    more: bool
    total: int | None


def read(
    client: StoreClient, collection: Collection, abilities: FilterSupport, query: PageQuery
) -> CollectionPage:
    """Read one page of a collection.

    With ``nextPage`` and without ``orderBy``, the pages hold every object that exists from the
    first page to the last, even if others are created and deleted in between.

    :raises InputError: the query contradicts itself, or takes too many rows of the store.
    """
    native, rest = abilities.split(query.where)
    mark = _mark(collection, native, rest, query)
    start = _start(query, mark)
    if abilities.whole:
        rows = client.get_list(collection.path, native).data
        members = scan.Members(_tested(rest, query))
        for row in rows:
            members.note(row)
        members.check()
        return _slice(rows, row_test(Junction("and", rest)), query, start, mark)
    ends = _pop(native, ("after", "before")) if abilities.dated_order else {}
    if ends or rest or (query.order and query.order[0] not in abilities.orders):
        filters = Filters(native | _fields(query, rest, bool(ends)), False)
        reading = _Reading(Listing(client, collection, filters), abilities, ends, rest, query)
        return reading.page(start, mark)
    listing = Listing(client, collection, Filters(native | _fields(query), False))
    if query.order is not None:
        orderby = abilities.orders[query.order[0]]
        part = _ordered(listing, orderby, query.order[1], query.page_size, start)
    else:
        part = _by_id(listing, query.page_size, start)
    total = part.total
    if query.count and (total is None or not part.rows):
        total = listing.total()
    last = part.rows[-1].get("id") if part.rows else None
    return CollectionPage(
        rows=[picked(row, query.fields) for row in part.rows],
        token=_token(part.end, last, mark) if part.more and part.rows else "",
        total=total if query.count else None,
    )


def picked(row: Row, fields: cabc.Sequence[str]) -> Row:
    """Return these members of a row; a dot leads into objects and lists of objects."""
    if not fields:
        return row
    shown: Row = {}
    for name, value in row.items():
        deeper = [field.partition(".")[2] for field in fields if field.startswith(f"{name}.")]
        if name in fields:
            shown[name] = value
        elif deeper and isinstance(value, dict):
            shown[name] = picked(value, deeper)
        elif deeper and isinstance(value, list):
            shown[name] = [picked(one, deeper) for one in value if isinstance(one, dict)]
    return shown


def _fields(query: PageQuery, rest: cabc.Sequence[Where] = (), dates: bool = False) -> Params:
    """Return the parameter for the requested fields and those needed here."""
    if not query.fields:
        return {}
    needed = [name.partition(".")[0] for name in _tested(rest, query)]
    needed += [f"{name}_gmt" for name in needed if "date" in name and not name.endswith("_gmt")]
    needed += ["date_created", "date_created_gmt"] if dates else []
    names = [name for name in needed if name not in query.fields]
    return {"_fields": ",".join(dict.fromkeys(("id", *query.fields, *names)))}


def _tested(rest: cabc.Sequence[Where], query: PageQuery) -> list[str]:
    """Return the fields that rows are filtered and ordered by here."""
    order = [member_of(query.order[0])] if query.order else []
    return [one.field for part in rest for one in conditions_of(part)] + order


def _pop(params: Params, names: tuple[str, ...]) -> Params:
    return {name: params.pop(name) for name in names if name in params}


def _by_id(listing: Listing, size: int, start: Start) -> _Part:
    """Read by ascending id; each request begins with the last row of the one before."""
    rows: list[Row] = []
    total: int | None = None
    last_id = start.after_id

    def fetch(offset: int, limit: int) -> StoreResponse:
        nonlocal total
        overlap = 0 if last_id is None else 1
        few = min(limit, max(size - len(rows) + overlap, 2))
        answer = listing.page(offset, few)
        known = answer.data[0].get("id") if answer.data else None
        if few < limit and overlap and known != last_id:
            # Rows have moved, so the walk needs a whole page to find its place.
            answer = listing.page(offset, limit)
        total = answer.total if answer.data else total
        return answer

    for page in walk(
        fetch,
        page_size=PAGE_MOST,
        start_offset=start.offset,
        after_id=start.after_id,
        max_requests=REQUESTS_MOST,
    ):
        surplus = max(len(rows) + len(page.rows) - size, 0)
        rows += page.rows
        end = page.offset + len(page.rows) - surplus
        last_id = page.last_id
        if page.last or len(rows) >= size:
            return _Part(rows[:size], end, surplus > 0 or not page.last, total)
    raise AssertionError("a walk ends with its last page")


def _ordered(listing: Listing, orderby: str, direction: str, size: int, start: Start) -> _Part:
    """Read in the client's order, which may differ at the next page."""
    rows: list[Row] = []
    while True:
        wanted = min(size - len(rows), PAGE_MOST)
        answer = listing.ordered(orderby, direction, start.offset + len(rows), wanted)
        rows += answer.data[:wanted]
        end, total = start.offset + len(rows), answer.total
        more = bool(answer.data)
        more = more and (total > end if total is not None else len(answer.data) >= wanted)
        if len(rows) >= size or not more:
            return _Part(rows, end, more, total)


@dataclasses.dataclass(frozen=True)
class _Reading:
    """A query whose rows are filtered or ordered here."""

    listing: Listing
    abilities: FilterSupport
    #: Ends of the date of creation, for a collection that is not filtered by it but ordered.
    ends: Params
    rest: tuple[Where, ...]
    query: PageQuery

    def page(self, start: Start, mark: str) -> CollectionPage:
        """Read one page."""
        order, size = self.query.order, self.query.page_size
        if order is not None and not self._is_native(order):
            rows = self._all(by_member=order[0] not in self.abilities.orders)
            return _slice(rows, row_test(Junction("and", ())), self.query, start, mark)
        skip = 0
        # Up to a date, no row is left out.
        plain = not self.rest and len(self.ends) == 1
        if not self.query.token and not plain:
            start, skip = Start(), start.offset
        members = scan.Members(_tested(self.rest, dataclasses.replace(self.query, order=None)))
        stream = members.noted(self._rows(start))
        found = scan.page(stream, self._test(), size, start, skip)
        if start == Start() and not found.more:
            members.check()
        return CollectionPage(
            rows=[picked(row, self.query.fields) for row in found.rows],
            token=_token(found.next.offset, found.next.after_id, mark) if found.more else "",
            total=len(self._all()) if self.query.count and not plain else None,
        )

    def _all(self, *, by_member: bool = False) -> list[Row]:
        """Read all rows, by ascending id.

        :param by_member: the rows are then ordered by their own members.
        """
        reading = dataclasses.replace(self, query=dataclasses.replace(self.query, order=None))
        members = scan.Members(_tested(self.rest, self.query if by_member else reading.query))
        rows = scan.everything(members.noted(reading._rows(Start())), self._test())
        members.check()
        return sorted(rows, key=lambda row: row["id"])

    def _is_native(self, order: tuple[str, str]) -> bool:
        """Return whether the rows can be read in this order."""
        native = self.abilities.orders.get(order[0])
        return native is not None and (
            not self.ends or (native, order[1]) == (self.abilities.dated_order, self._direction)
        )

    @property
    def _direction(self) -> str:
        return "desc" if "after" in self.ends else "asc"

    def _rows(self, start: Start) -> cabc.Iterator[Placed]:
        if self.ends:
            return self._until(start)
        if self.query.order is not None:
            field, direction = self.query.order
            return scan.ordered(self.listing, self.abilities.orders[field], direction, start)
        return scan.by_id(self.listing, start)

    def _until(self, start: Start) -> cabc.Iterator[Placed]:
        """Read in the order of creation up to a date: the matching objects come first."""
        orderby, direction = self.abilities.dated_order, self._direction
        name = "after" if "after" in self.ends else "before"
        end = dt.datetime.fromisoformat(self.ends[name])
        for placed in scan.ordered(self.listing, orderby, direction, start):
            if not _matches(placed.row, name, end):
                return
            yield placed

    def _test(self) -> Test:
        ends = [(name, dt.datetime.fromisoformat(text)) for name, text in self.ends.items()]
        meets = row_test(Junction("and", self.rest))
        return lambda row: all(_matches(row, *end) for end in ends) and meets(row)


def _matches(row: AnyRow, name: str, end: dt.datetime) -> bool:
    """Return whether a row is after or before a date: local time of the site, or with an offset."""
    text = row.get("date_created" if end.tzinfo is None else "date_created_gmt")
    try:
        date = dt.datetime.fromisoformat(str(text))
    except ValueError:
        raise StoreGarbledError("a row has no date of creation", status=200) from None
    date = date.replace(tzinfo=None if end.tzinfo is None else date.tzinfo or dt.UTC)
    return date > end if name == "after" else date < end


def _slice(
    rows: list[Row], test: Test, query: PageQuery, start: Start, mark: str
) -> CollectionPage:
    """Return the page of a collection that was read whole."""
    rows = [row for row in rows if test(row)]
    if query.order is not None:
        rows = scan.sort(rows, (member_of(query.order[0]), query.order[1]))
    end = start.offset + query.page_size
    return CollectionPage(
        rows=[picked(row, query.fields) for row in rows[start.offset : end]],
        token=_token(end, None, mark) if end < len(rows) else "",
        total=len(rows) if query.count else None,
    )


def _mark(collection: Collection, native: Params, rest: tuple[Where, ...], query: PageQuery) -> str:
    """Return a checksum of the query, so that a token is refused for another one."""
    listed = orjson.dumps([collection.path, sorted(native.items()), repr(rest), query.order])
    return hashlib.blake2b(listed, digest_size=6).hexdigest()


def _token(offset: int, last_id: object, mark: str) -> str:
    known = last_id if type(last_id) is int else None
    return base64.urlsafe_b64encode(orjson.dumps([offset, known, mark])).decode().rstrip("=")


def _start(query: PageQuery, mark: str) -> Start:
    if not query.token:
        return Start((query.page - 1) * query.page_size, None)
    try:
        padded = query.token + "=" * (-len(query.token) % 4)
        offset, last_id, marked = orjson.loads(base64.urlsafe_b64decode(padded))
        valid = type(offset) is int and (last_id is None or type(last_id) is int)
    except (ValueError, TypeError):
        valid = False
    if not valid or not 0 < offset <= OFFSET_MOST or marked != mark:
        raise InputError(
            "nextPage is not the value of Elements-Next-Page-Token for this resource, where "
            "and orderBy",
            "nextPage",
        )
    return Start(offset, last_id)
