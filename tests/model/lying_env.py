"""The environment of a history in which the store's answers are wrong for a while."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import pathlib
import typing as t

import flask
import orjson
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.db.models import StoredEvent
from flask_woo_events.instances import webhooks
from flask_woo_events.settings import Settings
from flask_woo_events.simulation.loss_suite.harness import CrashableDatabase
from flask_woo_events.simulation.loss_suite.judge import ObjectKey
from flask_woo_events.simulation.store import SimulatedStore, lies
from flask_woo_events.simulation.store.responses import RestError
from flask_woo_events.simulation.store.routes import Routes
from flask_woo_events.simulation.store.store_side import Backup
from flask_woo_events.simulation.store.webhook_sender import WebhookSender
from flask_woo_events.sync.ledger.digest import digest_of
from flask_woo_events.sync.report import PollReport
from flask_woo_events.sync.webhooks.process import HintProcessor
from flask_woo_events.worker.consistency import contradictions
from tests.integration.host_app import PREFIX, dispose, make_app, runtime_of
from tests.integration.store_to_callback import PUBLIC, sender
from tests.model.history_env import INTERVAL, Act, DuringPoll, HistoryEnv
from tests.model.receiver import Counts, Receiver

MODES = ("polling", "webhooks", "journal")
#: Where a copy, or another shop, has its own address.
ELSEWHERE = "https://staging.test"
#: Settings of the application: everything is compared within a few polls.
SETTINGS = {
    "WOO_EVENTS_POLL_PAGE_SIZE": 5,
    "WOO_EVENTS_COMPARE_HOURS": 1,
    "WOO_EVENTS_JOURNAL_RECONCILE_HOURS": 1,
    "WOO_EVENTS_PUBLIC_URL": f"{PUBLIC}{PREFIX}",
}
RESOURCES = ("orders", "products", "discounts", "customers")
#: A status of no list, as of a plugin that is off.
PARKED = "parked"
#: Resources that such a status hides, the simulator's names of them, and their children.
HIDEABLE = (
    ("orders", "orders", "refunds"),
    ("products", "products", "variations"),
    ("discounts", "coupons", ""),
)
#: Lies during which no event may be false, however long they last.
ALWAYS_NOTICED = {"copy"}
#: Lies during which no event may be false if they are short.
NOTICED_IF_SHORT = {"empty", "half", "other shop", "other shop, same root"}
#: A lie that is shorter can be recognised by a second reading.
SHORT = dt.timedelta(minutes=10)
#: True polls after which every object was compared again.
ENOUGH_POLLS = 12


@dataclasses.dataclass(frozen=True)
class Shared:
    """What many histories share."""

    app: flask.Flask
    settings: Settings
    database: CrashableDatabase


@contextlib.contextmanager
def open_shared(folder: pathlib.Path, url: str | None = None) -> cabc.Iterator[Shared]:
    """Yield an application with an empty database in this folder, or at this URL."""
    with contextlib.ExitStack() as stack:
        where = {} if url is None else {"SQLALCHEMY_DATABASE_URI": url}
        app = make_app(folder, **SETTINGS, **where)
        stack.callback(dispose, app)
        runtime = runtime_of(app)
        upgrade.upgrade(runtime.database.engine)
        database = CrashableDatabase(runtime.database.engine)
        stack.callback(database.dispose)
        yield Shared(app, runtime.settings, database)


@dataclasses.dataclass(frozen=True)
class Start:
    """The store and the instance with which a history begins."""

    mode: str = "polling"
    version: str = "11.0"
    #: Whether variations and refunds are polled, too.
    nested: bool = False
    #: Whether more than twenty orders and customers exist.
    large: bool = False


class LyingEnv(HistoryEnv):
    """A store whose answers can be wrong, its instance, and the receiver of its events."""

    def __init__(self, shared: Shared, start: Start) -> None:
        self._app = shared.app
        self._start = start
        self.vendor_type = "webhook" if start.mode == "webhooks" else "polling"
        self.resources = (*RESOURCES, "variations", "refunds") if start.nested else RESOURCES
        self.counts = Counts(histories=1)
        #: Objects of which events were sent.
        self._sent: set[ObjectKey] = set()
        #: The kind of the current lie, and its false events.
        self._lie, self._ends = "", False
        self._false: list[str] = []
        self._lied_since: dt.datetime | None = None
        #: When the first of the lies began that no true poll has followed.
        self._alarmed_since: dt.datetime | None = None
        self._copy: Routes | None = None
        super().__init__(
            shared.settings,
            shared.database,
            start.version,
            journal=start.mode == "journal",
            counts=(26, 6, 3, 22) if start.large else (9, 7, 3, 5),
        )

    # The store

    def truth(self) -> dict[ObjectKey, bytes]:
        """Return the content of every live object of the polled resources."""
        return {key: body for key, body in super().truth().items() if key[0] in self.resources}

    def act(self, act: Act) -> None:
        """Do one act in the store, and record the result."""
        self._do(*act)
        self.record()

    def record(self) -> None:
        """Record the state of the store after an act."""
        self.receiver.record(self.truth(), self.unlisted)
        self.replica.record()

    def keep_backup(self) -> None:
        """Back up the database, for copies and restores of the present state."""
        self._backups.append(self.store.acts.snapshot(journal=True))

    def _backup(self, value: int) -> Backup:
        return self._backups[-1 - value % min(3, len(self._backups))]

    def restore(self, value: int) -> None:
        """Restore one of the last backups of the store, which lives on from there."""
        self.store.acts.restore_backup(self._backup(value))
        self.record()

    def hide(self, kind: str, number: int, status: str = PARKED) -> None:
        """Write the status of an object as by SQL; no list shows the default one."""
        self.store.acts.sql_status(kind, number, status)
        self.record()

    @property
    def unlisted(self) -> set[ObjectKey]:
        """The objects that no list shows although they exist, and their children."""
        tables, found = self.store.shop.tables, set[ObjectKey]()
        for resource, kind, below in HIDEABLE:
            for row in tables[kind]:
                if row.status == PARKED:
                    children = self.store.shop.children_of(below, row.id) if below else []
                    found |= {(resource, str(row.id)), *((below, str(one.id)) for one in children)}
        return found

    # Lies

    def begin(self, name: str, lie: lies.Lie, after: int) -> None:
        """Begin a lie now, or within the next poll after some requests."""
        self.end()
        self._lie, self._ends = name, False
        self._lied_since = None if after else self._alarmed_since or self._now
        self.store.lies.begin(lie, after=after)

    def end(self, after: int = 0) -> None:
        """End the lie now, or within the next poll after some requests."""
        if not self._lie:
            return
        if after:
            self._ends = True
            self.store.lies.begin(lies.TRUTH, after=after)
            return
        self.store.lies.end()
        lasted = self._now - (self._lied_since or self._now)
        if self._lie in ALWAYS_NOTICED or (self._lie in NOTICED_IF_SHORT and lasted < SHORT):
            self.counts.forbidden += [
                # An object that shows others, such as a product's categories, is shown without
                # them, also if it is new.
                one
                for one in self._false
                if self._lie != "half" or one.startswith("DELETED")
            ]
        self.counts.false += self._false
        self._lie, self._false = "", []

    def copy(self, value: int, home: str | None = None) -> Routes:
        """Return a copy of the store as of one of the last backups, and remember it."""
        self._copy = lies.copy_of(self.store.routes, home, self._backup(value))
        return self._copy

    def another_shop(self, value: int, home: str) -> Routes:
        """Return another shop, larger or smaller, whose ids overlap."""
        other = SimulatedStore(
            self._start.version,
            consumer_key="-",
            consumer_secret="-",
            clock=self.store.clock,
        )
        size = (2, 8, 30)[value % 3]
        other.populate(orders=size, products=size, coupons=3, customers=size, seed=value)
        other.move(home)
        return other.routes

    def change_copy(self, value: int) -> None:
        """Change an order in the copy of the store; its webhooks are sent as from the copy."""
        orders = self._copy.shop.tables["orders"].sorted() if self._copy else []
        if self._copy is not None and orders:
            number = orders[value % len(orders)].id
            with contextlib.suppress(RestError):
                lies.AnotherShop(self._copy).acts.status(number, "failed")
            if self._start.mode == "webhooks":
                send = WebhookSender(self._copy)
                send.send = self.store.webhooks.send
                send.run_queue()

    # Our side

    def _record_baseline(self) -> None:
        self._backups: list[Backup] = []
        self.receiver = Receiver(self.truth())
        #: The replica of the store.
        self.replica = lies.Replica(self.store.routes, 0)
        self._app.extensions["woo_events"] = self._runtime
        self.store.webhooks.send = sender(self._app)
        if self._start.mode == "webhooks":
            with self._runtime.database.write() as session:
                assert webhooks.enroll(session, self.instance_id, f"{PUBLIC}{PREFIX}", self._now)
        for _ in range(2):  # The journal is trusted from the end of the second poll.
            assert not [one.error for one in self.poll() if one.error]
        # The first poll emits what was created in the second in which it began.
        assert not self.receiver.differing(self.truth())
        self.receiver, self.counts = Receiver(self.truth()), Counts(histories=1)
        self.keep_backup()

    def poll(
        self, meanwhile: DuringPoll | None = None, interval: dt.timedelta = INTERVAL
    ) -> list[PollReport]:
        """Process the webhooks, and poll after an interval."""
        self.settle()
        self.receiver.begin_poll()
        self.record()
        if self._lie and self._lied_since is None:
            self._lied_since = self._alarmed_since or self._now + interval
        self._alarmed_since = self._lied_since if self._lie else None
        reports = super().poll(meanwhile, interval)
        if self._ends:
            self.end()
        return reports

    def settle(self) -> None:
        """Check the webhooks if that is due, send those of the store, and process them."""
        if self._start.mode != "webhooks":
            return
        with self._renewer() as renewer:
            if webhooks.due(self._runtime):
                webhooks.guard(self._runtime, renewer, self.instance_id)
            self.store.webhooks.run_queue()
            processor = HintProcessor(self._runtime, renewer)
            for number in processor.due(instance_id=self.instance_id):
                processor.run(number)
        self._fold()

    def _renewer(self) -> LeaseRenewer:
        return LeaseRenewer(self._runtime.database, self._runtime.clock, dt.timedelta(minutes=1))

    def _fold(self) -> None:
        """Apply the new events; a false one counts for the lie, or is forbidden without one."""
        with self._runtime.database.read() as session:
            query = sa.select(StoredEvent).where(
                StoredEvent.instance_id == self.instance_id, StoredEvent.id > self._read_events
            )
            events = list(session.scalars(query.order_by(StoredEvent.id)))
        for event in events:
            self._read_events = event.id
            deleted = event.event_type == "DELETED"
            content = None if deleted else self.content_of(orjson.loads(event.body))
            key = (event.resource, event.object_id)
            self._sent.add(key)
            false = self.receiver.receive(key, event.event_type, content, event.version)
            if false and self._lie:
                self._false.append(f"{false} ({self._lie})")
            elif false:
                self.counts.forbidden.append(f"{false} (no lie)")

    def content_of(self, body: dict[str, t.Any]) -> bytes:
        """Return the digest of an object as an event shows it."""
        return digest_of(body)

    def finish(self) -> Counts:
        """End all lies, poll until the events agree with the store, and return what was wrong."""
        self.end()
        reports: list[PollReport] = []
        for _ in range(ENOUGH_POLLS):
            reports = self.poll()
            if not self._differing() and not any(one.error for one in reports):
                break
        self._sent.clear()
        reports = self.poll()
        counts = self.counts
        # An object that no list shows is read at its own address, and may be late.
        if self._sent - self.unlisted:
            counts.repeated.append("an event after the last change")
        counts.errors += [f"{one.resource}: {one.error}" for one in reports if one.error]
        for key in self._differing():
            wrong = counts.stays_false if key in self.receiver.wrong else counts.lost
            wrong.append(" ".join(key))
        assert contradictions(self._runtime.database, self._runtime.clock) == []
        counts.repeated += self.receiver.repeated
        counts.versions += self.receiver.versions
        return counts

    def _differing(self) -> list[ObjectKey]:
        return self.receiver.differing(self.truth(), self.unlisted)
