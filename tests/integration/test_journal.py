"""Polling with the companion plugin's journal: cheap, complete, and given up without a loss."""

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
from tests.integration.store_to_callback import Event, StoreToCallback, open_line

VERSIONS = ["5.9", "8.0", "11.0"]
NAMES = ("orders", "products", "discounts", "customers", "variations", "refunds", "orders-comments")
FIRST_FOUR = NAMES[:4]


@dataclasses.dataclass
class Journaled:
    """A line whose clocks move together."""

    line: StoreToCallback
    ahead: float = 0.0

    def __post_init__(self) -> None:
        self.runtime.clock = lambda: utc_now() + dt.timedelta(seconds=self.ahead)

    @property
    def runtime(self) -> Runtime:
        return runtime_of(self.line.app)

    def later(self, seconds: float) -> None:
        """Let time pass at the store and here."""
        self.ahead += seconds
        self.line.store.clock.advance(seconds)

    def told(self) -> set[Event]:
        """Let a minute pass, poll, and tell what came."""
        self.later(60)
        return self.line.arrivals()

    def asked(self) -> list[str]:
        """Let a minute pass, poll, and tell what the store was asked; nothing may come."""
        self.line.store.requests.clear()
        assert self.told() == set()
        return self.answered()

    def answered(self) -> list[str]:
        """What the store answered; where its clock is moved it refuses the first signature."""
        requests = [one for one in self.line.store.requests if one.status != 401]
        return [one.path.removeprefix("/wp-json/") for one in requests]

    def memory(self) -> dict[str, t.Any]:
        """What the instance remembers of the journal."""
        with self.runtime.database.read() as session:
            return session.get_one(Instance, self.line.instance_id).journal


Make = cabc.Callable[..., Journaled]
IDLE = ["wc-flask-woo-events/v1/changes"]


