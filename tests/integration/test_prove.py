"""``flask woo prove``: the suite finds no fault, and finds faults that are put in."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import json
import os
import pathlib

import pytest
import requests
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.runtime import Runtime
from flask_woo_events.simulation.callback_receiver import Received
from flask_woo_events.simulation.loss_suite import harness, live_store, suite
from flask_woo_events.simulation.loss_suite.harness import CrashableDatabase
from flask_woo_events.simulation.loss_suite.scenario import SCENARIOS, Scenario, run
from flask_woo_events.simulation.loss_suite.subscription_scenarios import Subscriber
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.simulation.store.plugin_journal import Journal
from flask_woo_events.simulation.store.tables import Row
from flask_woo_events.sync import gate
from flask_woo_events.sync.ledger import lookup
from flask_woo_events.sync.reading import comparison, modified
from flask_woo_events.values.event_choice import EventChoice
from tests.integration.host_app import make_app
from tests.model import in_process_store
from tests.sent_schema import problems

pytestmark = pytest.mark.slow

#: Set by ``make soak``.
ALL_VERSIONS = "ALL_VERSIONS" in os.environ

#: These take seconds each: run only on the newest version here, on all by ``flask woo prove``.
LONG = ("at each request", "for hours", "without a date", "300 changes", "of 1,000")


#: A selection: ``flask woo prove --journal`` runs the others too.
WITH_JOURNAL = (
    "product price written to meta",
    "product deleted permanently",
    "variation deleted",
    "changes at request 3 of a poll",
    "late commit, two hours back",
    "store clock an hour back, then forward",
    "the process dies before commit 2",
    "two workers at the same time",
    "a backup is restored",
    "reset, 1 in a row, at each request",
)

#: What happens on the connection itself, which the other stores of ``test_scenario`` leave out.
ON_SOCKETS = ("reset", "truncated", "two workers")


def _named(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


@pytest.fixture(scope="module")
def database() -> cabc.Iterator[CrashableDatabase]:
    with harness.database(None) as made:
        yield made


@pytest.fixture(autouse=True)
def described(monkeypatch: pytest.MonkeyPatch) -> cabc.Iterator[None]:
    """Check that every notification has a form that the API's description declares."""
    wrong: list[str] = []
    collect, take = harness.Environment.collect, Subscriber.take

    def check(env: harness.Environment) -> None:
        for one in env._accepted:
            wrong.extend(problems(one.json))
        collect(env)

    def check_of_subscriber(one: Subscriber, received: Received) -> int:
        wrong.extend(problems(received.json, one.members.get("format", "cloud-elements")))
        return take(one, received)

    monkeypatch.setattr(harness.Environment, "collect", check)
    monkeypatch.setattr(Subscriber, "take", check_of_subscriber)
    yield
    assert wrong == []


