"""What another session writes between two steps of an operation is kept."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import threading
import typing as t
import urllib.parse
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from flask_woo_events.db.clock import utc_now
from flask_woo_events.db.database import Database
from flask_woo_events.db.leases import InstanceLease, LeaseRenewer, claim_instance
from flask_woo_events.db.models import Instance, Organization, StoredEvent, Subscription, Usage
from flask_woo_events.db.states import Source
from flask_woo_events.instances import access, accounts, configuration, lifecycle, wc_auth, webhooks
from flask_woo_events.instances.accounts import Caller
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.sync.cursor import Cursor
from flask_woo_events.sync.instance_poll import InstancePoll
from flask_woo_events.sync.ledger.lookup import LedgerView
from flask_woo_events.sync.ledger.observation import Observation, ObservationBatch
from flask_woo_events.sync.ledger.representation import StoreState
from flask_woo_events.sync.present_store import PresentStore
from flask_woo_events.sync.reading.base import Batch
from flask_woo_events.sync.recorder import PollRecorder
from flask_woo_events.sync.report import PollReport
from flask_woo_events.values.crypto import Cipher
from tests.conftest import BACKENDS
from tests.integration import ledger_env
from tests.integration.host_app import StubStore
from tests.integration.ledger_env import LedgerEnv
from tests.integration.two_sessions import before_statement

LEASE = dt.timedelta(seconds=10)
#: A SQLite file has one writer at a time.
SERVERS = pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)


class _IdlePoll(InstancePoll):
    """A poll that reads nothing, between its claim and its release."""

    def __init__(self, runtime: Runtime, work: cabc.Callable[[], object] = lambda: None) -> None:
        super().__init__(runtime, LeaseRenewer(runtime.database, runtime.clock, LEASE))
        self._act = work

    def _work(self, lease: InstanceLease, started: dt.datetime, reports: list[PollReport]) -> None:
        self._act()


@pytest.fixture
def env(any_database: Database) -> LedgerEnv:
    return ledger_env.build(any_database)


@pytest.fixture
def runtime(any_database: Database) -> Runtime:
    settings = Settings(encryption_keys=(Cipher.generate_key(),), allow_private_stores=True)
    return Runtime(settings, any_database)


def _caller(database: Database, instance_id: int) -> Caller:
    with database.read() as session:
        return access.owner(session, instance_id)


@SERVERS
@pytest.mark.parametrize("asks", ["poll_now", "poll_missed"])
def test_poll_that_is_asked_for_while_another_ends(
    env: LedgerEnv, runtime: Runtime, asks: str
) -> None:
    """A request for a poll is kept, although the poll that ends has planned the next one."""
    number, database = env.stream.instance_id, env.database
    caller = _caller(database, number)

    def ask() -> None:
        with database.write() as session:
            if asks == "poll_now":
                lifecycle.poll_now(session, caller, number, runtime.clock())
            else:
                webhooks.poll_missed(session, runtime.clock(), Instance.id == number)

    with before_statement(database, "min(woo_poller.retry_at)", ask):
        _IdlePoll(runtime).run(number)
    with database.read() as session:
        instance = session.get_one(Instance, number)
        assert instance.next_poll_at is not None
        assert instance.next_poll_at <= runtime.clock()
        assert instance.lease_until is None


@SERVERS
def test_interval_that_changes_while_a_poll_ends(env: LedgerEnv, runtime: Runtime) -> None:
    """The next poll follows the new interval."""
    number, database = env.stream.instance_id, env.database

    def change() -> None:
        with database.write() as session:
            instance = lifecycle.find(session, _caller(database, number), number, lock=True)
            instance.refresh_minutes = 1
            instance.next_poll_at, instance.regular_poll_at = runtime.clock(), None

    with before_statement(database, "min(woo_poller.retry_at)", change):
        _IdlePoll(runtime).run(number)
    with database.read() as session:
        due = session.get_one(Instance, number).next_poll_at
    assert due is not None
    assert due <= runtime.clock() + dt.timedelta(minutes=1)


@SERVERS
def test_polls_of_two_workers_in_a_new_hour(env: LedgerEnv, runtime: Runtime) -> None:
    """The usage of a worker that lost its lease and of the one that took it is counted."""
    number, database = env.stream.instance_id, env.database

    def lose() -> None:
        with database.write() as session:
            past = runtime.clock() - LEASE
            session.execute(sa.update(Instance).values(lease_until=past))

    with before_statement(
        database, "INSERT INTO woo_usage", lambda: _IdlePoll(runtime).run(number)
    ):
        _IdlePoll(runtime, lose).run(number)
    with database.read() as session:
        assert session.scalars(sa.select(Usage.turns)).all() == [2]


@SERVERS
def test_secret_that_changes_while_the_keys_are_rotated(env: LedgerEnv, runtime: Runtime) -> None:
    """A rotation of the encryption keys keeps a new secret."""
    number, database, cipher = env.stream.instance_id, env.database, runtime.cipher

    def change(secret: str) -> None:
        with database.write() as session:
            lifecycle.find(session, _caller(database, number), number, lock=True)
            configuration.write(session, cipher, number, {"oauth.api.secret": secret})

    change("old")
    with before_statement(database, "UPDATE woo_configuration", lambda: change("new")):
        with database.write() as session:
            assert configuration.rotate(session, cipher, number) == (1, [])
    with database.read() as session:
        assert configuration.read(session, cipher, number).texts == {"oauth.api.secret": "new"}


@SERVERS
def test_deadlock_does_not_end_a_poll(env: LedgerEnv, runtime: Runtime) -> None:
    """A batch is recorded although the database ended its transaction because of a deadlock."""
    database, stream, now = env.database, env.stream, runtime.clock()
    renewer = LeaseRenewer(database, runtime.clock, LEASE)
    with database.write() as session:
        lease = claim_instance(session, stream.instance_id, runtime.clock, LEASE)
    assert lease is not None
    ledger, store = LedgerView(database, stream.poller_id, 0), SimpleNamespace(state=StoreState())
    recorder = PollRecorder(
        database,
        lease,
        renewer,
        stream,
        ledger,
        Cursor(),
        t.cast(PresentStore, store),
        runtime.clock,
    )
    seen = Observation(object_id="1", body={"id": 1}, seen_at=now)
    observed = ObservationBatch(
        source=Source.POLL, observations=[seen], read_revision=0, poll_date=now
    )

    def hurry(connection: sa.Connection) -> None:
        if connection.dialect.name == "postgresql":
            # The transaction that looks for deadlocks first is ended.
            connection.exec_driver_sql("SET LOCAL deadlock_timeout = '10ms'")

    with database.begin() as other:
        other.execute(sa.select(Subscription.id).with_for_update())
        # MariaDB ends the transaction that has changed less.
        row = {"secret_hash": "", "created_at": now, "settings": {}}
        rows = [{**row, "name": f"{one}", "secret_hash": f"{one}"} for one in range(99)]
        other.execute(sa.insert(Organization), rows)

        def want_the_instance() -> None:
            other.execute(sa.select(Instance.id).with_for_update())
            other.rollback()

        sa.event.listen(database.engine, "begin", hurry)
        with before_statement(database, "FROM woo_subscription", want_the_instance):
            recorder.record(Batch(Cursor(), observed), now)
        sa.event.remove(database.engine, "begin", hurry)
    assert recorder.changed == {"1"}
    with database.read() as session:
        assert session.scalars(sa.select(StoredEvent.object_id)).all() == ["1"]


@SERVERS
def test_instance_that_is_connected_while_its_user_is_removed(
    env: LedgerEnv, runtime: Runtime
) -> None:
    """The instance passes to another user, or is refused; it is not deleted with its user."""
    number, database = env.stream.instance_id, env.database
    with database.write() as session:
        home = session.scalars(sa.select(Organization)).one().name
        heir = accounts.add_user(session, "bob", home, utc_now()).user_id
        ann = session.get_one(Instance, number).user_id
        session.get_one(Instance, number).user_id = heir

    def connect() -> None:
        with contextlib.suppress(sa.exc.IntegrityError), database.write() as session:
            session.get_one(Instance, number).user_id = ann

    with before_statement(database, "DELETE FROM woo_user", connect), database.write() as session:
        accounts.remove_user(session, "ann", home)
    with database.read() as session:
        assert session.scalars(sa.select(Instance.user_id)).all() == [heir]


def _approve(runtime: Runtime, caller: Caller, store: str) -> cabc.Callable[[], int]:
    """Begin to connect a store; return a function that takes the keys that it sends."""
    base = "https://events.test"
    with runtime.database.write() as session:
        target = wc_auth.begin(
            session,
            runtime.cipher,
            caller,
            store_url=store,
            request={},
            base=base,
            now=runtime.clock(),
        )
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)["user_id"][0]
    return lambda: wc_auth.finish(runtime, state, f"ck_{state}", "cs_test", base)


@pytest.fixture
def approvals(
    runtime: Runtime, store_server: StubStore
) -> tuple[cabc.Callable[[], int], cabc.Callable[[], int]]:
    """Begin to connect one store twice."""
    with runtime.database.write() as session:
        user = accounts.add_user(session, "ann", "acme", utc_now())
    caller = Caller(organization_id=user.organization_id, user_id=user.user_id)
    url = store_server.url
    return _approve(runtime, caller, url), _approve(runtime, caller, url)


def test_two_approvals_of_one_store(
    runtime: Runtime,
    store_server: StubStore,
    approvals: tuple[cabc.Callable[[], int], cabc.Callable[[], int]],
) -> None:
    """An approval that ends while the keys of another one are checked leads to one instance."""
    first, second = approvals
    once, plain, found = threading.Lock(), store_server.answer, []

    def answer(target: str) -> tuple[int, str, bytes]:
        if once.acquire(blocking=False):
            found.append(second())
        return plain(target)

    store_server.answer = answer  # type: ignore[method-assign]
    found.append(first())
    with runtime.database.read() as session:
        assert session.scalars(sa.select(Instance.id)).all() == found[:1]
    assert found[0] == found[1]


@SERVERS
def test_two_approvals_of_one_store_in_one_moment(
    runtime: Runtime, approvals: tuple[cabc.Callable[[], int], cabc.Callable[[], int]]
) -> None:
    """The second of two approvals waits until the instance of the first one is stored."""
    first, second = approvals
    with before_statement(runtime.database, "INSERT INTO woo_instance", second):
        found = first()
    with runtime.database.read() as session:
        assert session.scalars(sa.select(Instance.id)).all() == [found]
