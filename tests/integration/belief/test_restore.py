"""Dates that go back: what a restore or a repair changed is sent like any other change."""

from __future__ import annotations

import pytest

from flask_woo_events.sync.instance_poll import due_instances
from flask_woo_events.sync.reading import comparison
from tests.integration.belief.belief_env import DAY, Event, of_type
from tests.integration.belief.conftest import Connect

HOUR = 3_600


def test_script_writes_dates_of_another_zone(connect: Connect) -> None:
    """Prices written with a date five hours ago are sent, with all else of that interval."""
    env = connect(counts=(12, 8, 3, 5))
    products, order, coupon = env.ids("products")[:3], env.ids("orders")[2], env.ids("coupons")[1]
    for product in products:
        env.acts.post_update(product, "Synced")
    env.polls(2)
    for product in products:
        env.write("products", product, modified=env.time - 5 * HOUR, regular_price="99.00")
    env.acts.delete_for_good("orders", order)
    env.acts.delete_for_good("coupons", coupon)
    env.acts.usermeta(env.ids("customers")[3], "silent")
    events = env.converge()
    assert of_type(events, "DELETED") == [
        ("discounts", str(coupon), "DELETED"), ("orders", str(order), "DELETED"),
    ]  # fmt: skip
    assert [one for one in events if one[0] == "products"] == [
        ("products", str(product), "UPDATED") for product in products
    ]


def test_repaired_dates_of_2030(connect: Connect) -> None:
    """Dates in the future that are repaired with SQL hide no deletion of that interval."""
    env = connect(counts=(12, 8, 3, 5))
    products, order, coupon = env.ids("products")[:3], env.ids("orders")[2], env.ids("coupons")[1]
    for product in products:
        env.write("products", product, modified=env.time + 4 * 365 * DAY)
    env.converge()
    for product in products:
        env.write("products", product, modified=env.time - DAY)
    env.acts.delete_for_good("orders", order)
    env.acts.delete_for_good("coupons", coupon)
    events = env.converge()
    assert len(of_type(events, "DELETED")) == 2
    assert len(events) == 5


def test_restored_backup(connect: Connect) -> None:
    """What a restore reverted, removed and brought back is sent, once each."""
    env = connect(counts=(12, 8, 3, 5))
    products, spare = env.ids("products"), env.acts.new_product("In no order")
    env.converge()
    backup = env.acts.snapshot()
    env.pass_time(180)
    for product in products[:4]:
        env.acts.post_update(product, "After the backup")
    env.acts.delete_for_good("products", spare)
    new = env.acts.new_customer("eve")
    env.converge()
    env.acts.restore_backup(backup)
    expected: list[Event] = [("products", str(product), "UPDATED") for product in products[:4]]
    expected.append(("products", str(spare), "CREATED"))
    expected.append(("customers", str(new), "DELETED"))
    assert sorted(env.converge()) == sorted(expected)


@pytest.mark.parametrize("journal", [True, False])
def test_restore_is_complete_after_ten_seconds(connect: Connect, journal: bool) -> None:
    """The second reading of what went back is due ten seconds after the first."""
    env = connect(counts=(12, 8, 3, 5), journal=journal)
    backup = env.acts.snapshot(journal=True)
    env.pass_time(180)
    for product in env.ids("products")[:4]:
        env.acts.post_update(product, "After the backup")
    env.converge()
    env.acts.restore_backup(backup)
    env.poll(1)
    assert env.differences() != {} and due_instances(env.runtime) == []
    env.pass_time(1 / 6)
    assert due_instances(env.runtime) == [env.instance_id]
    assert len(env.poll(0)) == 4 and env.differences() == {}


def test_changes_after_a_restore(connect: Connect) -> None:
    """An order changed after a restore is UPDATED once, a coupon deleted then is DELETED."""
    env = connect(counts=(12, 8, 3, 5))
    backup = env.acts.snapshot()
    env.pass_time(180)
    for product in env.ids("products")[:4]:
        env.acts.post_update(product, "After the backup")
    env.converge()
    env.acts.restore_backup(backup)
    env.pass_time(1)
    order, coupon = env.ids("orders")[0], env.ids("coupons")[0]
    env.edit("orders", order)
    env.acts.delete_for_good("coupons", coupon)
    events = env.converge()
    assert events.count(("orders", str(order), "UPDATED")) == 1
    assert events.count(("discounts", str(coupon), "DELETED")) == 1
    assert len(events) == 6


