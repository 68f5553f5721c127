"""Slow stores: those that do not answer promptly have threads of their own; no other store waits.

Stores hang until a test ends, so what is done before has not waited for them.
"""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import contextlib
import datetime as dt
import functools
import pathlib
import shutil
import threading
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Arrival, Instance, Poller
from flask_woo_events.db.states import PollerState
from flask_woo_events.instances import accounts, circuit, lifecycle, specification
from flask_woo_events.instances.requests import InstanceRequest
from flask_woo_events.runtime import Runtime
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.sync.instance_poll import InstancePoll, due_instances
from flask_woo_events.worker import worker
from flask_woo_events.worker.worker import Worker, lease_renewer
from tests.integration.host_app import body_for, dispose, make_app, runtime_of
from tests.raw_server import Connection, RawServer, serve_raw
from tests.waiting import HANG_SECONDS, wait_until

RESOURCES = ("orders", "products")
#: The hanging stores fill all ordinary threads more than once, and leave one for slow stores free:
#: a healthy store that a busy machine makes slow must not wait for them.
HANGING, HEALTHY, THREADS, SLOW_THREADS = 3, 3, 2, 4


def stay_silent(connection: Connection) -> None:
    """Accept a request and answer nothing."""
    connection.read()
    connection.stop.wait(HANG_SECONDS)


class Stores:
    """Stores of one organization, some of which hang, and the worker that serves all of them."""

    def __init__(self, runtime: Runtime, healthy: str, hanging: RawServer) -> None:
        self.runtime = runtime
        with runtime.database.write() as session:
            user = accounts.add_user(session, "alice", "example", runtime.clock())
        self._caller = accounts.Caller(organization_id=user.organization_id, user_id=user.user_id)
        # The hanging ones come first in every order.
        self.hanging = [self._connect(hanging.url) for _ in range(HANGING)]
        self.healthy = [self._connect(healthy) for _ in range(HEALTHY)]

    def _connect(self, url: str) -> int:
        pollers = {name: {"url": f"/hubs/ecommerce/{name}"} for name in RESOURCES}
        body = body_for(url, **{"event.poller.configuration": pollers})
        spec = specification.plan(InstanceRequest.model_validate(body))
        runtime = self.runtime
        with runtime.database.write() as session:
            created, _ = lifecycle.create(
                session, runtime.cipher, self._caller, spec, {"version": "11.0.1"}, runtime.clock()
            )
        return created

    def make_due(self, **more: object) -> dt.datetime:
        """Make all instances due for a poll; return when."""
        now = self.runtime.clock()
        with self.runtime.database.write() as session:
            due = {"next_poll_at": now, "regular_poll_at": now}
            session.execute(sa.update(Instance).values({**due, **more}))
        return now

    def slow(self) -> set[int]:
        """Return the instances whose stores count as slow."""
        with self.runtime.database.read() as session:
            return set(session.scalars(sa.select(Instance.id).where(circuit.chosen(True))))

    def all_healthy(self, column: sa.SQLColumnExpression[t.Any]) -> bool:
        """Return whether a column or condition is true of all healthy stores' instances."""
        with self.runtime.database.read() as session:
            return all(session.scalars(sa.select(column).where(Instance.id.in_(self.healthy))))

    @contextlib.contextmanager
    def worker(self) -> cabc.Iterator[None]:
        """Run a worker while the block runs."""
        running = Worker(self.runtime, deliver=False)
        thread = threading.Thread(target=running.run)
        thread.start()
        try:
            yield
        finally:
            running.stop()
            self._servers.close()
            thread.join()

    _servers: contextlib.ExitStack
    #: The store of all healthy instances.
    store: SimulatedStore


