"""Which fields of an object count as its content."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_woo_events.sync.ledger.digest import UNORDERED, VOLATILE, changed_fields, content_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(st.text(max_size=8), JSON, max_size=6)


@pytest.mark.parametrize("name", sorted(VOLATILE))
def test_a_volatile_field_does_not_count(name: str) -> None:
    """Fields that change by themselves cause no event."""
    assert content_of({"id": 1, name: [1, 2]}) == content_of({"id": 1, name: [2, 1]})


def test_number_formatting_of_the_rating_does_not_count() -> None:
    """ "0.00" in the REST API equals "0" in a webhook of the same second."""
    assert content_of({"average_rating": "0.00"}) == content_of({"average_rating": "0"})


def test_local_dates_with_a_gmt_date_do_not_count() -> None:
    """A new time zone of the site moves ``date_paid`` and leaves ``date_paid_gmt``."""
    paid = {"id": 1, "date_paid": "2026-11-23T07:00:00", "date_paid_gmt": "2026-11-23T12:00:00"}
    moved = paid | {"date_paid": "2026-11-23T13:00:00"}
    assert content_of(paid) == content_of(moved)
    later = paid | {"date_paid": "2026-11-23T07:00:01", "date_paid_gmt": "2026-11-23T12:00:01"}
    fields = content_of(later).fields
    assert changed_fields(content_of(paid).fields, fields, later) == ("date_paid_gmt",)


@pytest.mark.parametrize("gmt_date", [{}, {"date_created_gmt": None}])
def test_local_dates_without_a_gmt_date_count(gmt_date: dict[str, None]) -> None:
    """A draft has only a local date; some fields have no ``*_gmt`` date in any version."""
    draft = {"id": 1, "date_created": "2026-11-23T07:00:00", **gmt_date}
    assert content_of(draft).digest != content_of({**draft, "date_created": "2026-11-24"}).digest


def test_a_gmt_date_that_becomes_null_is_named() -> None:
    """Both dates of a sale become null when it ends; the ``*_gmt`` one is named."""
    before = {"id": 1, "date_on_sale_to": "2026-11-23", "date_on_sale_to_gmt": "2026-11-23"}
    after = {"id": 1, "date_on_sale_to": None, "date_on_sale_to_gmt": None}
    changed = changed_fields(content_of(before).fields, content_of(after).fields, after)
    assert changed == ("date_on_sale_to_gmt",)


@pytest.mark.parametrize("name", sorted(UNORDERED))
def test_the_order_of_a_list_without_order_does_not_count(name: str) -> None:
    """Metadata of HPOS orders come in another order when other numbers of orders are asked for."""
    entries = [{"id": 7, "value": ["b", "a"]}, {"id": 8, "value": None}, {"id": 9}]
    one, other = {"id": 1, name: entries}, {"id": 1, name: entries[::-1]}
    assert content_of(one) == content_of(other)
    item = {"id": 1, "line_items": [{"id": 3, name: entries}]}
    assert content_of(item) == content_of({"id": 1, "line_items": [{"id": 3, name: entries[::-1]}]})
    fewer = {"id": 1, name: entries[:2]}
    assert changed_fields(content_of(one).fields, content_of(fewer).fields, fewer) == (name,)


@pytest.mark.parametrize("name", ["images", "upsell_ids", "line_items", "attributes"])
def test_the_order_of_other_lists_counts(name: str) -> None:
    """The first image is the product's."""
    one, other = {"id": 1, name: [{"id": 7}, {"id": 8}]}, {"id": 1, name: [{"id": 8}, {"id": 7}]}
    assert content_of(one).digest != content_of(other).digest


def test_the_order_of_members_does_not_count() -> None:
    """JSON objects have no order."""
    one, other = {"a": 1, "b": {"x": 1, "y": 2}}, {"b": {"y": 2, "x": 1}, "a": 1}
    assert content_of(one).digest == content_of(other).digest


@given(BODIES, BODIES)
def test_different_bodies_differ(one: dict[str, t.Any], other: dict[str, t.Any]) -> None:
    """Two bodies have one digest only if they are equal, volatile fields aside."""

    def plain(body: dict[str, t.Any]) -> str:
        kept = {name: value for name, value in body.items() if name not in VOLATILE}
        return repr(_sorted(kept))

    assert (content_of(one).digest == content_of(other).digest) == (plain(one) == plain(other))


def _sorted(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return sorted((name, _sorted(one)) for name, one in value.items())
    if isinstance(value, list):
        return [_sorted(one) for one in value]
    return value


def test_changed_fields_are_named() -> None:
    """An update names the top-level fields that differ, new ones included."""
    before = {"id": 1, "price": "5", "name": "Mug"}
    after = {"id": 1, "price": "6", "name": "Mug", "sku": "m"}
    old, new = content_of(before), content_of(after)
    assert changed_fields(old.fields, new.fields, after) == ("price", "sku")
