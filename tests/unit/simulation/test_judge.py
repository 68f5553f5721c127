"""The judge of the loss suite: it finds what is lost, false and told twice."""

from __future__ import annotations

from flask_woo_events.simulation.loss_suite.judge import Judge, told
from flask_woo_events.sync.ledger.digest import digest_of

ORDER = ("orders", "1")
OLD, NEW, NEVER = b"old", b"new", b"never"


def _judge() -> Judge:
    """An order that was old, became new, and is known as old."""
    judge = Judge({ORDER: OLD})
    judge.record({ORDER: NEW})
    judge.polled({ORDER: NEW})
    return judge


def test_what_is_told_once_is_clean() -> None:
    """The last state arrived: nothing to complain of."""
    judge = _judge()
    judge.tell(ORDER, "UPDATED", NEW)
    verdict = judge.verdict({ORDER: NEW})
    assert verdict.clean
    assert (verdict.changes, verdict.arrived) == (1, 1)


def test_what_nobody_told_is_lost() -> None:
    """A change, a deletion and a new object of which no event came."""
    judge = _judge()
    assert judge.verdict({ORDER: NEW}).lost == ("orders 1",)
    assert judge.verdict({}).lost == ("orders 1",)
    assert judge.verdict({ORDER: OLD, ("orders", "2"): NEW}).lost == ("orders 2",)


def test_what_never_was_is_false() -> None:
    """A content that the object never had, and a deletion of what was there all the time."""
    judge = _judge()
    judge.tell(ORDER, "UPDATED", NEVER)
    judge.tell(ORDER, "DELETED", None)
    assert len(judge.verdict({}).false) == 2


def test_wrong_kind_is_false() -> None:
    """CREATED of what the receiver has, UPDATED of what it lacks."""
    judge = _judge()
    judge.tell(ORDER, "CREATED", NEW)
    judge.record({("orders", "2"): NEW})
    judge.tell(("orders", "2"), "UPDATED", NEW)
    assert len(judge.verdict({ORDER: NEW, ("orders", "2"): NEW}).false) == 2


def test_what_was_told_is_told_twice() -> None:
    """The same content again, and the deletion of what is gone already."""
    judge = _judge()
    for _ in range(2):
        judge.tell(ORDER, "UPDATED", NEW)
    judge.record({})
    for _ in range(2):
        judge.tell(ORDER, "DELETED", None)
    assert judge.verdict({}).duplicate == ("UPDATED orders 1", "DELETED orders 1")


def test_events_of_a_notification() -> None:
    """Content is that of the store's record, without what the envelope adds."""
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
    assert list(told(message)) == [
        (("orders", "7"), "UPDATED", digest_of(record)),
        (("orders", "8"), "DELETED", None),
    ]