@pytest.fixture
def stores(
    tmp_path: pathlib.Path, tables: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> cabc.Iterator[Stores]:
    for name in ("CHECK_EVERY", "SETTLE_EVERY", "WATCH_EVERY"):
        monkeypatch.setattr(worker, name, 0.01)
    shutil.copy(tables, tmp_path / "host.sqlite3")
    app = make_app(
        tmp_path,
        WOO_EVENTS_POLL_THREADS=THREADS,
        WOO_EVENTS_SETTLE_THREADS=THREADS,
        WOO_EVENTS_SLOW_THREADS=SLOW_THREADS,
        WOO_EVENTS_STORE_PATIENCE=0.2,
        WOO_EVENTS_STORE_READ_TIMEOUT=HANG_SECONDS,
        WOO_EVENTS_STORE_TOTAL_TIMEOUT=HANG_SECONDS,
    )
    store = SimulatedStore("11.0", consumer_key="ck_test", consumer_secret="cs_test")
    store.populate(orders=3, products=2, coupons=1, customers=1)
    with store.serve() as url, contextlib.ExitStack() as servers:
        found = Stores(runtime_of(app), url, servers.enter_context(serve_raw(stay_silent)))
        found._servers, found.store = servers, store
        yield found
    dispose(app)


@pytest.mark.slow
def test_healthy_stores_are_polled_while_all_others_hang(stores: Stores) -> None:
    """At the first poll, and when it is known which stores hang."""
    with stores.worker():
        for _ in range(2):
            polled = Instance.next_poll_at > stores.make_due()
            wait_until(functools.partial(stores.all_healthy, polled))
            wait_until(lambda: stores.slow() >= set(stores.hanging))


@pytest.mark.slow
def test_webhooks_of_healthy_stores_are_processed_while_all_others_hang(stores: Stores) -> None:
    """The slow stores have few threads of their own for webhooks, too."""
    runtime = stores.runtime
    stores.make_due(next_poll_at=None)
    with runtime.database.write() as session:
        session.execute(sa.update(Poller).values(state=PollerState.ACTIVE))
    processed = ~sa.exists().where(Arrival.instance_id == Instance.id)
    with stores.worker():
        for _ in range(2):
            with runtime.database.write() as session:
                session.add_all(
                    Arrival(
                        instance_id=one, topic="order.updated", collection="orders", object_id=1,
                        received_at=runtime.clock(),
                    )
                    for one in (*stores.hanging, *stores.healthy)
                )  # fmt: skip
            wait_until(functools.partial(stores.all_healthy, processed))
            wait_until(lambda: stores.slow() >= set(stores.hanging))


@pytest.mark.slow
def test_registered_webhooks_are_checked_while_other_stores_hang(stores: Stores) -> None:
    """The same for the checks of the webhooks that are registered at stores."""
    base = {"vendor_type": "webhook", "hooks_base": "https://127.0.0.1:9"}
    stores.make_due(next_poll_at=None, hooks_due_at=stores.runtime.clock(), **base)
    with stores.worker():
        wait_until(lambda: stores.all_healthy(Instance.hooks))
        wait_until(lambda: stores.slow() >= set(stores.hanging))


def test_giving_up_is_no_failure_and_prompt_answers_close_the_circuit(stores: Stores) -> None:
    """A slow store is still due, and fails only by its time-outs; then it returns to the others."""
    runtime, hanging, healthy = stores.runtime, stores.hanging[0], stores.healthy[0]
    due = stores.make_due()
    with lease_renewer(runtime) as renewer:
        poll = InstancePoll(runtime, renewer)
        assert poll.run(hanging, slow=False) == []
        with runtime.database.read() as session:
            instance = session.get_one(Instance, hanging)
            assert (instance.next_poll_at, instance.lease_until) == (due, None)
            assert not session.scalars(sa.select(sa.func.max(Poller.failures))).one()
        assert hanging not in due_instances(runtime, slow=False)
        assert due_instances(runtime, slow=True) == [hanging]

        stores.make_due(slow_since=due)
        assert poll.run(healthy, slow=False)[0].error is not None
        assert {one.error for one in poll.run(healthy)} == {None}
        assert healthy not in stores.slow()


def test_store_that_hangs_in_the_middle_of_its_baseline(stores: Stores) -> None:
    """Pages that are read ahead, in another thread, have the same limit."""
    runtime, instance_id, ended = stores.runtime, stores.healthy[0], threading.Event()

    def is_page(method: str, path: str, params: cabc.Mapping[str, str]) -> bool:
        return path.endswith("/orders") and params.get("orderby") == "id"

    stores.store.faults.add("timeout", match=is_page, until=ended)
    try:
        with lease_renewer(runtime) as renewer:
            assert InstancePoll(runtime, renewer).run(instance_id, slow=False) == []
    finally:
        ended.set()
    assert instance_id in stores.slow()


def test_places_are_counted_where_no_process_counts_its_threads(stores: Stores) -> None:
    """Celery's tasks of slow stores are bounded by the leases of all processes."""
    runtime, now = stores.runtime, stores.runtime.clock()
    later = now + dt.timedelta(seconds=5)

    def free() -> int:
        with runtime.database.read() as session:
            return circuit.free_places(session, runtime.settings, runtime.clock())

    assert free() == SLOW_THREADS
    stores.make_due(lease_until=later)
    assert free() == SLOW_THREADS  # Ordinary polls.
    stores.make_due(slow_since=now)
    assert free() == 0  # More than there are places, as after a change of the setting.
    stores.make_due(lease_until=None, hooks_due_at=now + dt.timedelta(hours=1))
    assert free() == SLOW_THREADS


def test_one_round_of_polls_does_not_wait_for_slow_stores(stores: Stores) -> None:
    """``flask woo poll --once`` polls all healthy stores while the others hang."""
    now = stores.make_due()
    everything = [*stores.hanging, *stores.healthy]
    running = Worker(stores.runtime)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        round_ = pool.submit(running.poll_once, everything)
        wait_until(lambda: stores.all_healthy(Instance.next_poll_at > now))
        wait_until(lambda: stores.slow() >= set(stores.hanging))
        assert not round_.done()
        stores._servers.close()
        reports = round_.result()
    assert {one.instance for one in reports} == set(everything)
    failed = {one.instance for one in reports if one.error}
    assert failed == set(stores.hanging)
