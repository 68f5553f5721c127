"""The position in the journal: which rows of the companion plugin's journal were processed.

MySQL numbers a row before it is committed, so a later number may be seen before an earlier one.
The position keeps the numbers that were seen, and waits for those that are missing.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ...errors import JournalBrokenError
from ...woocommerce.plugin_journal import LIMIT, JournalChange, JournalPage
from ..hint import Hint
from ..ledger.lookup import SETTLED_AFTER

#: How long a missing number may belong to a transaction that is not committed yet.
GAP_WAIT = dt.timedelta(minutes=15)
#: How old an epoch must be: requests that began before it write no rows.
TRUST_AFTER = dt.timedelta(minutes=10)
#: How far the store's clock may move, against ours, from one read to the next. Both reads take
#: time, so this is longer than ``store_identity.CLOCK_STEP``.
MAX_CLOCK_DRIFT = dt.timedelta(minutes=2)
#: Ranges of seen numbers that are kept.
MAX_RANGES = 2_000
#: Marks that are kept.
MAX_MARKS = 100

#: The hub's names of the collections, by the journal's type.
COLLECTIONS: cabc.Mapping[str, tuple[str, ...]] = {
    "order": ("orders",),
    "refund": ("refunds",),
    "order_or_refund": ("orders", "refunds"),
    "order_note": ("orders-comments",),
    "product": ("products",),
    "variation": ("variations",),
    "coupon": ("discounts",),
    "customer": ("customers",),
    "product_category": ("products-categories",),
    "product_tag": ("products-tags",),
    "product_shipping_class": ("products-shipping-classes",),
    "product_review": ("products-reviews",),
}
#: The type of a product that orders show differently now; its id may be a variation's.
PRODUCT_IN_ORDERS = "product_in_orders"

Range = tuple[int, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far one journal has been read."""

    epoch: str
    #: Every row up to this number was processed or does not exist.
    after: int
    #: Ranges of numbers above it that were processed, ascending.
    seen: tuple[Range, ...] = ()
    #: The greatest number at each of these dates, by our clock; only numbers above ``after``.
    marks: tuple[tuple[dt.datetime, int], ...] = ()
    #: When the last row up to ``after`` was written; ``None`` if unknown.
    anchor: dt.datetime | None = None
    #: The newest row that was read, and when it was written; it may not be processed yet.
    newest: tuple[int, dt.datetime] | None = None
    #: How far the store's clock is ahead of ours; ``None`` if unknown.
    ahead: dt.timedelta | None = None
    #: When this epoch was first read, by our clock.
    began: dt.datetime

    @property
    def top(self) -> int:
        """The greatest number that was seen."""
        return self.seen[-1][1] if self.seen else self.after

    def to_json(self) -> dict[str, t.Any]:
        """Return it in the form that the database keeps."""
        return {
            "epoch": self.epoch,
            "after": self.after,
            "seen": [list(numbers) for numbers in self.seen],
            "marks": [[when.isoformat(), seq] for when, seq in self.marks],
            "anchor": self.anchor.isoformat() if self.anchor else None,
            "newest": [self.newest[0], self.newest[1].isoformat()] if self.newest else None,
            "ahead": self.ahead.total_seconds() if self.ahead is not None else None,
            "began": self.began.isoformat(),
        }

    @classmethod
    def from_json(cls, kept: cabc.Mapping[str, t.Any]) -> t.Self:
        """Return the position that the database keeps."""
        ahead, newest = kept["ahead"], kept.get("newest")
        return cls(
            epoch=kept["epoch"],
            after=kept["after"],
            seen=tuple((low, high) for low, high in kept["seen"]),
            marks=tuple((dt.datetime.fromisoformat(when), seq) for when, seq in kept["marks"]),
            anchor=dt.datetime.fromisoformat(kept["anchor"]) if kept["anchor"] else None,
            newest=(newest[0], dt.datetime.fromisoformat(newest[1])) if newest else None,
            ahead=dt.timedelta(seconds=ahead) if ahead is not None else None,
            began=dt.datetime.fromisoformat(kept["began"]),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class JournalRead:
    """The result of reading the journal."""

    #: Where the next read begins, once these changes are processed.
    position: Position
    #: Rows that were not processed, or too soon after they were written.
    changes: tuple[JournalChange, ...]
    #: Whether the store's clock was changed since the last read.
    clock_changed: bool = False


def begin(page: JournalPage, now: dt.datetime) -> Position:
    """Return the position at the end of a journal; a poll after this finds its changes so far.

    :param page: the newest rows.
    """
    # Transactions with numbers just before the newest rows may not be committed yet.
    after = page.changes[0].seq - 1 if page.changes else page.head
    if len(page.changes) < LIMIT:
        after = min(after, page.pruned)
    start = Position(epoch=page.epoch, after=after, began=now)
    return advance(start, [page], now).position


def advance(position: Position, pages: cabc.Sequence[JournalPage], now: dt.datetime) -> JournalRead:
    """Move a position over the rows that follow it.

    :param pages: all rows after ``position.after``, in order.
    :param now: our own clock.
    :raises JournalBrokenError: the journal is another one than before, or rows are missing.
    """
    first, last = pages[0], pages[-1]
    _check(position, pages)
    # More rows may follow than one read takes: only numbers below those that were read are missing.
    reached = last.changes[-1].seq if last.more and last.changes else last.head
    waited = max((seq for when, seq in position.marks if now - when >= GAP_WAIT), default=0)
    waited = min(waited, reached)
    changes, settled = [], []
    for page in pages:
        for change in page.changes:
            if _within(position.seen, change.seq):
                continue
            changes.append(change)
            if page.now - change.at >= SETTLED_AFTER or change.seq <= waited:
                settled.append(change.seq)
    seen = _merged(position.seen, settled)
    after, above = _floor(position.after, seen, waited)
    marks = position.marks
    if not marks or marks[-1][1] < reached:
        marks = (*marks, (now, reached))
    ahead = last.date - now if last.date is not None else position.ahead
    moved = dt.timedelta()
    if ahead is not None and position.ahead is not None:
        moved = abs(ahead - position.ahead)
    read = [(change.seq, change.at) for page in pages for change in page.changes]
    passed = [change for page in pages for change in page.changes if change.seq <= after]
    return JournalRead(
        dataclasses.replace(
            position,
            after=after,
            seen=above,
            marks=tuple(mark for mark in marks if mark[1] > after)[-MAX_MARKS:],
            anchor=passed[-1].at if passed else first.anchor,
            newest=read[-1] if read else position.newest,
            ahead=ahead,
        ),
        tuple(changes),
        moved > MAX_CLOCK_DRIFT,
    )


def is_trusted(position: Position, page: JournalPage, now: dt.datetime) -> bool:
    """Return whether a poll that begins now sees every change that the journal lacks."""
    return page.now - page.since >= TRUST_AFTER or now - position.began >= TRUST_AFTER


def hints(changes: cabc.Iterable[JournalChange]) -> list[Hint]:
    """Return the hints in rows, each once; a row without an object concerns a collection."""
    found = {
        Hint("journal", collection, change.id or None, change.parent or None): None
        for change in changes
        for collection in COLLECTIONS.get(change.type, ())
    }
    return list(found)


def products_in_orders(changes: cabc.Iterable[JournalChange]) -> list[int]:
    """Return the products and variations that orders and refunds show differently now."""
    return sorted({change.id for change in changes if change.type == PRODUCT_IN_ORDERS})


def _check(position: Position, pages: cabc.Sequence[JournalPage]) -> None:
    first, last = pages[0], pages[-1]
    if any(page.epoch != position.epoch for page in pages):
        raise JournalBrokenError(
            "the journal was restarted: the plugin or its table was missing for a while"
        )
    if last.head < position.top:
        raise JournalBrokenError(
            f"the journal ends at {last.head} but was read up to {position.top}: "
            "it was emptied, or the store was restored from a backup"
        )
    if _lacks_newest(position, pages):
        raise JournalBrokenError(
            "the journal's newest row is not the one that was read: "
            "the store was restored from a backup"
        )
    gone = first.anchor is None and first.pruned < position.after
    if position.anchor is not None and (gone or first.anchor not in (None, position.anchor)):
        raise JournalBrokenError(
            f"the journal's rows up to {position.after} are not those that were read: "
            "the store was restored from a backup, or a transaction took very long"
        )


def _lacks_newest(position: Position, pages: cabc.Sequence[JournalPage]) -> bool:
    """Return whether the newest row that was read is gone, although its number is read again."""
    if position.newest is None:
        return False
    seq, at = position.newest
    if seq <= max(position.after, pages[0].pruned):
        return False
    rows = {change.seq: change.at for page in pages for change in page.changes}
    return rows.get(seq) != at and not (pages[-1].more and seq > max(rows, default=0))


def _within(ranges: cabc.Sequence[Range], seq: int) -> bool:
    return any(low <= seq <= high for low, high in ranges)


def _merged(ranges: cabc.Sequence[Range], seqs: cabc.Sequence[int]) -> list[Range]:
    """Return the ranges with some more numbers, joined where they touch."""
    merged: list[Range] = []
    for low, high in sorted([*ranges, *((seq, seq) for seq in seqs)]):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def _floor(after: int, seen: list[Range], waited: int) -> tuple[int, tuple[Range, ...]]:
    """Raise the floor over seen numbers, and over missing ones whose wait has ended."""
    if len(seen) > MAX_RANGES:
        waited = max(waited, seen[-MAX_RANGES][0] - 1)
    for index, (low, high) in enumerate(seen):
        if low > after + 1 and low - 1 > waited:
            return max(after, waited), tuple(seen[index:])
        after = max(after, high)
    return max(after, waited), ()
