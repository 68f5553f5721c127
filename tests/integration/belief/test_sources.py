"""The same rules for every source: journal, webhooks, parents, and the baseline."""

from __future__ import annotations

import contextlib
import pathlib
import shutil

import pytest

from tests.integration.belief.belief_env import DAY, BeliefEnv, Event
from tests.integration.belief.conftest import Connect
from tests.integration.store_to_callback import open_env
from tests.model.in_process_store import URL

STAGING = "https://staging.test"


def _change_all(env: BeliefEnv) -> list[Event]:
    """Change all orders; return their events."""
    orders = env.ids("orders")
    for order in orders:
        env.write("orders", order, modified=env.time, customer_note="changed")
    return [("orders", str(order), "UPDATED") for order in orders]


# Tables that are away while a source names objects


def test_journal_while_a_table_is_away(connect: Connect) -> None:
    """Orders that the journal names are not deleted while their table is away."""
    env = connect(journal=True, counts=(40, 6, 3, 5))
    expected = _change_all(env)
    with env.without("orders"):
        assert env.poll(1) == []
    assert sorted(env.converge()) == sorted(expected)


def test_webhooks_while_a_table_is_away(connect: Connect) -> None:
    """Orders that webhooks name are not deleted while their table is away."""
    env = connect(counts=(40, 6, 3, 5))
    expected = _change_all(env)
    env.receive_webhooks("order.updated", "orders", *env.ids("orders"))
    with env.without("orders"):
        assert env.process_webhooks() == []
    assert sorted(env.converge()) == sorted(expected)


def test_parents_are_away(connect: Connect) -> None:
    """Order notes are not deleted while the store shows no orders."""
    env = connect(
        resources=("orders-comments", "products"), counts=(30, 6, 0, 0), page_size=10,
        baseline=False,
    )  # fmt: skip
    env.store.clock.advance(-DAY)
    for order in env.ids("orders"):
        env.acts.note(order)
    env.store.clock.advance(DAY)
    env.read_baseline()
    for _ in range(3):
        with env.without("orders"):
            assert env.poll() == []
        assert env.poll() == []


# Other stores behind webhooks and the journal


@pytest.mark.parametrize("home", [URL, STAGING])
def test_other_shop_answers_what_webhooks_name(connect: Connect, home: str) -> None:
    """What webhooks name waits while another shop answers, and is sent afterwards."""
    env = connect(counts=(12, 6, 2, 2))
    order, coupon = env.ids("orders")[0], env.ids("coupons")[0]
    env.edit("orders", order)
    env.receive_webhooks("order.updated", "orders", order)
    env.receive_webhooks("coupon.updated", "discounts", coupon)
    with env.answered_by(env.other_shop(40, 15, 9, 50, home=home)):
        assert env.process_webhooks() == []
        env.pass_time(60)
        assert env.process_webhooks() == []
    env.pass_time(60)
    assert env.process_webhooks() == [("orders", str(order), "UPDATED")]
    assert env.poll() == []


def test_copy_answers_what_webhooks_name(connect: Connect) -> None:
    """A staging copy that answers for the shop takes no change back."""
    env = connect()
    copy, product, coupon = env.copy(STAGING), env.ids("products")[0], env.ids("coupons")[0]
    env.pass_time(60)
    env.acts.post_update(product, "New")
    env.converge()
    copy.acts.delete_for_good("coupons", coupon)
    env.receive_webhooks("product.updated", "products", product)
    env.receive_webhooks("coupon.updated", "discounts", coupon)
    with env.answered_by(copy):
        assert env.process_webhooks() == []
    assert env.polls(2) == []


def test_copy_answers_instead_of_the_journal(connect: Connect) -> None:
    """A staging copy without the companion plugin takes no change back."""
    env = connect(journal=True)
    copy, product = env.copy(STAGING), env.ids("products")[0]
    env.pass_time(60)
    env.acts.post_update(product, "New")
    order = env.ids("orders")[0]
    env.acts.delete_for_good("orders", order)
    env.converge()
    with env.answered_by(copy):
        assert env.polls(2) == []
    assert env.polls(2) == []


