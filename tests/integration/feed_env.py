"""Events to be read from feeds, written as a poll writes them, and what a feed shows of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

import orjson
from sqlalchemy import orm

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Instance
from flask_woo_events.db.states import EventType
from flask_woo_events.delivery import feed
from flask_woo_events.delivery.feed import FeedPage
from flask_woo_events.events import outbox
from flask_woo_events.events.feed import FeedChoice
from flask_woo_events.events.feed_cursor import FeedScope
from flask_woo_events.events.outbox import Change, Rules
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.sync.cursor import Stream
from tests.integration.ledger_env import NOW, build


@dataclasses.dataclass
class FeedEnv:
    """An organization whose events are read."""

    runtime: Runtime
    organization_id: int
    #: A resource of each of its instances.
    streams: list[Stream]
    posted: int = 0

    def post(
        self,
        session: orm.Session,
        count: int = 1,
        *,
        stream: int = 0,
        only_for: int | None = None,
        now: dt.datetime = NOW,
    ) -> list[str]:
        """Write events with a transaction that the caller commits; return their objects' ids."""
        names = [str(self.posted + number + 1) for number in range(count)]
        self.posted += count
        changes = [
            Change(
                object_id=name,
                event_type=EventType.CREATED,
                version=1,
                date=now,
                source="poll",
                body=orjson.dumps({"id": int(name)}),
                changed_fields=(),
                only_for=only_for,
            )
            for name in names
        ]
        outbox.post(session, self.streams[stream], changes, now, Rules(now=now))
        return names

    def record(self, count: int = 1, **how: t.Any) -> list[str]:
        """Write and commit events."""
        with self.runtime.database.write() as session:
            return self.post(session, count, **how)

    def choice(self, stream: int | None = None) -> FeedChoice:
        """Return the feed of the organization, or of the instance of a stream."""
        number = None if stream is None else self.streams[stream].instance_id
        return FeedChoice(scope=FeedScope(organization_id=self.organization_id, instance_id=number))

    def read(
        self, cursor: str | None = None, limit: int = 100, stream: int | None = None
    ) -> FeedPage:
        """Read one answer of a feed."""
        return feed.read(self.runtime, self.choice(stream), cursor, limit)

    def rest(self, cursor: str | None = None, limit: int = 100) -> tuple[list[str], FeedPage]:
        """Read the organization's feed to its end; return the objects' ids and the last answer."""
        found: list[str] = []
        while True:
            page = self.read(cursor, limit)
            found += objects_of(page)
            if not page.more:
                return found, page
            cursor = page.cursor


def objects_of(page: FeedPage) -> list[str]:
    """Return the ids of the objects whose events an answer has."""
    return [
        event["objectId"] for one in page.events for event in orjson.loads(one)["message"]["events"]
    ]


def open_feed(database: Database, instances: int = 1) -> FeedEnv:
    """Return an organization with instances, whose clock stands still."""
    streams = [build(database).stream for _ in range(instances)]
    with database.write() as session:
        first = session.get_one(Instance, streams[0].instance_id)
        for one in streams[1:]:
            session.get_one(Instance, one.instance_id).organization_id = first.organization_id
        organization_id = first.organization_id
    return FeedEnv(Runtime(Settings(), database, lambda: NOW), organization_id, streams)
