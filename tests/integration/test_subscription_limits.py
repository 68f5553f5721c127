"""Limits of subscriptions while requests fail: what can be accepted arrives, in its order."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt

import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Configuration, Delivery
from flask_woo_events.delivery import claims, results
from flask_woo_events.delivery.claims import ClaimedDelivery
from flask_woo_events.delivery.results import AttemptResult
from flask_woo_events.simulation.callback_receiver import Received
from tests.integration.ledger_env import LedgerEnv, at
from tests.integration.test_outbox import FAILED, LEASE
from tests.integration.test_subscriptions import (
    Subscribers,
    claim_all,
    limited_ledger,
    on_sqlite,
)
from tests.integration.test_subscriptions import subscribers as subscribers


def _ids(received: cabc.Iterable[Received]) -> list[str]:
    return [one.json["subject"].removeprefix("orders/") for one in received]


def _fail(ledger: LedgerEnv, claimed: cabc.Sequence[ClaimedDelivery], seconds: float) -> None:
    with ledger.database.begin() as connection:
        results.write(connection, [AttemptResult(one, FAILED) for one in claimed], at(seconds))


def _pass(subscribers: Subscribers, seconds: int, steps: int) -> None:
    for _ in range(steps):
        subscribers.env.clock.move(seconds)
        subscribers.env.dispatch()


@on_sqlite
def test_one_failure_after_many_slow_requests(subscribers: Subscribers) -> None:
    """The attempts that a slow rate divided are no failures: one of those stops nothing."""
    refuses = ["9"]

    def answer(received: Received) -> int:
        return 500 if _ids([received]) == refuses[:1] else 200

    subscribers.add(answer, format="cloudevents", requestsPerSecond=0.1)
    subscribers.send(*({"id": number} for number in range(10)))
    _pass(subscribers, 10, 12)
    assert "9" in _ids(subscribers.receivers[1].received)
    view = subscribers.views()[1]
    assert view.active and view.waiting == 1
    refuses.clear()
    _pass(subscribers, 100, 4)
    assert subscribers.views()[1].waiting == 0


@on_sqlite
@pytest.mark.parametrize("rate", [0.1, None])
def test_what_follows_a_refused_event_arrives(subscribers: Subscribers, rate: float | None) -> None:
    """Events that no attempt came to are not taken for refused ones."""

    def answer(received: Received) -> int:
        if _ids([received]) != ["0"]:
            return 200
        if rate is None:
            raise ConnectionError
        return 500

    subscribers.add(answer, format="cloudevents", requestsPerSecond=rate)
    subscribers.send(*({"id": number} for number in range(4)))
    _pass(subscribers, 60, 40)
    got = _ids(subscribers.receivers[1].received)
    assert sorted({*got} - {"0"}) == ["1", "2", "3"]
    assert [got.count(one) for one in "123"] == [1, 1, 1]


@on_sqlite
@pytest.mark.parametrize("own", [True, False])
def test_a_rate_counts_the_requests_of_each_event(any_database: Database, own: bool) -> None:
    """Also if the instance has the format; what is not wanted is no request."""
    ledger = limited_ledger(any_database, rate=2, **({"format": "cloudevents"} if own else {}))
    with any_database.write() as session:
        instance_id = ledger.stream.instance_id
        key = "event.notification.format"
        session.add(
            Configuration(instance_id=instance_id, key=key, value="cloudevents", sealed=False)
        )
    ledger.see(*({"id": number} for number in range(10)))
    ledger.see({"id": 11})
    assert len(claim_all(ledger, 0)) == 1
    assert claim_all(ledger, 4) == []
    assert len(claim_all(ledger, 5)) == 1


@on_sqlite
def test_a_failing_callback_gets_no_more_than_its_rate(any_database: Database) -> None:
    """One request in a hundred seconds, although its hold ends sooner."""
    ledger = limited_ledger(any_database, rate=0.01)
    for number in range(9):
        ledger.see({"id": number})
    sent = []
    for second in range(0, 1000, 5):
        claimed = claim_all(ledger, second)
        if claimed:
            sent.append(second)
            _fail(ledger, claimed, second)
    assert len(sent) > 5
    assert min(later - sooner for sooner, later in zip(sent[1:], sent[2:], strict=False)) >= 100


@on_sqlite
def test_a_killed_worker_and_a_paused_one_do_not_stop_a_division(subscribers: Subscribers) -> None:
    """A lease that has ended stays in a row that nobody claims; others divide its notification."""

    def answer(received: Received) -> int:
        objects = {one["objectId"] for one in received.events}
        if "1" in objects:
            return 422
        accepted.extend(objects)
        return 200

    accepted: list[str] = []
    paused = subscribers.add()
    subscribers.add(answer)
    env = subscribers.env
    env.ledger.see(*({"id": number} for number in range(4)))
    with env.ledger.database.write() as session:
        assert len(claims.claim(session, env.clock(), LEASE, 50)) == 3
    subscribers.change(paused, paused=True)
    _pass(subscribers, 600, 12)
    assert sorted(accepted) == ["0", "2", "3"]
    subscribers.change(paused, paused=False)
    _pass(subscribers, 600, 1)
    assert sorted(subscribers.got(1)) == [(str(one), "CREATED") for one in range(4)]


@on_sqlite
def test_a_new_url_keeps_the_order_of_what_was_exhausted(subscribers: Subscribers) -> None:
    """The version that was given up goes first again, as when it is redelivered."""
    number = subscribers.add()
    env = subscribers.env
    subscribers.change(number, paused=True)
    for version in (1, 2, 3):
        subscribers.send({"id": 1, "v": version})
    with env.ledger.database.write() as session:
        mine = Delivery.subscription_id == number
        first, second, _third = session.scalars(sa.select(Delivery).where(mine)).all()
        first.status, first.due_at, first.exhausted = "queued", None, True
        second.status, second.due_at = "delivered", None
    subscribers.change(number, paused=False, callbackUrl=f"{subscribers.views()[1].url}?new")
    with env.ledger.database.write() as session:
        claimed = claims.claim(session, env.clock(), LEASE, 50)
    assert [one.notification.events[0].version for one in claimed] == [1]


@on_sqlite
def test_a_receiver_that_asks_for_time_gets_it(subscribers: Subscribers) -> None:
    """Also if it accepted the events before; other notifications wait as well."""

    def answer(received: Received) -> int | tuple[int, int]:
        requests.append(subscribers.env.clock())
        return 200 if len(requests) < 2 else (429, 100)

    requests: list[dt.datetime] = []
    subscribers.add(answer, format="cloudevents", concurrentRequests=1)
    for number in range(0, 6, 2):
        subscribers.env.ledger.see({"id": number}, {"id": number + 1})
    _pass(subscribers, 9, 10)
    assert len(requests) == 2
