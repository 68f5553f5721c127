"""An installation of real processes: workers, intake, a store and a callback."""

from __future__ import annotations

import collections
import collections.abc as cabc
import contextlib
import datetime as dt
import pathlib
import random
import signal
import time
import types
import typing as t

import sqlalchemy as sa

from benchmarks.intake_apps import PREFIX
from flask_woo_events.db import upgrade
from flask_woo_events.db.clock import utc_now
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Arrival, Delivery, Instance, Object, Poller, Subscription
from flask_woo_events.db.states import UNSETTLED, PollerState
from flask_woo_events.instances import access, accounts, lifecycle, specification
from flask_woo_events.instances.requests import InstanceRequest
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.simulation.callback_receiver import CallbackReceiver, Received
from flask_woo_events.simulation.loss_suite.ground_truth import truth
from flask_woo_events.simulation.loss_suite.judge import Judge, ObjectKey, Verdict, events_in
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.values.crypto import Cipher
from flask_woo_events.worker.consistency import contradictions
from tests.waiting import HANG_SECONDS, wait_until

from .child_processes import Child, ProcessSpawner
from .crash_points import KILL_TIMES
from .webhook_log import WebhookLog

#: The resources that are polled.
KINDS = ("orders", "products", "discounts", "customers")


class Installation:
    """One store that is connected and has a baseline.

    :param url: of an empty database.
    :param public: the base URL of the intake, to which the store sends webhooks.
    :param settings: of the application, ``WOO_EVENTS_*`` without the prefix.
    """

    def __init__(
        self,
        url: str,
        folder: pathlib.Path,
        *,
        seed: int = 0,
        public: str | None = None,
        settings: cabc.Mapping[str, str] = types.MappingProxyType({}),
    ) -> None:
        self.url, self.folder, self.log = url, folder, folder / "log"
        self.key = Cipher.generate_key()
        self.settings = settings
        self.public = public
        self.chance = random.Random(seed)
        self.store = SimulatedStore("9.4", consumer_key="ck_chaos", consumer_secret="cs_chaos")
        self.store.populate(orders=14, products=9, coupons=4, customers=6)
        self.receiver = CallbackReceiver()
        self.engine = sa.create_engine(url)
        self.database = Database(self.engine)
        options = {"connect_args": {"timeout": 0.1}} if url.startswith("sqlite") else {}
        self._no_wait_engine = sa.create_engine(url, poolclass=sa.pool.NullPool, **options)
        self.instance_id = 0
        self.spawner = ProcessSpawner(self.environment, self.log)
        self.judge = Judge({})
        #: How often each notification was received, by id, in the order of the first time.
        self.received_counts: collections.Counter[str] = collections.Counter()
        #: When each of them was received; seconds, monotonic.
        self.received_at: dict[str, list[float]] = collections.defaultdict(list)
        self._kills: list[float] = []
        #: When an object last changed in the store; seconds, monotonic.
        self.changed: dict[ObjectKey, float] = {}
        self.webhook_log = WebhookLog(self.store)
        self._collected = 0
        self._bodies: dict[str, t.Any] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for the processes of the application."""
        given = {
            "ENCRYPTION_KEYS": self.key,
            "ALLOW_PRIVATE_CALLBACKS": "true",
            **({"PUBLIC_URL": f"{self.public}{PREFIX}"} if self.public else {}),
            **self.settings,
        }
        return {
            "FLASK_SQLALCHEMY_DATABASE_URI": self.url,
            KILL_TIMES: str(self.folder / "killed"),
            **{f"FLASK_WOO_EVENTS_{name}": value for name, value in given.items()},
        }

    @contextlib.contextmanager
    def running(self) -> cabc.Iterator[t.Self]:
        """Serve the store and the callback, connect them, and record the baseline."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.engine.dispose)
            stack.callback(self.database.dispose)
            stack.callback(self.spawner.close)
            store = stack.enter_context(self.store.serve())
            callback = stack.enter_context(self.receiver.serve())
            upgrade.upgrade(self.database.engine)
            self._connect(store, callback)
            self.spawner.start("poll", "--once").wait()
            wait_until(self._has_baseline)
            self.judge = Judge(self.truth())
            yield self

    def _connect(self, store: str, callback: str) -> None:
        configuration = {
            "store.url": store,
            "oauth.api.key": "ck_chaos",
            "oauth.api.secret": "cs_chaos",
            "event.notification.enabled": True,
            "event.notification.format": "extended",
            "event.notification.callback.url": callback,
            "event.vendor.type": "webhook" if self.public else "polling",
            "event.poller.refresh_interval": "15",
            # The judge compares every member, null or not.
            "filter.response.nulls": False,
            "event.poller.configuration": {
                name: {"url": f"/hubs/ecommerce/{name}"} for name in KINDS
            },
        }
        body = {"element": {"key": "woocommercerest"}, "name": "chaos"}
        plan = specification.plan(
            InstanceRequest.model_validate({**body, "configuration": configuration})
        )
        runtime = Runtime(Settings(encryption_keys=(self.key,)), self.database)
        now = runtime.clock()
        date = self.store.clock.now().replace(microsecond=0)
        facts = {"version": self.store.shop.version.number, "date": date.isoformat()}
        with self.database.write() as session:
            user = accounts.add_user(session, "chaos", "chaos", now)
            who = accounts.Caller(organization_id=user.organization_id, user_id=user.user_id)
            self.instance_id, _token = lifecycle.create(
                session, runtime.cipher, who, plan, facts, now
            )
            if self.public:
                session.get_one(Instance, self.instance_id).hooks_due_at = now

    def _has_baseline(self) -> bool:
        with self.database.read() as session:
            return set(session.scalars(sa.select(Poller.state))) == {PollerState.ACTIVE}

    # The store

    def truth(self) -> dict[tuple[str, str], bytes]:
        """Return the content of every live object of the polled resources."""
        return {thing: body for thing, body in truth(self.store).items() if thing[0] in KINDS}

    def change_store(self) -> None:
        """Make a random change in the store."""
        acts, chance = self.store.acts, self.chance
        with self.store.shop.lock:
            ids = {kind: sorted(self.store.truth(kind)) for kind in self.store.shop.tables
                   if kind in ("orders", "products", "coupons", "customers")}  # fmt: skip
            order, product = chance.choice(ids["orders"]), chance.choice(ids["products"])
            value = chance.randrange(10_000)
            changes: list[cabc.Callable[[], t.Any]] = [
                lambda: acts.status(order, chance.choice(("processing", "completed", "on-hold"))),
                lambda: acts.stock(product, value),
                lambda: acts.place_order(0, [product]),
                lambda: acts.coupon_use(chance.choice(ids["coupons"])),
                lambda: acts.profile(chance.choice(ids["customers"]), f"N{value}"),
                lambda: acts.new_product(f"P{value}"),
            ]
            if len(ids["orders"]) > 10:
                changes.append(lambda: acts.delete_for_good("orders", order))
            if len(ids["products"]) > 6:
                changes.append(lambda: acts.trash_post(product))
            before = self.truth()
            chance.choice(changes)()
            now = self.truth()
            self.judge.record(now)
            self.judge.record_poll(now)
            for thing in before.keys() | now.keys():
                if before.get(thing) != now.get(thing):
                    self.changed[thing] = time.monotonic()

    # The installation

    def kill(self, child: Child) -> None:
        """Kill a process, and record when."""
        self.record_kill()
        child.kill()

    def record_kill(self) -> None:
        """Record that a process is killed now."""
        self._kills.append(time.monotonic())

    @property
    def kills(self) -> list[float]:
        """When processes were killed, here or at crash points; seconds, monotonic."""
        noted = self.folder / "killed"
        at_crash_points = noted.read_text().split() if noted.exists() else ()
        return sorted([*self._kills, *map(float, at_crash_points)])

    def slow_down(self) -> None:
        """Delay the answers of the store and of the callback."""
        self.store.faults.add("delay", times=10**9, seconds=0.03)

        def answer(_received: Received) -> int:
            time.sleep(0.05)
            return 200

        self.receiver.answer = answer

    def hold_polls(self) -> None:
        """Suspend polls, so that only webhooks report changes."""
        self._set_polls(None)

    def resume_polls(self) -> None:
        """Make the instance due for a poll again."""
        self._set_polls(self.database.clock())

    def _set_polls(self, due: dt.datetime | None) -> None:
        with self.database.write() as session:
            session.execute(
                sa.update(Instance)
                .where(Instance.id == self.instance_id)
                .values(next_poll_at=due, regular_poll_at=due)
            )

    def check_webhooks_now(self) -> None:
        """Make the check of registered webhooks due."""
        with self.database.write() as session:
            session.execute(sa.update(Instance).values(hooks_due_at=self.database.clock()))

    @property
    def working(self) -> bool:
        """A process holds a lease, or a webhook waits to be processed."""
        with self.database.read() as session:
            held = sa.select(Delivery.id).where(Delivery.lease_token.is_not(None)).limit(1)
            arrived = sa.select(Arrival.id).limit(1)
            taken = session.get_one(Instance, self.instance_id).lease_until is not None
            return taken or any(session.scalars(query).first() for query in (held, arrived))

    @property
    def unclaimed(self) -> bool:
        """The leases of deliveries have ended."""
        ends = sa.select(Delivery.id).where(Delivery.lease_until > self.database.clock())
        with self.database.read() as session:
            return session.scalars(ends.limit(1)).first() is None

    def hurry(self) -> None:
        """Make retries due now, as if their time had passed."""
        now = self.database.clock()
        with self.database.write() as session:
            session.execute(sa.update(Subscription).values(next_due_at=now, held_until=None))
            due = sa.update(Delivery).where(Delivery.status == "retry")
            session.execute(due.values(due_at=now))

    def poll_now(self) -> None:
        """Make the instance due, as its interval would."""
        now = self.database.clock()
        # The lease of a killed worker remains.
        free = sa.or_(Instance.lease_until.is_(None), Instance.lease_until < now)
        with self.database.write() as session:
            session.execute(
                sa.update(Instance)
                .where(Instance.id == self.instance_id, free)
                .values(next_poll_at=Instance.created_at, regular_poll_at=Instance.created_at)
            )

    @property
    def idle(self) -> bool:
        """No process polls the instance."""
        with self.database.read() as session:
            return session.get_one(Instance, self.instance_id).lease_until is None

    def collect(self) -> None:
        """Judge the notifications received since the last call; count repeated ones."""
        received = self.receiver.received
        for one in received[self._collected :]:
            body = one.json
            number = body["message"]["eventId"]
            self.received_counts[number] += 1
            self.received_at[number].append(one.at)
            if number in self._bodies:
                assert self._bodies[number] == _lasting(one), "the same id, another notification"
                continue
            self._bodies[number] = _lasting(one)
            for thing, kind, content in events_in(body["message"]):
                self.judge.receive(thing, kind, content)
        self._collected = len(received)

    @property
    def complete(self) -> bool:
        """Every change was delivered, and the results are written."""
        self.collect()
        return self.judge.agrees(self.truth()) and self.delivered

    @property
    def delivered(self) -> bool:
        """No delivery is unsettled."""
        with self.database.read() as session:
            waiting = sa.select(Delivery.id).where(Delivery.status.in_(UNSETTLED)).limit(1)
            return session.scalars(waiting).first() is None

    def unsent(self) -> list[str]:
        """Return objects whose last webhook was accepted, and whose change was not delivered.

        Not those that are missing, and are held back since many were deleted lately.
        """
        self.collect()
        now, held = self.truth(), self._held()
        return [
            f"{thing[0]} {thing[1]}: its webhook was accepted"
            for thing in self.webhook_log.accepted(self.changed)
            if self.judge.known.get(thing) != now.get(thing) and (thing in now or thing not in held)
        ]

    def _held(self) -> set[ObjectKey]:
        """Return the objects that wait for a second reading, or for the end of a hold."""
        query = sa.select(Poller.resource, Object.object_id).join(
            Object, Object.poller_id == Poller.id
        )
        with self.database.read() as session:
            rows = session.execute(query.where(Object.held_at.is_not(None))).all()
            return {(resource, object_id) for resource, object_id in rows}

    def verdict(self, *, seconds: float = HANG_SECONDS) -> Verdict:
        """Wait until every change is delivered, and judge.

        Deletions that webhooks should have reported are many for one poll, which holds them back;
        an operator who sees that accepts them.
        """
        end = time.monotonic() + seconds
        while not self.complete and time.monotonic() < end:
            self._accept_deletions()
            self.poll_now()
            time.sleep(0.2)
        assert contradictions(self.database, utc_now) == []
        return self.judge.verdict(self.truth())

    def _accept_deletions(self) -> None:
        with self.database.write() as session:
            if "accepted" not in (session.get_one(Instance, self.instance_id).belief or {}):
                caller = access.owner(session, self.instance_id)
                lifecycle.accept(session, caller, self.instance_id, self.database.clock())

    @property
    def webhooks_ready(self) -> bool:
        """The webhooks are registered at the store."""
        with self.database.read() as session:
            hooks = session.get_one(Instance, self.instance_id).hooks
        there = {row.id for row in self.store.shop.tables["webhooks"] if row.status == "active"}
        return bool(hooks) and {one.get("id") for one in hooks} <= there

    def errors(self) -> list[str]:
        """Return the errors of resources."""
        with self.database.read() as session:
            return [f"{one.resource}: {one.error}" for one in session.scalars(sa.select(Poller))]

    def pause(self, child: Child) -> None:
        """Pause a process while it holds no database lock, which would block the others."""
        wait_until(lambda: self._paused(child))

    def _paused(self, child: Child) -> bool:
        child.signal(signal.SIGSTOP)
        time.sleep(0.05)
        try:
            with self._no_wait_engine.connect() as connection:
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                    return True
                for table in (Instance, Subscription, Delivery):
                    connection.execute(sa.select(table.id).with_for_update(nowait=True))
                return True
        except sa.exc.OperationalError:
            child.signal(signal.SIGCONT)
            return False

    @property
    def pending_webhooks(self) -> int:
        """How many webhooks are not processed yet."""
        with self.database.read() as session:
            return session.scalars(sa.select(sa.func.count()).select_from(Arrival)).one()


def _lasting(received: Received) -> t.Any:
    """Return what must be the same when a notification is repeated."""
    return received.json["message"]["events"], received.json["message"]["raw"]
