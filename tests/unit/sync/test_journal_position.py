"""Which rows of a journal are processed, and when a journal is rejected."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

import pytest

from flask_woo_events.errors import JournalBrokenError
from flask_woo_events.sync.hint import Hint
from flask_woo_events.sync.journal.position import (
    MAX_RANGES,
    Position,
    advance,
    begin,
    hints,
)
from flask_woo_events.woocommerce.plugin_journal import JournalChange, JournalPage

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)


def _change(seq: int, *, age: float = 60, kind: str = "product", parent: int = 0) -> JournalChange:
    return JournalChange(seq, kind, 1000 + seq, parent, NOW - dt.timedelta(seconds=age))


def _page(*changes: JournalChange, **facts: t.Any) -> JournalPage:
    page = JournalPage(
        changes=changes,
        more=False,
        head=max((one.seq for one in changes), default=0),
        pruned=0,
        epoch="e",
        since=NOW - dt.timedelta(days=1),
        now=NOW,
        anchor=None,
        types=frozenset({"product"}),
        date=NOW,
    )
    return dataclasses.replace(page, **facts)


def _shown(position: Position, *changes: JournalChange, **facts: t.Any) -> JournalPage:
    """Return the page that a store with these rows sends for a position."""
    before = [one.at for one in changes if one.seq <= position.after]
    facts = {"anchor": before[-1] if before else None, "head": changes[-1].seq, **facts}
    return _page(*(one for one in changes if one.seq > position.after), **facts)


def _at(after: int, **facts: t.Any) -> Position:
    return Position(epoch="e", after=after, began=NOW, **facts)


def _minutes(number: float) -> dt.datetime:
    return NOW + dt.timedelta(minutes=number)


def test_settled_rows_raise_the_floor() -> None:
    """Rows that are old enough when read are not read again."""
    read = advance(_at(4), [_page(_change(5), _change(6))], NOW)
    assert [one.seq for one in read.changes] == [5, 6]
    assert (read.position.after, read.position.seen) == (6, ())


def test_recent_rows_are_read_again() -> None:
    """The floor stays below a row that was just written, whatever follows it."""
    pages = [_page(_change(5, age=3), _change(6))]
    position = advance(_at(4), pages, NOW).position
    assert (position.after, position.seen) == (4, ((6, 6),))
    again = advance(position, [_page(_change(5), _change(6))], _minutes(1))
    assert [one.seq for one in again.changes] == [5]
    assert again.position.after == 6


def test_rows_with_future_dates_hold_the_floor_for_a_while() -> None:
    """After the clock was set back, rows with later dates are released after 15 minutes."""
    page = _page(_change(5, age=-3600))
    position = advance(_at(4), [page], NOW).position
    assert position.after == 4
    assert advance(position, [page], _minutes(14)).position.after == 4
    assert advance(position, [page], _minutes(15)).position.after == 5


@pytest.mark.parametrize(
    "changes", [(), (_change(5, age=1),), (_change(5, age=1), _change(6, age=0))]
)
def test_a_row_that_was_just_read_is_gone(changes: tuple[JournalChange, ...]) -> None:
    """A restore right after a read is noticed, also if new rows have its numbers."""
    position = advance(_at(4), [_page(_change(5, age=3))], NOW).position
    assert position.after == 4
    page = _page(*changes, head=max((one.seq for one in changes), default=4))
    with pytest.raises(JournalBrokenError, match="restored from a backup"):
        advance(Position.from_json(position.to_json()), [page], _minutes(1))


def test_gaps_are_waited_for() -> None:
    """A missing number holds the floor for 15 minutes, and later numbers do not extend this."""
    position = advance(_at(4), [_page(_change(6))], NOW).position
    assert (position.after, position.seen) == (4, ((6, 6),))
    rows = _change(6), _change(8)
    position = advance(position, [_shown(position, *rows)], _minutes(10)).position
    assert (position.after, position.seen) == (4, ((6, 6), (8, 8)))
    position = advance(position, [_shown(position, *rows)], _minutes(15)).position
    assert (position.after, position.seen) == (6, ((8, 8),))
    assert advance(position, [_shown(position, *rows)], _minutes(25)).position.after == 8


def test_a_late_row_is_processed() -> None:
    """A missing number is processed when it appears."""
    position = advance(_at(4), [_page(_change(6))], NOW).position
    read = advance(position, [_page(_change(5), _change(6))], _minutes(1))
    assert [one.seq for one in read.changes] == [5]
    assert read.position.after == 6


@pytest.mark.parametrize(
    ("position", "page"),
    [
        (_at(4), _page(_change(5), epoch="another")),
        (_at(4), _page(head=3)),
        (_at(4, seen=((6, 9),)), _page(_change(6), head=8)),
        (_at(4, anchor=NOW), _page(_change(5), anchor=NOW + dt.timedelta(microseconds=1))),
        (_at(4, anchor=NOW), _page(_change(5), anchor=None)),
    ],
)
def test_another_journal_is_rejected(position: Position, page: JournalPage) -> None:
    """Another epoch, an earlier end, or other rows below the floor are an error."""
    with pytest.raises(JournalBrokenError):
        advance(position, [page], NOW)


def test_a_pruned_floor_is_accepted() -> None:
    """A journal whose row at the floor was pruned is still the same journal."""
    page = _page(_change(5), anchor=None, pruned=4)
    assert advance(_at(4, anchor=NOW), [page], NOW).position.after == 5


def test_a_step_of_the_clock_is_noticed() -> None:
    """The store's clock is compared with our own clock."""
    position = advance(_at(4), [_page(_change(5))], NOW).position
    still = _shown(position, _change(5), date=_minutes(10))
    assert not advance(position, [still], _minutes(10)).clock_changed
    assert advance(position, [still], _minutes(5)).clock_changed