def test_restore_of_many_objects(connect: Connect) -> None:
    """A large restore waits for a second reading, is sent in full, and delays no new order."""
    env = connect(resources=("orders", "products"), counts=(12, 60, 0, 0), page_size=10)
    backup = env.acts.snapshot()
    env.pass_time(180)
    for product in env.ids("products")[:30]:
        env.acts.post_update(product, "After the backup")
    env.converge()
    env.acts.restore_backup(backup)
    env.pass_time(1)
    order = int(env.rest("POST", "orders", status="pending")["id"])
    assert env.poll() == [("orders", str(order), "CREATED")]
    events = env.converge()
    assert len(events) == 30
    assert {one[::2] for one in events} == {("products", "UPDATED")}


@pytest.mark.parametrize("journal", [True, False])
def test_large_step_back_waits_ten_minutes(connect: Connect, journal: bool) -> None:
    """What a replica does not know for eleven seconds is not taken back if it is much."""
    env = connect(resources=("products",), counts=(0, 40, 0, 0), journal=journal)
    replica = env.copy()
    env.pass_time(180)
    for product in env.ids("products")[:30]:
        env.acts.post_update(product, "New")
    assert len(env.poll()) == 30
    with env.answered_by(replica):
        assert env.poll() == []
        assert env.poll(11 / 60) == []
    assert env.polls(2) == [] and env.differences() == {}


def test_restore_reverts_changes_without_dates(connect: Connect) -> None:
    """After a restore all is compared soon: a price that moved no date goes back, too."""
    env = connect(resources=("orders", "products"), counts=(12, 100, 0, 0), page_size=10)
    backup = env.acts.snapshot()
    env.pass_time(180)
    products = env.ids("products")
    env.acts.price_meta(products[95], "99.00")
    env.receive_webhooks("product.updated", "products", products[95])
    assert env.process_webhooks() == [("products", str(products[95]), "UPDATED")]
    env.acts.post_update(products[0], "After the backup")
    assert env.poll() == [("products", str(products[0]), "UPDATED")]
    env.acts.restore_backup(backup)
    assert ("products", str(products[95]), "UPDATED") in env.converge()


@pytest.mark.parametrize("journal", [True, False])
def test_restore_of_a_large_store_is_compared_in_parts(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, journal: bool
) -> None:
    """A poll follows each part immediately, and sends first what has happened meanwhile."""
    monkeypatch.setattr(comparison, "SLICE_SECONDS", 0.0)
    env = connect(
        resources=("orders", "products"), counts=(12, 100, 0, 0), page_size=10, journal=journal
    )
    backup = env.acts.snapshot(journal=journal)
    env.pass_time(180)
    for product in env.ids("products")[::9]:
        env.acts.post_update(product, "After the backup")
    assert len(env.poll()) == 12
    env.acts.restore_backup(backup)
    parts, sent = 0, env.polls(2)
    while due_instances(env.runtime) and parts < 40:
        order = int(env.rest("POST", "orders", status="pending")["id"])
        events = env.poll(1 / 60)
        assert ("orders", str(order), "CREATED") in events
        parts, sent = parts + 1, sent + events
    assert 8 <= parts < 40
    sent += env.polls(3)
    assert len([one for one in sent if one[::2] == ("products", "UPDATED")]) == 12
    assert env.differences() == {}


def test_newest_object_is_missing_after_a_restore(connect: Connect) -> None:
    """A restore that shows only by its missing newest order is compared in full, too."""
    env = connect(resources=("orders", "products"), counts=(12, 100, 0, 0), page_size=10)
    backup = env.acts.snapshot()
    env.pass_time(180)
    product = env.ids("products")[95]
    env.acts.price_meta(product, "99.00")
    env.receive_webhooks("product.updated", "products", product)
    assert env.process_webhooks() == [("products", str(product), "UPDATED")]
    order = int(env.rest("POST", "orders", status="pending")["id"])
    env.converge()
    env.acts.restore_backup(backup)
    events = env.converge()
    assert ("products", str(product), "UPDATED") in events
    assert ("orders", str(order), "DELETED") in events
