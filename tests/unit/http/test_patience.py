"""Patience: the exchanges of one piece of work may take so long together, whatever each may."""

from __future__ import annotations

import pytest
import requests

from flask_woo_events.errors import OutOfPatienceError, UnreachableError
from flask_woo_events.http.exchange import Timeouts, exchange, make_session
from flask_woo_events.http.patience import Patience, WebCalls, current_patience, waiting_with
from tests.raw_server import Connection, respond, response, serve_raw
from tests.waiting import HANG_SECONDS

LONG = Timeouts(connect=HANG_SECONDS, read=HANG_SECONDS, total=HANG_SECONDS)


class SetClock:
    """A clock in seconds that moves by the same step each time it is read."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def drip(connection: Connection) -> None:
    """Send one byte after the other, so that no pause between two is long."""
    connection.read()
    connection.send_slowly(response(b"x" * 100_000), 0.002)


def send(session: requests.Session, url: str, clock: SetClock | None = None) -> object:
    return exchange(
        session, "GET", url, timeouts=LONG, max_bytes=1_000_000, clock=clock or SetClock()
    )


def test_dripping_answer_ends_with_the_patience_and_not_with_the_time_out() -> None:
    """The time-outs would allow it; the error says that the work gave up."""
    with serve_raw(drip) as server, make_session(guard=None) as session:
        with waiting_with(Patience(HANG_SECONDS / 10)) as patience:
            with pytest.raises(OutOfPatienceError, match="was not complete after"):
                send(session, server.url, SetClock(HANG_SECONDS / 1000))
        assert patience.exhausted and server.connections == 1


def test_nothing_is_sent_without_patience() -> None:
    """Each further request of the same work is refused before it is sent."""
    patience = Patience(5)
    patience.spend(2, answered=True)
    patience.spend(3, answered=True)
    with serve_raw(respond(response())) as server, make_session(guard=None) as session:
        with waiting_with(patience), pytest.raises(OutOfPatienceError, match="5 s in all"):
            send(session, server.url)
        assert not server.requests
        assert current_patience() is None
        send(session, server.url)


def test_prompt_answers_cost_nothing() -> None:
    """Only the time beyond what a prompt answer takes counts, so that long work may go on."""
    patience = Patience(5, prompt=1)
    for _ in range(1000):
        patience.spend(0.9, answered=True)
    assert not patience.exhausted
    patience.spend(3, answered=True)
    assert patience.applied(LONG).total == 5 - 2 + 1
    patience.spend(4, answered=False)
    assert patience.exhausted


def test_time_out_of_the_store_is_its_own() -> None:
    """A time-out that is shorter than the patience is reported as before."""
    quick = Timeouts(connect=1, read=1, total=1)
    with serve_raw(drip) as server, make_session(guard=None) as session:
        with waiting_with(Patience(HANG_SECONDS)) as patience:
            with pytest.raises(UnreachableError) as caught:
                exchange(
                    session, "GET", server.url, timeouts=quick, max_bytes=1_000_000,
                    clock=SetClock(0.1),
                )  # fmt: skip
        assert not isinstance(caught.value, OutOfPatienceError)
        assert not patience.exhausted


def test_places_are_bounded_for_the_process_and_for_one_organization() -> None:
    """Above either bound each call is refused; a place that became free is given again."""
    calls = WebCalls(3, 2, 5.0)
    with calls.limited(1), calls.limited(1), calls.limited(1) as refused:
        assert refused.exhausted
        with calls.limited(2) as allowed, calls.limited(3) as full:
            assert not allowed.exhausted and full.exhausted
            with pytest.raises(OutOfPatienceError) as caught:
                full.applied(LONG)
            assert caught.value.busy
    with calls.limited(1, 60.0) as longer:
        assert longer.applied(LONG).total == min(60.0, HANG_SECONDS)
