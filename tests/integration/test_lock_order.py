"""Transactions lock rows in one order, so that no two of them wait for each other."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import pathlib
import shutil
import typing as t

import flask
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from flask_woo_events.db.models import Instance, Notification
from flask_woo_events.delivery import claims, redelivery, replay
from flask_woo_events.delivery.redelivery import DeliverySelection
from flask_woo_events.delivery.replay import ReplaySelection
from flask_woo_events.events.delivery_states import DeliveryLease
from flask_woo_events.instances import lifecycle, webhooks
from flask_woo_events.instances.accounts import Caller
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.sync.hint import Hint
from flask_woo_events.sync.webhooks import inbox, reachability
from flask_woo_events.sync.webhooks.inbox import ReceivedWebhook
from flask_woo_events.sync.webhooks.reachability import Watch
from flask_woo_events.worker import retention
from flask_woo_events.worker.worker import Worker, lease_renewer
from tests.integration.host_app import runtime_of
from tests.integration.ledger_env import build
from tests.integration.store_to_callback import OwnClock, StoreToCallback, open_env

#: As in docs/architecture.md.
ORDER = ["woo_feed", "woo_instance", "woo_poller", "woo_subscription", "woo_delivery"]


class LockOrder:
    """Records which tables each transaction locks rows of, the first time of each."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, ...]] = set()

    def watch(self, stack: contextlib.ExitStack) -> None:
        for name, listener in (
            ("begin", self._begin),
            ("before_execute", self._execute),
            ("commit", self._commit),
        ):
            event.listen(sa.Engine, name, listener)
            stack.callback(event.remove, sa.Engine, name, listener)

    def _begin(self, connection: sa.Connection) -> None:
        connection.info["locked"] = []

    def _execute(
        self, connection: sa.Connection, clause: t.Any, many: t.Any, one: t.Any, options: t.Any
    ) -> None:
        locked = connection.info.get("locked", [])
        locked += [name for name in _locks(clause) if name in ORDER and name not in locked]

    def _commit(self, connection: sa.Connection) -> None:
        self.seen.add(tuple(connection.info.get("locked", [])))


def _locks(clause: t.Any) -> cabc.Iterator[str]:
    """Yield the tables of which a statement locks rows."""
    if isinstance(clause, sa.Select) and clause._for_update_arg is not None:
        for table in clause.get_final_froms():
            yield str(t.cast("sa.Table", table).name)
    elif isinstance(clause, sa.Update | sa.Delete):
        yield t.cast("sa.Table", clause.table).name
    elif isinstance(clause, sa.Insert):
        # A row that refers to another one locks it against deletion, and on MariaDB against
        # changes.
        parents = {one.column.table.name for one in clause.table.foreign_keys}
        yield from sorted(parents, key=lambda name: ORDER.index(name) if name in ORDER else 0)
        yield clause.table.name


@pytest.fixture
def order() -> cabc.Iterator[LockOrder]:
    with contextlib.ExitStack() as stack:
        found = LockOrder()
        found.watch(stack)
        yield found


@pytest.fixture
def env(
    order: LockOrder, tmp_path: pathlib.Path, tables: pathlib.Path
) -> cabc.Iterator[StoreToCallback]:
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        yield open_env("9.4", tmp_path, stack, hooked=True, counts=(2, 2, 1, 1))


