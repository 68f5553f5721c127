"""The judge of the loss suite finds lost, false and repeated events."""

from __future__ import annotations

from flask_woo_events.simulation.loss_suite.judge import Judge, events_in
from flask_woo_events.sync.ledger.digest import digest_of

ORDER = ("orders", "1")
OLD, NEW, NEVER = b"old", b"new", b"never"


def _judge() -> Judge:
    """Return a judge of an order that changed from old to new and is known as old."""
    judge = Judge({ORDER: OLD})
    judge.record({ORDER: NEW})
    judge.record_poll({ORDER: NEW})
    return judge


def test_change_reported_once_is_clean() -> None:
    """A receiver that has the last state lost nothing."""
    judge = _judge()
    judge.receive(ORDER, "UPDATED", NEW)
    verdict = judge.verdict({ORDER: NEW})
    assert verdict.clean
    assert (verdict.changes, verdict.arrived) == (1, 1)


def test_change_without_event_is_lost() -> None:
    """A change, a deletion and a new object are lost without an event."""
    judge = _judge()
    assert judge.verdict({ORDER: NEW}).lost == ("orders 1",)
    assert judge.verdict({}).lost == ("orders 1",)
    assert judge.verdict({ORDER: OLD, ("orders", "2"): NEW}).lost == ("orders 2",)


def test_state_that_never_was_is_false() -> None:
    """Events are false with a content the object never had, or as DELETED of an existing object."""
    judge = _judge()
    judge.receive(ORDER, "UPDATED", NEVER)
    judge.receive(ORDER, "DELETED", None)
    assert len(judge.verdict({}).false) == 2


def test_wrong_event_type_is_false() -> None:
    """CREATED is false for a known object, and UPDATED for an unknown one."""
    judge = _judge()
    judge.receive(ORDER, "CREATED", NEW)
    judge.record({("orders", "2"): NEW})
    judge.receive(("orders", "2"), "UPDATED", NEW)
    assert len(judge.verdict({ORDER: NEW, ("orders", "2"): NEW}).false) == 2


def test_reported_state_is_repeated() -> None:
    """The same content again and a second DELETED are repeated events."""
    judge = _judge()
    for _ in range(2):
        judge.receive(ORDER, "UPDATED", NEW)
    judge.record({})
    for _ in range(2):
        judge.receive(ORDER, "DELETED", None)
    assert judge.verdict({}).duplicate == ("UPDATED orders 1", "DELETED orders 1")


def test_events_of_a_notification() -> None:
    """The content is the store's record without the fields that the notification adds."""
    record = {"id": 7, "status": "new"}
    message = {
        "events": [
            {"objectType": "orders", "objectId": "7", "eventType": "UPDATED"},
            {"objectType": "orders", "objectId": "8", "eventType": "DELETED"},
        ],
        "raw": {
            "orders": [
                {**record, "objectId": "7", "eventType": "UPDATED"},
                {"id": 8, "objectId": "8", "eventType": "DELETED"},
            ]
        },
    }
    assert list(events_in(message)) == [
        (("orders", "7"), "UPDATED", digest_of(record)),
        (("orders", "8"), "DELETED", None),
    ]
