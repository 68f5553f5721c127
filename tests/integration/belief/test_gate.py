"""The gate of deletions: what a store stops showing is DELETED only when that is plausible."""

from __future__ import annotations

import contextlib

import pytest

from tests.integration.belief.belief_env import BeliefEnv, deleted
from tests.integration.belief.conftest import Connect

ONLY_ORDERS = ("orders",)
KINDS = ("orders", "products", "coupons", "customers")


def _delete(env: BeliefEnv, kind: str, numbers: list[int]) -> None:
    for number in numbers:
        env.acts.delete_for_good(kind, number)


# A store that shows nothing, or too little, for a while


@pytest.mark.parametrize("kind", ["orders", "products", "customers"])
def test_empty_for_one_poll(connect: Connect, kind: str) -> None:
    """A table that is away for one poll deletes nothing, wherever the comparison is."""
    counts = {"orders": (30, 1, 0, 0), "products": (0, 30, 0, 0), "customers": (0, 0, 0, 30)}
    env = connect(resources=(kind,), counts=counts[kind], page_size=10)
    for _ in range(3):
        with env.without(kind):
            assert env.poll() == []
        assert env.poll() == []


def test_small_shop_is_empty_for_one_poll(connect: Connect) -> None:
    """A fresh installation at the address does not delete the 26 objects of a small shop."""
    env = connect()
    with env.answered_by(env.other_shop(0, 0, 0, 0)):
        assert env.polls(2) == []
    assert env.poll() == []


def test_all_tables_are_empty_for_one_poll(connect: Connect) -> None:
    """A small shop whose database shows no rows, no users either, keeps its objects."""
    env = connect()
    with contextlib.ExitStack() as stack:
        for kind in KINDS:
            stack.enter_context(env.without(kind))
        assert env.polls(2) == []
    assert env.poll() == []


def test_second_fright_is_held_like_the_first(connect: Connect) -> None:
    """Objects that were missing once and came back are not deleted at the next fright."""
    env = connect(resources=("orders", "products"), counts=(40, 6, 0, 0))
    missing = env.ids("orders")[10:]
    with env.without("orders", *missing):
        assert env.poll() == []
    assert env.polls(2, 720) == []
    with env.without("orders", *missing):
        assert env.poll() == []
    assert env.poll() == []


def test_accept_is_used_up(connect: Connect) -> None:
    """An ``accept`` that was not needed any more does not let a later fright through."""
    env = connect(resources=ONLY_ORDERS, counts=(40, 6, 0, 0))
    with env.without("orders"):
        assert env.poll() == []
        env.accept()
    assert env.polls(2, 2160) == []
    with env.without("orders"):
        assert env.poll() == []
    assert env.poll() == []


def test_slow_drip(connect: Connect) -> None:
    """A store that loses some objects at each poll loses at most a fifth before the hold."""
    env = connect(resources=ONLY_ORDERS, counts=(100, 6, 0, 0))
    orders = env.ids("orders")
    with env.without("orders", *orders[:15]):
        assert env.poll(3) == deleted("orders", orders[:15])
    for number in (30, 45, 60):
        with env.without("orders", *orders[:number]):
            assert env.poll(3) == []
    env.converge()


def test_second_reading_names_other_objects(connect: Connect) -> None:
    """Only objects that both readings miss are deleted, each ten minutes after its first."""
    env = connect(resources=ONLY_ORDERS, counts=(100, 6, 0, 0))
    orders = env.ids("orders")
    with env.without("orders", *orders[:30]):
        assert env.poll() == []
    with env.without("orders", *orders[5:35]):
        assert sorted(env.poll()) == deleted("orders", orders[5:30])
        assert env.poll() == deleted("orders", orders[30:35])
    env.converge()


# The limits


