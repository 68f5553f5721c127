"""The parser of ``where``, and the conversion of its conditions to a store's parameters."""

from __future__ import annotations

import pytest

from flask_woo_events.errors import InputError
from flask_woo_events.woocommerce.ceql import (
    CONDITIONS_MOST,
    DEPTH_MOST,
    LENGTH_MOST,
    conjuncts,
    parse_where,
    read_where,
)
from flask_woo_events.woocommerce.list_filters import ABILITIES


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
        ("((a=1) and (b=2 and c=3))", [("a", "=", ("1",)), ("b", "=", ("2",)), ("c", "=", ("3",))]),
        ("a like '%x_' and b is null and c IS NOT NULL",
         [("a", "like", ("%x_",)), ("b", "is null", ()), ("c", "is not null", ())]),
        ("`a.b`>=2017-02-28T16:11:29-06:00", [("a.b", ">=", ("2017-02-28T16:11:29-06:00",))]),
        ("a=b,c and like='x'", [("a", "=", ("b,c",)), ("like", "=", ("x",))]),
    ],
)  # fmt: skip
def test_conditions(text: str, conditions: list[tuple[str, str, tuple[str, ...]]]) -> None:
    """Conditions are joined by ``and``, and a value can be any text."""
    assert [(one.field, one.op, one.texts) for one in read_where(text)] == conditions


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "status", "status=", "='a'", "status='a", "status='a' and", "and status='a'",
        "status='a' or b='c'", "(status='a'", "status='a')", "()", "status like", "a is nothing",
        "a is not", "a = null", "a in ('x', null)", "`a=1", "a`=1", "a <> 1", "not status='a'",
        "(" * (DEPTH_MOST + 1) + "a=1" + ")" * (DEPTH_MOST + 1),
        " and ".join(["a=1"] * (CONDITIONS_MOST + 1)),
        "id in ()", "id in (1", "id in 1", "id in (1,)",
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
    "text",
    [
        "a='" * 1300,
        "a in (" + "'',",
        "a in (" + "1 , " * 950,
        "a" + " " * 3900,
        "`" * 3000,
        "(" * 4000,
        "(a=1 or " * 400,
        "a=1 or " * 500,
        "a is " * 700,
        "é'" * 1900,
        "a='é''" * 600,
    ],
)
@pytest.mark.timeout(2)
def test_hostile_texts_are_refused_fast(text: str) -> None:
    """No text makes the parser slow."""
    with pytest.raises(InputError):
        parse_where(text)


def _native(name: str, where: str) -> dict[str, str]:
    params, rest = ABILITIES[name].split(read_where(where))
    assert not rest
    return params


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
    ("name", "where", "params"),
    [
        ("customers", "date_modified > '2026-01-01'", {}),
        ("customers", "email = 'a@b.c' and first_name = 'Ann'", {"email": "a@b.c"}),
        ("customers", "role in ('a','b')", {"role": "all"}),
        ("customers", "role = 'a' or first_name = 'Ann'", {"role": "all"}),
        ("products-reviews", "status != 'hold'", {"status": "all"}),
        ("orders", "total = '5'", {}),
        ("orders", "status != 'a' and customer = 7", {"customer": "7"}),
        ("orders", "status = 'a' and status = 'b'", {"status": "a"}),
        ("orders", "(status = 'a' or total > 5) and created_date > '2026-01-31'",
         {"after": "2026-01-31T00:00:00"}),
        ("orders", "id > 5", {}),
        ("products", "status in ('a','b')", {}),
        ("products", "sku = ''", {}),
        ("products", "shipping_class = 'heavy'", {}),
        ("taxes", "id = 5", {}),
    ],
)  # fmt: skip
def test_the_store_filters_by_what_it_can(name: str, where: str, params: dict[str, str]) -> None:
    """Only conditions that the store has a parameter for are sent; rows are tested for others."""
    found, rest = ABILITIES[name].split(conjuncts(parse_where(where)))
    assert found == params and rest


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("products-tags", "after='2026-01-01'"), ("orders", "search != 'x'"),
        ("orders", "created_date <= '9999-12-31T23:59:59'"), ("products", "category = 0"),
        ("customers", "product = 5"), ("products", "attribute_term = 5"),
    ],
)  # fmt: skip
def test_conditions_that_would_be_ignored(name: str, where: str) -> None:
    """A parameter that the store would ignore is refused."""
    with pytest.raises(InputError):
        ABILITIES[name].split(conjuncts(parse_where(where)))


def test_repeated_condition() -> None:
    """A repeated condition is sent once."""
    assert _native("orders", "status='a' and status='a'") == {"status": "a"}
