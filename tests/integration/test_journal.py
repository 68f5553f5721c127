"""Polling with the companion plugin's journal: few requests, and no loss without it."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import pathlib
import shutil
import typing as t

import pytest

from flask_woo_events.db.clock import utc_now
from flask_woo_events.db.models import Instance
from flask_woo_events.runtime import Runtime
from flask_woo_events.sync.journal import follow
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import Event, StoreToCallback, open_env

VERSIONS = ["5.9", "8.0", "11.0"]
NAMES = ("orders", "products", "discounts", "customers", "variations", "refunds", "orders-comments")
FIRST_FOUR = NAMES[:4]


@dataclasses.dataclass
class JournalEnv:
    """A store with a journal and a callback, whose clocks move together."""

    env: StoreToCallback
    ahead: float = 0.0

    def __post_init__(self) -> None:
        self.runtime.clock = lambda: utc_now() + dt.timedelta(seconds=self.ahead)

    @property
    def runtime(self) -> Runtime:
        return runtime_of(self.env.app)

    def later(self, seconds: float) -> None:
        """Move the store's clock and ours."""
        self.ahead += seconds
        self.env.store.clock.advance(seconds)

    def events(self) -> set[Event]:
        """Let a minute pass, poll, and return the events."""
        self.later(60)
        return self.env.arrivals()

    def requests(self) -> list[str]:
        """Let a minute pass, poll, and return the requests; there must be no event."""
        self.env.store.requests.clear()
        assert self.events() == set()
        return self.answered()

    def answered(self) -> list[str]:
        """Return the accepted requests; a store whose clock moved rejects the first signature."""
        requests = [one for one in self.env.store.requests if one.status != 401]
        return [one.path.removeprefix("/wp-json/") for one in requests]

    def state(self) -> dict[str, t.Any]:
        """Return the instance's state of the journal."""
        with self.runtime.database.read() as session:
            return session.get_one(Instance, self.env.instance_id).journal


Make = cabc.Callable[..., JournalEnv]
IDLE = ["wc-flask-woo-events/v1/changes"]


