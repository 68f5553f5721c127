"""A database of migration 0001 works with this release: no data is lost, no event invented."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import json
import pathlib

import alembic.command
import pytest
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from tests.integration import tables
from tests.integration.frozen import FrozenDatabase
from tests.integration.frozen_installation import (
    LATER,
    FrozenInstallation,
    Rows,
    open_installation,
)
from tests.integration.host_app import PREFIX, Account

REVISIONS = ["0001"]
#: Changes reported by webhooks that were stored in the dump, but not processed.
REPORTED_BY_WEBHOOKS = [
    ("hooked", "orders", "16", "UPDATED"),
    ("hooked", "products", "10", "UPDATED"),
]


@pytest.fixture(params=REVISIONS)
def installation(
    request: pytest.FixtureRequest, any_url: str, tmp_path: pathlib.Path
) -> cabc.Iterator[FrozenInstallation]:
    """Upgrade an installation with the command that an administrator uses."""
    with open_installation(any_url, tmp_path, request.param) as installed:
        installed.woo("db", "upgrade")
        yield installed


@pytest.mark.parametrize("revision", REVISIONS)
def test_migration_is_unchanged(any_url: str, revision: str) -> None:
    """A migration creates the same tables as when the dump was made."""
    engine = sa.create_engine(any_url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        alembic.command.upgrade(upgrade._config(connection), revision)
    created_tables, metadata = tables.structure(engine), sa.MetaData()
    metadata.reflect(engine)
    metadata.drop_all(engine)
    FrozenDatabase.read(revision).load(any_url, {})
    assert tables.structure(engine) == created_tables


def test_no_row_is_lost(installation: FrozenInstallation) -> None:
    """After the upgrade every table has its rows, and matches the models."""
    engine = installation.runtime.database.engine
    after = tables.keys(engine)
    for name, rows in installation.before.items():
        assert rows, f"the dump has no row in {name}"
        assert after[name] == rows, name
    assert tables.differences(engine) == []
    installation.woo("db", "check")


# One database is enough: users and tokens are found by hashes, which all compare alike.
@pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)
def test_users_and_tokens_are_valid(installation: FrozenInstallation) -> None:
    """Secrets and tokens of the dump are accepted, for the instances of their organization."""
    client, frozen = installation.app.test_client(), installation.frozen
    owners = {"ann": {"polled", "hooked", "paused"}, "bob": {"queued", "halfway"}}
    for name, own in owners.items():
        account = Account(*frozen.users[name])
        shown = client.get(f"{PREFIX}/instances", headers=account.headers)
        assert {one["name"]: one["id"] for one in shown.get_json()} == {
            instance: frozen.instances[instance] for instance in own
        }
        for instance in frozen.instances:
            headers = account.element(frozen.tokens[instance])
            status = client.get(f"{PREFIX}/instances", headers=headers).status_code
            assert status == (200 if instance in own else 401), instance


def test_unchanged_stores_cause_no_event(installation: FrozenInstallation) -> None:
    """Polls continue from their baseline, and changes of stored webhooks are recorded once."""
    installation.process_webhooks()
    assert installation.new_events() == REPORTED_BY_WEBHOOKS
    assert installation.query("SELECT id FROM woo_arrival") == []
    installation.woo("poll", "--once")
    assert installation.new_events() == REPORTED_BY_WEBHOOKS
    states = installation.query(
        "SELECT p.state, COUNT(*) AS pollers FROM woo_poller p "
        "JOIN woo_instance i ON i.id = p.instance_id WHERE i.name <> 'paused' GROUP BY p.state"
    )
    assert states == [{"state": "active", "pollers": 13}]
    read = installation.query(
        "SELECT o.object_id FROM woo_object o JOIN woo_poller p ON p.id = o.poller_id "
        "JOIN woo_instance i ON i.id = p.instance_id WHERE i.name = 'halfway'"
    )
    assert len(read) == 15


# One database is enough: the members of a poller's memory are JSON in all of them.
@pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)
def test_doubts_of_the_earlier_release_end(any_url: str, tmp_path: pathlib.Path) -> None:
    """Resources that were held back, started over or disabled are polled on, without an event."""
    with open_installation(any_url, tmp_path, "0001") as installed:
        held, restored, disabled = (f"name = 'polled' AND resource = '{one}'" for one in (
            "products", "customers", "orders"))  # fmt: skip
        since = (installed.now - LATER).isoformat()
        old_guard = f'{{"missing_since": "{since}", "accept_missing": true}}'
        # A restored backup was taken over: the ledger is forgotten, and read again.
        baseline = (
            "state = 'baseline', stamp = 9, cursor_at = NULL, polled_at = NULL, "
            "baseline_at = NULL, baseline_id = NULL, baseline_offset = 0"
        )
        for where, change in (
            (held, f"memory = '{old_guard}', failures = 2, error = '30 of 40 are missing'"),
            (disabled, "state = 'disabled', failures = 10, error = 'another store answers'"),
            (restored, f"memory = '{{\"forgotten\": 9}}', {baseline}"),
        ):
            _change_pollers(installed, where, change)
        installed.woo("db", "upgrade")
        before = len(_live(installed, restored))
        assert before == 0
        installed.woo("poll", "--once")
        assert [one for one in installed.new_events() if one[0] == "polled"] == []
        assert len(_live(installed, restored)) > 0
        installed.woo("instances", "resume", str(installed.frozen.instances["polled"]))
        installed.wait(dt.timedelta(minutes=20))
        installed.stores["one"].change("orders", 24, status="on-hold")
        installed.woo("poll", "--once")
        changes = [one for one in installed.new_events() if one[0] == "polled"]
        assert changes == [("polled", "orders", "24", "UPDATED")]


def _change_pollers(installed: FrozenInstallation, where: str, change: str) -> None:
    ids = (
        "SELECT p.id FROM woo_poller p JOIN woo_instance i ON i.id = p.instance_id "
        f"WHERE {where.replace('name', 'i.name')}"
    )
    with installed.runtime.database.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE woo_poller SET {change} WHERE id IN ({ids})"))
        if "forgotten" in change:
            gone = "live = 0, digest = zeroblob(16), fields = x'', stamp = 9"
            connection.execute(sa.text(f"UPDATE woo_object SET {gone} WHERE poller_id IN ({ids})"))


def _live(installed: FrozenInstallation, where: str) -> Rows:
    return installed.query(
        "SELECT o.object_id FROM woo_object o JOIN woo_poller p ON p.id = o.poller_id "
        "JOIN woo_instance i ON i.id = p.instance_id "
        f"WHERE o.live AND {where.replace('name', 'i.name')}"
    )


def test_waiting_deliveries_are_sent(installation: FrozenInstallation) -> None:
    """Deliveries that were due are sent once, with their old ids, signed, and in order."""
    waiting = installation.deliveries("created", "retry")
    assert {(one["status"], one["channel"]) for one in waiting} == {
        ("created", "webhook"), ("retry", "webhook"), ("created", "handler"), ("retry", "handler"),
    }  # fmt: skip
    installation.woo("deliver", "--once")
    assert installation.received("one") == _ids(waiting)
    assert sorted(installation.handled) == _for_handler(installation, waiting)
    assert installation.received("two") == []
    assert installation.deliveries("created", "retry") == []
    versions = []
    for one in installation.receivers["one"].received:
        polled = one.json["message"]["instanceName"] == "polled"
        assert one.is_signed_with("new-key-of-polled" if polled else "key-of-hooked")
        versions += [event["version"] for event in one.events if event["objectId"] == "24"]
    assert versions == [3, 4]


def test_queued_deliveries_can_be_sent(installation: FrozenInstallation) -> None:
    """Queued deliveries are sent only after a redelivery, with their old ids."""
    queued = installation.deliveries("queued")
    assert {one["channel"] for one in queued} == {"webhook", "handler"}
    installation.woo("deliver", "--once")
    assert installation.deliveries("queued") == queued
    installation.handled.clear()
    instance = str(installation.frozen.instances["queued"])
    installation.woo("deliveries", "redeliver", "--instance", instance)
    installation.woo("deliver", "--once")
    assert installation.received("two") == _ids(queued)
    assert installation.handled == _for_handler(installation, queued)
    assert installation.deliveries("queued", "created", "retry") == []


def test_change_causes_one_event(installation: FrozenInstallation) -> None:
    """A change records one event with the next version in each instance of the store."""
    installation.process_webhooks()
    installation.woo("poll", "--once")
    for receiver in installation.receivers.values():
        receiver.clear()
    installation.wait(dt.timedelta(minutes=20))
    installation.stores["one"].change("orders", 24, status="on-hold")
    for _ in range(2):
        installation.woo("poll", "--once")
    instances = ("halfway", "polled", "queued")
    changes = [(name, "orders", "24", "UPDATED") for name in instances]
    assert installation.new_events() == sorted([*REPORTED_BY_WEBHOOKS, *changes])
    for receiver in installation.receivers.values():
        assert receiver.events == [("orders", "24", "UPDATED")]
    versions = installation.query(
        "SELECT e.version FROM woo_event e JOIN woo_instance i ON i.id = e.instance_id "
        "WHERE i.name = 'polled' AND e.resource = 'orders' AND e.object_id = '24' ORDER BY e.id"
    )
    assert [one["version"] for one in versions] == [2, 3, 4, 5]


def _ids(deliveries: Rows) -> list[str]:
    return sorted(one["event_id"] for one in deliveries if one["channel"] == "webhook")


def _for_handler(installation: FrozenInstallation, deliveries: Rows) -> list[int]:
    """Return the ids of events that the handler was not called with yet."""
    event_ids: list[int] = []
    for one in deliveries:
        if one["channel"] == "handler":
            stored = one["handled"] or []
            handled = json.loads(stored) if isinstance(stored, str) else stored
            rows = installation.query(
                "SELECT id FROM woo_event WHERE notification_id = :id AND event_type = 'UPDATED'",
                id=one["notification"],
            )
            event_ids += [row["id"] for row in rows if row["id"] not in handled]
    return sorted(event_ids)
