"""Reading of a whole collection by ascending id, while rows come and go."""

from __future__ import annotations

import bisect
import collections.abc as cabc
import dataclasses
import datetime as dt
import itertools
import typing as t

from ..errors import StoreGarbledError, StoreOrderError
from ..values.validation import is_id
from .client import StoreResponse

#: ``fetch(offset, limit)``: rows of ``orderby=id&order=asc``.
Fetch = cabc.Callable[[int, int], StoreResponse]

#: Consecutive requests without new rows, not counting those that go back, after which the store
#: is taken to ignore ``offset``. A few are normal: new rows before the offset move others back.
IDLE_ALLOWED = 10


@dataclasses.dataclass(frozen=True)
class Page:
    """Rows that no earlier page held.

    :param offset: offset of the first row when it was read; the next page begins at
        ``offset + len(rows)``.
    :param total: the store's count of the collection.
    :param date: the store's clock.
    :param last: the collection ends here. The last page may be empty.
    :param first_id: of these rows; ``None`` if there are none.
    :param last_id: the greatest id so far, including this page.
    :param known: the last row that an earlier page held, as this answer shows it.
    """

    rows: list[dict[str, t.Any]]
    offset: int
    total: int | None
    date: dt.datetime | None
    last: bool
    first_id: int | None
    last_id: int | None
    known: dict[str, t.Any] | None = None


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

    With ``overlap`` each page begins with the last row of the previous page. If it does not, rows
    before it have gone and others may have been skipped: the walk then goes back by one page, two,
    four, until it finds a row that it has read. So every row that exists from the begin to the end
    of the walk is yielded, whatever rows come and go meanwhile.

    :param page_size: rows per request; the store may return fewer.
    :param start_offset: where to begin: ``offset + len(rows)`` of an earlier page.
    :param after_id: yield only rows with greater ids: ``last_id`` of an earlier page.
    :param overlap: without it, a row that goes may make the walk skip another one.
    :raises StoreGarbledError: ids are missing or out of order, all rows read so far are gone, or
        the collection does not end within ``max_requests``.
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
        known=answer.data[known - 1] if known else None,
    )


def _is_end(count: int, fresh: int, offset: int, page_size: int, total: int | None) -> bool:
    """Return whether a page is the last one.

    A short page need not be: plugins limit the page size, and WooCommerce leaves out objects that
    it cannot load or must not show, while its total counts them.
    """
    if count >= page_size:
        return False
    if total is not None and total <= offset + count:
        return True
    if fresh or count > 1:
        return False
    # Only the overlapping row is left: nothing follows it, or more than a page is left out.
    return count == 0 or total is None or total <= offset + page_size


def _ids(answer: StoreResponse) -> list[int]:
    rows = answer.data
    if not isinstance(rows, list):
        raise StoreGarbledError("the page is not a list", status=answer.status)
    ids = [row.get("id") if isinstance(row, dict) else None for row in rows]
    if not all(is_id(one) and one for one in ids):
        raise StoreGarbledError("a row has no whole number as its id", status=answer.status)
    checked = t.cast("list[int]", ids)
    if any(left >= right for left, right in itertools.pairwise(checked)):
        raise StoreOrderError(
            "the rows are not in the requested order of their ids",
            status=answer.status,
        )
    return checked
