"""Feeds beside operational events: each has its own kind, and the other one disturbs nothing."""

from __future__ import annotations

import dataclasses

import orjson
import pytest

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Subscription
from flask_woo_events.db.states import Channel
from flask_woo_events.delivery import feed as feed_answers
from flask_woo_events.delivery.feed import FeedPage
from flask_woo_events.events import feed, operational, operational_outbox
from flask_woo_events.events.feed import FeedChoice
from flask_woo_events.events.operational import Occurrence
from tests.integration.feed_env import FeedEnv, objects_of, open_feed
from tests.integration.ledger_env import NOW


@dataclasses.dataclass
class Operators:
    """Operational subscriptions of an instance, whose feeds are read."""

    env: FeedEnv
    numbers: list[int]

    def occur(self, kind: str, number: int, about: int | None = None) -> str:
        """Record an operational event; return the id of its object."""
        instance_id = self.env.streams[0].instance_id
        what = Occurrence(kind=kind, number=number, subscription_id=about, text="a text")
        with self.env.runtime.database.write() as session:
            operational.record(session, instance_id, what, NOW)
        with self.env.runtime.database.write() as session:
            operational_outbox.post(session, instance_id, (), NOW)
        return what.subject

    def choice(self, number: int) -> FeedChoice:
        own = self.env.choice(stream=0)
        scope = dataclasses.replace(own.scope, subscription_id=number)
        return FeedChoice(scope=scope, target=number, operational=True)

    def read(self, number: int, cursor: str | None = None, limit: int = 100) -> FeedPage:
        return feed_answers.read(self.env.runtime, self.choice(number), cursor, limit)

    def rest(self, number: int, cursor: str | None = None) -> tuple[list[str], FeedPage]:
        """Read to the end, in no more answers than there are events."""
        found: list[str] = []
        for _ in range(20):
            page = self.read(number, cursor)
            found += objects_of(page)
            if not page.more:
                return found, page
            assert page.cursor != cursor, "the feed stands still"
            cursor = page.cursor
        raise AssertionError("the feed does not end")


def _operators(database: Database, *options: dict[str, object]) -> Operators:
    env = open_feed(database)
    with database.write() as session:
        rows = [
            Subscription(
                instance_id=env.streams[0].instance_id,
                channel=Channel.OPERATIONAL,
                url=f"https://{number}.example",
                options=one,
                created_at=NOW,
            )
            for number, one in enumerate(options)
        ]
        session.add_all(rows)
        session.flush()
        return Operators(env, [one.id for one in rows])


def test_each_feed_has_its_kind(any_database: Database) -> None:
    """A feed of the store never shows operational events, nor the other way round.

    Nobody gets an event of its own stop, nor a checkpoint that was not chosen.
    """
    operators = _operators(any_database, {}, {"checkpoint": True})
    first, second = operators.numbers
    env = operators.env
    names = env.record(2)
    disabled = operators.occur("poller.disabled", 7)
    names += env.record(1)
    stopped = operators.occur("subscription.stopped", first, about=first)
    operators.occur("checkpoint", 1)
    names += env.record(1)
    assert objects_of(env.read()) == objects_of(env.read(stream=0)) == names
    assert operators.rest(first)[0] == [disabled]
    found, page = operators.rest(second)
    assert found == [disabled, stopped, "checkpoint/1"]
    assert not page.truncated
    [one] = [orjson.loads(body) for body in operators.read(first).events]
    [event] = one["message"]["events"]
    assert (event["eventType"], event["objectType"]) == ("poller.disabled", "operational")


@pytest.mark.parametrize("operational_last", [False, True])
def test_feed_goes_past_what_it_does_not_show(
    any_database: Database, monkeypatch: pytest.MonkeyPatch, operational_last: bool
) -> None:
    """More events of the other kind than one step looks at: the feed would stand still there."""
    monkeypatch.setattr(feed, "_SCANNED", 2)
    monkeypatch.setattr(feed, "_STEPS", 3)
    operators = _operators(any_database, {})
    [number], env = operators.numbers, operators.env
    names, shown = env.record(9), [operators.occur("poller.disabled", 0)]
    shown += [operators.occur("poller.disabled", one) for one in range(1, 9)]
    if not operational_last:
        names += env.record(9)
        shown.append(operators.occur("poller.disabled", 9))
    assert operators.rest(number)[0] == shown
    cursor = None
    found: list[str] = []
    for _ in range(20):
        page = env.read(cursor)
        found += objects_of(page)
        if not page.more:
            break
        assert page.cursor != cursor, "the feed stands still"
        cursor = page.cursor
    assert found == names
    end = operators.read(number, "now")
    assert (end.events, end.more, end.truncated) == ((), False, False)
    env.record(1)
    hidden = operators.read(number, end.cursor)
    assert (hidden.events, hidden.more, hidden.truncated) == ((), False, False)
    assert hidden.cursor != end.cursor
    new = operators.occur("poller.disabled", 99)
    assert operators.rest(number, hidden.cursor)[0] == [new]
