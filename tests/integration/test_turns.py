"""Polls and the processing of webhooks take turns with an instance."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import pathlib
import shutil

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from flask_woo_events.db.models import Arrival, Instance
from flask_woo_events.sync import hint_routing
from flask_woo_events.sync.instance_poll import InstancePoll, due_instances
from flask_woo_events.sync.webhooks import inbox
from flask_woo_events.sync.webhooks.inbox import LEFT_TO_POLLS, PendingWebhooks
from flask_woo_events.sync.webhooks.process import HintProcessor
from flask_woo_events.worker.worker import lease_renewer
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import open_env

#: Batches that a processor is given before the test ends by itself.
MANY = 6


class BusyStore:
    """A store whose webhooks keep coming, two processes that process them, and one that polls."""

    def __init__(self, folder: pathlib.Path, stack: contextlib.ExitStack) -> None:
        self.env = open_env("9.4", folder, stack, hooked=True, counts=(1, 1, 1, 1))
        self.runtime = runtime_of(self.env.app)
        #: The package's clock, set by hand.
        self.now = self.runtime.clock()
        self.runtime.clock = lambda: self.now
        renewer = lease_renewer(self.runtime)
        self.processors = [HintProcessor(self.runtime, renewer) for _ in range(2)]
        self.poll = InstancePoll(self.runtime, renewer)
        #: Batches of webhooks that were processed.
        self.batches = 0

    def advance(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)

    def receive(self) -> None:
        with self.runtime.database.write() as session:
            named = {"topic": "order.updated", "collection": "orders"}
            order, now = self.env.first("orders"), self.now
            session.add(
                Arrival(instance_id=self.env.instance_id, object_id=order, received_at=now, **named)
            )

    def keep_coming(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Receive a webhook while another one is processed."""
        pending = inbox.pending

        def read(
            session: orm.Session, instance_id: int, now: dt.datetime
        ) -> PendingWebhooks | None:
            found = pending(session, instance_id, now)
            self.batches += found is not None
            if self.batches < MANY:
                self.receive()
            return found

        monkeypatch.setattr(inbox, "pending", read)
        self.receive()

    def make_due(self) -> None:
        with self.runtime.database.write() as session:
            due = {"next_poll_at": self.now, "regular_poll_at": self.now}
            session.execute(sa.update(Instance).values(**due))

    def process(self) -> int:
        """Let both processes process webhooks as long as they may; return how many batches."""
        before = self.batches
        for one in self.processors:
            for instance_id in one.due():
                one.run(instance_id)
        return self.batches - before

    def polled(self) -> bool:
        """Poll if that is due and possible; return whether all four resources were read."""
        due = due_instances(self.runtime)
        return [one.error for number in due for one in self.poll.run(number)] == [None] * 4


@pytest.fixture
def busy(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[BusyStore]:
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        yield BusyStore(tmp_path, stack)


def test_webhooks_that_keep_coming_leave_the_instance_to_its_poll(
    busy: BusyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the poll is due, one more batch is processed, then the poll has the instance."""
    busy.keep_coming(monkeypatch)
    busy.make_due()
    assert busy.process() == 1
    assert busy.process() == 0
    assert busy.polled()
    assert busy.process() > 1


def test_webhooks_do_not_wait_for_a_poll_that_does_not_come(
    busy: BusyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a free thread that polls, one batch is processed from time to time."""
    busy.keep_coming(monkeypatch)
    busy.make_due()
    for _ in range(3):
        assert busy.process() == 1
        busy.advance(LEFT_TO_POLLS.total_seconds())
    assert busy.polled()


def test_an_error_in_the_processing_does_not_keep_polls_away(
    busy: BusyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instance is free immediately, and the webhooks are tried again later and later."""
    with monkeypatch.context() as patch:
        patch.setattr(hint_routing, "route", _fail)
        busy.receive()
        processor = busy.processors[0]
        for minutes in (1, 2, 4):
            with pytest.raises(KeyError):
                processor.run(busy.env.instance_id)
            busy.make_due()
            assert busy.polled()
            busy.advance(10 * minutes - 1)
            assert processor.due() == []
            busy.advance(2)
            assert processor.due() == [busy.env.instance_id]
    processor.run(busy.env.instance_id)
    assert processor.due() == []


def _fail(*_: object, **__: object) -> None:
    raise KeyError("an error of this package")
