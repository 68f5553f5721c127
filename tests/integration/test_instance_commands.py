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

from flask_woo_events.db.models import Instance
from tests.integration.host_app import body_for, runtime_of
from tests.integration.store_to_callback import StoreToCallback, open_line


@pytest.fixture
def line(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    """Connect a store by an instance that uses webhooks."""
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        yield open_line("11.0", tmp_path, stack, hooked=True)


def _run(line: StoreToCallback, *args: str, stdin: str = "") -> click.testing.Result:
    return line.app.test_cli_runner().invoke(args=["woo", "instances", *args], input=stdin)


def _webhooks(line: StoreToCallback) -> list[str]:
    return [row.fields["topic"] for row in line.store.shop.tables["webhooks"]]


def _create(line: StoreToCallback) -> click.testing.Result:
    body = body_for(line.api.store, **{"event.vendor.type": "webhook"})
    args = ("create", "-", "--user", "poller", "--organization", "acme")
    return _run(line, *args, stdin=json.dumps(body))


def test_delete_removes_the_webhooks_at_the_store(line: StoreToCallback) -> None:
    """``delete`` leaves no webhook at the store, as ``DELETE /instances/{id}`` does."""
    assert _webhooks(line)
    result = _run(line, "delete", str(line.instance_id), "--yes")
    assert (result.exit_code, _webhooks(line)) == (0, [])


def test_delete_works_without_the_store(line: StoreToCallback) -> None:
    """An unreachable store does not prevent the deletion; it keeps its webhooks."""
    line.store.faults.add("reset", times=100)
    result = _run(line, "delete", str(line.instance_id), "--yes")
    assert (result.exit_code, len(_webhooks(line)) > 0) == (0, True)
    assert line.api.call("GET", f"/instances/{line.instance_id}").status_code == 404


def test_create_registers_webhooks(line: StoreToCallback) -> None:
    """``create`` registers the webhooks, as ``POST /instances`` does."""
    topics = _webhooks(line)
    assert _run(line, "delete", str(line.instance_id), "--yes").exit_code == 0
    assert _webhooks(line) == []
    result = _create(line)
    assert (result.exit_code, sorted(_webhooks(line))) == (0, sorted(topics)), result.output


def test_create_needs_the_address_for_webhooks(line: StoreToCallback) -> None:
    """Without the address to which the store sends webhooks, nothing is created."""
    runtime = runtime_of(line.app)
    runtime.settings = dataclasses.replace(runtime.settings, public_url=None)
    result = _create(line)
    assert (result.exit_code, "WOO_EVENTS_PUBLIC_URL" in result.output) == (1, True)
    with runtime.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Instance)) == 1


def test_create_checks_the_store(line: StoreToCallback) -> None:
    """A store that refuses the keys is not connected."""
    body = body_for(line.api.store, **{"oauth.api.secret": "cs_wrong"})
    args = ("create", "-", "--user", "poller", "--organization", "acme")
    result = _run(line, *args, stdin=json.dumps(body))
    assert result.exit_code == 1
    with runtime_of(line.app).database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Instance)) == 1
