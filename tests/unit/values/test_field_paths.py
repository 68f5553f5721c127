"""Field paths and the choice of events by them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_woo_events.values import field_paths
from flask_woo_events.values.event_choice import EventChoice
from tests.examples import examples


@pytest.mark.parametrize(
    ("wanted", "changed", "covered"),
    [
        ("status", "status", True),
        ("status", "status_note", False),
        ("billing", "billing.email", True),
        ("billing.email", "billing.phone", False),
        # The whole address was replaced, by null for example.
        ("billing.email", "billing", True),
        ("line_items[].quantity", "line_items[12].quantity", True),
        ("line_items[].quantity", "line_items[12].total", False),
        # An item was added.
        ("line_items[].quantity", "line_items[13]", True),
        ("line_items", "line_items[12].meta_data[colour].value", True),
        ("line_items[12]", "line_items[13]", False),
        ("meta_data[_a.b]", "meta_data[_a.b]", True),
        ("meta_data[_a.b]", "meta_data[_a.c].value", False),
        ("meta_data[]", "meta_data[_a.c].value", True),
        # A key occurs twice, so that ids name the elements.
        ("meta_data[_a.b]", "meta_data[903].value", True),
        ("line_items[].meta_data[_x]", "line_items[7].meta_data[903]", True),
        ("meta_data[904]", "meta_data[903].value", False),
        # A key is hidden, so that any element may be the wanted one.
        ("meta_data[_a.b]", 'meta_data["[redacted]"].value', True),
        ("meta_data[904].value", 'meta_data["[redacted]"].value', True),
        ("meta_data[_a.b].display", 'meta_data["[redacted]"].value', False),
        ('meta_data["904"]', 'meta_data["904"].value', True),
        ("meta_data[904]", 'meta_data["904"].value', False),
    ],
)
def test_a_field_covers_what_is_in_it(wanted: str, changed: str, covered: bool) -> None:
    """``[]`` is any element, and an element stands for all that is in it."""
    assert field_paths.covers(wanted, changed) is covered


NO_PATHS = ["", " ", "a b", "a..b", ".a", "a.", "a[", "a]", "[]", "a[[]]", "a'b", "a\nb", "a[]b"]


#: A quoted key is JSON.
NO_KEYS = [r'meta_data["\q"]', r'meta_data["\u12"].value', r'meta_data["C:\dir"]']


@pytest.mark.parametrize("text", [*NO_PATHS, *NO_KEYS, "x" * 201])
def test_what_is_no_path_is_refused(text: str) -> None:
    """The message shows what a path looks like."""
    with pytest.raises(ValueError, match=r"line_items\[\]\.quantity"):
        field_paths.checked(text)


@settings(deadline=None, max_examples=examples(50))
@given(st.lists(st.from_regex(r"[a-z_]{1,8}(\[[a-z0-9.]{0,5}\])?", fullmatch=True), min_size=1))
def test_every_path_covers_itself(parts: list[str]) -> None:
    """Also with keys of elements that hold dots."""
    path = ".".join(parts)[: field_paths.PATH_LENGTH]
    if path.count("[") != path.count("]") or path.endswith("."):
        return
    assert field_paths.covers(field_paths.checked(path), path)
    assert field_paths.covers(field_paths.top_level(path), path)


def test_unknown_changes_are_sent() -> None:
    """A trigger without the paths of what changed goes by the top-level names, and never less."""
    chosen = EventChoice(fields=("line_items[].quantity",))
    assert chosen.wants("orders", "UPDATED", ["line_items"], None)
    assert chosen.wants("orders", "UPDATED", [], None)
    assert not chosen.wants("orders", "UPDATED", ["status"], None)
    assert not chosen.wants("orders", "UPDATED", ["line_items"], ["line_items[1].total"])
    assert chosen.wants("orders", "CREATED", [], None)
    assert chosen.wants("orders", "DELETED", [], None)
