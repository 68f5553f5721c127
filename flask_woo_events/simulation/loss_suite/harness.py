"""The rig: a store, our side and a callback over real sockets, with clocks moved by hand."""

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
from ...instances import accounts, lifecycle, specification
from ...instances.requests import InstanceRequest
from ...runtime import Runtime
from ...settings import Settings
from ...sync.report import PollReport
from ...values.crypto import Cipher
from ...worker.worker import Worker
from ..callback_receiver import CallbackReceiver, Received
from ..store import SimulatedStore
from .ground_truth import KINDS, truth
from .judge import Judge, Thing, Verdict, told

INTERVAL = dt.timedelta(minutes=15)
_KEY = "the-key-of-the-proof"
#: Polls within which whatever can be seen has been seen.
_ENOUGH_POLLS = 14


class Crash(BaseException):
    """Our process ends here."""


class Fragile(Database):
    """A database whose commits can be the last thing that a process does."""

    #: Called before and after each commit of the main thread.
    on_commit: cabc.Callable[[bool], None] = staticmethod(lambda after: None)

    @contextlib.contextmanager
    def write(self) -> cabc.Iterator[orm.Session]:
        """A write that may end before or after its commit."""
        with super().write() as session:
            yield session
            self.on_commit(False)
        self.on_commit(True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """What a scenario needs of its store."""

    orders: int = 12
    products: int = 8
    coupons: int = 4
    customers: int = 6
    timezone: str = "UTC"
    page_size: int = 5
    #: Whether the store is read before the scenario begins.
    baseline: bool = True


class Rig:
    """One scenario's world.

    :param database: where our tables are; they are there already.
    :param version: of the simulated WooCommerce.
    :param journal: the store has the companion plugin.
    """

    def __init__(
        self, database: Fragile, version: str, setup: Setup, *, journal: bool = False
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
        #: What the callback answers next; 200 when it is empty.
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
        """Serve the store and the callback, connect them, and read the store once."""
        with self.store.serve() as store_url, self.receiver.serve() as callback_url:
            self.instance_id = self._connect(store_url, callback_url)
            self.judge = Judge(truth(self.store))
            if self._setup.baseline:
                self.poll()
                if self.store.journal.installed:
                    self.poll()  # It is believed once this one ended.
                self.judge = Judge(truth(self.store))
            try:
                yield self
            finally:
                self._forget()

    # The store

    def do(self, act: cabc.Callable[[], t.Any]) -> t.Any:
        """Let something happen in the store."""
        result = act()
        self.judge.record(truth(self.store))
        return result

    def rest(self, method: str, path: str, **body: t.Any) -> dict[str, t.Any]:
        """Call the store's own REST API."""
        with self.store.shop.lock:
            answer = self.store.routes.answer(method, path, path, {}, body)
        if answer.status >= 300:
            raise ValueError(f"the simulated store answered {method} {path}: {answer.body!r}")
        self.judge.record(truth(self.store))
        return t.cast("dict[str, t.Any]", orjson.loads(answer.body))

    def truth(self) -> dict[Thing, bytes]:
        """The content of every live object now."""
        return truth(self.store)

    def ids(self, kind: str) -> list[int]:
        """Live objects of a kind, in the simulator's words, by id."""
        return sorted(self.store.truth(kind))

    def when(
        self, request: int, act: cabc.Callable[[], t.Any], path: str = "/wc/v3/"
    ) -> threading.Event:
        """Act when so many requests have been made from now on; tells whether it came to that."""
        seen, done = iter(range(request + 1)), threading.Event()

        def look(_method: str, at: str, _params: cabc.Mapping[str, str]) -> bool:
            if path in at and next(seen, None) == request:
                self.do(act)
                done.set()
            return False

        self.store.faults.add("delay", match=look, times=1, seconds=0)
        return done

    def pass_time(self, ours: dt.timedelta, stores: dt.timedelta | None = None) -> None:
        """Let time pass; the store's clock may do what it likes."""
        self._now += ours
        self.store.clock.advance((ours if stores is None else stores).total_seconds())

    # Our side

    def poll(self) -> list[PollReport]:
        """Poll as after an interval, deliver, and take what arrives."""
        self.pass_time(INTERVAL)
        worker = Worker(self.runtime)
        reports: list[PollReport] = []
        with contextlib.suppress(Crash):
            reports = worker.poll_once([self.instance_id])
            worker.deliver_once()
        self.collect()
        return reports

    def deliver(self) -> None:
        """Deliver what is due now."""
        Worker(self.runtime).deliver_once()
        self.collect()

    def collect(self) -> None:
        """Take what has arrived."""
        self.judge.polled(truth(self.store))
        received, self._accepted = self._accepted, []
        for one in received:
            self.badly_signed += not one.is_signed_with(_KEY)
            for thing, kind, content in told(one.json["message"]):
                self.judge.tell(thing, kind, content)

    def _answer(self, received: Received) -> int:
        status = self.answers.popleft() if self.answers else 200
        if status == 200:
            self._accepted.append(received)
        return status

    def crash_at(self, commit: int, *, after: bool = True) -> None:
        """Let our process end at this commit from now on."""
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
        """Poll until everything must have arrived, and then twice more, when nothing may."""
        self._commits_left = None
        for _ in range(polls):
            if self.judge.agrees(truth(self.store)):
                break
            self.poll()
        for _ in range(2):
            self.poll()
        return self.judge.verdict(truth(self.store))

    @property
    def notices(self) -> list[dict[str, t.Any]]:
        """What the instance says of its store."""
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
            # Judged is what the store shows, to the last null.
            "filter.response.nulls": False,
            "event.poller.configuration": {
                name: {"url": f"/hubs/ecommerce/{name}"} for name in KINDS
            },
        }
        body = {"element": {"key": "woocommercerest"}, "name": "proof"}
        plan = specification.plan(
            InstanceRequest.model_validate({**body, "configuration": configuration})
        )
        with self.runtime.database.write() as session:
            self._name = f"proof-{secrets.token_hex(6)}"
            user = accounts.add_user(session, self._name, self._name, self._now)
            who = accounts.Caller(organization_id=user.organization_id, user_id=user.user_id)
            self._who = who
            date = self.store.clock.now().replace(microsecond=0)
            facts = {"version": self.store.shop.version.number, "date": date.isoformat()}
            number, _token = lifecycle.create(
                session, self.runtime.cipher, who, plan, facts, self._now
            )
        return number

    def _forget(self) -> None:
        """Take what is ours out of the database again."""
        self._commits_left = None
        with self.runtime.database.write() as session:
            lifecycle.delete(session, self._who, self.instance_id)
        with self.runtime.database.write() as session:
            accounts.remove_user(session, self._name, self._name)


@contextlib.contextmanager
def database(url: str | None) -> cabc.Iterator[Fragile]:
    """Our tables, in a database of their own or, without a URL, in a file that goes again."""
    with tempfile.TemporaryDirectory() as folder:
        file = f"sqlite:///{pathlib.Path(folder).as_posix()}/proof.sqlite3"
        engine = sa.create_engine(url or file)
        made = Fragile(engine)
        try:
            upgrade.upgrade(made.engine)
            yield made
        finally:
            made.dispose()
            engine.dispose()
