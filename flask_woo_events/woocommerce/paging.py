"""Reading a collection in the order of its ids to its end, although rows move meanwhile."""

from __future__ import annotations

import bisect
import collections.abc as cabc
import dataclasses
import datetime as dt
import itertools
import typing as t

from ..errors import StoreGarbledError
from .client import StoreResponse

#: ``fetch(offset, limit)``: rows of ``orderby=id&order=asc``.
Fetch = cabc.Callable[[int, int], StoreResponse]

#: Requests in a row that may bring nothing new, besides going back over all that was read, before
#: the store is said to ignore ``offset``. Rows that come in before the place read push others
#: back, so that a few are honest.
IDLE_ALLOWED = 10


@dataclasses.dataclass(frozen=True)
class Page:
    """Rows that were not given before.

    :param offset: where the first of them stood when it was read; ``offset + len(rows)`` is where
        to go on.
    :param total: rows of the collection as the store counts them.
    :param date: the store's clock.
    :param last: whether the collection ended here. The last page may be empty.
    :param first_id: of these rows; ``None`` when there are none.
    :param last_id: the greatest id given so far, this page included.
    """

    rows: list[dict[str, t.Any]]
    offset: int
    total: int | None
    date: dt.datetime | None
    last: bool
    first_id: int | None
    last_id: int | None


def walk(
    fetch: Fetch,
    *,
    page_size: int = 100,
    start_offset: int = 0,
    after_id: int | None = None,
    overlap: bool = True,
    max_requests: int,
) -> cabc.Iterator[Page]:
    """Yield every row once, by ascending id.

    With ``overlap`` each page begins with the last row of the page before. When it begins further
    on, rows before it have vanished and others may have slipped through: then the reading goes
    back, by one page, two, four, until it stands on known ground. So every row that is there from
    the beginning to the end is given, whatever comes and goes around it.

    :param page_size: rows to ask for; the store may give fewer.
    :param start_offset: where to go on, from an earlier page's ``offset + len(rows)``.
    :param after_id: give only rows with greater ids; an earlier page's ``last_id``.
    :param overlap: without it a vanished row may hide another one from this walk.
    :raises StoreGarbledError: ids are missing or out of order, all that was given is gone, or the
        collection does not end within ``max_requests``.
    """
    if page_size < 2:
        raise ValueError("a page needs two rows or more")
    last = after_id
    offset = max(start_offset - 1, 0) if overlap and after_id is not None else start_offset
    step = back = page_size - 1
    idle, pages = 0, start_offset // step
    for _request in range(max_requests):
        answer = fetch(offset, page_size)
        ids = _ids(answer)
        known = 0 if last is None else bisect.bisect_right(ids, last)
        if overlap and last is not None and not ids and not offset:
            raise StoreGarbledError("the store shows nothing where rows were read", status=200)
        lost = overlap and offset > 0 and last is not None and known == 0
        fresh = 0 if lost else len(ids) - known
        idle, pages = (0, pages + 1) if fresh else (idle + 1, pages)
        if idle > IDLE_ALLOWED + 2 * pages:
            raise StoreGarbledError(
                "the store shows the same rows at every offset, or fewer than it counts",
                status=answer.status,
            )
        if lost:
            offset, back = max(offset - back, 0), back * 2
            continue
        back = step
        page = _page(answer, ids, known, offset, last, page_size)
        if fresh or page.last or not overlap:
            yield page
        if page.last:
            return
        last = page.last_id
        offset += len(ids) - 1 if overlap and (fresh or known > 1) else len(ids)
    raise StoreGarbledError(f"the collection does not come to an end in {max_requests} requests")


def _page(
    answer: StoreResponse, ids: list[int], known: int, offset: int, last: int | None, page_size: int
) -> Page:
    fresh = ids[known:]
    return Page(
        rows=answer.data[known:],
        offset=offset + known,
        total=answer.total,
        date=answer.date,
        last=_is_end(len(ids), len(fresh), offset, page_size, answer.total),
        first_id=fresh[0] if fresh else None,
        last_id=fresh[-1] if fresh else last,
    )


def _is_end(count: int, fresh: int, offset: int, page_size: int, total: int | None) -> bool:
    """Tell whether a page that stands on known ground is the last one.

    A short page alone is not: plugins cap the size of pages, and WooCommerce leaves out of a page
    what it cannot load or must not show, while its total counts them.
    """
    if count >= page_size:
        return False
    if total is not None and total <= offset + count:
        return True
    if fresh or count > 1:
        return False
    # The overlapping row stands alone: nothing follows it, or more than a page is left out.
    return count == 0 or total is None or total <= offset + page_size


def _ids(answer: StoreResponse) -> list[int]:
    rows = answer.data
    if not isinstance(rows, list):
        raise StoreGarbledError("the page is not a list", status=answer.status)
    ids = [row.get("id") if isinstance(row, dict) else None for row in rows]
    if not all(type(one) is int and one > 0 for one in ids):
        raise StoreGarbledError("a row has no whole number as its id", status=answer.status)
    checked = t.cast("list[int]", ids)
    if any(left >= right for left, right in itertools.pairwise(checked)):
        raise StoreGarbledError(
            "the rows are not in the order of their ids, which was asked for",
            status=answer.status,
        )
    return checked
