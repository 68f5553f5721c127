"""``flask woo instances`` for an instance whose store sends webhooks."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import json
import pathlib
import shutil

import click.testing
import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Instance, Poller
from flask_woo_events.db.states import PollerState
from flask_woo_events.sync.instance_poll import due_instances
from tests.integration.host_app import body_for, runtime_of
from tests.integration.store_to_callback import StoreToCallback, open_env


@pytest.fixture
def env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    """Connect a store by an instance that uses webhooks."""
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        yield open_env("11.0", tmp_path, stack, hooked=True)


def _run(env: StoreToCallback, *args: str, stdin: str = "") -> click.testing.Result:
    return env.app.test_cli_runner().invoke(args=["woo", "instances", *args], input=stdin)


def _webhooks(env: StoreToCallback) -> list[str]:
    return [row.fields["topic"] for row in env.store.shop.tables["webhooks"]]


def _create(env: StoreToCallback) -> click.testing.Result:
    body = body_for(env.api.store, **{"event.vendor.type": "webhook"})
    args = ("create", "-", "--user", "poller", "--organization", "acme")
    return _run(env, *args, stdin=json.dumps(body))


def test_delete_removes_the_webhooks_at_the_store(env: StoreToCallback) -> None:
    """``delete`` leaves no webhook at the store, as ``DELETE /instances/{id}`` does."""
    assert _webhooks(env)
    result = _run(env, "delete", str(env.instance_id), "--yes")
    assert (result.exit_code, _webhooks(env)) == (0, [])


def test_delete_works_without_the_store(
    env: StoreToCallback, caplog: pytest.LogCaptureFixture
) -> None:
    """An unreachable store does not prevent the deletion; it keeps its webhooks."""
    env.store.faults.add("reset", times=100)
    result = _run(env, "delete", str(env.instance_id), "--yes")
    assert (result.exit_code, len(_webhooks(env)) > 0) == (0, True)
    assert env.api.call("GET", f"/instances/{env.instance_id}").status_code == 404
    assert "the webhooks of instance 1 stay at its store" in caplog.text


def test_delete_works_without_the_encryption_key(env: StoreToCallback) -> None:
    """An instance whose secret cannot be decrypted can be deleted."""
    with env.without_key():
        assert _run(env, "delete", str(env.instance_id), "--yes").exit_code == 0
    assert env.api.call("GET", f"/instances/{env.instance_id}").status_code == 404


def test_create_registers_webhooks(env: StoreToCallback) -> None:
    """``create`` registers the webhooks, as ``POST /instances`` does."""
    topics = _webhooks(env)
    assert _run(env, "delete", str(env.instance_id), "--yes").exit_code == 0
    assert _webhooks(env) == []
    result = _create(env)
    assert (result.exit_code, sorted(_webhooks(env))) == (0, sorted(topics)), result.output


def test_create_needs_the_address_for_webhooks(env: StoreToCallback) -> None:
    """Without the address to which the store sends webhooks, nothing is created."""
    runtime = runtime_of(env.app)
    runtime.settings = dataclasses.replace(runtime.settings, public_url=None)
    result = _create(env)
    assert (result.exit_code, "WOO_EVENTS_PUBLIC_URL" in result.output) == (1, True)
    with runtime.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Instance)) == 1


def test_create_checks_the_store(env: StoreToCallback) -> None:
    """A store that refuses the keys is not connected."""
    body = body_for(env.api.store, **{"oauth.api.secret": "cs_wrong"})
    args = ("create", "-", "--user", "poller", "--organization", "acme")
    result = _run(env, *args, stdin=json.dumps(body))
    assert result.exit_code == 1
    with runtime_of(env.app).database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Instance)) == 1


@pytest.mark.parity(2)
def test_poll_of_an_instance_without_events(env: StoreToCallback) -> None:
    """The command says why it polls nothing, and what to do."""
    env.poll()
    env.store.acts.status(env.first("orders"), "completed")
    number = str(env.instance_id)
    args = ["woo", "poll", "--once", "--instance", number, "--no-deliver"]
    off = {"configuration": {"event.notification.enabled": False}}
    for method, below, body, fix in (
        ("DELETE", "/enabled", None, f"flask woo instances resume {number}"),
        ("PATCH", "", off, "set event.notification.enabled to true"),
    ):
        env.api.call("PUT", f"/instances/{number}/enabled")
        assert env.api.call(method, f"/instances/{number}{below}", body).status_code == 200
        env.store.requests.clear()
        refused = env.app.test_cli_runner().invoke(args=args)
        assert refused.exit_code == 1 and fix in refused.output, refused.output
        assert not env.store.requests


def _poll(env: StoreToCallback, *args: str) -> click.testing.Result:
    number = str(env.instance_id)
    given = ["woo", "poll", "--once", "--instance", number, "--no-deliver", *args]
    return env.app.test_cli_runner().invoke(args=given)


def test_forced_poll_of_an_instance_without_events(env: StoreToCallback) -> None:
    """With ``--force`` its store is read once; its events stay off, and a pause is kept."""
    off = {"configuration": {"event.notification.enabled": False}}
    path = f"/instances/{env.instance_id}"
    assert env.api.call("PATCH", path, off).status_code == 200
    env.store.acts.status(env.first("orders"), "completed")
    assert "add --force" in _poll(env).output
    polled = _poll(env, "--force")
    assert polled.exit_code == 0 and "orders: 1 event" in polled.output, polled.output
    assert env.api.call("GET", path).json["eventsEnabled"] is False
    assert due_instances(runtime_of(env.app), all_of_them=True) == []
    env.api.call("DELETE", f"{path}/enabled")
    env.store.requests.clear()
    paused = _poll(env, "--force")
    assert paused.exit_code == 1 and "flask woo instances resume" in paused.output
    assert not env.store.requests


@pytest.mark.parametrize(
    "args", ["--force", "--once --force", "--force --instance 1", "--instance 1", "--resource x"]
)
def test_options_of_poll_without_others(env: StoreToCallback, args: str) -> None:
    """Options that need ``--once`` or ``--instance`` say so, and no worker is started."""
    refused = env.app.test_cli_runner().invoke(args=["woo", "poll", *args.split()])
    assert refused.exit_code == 2 and "--once" in refused.output, refused.output


def test_poll_of_resources_that_are_not_polled(env: StoreToCallback) -> None:
    """Unknown and disabled resources are named, instead of a poll of nothing."""
    unknown = _poll(env, "--resource", "order")
    assert unknown.exit_code == 1 and "customers, discounts, orders" in unknown.output
    with runtime_of(env.app).database.write() as session:
        orders = sa.update(Poller).where(Poller.resource == "orders")
        session.execute(orders.values(state=PollerState.DISABLED))
    assert _poll(env).exit_code == 0
    disabled = _poll(env, "--resource", "orders")
    assert disabled.exit_code == 1 and "orders failed too often" in disabled.output
    with runtime_of(env.app).database.write() as session:
        session.execute(sa.update(Poller).values(state=PollerState.DISABLED))
    everything = _poll(env)
    assert everything.exit_code == 1 and "flask woo instances resume" in everything.output