def test_webhook_of_another_host(tmp_path: pathlib.Path, tables: pathlib.Path) -> None:
    """A webhook that a staging copy signed with our secret is dropped, with a notice."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:
        env = open_env("11.0", tmp_path, stack, hooked=True)
        home = env.store.shop.home
        meta = [{"key": "edited", "value": "1"}]
        env.rest("PUT", f"orders/{env.first('orders')}", meta_data=meta)
        env.store.move(STAGING)
        env.store.webhooks.run_queue()
        env.store.move(home)
        env.store.requests.clear()
        assert env.hooks() == set()
        assert list(env.store.requests) == []
        assert len(env.notices) == 1
        assert env.arrivals() == {("orders", str(env.first("orders")), "UPDATED")}


# The baseline


@pytest.mark.parametrize("home", [URL, STAGING])
def test_other_shop_answers_the_baseline(connect: Connect, home: str) -> None:
    """Another shop that answers the first poll does not become the baseline."""
    env = connect(baseline=False)
    with env.answered_by(env.other_shop(20, 9, 5, 9, home=home)):
        assert env.polls(2) == []
    env.read_baseline()
    env.edit("orders", env.ids("orders")[0])
    assert len(env.converge()) == 1


def test_empty_store_answers_the_baseline(connect: Connect) -> None:
    """Old objects are not CREATED after a first poll that an empty installation answered."""
    env = connect(baseline=False)
    with env.answered_by(env.other_shop(0, 0, 0, 0)):
        assert env.polls(2) == []
    env.read_baseline()
    env.edit("orders", env.ids("orders")[0])
    assert len(env.converge()) == 1


def test_new_shop_without_objects(connect: Connect) -> None:
    """The first order of a shop that was connected empty is CREATED."""
    env = connect(counts=(0, 0, 0, 0))
    order = int(env.rest("POST", "orders", status="pending")["id"])
    assert env.poll() == [("orders", str(order), "CREATED")]


def test_other_shop_answers_the_rest_of_a_baseline(connect: Connect) -> None:
    """A baseline that goes on in another shop takes over nothing of it."""
    env = connect(
        resources=("orders", "customers"), counts=(40, 6, 0, 40), page_size=10, baseline=False
    )
    env.store.faults.add("status", match=_is_later_page, times=100, code=500)
    assert env.poll() == []
    env.store.faults.clear()
    with env.answered_by(env.other_shop(90, 6, 0, 90)):
        assert env.polls(2) == []
    env.read_baseline()
    assert env.polls(4) == []
    assert env.differences() == {}


@pytest.mark.parametrize("answers", range(2, 14))
def test_other_shop_answers_from_the_middle_of_a_baseline(connect: Connect, answers: int) -> None:
    """A page does not count with the pages before it if it is another shop's."""
    env = connect(
        resources=("orders", "customers"), counts=(60, 6, 0, 40), page_size=10, baseline=False
    )
    with env.answered_by(env.other_shop(90, 6, 0, 90), after=answers):
        assert env.poll() == []
    env.read_baseline()
    assert env.polls(4) == []
    assert env.differences() == {}


def test_pages_of_a_baseline_prove_each_other(connect: Connect) -> None:
    """The users of a store are not read for each page: an object of the page before shows it."""
    env = connect(resources=("orders",), counts=(60, 6, 0, 4), page_size=10, baseline=False)
    env.store.requests.clear()
    env.read_baseline()
    paths = [one.path.rpartition("/")[2] for one in env.store.requests]
    assert paths.count("orders") >= 7
    assert paths.count("customers") <= 2


def _is_later_page(_method: str, _path: str, params: object) -> bool:
    return isinstance(params, dict) and int(params.get("offset", 0)) >= 20


def test_changes_while_a_baseline_is_interrupted(connect: Connect) -> None:
    """What changes between two parts of a baseline is sent after it, and deletes nothing twice."""
    env = connect(
        resources=("orders", "customers"), counts=(40, 6, 0, 40), page_size=10, baseline=False
    )
    env.store.faults.add("status", match=_is_later_page, times=100, code=500)
    known = env.truth()
    assert env.poll() == []
    env.store.faults.clear()
    env.pass_time(60)
    orders, customers = env.ids("orders"), env.ids("customers")
    # Orders of guests, so that no customer changes with them.
    env.acts.delete_for_good("orders", orders[4])
    env.acts.delete_for_good("customers", customers[5])
    env.edit("orders", orders[9])
    env.acts.profile(customers[7], "Changed")
    new = int(env.rest("POST", "orders", status="pending")["id"])
    env.pass_time(3 * DAY / 60)
    env.known = known
    events = env.converge(12)
    assert sorted(events) == sorted(
        [
            ("orders", str(orders[4]), "DELETED"),
            ("customers", str(customers[5]), "DELETED"),
            ("orders", str(orders[9]), "UPDATED"),
            ("customers", str(customers[7]), "UPDATED"),
            ("orders", str(new), "CREATED"),
        ]
    )


def test_resource_without_objects_is_polled_like_others(connect: Connect) -> None:
    """What is shown of other resources proves that an empty one was read, too."""
    env = connect(counts=(0, 6, 0, 5))
    env.polls(2)
    polled_at = env.polled_at()
    assert set(polled_at.values()) == {env.store.clock.now().replace(microsecond=0)}
    with env.answered_by(env.other_shop(0, 0, 0, 0)):
        env.poll()
    assert env.polled_at() == polled_at