@pytest.fixture
def make(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def build(
            version: str = "11.0", names: cabc.Iterable[str] = NAMES, **how: t.Any
        ) -> JournalEnv:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            blocks = {name: {"url": f"/hubs/ecommerce/{name}"} for name in names}
            how.setdefault("journal", True)
            return JournalEnv(open_env(version, tmp_path, stack, resources=blocks, **how))

        yield build


@pytest.fixture
def followed(make: Make) -> JournalEnv:
    """A store whose journal is trusted."""
    return _trusting(make())


def _trusting(store: JournalEnv) -> JournalEnv:
    store.later(11 * 60)
    assert store.events() == set()
    assert store.requests() == IDLE
    return store


@pytest.mark.parametrize("version", VERSIONS)
def test_an_idle_cycle_is_one_request(make: Make, version: str) -> None:
    """A poll of a store without changes is one request for all resources."""
    store = _trusting(make(version))
    assert [store.requests() for _cycle in range(3)] == [IDLE] * 3


@pytest.mark.parametrize("version", VERSIONS)
def test_changes_without_a_new_date(make: Make, version: str) -> None:
    """Meta, terms, roles, coupon use and permanent deletions emit one event each."""
    store = _trusting(make(version, FIRST_FOUR))
    env, acts = store.env, store.env.store.acts
    order, product = env.first("orders"), env.first("products")
    coupon, customer = env.first("coupons"), max(env.store.truth("customers"))
    acts.price_meta(product, "1.23")
    acts.usermeta(customer, "123")
    acts.coupon_use(coupon)
    acts.order_meta(order)
    assert store.events() == {
        ("products", str(product), "UPDATED"),
        ("customers", str(customer), "UPDATED"),
        ("discounts", str(coupon), "UPDATED"),
        ("orders", str(order), "UPDATED"),
    }
    acts.assign_category(product, "New")
    acts.role(customer, "subscriber")
    acts.trash_post(coupon)
    assert store.events() == {
        ("products", str(product), "UPDATED"),
        ("customers", str(customer), "DELETED"),
        ("discounts", str(coupon), "DELETED"),
    }
    acts.role(customer, "customer")
    showing = env.orders_of(product)
    acts.delete_for_good("products", product)
    acts.delete_for_good("coupons", coupon)
    assert (
        store.events()
        == {
            ("customers", str(customer), "CREATED"),
            ("products", str(product), "DELETED"),
        }
        | showing
    )
    assert store.requests() == IDLE


@pytest.mark.parametrize("version", VERSIONS)
def test_orders_show_products(make: Make, version: str) -> None:
    """Orders emit events when their products get another SKU or name, or are deleted."""
    store = _trusting(make(version))
    env = store.env
    attribute = {"name": "Size", "options": ["a"], "variation": True}
    product = env.rest("POST", "products", name="V", type="variable", attributes=[attribute])["id"]
    path = f"products/{product}/variations"
    variation = env.rest("POST", path, regular_price="5")["id"]
    lines = [{"product_id": product, "variation_id": variation}]
    order = ("orders", str(env.rest("POST", "orders", line_items=lines)["id"]), "UPDATED")
    store.events()
    changed = ("products", str(product), "UPDATED")
    env.rest("PUT", f"{path}/{variation}", sku="a-1")
    assert store.events() >= {order, ("variations", str(variation), "UPDATED")}
    env.rest("PUT", f"products/{product}", name="W")
    assert store.events() == {order, changed}
    env.rest("PUT", f"products/{product}", description="W")
    assert store.events() == {changed}
    env.rest("DELETE", f"{path}/{variation}", force=True)
    assert store.events() == {order, changed, ("variations", str(variation), "DELETED")}
    env.store.acts.delete_for_good("products", product)
    assert store.events() == {order, ("products", str(product), "DELETED")}
    assert store.requests() == IDLE


@pytest.mark.parametrize(("version", "journal"), [("8.0", True), ("11.0", True), ("11.0", False)])
def test_variations_show_their_product(make: Make, version: str, journal: bool) -> None:
    """A variation without an image of its own emits an event when its product's changes."""
    store = make(version, journal=journal)
    env = store.env
    product = env.rest("POST", "products", name="V", type="variable")["id"]
    variation = env.rest("POST", f"products/{product}/variations", regular_price="5")["id"]
    store.events()
    if journal:
        _trusting(store)
    env.rest("PUT", f"products/{product}", images=[{"id": 5, "src": "https://shop/a.png"}])
    assert store.events() == {
        ("products", str(product), "UPDATED"),
        ("variations", str(variation), "UPDATED"),
    }


def test_a_variation_that_is_moved(make: Make) -> None:
    """A moved variation emits an event though its new product does not name it yet."""
    store = make("8.0")
    env, shop = store.env, store.env.store.shop
    left, right = (
        env.rest("POST", "products", name=name, type="variable")["id"] for name in ("L", "R")
    )
    number = env.rest("POST", f"products/{left}/variations", regular_price="5")["id"]
    store.events()
    _trusting(store)
    env.store.acts.post_update(right)
    assert store.events() == {
        ("products", str(right), "UPDATED")
    }  # The variations that it names are cached.
    variation = shop.tables["variations"].get(number)
    assert variation is not None
    shop.children["variations"][left].remove(number)
    shop.children["variations"][right] = [number]
    variation.parent, variation.fields["regular_price"] = right, "7.00"
    shop.tables["variations"].changed(variation)
    assert ("variations", str(number), "UPDATED") in store.events()


def test_a_product_in_very_many_orders(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a product is in too many orders to name them, all orders are compared."""
    store = _trusting(make(counts=(40, 2, 1, 1), names=FIRST_FOUR))
    product = store.env.first("products")
    showing = store.env.orders_of(product)
    monkeypatch.setattr(follow, "MAX_PENDING", len(showing) - 1)
    store.env.store.acts.delete_for_good("products", product)
    assert store.events() == showing | {("products", str(product), "DELETED")}
    assert store.requests() == IDLE


@pytest.mark.parametrize("version", VERSIONS)
def test_children(make: Make, version: str) -> None:
    """Variations, refunds and notes emit events with the product or order that they change."""
    store = _trusting(make(version))
    env = store.env
    attribute = {"name": "Size", "options": ["a"], "variation": True}
    product = env.rest("POST", "products", name="V", type="variable", attributes=[attribute])["id"]
    variation = env.rest("POST", f"products/{product}/variations", regular_price="5")["id"]
    assert store.events() == {
        ("products", str(product), "CREATED"),
        ("variations", str(variation), "CREATED"),
    }
    order = env.first("orders")
    note = env.rest("POST", f"orders/{order}/notes", note="Hello")["id"]
    assert store.events() == {("orders-comments", str(note), "CREATED")}
    refund = env.rest("POST", f"orders/{order}/refunds", amount="1.00", api_refund=False)["id"]
    emitted = {one for one in store.events() if one[0] != "orders-comments"}
    assert emitted == {("orders", str(order), "UPDATED"), ("refunds", str(refund), "CREATED")}
    env.store.acts.delete_refund(refund)
    assert store.events() == {
        ("orders", str(order), "UPDATED"),
        ("refunds", str(refund), "DELETED"),
    }
    env.store.acts.delete_for_good("variations", variation)
    assert store.events() == {
        ("products", str(product), "UPDATED"),
        ("variations", str(variation), "DELETED"),
    }
    assert store.requests() == IDLE


def test_deletions_cost_little(make: Make) -> None:
    """A hundred deletions among a thousand products take seven requests and twenty proofs."""
    store = _trusting(make(counts=(2, 1000, 1, 1), names=FIRST_FOUR))
    products = list(store.env.store.truth("products"))[::10]
    showing = store.env.orders_of(*products)
    for product in products:
        store.env.store.acts.delete_for_good("products", product)
    store.env.store.requests.clear()
    assert store.events() == showing | {("products", str(one), "DELETED") for one in products}
    assert len(store.answered()) == 7 + 20


def test_a_renamed_term_compares_all_products(make: Make) -> None:
    """A change that may concern any product has all products compared."""
    store = _trusting(make(counts=(1, 250, 1, 1), names=FIRST_FOUR))
    env = store.env
    product = max(env.store.truth("products"))
    category = env.rest("POST", "products/categories", name="Old")["id"]
    env.store.acts.assign_category(product, category)
    assert store.events() == {("products", str(product), "UPDATED")}
    env.rest("PUT", f"products/categories/{category}", name="New")
    assert store.events() == {("products", str(product), "UPDATED")}
    assert store.requests() == IDLE


def test_late_commits_are_waited_for(followed: JournalEnv) -> None:
    """A row with an earlier number that is committed later is processed."""
    env, acts = followed.env, followed.env.store.acts
    first, second = list(env.store.truth("products"))[:2]
    with env.store.journal.transaction() as commit:
        acts.price_meta(first, "1.11")
        fields = env.store.shop.tables["products"].get(first).fields  # type: ignore[union-attr]
        fields["regular_price"] = "10.00"  # Invisible before the commit.
        env.store.shop.tables["products"].get(first).forget()  # type: ignore[union-attr]
    acts.price_meta(second, "2.22")
    assert ("products", str(second), "UPDATED") in followed.events()
    for _cycle in range(3):
        followed.events()
    env.store.acts.sql_update("products", first, regular_price="1.11")
    commit()
    assert followed.events() == {("products", str(first), "UPDATED")}
    assert followed.requests() == IDLE


def test_gaps_are_given_up(followed: JournalEnv) -> None:
    """A number that never appears is waited for 15 minutes."""
    env = followed.env
    with env.store.journal.transaction():
        env.store.acts.order_meta(env.first("orders"))
    env.store.acts.price_meta(env.first("products"), "2.22")
    followed.events()
    assert followed.state()["position"]["seen"]
    followed.later(16 * 60)
    followed.events()
    assert followed.state()["position"]["seen"] == []


def test_a_row_written_before_its_change(followed: JournalEnv) -> None:
    """An object whose row was read within seconds is read once more."""
    env, product = followed.env, followed.env.first("products")
    env.store.acts.price_meta(product, "3.33")
    assert env.arrivals() == {("products", str(product), "UPDATED")}
    env.store.acts.sql_update("products", product, regular_price="4.44")
    assert followed.events() == {("products", str(product), "UPDATED")}
    assert followed.requests() == IDLE


def test_changes_while_following_begins(make: Make) -> None:
    """A change between the first read of the journal and the end of that poll is found."""
    store = make(journal=False)
    env, acts, product = store.env, store.env.store.acts, store.env.first("products")
    env.store.journal.install()
    store.later(2 * 3600)
    reads: list[str] = []

    def meanwhile(_method: str, path: str, params: cabc.Mapping[str, str]) -> bool:
        """Change a product after the products and before the customers are read."""
        if path.endswith("/customers") and reads and not params.get("include"):
            reads.clear()
            acts.price_meta(product, "7.77")
        elif path.endswith("/products"):
            reads.append(path)
        return False

    env.store.faults.add("reset", match=meanwhile)
    assert store.events() == set()
    assert reads == []
    env.store.faults.clear()
    assert store.events() == {("products", str(product), "UPDATED")}
    assert store.requests() == IDLE


Incident = cabc.Callable[[StoreToCallback], None]


def _removed(env: StoreToCallback) -> None:
    env.store.journal.remove()


def _removed_for_a_while(env: StoreToCallback) -> None:
    env.store.journal.remove()
    env.store.acts.price_meta(env.first("products"), "0.99")
    env.store.journal.install()


def _pruned(env: StoreToCallback) -> None:
    env.store.acts.price_meta(env.first("products"), "0.99")
    env.store.acts.order_meta(env.first("orders"))
    env.store.journal.prune()


def _dropped(env: StoreToCallback) -> None:
    env.store.acts.price_meta(env.first("products"), "0.99")
    env.store.journal.drop_table()


def _emptied(env: StoreToCallback) -> None:
    env.store.acts.price_meta(env.first("products"), "0.99")
    env.store.journal.truncate()
    env.store.acts.order_meta(env.first("orders"))


def _emptied_and_full_again(env: StoreToCallback) -> None:
    env.store.acts.price_meta(env.first("products"), "0.99")
    env.store.journal.truncate()
    for _time in range(60):
        env.store.acts.order_meta(env.first("orders"))


def _clock_back(env: StoreToCallback) -> None:
    env.store.clock.advance(-3600)


def _clock_ahead(env: StoreToCallback) -> None:
    env.store.clock.advance(3600)


@pytest.mark.slow
@pytest.mark.parametrize(
    "incident",
    [
        _removed,
        _removed_for_a_while,
        _pruned,
        _dropped,
        _emptied,
        _emptied_and_full_again,
        _clock_back,
        _clock_ahead,
    ],
)
@pytest.mark.parametrize("products", [6, 550])
def test_nothing_is_lost(make: Make, incident: Incident, products: int) -> None:
    """Whatever happens to the journal, changes before, during and after it are emitted once."""
    store = _trusting(make(counts=(3, products, 2, 2), names=FIRST_FOUR))
    env, acts = store.env, store.env.store.acts
    first, *others = env.store.truth("products")
    acts.order_meta(env.first("orders"))
    store.events()
    acts.price_meta(others[0], "1.11")
    incident(env)
    acts.price_meta(others[-1], "2.22")
    gone = others[2]
    showing = env.orders_of(gone)
    acts.delete_for_good("products", gone)
    emitted: set[Event] = set()
    for _cycle in range(4):
        emitted |= store.events()
    expected = {
        ("products", str(others[0]), "UPDATED"),
        ("products", str(others[-1]), "UPDATED"),
        ("products", str(gone), "DELETED"),
    } | showing
    assert (
        expected
        <= emitted
        <= expected
        | {
            ("products", str(first), "UPDATED"),
            ("orders", str(env.first("orders")), "UPDATED"),
        }
    )
    store.later(11 * 60)
    env.store.journal.installed = True
    store.later(3600)
    for _cycle in range(4):
        assert store.events() == set()
    assert store.requests() == IDLE


def test_a_changed_clock_is_not_trusted(followed: JournalEnv) -> None:
    """After a jump of the store's clock all is polled once; then the journal is followed."""
    followed.env.store.clock.advance(3600)
    assert len(followed.requests()) > len(NAMES)
    assert followed.requests() == IDLE


def test_the_plugin_comes_later(make: Make) -> None:
    """A store is checked for the plugin once an hour, and polled meanwhile."""
    store = make(journal=False)
    assert IDLE[0] not in store.requests()
    store.env.store.journal.install()
    store.later(3600)
    store.requests()
    store.later(11 * 60)
    store.requests()
    assert store.requests() == IDLE


def test_a_failing_resource_keeps_its_hints(followed: JournalEnv) -> None:
    """Hints at a resource that cannot be read stay pending until it can."""
    env, product = followed.env, followed.env.first("products")
    order = env.first("orders")
    env.store.acts.price_meta(product, "5.55")
    env.store.acts.order_meta(order)
    env.store.faults.add("status", match="wc/v3/products", code=500, times=10)
    followed.later(60)
    assert "products" in {one.resource for one in env.poll() if one.error}
    assert env.delivered() == {("orders", str(order), "UPDATED")}
    env.store.faults.clear()
    assert followed.events() - {("orders", str(order), "UPDATED")} == {
        ("products", str(product), "UPDATED")
    }
    assert followed.requests() == IDLE


def test_the_daily_comparison(followed: JournalEnv) -> None:
    """Once a day all objects are compared, for changes that no journal can record."""
    env, product = followed.env, followed.env.first("products")
    env.store.acts.sql_update("products", product, regular_price="6.66")
    assert followed.requests() == IDLE
    followed.later(86_400)
    assert followed.events() == {("products", str(product), "UPDATED")}
    assert followed.requests() == IDLE


def test_a_key_that_may_not_read_it(make: Make) -> None:
    """A store whose journal the key may not read is polled as any other."""
    store = make()
    env = store.env
    env.store.faults.add("status", match=IDLE[0], code=403)
    product = env.first("products")
    env.store.acts.price_meta(product, "8.88")
    assert store.events() == {("products", str(product), "UPDATED")}
    assert Worker(store.runtime).poll_once([env.instance_id])
    assert "403" in store.state()["reason"]


def test_a_session_in_recovery_mode(followed: JournalEnv) -> None:
    """What is changed while such a session pauses the plugin is found when it begins and ends."""
    store = followed.env.store
    first, second, *_ = store.truth("products")
    with store.journal.paused():
        store.acts.price_meta(first, "1.11")
        assert followed.events() == {("products", str(first), "UPDATED")}
        store.acts.price_meta(second, "2.22")
        followed.later(11 * 60)
        followed.events()
        store.acts.price_meta(first, "3.33")
    assert ("products", str(first), "UPDATED") in followed.events()
