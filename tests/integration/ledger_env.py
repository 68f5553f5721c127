"""A ledger to test with: one organization, one instance, one poller, one subscription."""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
import typing as t

from sqlalchemy import orm

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Instance, Organization, Poller, Subscription, User
from flask_woo_events.db.states import Source
from flask_woo_events.events.outbox import Rules
from flask_woo_events.handlers import Route
from flask_woo_events.instances.polled_resources import PollerConfiguration
from flask_woo_events.sync.cursor import Stream
from flask_woo_events.sync.ledger.lookup import revision
from flask_woo_events.sync.ledger.observation import Observation, ObservationBatch
from flask_woo_events.sync.ledger.record import Recorded, record

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    """Return the time this many seconds after ``NOW``."""
    return NOW + dt.timedelta(seconds=seconds)


@dataclasses.dataclass
class LedgerEnv:
    """A ledger that records observations as a poll does."""

    database: Database
    stream: Stream
    #: Handlers of the application.
    routes: tuple[Route, ...] = ()

    def see(
        self,
        *bodies: dict[str, t.Any],
        gone: tuple[str, ...] = (),
        since: dt.datetime | None = None,
        seconds: float = 0.0,
        read_revision: int | None = None,
    ) -> Recorded:
        """Record bodies (with ``id`` and perhaps ``modified``, ``created``) in one commit."""
        seen = [
            Observation(
                object_id=str(body["id"]),
                body=body,
                seen_at=at(seconds),
                modified_at=body.get("modified"),
                created_at=body.get("created"),
            )
            for body in ({**one} for one in bodies)
        ]
        for one in seen:
            assert isinstance(one.body, dict)
            one.body.pop("modified", None)
            one.body.pop("created", None)
        seen += [Observation(object_id=one, body=None, seen_at=at(seconds)) for one in gone]
        with self.database.write() as session:
            if read_revision is None:
                read_revision = revision(session, self.stream.poller_id)
            observed = ObservationBatch(
                source=Source.POLL,
                observations=seen,
                read_revision=read_revision,
                poll_date=at(seconds),
                since=since,
            )
            return record(
                session, self.stream, observed, Rules(now=at(seconds), routes=self.routes)
            )


def build(database: Database, *, callback: str | None = "http://callback.test/") -> LedgerEnv:
    """Write the rows that recording needs."""
    with database.write() as session:
        stream = _rows(session, callback)
    return LedgerEnv(database, stream)


def _rows(session: orm.Session, callback: str | None) -> Stream:
    organization = Organization(
        name=secrets.token_hex(4), secret_hash=secrets.token_hex(32), created_at=NOW
    )
    session.add(organization)
    session.flush()
    user = User(
        organization_id=organization.id,
        name="ann",
        secret_hash=secrets.token_hex(32),
        created_at=NOW,
    )
    session.add(user)
    session.flush()
    instance = Instance(
        organization_id=organization.id, user_id=user.id, name="store", tags=[],
        token_hash=secrets.token_hex(32), vendor_type="polling", events_enabled=True,
        refresh_minutes=15, created_at=NOW, store_facts={}, next_poll_at=NOW,
    )  # fmt: skip
    session.add(instance)
    session.flush()
    configuration = PollerConfiguration(resource="orders", url="/hubs/ecommerce/orders")
    poller = Poller(
        instance_id=instance.id, resource="orders", created_at=NOW,
        configuration=configuration.model_dump(mode="json"),
    )  # fmt: skip
    session.add(poller)
    if callback is not None:
        session.add(Subscription(instance_id=instance.id, url=callback, created_at=NOW))
    session.flush()
    return Stream(
        poller_id=poller.id,
        instance_id=instance.id,
        resource="orders",
        configuration=configuration,
    )
