"""A real worker process that is paused past its lease writes nothing when it continues."""

from __future__ import annotations

import pathlib
import signal
import threading
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Attempt, StoredEvent
from tests.conftest import BACKENDS
from tests.fault_injection.installation import Installation
from tests.waiting import HANG_SECONDS, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("any_url", BACKENDS[:2], indirect=True)]

#: Leases of one second.
SECOND = {"LEASE_SECONDS": "1"}


def test_a_poll_that_was_paused_writes_nothing(any_url: str, tmp_path: pathlib.Path) -> None:
    """Events that another worker recorded meanwhile are not recorded again."""
    with Installation(any_url, tmp_path, settings=SECOND).running() as installation:
        asked, answer = threading.Event(), threading.Event()
        paused = installation.spawner.start("poll")

        def ask(*_request: t.Any) -> bool:
            asked.set()
            return True

        installation.store.faults.add("delay", match=ask, times=1, until=answer)
        for _ in range(3):
            installation.change_store()
        installation.poll_now()
        assert asked.wait(HANG_SECONDS)
        installation.pause(paused)
        other = installation.spawner.start("poll")
        assert not installation.verdict().lost
        with installation.database.read() as session:
            before = session.scalars(sa.select(sa.func.count()).select_from(StoredEvent)).one()
        answer.set()
        paused.signal(signal.SIGCONT)
        wait_until(lambda: "taken over by another worker" in installation.log.read_text())
        assert installation.complete
        with installation.database.read() as session:
            assert (
                session.scalars(sa.select(sa.func.count()).select_from(StoredEvent)).one() == before
            )
        assert installation.verdict().clean
        assert set(installation.received_counts.values()) == {1}
        for child in (paused, other):
            child.kill()


def test_a_delivery_that_was_paused_writes_nothing(any_url: str, tmp_path: pathlib.Path) -> None:
    """Its result is refused: another worker has attempted the delivery."""
    with Installation(any_url, tmp_path, settings=SECOND).running() as installation:
        asked, answer = threading.Event(), threading.Event()

        def slow(_received: t.Any) -> int:
            installation.receiver.answer = lambda _received: 200
            asked.set()
            answer.wait()
            return 500

        installation.receiver.answer = slow
        paused = installation.spawner.start("poll")
        installation.change_store()
        installation.poll_now()
        assert asked.wait(HANG_SECONDS)
        installation.pause(paused)
        other = installation.spawner.start("poll")
        assert not installation.verdict().lost
        answer.set()
        paused.signal(signal.SIGCONT)
        wait_until(lambda: "was taken over" in installation.log.read_text())
        with installation.database.read() as session:
            attempts = session.execute(sa.select(Attempt.delivery_id, Attempt.status_code)).all()
        assert len(attempts) == len({number for number, _ in attempts})
        assert {status for _, status in attempts} == {200}
        assert installation.complete
        assert max(installation.received_counts.values()) == 2
        for child in (paused, other):
            child.kill()