@pytest.mark.parametrize(
    ("source", "number", "known", "held"),
    [
        ("poll", 20, 80, False),
        ("poll", 21, 105, False),
        ("poll", 21, 104, True),
        ("journal", 21, 105, False),
        ("journal", 21, 104, True),
        ("webhook", 21, 105, False),
        ("webhook", 21, 104, True),
    ],
)
def test_limit_of_one_resource(
    connect: Connect, source: str, number: int, known: int, held: bool
) -> None:
    """More than 20 and a fifth of a resource wait for a second reading, whoever found them."""
    journal = source == "journal"
    env = connect(resources=ONLY_ORDERS, counts=(known, 6, 0, 5), journal=journal)
    env.poll()  # The comparison is at its beginning again.
    orders = env.ids("orders")[:number]
    _delete(env, "orders", orders)
    if source == "webhook":
        env.receive_webhooks("order.deleted", "orders", *orders)
        events = env.process_webhooks()
    else:
        events = env.poll()
    assert sorted(events) == ([] if held else deleted("orders", orders))
    events += env.poll(5)
    assert sorted(events) == ([] if held else deleted("orders", orders))
    events += env.polls(2, 6)
    assert sorted(events) == deleted("orders", orders)


@pytest.mark.parametrize(
    ("known", "gone", "held"),
    [
        ((4, 0), (3, 0), False),
        ((3, 2), (2, 1), True),
        ((6, 0), (3, 0), False),
        ((5, 6), (4, 1), False),
    ],
)
def test_limit_of_the_instance(
    connect: Connect, known: tuple[int, int], gone: tuple[int, int], held: bool
) -> None:
    """More than half of an instance, from five objects on, wait for a second reading."""
    env = connect(resources=("products", "discounts"), counts=(0, *known, 0))
    products, coupons = env.ids("products")[: gone[0]], env.ids("coupons")[: gone[1]]
    _delete(env, "products", products)
    _delete(env, "coupons", coupons)
    expected = deleted("discounts", coupons) + deleted("products", products)
    events = env.poll()
    assert sorted(events) == ([] if held else expected)
    assert sorted(events + env.polls(2, 6)) == expected


def test_all_of_twenty(connect: Connect) -> None:
    """All of at most 20 objects are deleted after a second reading ten minutes later."""
    env = connect(resources=ONLY_ORDERS, counts=(20, 6, 0, 5))
    orders = env.ids("orders")
    _delete(env, "orders", orders)
    assert env.poll() == []
    assert env.poll(9) == []
    assert sorted(env.poll(2)) == deleted("orders", orders)


def test_all_of_more_than_twenty(connect: Connect) -> None:
    """All of more than 20 objects are deleted only when an operator accepts it."""
    env = connect(resources=ONLY_ORDERS, counts=(30, 6, 0, 5), page_size=10)
    assert env.polls(1) == []
    orders = env.ids("orders")
    _delete(env, "orders", orders)
    assert env.polls(3) == []
    assert env.polls(2, 1440) == []
    env.accept()
    assert sorted(env.poll()) == deleted("orders", orders)


def test_accept_sends_what_was_listed(connect: Connect) -> None:
    """An ``accept`` covers the objects that were held then, not those that vanish later."""
    env = connect(resources=ONLY_ORDERS, counts=(100, 6, 0, 0))
    orders = env.ids("orders")
    with env.without("orders", *orders[:30]):
        assert env.poll() == []
        env.accept()
    with env.without("orders", *orders[:60]):
        assert sorted(env.poll(3)) == deleted("orders", orders[:30])
    env.converge()


def test_step_back_in_time(connect: Connect) -> None:
    """A stale replica that answers one poll reverts nothing, if it reverts many objects."""
    env = connect(resources=ONLY_ORDERS, counts=(60, 6, 0, 5))
    replica = env.copy()
    env.pass_time(60)
    for order in env.ids("orders")[:30]:
        env.write("orders", order, modified=env.time, customer_note="new")
    env.converge()
    with env.answered_by(replica):
        assert env.poll() == []
    assert env.polls(2) == []
    assert env.differences() == {}


@pytest.mark.parametrize("size", [130, 190])
def test_rows_that_move_are_not_missing(connect: Connect, size: int) -> None:
    """Deletions before the comparison's page pass the gate: the rows after them only moved."""
    env = connect(resources=("orders", "products"), counts=(size, 90, 0, 0))
    env.polls(2)
    gone = env.ids("orders")[:20]
    for number in gone:
        env.acts.delete_for_good("orders", number)
    assert env.poll() == [("orders", str(number), "DELETED") for number in gone]
    assert env.errors == {} and env.differences() == {}
