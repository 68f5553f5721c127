"""The environment of these tests: a store, an instance, and a receiver that applies its events."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import typing as t
import unittest.mock

import orjson
import requests
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.db.models import Instance, Poller, StoredEvent
from flask_woo_events.instances import accounts, lifecycle, provisioning
from flask_woo_events.instances.requests import InstanceRequest
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.simulation.loss_suite.ground_truth import KINDS, truth
from flask_woo_events.simulation.loss_suite.judge import ObjectKey
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.simulation.store.tables import Row
from flask_woo_events.sync.hint import Hint
from flask_woo_events.sync.instance_poll import InstancePoll
from flask_woo_events.sync.ledger.digest import digest_of
from flask_woo_events.sync.webhooks import inbox
from flask_woo_events.sync.webhooks.process import HintProcessor
from flask_woo_events.values.crypto import Cipher
from tests.model.in_process_store import URL, InProcessStore

#: Resource, id and type of an event.
Event = tuple[str, str, str]
FOUR = ("orders", "products", "discounts", "customers")
DAY = 86_400
LEASE = dt.timedelta(minutes=30)
#: Failures of a resource in a row after which its poller is disabled.
FAILURES_ALLOWED = 5


class Address(requests.adapters.BaseAdapter):
    """The address of a store: passes each request to the store that answers there now."""

    def __init__(self, store: SimulatedStore) -> None:
        super().__init__()
        self.store = store
        #: Called before each request.
        self.before: cabc.Callable[[], None] = lambda: None
        #: Headers that a cache adds to each response.
        self.headers: dict[str, str] = {}

    def send(self, request: requests.PreparedRequest, *_args: t.Any, **_how: t.Any) -> t.Any:
        """Send a request to the store."""
        self.before()
        response = InProcessStore(self.store, lambda _number: None).send(request)
        response.headers.update(self.headers)
        return response

    def close(self) -> None:
        """Do nothing: there is no connection."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """What a test connects."""

    version: str = "11.0"
    #: Numbers of orders, products, coupons and customers.
    counts: tuple[int, int, int, int] = (12, 6, 3, 5)
    #: Polled resources, or their ``url`` by name.
    resources: cabc.Sequence[str] | cabc.Mapping[str, str] = FOUR
    page_size: int = 100
    #: Whether the store has the companion plugin.
    journal: bool = False
    baseline: bool = True


class BeliefEnv:
    """A store and its instance, both with clocks that only the test moves.

    The receiver applies every event, and fails the test if a version is skipped or repeated, or if
    an event does not change what it knows.
    """

    def __init__(self, database: Database, setup: Setup) -> None:
        self._setup = setup
        self.database = database
        self.store = self._new_store(journal=setup.journal)
        _populate(self.store, setup.counts)
        self.store.move(URL)
        self.store.clock.freeze()
        self.acts = self.store.acts
        self.address = Address(self.store)
        self._now = self.store.clock.now()
        settings = Settings(
            encryption_keys=(Cipher.generate_key(),),
            poll_page_size=setup.page_size,
            poll_failures_allowed=FAILURES_ALLOWED,
        )
        self.runtime = Runtime(settings, database, lambda: self._now)
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", self.address)
        self.runtime.__dict__["store_session"] = session
        #: What the receiver knows: the content of each live object.
        self.known: dict[ObjectKey, bytes] = {}
        #: Errors of the last poll by resource.
        self.errors: dict[str, str] = {}
        self._versions: dict[ObjectKey, int] = {}
        self._last_event = self._edits = 0
        self._connect()
        if setup.baseline:
            self.read_baseline()

    def _new_store(self, *, journal: bool = False) -> SimulatedStore:
        clock = self.store.clock if hasattr(self, "store") else None
        return SimulatedStore(
            self._setup.version, consumer_key="ck_test", consumer_secret="cs_test",
            journal=journal, clock=clock,
        )  # fmt: skip

    def _connect(self) -> None:
        urls = self._setup.resources
        if not isinstance(urls, cabc.Mapping):
            urls = {name: f"/hubs/ecommerce/{name}" for name in urls}
        configuration = {
            "store.url": URL,
            "oauth.api.key": "ck_test",
            "oauth.api.secret": "cs_test",
            "event.notification.enabled": True,
            "event.notification.format": "extended",
            "event.poller.configuration": {name: {"url": url} for name, url in urls.items()},
        }
        body = {
            "element": {"key": "woocommercerest"}, "name": "s", "configuration": configuration,
        }  # fmt: skip
        with self.database.write() as session:
            user = accounts.add_user(session, "acme", "ann", self._now)
        self.caller = accounts.Caller(organization_id=user.organization_id, user_id=user.user_id)
        request = InstanceRequest.model_validate(body)
        self.instance_id, _ = provisioning.create(self.runtime, self.caller, request, "")

    def read_baseline(self) -> None:
        """Poll until regular polls, or the journal's, have begun; there are no events."""
        events = self.polls(3 if self._setup.journal else 2)
        assert not events and not self.errors, (events, self.errors)
        self.known = self.truth()

    # The store

    def ids(self, kind: str) -> list[int]:
        """Return the ids of a kind of object, as the simulated store names it."""
        return sorted(self.store.truth(kind))

    def row(self, kind: str, number: int) -> Row:
        """Return a row of the store's database, for direct changes."""
        row = self.store.shop.tables[kind].get(number)
        assert row is not None
        return row

    def write(self, kind: str, number: int, **columns: t.Any) -> None:
        """Change a row with SQL: ``created``, ``modified`` or fields of the object."""
        row = self.row(kind, number)
        for name in ("created", "modified"):
            setattr(row, name, columns.pop(name, getattr(row, name)))
        row.fields.update(columns)
        self.store.shop.tables[kind].changed(row)

    def rest(self, method: str, path: str, **body: t.Any) -> t.Any:
        """Call the store's own REST API."""
        with self.store.shop.lock:
            answer = self.store.routes.answer(method, path, path, {}, body)
        assert answer.status < 300, answer.body
        return orjson.loads(answer.body)

    def edit(self, kind: str, number: int) -> None:
        """Change one object with the store's REST API, and no other object."""
        self._edits += 1
        entry = {"key": "edited", "value": str(self._edits)}
        self.rest("PUT", f"{kind}/{number}", meta_data=[entry])

    @property
    def time(self) -> int:
        """The store's time, seconds since the epoch."""
        return self.store.shop.now()

    def truth(self) -> dict[ObjectKey, bytes]:
        """Return the content of every live object of the polled resources."""
        return {
            key: content
            for key, content in truth(self.store).items()
            if key[0] in self._setup.resources
        }

    # Wrong answers

    def copy(self, home: str = URL) -> SimulatedStore:
        """Return a copy of the store as it is now, at another address or at the same."""
        copy = self._new_store()
        copy.acts.restore_backup(self.acts.snapshot())
        copy.move(home)
        return copy

    def other_shop(
        self, *counts: int, home: str = URL, first_post: int = 10, first_user: int = 2
    ) -> SimulatedStore:
        """Return another shop.

        :param counts: numbers of orders, products, coupons and customers.
        :param first_post: the lowest id of its orders, products and coupons.
        :param first_user: the lowest id of its customers.
        """
        self.store.clock.advance(-400 * DAY)
        other = self._new_store()
        other.shop.counters.update(posts=first_post, users=first_user)
        _populate(other, t.cast("tuple[int, int, int, int]", counts))
        self.store.clock.advance(400 * DAY)
        for table in other.shop.tables.values():
            for row in table:
                row.fields |= {
                    name: f"other-{row.fields[name]}"
                    for name in ("name", "slug", "code", "username", "email", "first_name")
                    if name in row.fields
                }
        other.move(home)
        return other

    @contextlib.contextmanager
    def answered_by(self, store: SimulatedStore, *, after: int = 0) -> cabc.Iterator[None]:
        """Let another store answer in the block.

        :param after: requests that the right store answers first.
        """
        left = after

        def switch() -> None:
            nonlocal left
            self.address.store = self.store if left > 0 else store
            left -= 1

        self.address.before = switch
        try:
            yield
        finally:
            self.address.before = lambda: None
            self.address.store = self.store

    @contextlib.contextmanager
    def without(self, kind: str, *numbers: int) -> cabc.Iterator[None]:
        """Show none of these objects in the block, or none of a kind: its table is repaired."""
        table = self.store.shop.tables[kind]
        rows = list(table)
        table.replace([row for row in rows if numbers and row.id not in numbers])
        try:
            yield
        finally:
            table.replace(rows)

    @contextlib.contextmanager
    def hidden(self, kind: str, number: int) -> cabc.Iterator[None]:
        """Leave an object out of all lists in the block; its own address shows it."""
        source = getattr(self.store.routes, kind)
        where = source.where

        def visible(parameters: t.Any, parent: int) -> t.Any:
            key, keep = where(parameters, parent)
            return (key, number), lambda row: row.id != number and (keep is None or keep(row))

        with unittest.mock.patch.object(source, "where", visible):
            yield

    @contextlib.contextmanager
    def order_status(self, status: str) -> cabc.Iterator[None]:
        """Let the store have one more order status in the block, as from an extension."""
        statuses = (*self.store.shop.version.order_statuses, status)
        kind = type(self.store.shop.version)
        with unittest.mock.patch.object(kind, "order_statuses", statuses):
            yield

    # Our side

    def pass_time(self, minutes: float) -> None:
        """Move both clocks."""
        self._now += dt.timedelta(minutes=minutes)
        self.store.clock.advance(minutes * 60)

    def poll(self, minutes: float = 15, *, only: str | None = None) -> list[Event]:
        """Poll after so many minutes, and return the events.

        :param only: the one resource to poll; ``None``: all.
        """
        self.pass_time(minutes)
        with LeaseRenewer(self.database, self.runtime.clock, LEASE) as renewer:
            poll = InstancePoll(self.runtime, renewer, only=only, forced=True)
            reports = poll.run(self.instance_id)
        self.errors = {one.resource: one.error for one in reports if one.error}
        return self._receive()

    def polls(self, number: int, minutes: float = 15) -> list[Event]:
        """Poll several times, and return the events."""
        return [event for _ in range(number) for event in self.poll(minutes)]

    def receive_webhooks(self, topic: str, collection: str, *numbers: int) -> None:
        """Store webhooks that name these objects."""
        hook = Hook(self.instance_id, 1)
        received = [
            inbox.ReceivedWebhook(hook, Hint(topic, collection, number), self._now)
            for number in numbers
        ]
        with self.database.begin() as connection:
            assert all(inbox.add(connection, received))

    def process_webhooks(self) -> list[Event]:
        """Process the stored webhooks, and return the events."""
        with LeaseRenewer(self.database, self.runtime.clock, LEASE) as renewer:
            HintProcessor(self.runtime, renewer).run(self.instance_id)
        return self._receive()

    def accept(self) -> list[str]:
        """Accept what is held, as ``flask woo instances accept`` does."""
        with self.database.write() as session:
            return lifecycle.accept(session, self.caller, self.instance_id, self._now)

    def check_again(self) -> None:
        """Check the connection, as a change of the instance does."""
        provisioning.change(
            self.runtime, self.caller, self.instance_id, InstanceRequest(), "",
            partial=True, reconnect=True,
        )  # fmt: skip

    @property
    def facts(self) -> dict[str, t.Any]:
        """What the instance keeps of its store."""
        with self.database.read() as session:
            return session.get_one(Instance, self.instance_id).store_facts

    @property
    def notices(self) -> list[dict[str, t.Any]]:
        """Notices of the instance about its store."""
        with self.database.read() as session:
            return session.get_one(Instance, self.instance_id).notices

    def polled_at(self) -> dict[str, dt.datetime | None]:
        """Return when the last complete poll of each resource began, by the store's clock."""
        with self.database.read() as session:
            rows = session.execute(sa.select(Poller.resource, Poller.polled_at))
            return {resource: polled_at for resource, polled_at in rows}

    # The receiver

    def _receive(self) -> list[Event]:
        query = sa.select(
            StoredEvent.id, StoredEvent.resource, StoredEvent.object_id, StoredEvent.event_type,
            StoredEvent.version, StoredEvent.body,
        ).where(StoredEvent.id > self._last_event)  # fmt: skip
        with self.database.read() as session:
            rows = session.execute(query.order_by(StoredEvent.id)).all()
        events = []
        for self._last_event, resource, number, kind, version, body in rows:
            self._apply((resource, number), kind, version, body)
            events.append((resource, number, str(kind)))
        return events

    def _apply(self, key: ObjectKey, kind: str, version: int, body: bytes) -> None:
        event = f"{kind} {key[0]} {key[1]}"
        assert version == self._versions.get(key, version - 1) + 1, f"{event}: version {version}"
        self._versions[key] = version
        if key[0] not in KINDS:
            return
        content = None if kind == "DELETED" else digest_of(orjson.loads(body))
        before = self.known.pop(key, None)
        assert (kind == "CREATED") == (before is None), f"{event}: known before: {before!r}"
        assert content != before, f"{event}: sent twice"
        if content is not None:
            self.known[key] = content

    def differences(self) -> dict[ObjectKey, str]:
        """Return the objects of which the receiver has another state than the store."""
        true, known = self.truth(), self.known
        return {
            key: "false" if key not in true else "missing" if key not in known else "stale"
            for key in true.keys() | known.keys()
            if true.get(key) != known.get(key)
        }

    def converge(self, most: int = 4) -> list[Event]:
        """Poll until the receiver knows the store, and once more, which sends nothing.

        :param most: the greatest number of polls.
        """
        events: list[Event] = []
        for _ in range(most):
            events += self.poll()
            if not self.differences():
                break
        assert not self.differences(), (self.differences(), self.errors)
        late = self.poll()
        assert not late, late
        return events


def _populate(store: SimulatedStore, counts: tuple[int, int, int, int]) -> None:
    orders, products, coupons, customers = counts
    store.populate(orders=orders, products=products, coupons=coupons, customers=customers)


def deleted(resource: str, numbers: cabc.Iterable[int]) -> list[Event]:
    """Return the DELETED events of these objects, in the order of their ids."""
    return [(resource, str(number), "DELETED") for number in sorted(numbers)]


def of_type(events: cabc.Iterable[Event], kind: str) -> list[Event]:
    """Return the events of one type, by resource and id."""
    found = [event for event in events if event[2] == kind]
    return sorted(found, key=lambda event: (event[0], int(event[1])))
