"""The environment of a scenario: a store, our side and a callback, with settable clocks."""

from __future__ import annotations

import collections
import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import pathlib
import secrets
import tempfile
import threading
import typing as t

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from ...db import upgrade
from ...db.database import Database
from ...db.models import Instance
from ...events.feed import FeedChoice
from ...events.feed_cursor import FeedScope
from ...instances import accounts, lifecycle, specification, subscriptions
from ...instances.requests import InstanceRequest
from ...instances.specification import InstanceSpec
from ...instances.subscription_requests import SubscriptionRequest
from ...runtime import Runtime
from ...settings import Settings
from ...sync.reconcile import reconciliation
from ...sync.report import PollReport
from ...values.cloud_elements import Format
from ...values.crypto import Cipher
from ...worker.worker import Worker
from ..callback_receiver import CallbackReceiver, Received
from ..store import SimulatedStore
from .ground_truth import KINDS, truth
from .judge import Judge, ObjectKey, Verdict, events_in

INTERVAL = dt.timedelta(minutes=15)
_KEY = "the-key-of-the-proof"
#: Polls after which every visible change must have been found.
_ENOUGH_POLLS = 14


class Crash(BaseException):
    """Raised where our process is to end."""


class CrashableDatabase(Database):
    """A database in which a process can end at a commit."""

    #: Called before and after each commit of the main thread, with whether it is after.
    on_commit: cabc.Callable[[bool], None] = staticmethod(lambda after: None)

    @contextlib.contextmanager
    def write(self) -> cabc.Iterator[orm.Session]:
        """Yield a session for a write that may end before or after its commit."""
        with super().write() as session:
            yield session
            self.on_commit(False)
        self.on_commit(True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """The store that a scenario needs."""

    orders: int = 12
    products: int = 8
    coupons: int = 4
    customers: int = 6
    timezone: str = "UTC"
    page_size: int = 5
    #: Whether the baseline is recorded before the scenario begins.
    baseline: bool = True


class Environment:
    """Owns the store, our side and the callback of one scenario.

    :param database: a database with our tables.
    :param version: the simulated WooCommerce version.
    :param journal: whether the store has the companion plugin.
    """

    def __init__(
        self, database: CrashableDatabase, version: str, setup: Setup, *, journal: bool = False
    ) -> None:
        self.store = SimulatedStore(
            version,
            consumer_key="ck_proof",
            consumer_secret="cs_proof",
            timezone=setup.timezone,
            journal=journal,
        )
        self.store.populate(
            orders=setup.orders,
            products=setup.products,
            coupons=setup.coupons,
            customers=setup.customers,
        )
        self.acts = self.store.acts
        self.receiver = CallbackReceiver(self._answer)
        #: Statuses that the callback returns next; 200 when the queue is empty.
        self.answers: collections.deque[int] = collections.deque()
        self._accepted: list[Received] = []
        self.badly_signed = 0
        self._now = dt.datetime.now(dt.UTC)
        self._setup = setup
        self._database = database
        self._commits_left: int | None = None
        self._crash_after = True
        database.on_commit = self._on_commit
        settings = Settings(
            encryption_keys=(Cipher.generate_key(),),
            allow_private_callbacks=True,
            poll_page_size=setup.page_size,
        )
        self.runtime = Runtime(settings, database, lambda: self._now)
        self.instance_id = 0

    @contextlib.contextmanager
    def running(self) -> cabc.Iterator[t.Self]:
        """Serve the store and the callback, connect them, and record the baseline."""
        with self.store.serve() as store_url, self.receiver.serve() as callback_url:
            self.instance_id = self._connect(store_url, callback_url)
            self.judge = Judge(truth(self.store))
            if self._setup.baseline:
                self.poll()
                if self.store.journal.installed:
                    self.poll()  # The journal is trusted from the end of this poll.
                self.judge = Judge(truth(self.store))
            try:
                yield self
            finally:
                self._remove()

    # The store

    def do(self, action: cabc.Callable[[], t.Any]) -> t.Any:
        """Perform an action in the store and record the new state."""
        result = action()
        self.judge.record(truth(self.store))
        return result

    def rest(self, method: str, path: str, **body: t.Any) -> dict[str, t.Any]:
        """Call the store's own REST API and record the new state."""
        with self.store.shop.lock:
            answer = self.store.routes.answer(method, path, path, {}, body)
        if answer.status >= 300:
            raise ValueError(f"the simulated store answered {method} {path}: {answer.body!r}")
        self.judge.record(truth(self.store))
        return t.cast("dict[str, t.Any]", orjson.loads(answer.body))

    def truth(self) -> dict[ObjectKey, bytes]:
        """Return the digest of every live object now."""
        return truth(self.store)

    def ids(self, kind: str) -> list[int]:
        """Return the ids of the live objects of a kind, as the simulator names it."""
        return sorted(self.store.truth(kind))

    def when(
        self, request: int, action: cabc.Callable[[], t.Any], path: str = "/wc/v3/"
    ) -> threading.Event:
        """Perform an action at a later request; the returned event is set when that happened.

        :param request: the number of requests before it, counted from now.
        :param path: count only requests whose path contains this.
        """
        seen, done = iter(range(request + 1)), threading.Event()

        def check(_method: str, at: str, _params: cabc.Mapping[str, str]) -> bool:
            if path in at and next(seen, None) == request:
                self.do(action)
                done.set()
            return False

        self.store.faults.add("delay", match=check, times=1, seconds=0)
        return done

    def pass_time(self, ours: dt.timedelta, store: dt.timedelta | None = None) -> None:
        """Move our clock, and the store's by as much or by another time."""
        self._now += ours
        self.store.clock.advance((ours if store is None else store).total_seconds())

    # Our side

    def poll(self) -> list[PollReport]:
        """Poll after an interval, deliver, and judge the notifications that arrive."""
        self.pass_time(INTERVAL)
        worker = Worker(self.runtime)
        reports: list[PollReport] = []
        with contextlib.suppress(Crash):
            reports = worker.poll_once([self.instance_id])
            worker.deliver_once()
        self.collect()
        return reports

    def deliver(self) -> None:
        """Send the deliveries that are due now, and judge what arrives."""
        Worker(self.runtime).deliver_once()
        self.collect()

    def collect(self) -> None:
        """Judge the notifications that have arrived."""
        self.judge.record_poll(truth(self.store))
        received, self._accepted = self._accepted, []
        for notification in received:
            self.badly_signed += not notification.is_signed_with(_KEY)
            for key, event_type, content in events_in(notification.json["message"]):
                self.judge.receive(key, event_type, content)

    def _answer(self, received: Received) -> int:
        status = self.answers.popleft() if self.answers else 200
        if status == 200:
            self._accepted.append(received)
        return status

    def crash_at(self, commit: int, *, after: bool = True) -> None:
        """Let our process end at this commit, counted from now."""
        self._commits_left, self._crash_after = commit, after

    def _on_commit(self, after: bool) -> None:
        if self._commits_left is None or threading.current_thread().name == "woo-leases":
            return
        if self._commits_left == 0 and after == self._crash_after:
            self._commits_left = None
            raise Crash
        if after and self._commits_left:
            self._commits_left -= 1

    def settle(self, polls: int = _ENOUGH_POLLS) -> Verdict:
        """Poll until every event must have arrived, then twice more, and return the verdict.

        No event may arrive in the last two polls.
        """
        self._commits_left = None
        for _ in range(polls):
            if self.judge.agrees(truth(self.store)):
                break
            self.poll()
        for _ in range(2):
            self.poll()
        return self.judge.verdict(truth(self.store))

    def subscribe(self, request: SubscriptionRequest) -> int:
        """Add a subscription to the instance, and return its id."""
        cipher = self.runtime.cipher
        with self.runtime.database.write() as session:
            return subscriptions.create(
                session, cipher, self._caller, self.instance_id, request, self._now
            )

    def reconcile(
        self, resource: str, copies: cabc.Iterable[t.Any], subscription_id: int | None = None
    ) -> list[dict[str, t.Any]]:
        """Compare copies of a resource with the ledger, and return what differs.

        :param subscription_id: sends what differs to this subscription.
        """
        request = reconciliation.Request(
            instance_id=self.instance_id,
            resource=resource,
            send=subscription_id is not None,
            subscription_id=subscription_id,
        )
        lines = (orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in copies)
        found = reconciliation.reconcile(self.runtime, self._caller, request, lines)
        with contextlib.closing(found):
            return [orjson.loads(row) for row in found.rows()]

    def feed_of(self, subscription_id: int | None = None) -> tuple[FeedChoice, Format | None]:
        """Return the feed of the instance, or of a subscription with its format."""
        scope = FeedScope(
            organization_id=self._caller.organization_id,
            instance_id=self.instance_id,
            subscription_id=subscription_id,
        )
        if subscription_id is None:
            return FeedChoice(scope=scope), None
        with self.runtime.database.read() as session:
            options, target, _ = subscriptions.options_of(
                session, self._caller, self.instance_id, subscription_id
            )
        return FeedChoice(scope=scope, choice=options.choice, target=target), options.format

    def waiting(self) -> int:
        """Return how many deliveries are not sent yet, to all subscriptions."""
        with self.runtime.database.read() as session:
            views = subscriptions.of_instance(session, None, self._caller, self.instance_id)
        return sum(one.waiting for one in views)

    @property
    def notices(self) -> list[dict[str, t.Any]]:
        """The notices of the instance about its store."""
        with self.runtime.database.read() as session:
            return session.get_one(Instance, self.instance_id).notices

    def _connect(self, store_url: str, callback_url: str) -> int:
        configuration = {
            "store.url": store_url,
            "oauth.api.key": "ck_proof",
            "oauth.api.secret": "cs_proof",
            "event.notification.enabled": True,
            "event.notification.callback.url": callback_url,
            "event.notification.signature.key": _KEY,
            # Every field is judged, also those that are null.
            "filter.response.nulls": False,
            "event.poller.configuration": {
                name: {"url": f"/hubs/ecommerce/{name}"} for name in KINDS
            },
        }
        self._name = f"proof-{secrets.token_hex(6)}"
        date = self.store.clock.now().replace(microsecond=0)
        facts = {"version": self.store.shop.version.number, "date": date.isoformat()}
        self._caller, instance_id = create_instance(
            self.runtime, self._name, spec_of("proof", configuration), facts, self._now
        )
        return instance_id

    def _remove(self) -> None:
        """Remove the instance and the user from the database."""
        self._commits_left = None
        with self.runtime.database.write() as session:
            lifecycle.delete(session, self._caller, self.instance_id)
        with self.runtime.database.write() as session:
            accounts.remove_user(session, self._name, self._name)


def spec_of(name: str, configuration: dict[str, t.Any]) -> InstanceSpec:
    """Return the specification of an instance with this configuration."""
    body = {"element": {"key": "woocommercerest"}, "name": name, "configuration": configuration}
    return specification.plan(InstanceRequest.model_validate(body))


def create_instance(
    runtime: Runtime,
    name: str,
    spec: InstanceSpec,
    facts: cabc.Mapping[str, t.Any],
    now: dt.datetime,
) -> tuple[accounts.Caller, int]:
    """Create a user of this name with an instance; return the caller and the instance's id."""
    with runtime.database.write() as session:
        user = accounts.add_user(session, name, name, now)
        caller = accounts.Caller(organization_id=user.organization_id, user_id=user.user_id)
        instance_id, _token = lifecycle.create(session, runtime.cipher, caller, spec, facts, now)
    return caller, instance_id


@contextlib.contextmanager
def database(url: str | None) -> cabc.Iterator[CrashableDatabase]:
    """Yield a database with our tables; without a URL, in a file that is deleted at the end."""
    with tempfile.TemporaryDirectory() as folder:
        file = f"sqlite:///{pathlib.Path(folder).as_posix()}/proof.sqlite3"
        engine = sa.create_engine(url or file)
        opened = CrashableDatabase(engine)
        try:
            upgrade.upgrade(opened.engine)
            yield opened
        finally:
            opened.dispose()
            engine.dispose()
