"""The receiver of the histories with lies notices everything that is wrong."""

from __future__ import annotations

import pytest

from tests.model.receiver import Counts, Receiver

ORDER, OTHER = ("orders", "1"), ("orders", "2")


@pytest.fixture
def receiver() -> Receiver:
    """Return a receiver that knows two orders, in a store that has changed one of them."""
    receiver = Receiver({ORDER: b"old", OTHER: b"same"})
    receiver.begin_poll()
    receiver.record({ORDER: b"new", OTHER: b"same"})
    return receiver


def test_true_events(receiver: Receiver) -> None:
    """Events of states since the previous poll are true, in any order of the objects."""
    assert receiver.differing({ORDER: b"new", OTHER: b"same"}) == [ORDER]
    assert receiver.receive(ORDER, "UPDATED", b"new", 2) is None
    assert receiver.differing({ORDER: b"new", OTHER: b"same"}) == []
    receiver.record({ORDER: b"new"})
    assert receiver.receive(OTHER, "DELETED", None, 5) is None
    receiver.record({ORDER: b"new", OTHER: b"back"})
    assert receiver.receive(OTHER, "CREATED", b"back", 6) is None
    assert (receiver.repeated, receiver.versions, receiver.wrong) == ([], [], set())


@pytest.mark.parametrize(
    ("event_type", "content"), [("UPDATED", b"of another store"), ("DELETED", None)]
)
def test_false_events(receiver: Receiver, event_type: str, content: bytes | None) -> None:
    """An event of a state that the object never had is false until another one corrects it."""
    assert receiver.receive(ORDER, event_type, content, 2) == f"{event_type} orders 1"
    assert receiver.wrong == {ORDER}
    back = "UPDATED" if content else "CREATED"
    assert receiver.receive(ORDER, back, b"new", 3) is None
    assert receiver.wrong == set()


def test_states_of_the_past_are_false(receiver: Receiver) -> None:
    """A state from before the previous poll is false; that of the poll itself is true."""
    receiver.receive(ORDER, "UPDATED", b"new", 2)
    assert receiver.receive(ORDER, "UPDATED", b"old", 3) is None
    receiver.receive(ORDER, "UPDATED", b"new", 4)
    receiver.begin_poll()
    receiver.record({ORDER: b"new", OTHER: b"same"})
    receiver.begin_poll()
    assert receiver.receive(ORDER, "UPDATED", b"old", 5) == "UPDATED orders 1"


def test_unknown_objects(receiver: Receiver) -> None:
    """An object that the store never had is false."""
    assert receiver.receive(("orders", "9"), "CREATED", b"alien", 1) == "CREATED orders 9"
    assert receiver.receive(("orders", "9"), "DELETED", None, 2) is None


def test_objects_that_no_list_shows(receiver: Receiver) -> None:
    """Such an object may be deleted or kept."""
    receiver.record({ORDER: b"new", OTHER: b"same"}, {OTHER})
    assert receiver.receive(OTHER, "DELETED", None, 2) is None
    assert receiver.differing({ORDER: b"new", OTHER: b"same"}, {OTHER}) == [ORDER]


@pytest.mark.parametrize(
    ("event_type", "content"), [("UPDATED", b"old"), ("CREATED", b"new"), ("DELETED", b"")]
)
def test_events_of_no_change(receiver: Receiver, event_type: str, content: bytes) -> None:
    """An event of the known state, or of the wrong type, is noticed."""
    receiver.receive(ORDER, event_type, content or None, 2)
    if event_type == "DELETED":
        receiver.receive(ORDER, event_type, None, 3)
    assert receiver.repeated == [f"{event_type} orders 1"]


@pytest.mark.parametrize("version", [2, 4])
def test_versions_go_up_by_one(receiver: Receiver, version: int) -> None:
    """A version that is repeated or left out is noticed."""
    receiver.receive(ORDER, "UPDATED", b"new", 2)
    receiver.receive(ORDER, "UPDATED", b"old", version)
    assert receiver.versions == [f"UPDATED orders 1: {version} after 2"]


def test_counts() -> None:
    """Only events that are false during a lie are allowed."""
    assert Counts(false=["UPDATED orders 1"]).clean
    for name in ("lost", "stays_false", "forbidden", "repeated", "versions", "errors"):
        counts = Counts()
        getattr(counts, name).append("one")
        assert not counts.clean
    total = Counts(histories=1, lost=["one"])
    total.add(Counts(histories=1, lost=["two"]))
    assert (total.histories, total.lost) == (2, ["one", "two"])
