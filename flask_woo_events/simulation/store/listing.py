"""Collections: the rows of a listing, their order, pages and totals, as in WooCommerce."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import urllib.parse

from .parameters import Parameters
from .responses import Headers
from .state import Shop
from .tables import Row, Table

#: Upper bound of the UTC offsets of all time zones, seconds.
WIDEST_OFFSET = 15 * 3600

Keep = cabc.Callable[[Row], bool]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListRules:
    """The parameters that a collection supports."""

    orderby: tuple[str, ...] = ("date", "id", "include", "title", "slug", "modified")
    default: str = "date"
    direction: str = "desc"
    #: Whether the created and modified dates can be filtered.
    dates: bool = True
    #: Whether rows of equal dates are ordered by id; otherwise they have no particular order.
    stable_dates: bool = False
    #: Whether a page past the end has the totals 0 and 0.
    zero_past_end: bool = False


@dataclasses.dataclass(frozen=True)
class ListPage:
    """The requested part of a listing."""

    rows: list[Row]
    total: int
    pages: int
    headers: Headers


@dataclasses.dataclass(frozen=True)
class ListQuery:
    """The parameters that every collection has."""

    number: int
    size: int
    offset: int | None
    orderby: str
    direction: str
    include: tuple[int, ...]
    exclude: frozenset[int]
    dates: tuple[tuple[str, dt.datetime], ...]
    gmt: bool


def read(parameters: Parameters, rules: ListRules, shop: Shop) -> ListQuery:
    """Read the common parameters; ``parameters`` collects the errors."""
    raw_offset = parameters.integer("offset", -1, 0)
    dates = []
    if rules.dates:
        for name in ("after", "before", "modified_after", "modified_before"):
            moment = parameters.date(name, shop.zone)
            if moment is not None:
                dates.append((name, moment))
    return ListQuery(
        number=parameters.integer("page", 1, 1),
        size=parameters.integer("per_page", 10, 1, 100),
        offset=None if raw_offset < 0 else raw_offset,
        orderby=parameters.choice("orderby", rules.default, rules.orderby),
        direction=parameters.choice("order", rules.direction, ("asc", "desc")),
        include=parameters.ids("include"),
        exclude=frozenset(parameters.ids("exclude")),
        dates=tuple(dates),
        gmt=parameters.text("dates_are_gmt").lower() in ("true", "1"),
    )


def select(
    table: Table,
    query: ListQuery,
    keep: Keep | None,
    rules: ListRules,
    shop: Shop,
    *,
    hpos: bool = False,
) -> list[Row]:
    """Return the matching rows in order."""
    rows = table.sorted()
    if query.include:
        found = (table.get(row_id) for row_id in dict.fromkeys(query.include))
        rows = [row for row in found if row is not None]
        if query.orderby != "include":
            rows.sort(key=lambda row: row.id)
    # Dates first: they are the cheapest to compare and exclude the most rows.
    for name, moment in query.dates:
        rows = _by_date(rows, name, moment, query.gmt, shop, hpos)
    if query.exclude:
        rows = [row for row in rows if row.id not in query.exclude]
    if keep is not None:
        rows = [row for row in rows if keep(row)]
    return order(rows, query.orderby, query.direction, rules, shop)


def _by_date(
    rows: list[Row], name: str, digits: dt.datetime, gmt: bool, shop: Shop, hpos: bool
) -> list[Row]:
    """Return the rows before or after a date, compared as in WordPress; limits are exclusive.

    With ``dates_are_gmt``, the site's local digits are compared with the UTC column. Without it,
    posts compare them with the local column, where an hour in autumn is ambiguous; HPOS tables
    convert them to UTC first.
    """
    attribute = "modified" if name.startswith("modified") else "created"
    after = name.endswith("after")
    if gmt:
        limit = int(digits.replace(tzinfo=dt.UTC).timestamp())
    elif hpos:
        limit = int(digits.timestamp())
    else:
        return _by_local_digits(rows, attribute, after, digits, shop)
    if attribute == "modified":
        if after:
            return [row for row in rows if row.modified is not None and row.modified > limit]
        return [row for row in rows if row.modified is not None and row.modified < limit]
    if after:
        return [row for row in rows if row.created > limit]
    return [row for row in rows if row.created < limit]


def _by_local_digits(
    rows: list[Row], attribute: str, after: bool, digits: dt.datetime, shop: Shop
) -> list[Row]:
    text = digits.isoformat()[:19]
    about = int(digits.replace(tzinfo=dt.UTC).timestamp())
    kept = []
    for row in rows:
        moment = getattr(row, attribute)
        if moment is None:
            continue
        # Local digits are slow to make, and matter only near the limit.
        if moment > about + WIDEST_OFFSET:
            fits = after
        elif moment < about - WIDEST_OFFSET:
            fits = not after
        else:
            local = shop.local(moment) or ""
            fits = local > text if after else local < text
        if fits:
            kept.append(row)
    return kept


def order(rows: list[Row], by: str, direction: str, rules: ListRules, shop: Shop) -> list[Row]:
    """Order rows that are sorted by id."""
    reverse = direction == "desc"
    if by == "include":
        return rows
    if by in ("id", "none"):
        return rows[::-1] if reverse else rows
    if by == "date" and rules.stable_dates:
        return sorted(rows, key=lambda row: (row.created, row.id), reverse=reverse)
    if by in ("date", "modified", "registered_date"):
        attribute = "modified" if by == "modified" else "created"
        # The database orders equal dates differently in each query.
        salt = shop.random.getrandbits(30) | 1
        return sorted(
            rows,
            key=lambda row: (getattr(row, attribute) or 0, (row.id * salt) & 0x3FFFFFFF),
            reverse=reverse,
        )
    name = {"title": "name", "slug": "slug", "name": "name"}.get(by, by)
    return sorted(rows, key=lambda row: str(row.fields.get(name, "")).lower(), reverse=reverse)


def stable(query: ListQuery, rules: ListRules) -> bool:
    """Return whether a listing has the same order for each request."""
    if query.orderby == "date":
        return rules.stable_dates
    return query.orderby not in ("modified", "registered_date")


def cut(rows: list[Row], query: ListQuery, rules: ListRules, url: str) -> ListPage:
    """Return the requested page, with the totals as the store returns them."""
    past_end = False
    if query.offset is not None:
        start = query.offset
        past_end = start >= len(rows)
    else:
        start = (query.number - 1) * query.size
        past_end = rules.zero_past_end and start >= len(rows)
    total = 0 if past_end else len(rows)
    pages = -(-total // query.size)
    page = rows[start : start + query.size]
    headers = [("X-WP-Total", str(total)), ("X-WP-TotalPages", str(pages))]
    links = []
    if query.number > 1:
        before = min(query.number - 1, max(pages, 1))
        links.append(f'<{_with_page(url, before)}>; rel="prev"')
    if query.number < pages:
        links.append(f'<{_with_page(url, query.number + 1)}>; rel="next"')
    if links:
        headers.append(("Link", ", ".join(links)))
    return ListPage(page, total, pages, headers)


def _with_page(url: str, number: int) -> str:
    parts = urllib.parse.urlsplit(url)
    hidden = ("page", "consumer_key", "consumer_secret")
    query = [
        (name, value)
        for name, value in urllib.parse.parse_qsl(parts.query)
        if name not in hidden and not name.startswith("oauth_")
    ]
    query.append(("page", str(number)))
    return urllib.parse.urlunsplit(parts._replace(query=urllib.parse.urlencode(query)))
