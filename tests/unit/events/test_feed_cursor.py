"""Cursors of feeds: they are refused when changed, and go back to what two lives share."""

from __future__ import annotations

import pytest

from flask_woo_events.errors import InputError
from flask_woo_events.events import feed_cursor
from flask_woo_events.events.feed_cursor import FeedCursor, FeedScope
from flask_woo_events.events.feed_positions import FeedState

SCOPE = FeedScope(organization_id=3, instance_id=4, subscription_id=5)
CURSOR = FeedCursor(position=2**62, life="16777215:abcd")


def test_cursor_is_read_as_it_was_written() -> None:
    """A cursor is one word that no URL has to quote."""
    text = CURSOR.text(SCOPE)
    assert text.replace("-", "").replace("_", "").isalnum()
    assert feed_cursor.read(text, SCOPE) == CURSOR


@pytest.mark.parametrize(
    "scope",
    [
        FeedScope(organization_id=2, instance_id=4, subscription_id=5),
        FeedScope(organization_id=3, instance_id=6, subscription_id=5),
        FeedScope(organization_id=3, instance_id=4),
        FeedScope(organization_id=3),
    ],
)
def test_cursor_of_another_feed_is_refused(scope: FeedScope) -> None:
    """A position of one feed is none of another."""
    with pytest.raises(InputError, match="another feed"):
        feed_cursor.read(CURSOR.text(SCOPE), scope)


def test_changed_cursors_are_refused() -> None:
    """Whatever character was lost, added or changed, events would be skipped or repeated."""
    text = CURSOR.text(SCOPE)
    changed = [text[:-1], text + "A", text + "\n", "", "\0" * 76, "\ufffd" * 76, "A" * 10**6]
    changed += [
        text[:place] + ("B" if text[place] == "A" else "A") + text[place + 1 :]
        for place in range(len(text))
    ]
    for one in changed:
        with pytest.raises(InputError, match="not one of this API"):
            feed_cursor.read(one, SCOPE)


#: What this database knows of its lives: two backups were restored, at positions 50 and 80.
STATE = FeedState(position=90, life="2:c", begins={"0:a": 0, "1:b": 50, "2:c": 80}, is_behind=False)


@pytest.mark.parametrize(
    ("life", "position", "common"),
    [
        ("2:c", 85, 85),
        ("2:c", 95, 95),  # It is ahead, which the caller refuses.
        ("1:b", 70, 70),
        ("1:b", 99, 80),
        ("0:a", 40, 40),
        ("0:a", 99, 50),
        ("1:x", 40, 0),  # The life that followed the first one before it was restored again.
        ("\ufffd", 40, 0),
    ],
)
def test_position_goes_back_to_the_common_past(life: str, position: int, common: int) -> None:
    """A reader of a lost life repeats events rather than skip those of this one."""
    assert STATE.common_with(life, position) == common
