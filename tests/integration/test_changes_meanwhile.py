"""Changes of an instance during a poll, or during another change."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import contextlib
import datetime as dt
import pathlib
import shutil
import threading
import time
import typing as t

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.db.models import Instance, Object, Poller, StoredEvent
from flask_woo_events.db.states import PollerState
from flask_woo_events.instances import access, accounts, lifecycle, specification, views
from flask_woo_events.instances.accounts import Caller
from flask_woo_events.instances.requests import InstanceRequest
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.sync.instance_poll import InstancePoll, due_instances
from flask_woo_events.sync.report import PollReport
from flask_woo_events.values.crypto import Cipher
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import (
    Api,
    Body,
    StubStore,
    add_account,
    body_for,
    dispose,
    make_app,
    runtime_of,
)
from tests.waiting import HANG_SECONDS

CONFIGURATION = "event.poller.configuration"
CALLBACK = "event.notification.callback.url"
#: The checks of the stop flag in a poll of one resource.
CHECKS = range(1, 5)


class ChangingInstance:
    """A store with one resource whose baseline is recorded, and a callback."""

    def __init__(self, app: flask.Flask, api: Api, receiver: CallbackReceiver, hook: str) -> None:
        self.app = app
        self.api = api
        self.receiver = receiver
        self.path = f"/instances/{api.create(**{CALLBACK: hook, **_orders('orders')})['id']}"
        self.poll()

    def poll(self) -> None:
        worker = Worker(runtime_of(self.app))
        assert [one.error for one in worker.poll_once([1]) if one.error] == []
        worker.deliver_once()

    def poll_while(self, act: cabc.Callable[[], object], at_check: int) -> list[PollReport]:
        """Poll, and act at one check of the stop flag, between two commits."""
        checks = iter(range(1, 1000))

        def stopped() -> bool:
            if next(checks) == at_check:
                act()
            return False

        runtime = runtime_of(self.app)
        with LeaseRenewer(runtime.database, runtime.clock, dt.timedelta(seconds=10)) as renewer:
            reports = InstancePoll(runtime, renewer, forced=True, stopped=stopped).run(1)
        assert next(checks) > at_check, "the poll ended earlier"
        return reports

    def change(self, **body: t.Any) -> Body:
        answer = self.api.call("PATCH", self.path, body)
        assert answer.status_code == 200, answer.text
        return t.cast(Body, answer.json)

    def rows(self, query: sa.Select[t.Any]) -> list[t.Any]:
        with runtime_of(self.app).database.read() as session:
            return list(session.scalars(query))


def _orders(collection: str) -> Body:
    return {CONFIGURATION: {"orders": {"url": f"/hubs/ecommerce/{collection}"}}}


@pytest.fixture
def env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[ChangingInstance]:
    shutil.copy(tables, tmp_path / "host.sqlite3")
    store = SimulatedStore("9.4", consumer_key="ck_test", consumer_secret="cs_test")
    store.populate(orders=12, products=6, coupons=3, customers=5)
    receiver = CallbackReceiver()
    app = make_app(tmp_path, WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS=True, WOO_EVENTS_POLL_PAGE_SIZE=5)
    with contextlib.ExitStack() as stack:
        url, hook = stack.enter_context(store.serve()), stack.enter_context(receiver.serve())
        stack.callback(dispose, app)
        api = Api(app.test_client(), add_account(app, "ann", "acme").headers, url)
        yield ChangingInstance(app, api, receiver, hook)


@pytest.mark.parametrize("at_check", CHECKS)
def test_resource_that_gets_another_url_during_its_poll(
    env: ChangingInstance, at_check: int
) -> None:
    """A poll of the old collection writes nothing to the ledger of the new one."""
    env.poll_while(lambda: env.change(configuration=_orders("products")), at_check)
    env.poll()
    env.poll()
    assert env.rows(sa.select(StoredEvent.event_type)) == []
    ledger = sa.select(Object.object_id).join(Poller, Poller.id == Object.poller_id)
    assert len(env.rows(ledger.where(Poller.selected))) == 6
    assert len(env.rows(ledger.where(Poller.selected.is_(False)))) == 12


@pytest.mark.parametrize("at_check", CHECKS)
def test_backfill_during_a_poll(env: ChangingInstance, at_check: int) -> None:
    """A backfill requested during a poll emits every object once."""
    runtime = runtime_of(env.app)

    def backfill() -> None:
        with runtime.database.write() as session:
            lifecycle.backfill(session, access.owner(session, 1), 1, runtime.clock())

    env.poll_while(backfill, at_check)
    env.poll()
    env.poll()
    assert env.rows(sa.select(StoredEvent.event_type)) == ["CREATED"] * 12


@pytest.mark.parametrize("at_check", CHECKS)
def test_poll_that_is_asked_for_during_a_poll(env: ChangingInstance, at_check: int) -> None:
    """A poll that a user asks for during another one follows it, since that may read too early."""
    runtime = runtime_of(env.app)

    def poll_now() -> None:
        with runtime.database.write() as session:
            lifecycle.poll_now(session, access.owner(session, 1), 1, runtime.clock())

    env.poll_while(poll_now, at_check)
    assert due_instances(runtime) == [1]


def test_instance_that_is_disabled_during_its_poll(env: ChangingInstance) -> None:
    """Nothing is written for an instance after the response that disables it."""
    before = env.rows(sa.select(Poller.polled_at))
    reports = env.poll_while(lambda: env.api.call("DELETE", f"{env.path}/enabled"), 2)
    assert env.rows(sa.select(Poller.polled_at)) == before
    assert "taken over" in str(reports[0].error)


def test_change_during_a_poll_is_due_immediately(env: ChangingInstance) -> None:
    """After a change during a poll, the next poll is due immediately."""
    env.poll_while(lambda: env.change(configuration=_orders("products")), 2)
    runtime = runtime_of(env.app)
    (instance,) = env.rows(sa.select(Instance))
    assert instance.next_poll_at <= runtime.clock()
    assert instance.lease_until is None


def test_new_name_does_not_disturb_a_poll(env: ChangingInstance) -> None:
    """A change that does not concern the poll does not end it."""
    reports = env.poll_while(lambda: env.change(name="new", tags=["a"]), 2)
    assert [one.error for one in reports] == [None]
    assert env.rows(sa.select(Poller.state)) == [PollerState.ACTIVE]


def _meanwhile(store: StubStore, act: cabc.Callable[[], object]) -> None:
    """Act once, at the store's next request."""
    once = threading.Lock()
    plain = store.answer

    def answer(target: str) -> tuple[int, str, bytes]:
        if once.acquire(blocking=False):
            act()
        return plain(target)

    store.answer = answer  # type: ignore[method-assign]