@pytest.fixture
def make(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def build(
            version: str = "11.0", names: cabc.Iterable[str] = NAMES, **how: t.Any
        ) -> Journaled:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            blocks = {name: {"url": f"/hubs/ecommerce/{name}"} for name in names}
            how.setdefault("journal", True)
            return Journaled(open_line(version, tmp_path, stack, resources=blocks, **how))

        yield build


@pytest.fixture
def followed(make: Make) -> Journaled:
    """A store whose journal has come to be trusted."""
    return _trusting(make())


def _trusting(store: Journaled) -> Journaled:
    store.later(11 * 60)
    assert store.told() == set()
    assert store.asked() == IDLE
    return store


@pytest.mark.parametrize("version", VERSIONS)
def test_an_idle_cycle_is_one_request(make: Make, version: str) -> None:
    """All resources of a store where nothing happens cost one request."""
    store = _trusting(make(version))
    assert [store.asked() for _cycle in range(3)] == [IDLE] * 3


@pytest.mark.parametrize("version", VERSIONS)
def test_changes_that_nobody_tells(make: Make, version: str) -> None:
    """Meta, terms, roles, coupons in use, refunds and hard deletions are told, each once."""
    store = _trusting(make(version, FIRST_FOUR))
    line, acts = store.line, store.line.store.acts
    order, product = line.first("orders"), line.first("products")
    coupon, customer = line.first("coupons"), max(line.store.truth("customers"))
    acts.price_meta(product, "1.23")
    acts.usermeta(customer, "123")
    acts.coupon_use(coupon)
    acts.order_meta(order)
    assert store.told() == {
        ("products", str(product), "UPDATED"),
        ("customers", str(customer), "UPDATED"),
        ("discounts", str(coupon), "UPDATED"),
        ("orders", str(order), "UPDATED"),
    }
    acts.assign_category(product, "New")
    acts.role(customer, "subscriber")
    acts.trash_post(coupon)
    assert store.told() == {
        ("products", str(product), "UPDATED"),
        ("customers", str(customer), "DELETED"),
        ("discounts", str(coupon), "DELETED"),
    }
    acts.role(customer, "customer")
    showing = line.orders_of(product)
    acts.delete_for_good("products", product)
    acts.delete_for_good("coupons", coupon)
    assert (
        store.told()
        == {
            ("customers", str(customer), "CREATED"),
            ("products", str(product), "DELETED"),
        }
        | showing
    )
    assert store.asked() == IDLE


@pytest.mark.parametrize("version", VERSIONS)
def test_orders_show_products(make: Make, version: str) -> None:
    """Orders whose products get another SKU, name or end are told, though nothing touched them."""
    store = _trusting(make(version))
    line = store.line
    attribute = {"name": "Size", "options": ["a"], "variation": True}
    product = line.rest("POST", "products", name="V", type="variable", attributes=[attribute])["id"]
    path = f"products/{product}/variations"
    variation = line.rest("POST", path, regular_price="5")["id"]
    lines = [{"product_id": product, "variation_id": variation}]
    order = ("orders", str(line.rest("POST", "orders", line_items=lines)["id"]), "UPDATED")
    store.told()
    changed = ("products", str(product), "UPDATED")
    line.rest("PUT", f"{path}/{variation}", sku="a-1")
    assert store.told() >= {order, ("variations", str(variation), "UPDATED")}
    line.rest("PUT", f"products/{product}", name="W")
    assert store.told() == {order, changed}
    line.rest("PUT", f"products/{product}", description="W")
    assert store.told() == {changed}
    line.rest("DELETE", f"{path}/{variation}", force=True)
    assert store.told() == {order, changed, ("variations", str(variation), "DELETED")}
    line.store.acts.delete_for_good("products", product)
    assert store.told() == {order, ("products", str(product), "DELETED")}
    assert store.asked() == IDLE


@pytest.mark.parametrize(("version", "journal"), [("8.0", True), ("11.0", True), ("11.0", False)])
def test_variations_show_their_product(make: Make, version: str, journal: bool) -> None:
    """A variation without a picture has its product's, and is told when that is another one."""
    store = make(version, journal=journal)
    line = store.line
    product = line.rest("POST", "products", name="V", type="variable")["id"]
    variation = line.rest("POST", f"products/{product}/variations", regular_price="5")["id"]
    store.told()
    if journal:
        _trusting(store)
    line.rest("PUT", f"products/{product}", images=[{"id": 5, "src": "https://shop/a.png"}])
    assert store.told() == {
        ("products", str(product), "UPDATED"),
        ("variations", str(variation), "UPDATED"),
    }


def test_a_variation_that_is_moved(make: Make) -> None:
    """It is told though the product that it is moved to does not name it yet."""
    store = make("8.0")
    line, shop = store.line, store.line.store.shop
    left, right = (
        line.rest("POST", "products", name=name, type="variable")["id"] for name in ("L", "R")
    )
    number = line.rest("POST", f"products/{left}/variations", regular_price="5")["id"]
    store.told()
    _trusting(store)
    line.store.acts.post_update(right)
    assert store.told() == {("products", str(right), "UPDATED")}  # What it names is cached.
    variation = shop.tables["variations"].get(number)
    assert variation is not None
    shop.children["variations"][left].remove(number)
    shop.children["variations"][right] = [number]
    variation.parent, variation.fields["regular_price"] = right, "7.00"
    shop.tables["variations"].changed(variation)
    assert ("variations", str(number), "UPDATED") in store.told()


def test_a_product_in_very_many_orders(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """More orders than can be named are compared, all of them."""
    store = _trusting(make(counts=(40, 2, 1, 1), names=FIRST_FOUR))
    product = store.line.first("products")
    showing = store.line.orders_of(product)
    monkeypatch.setattr(follow, "MAX_PENDING", len(showing) - 1)
    store.line.store.acts.delete_for_good("products", product)
    assert store.told() == showing | {("products", str(product), "DELETED")}
    assert store.asked() == IDLE


@pytest.mark.parametrize("version", VERSIONS)
def test_what_stands_below(make: Make, version: str) -> None:
    """Variations, refunds and notes are told with the product or order that they change."""
    store = _trusting(make(version))
    line = store.line
    attribute = {"name": "Size", "options": ["a"], "variation": True}
    product = line.rest("POST", "products", name="V", type="variable", attributes=[attribute])["id"]
    variation = line.rest("POST", f"products/{product}/variations", regular_price="5")["id"]
    assert store.told() == {
        ("products", str(product), "CREATED"),
        ("variations", str(variation), "CREATED"),
    }
    order = line.first("orders")
    note = line.rest("POST", f"orders/{order}/notes", note="Hello")["id"]
    assert store.told() == {("orders-comments", str(note), "CREATED")}
    refund = line.rest("POST", f"orders/{order}/refunds", amount="1.00", api_refund=False)["id"]
    told = {one for one in store.told() if one[0] != "orders-comments"}
    assert told == {("orders", str(order), "UPDATED"), ("refunds", str(refund), "CREATED")}
    line.store.acts.delete_refund(refund)
    assert store.told() == {("orders", str(order), "UPDATED"), ("refunds", str(refund), "DELETED")}
    line.store.acts.delete_for_good("variations", variation)
    assert store.told() == {
        ("products", str(product), "UPDATED"),
        ("variations", str(variation), "DELETED"),
    }
    assert store.asked() == IDLE


def test_deletions_cost_little(make: Make) -> None:
    """A hundred deletions among a thousand products are five requests, each confirmed."""
    store = _trusting(make(counts=(2, 1000, 1, 1), names=FIRST_FOUR))
    products = list(store.line.store.truth("products"))[::10]
    showing = store.line.orders_of(*products)
    for product in products:
        store.line.store.acts.delete_for_good("products", product)
    store.line.store.requests.clear()
    assert store.told() == showing | {("products", str(one), "DELETED") for one in products}
    assert len(store.answered()) == 5


def test_a_renamed_term_is_seen_in_all_products(make: Make) -> None:
    """What may have changed any product has all of them compared."""
    store = _trusting(make(counts=(1, 250, 1, 1), names=FIRST_FOUR))
    line = store.line
    product = max(line.store.truth("products"))
    category = line.rest("POST", "products/categories", name="Old")["id"]
    line.store.acts.assign_category(product, category)
    assert store.told() == {("products", str(product), "UPDATED")}
    line.rest("PUT", f"products/categories/{category}", name="New")
    assert store.told() == {("products", str(product), "UPDATED")}
    assert store.asked() == IDLE


def test_late_commits_are_waited_for(followed: Journaled) -> None:
    """A row with an earlier number that comes to light later is looked after."""
    line, acts = followed.line, followed.line.store.acts
    first, second = list(line.store.truth("products"))[:2]
    with line.store.journal.transaction() as commit:
        acts.price_meta(first, "1.11")
        fields = line.store.shop.tables["products"].get(first).fields  # type: ignore[union-attr]
        fields["regular_price"] = "10.00"  # Nobody sees it before the commit.
        line.store.shop.tables["products"].get(first).forget()  # type: ignore[union-attr]
    acts.price_meta(second, "2.22")
    assert ("products", str(second), "UPDATED") in followed.told()
    for _cycle in range(3):
        followed.told()
    line.store.acts.sql_update("products", first, regular_price="1.11")
    commit()
    assert followed.told() == {("products", str(first), "UPDATED")}
    assert followed.asked() == IDLE


def test_gaps_are_given_up(followed: Journaled) -> None:
    """A number that never comes is not waited for longer than a quarter of an hour."""
    line = followed.line
    with line.store.journal.transaction():
        line.store.acts.order_meta(line.first("orders"))
    line.store.acts.price_meta(line.first("products"), "2.22")
    followed.told()
    assert followed.memory()["position"]["seen"]
    followed.later(16 * 60)
    followed.told()
    assert followed.memory()["position"]["seen"] == []


def test_a_row_written_before_its_change(followed: Journaled) -> None:
    """A row that was read within seconds is looked after once more."""
    line, product = followed.line, followed.line.first("products")
    line.store.acts.price_meta(product, "3.33")
    assert line.arrivals() == {("products", str(product), "UPDATED")}
    line.store.acts.sql_update("products", product, regular_price="4.44")
    assert followed.told() == {("products", str(product), "UPDATED")}
    assert followed.asked() == IDLE


def test_changes_at_the_switch(make: Make) -> None:
    """What happens between the first look at the journal and the end of that poll is told."""
    store = make(journal=False)
    line, acts, product = store.line, store.line.store.acts, store.line.first("products")
    line.store.journal.install()
    store.later(2 * 3600)
    reads: list[str] = []

    def meanwhile(_method: str, path: str, params: cabc.Mapping[str, str]) -> bool:
        """The products have been read, and the customers are about to be."""
        if path.endswith("/customers") and reads and not params.get("include"):
            reads.clear()
            acts.price_meta(product, "7.77")
        elif path.endswith("/products"):
            reads.append(path)
        return False

    line.store.faults.add("reset", match=meanwhile)
    assert store.told() == set()
    assert reads == []
    line.store.faults.clear()
    assert store.told() == {("products", str(product), "UPDATED")}
    assert store.asked() == IDLE


Trouble = cabc.Callable[[StoreToCallback], None]


def _removed(line: StoreToCallback) -> None:
    line.store.journal.remove()


def _away_for_a_while(line: StoreToCallback) -> None:
    line.store.journal.remove()
    line.store.acts.price_meta(line.first("products"), "0.99")
    line.store.journal.install()


def _pruned(line: StoreToCallback) -> None:
    line.store.acts.price_meta(line.first("products"), "0.99")
    line.store.acts.order_meta(line.first("orders"))
    line.store.journal.prune()


def _dropped(line: StoreToCallback) -> None:
    line.store.acts.price_meta(line.first("products"), "0.99")
    line.store.journal.drop_table()


def _emptied(line: StoreToCallback) -> None:
    line.store.acts.price_meta(line.first("products"), "0.99")
    line.store.journal.truncate()
    line.store.acts.order_meta(line.first("orders"))


def _emptied_and_full_again(line: StoreToCallback) -> None:
    line.store.acts.price_meta(line.first("products"), "0.99")
    line.store.journal.truncate()
    for _time in range(60):
        line.store.acts.order_meta(line.first("orders"))


def _clock_back(line: StoreToCallback) -> None:
    line.store.clock.advance(-3600)


def _clock_ahead(line: StoreToCallback) -> None:
    line.store.clock.advance(3600)


@pytest.mark.parametrize(
    "trouble",
    [
        _removed,
        _away_for_a_while,
        _pruned,
        _dropped,
        _emptied,
        _emptied_and_full_again,
        _clock_back,
        _clock_ahead,
    ],
)
@pytest.mark.parametrize("products", [6, 550])
def test_nothing_is_lost(make: Make, trouble: Trouble, products: int) -> None:
    """Whatever happens to the journal, changes before, meanwhile and afterwards are told once."""
    store = _trusting(make(counts=(3, products, 2, 2), names=FIRST_FOUR))
    line, acts = store.line, store.line.store.acts
    first, *others = line.store.truth("products")
    acts.order_meta(line.first("orders"))
    store.told()
    acts.price_meta(others[0], "1.11")
    trouble(line)
    acts.price_meta(others[-1], "2.22")
    gone = others[2]
    showing = line.orders_of(gone)
    acts.delete_for_good("products", gone)
    told: set[Event] = set()
    for _cycle in range(4):
        told |= store.told()
    expected = {
        ("products", str(others[0]), "UPDATED"),
        ("products", str(others[-1]), "UPDATED"),
        ("products", str(gone), "DELETED"),
    } | showing
    assert (
        expected
        <= told
        <= expected
        | {
            ("products", str(first), "UPDATED"),
            ("orders", str(line.first("orders")), "UPDATED"),
        }
    )
    store.later(11 * 60)
    line.store.journal.installed = True
    store.later(3600)
    for _cycle in range(4):
        assert store.told() == set()
    assert store.asked() == IDLE


def test_a_changed_clock_is_not_trusted(followed: Journaled) -> None:
    """When the store's clock jumps all is polled once, and the journal is read on."""
    followed.line.store.clock.advance(3600)
    assert len(followed.asked()) > len(NAMES)
    assert followed.asked() == IDLE


def test_the_plugin_comes_later(make: Make) -> None:
    """A store is asked once an hour whether it has the plugin, and polled meanwhile."""
    store = make(journal=False)
    assert IDLE[0] not in store.asked()
    store.line.store.journal.install()
    store.later(3600)
    store.asked()
    store.later(11 * 60)
    store.asked()
    assert store.asked() == IDLE


def test_a_failing_resource_keeps_its_places(followed: Journaled) -> None:
    """What is named of a resource that cannot be read is looked after when it can be again."""
    line, product = followed.line, followed.line.first("products")
    order = line.first("orders")
    line.store.acts.price_meta(product, "5.55")
    line.store.acts.order_meta(order)
    line.store.faults.add("status", match="wc/v3/products", code=500)
    followed.later(60)
    assert "products" in {one.resource for one in line.poll() if one.error}
    assert line.delivered() == {("orders", str(order), "UPDATED")}
    line.store.faults.clear()
    assert followed.told() - {("orders", str(order), "UPDATED")} == {
        ("products", str(product), "UPDATED")
    }
    assert followed.asked() == IDLE


def test_the_safety_poll(followed: Journaled) -> None:
    """Once a day all is compared, for what no journal can tell."""
    line, product = followed.line, followed.line.first("products")
    line.store.acts.sql_update("products", product, regular_price="6.66")
    assert followed.asked() == IDLE
    followed.later(86_400)
    assert followed.told() == {("products", str(product), "UPDATED")}
    assert followed.asked() == IDLE


def test_a_key_that_may_not_read_it(make: Make) -> None:
    """Without the right to read the journal the store is polled as any other."""
    store = make()
    line = store.line
    line.store.faults.add("status", match=IDLE[0], code=403)
    product = line.first("products")
    line.store.acts.price_meta(product, "8.88")
    assert store.told() == {("products", str(product), "UPDATED")}
    assert Worker(store.runtime).poll_once([line.instance_id])
    assert "403" in store.memory()["reason"]
