"""Stores of ill manners: plugins, caches and firewalls lose no event and send no false one."""

from __future__ import annotations

import pytest

from flask_woo_events.simulation.store import ill_answers, manners
from flask_woo_events.simulation.store.lies import GarbledLists, Garbling, Lie
from tests.integration.belief.belief_env import BeliefEnv
from tests.integration.belief.conftest import Connect

WARNING, DATABASE, SCRIPT, XDEBUG = manners.TextAround.BEFORE
AT_SHUTDOWN, CACHED = manners.TextAround.AFTER
PRINTED = manners.TextAround(WARNING, CACHED)
MANNERS: dict[str, Lie] = {
    "warning": PRINTED,
    "script": manners.TextAround(SCRIPT, AT_SHUTDOWN),
    "xdebug": manners.TextAround(XDEBUG),
    "text after": manners.TextAround(b"", CACHED),
    "a failed query": manners.TextAround(DATABASE),
    "status 200": manners.Together(manners.MissingTotals(), manners.ErrorsAs200()),
    "status 200, text": manners.Together(manners.ErrorsAs200(), manners.TextAround(WARNING)),
    "status 500": ill_answers.AlwaysFailed(),
    "status 404": ill_answers.AlwaysFailed(404),
    "both": manners.Together(ill_answers.AlwaysFailed(), PRINTED),
}
#: Those whose answers prove no absence.
DOUBTFUL = ("a failed query", "status 500", "status 404", "both")


def changes(env: BeliefEnv) -> tuple[set[tuple[str, str, str]], set[tuple[str, str, str]]]:
    """Change, add and delete objects of each kind; return the events, the deletions apart."""
    expected, gone = set(), set()
    for resource, kind in (("orders", "orders"), ("products", "products")):
        edited, deleted = env.ids(kind)[1:3]
        env.edit(kind, edited)
        expected.add((resource, str(edited), "UPDATED"))
        if kind == "orders":
            env.acts.delete_for_good(kind, deleted)
            gone.add((resource, str(deleted), "DELETED"))
    coupon = env.ids("coupons")[0]
    env.acts.delete_for_good("coupons", coupon)
    gone.add(("discounts", str(coupon), "DELETED"))
    expected.add(("customers", str(env.acts.new_customer("eve")), "CREATED"))
    env.pass_time(1)
    return expected, gone


@pytest.mark.parametrize("name", MANNERS)
@pytest.mark.parametrize("since", ["baseline", "later"])
def test_manners(connect: Connect, name: str, since: str) -> None:
    """Changes arrive at the next poll; deletions, too, unless an answer proves no absence."""
    env = connect(baseline=since == "later")
    env.store.lies.begin(MANNERS[name])
    if since == "baseline":
        env.read_baseline()
    expected, gone = changes(env)
    sent = set(env.poll())
    assert env.errors == {}
    assert sent == (expected if name in DOUBTFUL else expected | gone)
    assert set(env.polls(2)) == set()
    env.store.lies.end()
    assert set(env.converge()) == (gone if name in DOUBTFUL else set())


@pytest.mark.parametrize("sent_before", [False, True])
def test_changed_objects_that_include_leaves_out(connect: Connect, sent_before: bool) -> None:
    """Objects that only the window lists are read at their own addresses."""
    env = connect(counts=(300, 6, 3, 5))
    orders = env.ids("orders")[10:90]
    if sent_before:
        env.edit("orders", orders[-1])
        env.poll()
    env.store.lies.begin(ill_answers.NotIncluded("orders", set(orders[:45])))
    for number in orders[:30]:
        env.edit("orders", number)
    env.edit("orders", orders[50])
    env.pass_time(1)
    first, second = env.poll(), env.poll()
    updated = {("orders", str(number), "UPDATED") for number in (*orders[:30], orders[50])}
    assert (len(first), len(second)) == (21, 10) and set(first) | set(second) == updated
    assert env.errors == {}
    new = env.acts.place_order(env.ids("customers")[0], env.ids("products")[:1])
    assert ("orders", str(new), "CREATED") in env.poll()
    env.store.lies.end()
    assert env.converge() == []


@pytest.mark.parametrize("code", [400, 500])
def test_object_that_cannot_be_read_yet(connect: Connect, code: int) -> None:
    """An object that neither a list by ids nor its own address shows is not forgotten."""
    env = connect(counts=(300, 6, 3, 5))
    odd, other = env.ids("orders")[20:22]
    lie = ill_answers.NotIncluded("orders", {odd})
    env.edit("orders", odd)
    env.pass_time(1)
    env.store.lies.begin(lie)
    env.store.faults.add("status", code=code, match=f"orders/{odd}", times=4)
    before = env.polled_at()["orders"]
    assert env.poll() == [] and env.errors == {}
    # What one object alone refuses is tried again by itself; otherwise the cursor waits.
    assert (env.polled_at()["orders"] == before) is (code == 400)
    env.pass_time(180)
    env.edit("orders", other)
    assert env.poll() == [("orders", str(other), "UPDATED")] and env.errors == {}
    env.store.faults.clear()
    assert env.polls(5) == [("orders", str(odd), "UPDATED")]
    assert env.converge() == [] and env.polled_at()["orders"] != before


