"""Is this our store? Nothing is recorded until an answer proves it."""

from __future__ import annotations

import pytest

from flask_woo_events.simulation.store.sample_data import populate
from tests.integration.belief.belief_env import DAY, FAILURES_ALLOWED, FOUR, Event, deleted, of_type
from tests.integration.belief.conftest import Connect
from tests.model.in_process_store import URL

STAGING = "https://staging.test"


@pytest.mark.parametrize("home", [URL, STAGING])
def test_other_shop_answers(connect: Connect, home: str) -> None:
    """Another shop's customers and coupons never reach the receiver of a small shop."""
    env = connect(counts=(12, 6, 2, 2))
    order = env.ids("orders")[0]
    with env.answered_by(env.other_shop(40, 15, 9, 50, home=home)):
        assert env.poll() == []
        env.edit("orders", order)
        assert env.poll() == []
    assert env.poll() == [("orders", str(order), "UPDATED")]


@pytest.mark.parametrize("resource", ["customers", "discounts"])
def test_other_shop_answers_the_poll_of_one_resource(connect: Connect, resource: str) -> None:
    """A poll of one resource proves the store, too."""
    env = connect(counts=(12, 6, 2, 2))
    with env.answered_by(env.other_shop(40, 15, 9, 50)):
        assert env.poll(only=resource) == []
    assert env.poll() == []


@pytest.mark.parametrize("resources", [("customers",), FOUR])
def test_smaller_shop_with_other_ids(connect: Connect, resources: tuple[str, ...]) -> None:
    """A smaller shop deletes nothing, wherever the comparison is when it answers."""
    env = connect(counts=(25, 12, 6, 25), resources=resources, page_size=10)
    other = env.other_shop(8, 5, 3, 12, first_post=9_000, first_user=5_000)
    for _ in range(3):
        with env.answered_by(other):
            assert env.poll() == []
        assert env.poll() == []


def test_other_shop_answers_in_the_middle(connect: Connect) -> None:
    """A poll that reaches another shop on its way records only what our store answered."""
    env = connect()
    other = env.other_shop(40, 15, 9, 50)
    for requests in (1, 2, 3, 5, 7):
        order = env.ids("orders")[requests]
        env.edit("orders", order)
        with env.answered_by(other, after=requests):
            events = env.poll()
        assert events + env.poll() == [("orders", str(order), "UPDATED")]


def test_tags_of_another_shop(connect: Connect) -> None:
    """Objects without dates, such as tags, are not deleted and created by another shop."""
    env = connect(resources=("orders", "products", "products-tags"), baseline=False)
    for number in range(8):
        env.rest("POST", "products/tags", name=f"tag {number}")
    env.read_baseline()
    other = env.other_shop(40, 15, 0, 0)
    for number in range(5):
        other.routes.answer("POST", "products/tags", "", {}, {"name": f"strange {number}"})
    with env.answered_by(other):
        assert env.polls(2) == []
    assert env.polls(2) == []


def test_hold_ends_by_itself(connect: Connect) -> None:
    """A shop that was wrong for many polls goes on without an operator, after one notice."""
    env = connect(counts=(30, 6, 0, 0), resources=("orders", "products"))
    with env.answered_by(env.other_shop(40, 15, 0, 0)):
        assert env.polls(FAILURES_ALLOWED + 1) == []
    order = env.ids("orders")[0]
    env.edit("orders", order)
    assert env.poll() == [("orders", str(order), "UPDATED")]
    assert [one["kind"] for one in env.notices] == ["hold", "hold ended"]


def test_operator_accepts_another_store(connect: Connect) -> None:
    """Once an operator accepts the other store, the receiver gets it as it is."""
    env = connect()
    env.store = env.other_shop(9, 4, 2, 7)
    env.address.store = env.store
    assert env.polls(2) == []
    env.accept()
    env.converge()


# Copies of the store


def test_copy_at_another_address(connect: Connect) -> None:
    """A staging copy that answers one poll reverts nothing."""
    env = connect(counts=(12, 8, 3, 5))
    copy = env.copy(STAGING)
    env.pass_time(60)
    for product in env.ids("products")[:3]:
        env.acts.post_update(product, "After the copy")
    env.edit("orders", env.ids("orders")[0])
    env.acts.new_customer("eve")
    env.acts.delete_for_good("coupons", env.ids("coupons")[0])
    env.converge()
    copy.acts.new_product("Only in the copy")
    with env.answered_by(copy):
        assert env.poll() == []
    assert env.polls(2) == []


def test_trash_of_a_copy(connect: Connect) -> None:
    """A product that only the staging copy has in its trash is not deleted."""
    env = connect()
    copy = env.copy(STAGING)
    env.pass_time(60)
    copy.acts.trash_post(env.ids("products")[0])
    with env.answered_by(copy):
        assert env.poll() == []
    assert env.poll() == []


def test_copy_at_the_same_address_is_corrected(connect: Connect) -> None:
    """What a copy behind the same name changed is corrected when the store answers again."""
    env = connect(counts=(12, 8, 3, 5))
    copy = env.copy()
    env.pass_time(60)
    for product in env.ids("products")[:3]:
        env.acts.post_update(product, "After the copy")
    env.acts.new_customer("eve")
    env.acts.delete_for_good("coupons", env.ids("coupons")[0])
    env.converge()
    copy.acts.new_product("Only in the copy")
    with env.answered_by(copy):
        env.poll()
    env.converge()


