"""The values of changes: paths, elements of lists, bounds, and the names of changes."""

from __future__ import annotations

import copy
import re
import typing as t

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_woo_events.events import changes
from flask_woo_events.events.changes import MOST_BYTES, MOST_VALUE_BYTES, Changes, between
from flask_woo_events.sync.ledger import digest
from flask_woo_events.values.field_paths import any_covers
from tests.examples import examples

Json = dict[str, t.Any]

LINE: Json = {"id": 12, "quantity": 1, "taxes": []}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"a": 1}, {"a": 2}, {"a": {"before": 1, "after": 2}}),
        ({"a": 1}, {"a": True}, {"a": {"before": 1, "after": True}}),
        ({"a": None}, {}, {"a": {"before": None}}),
        ({}, {"a": {"b": 1}}, {"a": {"after": {"b": 1}}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a.c": {"before": 2}}),
        ({"ids": [1, 2]}, {"ids": [1]}, {"ids": {"before": [1, 2], "after": [1]}}),
        (
            {"line_items": [LINE, {"id": 13}]},
            {"line_items": [LINE | {"quantity": 3}, {"id": 14}]},
            {
                "line_items[12].quantity": {"before": 1, "after": 3},
                "line_items[14]": {"after": {"id": 14}},
                "line_items[13]": {"before": {"id": 13}},
            },
        ),
        (
            {"meta_data": [{"id": 1, "key": "_a", "value": "x"}]},
            {"meta_data": [{"id": 2, "key": "_a", "value": "y"}]},
            {
                "meta_data[_a].id": {"before": 1, "after": 2},
                "meta_data[_a].value": {"before": "x", "after": "y"},
            },
        ),
        (
            {"meta_data": [{"id": 1, "key": "_a"}, {"id": 2, "key": "_a", "value": 1}]},
            {"meta_data": [{"id": 1, "key": "_a"}, {"id": 2, "key": "_a", "value": 2}]},
            {"meta_data[2].value": {"before": 1, "after": 2}},
        ),
        (
            {"attributes": [{"id": 0, "name": "Size", "options": ["S"]}]},
            {"attributes": [{"id": 0, "name": "Size", "options": ["M"]}]},
            {"attributes[Size].options": {"before": ["S"], "after": ["M"]}},
        ),
        (
            {"rows": [{"a": 1}, {"a": 2}]},
            {"rows": [{"a": 1}, {"a": 3}, {"a": 4}]},
            {"rows[1].a": {"before": 2, "after": 3}, "rows[2]": {"after": {"a": 4}}},
        ),
        (
            {"images": [{"id": 1}, {"id": 2}]},
            {"images": [{"id": 2}, {"id": 1}]},
            {"images": {"before": [{"id": 1}, {"id": 2}], "after": [{"id": 2}, {"id": 1}]}},
        ),
        (
            {"categories": [{"id": 2}]},
            {"categories": [{"id": 1}, {"id": 2}]},
            {"categories[1]": {"after": {"id": 1}}},
        ),
        ({"a.b": {"[": 1}}, {"a.b": {"[": 2}}, {'["a.b"]["["]': {"before": 1, "after": 2}}),
    ],
)
def test_values_are_named(before: Json, after: Json, found: Json) -> None:
    """Each value that differs has a path, with elements of lists by what names them."""
    assert between(before, after, unordered=digest.UNORDERED_PATHS) == Changes(found)


_names = st.sampled_from(["id", "key", "name", "a.b", "meta_data", "images", "taxes", "line_items"])
_scalars = (
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "x", "3", '"', "]"])
)
_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=12,
)
_bodies = st.dictionaries(_names, _json, max_size=5)


@given(_bodies, _bodies)
@settings(max_examples=examples(300), deadline=None)
def test_changes_lead_from_one_body_to_the_other(one: Json, other: Json) -> None:
    """Applied to the body before, they give the body after; equal bodies have none."""
    kept = digest.current().kept
    before, after = kept(one), kept(other)
    found = between(before, after, unordered=digest.UNORDERED_PATHS)
    assert not found.truncated
    assert kept(_apply(before, found)) == after
    assert bool(found.values) == (digest.digest_of(one) != digest.digest_of(other))
    assert Changes.from_json(found.to_json()) == found


_STEP = re.compile(r'\[(?P<quoted>"(?:[^"\\]|\\.)*")\]|\[(?P<plain>[^\]]*)\]|\.?(?P<name>[^.\[]+)')


def _apply(before: Json, found: Changes) -> Json:
    """Apply changes, reading nothing but the documented form of paths."""
    body = copy.deepcopy(before)
    # Elements are found in the body before, so those that are removed and added come last.
    places = {path: _place(body, path) for path in found.values}
    removed: list[tuple[list[t.Any], t.Any]] = []
    for path, value in found.values.items():
        holder, step = places[path]
        if isinstance(holder, dict):
            if "after" in value:
                holder[step] = value["after"]
            else:
                del holder[step]
        elif step is None:
            holder.append(value["after"])
        else:
            removed.append((holder, step))
    for holder, item in removed:
        holder[:] = [one for one in holder if one is not item]
    return body