def test_change_during_the_store_check_of_another(
    app: flask.Flask, api: Api, store_server: StubStore
) -> None:
    """A change by another PATCH during a slow store check is kept."""
    path = f"/instances/{api.create()['id']}"
    other = Api(app.test_client(), api.headers, api.store)
    body = {"name": "new", "configuration": {CALLBACK: "https://new.test/"}}
    _meanwhile(store_server, lambda: other.call("PATCH", path, body))
    shown = api.call("PATCH", path, {"configuration": {"oauth.api.secret": "cs_new"}}).json
    assert (shown["name"], shown["eventsNotificationCallbackUrl"]) == ("new", "https://new.test/")


def test_keys_that_were_checked_with_another_store(
    app: flask.Flask, api: Api, store_server: StubStore
) -> None:
    """New keys are a 409 if the instance's store is not the one they were checked with."""
    path = f"/instances/{api.create()['id']}"
    other = Api(app.test_client(), api.headers, api.store)
    moved = api.store.replace("127.0.0.1", "localhost")
    keys = {"oauth.api.key": "ck_test", "oauth.api.secret": "cs_test"}
    body = {"configuration": {"store.url": moved, **keys}}
    _meanwhile(store_server, lambda: other.call("PATCH", path, body))
    answer = api.call("PATCH", path, {"configuration": {"oauth.api.secret": "cs_new"}})
    assert (answer.status_code, api.call("GET", path).json["configuration"]["store.url"]) == (
        409,
        moved,
    )
    assert "send it again" in answer.json["message"]


def test_two_concurrent_changes(any_database: Database) -> None:
    """On every database the second of two changes waits for the first and keeps it."""
    cipher, now = Cipher((Cipher.generate_key(),)), dt.datetime.now(dt.UTC)
    request = InstanceRequest.model_validate(body_for("https://shop.test"))
    with any_database.write() as session:
        user = accounts.add_user(session, "ann", "acme", now)
        who = Caller(organization_id=user.organization_id, user_id=user.user_id)
        number, _ = lifecycle.create(session, cipher, who, specification.plan(request), {}, now)
    held = threading.Event()

    def change(body: Body, *, first: bool) -> None:
        wanted = InstanceRequest.model_validate(body)
        with any_database.read() as session:
            before = lifecycle.before(session, cipher, who, number)
        checked = specification.plan(wanted, before, partial=True)
        if not first:
            assert held.wait(HANG_SECONDS)
        with any_database.write() as session:
            plan = lifecycle.plan_again(session, cipher, who, number, wanted, checked, partial=True)
            if first:
                held.set()
                time.sleep(0.3)
            lifecycle.change(session, cipher, who, number, plan, None, now)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        bodies: list[Body] = [{"name": "new"}, {"configuration": {CALLBACK: "https://new.test/"}}]
        for done in [
            pool.submit(change, body, first=not index) for index, body in enumerate(bodies)
        ]:
            done.result()
    with any_database.read() as session:
        view = views.get(session, who, number, dt.datetime.now(dt.UTC))
    assert (view.name, view.callback_url) == ("new", "https://new.test/")


def test_instance_that_is_deleted_during_a_store_check(
    app: flask.Flask, api: Api, store_server: StubStore
) -> None:
    """A change of an instance that was deleted meanwhile is a 404."""
    path = f"/instances/{api.create()['id']}"
    other = Api(app.test_client(), api.headers, api.store)
    _meanwhile(store_server, lambda: other.call("DELETE", path))
    answer = api.call("PATCH", path, {"configuration": {"oauth.api.secret": "cs_new"}})
    assert answer.status_code == 404
