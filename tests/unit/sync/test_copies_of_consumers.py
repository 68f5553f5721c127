"""The comparison of a consumer's copies with the ledger, against a dictionary of both."""

from __future__ import annotations

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_woo_events.errors import InputError
from flask_woo_events.sync.reconcile import copies, differences
from flask_woo_events.sync.reconcile.copies import NONE, Copy, IdRange, SortedCopies, parse
from flask_woo_events.sync.reconcile.differences import LedgerState, StateDifference, Why

ALL = IdRange()
_IDS = st.sampled_from(["1", "2", "9", "10", "11", "a", "Z", "é", "€", "𝄞", "\uffff"])
_VERSIONS = st.sampled_from([NONE, 0, 1, 2, 3])
_DATES = st.sampled_from([NONE, 100.0, 200.0, 200.5])
_STATES = st.dictionaries(
    _IDS, st.tuples(st.integers(1, 3), st.sampled_from(["live", "gone", "excluded"]), _DATES)
)


def _expected(
    had: list[Copy], states: dict[str, tuple[int, str, float]], *, knows_all: bool
) -> dict[str, tuple[Why, int | None]]:
    """Return what differs, decided object by object."""
    found: dict[str, tuple[Why, int | None]] = {}
    for name in {one.object_id for one in had} | states.keys():
        mine = [one for one in had if one.object_id == name]
        if name not in states:
            if knows_all:
                found[name] = Why.EXTRA, None
            continue
        version, what, date = states[name]
        older = newer = False
        for one in mine:
            pair = (one.version, version) if one.version != NONE else (one.modified, date)
            if NONE not in pair:
                older, newer = older or pair[0] < pair[1], newer or pair[0] > pair[1]
        if what == "live" and not mine:
            found[name] = Why.MISSING, version
        elif what == "gone" and mine:
            found[name] = Why.EXTRA, version
        elif what == "live" and (older or newer):
            found[name] = (Why.STALE if older else Why.NEWER), version
    return found


@given(st.lists(st.builds(Copy, _IDS, _VERSIONS, _DATES)), _STATES, st.booleans())
def test_one_pass_finds_what_object_by_object_differs(
    had: list[Copy], states: dict[str, tuple[int, str, float]], knows_all: bool
) -> None:
    """Unsorted, repeated and unknown ids neither hide a difference nor make one."""
    rows = [
        LedgerState(name, version, what == "live", what == "excluded", date)
        for name, (version, what, date) in sorted(states.items())
    ]
    copied = SortedCopies()
    copied.add(had)
    found = list(differences.between(copied, rows, knows_all=knows_all))
    names = [one.object_id for one in found]
    assert names == sorted(set(names))
    shown = {one.object_id: (one.why, one.version) for one in found}
    assert shown == _expected(had, states, knows_all=knows_all)