def test_alternating_backends(connect: Connect) -> None:
    """Two backends that take turns do not send an event at every poll."""
    env = connect()
    product, old = env.ids("products")[0], env.copy()
    env.pass_time(60)
    env.acts.post_update(product, "New")
    assert env.poll() == [("products", str(product), "UPDATED")]
    sent = []
    for _ in range(6):
        with env.answered_by(old):
            sent.append(env.poll(7))
        sent.append(env.poll(7))
    assert sent[-4:] == [[]] * 4
    env.pass_time(120)
    env.converge()


@pytest.mark.parametrize(
    "home", ["http://store.test", "https://www.store.test", "https://store.test:8443"]
)
def test_address_written_in_another_way(connect: Connect, home: str) -> None:
    """Scheme, ``www`` and port in the store's own address do not stop an instance."""
    env = connect()
    env.store.move(home)
    product = env.ids("products")[0]
    env.acts.post_update(product, "Renamed")
    assert env.poll() == [("products", str(product), "UPDATED")]


def test_shop_moves_to_another_domain(connect: Connect) -> None:
    """A shop that moved is held until an operator accepts its new address."""
    env = connect()
    product = env.ids("products")[0]
    env.store.move("https://new.test")
    env.acts.post_update(product, "Renamed")
    assert env.polls(2) == []
    env.accept()
    assert env.poll() == [("products", str(product), "UPDATED")]
    env.acts.post_update(product, "Again")
    assert env.poll() == [("products", str(product), "UPDATED")]


# Ordinary work in a shop


def test_go_live(connect: Connect) -> None:
    """The orders of a shop that goes live are sent, and its test orders are deleted."""
    env = connect(resources=("orders", "products"), counts=(12, 6, 0, 0))
    test_orders = env.ids("orders")
    for order in test_orders:
        env.acts.delete_for_good("orders", order)
    populate(env.store.routes, orders=40, products=0, coupons=0, customers=0)
    events = env.converge(3)
    assert of_type(events, "DELETED") == deleted("orders", test_orders)
    assert len(of_type(events, "CREATED")) == 40


def test_membership_plugin_moves_roles(connect: Connect) -> None:
    """Five customers who become subscribers and five who become customers are sent."""
    env = connect(counts=(12, 6, 3, 10))
    customers = env.ids("customers")
    for customer in customers[:5]:
        env.acts.role(customer, "subscriber")
    env.converge()
    for customer in customers[:5]:
        env.acts.role(customer, "customer")
    for customer in customers[5:]:
        env.acts.role(customer, "subscriber")
    events = env.converge()
    assert of_type(events, "DELETED") == deleted("customers", customers[5:])
    assert len(of_type(events, "CREATED")) == 5


def test_reviews_are_moderated(connect: Connect) -> None:
    """Three reviews that go to spam and three old ones that are approved are sent."""
    env = connect(resources=("products", "products-reviews"), baseline=False)
    product = env.ids("products")[0]
    env.store.clock.advance(-30 * DAY)
    reviews = [env.acts.review(product) for _ in range(6)]
    env.store.clock.advance(30 * DAY)
    for review in reviews[3:]:
        env.row("reviews", review).status = "hold"
    env.read_baseline()
    for review, status in zip(reviews, ["spam"] * 3 + ["approved"] * 3, strict=True):
        env.row("reviews", review).status = status
    env.store.shop.tables["reviews"].all_changed()
    events = [event for event in env.polls(3) if event[0] == "products-reviews"]
    assert of_type(events, "DELETED") == deleted("products-reviews", reviews[:3])
    assert len(of_type(events, "CREATED")) == 3
    assert len(events) == 6


@pytest.mark.parametrize(("number", "days"), [(4, 0), (7, 30)])
def test_dates_are_edited(connect: Connect, number: int, days: int) -> None:
    """Products published again today, or set back by 30 days, are UPDATED like others."""
    env = connect(counts=(12, 10, 3, 5))
    products = env.ids("products")[:number]
    env.pass_time(60)
    for product in products:
        created = env.time if days == 0 else env.row("products", product).created - days * DAY
        env.write("products", product, created=created, modified=env.time)
    coupon = env.ids("coupons")[0]
    env.acts.delete_for_good("coupons", coupon)
    expected: list[Event] = [("products", str(product), "UPDATED") for product in products]
    assert sorted(env.poll()) == sorted([*expected, ("discounts", str(coupon), "DELETED")])


def test_oldest_users_are_deleted(connect: Connect) -> None:
    """A shop whose oldest users are gone is recognized by its other objects."""
    env = connect(resources=("orders", "products-tags"), baseline=False)
    env.read_baseline()
    for user in env.ids("customers")[:2]:
        env.acts.delete_for_good("customers", user)
    env.store.shop.tables["customers"].remove(1)
    env.rest("POST", "products/tags", name="new")
    assert [one[0] for one in env.poll() if one[2] == "CREATED"] == ["products-tags"]