def test_the_end_of_a_journal() -> None:
    """The first position skips settled rows and waits for missing numbers."""
    position = begin(_page(_change(5), _change(7), _change(8, age=1)), NOW)
    assert (position.after, position.seen) == (0, ((5, 5), (7, 7)))
    assert begin(_page(), NOW).after == 0


def test_a_position_survives_json() -> None:
    """A position that is written to the database is read back unchanged."""
    position = advance(_at(4), [_page(_change(6), _change(8))], NOW).position
    assert Position.from_json(position.to_json()) == position


def test_many_gaps_do_not_fill_the_database() -> None:
    """Where numbers grow in steps, as in a cluster, the oldest gaps are given up."""
    changes = [_change(seq) for seq in range(3, 30_000, 3)]
    position = advance(_at(0), [_page(*changes)], NOW).position
    assert len(position.seen) <= MAX_RANGES
    assert position.top == changes[-1].seq


def test_hints_name_each_object_once() -> None:
    """A row of the orders table may be a refund; a row of an unknown type gives no hint."""
    rows = [_change(1), _change(1), _change(2, kind="order_or_refund"), _change(3, kind="planet")]
    rows.append(dataclasses.replace(_change(4, kind="variation", parent=7), id=0))
    assert hints(rows) == [
        Hint("journal", "products", 1001),
        Hint("journal", "orders", 1002),
        Hint("journal", "refunds", 1002),
        Hint("journal", "variations", None, 7),
    ]


def test_rows_that_no_read_has_reached_are_not_missing() -> None:
    """If more rows follow than a poll reads, later polls read them, however long it takes."""
    position, rows = _at(0), [_change(seq, age=3_600) for seq in range(1, 13)]
    rows.pop(1)  # A number that no row has.
    found: list[int] = []
    for step in range(6):
        later = [one for one in rows if one.seq > position.after]
        page = _page(*later[:3], head=12, more=len(later) > 3, anchor=position.anchor)
        read = advance(position, [page], _minutes(16 * step))
        position, found = read.position, [*found, *(one.seq for one in read.changes)]
    assert found == [one.seq for one in rows]
    assert position.after == 12


def test_marks_of_earlier_releases_are_not_trusted() -> None:
    """A mark beyond the rows that are read now does not skip the rows between."""
    position = _at(0, marks=((_minutes(-20), 400_000),))
    page = _page(_change(1), _change(2), head=400_000, more=True)
    assert advance(position, [page], NOW).position.after == 2
