"""The companion plugin's journal of changes in a store, read and checked."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ..errors import StoreGarbledError, StoreRejectedError
from ..values.dates import in_calendar
from ..values.validation import is_id
from .client import StoreClient, StoreResponse

#: The plugin's namespace, as the index of a store lists it.
NAMESPACE = "wc-flask-woo-events/v1"
PATH = f"/wp-json/{NAMESPACE}/changes"
ORDERS_PATH = f"/wp-json/{NAMESPACE}/orders"
STATUS_PATH = f"/wp-json/{NAMESPACE}/status"
#: Rows per answer, the plugin's limit.
LIMIT = 1_000
#: Products per request for their orders.
PRODUCTS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class JournalChange:
    """One row of the journal: that something happened to an object."""

    seq: int
    #: ``order``, ``refund``, ``product``, ``customer``, ...
    type: str
    #: 0 when any object of the type may have changed.
    id: int
    #: The order or product that it belongs to, or 0.
    parent: int
    #: When the row was written, by the clock of the store's database.
    at: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JournalPage:
    """One answer of the journal."""

    changes: tuple[JournalChange, ...]
    #: There are later rows than these.
    more: bool
    #: The greatest sequence number; 0 while the journal is empty.
    head: int
    #: The greatest pruned sequence number, or 0.
    pruned: int
    #: Changes when rows may be missing.
    epoch: str
    #: When the epoch began, and the current time, by the clock of the store's database.
    since: dt.datetime
    now: dt.datetime
    #: When the last row up to the requested position was written, if there is one.
    anchor: dt.datetime | None
    #: The types that the journal records.
    types: frozenset[str]
    #: The time by the clock of the store's web server.
    date: dt.datetime | None


def after(client: StoreClient, seq: int) -> JournalPage:
    """Read the rows after a sequence number, the oldest first.

    :raises StoreRejectedError: there is no journal (404), or such rows were pruned (410).
    :raises StoreAccessError: the key may not read it.
    """
    return _page(client.get(PATH, {"after": seq, "limit": LIMIT}))


def newest(client: StoreClient) -> JournalPage:
    """Read the newest rows, the oldest of them first."""
    return _page(client.get(PATH, {"limit": LIMIT}))


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """The plugin's version and the end of its journal."""

    #: The plugin's version.
    version: str
    head: int


def status(client: StoreClient) -> Status:
    """Read the plugin's status.

    :raises StoreRejectedError: the plugin is not installed (404).
    :raises StoreAccessError: the key may not read the journal.
    """
    answer = client.get(STATUS_PATH)
    try:
        return Status(_text(answer.data["version"]), _number(answer.data["head"]))
    except (KeyError, TypeError, ValueError) as exc:
        raise StoreGarbledError(
            f"the answer of {STATUS_PATH} is not the journal's", status=answer.status
        ) from exc


@dataclasses.dataclass(frozen=True, slots=True)
class Named:
    """An order or refund whose items name a product."""

    #: ``order`` or ``refund``.
    type: str
    id: int
    #: The order of a refund, or 0.
    parent: int


def orders_of(client: StoreClient, products: cabc.Sequence[int]) -> cabc.Iterator[Named]:
    """Yield the orders and refunds whose items name some products, also deleted products.

    An order may be yielded more than once.
    """
    for start in range(0, len(products), PRODUCTS):
        after, more = 0, True
        ids = ",".join(map(str, products[start : start + PRODUCTS]))
        while more:
            answer = client.get(ORDERS_PATH, {"products": ids, "after": after})
            try:
                found = [_named(row) for row in answer.data["orders"]]
                more, before = answer.data["more"] is True, after
                after = _number(answer.data["next"])
            except (KeyError, TypeError, ValueError) as exc:
                raise StoreGarbledError(
                    f"the answer of {ORDERS_PATH} is not the journal's", status=answer.status
                ) from exc
            if more and after <= before:
                raise StoreGarbledError(
                    f"the answers of {ORDERS_PATH} have no end", status=answer.status
                )
            yield from found


def is_pruned(exc: StoreRejectedError) -> bool:
    """Return whether the requested rows were pruned."""
    return exc.status == 410


def _page(answer: StoreResponse) -> JournalPage:
    data = answer.data
    try:
        changes = tuple(_change(row) for row in data["changes"])
        page = JournalPage(
            changes=changes,
            more=data["more"] is True,
            head=_number(data["head"]),
            pruned=_number(data["pruned"]),
            epoch=_text(data["epoch"]),
            since=_date(data["since"]),
            now=_date(data["now"]),
            anchor=_date(data["anchor"]["at"]) if data["anchor"] else None,
            types=frozenset(_text(one) for one in data["types"]),
            date=answer.date,
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise StoreGarbledError(
            f"the answer of {PATH} is not the journal's", status=answer.status
        ) from exc
    if any(left.seq >= right.seq for left, right in _pairs(changes)):
        raise StoreGarbledError("the journal's rows are not in order", status=answer.status)
    return page


def _pairs(
    changes: cabc.Sequence[JournalChange],
) -> cabc.Iterator[tuple[JournalChange, JournalChange]]:
    return zip(changes, changes[1:], strict=False)


def _change(row: t.Any) -> JournalChange:
    return JournalChange(
        seq=_number(row["seq"]),
        type=_text(row["type"]),
        id=_number(row["id"]),
        parent=_number(row["parent"]),
        at=_date(row["at"]),
    )


def _named(row: t.Any) -> Named:
    return Named(type=_text(row["type"]), id=_number(row["id"]), parent=_number(row["parent"]))


def _number(value: t.Any) -> int:
    if not is_id(value):
        raise ValueError(value)
    return value


def _text(value: t.Any) -> str:
    if not isinstance(value, str) or len(value) > 100:
        raise ValueError(value)
    return value


def _date(value: t.Any) -> dt.datetime:
    return in_calendar(dt.datetime.fromisoformat(_text(value)).replace(tzinfo=dt.UTC))
