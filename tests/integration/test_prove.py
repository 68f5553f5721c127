"""``flask woo prove``: the suite is clean, and notices when it should not be."""

from __future__ import annotations

import collections.abc as cabc
import json
import pathlib

import pytest
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.simulation.loss_suite import harness, live_store, suite
from flask_woo_events.simulation.loss_suite.harness import Fragile
from flask_woo_events.simulation.loss_suite.scenario import ALL, Scenario, run
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.simulation.store.plugin_journal import Journal
from flask_woo_events.simulation.store.tables import Row
from flask_woo_events.sync.ledger import record
from flask_woo_events.sync.reading import comparison, missing, modified
from tests.integration.host_app import make_app

#: They take seconds each: here only on the newest version, all of them by ``flask woo prove``.
LONG = ("at each request", "for hours", "silent writes", "300 changes", "of 1,000")


#: Some of all: ``flask woo prove --journal`` plays the others too.
WITH_JOURNAL = (
    "product price written to meta",
    "product deleted for good",
    "variation deleted",
    "changes at request 3 of a poll",
    "late commit, two hours back",
    "store clock an hour back, then forward",
    "our process dies before commit 2",
    "two workers at once",
    "a backup is played in",
    "reset, 1 in a row, at each request",
)


def _named(name: str) -> Scenario:
    return next(one for one in ALL if one.name == name)


@pytest.fixture(scope="module")
def database() -> cabc.Iterator[Fragile]:
    with harness.database(None) as made:
        yield made


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_scenario(database: Fragile, one: Scenario) -> None:
    """Nothing is lost, invented or told twice."""
    versions = ["11.0"] if any(words in one.name for words in LONG) else ["8.0", "11.0"]
    for version in versions:
        result = run(one, database, version)
        assert result.clean, result


@pytest.mark.parametrize("name", WITH_JOURNAL)
def test_scenario_with_the_journal(database: Fragile, name: str) -> None:
    """Nor is it on a store that has the companion plugin."""
    result = run(_named(name), database, "11.0", journal=True)
    assert result.clean, result


def test_a_journal_without_a_hook(database: Fragile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite notices a plugin that forgets to tell of a deletion."""
    note = Journal._note

    def deaf(self: Journal, kind: str, row: Row | None, operation: str) -> None:
        if operation != "delete":
            note(self, kind, row, operation)

    monkeypatch.setattr(Journal, "_note", deaf)
    result = run(_named("coupon deleted for good"), database, "11.0", journal=True)
    assert not result.clean


@pytest.mark.parametrize("name", ["changes at request 3 of a poll", "order deleted for good"])
def test_scenario_on_every_database(any_url: str, name: str) -> None:
    """PostgreSQL and MariaDB do as SQLite does."""
    engine = sa.create_engine(any_url)
    made = Fragile(engine)
    upgrade.upgrade(made.engine)
    assert run(_named(name), made, "9.4").clean
    made.dispose()
    engine.dispose()


def test_suite_has_the_ordinary_changes_and_more() -> None:
    """Forty acts, and far more than thirty scenarios."""
    names = [one.name for one in suite.scenarios()]
    assert len(names) == len(set(names)) >= 70
    assert {"order trashed by REST", "customer meta written", "variation deleted"} <= set(names)


def test_a_poller_that_finds_no_deletions(
    database: Fragile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the search the suite says which order was lost."""
    monkeypatch.setattr(missing, "read", lambda *_: iter(()))
    result = run(_named("order deleted for good"), database, "11.0")
    assert not result.clean
    assert [one for one in result.verdict.lost if one.startswith("orders")]


def test_a_poller_without_an_overlap(database: Fragile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A strict cursor loses late commits, until the comparison comes to them."""
    monkeypatch.setattr(modified, "window", lambda *_: iter(()))
    scenario = _named("order created by REST (stock falls)")
    result = run(scenario, database, "11.0")
    assert result.error is None  # Small collections are compared whole all the same.
    monkeypatch.setattr(comparison, "compare", lambda *_: iter(()))
    assert not run(scenario, database, "11.0").clean


def test_a_ledger_that_forgets(database: Fragile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A door that lets everything through tells twice, and the suite says so."""
    monkeypatch.setattr(record, "known", lambda *_: {})
    result = run(_named("coupon amount by REST"), database, "11.0")
    assert not result.clean


@pytest.mark.parametrize("version", ["8.0", "11.0"])
def test_real_store_is_left_as_it_was(database: Fragile, version: str) -> None:
    """Nothing of a proof stays in a test store, order notes included."""
    store = SimulatedStore(version, consumer_key="ck_test", consumer_secret="cs_test")
    before = {kind: len(table) for kind, table in store.shop.tables.items()}
    with store.serve() as url:
        steps = list(live_store.run(database, url, "ck_test", "cs_test"))
    assert [step.name for step in steps if not step.verdict.clean] == []
    assert len(steps) > 25
    assert {kind: len(table) for kind, table in store.shop.tables.items()} == before


def test_command(tmp_path: pathlib.Path) -> None:
    """It prints a line for each scenario and a summary, and its exit status is the verdict."""
    runner = make_app(tmp_path).test_cli_runner()
    args = ["woo", "prove", "--version", "11.0", "--scenario", "coupon trashed"]
    result = runner.invoke(args=args)
    assert result.exit_code == 0, result.output
    assert "1 scenarios, 1 changes, 1 events: 0 lost, 0 false, 0 twice" in result.output
    shown = [json.loads(line) for line in runner.invoke(args=[*args, "--json"]).output.splitlines()]
    assert [one.get("clean") for one in shown] == [None, True]
    assert runner.invoke(args=["woo", "prove", "--scenario", "x"]).exit_code == 1
    listed = runner.invoke(args=["woo", "prove", "--list"]).output
    assert len(listed.splitlines()) == len(ALL)
