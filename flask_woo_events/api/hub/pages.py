"""Pages of a collection, read from the store for a client's query."""

from __future__ import annotations

import base64
import collections.abc as cabc
import dataclasses
import datetime as dt
import hashlib
import typing as t

import orjson

from ...errors import InputError, StoreGarbledError
from ...woocommerce.ceql import Condition
from ...woocommerce.client import StoreClient, StoreResponse
from ...woocommerce.endpoints import Collection
from ...woocommerce.listing import Filters, Listing
from ...woocommerce.paging import walk
from .filters import FilterSupport, Params

Row = dict[str, t.Any]

#: Most rows of one page of WooCommerce.
PAGE_MOST = 100
#: Most requests for one page while rows are added and removed.
REQUESTS_MOST = 20
#: Highest offset of a row that can be requested.
OFFSET_MOST = 10_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageQuery:
    """A client's query of a collection."""

    conditions: tuple[Condition, ...] = ()
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
class _Start:
    """Where a page begins: an offset, and the id of the row before it."""

    offset: int
    after_id: int | None


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

    :raises InputError: the store does not support the query.
    """
    native = abilities.native(one for one in query.conditions if not abilities.local(one))
    for condition in query.conditions:
        if abilities.local(condition) and condition.op not in ("=", "!=", "in"):
            raise InputError(f"this list cannot be filtered by {condition.text!r}", "where")
    mark = _mark(collection, abilities, native, query)
    start = _start(query, mark)
    if abilities.whole:
        rows = client.get_list(collection.path, native).data
        return _whole(rows, abilities, query, start, mark)
    ends = _pop(native, ("after", "before")) if abilities.dated_order else {}
    listing = Listing(client, collection, Filters(native | _fields(query, bool(ends)), False))
    if ends:
        part = _until(listing, abilities, ends, query, start)
    elif query.order is not None:
        orderby = abilities.order(query.order[0])
        part = _ordered(listing, orderby, query.order[1], query.page_size, start)
    else:
        part = _by_id(listing, query.page_size, start)
    total = part.total
    if query.count and not ends and (total is None or not part.rows):
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


def _fields(query: PageQuery, dates: bool) -> Params:
    """Return the parameter for the requested fields and those needed here."""
    if not query.fields:
        return {}
    needed = ("date_created", "date_created_gmt") if dates else ()
    return {"_fields": ",".join(dict.fromkeys(("id", *query.fields, *needed)))}


def _pop(params: Params, names: tuple[str, ...]) -> Params:
    return {name: params.pop(name) for name in names if name in params}


def _by_id(listing: Listing, size: int, start: _Start) -> _Part:
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


def _ordered(listing: Listing, orderby: str, direction: str, size: int, start: _Start) -> _Part:
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


def _until(
    listing: Listing, abilities: FilterSupport, ends: Params, query: PageQuery, start: _Start
) -> _Part:
    """Read objects created after or before a date, in that order up to the date.

    For collections without such a filter (customers): in the order of the dates, the matching
    objects come first.
    """
    [(name, text), *others] = ends.items()
    if others:
        raise InputError("customers can be filtered by one end of created_date only", "where")
    direction = "desc" if name == "after" else "asc"
    order = query.order
    if order and (abilities.order(order[0]), order[1]) != (abilities.dated_order, direction):
        raise InputError(f"with this where, orderBy can be created_date {direction}", "orderBy")
    part = _ordered(listing, abilities.dated_order, direction, query.page_size, start)
    end = dt.datetime.fromisoformat(text)
    rows = [row for row in part.rows if _matches(row, name, end)]
    return _Part(rows, part.end, part.more and len(rows) == len(part.rows), None)


def _matches(row: Row, name: str, end: dt.datetime) -> bool:
    """Return whether a row is after or before a date: local time of the site, or with an offset."""
    text = row.get("date_created" if end.tzinfo is None else "date_created_gmt")
    try:
        date = dt.datetime.fromisoformat(str(text))
    except ValueError:
        raise StoreGarbledError("a row has no date of creation", status=200) from None
    date = date.replace(tzinfo=None if end.tzinfo is None else date.tzinfo or dt.UTC)
    return date > end if name == "after" else date < end


def _whole(
    rows: list[Row], abilities: FilterSupport, query: PageQuery, start: _Start, mark: str
) -> CollectionPage:
    """Return the page of a collection that the store answers whole."""
    for condition in query.conditions:
        if abilities.local(condition):
            rows = [row for row in rows if _meets(row, condition)]
    if query.order is not None:
        field, direction = query.order
        rows = sorted(rows, key=lambda row: _sort_key(row.get(field)), reverse=direction == "desc")
    end = start.offset + query.page_size
    return CollectionPage(
        rows=[picked(row, query.fields) for row in rows[start.offset : end]],
        token=_token(end, None, mark) if end < len(rows) else "",
        total=len(rows) if query.count else None,
    )


def _meets(row: Row, condition: Condition) -> bool:
    equal = _text(row.get(condition.field)) in condition.values
    return not equal if condition.op == "!=" else equal


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _sort_key(value: object) -> tuple[bool, float, str]:
    number = isinstance(value, int | float)
    return not number, float(value) if isinstance(value, int | float) else 0.0, _text(value)


def _mark(
    collection: Collection, abilities: FilterSupport, native: Params, query: PageQuery
) -> str:
    """Return a checksum of the query, so that a token is refused for another one."""
    local = [one.text for one in query.conditions if abilities.local(one)]
    listed = orjson.dumps([collection.path, sorted(native.items()), local, query.order])
    return hashlib.blake2b(listed, digest_size=6).hexdigest()


def _token(offset: int, last_id: object, mark: str) -> str:
    known = last_id if type(last_id) is int else None
    return base64.urlsafe_b64encode(orjson.dumps([offset, known, mark])).decode().rstrip("=")


def _start(query: PageQuery, mark: str) -> _Start:
    if not query.token:
        return _Start((query.page - 1) * query.page_size, None)
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
    return _Start(offset, last_id)