def test_every_transaction_locks_in_the_documented_order(
    env: StoreToCallback, order: LockOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instance, pollers, subscriptions, deliveries: whatever a person or a worker does."""
    _changes(env)
    _reconciliation(env)
    _deliveries(env)
    _division(env)
    _webhooks(env, monkeypatch)
    _operational(env)
    _configuration(env)
    wrong = [one for one in order.seen if list(one) != sorted(one, key=ORDER.index)]
    assert wrong == []
    assert [one for one in order.seen if ORDER[4] in one and ORDER[3] not in one] == []
    assert {tuple(ORDER[1:]), tuple(ORDER[3:]), ("woo_instance", "woo_poller")} <= order.seen
    assert {("woo_feed",), ("woo_feed", "woo_subscription")} <= order.seen


def test_several_instances_are_locked_by_id(app: flask.Flask) -> None:
    """Webhooks that share a commit name their instances in any order."""
    runtime = runtime_of(app)
    ledgers = [build(runtime.database) for _ in range(3)]
    numbers = [one.stream.instance_id for one in ledgers]
    locked: list[int] = []

    def note(connection: t.Any, clause: t.Any, many: t.Any, one: t.Any, options: t.Any) -> None:
        if not isinstance(clause, sa.Select):
            locked.append(one.get("number", one.get("instance_id")))

    event.listen(runtime.database.engine, "before_execute", note)
    hint, now = Hint("order.updated", "orders", 1, None), runtime.clock()
    hooks = [Hook(number, 0) for number in (numbers[2], numbers[0], 99, numbers[1])]
    known = [True, True, False, True]
    received = [ReceivedWebhook(hook, hint, now) for hook in hooks]
    assert runtime.group_commit(inbox.add).write_all(received) == known
    assert runtime.group_commit(inbox.ping).write_all([(hook, now) for hook in hooks]) == known
    assert locked == [*numbers, 99] * 2


def _operational(env: StoreToCallback) -> None:
    path = f"/instances/{env.instance_id}/subscriptions"
    body = {"callbackUrl": "http://127.0.0.1:9/", "operational": True, "checkpoint": True}
    assert env.api.call("POST", path, body).status_code == 200
    Worker(runtime_of(env.app)).deliver_once()


def _changes(env: StoreToCallback) -> None:
    env.store.acts.status(env.first("orders"), "completed")
    assert env.arrivals()
    env.store.acts.new_coupon("hook")
    assert env.hooks()


def _reconciliation(env: StoreToCallback) -> None:
    path = f"/instances/{env.instance_id}/reconcile?resource=orders&send=true"
    answer = env.api.call("POST", path)
    assert {one["send"] for one in answer.json["differences"]} == {"recorded", "read"}
    assert env.arrivals()


def _deliveries(env: StoreToCallback) -> None:
    runtime = runtime_of(env.app)
    env.store.acts.new_coupon("claimed")
    env.poll()
    with runtime.database.write() as session:
        now = runtime.clock()
        claimed = claims.claim(session, now, dt.timedelta(seconds=1), 10)
    renewer = lease_renewer(runtime)
    with runtime.database.write() as session:
        DeliveryLease(claimed[0].token).renew(session, renewer.until)
    with runtime.database.write() as session:
        claims.give_back(session, claimed, runtime.clock())
    with runtime.database.write() as session:
        planned = replay.plan(session, ReplaySelection(), 10)
        assert replay.to_callbacks(session, planned, runtime.clock())
    env.receiver.answer = lambda _: 410
    worker = Worker(runtime)
    assert worker.deliver_once().failed
    env.receiver.answer = lambda _: 200
    with runtime.database.write() as session:
        wanted = DeliverySelection(
            organization_id=session.get_one(Instance, env.instance_id).organization_id
        )
        assert redelivery.redeliver(session, wanted, runtime.clock())
    assert worker.deliver_once().delivered
    assert env.api.call("GET", "/events/feed").json["events"]
    with runtime.database.write() as session:
        session.execute(sa.update(Notification).values(created_at=now - dt.timedelta(days=99)))
    assert retention.purge(runtime).notifications


def _division(env: StoreToCallback) -> None:
    runtime = runtime_of(env.app)
    clock = OwnClock(runtime)
    env.receiver.answer = lambda one: 500 if one.events[0]["objectType"] == "orders" else 200
    for row in env.store.shop.tables["orders"]:
        env.store.acts.order_meta(row.id, value="refused")
    env.poll()
    for _ in range(3):
        Worker(runtime).deliver_once()
        clock.advance(seconds=60)
    with runtime.database.read() as session:
        assert session.scalars(
            sa.select(Notification.id).where(Notification.origin_id.is_not(None))
        ).all()


def _webhooks(env: StoreToCallback, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = runtime_of(env.app)
    env.store.shop.tables["webhooks"].replace([])
    with runtime.database.write() as session:
        session.execute(sa.update(Instance).values(hooks_due_at=runtime.clock()))
    webhooks.guard(runtime, lease_renewer(runtime), env.instance_id)
    monkeypatch.setattr(reachability, "seconds_up", lambda *_: 0.0)
    Watch(runtime).check()
    webhooks.rotate(runtime, env.instance_id)


def _configuration(env: StoreToCallback) -> None:
    path = f"/instances/{env.instance_id}"
    runtime = runtime_of(env.app)
    for configuration in (
        {"event.notification.callback.url": "http://other.test/"},
        {"event.poller.configuration": {"orders": {"url": "/hubs/ecommerce/orders"}}},
        {"event.notification.callback.url": ""},
    ):
        answer = env.api.call("PATCH", path, {"configuration": configuration})
        assert answer.status_code == 200, answer.text
    with runtime.database.write() as session:
        row = session.get_one(Instance, env.instance_id)
        caller = Caller(organization_id=row.organization_id, user_id=row.user_id)
    for change in (
        lambda session, now: lifecycle.poll_now(session, caller, row.id, now),
        lambda session, now: lifecycle.backfill(session, caller, row.id, now),
        lambda session, now: lifecycle.accept(session, caller, row.id, now),
        lambda session, now: lifecycle.begin_epoch(session, 1, now),
        lambda session, now: lifecycle.set_enabled(session, caller, row.id, False, now),
        lambda session, now: lifecycle.set_enabled(session, caller, row.id, True, now),
        lambda session, _: lifecycle.replace_token(session, runtime.cipher, caller, row.id),
        lambda session, _: lifecycle.delete(session, caller, row.id),
    ):
        with runtime.database.write() as session:
            change(session, runtime.clock())
