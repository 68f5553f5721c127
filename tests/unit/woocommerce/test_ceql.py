"""The parser of ``where``, and the conversion of its conditions to a store's parameters."""

from __future__ import annotations

import pytest

from flask_woo_events.api.hub.filters import ABILITIES
from flask_woo_events.errors import InputError
from flask_woo_events.woocommerce.ceql import LENGTH_MOST, Condition, read_where


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("status='completed'", [("status", "=", ("completed",))]),
        (" `billing.email` = 'a@b.c' ", [("billing.email", "=", ("a@b.c",))]),
        ("a>=1 AND b<'2'", [("a", ">=", ("1",)), ("b", "<", ("2",))]),
        ("c != 3", [("c", "!=", ("3",))]),
        ("n='salt and pepper' and a=1", [("n", "=", ("salt and pepper",)), ("a", "=", ("1",))]),
        ("name='O''Brien'", [("name", "=", ("O'Brien",))]),
        ("name=''", [("name", "=", ("",))]),
        ("id in (1, '2',3)", [("id", "in", ("1", "2", "3"))]),
        ("status IN ('a,b') and x=1", [("status", "in", ("a,b",)), ("x", "=", ("1",))]),
        ("inn='x'", [("inn", "=", ("x",))]),
    ],
)  # fmt: skip
def test_conditions(text: str, conditions: list[tuple[str, str, tuple[str, ...]]]) -> None:
    """Conditions are joined by ``and``, and a value can be any text."""
    assert [(one.field, one.op, one.values) for one in read_where(text)] == conditions


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "status", "status=", "='a'", "status='a", "status='a' and", "and status='a'",
        "status='a' or b='c'", "(status='a')", "status like 'a%'", "status is null",
        "status is not null", "not status='a'", "id in ()", "id in (1", "id in 1", "id in (1,)",
        "status=='a'", "status='a' 'b'", "status='a'and b='c'", "a='1'--",
        "x" * (LENGTH_MOST + 1),
    ],
)  # fmt: skip
def test_invalid_conditions(text: str) -> None:
    """A text that is no list of conditions is refused, and the error names the parameter."""
    with pytest.raises(InputError) as caught:
        read_where(text, "url")
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    "text", ["a='" * 1300, "a in (" + "'',", "a in (" + "1 , " * 950, "a" + " " * 3900, "`" * 3000]
)
@pytest.mark.timeout(2)
def test_hostile_texts_are_refused_fast(text: str) -> None:
    """No text makes the parser slow."""
    with pytest.raises(InputError):
        read_where(text)


def _native(name: str, where: str) -> dict[str, str]:
    return ABILITIES[name].native(read_where(where))


@pytest.mark.parity(84)
@pytest.mark.parametrize(
    ("where", "params"),
    [
        ("created_date > '2026-01-31T10:00:00'", {"after": "2026-01-31T10:00:00"}),
        ("created_date >= '2026-01-31T10:00:00'", {"after": "2026-01-31T09:59:59"}),
        ("date_created <= '2026-01-31T10:00:00'", {"before": "2026-01-31T10:00:01"}),
        ("created_date > '2026-01-31'", {"after": "2026-01-31T00:00:00"}),
        ("created_date > '2026-01-31T10:00:00.75Z'", {"after": "2026-01-31T10:00:00+00:00"}),
        ("date_created_gmt < '2026-01-31T10:00:00'", {"before": "2026-01-31T10:00:00Z"}),
        ("after='2026-01-31'", {"after": "2026-01-31T00:00:00"}),
        ("date_modified_gmt > '2026-01-31T10:00:00'", {"modified_after": "2026-01-31T10:00:00Z"}),
        ("modified_before = '2026-01-31'", {"modified_before": "2026-01-31T00:00:00"}),
        ("created_date = '2026-01-31T10:00:00'",
         {"after": "2026-01-31T09:59:59", "before": "2026-01-31T10:00:01"}),
        ("id in (1,2)", {"include": "1,2"}),
        ("include = '1,2'", {"include": "1,2"}),
        ("id != 7", {"exclude": "7"}),
        ("status in ('a','b') and customer = 7", {"status": "a,b", "customer": "7"}),
    ],
)  # fmt: skip
def test_parity_84_native_parameters(where: str, params: dict[str, str]) -> None:
    """Conditions become parameters of the store, whose date limits are exclusive."""
    assert _native("orders", where) == params


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("customers", "date_modified > '2026-01-01'"), ("products-tags", "after='2026-01-01'"),
        ("orders", "total = '5'"), ("orders", "status != 'a'"), ("customers", "role in ('a','b')"),
        ("products", "status in ('a','b')"), ("taxes", "id = 5"),
        ("orders", "created_date <= '9999-12-31T23:59:59'"),
    ],
)  # fmt: skip
def test_unsupported_conditions(name: str, where: str) -> None:
    """A condition that the store would ignore is refused."""
    with pytest.raises(InputError):
        _native(name, where)


def test_repeated_condition() -> None:
    """A repeated condition is accepted, and two different ones for a parameter are refused."""
    assert _native("orders", "status='a' and status='a'") == {"status": "a"}
    condition = Condition("status", "=", ("b",), "status")
    with pytest.raises(InputError, match="status twice"):
        ABILITIES["orders"].native([*read_where("status='a'"), condition])
