"""Combinations that the documentation promises to survive."""

from __future__ import annotations

import pytest

from tests.integration.belief.belief_env import BeliefEnv, Event, of_type
from tests.integration.belief.conftest import Connect


def _answer_first(env: BeliefEnv, number: int) -> list[Event]:
    """Poll while another shop answers the first requests of the poll."""
    home, other, left = env.store, env.other_shop(40, 15, 9, 50), number

    def switch() -> None:
        nonlocal left
        env.address.store = other if left > 0 else home
        left -= 1

    env.address.before = switch
    try:
        return env.poll()
    finally:
        env.address.before = lambda: None
        env.address.store = home


@pytest.mark.parametrize("number", range(1, 13))
def test_other_shop_answers_the_first_requests(connect: Connect, number: int) -> None:
    """A poll that begins in another shop and ends in ours records nothing of the other."""
    env = connect(counts=(12, 6, 2, 2))
    assert _answer_first(env, number) == []
    assert env.polls(3) == []
    assert env.differences() == {}


@pytest.mark.parametrize("resources", [("orders", "products"), ("orders",)])
def test_all_of_one_resource(connect: Connect, resources: tuple[str, ...]) -> None:
    """All of more than 20 orders wait for an operator, although products are still shown."""
    env = connect(resources=resources, counts=(40, 6, 0, 5))
    with env.without("orders"):
        assert env.polls(4) == []
    assert env.polls(2) == []


@pytest.mark.parametrize("held", [True, False])
def test_journal_is_emptied(connect: Connect, held: bool) -> None:
    """A journal that was emptied before its rows were read is followed by a comparison."""
    env = connect(journal=True)
    for order in env.ids("orders")[1:4]:
        env.edit("orders", order)
    env.converge()
    if held:
        with env.answered_by(env.other_shop(40, 15, 9, 50)):
            assert env.poll() == []
    env.edit("orders", env.ids("orders")[0])
    env.acts.price_meta(env.ids("products")[0], "99.00")
    env.acts.delete_for_good("coupons", env.ids("coupons")[0])
    env.store.journal.truncate()
    env.converge()


@pytest.mark.parametrize("when", ["connect", "later"])
def test_keys_may_not_read_customers(
    connect: Connect, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the right to read users, orders and products prove the store."""
    if when == "connect":
        first = BeliefEnv._connect

        def refuse(env: BeliefEnv) -> None:
            env.store.faults.add("status", match="customers", times=10**6, code=403)
            first(env)

        monkeypatch.setattr(BeliefEnv, "_connect", refuse)
    env = connect(resources=("orders", "products", "discounts"))
    if when == "later":
        env.store.faults.add("status", match="customers", times=10**6, code=403)
    env.edit("orders", env.ids("orders")[0])
    env.acts.new_product("new")
    env.converge()
    with env.answered_by(env.other_shop(40, 15, 9, 50)):
        assert env.polls(2) == []
    env.acts.new_coupon("new")
    env.acts.delete_for_good("products", env.ids("products")[0])
    env.converge()


def test_most_objects_vanish_during_a_poll(connect: Connect) -> None:
    """A store that loses most of its objects for some minutes deletes none, whenever it begins."""
    env = connect()
    damaged = env.copy()
    for kind in ("orders", "products", "coupons", "customers"):
        table = damaged.shop.tables[kind]
        table.replace([row for row in table if row.id % 5 == 0])
    for number in range(14):
        with env.answered_by(damaged, after=number):
            events = env.poll()
        events += env.poll(3)
        assert of_type(events, "DELETED") == [], number
        assert env.differences() == {}, number
