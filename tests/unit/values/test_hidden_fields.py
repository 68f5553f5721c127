"""Hidden fields: what of them is kept in the ledger, and what is shown."""

from __future__ import annotations

import typing as t

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_woo_events.values import hidden_fields
from flask_woo_events.values.crypto import KeyedHash
from flask_woo_events.values.hidden_fields import REDACTED

KEYED, OTHER = KeyedHash(b"k" * 32), KeyedHash(b"o" * 32)
ORDER: dict[str, t.Any] = {
    "id": 7,
    "billing": {"email": "ann@shop.example", "phone": "555"},
    "meta_data": [
        {"id": 1, "key": "_vat", "value": "DE1"},
        {"id": 2, "key": "_n", "value": 5},
        {"id": 3, "key": "_deep", "value": {"a": [1, "b"]}},
    ],
    "line_items": [{"id": 1, "name": "Mug", "price": 3}, {"id": 2, "name": "Cup", "price": 4}],
    "note": None,
}


def _sealed(*paths: str, keyed: KeyedHash = KEYED, body: t.Any = ORDER) -> t.Any:
    steps = [hidden_fields.parsed(path).steps for path in paths]
    return hidden_fields.sealed(body, steps, keyed)


def _shown(*paths: str) -> t.Any:
    return orjson.loads(hidden_fields.shown(orjson.dumps(_sealed(*paths))))


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("billing.phone", {"billing": {"email": "ann@shop.example", "phone": REDACTED}}),
        ("orders:billing", {"billing": {"email": REDACTED, "phone": REDACTED}}),
        ("line_items[].name", {"line_items": [{"id": 1, "name": REDACTED, "price": 3},
                                              {"id": 2, "name": REDACTED, "price": 4}]}),
        ("line_items[2].price", {"line_items": [{"id": 1, "name": "Mug", "price": 3},
                                                {"id": 2, "name": "Cup"}]}),
        ("meta_data[_vat]", {"meta_data": [{"id": 1, "key": "_vat", "value": REDACTED},
                                           *ORDER["meta_data"][1:]]}),
        ("meta_data[]", {"meta_data": [{"id": 1, "key": "_vat", "value": REDACTED},
                                       {"id": 2, "key": "_n"},
                                       {"id": 3, "key": "_deep", "value": {"a": [REDACTED]}}]}),
        ("note", {}),
        ("absent.field", {}),
    ],
)  # fmt: skip
def test_texts_are_redacted_and_numbers_left_out(path: str, changed: dict[str, t.Any]) -> None:
    """So that what is sent still fits the types of WooCommerce's schema."""
    assert _shown(path) == ORDER | changed


@given(st.text() | st.integers(-(2**53), 2**53) | st.booleans(), st.text() | st.integers(0, 9))
def test_a_change_shows_and_its_value_does_not(value: t.Any, other: t.Any) -> None:
    """The same value gives the same hash, another one another hash; another key hides which."""
    one, two = (_sealed("x", body={"id": 1, "x": each}) for each in (value, other))
    assert (one == two) is (orjson.dumps(value) == orjson.dumps(other))
    assert one != _sealed("x", body={"id": 1, "x": value}, keyed=OTHER)
    assert _sealed("x", body=one) == one
    assert hidden_fields.holds(one)


@pytest.mark.parametrize("path", ["", "a b", "billing.", "[x]", "id", "orders:id", "a..b", ":"])
def test_what_is_no_path_is_refused(path: str) -> None:
    """The id of an object names it everywhere."""
    with pytest.raises(ValueError, match=r"expected|redacted"):
        hidden_fields.parsed(path)


def test_a_resource_is_no_part_of_a_key() -> None:
    """A key of meta data may have a colon."""
    assert hidden_fields.parsed("meta_data[a:b]").resource is None
    assert hidden_fields.parsed("orders : billing.phone").resource == "orders"
