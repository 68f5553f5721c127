"""Rows of one collection, read in requests that the store can answer.

A request that fails is divided. If its halves work, the store fails above a number of rows, and
asks for fewer from then on; if one row fails alone, that object is left out and tried again later.
A store of which no single row can be read is down, and the error is raised.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

from ..errors import (
    StoreError,
    StoreFailedError,
    StoreGarbledError,
    StoreRejectedError,
    TransportError,
    UnreachableError,
)
from ..values.validation import is_id
from .client import StoreClient, StoreResponse
from .oddities import SMALL_PAGES, UNREADABLE_OBJECTS
from .read_range import ReadRange, Row, divisor, parts_of
from .unreadable import MOST_KEPT, Unreadable

Params = dict[str, str | int | bool]
#: ``ask(start, count)``: the rows at these positions.
Ask = cabc.Callable[[int, int], StoreResponse]


class LightAsk(t.Protocol):
    """The same, or some fields of them."""

    def __call__(self, start: int, rows: int, fields: str = "", /) -> StoreResponse: ...


#: Ids in one ``include``: the most rows that a page may have.
INCLUDE_AT_ONCE = 100
#: Ids after a row that are searched for an unreadable object.
SPAN = 400
#: Unreadable rows of one request; with more, the request fails.
MOST_UNREADABLE = 20


def may_be_rows(exc: TransportError) -> bool:
    """Return whether a request for other rows or fewer may work."""
    if isinstance(exc, UnreachableError):
        return exc.connected
    if isinstance(exc, StoreRejectedError):
        return exc.status == 400 and "per_page" in exc.said
    return isinstance(exc, StoreFailedError | StoreGarbledError)


class RowReader:
    """Reads rows of one collection.

    :param unreadable: objects of the collection to leave out; those that are found are added.
    :param most: rows of one request at most.
    """

    def __init__(
        self, client: StoreClient, path: str, unreadable: Unreadable, most: int = INCLUDE_AT_ONCE
    ) -> None:
        self._client = client
        self._path = path
        self._unreadable = unreadable
        self._most = min(most, INCLUDE_AT_ONCE)

    @property
    def at_once(self) -> int:
        """How many rows or ids one request may have."""
        return self._client.row_limit.allowed(self._most)

    def page(self, params: Params, offset: int, count: int, *, fill: bool = False) -> StoreResponse:
        """Read rows at an offset, without unreadable objects; two or more if there are any.

        :param fill: read all of them, however many requests that takes.
        """
        ask = self._positions(_excluding(params, self._unreadable.ids))
        found = self._range(ask, ask, offset, count, min, fill=fill, by_offset=True)
        if found.unreadable:
            self._identify(params, found.items, ask)
        return found.merged

    def numbered(
        self, params: Params, number: int, count: int, left_out: cabc.Sequence[int] = ()
    ) -> StoreResponse:
        """Read a page by its number, also of a collection that does not support ``offset``.

        :param left_out: the unreadable objects as of the first page, so that no row moves.
        """

        def ask(start: int, rows: int, fields: str = "") -> StoreResponse:
            chosen = _excluding(params, left_out) | {"per_page": rows, "page": start // rows + 1}
            asked = chosen | ({"_fields": fields} if fields else {})
            return self._list(asked, ids=False)

        found = self._range(ask, ask, (number - 1) * count, count, divisor, fill=True)
        for place in found.places:
            if (light := self._light_id(place, ask)) is not None:
                self._add(light)
        answer = found.merged
        if answer.pages is not None and answer.total is not None:
            answer = dataclasses.replace(answer, pages=-(-answer.total // count))
        return answer

    def named(
        self, params: Params, ids: cabc.Sequence[int], *, again: bool = False
    ) -> StoreResponse:
        """Read those of these objects that the list has, without unreadable ones.

        :param again: also those that could not be read before.
        """
        left = [number for number in ids if again or number not in self._unreadable]
        if not left:
            return StoreResponse(200, [], {}, None, None, None, 0.0, 0)

        def ask(start: int, count: int) -> StoreResponse:
            return self._include(params, left[start : start + count])

        check = self._positions(_excluding(params, self._unreadable.ids))
        found = self._range(ask, check, 0, len(left), self._part_of_ids, fill=True)
        for place in found.places:
            if not again:
                self._add(left[place])
        self._note_limit(len(left))
        return found.merged

    def check_up(self, exc: TransportError) -> None:
        """Raise the error unless the store can show another row of the collection."""
        if not may_be_rows(exc) or self._client.row_limit.left <= 0:
            raise exc
        self._client.row_limit.left -= 1
        ask = self._positions(_excluding({}, self._unreadable.ids))
        self._check_up(ask, 0, 1, exc)

    def _positions(self, params: Params) -> LightAsk:
        def ask(start: int, rows: int, fields: str = "") -> StoreResponse:
            chosen = params | {"per_page": rows} | ({"offset": start} if start else {})
            return self._list(chosen | ({"_fields": fields} if fields else {}))

        return ask

    def _part_of_ids(self, count: int, most: int) -> int:
        return min(count, most, self.at_once)

    def _include(self, params: Params, ids: cabc.Sequence[int]) -> StoreResponse:
        """Read objects by their ids, again without those shown if a plugin cut the page off."""
        rows: list[Row] = []
        first: StoreResponse | None = None
        left = list(ids)
        while left:
            include = ",".join(str(one) for one in left)
            answer = self._list(params | {"include": include, "per_page": len(left)})
            first = first or answer
            rows += answer.data
            left = self._cut_off(left, answer)
        assert first is not None
        return dataclasses.replace(first, data=rows, total=None)

    def _cut_off(self, asked: cabc.Sequence[int], answer: StoreResponse) -> list[int]:
        shown = [row["id"] for row in answer.data]
        if not shown or len(shown) >= len(asked) or not set(shown) <= set(asked):
            return []
        if answer.total is not None and answer.total <= len(shown):
            return []
        rest = [number for number in asked if number > max(shown)]
        if answer.total is not None and rest:
            self._client.row_limit.capped(len(shown))
        return rest

    def _list(self, params: Params, *, ids: bool = True) -> StoreResponse:
        answer = self._client.get_list(self._path, params, ids=ids)
        self._client.row_limit.worked(len(answer.data))
        self._note_limit(len(answer.data) + 1 if answer.total is None else answer.total)
        return answer

    def _note_limit(self, rows: int) -> None:
        """Note that reading this many rows takes more requests than usual, if that is so."""
        limit = self._client.row_limit.rows
        if limit is not None and limit < min(self._most, rows):
            self._client.oddities.add(SMALL_PAGES, f"{limit} rows in one answer")

    def _range(
        self,
        ask: Ask,
        check: Ask,
        start: int,
        count: int,
        part_of: cabc.Callable[[int, int], int],
        *,
        fill: bool,
        by_offset: bool = False,
    ) -> ReadRange:
        """Read a range of positions, or the first rows of it.

        :param check: reads other rows, to see whether the store can show any.
        :param part_of: returns the size of the parts of a range, at most the second number.
        """
        limit, found = self._client.row_limit, ReadRange()
        if not fill:
            count = max(2, part_of(count, limit.allowed(count))) if count > 1 else count
        #: Ranges to read, the next one last; or one that failed, with the unreadable rows before.
        todo: list[tuple[int, int, int | None]] = [(start, count, None)]
        learned = False
        while todo and not (learned and not fill and len(found.rows) >= 2):
            at, size, before = todo.pop()
            if before is not None:
                if found.unreadable == before and not learned:
                    # All parts of what failed can be read: it was too long.
                    limit.failed(size)
                    learned = True
                continue
            if found.ends_before(at):
                continue
            part = part_of(size, limit.allowed(size))
            if part < size:
                todo += parts_of(at, size, part)
                continue
            try:
                answer = ask(at, size)
                found.add(answer)
                found.good = at if check is ask else found.good
                if fill and by_offset:
                    found.items += self._rest(ask, at, size, answer)
            except TransportError as exc:
                self._check_divisible(exc, size)
                if not isinstance(exc, StoreRejectedError) and (size == 1 or found.answer is None):
                    where = (at, size) if check is ask else (0, 1)
                    found.good, found.spare = self._check_up(check, *where, exc, found.good)
                if size > 1:
                    todo.append((at, size, found.unreadable))
                    todo += parts_of(at, size, part_of(size, size // 2))
                    continue
                found.items.append(at)
                if found.unreadable > MOST_UNREADABLE:
                    raise self._named(exc) from exc
        return found

    def _rest(self, ask: Ask, at: int, size: int, answer: StoreResponse) -> list[Row]:
        """Return the rows after those of an answer that a plugin has cut off.

        An answer is also shorter where WooCommerce hides rows that it counts: nothing follows.
        """
        rows: list[Row] = list(answer.data)
        while rows and len(rows) < size and (answer.total or 0) > at + len(rows):
            more = ask(at + len(rows), min(len(answer.data), size - len(rows))).data
            if not more or more[0].get("id", 0) <= rows[-1].get("id", 0):
                break
            self._client.row_limit.capped(len(answer.data))
            rows += more
        return rows[len(answer.data) :]

    def _check_divisible(self, exc: TransportError, size: int) -> None:
        """Raise the error of a request unless its parts may work."""
        if not may_be_rows(exc) or (isinstance(exc, StoreRejectedError) and size == 1):
            raise exc
        self._spend(exc)

    def _spend(self, exc: TransportError) -> None:
        limit = self._client.row_limit
        if limit.down:
            raise exc
        if limit.left <= 0:
            raise self._named(exc) from exc
        limit.left -= 1

    def _named(self, exc: TransportError) -> TransportError:
        """Return the error with what a person can do."""
        text = f"{exc} (a lower pageSize, or WOO_EVENTS_POLL_PAGE_SIZE, may help)"
        if not isinstance(exc, StoreError):
            return type(exc)(text, url=exc.url)
        return type(exc)(
            text, url=exc.url, status=exc.status, code=exc.code, said=exc.said,
            retry_after=exc.retry_after,
        )  # fmt: skip

    def _check_up(
        self, ask: Ask, at: int, size: int, exc: TransportError, good: int | None = None
    ) -> tuple[int, StoreResponse]:
        """Return a position at which a single row can be read, or raise the error.

        :param good: a position at which one could be read before.
        """
        places = [at, at + size // 2, at + size - 1] if size > 1 else [at + 1, at + 2, 0]
        places = places if good is None else [good, *places]
        if isinstance(exc, UnreachableError):
            places = places[:2]  # Each may take as long as the store is waited for.
        for place in dict.fromkeys(places):
            try:
                return place, ask(place, 1)
            except TransportError as failure:
                if not may_be_rows(failure):
                    raise
        self._client.row_limit.down = True
        raise exc

    def _add(self, number: int) -> None:
        if self._unreadable.is_full and number not in self._unreadable:
            raise StoreFailedError(
                f"more than {MOST_KEPT} objects of {self._path} cannot be read", status=500
            )
        self._unreadable.add(number)

    def _identify(self, params: Params, items: cabc.Sequence[Row | int], ask: LightAsk) -> None:
        """Find the ids of the rows that cannot be read, where that is possible."""
        index = 0
        while index < len(items):
            end = index
            while end < len(items) and isinstance(items[end], int):
                end += 1
            places = t.cast("list[int]", items[index:end])
            if places:
                low = items[index - 1]["id"] if index else None  # type: ignore[index]
                high = items[end]["id"] if end < len(items) else None  # type: ignore[index]
                if params.get("order") == "desc":
                    low, high = high, low
                for number in self._ids_of(params, places, (low, high), ask):
                    self._add(number)
            index = end + 1

    def _ids_of(
        self,
        params: Params,
        places: cabc.Sequence[int],
        between: tuple[int | None, int | None],
        ask: LightAsk,
    ) -> list[int]:
        """Return the ids of rows, asked for with few fields, or by all ids between others."""
        light = [self._light_id(place, ask) for place in places]
        found = [number for number in light if number is not None]
        if len(found) == len(places):
            return found
        low, high = between
        if low is None and params.get("order") != "desc":
            low = self._light_id(places[0] - 1, ask) if places[0] else 0
        if low is None and high is not None:
            low = max(high - SPAN - 1, 0)
        if low is None:
            return found
        until = min(high or low + SPAN, low + SPAN + 1)
        found += self._failing(params, [one for one in range(low + 1, until) if one not in found])
        if not found:
            detail = f"{self._path}: an object after {low}"
            self._client.oddities.add(UNREADABLE_OBJECTS, detail)
        return found

    def _light_id(self, place: int, ask: LightAsk) -> int | None:
        try:
            rows = ask(place, 1, "id").data
        except TransportError as exc:
            if not may_be_rows(exc):
                raise
            return None
        return rows[0]["id"] if rows and is_id(rows[0].get("id")) else None

    def _failing(self, params: Params, ids: cabc.Sequence[int]) -> list[int]:
        """Return those of these ids that cannot be read; they may belong to no object."""
        found: list[int] = []
        todo = [(ids[at : at + self.at_once]) for at in range(0, len(ids), self.at_once)][::-1]
        while todo:
            asked = todo.pop()
            include = ",".join(map(str, asked))
            chosen = params | {"include": include, "per_page": self._most, "_fields": "id"}
            try:
                rows = self._list(chosen).data
            except TransportError as exc:
                self._check_divisible(exc, len(asked))
                half = len(asked) // 2
                if half:
                    todo += [asked[half:], asked[:half]]
                else:
                    found.append(asked[0])
                continue
            if any(row.get("id") not in asked for row in rows):
                return []  # The store ignores "include".
        return found


def _excluding(params: Params, ids: cabc.Sequence[int]) -> Params:
    if not ids:
        return params
    named = [str(params["exclude"])] if params.get("exclude") else []
    return params | {"exclude": ",".join([*named, *map(str, ids)])}