def _place(body: t.Any, path: str) -> tuple[t.Any, t.Any]:
    """Return what holds a path, and its member, or its element if there is one."""
    holder, value, last, name = body, body, None, ""
    for step in _STEP.finditer(path):
        holder = value
        if isinstance(holder, list):
            value = last = _element(holder, step, name)
        else:
            name = last = step["name"] or orjson.loads(step["quoted"])
            value = holder.get(name)
    return holder, last


def _element(items: list[t.Any], step: re.Match[str], name: str) -> t.Any:
    identity: t.Any = step["plain"]
    if step["quoted"]:
        identity = orjson.loads(step["quoted"])
    elif re.fullmatch(r"-?\d+", identity):
        identity = int(identity)
    for keys in (("key",), ("id",)) if name == "meta_data" else (("id",),):
        found = [next((one[key] for key in keys if _names_it(one, key)), None) for one in items]
        if None not in found and len(set(found)) == len(found) and items:
            if keys == ("key",) and isinstance(identity, int):
                continue
            return next((one for one, of in zip(items, found, strict=True) if of == identity), None)
    return items[identity] if isinstance(identity, int) and identity < len(items) else None


def _names_it(item: Json, key: str) -> bool:
    value = item.get(key)
    return bool(value) and (type(value) is str or (key == "id" and type(value) is int))


def test_long_values_are_left_out() -> None:
    """A path keeps its name, and the event says that something is missing."""
    found = between({"a": "", "b": 1}, {"a": "x" * MOST_VALUE_BYTES, "b": 2})
    assert found == Changes({"a": {}, "b": {"before": 1, "after": 2}}, truncated=True)


@given(st.integers(1, 400), st.integers(0, 400), st.integers(1, MOST_VALUE_BYTES))
@settings(max_examples=examples(40), deadline=None)
def test_changes_are_bounded(count: int, watched: int, size: int) -> None:
    """However much changes, it takes no more than the bound; watched paths come first."""
    name = f"meta_data[key{watched}].value"
    before = {"meta_data": [{"key": f"key{one}", "value": ""} for one in range(count)]}
    after = {"meta_data": [{"key": f"key{one}", "value": "ü" * size} for one in range(count)]}
    found = between(before, after, watched={name})
    assert len(found.to_json()) <= MOST_BYTES + 100
    assert found.truncated == (len(found.values) < count or {} in found.values.values())
    assert watched >= count or name in found.values


@pytest.mark.parametrize(
    ("watched", "path", "matches"),
    [
        ("status", "status", True),
        ("status", "status_2", False),
        ("billing", "billing.email", True),
        ("line_items[].quantity", "line_items[12].quantity", True),
        ("line_items[].quantity", "line_items[12]", True),
        ("line_items[].quantity", "line_items[12].total", False),
        ("meta_data[_tracking]", "meta_data[_tracking].value", True),
        ("meta_data[_tracking]", "meta_data[_other].value", False),
        ("meta_data[].value", 'meta_data["a]b"].value', True),
    ],
)
def test_patterns_match_paths(watched: str, path: str, matches: bool) -> None:
    """A pattern stands for what it names, for what is in it, and for what holds it."""
    assert any_covers({watched}, [path]) is matches


@pytest.mark.parametrize(
    ("resource", "before", "after", "names"),
    [
        ("orders", {"status": "a"}, {"status": "b"}, ("order.status_changed",)),
        ("orders", {"refunds": []}, {"refunds": [{"id": 5}]}, ("order.refunded",)),
        ("orders", {"refunds": [{"id": 5}]}, {"refunds": []}, ()),
        (
            "orders", {"status": "completed"}, {"status": "refunded"},
            ("order.refunded", "order.status_changed"),
        ),
        ("products", {"price": "1"}, {"price": "2"}, ("product.price_changed",)),
        ("products", {"stock_quantity": 1}, {"stock_quantity": 0}, ("product.stock_changed",)),
        ("customers", {"status": "a"}, {"status": "b"}, ()),
    ],
)  # fmt: skip
def test_changes_have_names(
    resource: str, before: Json, after: Json, names: tuple[str, ...]
) -> None:
    """What receivers ask for most has a name; all but a refund also without the values."""
    found = between(before, after)
    assert changes.names(resource, tuple(after), found) == names
    unknown = tuple(name for name in names if name != "order.refunded")
    assert changes.names(resource, tuple(after), None) == unknown
    assert set(names) <= set(changes.NAMES)


def test_what_is_nested_too_deeply_is_left_out() -> None:
    """An object may have as many levels as JSON may have; there is no room for more around it."""
    deep: t.Any = 1
    while True:
        try:
            orjson.dumps([{"id": 1, "deep": [deep]}])
        except TypeError:
            break
        deep = [deep]
    found = between({"id": 1, "n": 1}, {"id": 1, "n": 2, "deep": deep})
    assert found == Changes({"n": {"before": 1, "after": 2}, "deep": {}}, truncated=True)
    assert Changes.from_json(found.to_json()) == found
