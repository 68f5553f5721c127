"""A client of the retired service, in which only the host name was changed."""

from __future__ import annotations

import ast
import collections
import collections.abc as cabc
import contextlib
import json
import pathlib
import typing as t

import pytest

from flask_woo_events.simulation.store import SimulatedStore
from tests.acceptance.old_client import (
    elements,
    events,
    hub,
    instance_changes,
    instances,
    notifications,
)
from tests.acceptance.old_client.client import OldClient, Outcome
from tests.acceptance.old_client.declared import DECLARED
from tests.acceptance.old_client.listener import Listener
from tests.acceptance.old_client.world import World
from tests.example_site import ExampleSite
from tests.serving import serve_handler
from tests.waiting import wait_until

KEYS = ("ck_" + "a" * 40, "cs_" + "b" * 40)
CLIENT = pathlib.Path(__file__).parent / "old_client"


@pytest.fixture
def world(tmp_path: pathlib.Path) -> cabc.Iterator[World]:
    """Serve the application, a store and the client's callback."""
    store = SimulatedStore("9.4", consumer_key=KEYS[0], consumer_secret=KEYS[1])
    store.populate(orders=12, products=6, coupons=5, customers=5)
    service = ExampleSite(tmp_path, FLASK_WOO_EVENTS_RETRY_SCHEDULE="cloud-elements")
    listener = Listener()
    with (
        service.application() as app,
        store.serve() as store_url,
        serve_handler(listener.handler()) as callback_url,
    ):
        runner = app.test_cli_runner()

        def run(*args: str) -> str:
            result = runner.invoke(args=["woo", *args])
            assert result.exit_code == 0, result.output
            return result.output

        run("db", "upgrade")
        secrets = json.loads(run("users", "add", "ann", "--organization", "acme", "--json"))
        with service.serving():
            client = OldClient(service.url, secrets["user_secret"], secrets["organization_secret"])
            with contextlib.closing(client):
                yield World(
                    client=client,
                    store_url=store_url,
                    store_keys=KEYS,
                    callback_url=f"{callback_url}/events",
                    listener=listener,
                    product=store.acts.new_product("Known"),
                    pass_time=lambda: run("poll", "--once"),
                    rename_product=store.acts.post_update,
                )


def _run(world: World) -> None:
    """Make all calls."""
    elements.describe(world)
    page, churros = instances.connect(world)
    world.client.use_token(churros.token)
    world.pass_time()
    event_ids = events.receive(world, page, churros)
    retried = notifications.fail(world, page)
    for resource in (
        "customers", "discounts", "orders", "products", "products-attributes",
        "products-categories", "products-tags",
    ):  # fmt: skip
        hub.manage(world, resource)
    hub.manage_children(world)
    for resource in ("customers", "discounts", "orders", "products"):
        hub.page(world, resource)
    hub.search(world)
    hub.search_slugs(world)
    hub.sort(world)
    hub.report(world, churros)
    hub.list_objects(world)
    hub.fail(world)
    hub.fail_to_send(world)
    instances.create_others(world)
    instances.create_with_the_name_of_the_table(world)
    instances.create_wrongly(world)
    instances.manage_by_element(world, "woocommercerest")
    instances.manage_by_element(world, "2881")
    instances.search(world)
    instances.find(world, page)
    instance_changes.show_nulls(world, churros)
    instance_changes.configure(world, churros)
    instance_changes.switch(world, churros)
    # The first retry is due after four seconds, most of which have passed.
    wait_until(lambda: notifications.is_delivered(world, retried))
    events.read(world, page, event_ids[0])
    events.count(world, len(event_ids))
    events.explain(world)
    world.listener.take()
    events.send(world, page, churros)
    events.send_otherwise(world, page)
    notifications.read(world, page)
    notifications.write(world)
    notifications.set_policy(world)
    notifications.queue(world, page)
    instance_changes.change(world, churros)
    instance_changes.send_back(world, churros)
    instance_changes.delete(world, churros)
    instance_changes.delete_by_token(world, page)


def _judged(outcomes: list[Outcome]) -> tuple[list[str], list[str]]:
    """Return the calls with declared deviations, and what was not expected.

    A deviation that is declared and not seen is unexpected, too.
    """
    declared: dict[str, set[str]] = collections.defaultdict(set)
    for deviation in DECLARED:
        for name in deviation.calls:
            declared[name] |= set(deviation.seen)
    surprises = [
        f"{one.name} ({one.source}): {text}"
        for one in outcomes
        for text in one.differences
        if text not in declared[one.name]
    ]
    seen = {one.name: set(one.differences) for one in outcomes}
    surprises += [
        f"{name}: declared but not seen: {text}"
        for name, texts in declared.items()
        for text in sorted(texts - seen.get(name, set()))
    ]
    return [one.name for one in outcomes if one.differences and declared[one.name]], surprises


@pytest.mark.parity(35, 37, 38, 39, 40, 44, 45, 46, 55, 56, 58, 59, 61, 62, 66, 68, 69, 70)
@pytest.mark.parity(71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 100)
def test_old_client(world: World) -> None:
    """Every call gets the documented answer, except for the declared deviations."""
    _run(world)
    outcomes = world.client.outcomes
    declared, surprises = _judged(outcomes)
    expected = sum(not one.differences for one in outcomes)
    counts = (
        f"{world.client.calls} calls, {len(outcomes)} comparisons: {expected} as documented, "
        f"{len(declared)} declared, {len(surprises)} surprises"
    )
    print(counts)
    assert not surprises, "\n".join([counts, *surprises])


def test_declared_deviations_are_rows() -> None:
    """Each declared deviation belongs to a row of parity that is not a plain yes."""
    text = pathlib.Path(__file__).parents[2].joinpath("docs", "parity.md").read_text("utf-8")
    rows = {int(line.split("|")[1]): line.split("|") for line in text.splitlines()
            if line.startswith("| ") and line.split("|")[1].strip().isdigit()}  # fmt: skip
    wrong = [one.row for one in DECLARED if rows[one.row][3].strip() not in ("deviates", "outside")]
    assert wrong == []


def test_client_is_independent() -> None:
    """The client imports the standard library, requests and itself."""
    imported: set[str] = set()
    for path in CLIENT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported.add(t.cast(str, node.module))
            elif isinstance(node, ast.Import):
                imported |= {one.name for one in node.names}
    others = {one for one in imported if not one.startswith("tests.acceptance.old_client")}
    assert "requests" in others and not {one for one in others if "woo_events" in one}