def test_copies_that_do_not_fit_into_memory_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files hold them meanwhile; nothing of it depends on how many there are at a time."""
    had = [Copy(str(number * 7919 % 1000), number % 3, number / 4) for number in range(1000)]
    monkeypatch.setattr(copies, "IN_MEMORY", 64)
    with contextlib.closing(SortedCopies()) as found:
        found.add(iter(had))
        assert list(found) == sorted(had)
        assert list(found) == sorted(had)
        assert found.count == 1000


@given(st.lists(st.binary(max_size=20)), st.integers(1, 7))
def test_lines_do_not_depend_on_how_they_arrive(lines: list[bytes], size: int) -> None:
    """A chunk may end anywhere, within a character as well."""
    text = b"\n".join(lines)
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    expected = [
        (number, line)
        for number, line in enumerate(text.split(b"\n"), start=1)
        if line and not line.isspace()
    ]
    assert list(copies.lines_of(chunks)) == expected


@pytest.mark.parametrize(
    ("line", "copy"),
    [
        (b'{"objectId": "12", "version": 3}', Copy("12", 3)),
        (b'{"objectId": 12, "version": 3}\r', Copy("12", 3)),
        (b'{"objectId": "slug"}', Copy("slug")),
        (b'{"objectId": "12", "version": null}', Copy("12")),
        (b'{"objectId": "1", "date_modified_gmt": "1970-01-01T00:01:40"}', Copy("1", NONE, 100.0)),
        (b'{"objectId": "1", "date_modified_gmt": "1970-01-01T01:01:40+01:00"}',
         Copy("1", NONE, 100.0)),
        (b'{"objectId": 0, "version": 0, "date_modified_gmt": null}', Copy("0", 0)),
    ],
)  # fmt: skip
def test_a_line_is_read(line: bytes, copy: Copy) -> None:
    """Ids are texts or numbers; a copy has a version, a date, both or none."""
    assert parse(1, line, ALL) == copy


_SECRET = "jane@example.com"
_WRONG = [
    b"jane@example.com",
    b"[" * 2000,
    b'{"a":' * 800,
    b"\xff\xfe",
    b'"jane@example.com"',
    b'["12"]',
    b'{"objectID": "jane@example.com"}',
    b'{"objectId": "1", "email": "jane@example.com"}',
    b'{"objectId": null}',
    b'{"objectId": ""}',
    b'{"objectId": true}',
    b'{"objectId": 1.0}',
    b'{"objectId": -1}',
    b'{"objectId": 1e400}',
    b'{"objectId": 99999999999999999999}',
    b'{"objectId": {"a": 1}}',
    b'{"objectId": "jane@example.com\\u0000"}',
    b'{"objectId": "\\ud800"}',
    b'{"objectId": "' + b"a" * 191 + b'"}',
    b'{"objectId": "1", "version": true}',
    b'{"objectId": "1", "version": "3"}',
    b'{"objectId": "1", "version": 3.0}',
    b'{"objectId": "1", "version": -1}',
    b'{"objectId": "1", "version": 2147483648}',
    b'{"objectId": "1", "version": 1e999}',
    b'{"objectId": "1", "date_modified_gmt": "jane@example.com"}',
    b'{"objectId": "1", "date_modified_gmt": 1795468507}',
    b'{"objectId": "1"} {"objectId": "2"}',
]


@pytest.mark.parametrize("line", _WRONG)
def test_a_wrong_line_is_named_and_not_quoted(line: bytes) -> None:
    """The message says which line it is, and what was expected there."""
    with pytest.raises(InputError, match=r"^line 7,001\b") as caught:
        parse(7_001, line, ALL)
    assert _SECRET not in str(caught.value)
    assert "jane" not in repr(caught.value.__cause__)


def test_lines_and_bodies_that_are_too_long_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without an end is not collected in memory, and neither are endless lines."""
    with pytest.raises(InputError, match="line 2 has more than 4,096 bytes"):
        list(copies.lines_of([b"{}\n", *[b"x" * 1000] * 5]))
    with pytest.raises(InputError, match="line 1 has more than"):
        list(copies.lines_of([b"x" * 5000 + b"\n"]))
    monkeypatch.setattr(copies, "LINES_MOST", 10)
    with pytest.raises(InputError, match="send parts with after and until"):
        list(copies.lines_of([b"{}\n"] * 4))
    assert len(list(copies.lines_of([b"{}\n"] * 3))) == 3


def test_a_part_has_its_ids_alone() -> None:
    """What a consumer has of other ids would not be compared."""
    part = IdRange(10, 20)
    assert parse(1, b'{"objectId": "20"}', part).object_id == "20"
    for object_id in ("10", "21", "slug", "015"):
        with pytest.raises(InputError, match="line 3: objectId is no number in the part"):
            parse(3, orjson.dumps({"objectId": object_id}), part)


def test_a_row_says_what_differs() -> None:
    """An object that was deleted is right to be gone, and one that is excluded may be there."""
    rows = [LedgerState("1", 4, False, False, NONE), LedgerState("2", 1, False, True, NONE)]
    assert list(differences.between([], rows)) == []
    assert list(differences.between([Copy("1", 3), Copy("2")], rows)) == [
        StateDifference("1", Why.EXTRA, 4)
    ]