CACHES = [None, {"X-LiteSpeed-Cache": "hit"}, {"CF-Cache-Status": "HIT"}, {"X-Varnish": "7 5"}]


@pytest.mark.parametrize("headers", CACHES)
@pytest.mark.parametrize("hours", [1, 30])
def test_cache_that_ignores_what_varies(
    connect: Connect, headers: dict[str, str] | None, hours: int
) -> None:
    """No event is false while a cache answers, nothing fails, and none is lost afterwards."""
    env = connect()
    env.store.lies.begin(ill_answers.AgedAnswers(hours * 3600, headers))
    seen = env.polls(2)
    expected, gone = changes(env)
    env.acts.coupon_use(env.ids("coupons")[-1])
    seen += env.polls(6, minutes=20)
    assert env.errors == {}
    env.store.lies.end()
    seen += env.converge()
    coupon = ("discounts", str(env.ids("coupons")[-1]), "UPDATED")
    assert sorted(seen) == sorted(expected | gone | {coupon})


def test_deleted_object_that_a_cache_keeps(connect: Connect) -> None:
    """A cache that goes on showing a deleted object does not create it again."""
    env = connect()
    cache, order = ill_answers.AgedAnswers(30 * 3600), env.ids("orders")[0]
    env.store.lies.begin(cache)
    env.polls(2)
    env.store.lies.end()
    env.acts.delete_for_good("orders", order)
    env.pass_time(1)
    assert env.poll() == [("orders", str(order), "DELETED")]
    env.store.lies.begin(cache)
    assert env.polls(3) == [] and env.errors == {}
    env.store.lies.end()
    assert env.converge() == []


@pytest.mark.parametrize("status", [200, 403, 503])
def test_firewall(connect: Connect, status: int) -> None:
    """A firewall is named by its page, costs no event, and is over when it lets us pass."""
    env = connect()
    env.store.lies.begin(ill_answers.ChallengePage(status))
    expected, gone = changes(env)
    assert env.poll() == [] and set(env.errors) == {"orders", "products", "discounts", "customers"}
    for error in env.errors.values():
        assert "a firewall refused us (Just a moment...)" in error
    env.store.lies.begin(ill_answers.ChallengePage(status, "customers"))
    sent = set(env.poll())
    assert set(env.errors) == {"customers"}
    env.store.lies.end()
    assert sent | set(env.converge()) == expected | gone


ORDERS = {
    "date": manners.ForcedOrder(),
    "id": manners.ForcedOrder("id", "desc"),
    "cached": manners.Together(manners.ForcedOrder("title", "asc"), PRINTED),
}


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("since", ["baseline", "later"])
def test_forced_order(connect: Connect, name: str, since: str) -> None:
    """A store that sorts as it likes is read whole, and by id when it sorts as asked again."""
    env = connect(baseline=since == "later", counts=(35, 12, 11, 5), page_size=10)
    env.store.lies.begin(ORDERS[name])
    if since == "baseline":
        env.read_baseline()
    expected, gone = changes(env)
    assert set(env.poll()) == expected | gone and env.errors == {}
    order = env.acts.place_order(env.ids("customers")[0], env.ids("products")[-1:])
    assert ("orders", str(order), "CREATED") in env.poll() and env.errors == {}
    env.acts.trash_post(order)
    assert ("orders", str(order), "DELETED") in env.poll() and env.errors == {}
    env.pass_time(25 * 60)
    env.edit("orders", env.ids("orders")[3])
    assert ("orders", str(env.ids("orders")[3]), "UPDATED") in env.poll() and env.errors == {}
    env.store.lies.end()
    env.pass_time(25 * 60)
    env.converge()
    env.store.requests.clear()
    assert env.poll() == []
    windows = [one for one in env.store.requests if "modified_after" in one.params]
    assert windows and env.errors == {}


@pytest.mark.parametrize("role", ["subscriber", ""])
@pytest.mark.parametrize("how", ["repeated", "reversed"])
def test_customer_without_the_role_in_a_list_that_is_read_whole(
    connect: Connect, role: str, how: Garbling
) -> None:
    """A customer who lost the polled role is deleted, although the user has an address."""
    env = connect()
    customer = env.ids("customers")[1]
    env.acts.role(customer, role)
    env.store.lies.begin(GarbledLists(how))
    env.poll()
    env.store.lies.end()
    env.polls(3)
    assert env.differences() == {} and env.errors == {}
