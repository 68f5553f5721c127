"""What changes while the webhooks at a store are checked."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import functools
import pathlib
import shutil
import typing as t

import pytest

from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.db.models import Instance
from flask_woo_events.instances import access, lifecycle, webhooks
from flask_woo_events.sync.webhooks import inbox
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import StoreToCallback, open_env
from tests.integration.two_sessions import during_request

ORDERS = {"orders": {"url": "/hubs/ecommerce/orders"}}


@pytest.fixture
def env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        yield open_env("11.0", tmp_path, stack, hooked=True, resources=ORDERS, counts=(2, 1, 1, 1))


def _guard(env: StoreToCallback) -> None:
    """Check the webhooks as a worker does when they are due."""
    runtime = runtime_of(env.app)
    renewer = LeaseRenewer(runtime.database, runtime.clock, dt.timedelta(seconds=8))
    with runtime.database.write() as session:
        session.get_one(Instance, env.instance_id).hooks_due_at = runtime.clock()
    webhooks.guard(runtime, renewer, env.instance_id)


def _during_check(env: StoreToCallback) -> contextlib.AbstractContextManager[None]:
    return during_request(env.store, "GET", "/webhooks", functools.partial(_guard, env))


def _change(env: StoreToCallback, **configuration: t.Any) -> None:
    answer = env.api.call(
        "PATCH", f"/instances/{env.instance_id}", {"configuration": configuration}
    )
    assert answer.status_code == 200, answer.text


def _instance(env: StoreToCallback) -> Instance:
    with runtime_of(env.app).database.read() as session:
        return session.get_one(Instance, env.instance_id)


def _registered(env: StoreToCallback) -> set[str]:
    return {row.fields["topic"] for row in env.store.shop.tables["webhooks"]}


def test_wrong_signature_during_a_check(env: StoreToCallback) -> None:
    """A webhook that signs wrongly during a check is replaced by the next one, which is due."""
    runtime = runtime_of(env.app)
    number = _instance(env).hooks[0]["id"]
    with _during_check(env), runtime.database.write() as session:
        inbox.distrust(session, env.instance_id, number, runtime.clock())
    assert webhooks.due(runtime) == [env.instance_id]
    _guard(env)
    assert number not in {row.id for row in env.store.shop.tables["webhooks"]}
    assert webhooks.due(runtime) == []


def test_resource_that_is_added_during_a_check(env: StoreToCallback) -> None:
    """The webhooks of a new resource do not wait for the next regular check."""
    two = {**ORDERS, "products": {"url": "/hubs/ecommerce/products"}}
    with _during_check(env):
        _change(env, **{"event.poller.configuration": two})
    assert webhooks.due(runtime_of(env.app)) == [env.instance_id]
    _guard(env)
    assert "product.created" in _registered(env)


def test_instance_that_goes_over_to_polling_during_a_repair(env: StoreToCallback) -> None:
    """No webhook stays at the store, and none is checked again."""
    env.store.shop.tables["webhooks"].replace([])
    with during_request(env.store, "POST", "/webhooks", functools.partial(_guard, env)):
        _change(env, **{"event.vendor.type": "polling"})
    assert (_registered(env), _instance(env).hooks_due_at) == (set(), None)


def test_instance_that_is_deleted_during_its_first_registration(env: StoreToCallback) -> None:
    """No webhook stays at the store."""
    env.store.shop.tables["webhooks"].replace([])
    with runtime_of(env.app).database.write() as session:
        session.get_one(Instance, env.instance_id).hooks = []
    with during_request(env.store, "POST", "/webhooks/batch", functools.partial(_guard, env)):
        assert env.api.call("DELETE", f"/instances/{env.instance_id}").status_code == 200
    assert _registered(env) == set()


def test_instance_that_is_paused_during_a_check(env: StoreToCallback) -> None:
    """A paused instance has no next check."""
    runtime = runtime_of(env.app)
    with _during_check(env), runtime.database.write() as session:
        caller = access.owner(session, env.instance_id)
        lifecycle.set_enabled(session, caller, env.instance_id, False, runtime.clock())
    assert _instance(env).hooks_due_at is None


def test_webhooks_that_are_wanted_again_while_they_are_removed(env: StoreToCallback) -> None:
    """A return to webhooks during their removal registers them at the next check."""
    remove = functools.partial(_change, env, **{"event.vendor.type": "polling"})
    with during_request(env.store, "POST", "/webhooks/batch", remove):
        runtime = runtime_of(env.app)
        with runtime.database.write() as session:
            instance = session.get_one(Instance, env.instance_id, with_for_update=True)
            instance.vendor_type, instance.hooks_due_at = "webhook", runtime.clock()
    assert webhooks.due(runtime_of(env.app)) == [env.instance_id]
