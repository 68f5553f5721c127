"""A worker that is paused and wakes up after its lease: real processes, and nothing written."""

from __future__ import annotations

import pathlib
import signal
import threading
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Attempt, StoredEvent
from tests.conftest import BACKENDS
from tests.fault_injection.installation import PATIENCE, Installation, wait_until

pytestmark = pytest.mark.parametrize("any_url", BACKENDS[:2], indirect=True)

#: How long a lease lasts here.
SECOND = {"LEASE_SECONDS": "1"}


def test_a_poll_that_was_paused_writes_nothing(any_url: str, tmp_path: pathlib.Path) -> None:
    """What another worker told meanwhile is not told again, whatever the first one has read."""
    with Installation(any_url, tmp_path, settings=SECOND).running() as stand:
        asked, answer = threading.Event(), threading.Event()
        paused = stand.nursery.start("poll")

        def ask(*_request: t.Any) -> bool:
            asked.set()
            return True

        stand.store.faults.add("delay", match=ask, times=1, until=answer)
        for _ in range(3):
            stand.act()
        stand.poll_now()
        assert asked.wait(PATIENCE)
        stand.pause(paused)
        other = stand.nursery.start("poll")
        assert not stand.verdict().lost
        with stand.database.read() as session:
            before = session.scalars(sa.select(sa.func.count()).select_from(StoredEvent)).one()
        answer.set()
        paused.signal(signal.SIGCONT)
        wait_until(lambda: "taken over by another worker" in stand.log.read_text())
        assert stand.settled
        with stand.database.read() as session:
            assert (
                session.scalars(sa.select(sa.func.count()).select_from(StoredEvent)).one() == before
            )
        assert stand.verdict().clean
        assert set(stand.came.values()) == {1}
        for child in (paused, other):
            child.kill()


def test_a_delivery_that_was_paused_writes_nothing(any_url: str, tmp_path: pathlib.Path) -> None:
    """Its outcome does not count any more: another worker has made the attempt that does."""
    with Installation(any_url, tmp_path, settings=SECOND).running() as stand:
        asked, answer = threading.Event(), threading.Event()

        def slow(_received: t.Any) -> int:
            stand.receiver.answer = lambda _received: 200
            asked.set()
            answer.wait()
            return 500

        stand.receiver.answer = slow
        paused = stand.nursery.start("poll")
        stand.act()
        stand.poll_now()
        assert asked.wait(PATIENCE)
        stand.pause(paused)
        other = stand.nursery.start("poll")
        assert not stand.verdict().lost
        answer.set()
        paused.signal(signal.SIGCONT)
        wait_until(lambda: "was taken over" in stand.log.read_text())
        with stand.database.read() as session:
            attempts = session.execute(sa.select(Attempt.delivery_id, Attempt.status_code)).all()
        assert len(attempts) == len({number for number, _ in attempts})
        assert {status for _, status in attempts} == {200}
        assert stand.settled
        assert max(stand.came.values()) == 2
        for child in (paused, other):
            child.kill()
