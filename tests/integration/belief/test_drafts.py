"""Orders that nobody has placed yet: drafts of the block checkout and of the admin."""

from __future__ import annotations

import pytest

from flask_woo_events.simulation.store.lies import Asked, Lie
from flask_woo_events.simulation.store.responses import RestError, SimulatedResponse
from flask_woo_events.simulation.store.routes import Routes
from flask_woo_events.woocommerce import listing
from tests.integration.belief.belief_env import BeliefEnv, Event
from tests.integration.belief.conftest import Connect

VERSIONS = ("8.0", "11.0")
MODES = ("polling", "journal", "webhook")
DRAFT = "checkout-draft"


class _NoReports(Lie):
    """The key may not read reports, so the poller asks for ``any``."""

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        if "/reports/" not in asked.path:
            return answer
        return RestError(403, "woocommerce_rest_cannot_view", "Sorry.").answer()


def _sent(env: BeliefEnv, mode: str, order: int, *topics: str) -> list[Event]:
    """Return the events of orders after their webhooks, or after the next poll."""
    if mode == "webhook":
        for topic in topics:
            env.receive_webhooks(f"order.{topic}", "orders", order)
        events = env.process_webhooks()
    else:
        events = env.poll()
    assert env.errors == {}
    return [one for one in events if one[0] == "orders"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", MODES)
def test_draft_is_no_order_until_placed(connect: Connect, mode: str, version: str) -> None:
    """A placed draft is CREATED once; one that is cleaned up causes no event."""
    env = connect(journal=mode == "journal", version=version)
    product = env.ids("products")[0]
    placed, abandoned = (env.store.checkout.draft([product]) for _ in range(2))
    assert _sent(env, mode, placed, "updated") == []
    assert _sent(env, mode, abandoned, "updated") == []
    env.store.checkout.place(placed)
    created = [("orders", str(placed), "CREATED")]
    assert _sent(env, mode, placed, "created", "updated") == created
    env.polls(2, 721)
    assert env.store.checkout.clean_up() == [abandoned]
    assert _sent(env, mode, abandoned, "deleted") == []
    env.converge()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("status", [DRAFT, "auto-draft"])
def test_draft_that_any_shows(connect: Connect, version: str, status: str) -> None:
    """A list of any status, which holds drafts in some versions, changes nothing."""
    env = connect(version=version, baseline=False)
    env.store.lies.begin(_NoReports())
    before = env.store.checkout.draft([env.ids("products")[0]], status)
    env.read_baseline()
    draft = env.store.checkout.draft([env.ids("products")[0]], status)
    assert env.poll() == []
    for order in (before, draft):
        env.store.checkout.place(order)
    events = [one for one in env.poll() if one[0] == "orders"]
    assert events == [("orders", str(order), "CREATED") for order in (before, draft)]
    env.converge()


def test_url_that_asks_for_drafts(connect: Connect) -> None:
    """A poller whose url names the status gets drafts like any other order."""
    env = connect(resources={"orders": f"/hubs/ecommerce/orders?status={DRAFT},processing"})
    draft = env.store.checkout.draft([env.ids("products")[0]])
    assert env.poll() == [("orders", str(draft), "CREATED")]
    env.store.checkout.place(draft)
    assert env.poll() == [("orders", str(draft), "UPDATED")]


def _recorded_drafts(env: BeliefEnv, monkeypatch: pytest.MonkeyPatch, number: int = 4) -> list[int]:
    """Return drafts that an earlier release sent as CREATED."""
    product = env.ids("products")[0]
    drafts = [env.store.checkout.draft([product]) for _ in range(number)]
    with monkeypatch.context() as before:
        before.setattr(listing, "UNPLACED", ())
        before.setattr("flask_woo_events.simulation.store.versions.DRAFTS", ())
        events = env.poll()
    assert set(events) == {("orders", str(draft), "CREATED") for draft in drafts}
    return drafts


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", MODES)
def test_drafts_of_an_earlier_release(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, mode: str, version: str
) -> None:
    """Drafts that the ledger holds are not DELETED by an upgrade, and change as before."""
    env = connect(journal=mode == "journal", version=version)
    placed, abandoned, *others = _recorded_drafts(env, monkeypatch)
    assert env.polls(3) == [] and env.notices == []
    env.store.checkout.place(placed)
    assert _sent(env, mode, placed, "created") == [("orders", str(placed), "UPDATED")]
    env.acts.delete_for_good("orders", abandoned)
    assert _sent(env, mode, abandoned, "deleted") == [("orders", str(abandoned), "DELETED")]
    env.polls(2, 721)
    env.store.checkout.clean_up()
    events = [one for one in env.poll() if one[0] == "orders"]
    assert sorted(events) == [("orders", str(one), "DELETED") for one in others]
    env.converge()


def test_many_drafts_of_an_earlier_release(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of them cost a few requests, and wait for no second reading."""
    env = connect(counts=(12, 6, 0, 5), resources=("orders",))
    drafts = _recorded_drafts(env, monkeypatch, 300)
    assert env.poll() == [] and env.notices == []
    env.store.requests.clear()
    assert env.poll() == []
    assert len(env.store.requests) <= 15
    for draft in drafts[:10]:
        env.acts.delete_for_good("orders", draft)
    assert env.polls(3) == [("orders", str(draft), "DELETED") for draft in drafts[:10]]


def test_drafts_of_an_earlier_release_in_a_filtered_list(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are DELETED when they are cleaned up there, too."""
    env = connect(resources={"orders": "/hubs/ecommerce/orders?customer=0"}, baseline=False)
    env.polls(2)
    env.known = {}
    drafts = _recorded_drafts(env, monkeypatch)
    assert env.polls(3) == []
    env.acts.delete_for_good("orders", drafts[0])
    assert env.poll() == [("orders", str(drafts[0]), "DELETED")]
    assert env.polls(2) == []


def test_order_that_becomes_a_draft(connect: Connect) -> None:
    """An order that was placed stays one, whatever status it gets."""
    env = connect(resources=("orders",))
    order = env.ids("orders")[0]
    env.rest("PUT", f"orders/{order}", status=DRAFT)
    assert env.poll() == [("orders", str(order), "UPDATED")]
    assert env.polls(2) == []
