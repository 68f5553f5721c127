"""What the docs promise of odd stores, seen through the API, the signals and the callback."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import shutil
import typing as t

import pytest

from flask_woo_events import problem_began, problem_ended
from flask_woo_events.simulation.store import manners
from flask_woo_events.simulation.store.lies import Lie
from flask_woo_events.simulation.store.store import SimulatedStore
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import Event, OwnClock, StoreToCallback, open_env

Make = cabc.Callable[..., StoreToCallback]


@pytest.fixture
def make_env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Make]:
    """Return a function that connects a store with forty orders."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:

        def make(lie: Lie | None = None, **how: t.Any) -> StoreToCallback:
            def prepare(store: SimulatedStore) -> None:
                if lie is not None:
                    store.lies.begin(lie)

            return open_env("11.0", tmp_path, stack, counts=(40, 6, 3, 5), prepare=prepare, **how)

        yield make


def _codes(env: StoreToCallback) -> set[str]:
    instance = env.api.call("GET", f"/instances/{env.instance_id}").json
    return {one["code"] for one in instance["problems"]}


@contextlib.contextmanager
def _signals() -> cabc.Iterator[list[str]]:
    """Collect the codes of the signals in the block."""
    sent: list[str] = []

    def began(_app: object, **values: t.Any) -> None:
        sent.append(f"{values['code']} began")

    def ended(_app: object, **values: t.Any) -> None:
        sent.append(f"{values['code']} ended")

    with problem_began.connected_to(began), problem_ended.connected_to(ended):
        yield sent


def _touch(env: StoreToCallback, *numbers: int) -> set[Event]:
    """Change orders and nothing else; return the events to expect."""
    for number in numbers:
        env.rest("PUT", f"orders/{number}", customer_note=f"at {env.store.clock.timestamp()}")
    return {("orders", str(number), "UPDATED") for number in numbers}


def test_the_end_of_unreadable_objects(make_env: Make) -> None:
    """The poll that reads the last of them ends the problem."""
    env = make_env()
    clock, odd = OwnClock(runtime_of(env.app)), list(env.store.truth("orders"))[5]
    env.store.lies.begin(manners.UnreadableRows("orders", {odd}))
    with _signals() as sent:
        changed = _touch(env, odd)
        assert env.arrivals() == set() and _codes(env) == {"unreadable-objects"}
        env.store.lies.end()
        clock.advance(hours=1)
        assert env.arrivals() == changed and _codes(env) == set()
    assert sent == ["unreadable-objects began", "unreadable-objects ended"]


@pytest.mark.parametrize("lie", [manners.FailsAbove(3, light=False), manners.RefusedPages(30)])
def test_the_end_of_small_pages(make_env: Make, lie: Lie) -> None:
    """It concerns lists that are longer than a page, and ends when one page shows all."""
    env = make_env(lie)
    env.store.acts.coupon_use(env.first("coupons"))
    clock = OwnClock(runtime_of(env.app))
    env.arrivals()
    assert _codes(env) == {"small-pages"}
    env.store.lies.end()
    for _ in range(5):
        clock.advance(minutes=20)
        assert env.arrivals() == set()
    assert _codes(env) == set()


@pytest.mark.parametrize("interval", [0, 60])
def test_webhooks_of_an_unreadable_order(make_env: Make, interval: int) -> None:
    """It waits, also where nothing polls, and is a problem until its change is sent."""
    env = make_env(hooked=True, **{"event.webhook.reconcile_interval": str(interval)})
    clock, (odd, *others) = OwnClock(runtime_of(env.app)), list(env.store.truth("orders"))[:20]
    env.store.lies.begin(manners.UnreadableRows("orders", {odd}))
    codes = {"unreadable-objects", "webhooks-waiting"}
    with _signals() as sent:
        changed = _touch(env, odd)
        assert env.hooks() == set() and _codes(env) == codes
        assert _touch(env, *others) == env.hooks()
        clock.advance(minutes=11)
        assert env.hooks() == set() and _codes(env) == codes
        env.store.lies.end()
        clock.advance(minutes=30)
        assert env.hooks() == changed and _codes(env) == set()
    assert sorted(sent) == sorted(f"{one} {when}" for one in codes for when in ("began", "ended"))


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (manners.TextAround(after=manners.TextAround.AFTER[1]), "text-around-json"),
        (manners.TextAround(manners.TextAround.BEFORE[1]), "database-error"),
        (manners.ForcedOrder(), "forced-order"),
        (manners.CachedAnswers(3600.0), "cached-answers"),
        (manners.RefusedStatus(), "order-statuses-refused"),
        (manners.FailingTotals(), "order-statuses-unknown"),
    ],
)
def test_every_problem_has_a_text(make_env: Make, lie: Lie, code: str) -> None:
    """It says what was seen, for the line in the log and the pages."""
    env = make_env()
    env.store.lies.begin(lie)
    for _ in range(3):
        env.store.clock.advance(3601.0)
        OwnClock(runtime_of(env.app)).advance(hours=2)
        env.poll()
        env.poll()
        if code in _codes(env):
            break
    found = env.api.call("GET", f"/instances/{env.instance_id}").json["problems"]
    assert code in {one["code"] for one in found}
    assert all(len(one["text"]) > 3 for one in found)


def test_unreadable_order_of_a_journal(make_env: Make) -> None:
    """It is tried again as without the companion plugin, though nothing names it any more."""
    env = make_env(journal=True)
    clock, odd = OwnClock(runtime_of(env.app)), env.first("orders")

    def later(minutes: float) -> set[Event]:
        # Both clocks: a store's clock that is moved ends the reading of the journal.
        clock.advance(minutes=minutes)
        env.store.clock.advance(minutes * 60)
        return env.arrivals()

    assert later(15) == later(15) == set()
    env.store.lies.begin(manners.UnreadableRows("orders", {odd}))
    changed = _touch(env, odd)
    for minutes in (0, 1, 1):  # The second poll reads once more what had just changed.
        assert later(minutes) == set() and _codes(env) == {"unreadable-objects"}
    env.store.lies.end()
    assert later(60) == changed and _codes(env) == set()


def test_unreadable_order_of_other_lists(make_env: Make) -> None:
    """Lists that take no ids, and lists by parent, show it again, and the problem ends."""
    resources = {
        "own": {"url": "/wp-json/wc/v3/orders", "idField": "id"},
        "notes": {"url": "/hubs/ecommerce/orders-comments", "idField": "id"},
    }
    env = make_env(resources=resources)
    clock, odd = OwnClock(runtime_of(env.app)), list(env.store.truth("orders"))[4]
    env.store.lies.begin(manners.UnreadableRows("orders", {odd}))
    _touch(env, env.store.acts.note(odd))
    assert env.arrivals() == set() and _codes(env) == {"unreadable-objects"}
    env.store.lies.end()
    events = set[Event]()
    for _ in range(2):
        clock.advance(hours=1)
        events |= env.arrivals()
    assert {(one[0], one[2]) for one in events} == {("own", "UPDATED"), ("notes", "CREATED")}
    assert len(events) == 2 and _codes(env) == set()
