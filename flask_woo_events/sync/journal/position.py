"""The journal's reader: which rows of the companion plugin's journal are looked after.

Numbers are given to rows before they are committed, so that a later number may be seen before an
earlier one. The reader remembers which numbers it has seen, and waits for those that are missing.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ...errors import JournalBrokenError
from ...woocommerce.plugin_journal import LIMIT, JournalChange, JournalPage
from ..webhooks.parse import Hint

#: A row may be written a moment before the change is: what was looked at earlier than this after
#: its row is looked at once more. The plugin takes touches within five seconds for one.
SETTLED_AFTER = dt.timedelta(seconds=10)
#: How long a missing number may belong to a transaction that is not committed yet.
GAP_WAIT = dt.timedelta(minutes=15)
#: How old an epoch must be: requests that began before it write no journal.
TRUST_AFTER = dt.timedelta(minutes=10)
#: How far the store's clock may move, against ours, from one reading to the next.
CLOCK_STEP = dt.timedelta(minutes=2)
#: Stretches of seen numbers that are remembered.
MOST_STRETCHES = 2_000
#: Marks that are remembered.
MOST_MARKS = 100

#: Types of the journal, and the hub's names of their collections.
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
#: The type of a product of which orders show something else; its id may be a variation's.
PRODUCT_IN_ORDERS = "product_in_orders"

Stretch = tuple[int, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far one journal has been read."""

    epoch: str
    #: Every row up to this number is looked after, or was never there.
    after: int
    #: Stretches of numbers above it that are looked after, ascending.
    seen: tuple[Stretch, ...] = ()
    #: When (our clock) which number was the greatest; only what is above ``after``.
    marks: tuple[tuple[dt.datetime, int], ...] = ()
    #: When the last row up to ``after`` was written; ``None`` if that is not known.
    anchor: dt.datetime | None = None
    #: How far the store's clock is ahead of ours; ``None`` if it did not tell.
    ahead: dt.timedelta | None = None
    #: When we began to read this epoch, our clock.
    began: dt.datetime

    @property
    def top(self) -> int:
        """The greatest number that was seen."""
        return self.seen[-1][1] if self.seen else self.after

    def to_json(self) -> dict[str, t.Any]:
        """What is kept of it."""
        return {
            "epoch": self.epoch,
            "after": self.after,
            "seen": [list(stretch) for stretch in self.seen],
            "marks": [[when.isoformat(), seq] for when, seq in self.marks],
            "anchor": self.anchor.isoformat() if self.anchor else None,
            "ahead": self.ahead.total_seconds() if self.ahead is not None else None,
            "began": self.began.isoformat(),
        }

    @classmethod
    def from_json(cls, kept: cabc.Mapping[str, t.Any]) -> t.Self:
        """What was kept."""
        ahead = kept["ahead"]
        return cls(
            epoch=kept["epoch"],
            after=kept["after"],
            seen=tuple((low, high) for low, high in kept["seen"]),
            marks=tuple((dt.datetime.fromisoformat(when), seq) for when, seq in kept["marks"]),
            anchor=dt.datetime.fromisoformat(kept["anchor"]) if kept["anchor"] else None,
            ahead=dt.timedelta(seconds=ahead) if ahead is not None else None,
            began=dt.datetime.fromisoformat(kept["began"]),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Caught:
    """What a reading of the journal found."""

    #: For the next reading, once these changes are looked after.
    position: Position
    #: Rows that were not looked after, or not long enough after they were written.
    changes: tuple[JournalChange, ...]
    #: The store's clock was changed since the last reading.
    clock_changed: bool = False


def begin(page: JournalPage, now: dt.datetime) -> Position:
    """Stand at the end of a journal; what it tells so far is to be polled after this.

    :param page: the newest rows.
    """
    # Numbers just before the newest rows may still be on their way.
    after = page.changes[0].seq - 1 if page.changes else page.head
    if len(page.changes) < LIMIT:
        after = min(after, page.pruned)
    start = Position(epoch=page.epoch, after=after, began=now)
    return advance(start, [page], now).position


def advance(position: Position, pages: cabc.Sequence[JournalPage], now: dt.datetime) -> Caught:
    """Take in what the journal tells after a position.

    :param pages: all that there is after ``position.after``, in order.
    :param now: our own clock.
    :raises JournalBrokenError: it is not the journal that was read before, or rows are missing.
    """
    first, last = pages[0], pages[-1]
    _check(position, pages)
    waited = max((seq for when, seq in position.marks if now - when >= GAP_WAIT), default=0)
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
    if not marks or marks[-1][1] < last.head:
        marks = (*marks, (now, last.head))
    ahead = last.date - now if last.date is not None else position.ahead
    moved = dt.timedelta()
    if ahead is not None and position.ahead is not None:
        moved = abs(ahead - position.ahead)
    told = [change for page in pages for change in page.changes if change.seq <= after]
    return Caught(
        dataclasses.replace(
            position,
            after=after,
            seen=above,
            marks=tuple(mark for mark in marks if mark[1] > after)[-MOST_MARKS:],
            anchor=told[-1].at if told else first.anchor,
            ahead=ahead,
        ),
        tuple(changes),
        moved > CLOCK_STEP,
    )


def is_trusted(position: Position, page: JournalPage, now: dt.datetime) -> bool:
    """Whether an ordinary poll that begins now sees all that the journal does not tell."""
    return page.now - page.since >= TRUST_AFTER or now - position.began >= TRUST_AFTER


def hints(changes: cabc.Iterable[JournalChange]) -> list[Hint]:
    """Where the rows say to look, each place once; without an object, anywhere in a collection."""
    found = {
        Hint("journal", collection, change.id or None, change.parent or None): None
        for change in changes
        for collection in COLLECTIONS.get(change.type, ())
    }
    return list(found)


def products_in_orders(changes: cabc.Iterable[JournalChange]) -> list[int]:
    """Products and variations whose orders and refunds show something else of them."""
    return sorted({change.id for change in changes if change.type == PRODUCT_IN_ORDERS})


def _check(position: Position, pages: cabc.Sequence[JournalPage]) -> None:
    first, last = pages[0], pages[-1]
    if any(page.epoch != position.epoch for page in pages):
        raise JournalBrokenError(
            "the journal began anew: the plugin was not there for a while, or its table was not"
        )
    if last.head < position.top:
        raise JournalBrokenError(
            f"the journal ends at {last.head} and was read up to {position.top}: "
            "it was emptied, or the store was restored from a backup"
        )
    gone = first.anchor is None and first.pruned < position.after
    if position.anchor is not None and (gone or first.anchor not in (None, position.anchor)):
        raise JournalBrokenError(
            f"the journal's rows up to {position.after} are not those that were read: "
            "the store was restored from a backup, or a transaction took very long"
        )


def _within(stretches: cabc.Sequence[Stretch], seq: int) -> bool:
    return any(low <= seq <= high for low, high in stretches)


def _merged(stretches: cabc.Sequence[Stretch], seqs: cabc.Sequence[int]) -> list[Stretch]:
    """Stretches with some numbers more, joined where they touch."""
    merged: list[Stretch] = []
    for low, high in sorted([*stretches, *((seq, seq) for seq in seqs)]):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def _floor(after: int, seen: list[Stretch], waited: int) -> tuple[int, tuple[Stretch, ...]]:
    """Raise the floor over what was seen, and over numbers for which nobody waits any longer."""
    if len(seen) > MOST_STRETCHES:
        waited = max(waited, seen[-MOST_STRETCHES][0] - 1)
    for place, (low, high) in enumerate(seen):
        if low > after + 1 and low - 1 > waited:
            return max(after, waited), tuple(seen[place:])
        after = max(after, high)
    return max(after, waited), ()