def _call_without_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions: list[requests.Session] = []

    def serve(store: SimulatedStore) -> contextlib.AbstractContextManager[str]:
        store.move(in_process_store.URL)
        sessions.append(in_process_store.session(store, lambda _number: None))
        return contextlib.nullcontext(in_process_store.URL)

    monkeypatch.setattr(SimulatedStore, "serve", serve)
    monkeypatch.setattr(Runtime, "store_session", property(lambda _runtime: sessions[-1]))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(
    database: CrashableDatabase, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event is lost, invented or repeated."""
    if not any(part in scenario.name for part in ON_SOCKETS):
        _call_without_sockets(monkeypatch)
    versions = ["11.0"] if any(part in scenario.name for part in LONG) else ["8.0", "11.0"]
    if not ALL_VERSIONS:
        # Every other scenario runs on the older version.
        versions = [versions[SCENARIOS.index(scenario) % len(versions)]]
    for version in versions:
        result = run(scenario, database, version)
        assert result.clean, result


@pytest.mark.parametrize("name", WITH_JOURNAL)
def test_scenario_with_the_journal(database: CrashableDatabase, name: str) -> None:
    """Nor is one on a store that has the companion plugin."""
    result = run(_named(name), database, "11.0", journal=True)
    assert result.clean, result


def test_a_journal_without_a_hook(
    database: CrashableDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite finds a plugin that does not record a deletion."""
    record_change = Journal._record

    def without_deletions(self: Journal, kind: str, row: Row | None, operation: str) -> None:
        if operation != "delete":
            record_change(self, kind, row, operation)

    monkeypatch.setattr(Journal, "_record", without_deletions)
    result = run(_named("coupon deleted permanently"), database, "11.0", journal=True)
    assert not result.clean


def test_a_choice_that_selects_too_much(
    database: CrashableDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite finds subscriptions that get what they do not want."""
    monkeypatch.setattr(EventChoice, "wants", lambda *_: True)
    result = run(_named("five subscriptions, one is down for hours"), database, "11.0")
    assert result.error is not None and "and wants []" in result.error


@pytest.mark.parametrize(
    "name",
    [
        "changes at request 3 of a poll",
        "order deleted permanently",
        "five subscriptions, one is down for hours",
    ],
)
def test_scenario_on_every_database(any_url: str, name: str) -> None:
    """Scenarios are clean on PostgreSQL and MariaDB too."""
    engine = sa.create_engine(any_url)
    made = CrashableDatabase(engine)
    upgrade.upgrade(made.engine)
    assert run(_named(name), made, "9.4").clean
    made.dispose()
    engine.dispose()


def test_scenarios_vary_what_has_no_order(database: CrashableDatabase) -> None:
    """The stores of the suite show metadata in another order at each read."""
    env = harness.Environment(database, "11.0", harness.Setup())
    orders = env.store.routes.orders
    order = next(row for row in orders.table if len(row.fields.get("meta_data", ())) > 1)
    assert orders.varies
    assert len({orders.encoded(order) for _ in range(4)}) > 1


def test_suite_has_the_ordinary_changes_and_more() -> None:
    """The suite contains the forty ordinary changes and at least thirty other scenarios."""
    names = [one.name for one in suite.scenarios()]
    assert len(names) == len(set(names)) >= 70
    assert {"order trashed by REST", "customer meta written", "variation deleted"} <= set(names)


def test_a_poller_that_finds_no_deletions(
    database: CrashableDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the gate lets no deletion pass, the suite names the lost order."""
    monkeypatch.setattr(gate.Gate, "weigh", lambda _: [])
    result = run(_named("order deleted permanently"), database, "11.0")
    assert not result.clean
    assert [key for key in result.verdict.lost if key.startswith("orders")]


def test_a_poller_without_an_overlap(
    database: CrashableDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A strict cursor loses late commits unless the comparison finds them."""
    monkeypatch.setattr(modified, "window", lambda *_: iter(()))
    scenario = _named("order created by REST (stock falls)")
    result = run(scenario, database, "11.0")
    assert result.error is None  # Small collections are still compared completely.
    monkeypatch.setattr(comparison, "compare", lambda *_: iter(()))
    assert not run(scenario, database, "11.0").clean


def test_a_ledger_that_forgets(
    database: CrashableDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the ledger, events are repeated, and the suite reports it."""
    monkeypatch.setattr(lookup, "known", lambda *_: {})
    result = run(_named("coupon amount changed by REST"), database, "11.0")
    assert not result.clean


@pytest.mark.parametrize("version", ["8.0", "11.0"])
def test_real_store_is_left_as_it_was(database: CrashableDatabase, version: str) -> None:
    """A run leaves nothing in a test store, not even order notes."""
    store = SimulatedStore(version, consumer_key="ck_test", consumer_secret="cs_test")
    before = {kind: len(table) for kind, table in store.shop.tables.items()}
    with store.serve() as url:
        steps = list(live_store.run(database, url, "ck_test", "cs_test"))
    assert [step.name for step in steps if not step.verdict.clean] == []
    assert len(steps) > 25
    assert {kind: len(table) for kind, table in store.shop.tables.items()} == before


def test_command(tmp_path: pathlib.Path) -> None:
    """The command prints each scenario and a summary; its exit status is the verdict."""
    runner = make_app(tmp_path).test_cli_runner()
    args = ["woo", "prove", "--version", "11.0", "--scenario", "coupon trashed"]
    result = runner.invoke(args=args)
    assert result.exit_code == 0, result.output
    assert "1 scenario, 1 change, 1 event: 0 lost, 0 false, 0 repeated" in result.output
    shown = [json.loads(line) for line in runner.invoke(args=[*args, "--json"]).output.splitlines()]
    assert [one.get("clean") for one in shown] == [None, True]
    assert runner.invoke(args=["woo", "prove", "--scenario", "x"]).exit_code == 1
    listed = runner.invoke(args=["woo", "prove", "--list"]).output
    assert len(listed.splitlines()) == len(SCENARIOS)
