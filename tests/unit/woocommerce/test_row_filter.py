"""The predicate of a ``where`` over rows."""

from __future__ import annotations

import re
import typing as t

import hypothesis
import pytest
from hypothesis import strategies as st

from flask_woo_events.woocommerce.ceql import parse_where
from flask_woo_events.woocommerce.row_filter import order_key, row_test
from tests.examples import examples

_TEST = hypothesis.settings(
    deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck),
    derandomize=examples(1) == 1, max_examples=examples(60),
)  # fmt: skip
ROW: dict[str, t.Any] = {
    "id": 7, "total": "12.50", "name": "Straße_1", "zip": "01234", "paid": True, "note": None,
    "empty": "", "billing": {"email": "ann@example.com", "tags": ["a", "b"]},
    "items": [{"sku": "x1", "quantity": 1}, {"sku": "x2", "quantity": 3}],
    "date": "2026-01-31T10:00:00", "date_gmt": "2026-01-31T15:00:00", "none": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("where", "met"),
    [
        ("total = 12.5", True), ("total = '12.5'", False), ("total = '12.50'", True),
        ("total > 9", True), ("total > '9'", True), ("total < 100 and total >= 12.50", True),
        ("id = '7'", True), ("id in (1, '7')", True), ("id != 7", False), ("id > 10", False),
        ("zip = '1234'", False), ("zip = 1234", True), ("zip = '01234'", True),
        ("paid = true", True), ("paid = TRUE", True), ("paid != 'false'", True),
        ("note is null", True), ("empty is null", False), ("empty = ''", True),
        ("gone is null", True), ("gone != 'x'", True), ("gone = 'x'", False), ("gone > 1", False),
        ("none is null", True), ("id is not null", True), ("empty < 5", False),
        ("name like 'STRASSE%'", True), ("name like '%_1'", True), ("name like '%_2'", False),
        ("name like 'strasse_1'", True), ("name like 'strasse'", False), ("name like '%%'", True),
        ("name like '%e%e%'", False), ("name like '%s%s%_%'", True),
        ("billing.email = 'ann@example.com'", True), ("`billing.email` like 'ann@%'", True),
        ("billing.tags = 'b'", True), ("billing.tags in ('c')", False),
        ("items.sku = 'x2'", True), ("items.sku != 'x2'", False), ("items.quantity > 2", True),
        ("date > '2026-01-31'", True), ("date < '2026-01-31T10:00:00Z'", False),
        ("date = '2026-01-31T15:00:00Z'", True), ("date_gmt > '2026-01-31T14:59:59'", True),
        ("date_gmt <= '2026-01-31T10:00:00-05:00'", True), ("date > '2026-02-31'", False),
        ("id = 1 or id = 7 and total = 5", False), ("(id = 1 or id = 7) and total = 12.5", True),
        ("id = 7 or id = 1 and total = 5", True), ("date > 'yesterday'", False),
    ],
)  # fmt: skip
def test_comparisons(where: str, met: bool) -> None:
    """Numbers, dates and texts are compared as such; a list meets it with any element."""
    assert row_test(parse_where(where))(ROW) is met


_TEXTS = st.sampled_from(["a", "ab", "B", "O'Brien", "é%", "", "and", "(x)", "`", "a or b"])
_FIELDS = st.sampled_from(["f", "g.h"])
_OPS: dict[str, t.Callable[[t.Any, t.Any], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left is not None and left < right,
    "<=": lambda left, right: left is not None and left <= right,
    ">": lambda left, right: left is not None and left > right,
    ">=": lambda left, right: left is not None and left >= right,
}
Naive = t.Callable[[dict[str, t.Any]], bool]


def _value(row: dict[str, t.Any], field: str) -> t.Any:
    return row["f"] if field == "f" else row["g"]["h"]


def _like(value: str | None, pattern: str) -> bool:
    expression = ".*".join(re.escape(part) for part in pattern.lower().split("%"))
    return value is not None and re.fullmatch(expression, value.lower(), re.DOTALL) is not None


@st.composite
def _leaf(draw: st.DrawFn) -> tuple[str, Naive]:
    field, text = draw(_FIELDS), draw(_TEXTS)
    shown = "`" * (mark := draw(st.booleans())) + field + "`" * mark
    quoted = "'" + text.replace("'", "''") + "'"
    kind = draw(st.sampled_from([*_OPS, "LIKE", "in", "IS NULL", "is not null"]))
    if kind in _OPS:
        return f"{shown}{kind}{quoted}", lambda row: _OPS[kind](_value(row, field), text)
    if kind == "LIKE":
        return f"{shown} LIKE {quoted}", lambda row: _like(_value(row, field), text)
    if kind == "in":
        return f"{shown} in ({quoted}, 'zz')", lambda row: _value(row, field) in (text, "zz")
    wanted = kind == "IS NULL"
    return f"{shown} {kind}", lambda row: (_value(row, field) is None) == wanted


def _joined(inner: st.SearchStrategy[tuple[str, Naive]]) -> st.SearchStrategy[tuple[str, Naive]]:
    def join(parts: list[tuple[str, Naive]], word: str) -> tuple[str, Naive]:
        text = f" {word} ".join(f"({one})" for one, _test in parts)
        tests = [test for _one, test in parts]
        every = all if word == "and" else any
        return text, lambda row: every(test(row) for test in tests)

    return st.builds(join, st.lists(inner, min_size=1, max_size=3), st.sampled_from(["and", "OR"]))


_ROWS = st.builds(lambda f, h: {"f": f, "g": {"h": h}}, st.none() | _TEXTS, st.none() | _TEXTS)


@_TEST
@hypothesis.given(st.recursive(_leaf(), _joined, max_leaves=8), st.lists(_ROWS, max_size=8))
def test_predicate_equals_a_naive_one(
    query: tuple[str, Naive], rows: list[dict[str, t.Any]]
) -> None:
    """What is parsed selects the same rows as the evaluation of what was meant."""
    text, naive = query
    hypothesis.note(text)
    test = row_test(parse_where(text))
    assert [test(row) for row in rows] == [naive(row) for row in rows]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.sampled_from(["0001-01-01", "9999-12-31T23:59:59-14:00", "12.5"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("fgh"), inner),
    max_leaves=6,
)  # fmt: skip


@_TEST
@hypothesis.given(st.dictionaries(st.sampled_from(["f", "g", "date"]), _JSON), _TEXTS)
def test_any_row_can_be_tested_and_sorted(row: dict[str, t.Any], text: str) -> None:
    """No value of a row is an error."""
    quoted = text.replace("'", "''")
    for field in ("f", "g.h", "date"):
        for value in (f"'{quoted}'", "5", "'0001-01-01T00:00:00+14:00'", "9999-12-31"):
            for op in ("=", "!=", "<", ">=", " like "):
                assert row_test(parse_where(f"{field}{op}{value}"))(row) in (True, False)
        assert sorted([row, {}, row], key=lambda one: order_key(one, field))
