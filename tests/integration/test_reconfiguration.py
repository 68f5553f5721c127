"""Changes of the polled resources: what their ledgers keep, and which events are sent."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import pathlib
import secrets
import typing as t

import orjson
import pytest
import sqlalchemy as sa

from flask_woo_events.console import object_history
from flask_woo_events.db.database import Database
from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.db.models import (
    GONE_DIGEST,
    GONE_FIELDS,
    Arrival,
    Base,
    Object,
    Poller,
    StoredEvent,
)
from flask_woo_events.db.states import PollerState
from flask_woo_events.errors import ConflictError, InputError
from flask_woo_events.instances import accounts, lifecycle, provisioning
from flask_woo_events.instances.requests import InstanceRequest
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.sync.instance_poll import InstancePoll, due_instances
from flask_woo_events.sync.reading import comparison
from flask_woo_events.sync.webhooks.process import HintProcessor
from flask_woo_events.values.crypto import Cipher
from tests.model import in_process_store

ORDERS = "/hubs/ecommerce/orders"
COMPLETED = "/hubs/ecommerce/orders?where=status='completed'"
MINUTES = 15

Event = tuple[str, int, str, int]


@dataclasses.dataclass
class Shop:
    """A store whose resources are configured again while its clock and ours are moved by hand."""

    database: Database
    resources: dataclasses.InitVar[dict[str, str]]
    version: dataclasses.InitVar[str] = "9.4"
    counts: dataclasses.InitVar[tuple[int, int, int, int]] = (12, 6, 3, 5)
    journal: dataclasses.InitVar[bool] = False
    first_poll: dataclasses.InitVar[bool] = True
    page_size: dataclasses.InitVar[int] = 5
    #: Requests after which a poll is stopped; ``None`` for no limit.
    stop_after: int | None = None

    def __post_init__(
        self,
        resources: dict[str, str],
        version: str,
        counts: tuple[int, int, int, int],
        journal: bool,
        first_poll: bool,
        page_size: int,
    ) -> None:
        self.store = SimulatedStore(
            version, consumer_key="ck_test", consumer_secret="cs_test", journal=journal
        )
        orders, products, coupons, customers = counts
        self.store.populate(orders=orders, products=products, coupons=coupons, customers=customers)
        self.store.move(in_process_store.URL)
        self.store.clock.freeze()
        self.acts = self.store.acts
        self.now = self.store.clock.now()
        settings = Settings(encryption_keys=(Cipher.generate_key(),), poll_page_size=page_size)
        self.runtime = Runtime(settings, self.database, lambda: self.now)
        self.runtime.__dict__["store_session"] = in_process_store.session(
            self.store, lambda _count: None
        )
        self.read = 0
        with self.database.write() as session:
            names = secrets.token_hex(4), secrets.token_hex(4)
            user = accounts.add_user(session, *names, self.now)
            self.caller = accounts.Caller(
                organization_id=user.organization_id, user_id=user.user_id
            )
        self.id, _token = provisioning.create(
            self.runtime,
            self.caller,
            self.request(
                resources,
                **{
                    "store.url": in_process_store.URL,
                    "oauth.api.key": "ck_test",
                    "oauth.api.secret": "cs_test",
                    "event.notification.enabled": True,
                    "event.notification.format": "extended",
                    "event.poller.refresh_interval": str(MINUTES),
                },
            ),
            "http://events.test",
        )
        self.wait(60)
        if first_poll:
            assert self.poll() == []

    def request(self, resources: cabc.Mapping[str, t.Any], **others: t.Any) -> InstanceRequest:
        blocks = {
            key: {"url": block} if isinstance(block, str) else block
            for key, block in resources.items()
        }
        return InstanceRequest.model_validate(
            {
                "name": "s",
                "element": {"key": "woocommercerest"},
                "configuration": {**others, "event.poller.configuration": blocks},
            }
        )

    def patch(self, **resources: t.Any) -> None:
        """Replace the polled resources; each is a url or a block."""
        self.wait(60)
        request = self.request(resources)
        provisioning.change(
            self.runtime, self.caller, self.id, request, "http://events.test", partial=True
        )
        self.wait(60)

    def backfill(self, **part: t.Any) -> None:
        with self.database.write() as session:
            lifecycle.backfill(session, self.caller, self.id, self.now, **part)

    def wait(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)
        self.store.clock.advance(seconds)

    def poll(self, seconds: float = MINUTES * 60) -> list[Event]:
        """Poll after an interval, and return the new events."""
        self.wait(seconds)
        checks = 0

        def stopped() -> bool:
            nonlocal checks
            checks += 1
            return self.stop_after is not None and checks > self.stop_after

        length = dt.timedelta(minutes=30)
        with LeaseRenewer(self.database, self.runtime.clock, length) as renewer:
            reports = InstancePoll(self.runtime, renewer, forced=True, stopped=stopped).run(self.id)
        assert [report.error for report in reports if report.error] == []
        return self.events()

    def events(self) -> list[Event]:
        """Return the new events: resource, object, type and version."""
        with self.database.read() as session:
            query = sa.select(StoredEvent).where(StoredEvent.id > self.read)
            rows = session.scalars(query.order_by(StoredEvent.id)).all()
            self.read = rows[-1].id if rows else self.read
            return [(row.resource, int(row.object_id), row.event_type, row.version) for row in rows]

    def kinds(self, seconds: float = MINUTES * 60) -> set[tuple[str, int, str]]:
        """Poll, and return the new events without their versions."""
        events = self.poll(seconds)
        found = {event[:3] for event in events}
        assert len(found) == len(events)
        return found

    def versions(self, resource: str, number: int) -> list[int]:
        """Return the versions of all events of one object, in the order of sending."""
        with self.database.read() as session:
            query = sa.select(StoredEvent.version).where(
                StoredEvent.resource == resource, StoredEvent.object_id == str(number)
            )
            return list(session.scalars(query.order_by(StoredEvent.id)))

    def pollers(self, *, selected: bool = True) -> dict[str, Poller]:
        with self.database.read() as session:
            query = sa.select(Poller).where(Poller.selected.is_(selected))
            return {poller.resource: poller for poller in session.scalars(query)}

    def live(self, resource: str) -> set[int]:
        """Return the ids that the ledger of a resource holds as live."""
        with self.database.read() as session:
            query = sa.select(Object.object_id).join(Poller, Poller.id == Object.poller_id)
            query = query.where(Poller.resource == resource, Object.live)
            return {int(number) for number in session.scalars(query)}

    def ids(self, kind: str, status: str | None = None) -> list[int]:
        """Return the ids of the store's objects, of one status or of all but the trash."""
        rows = [row for row in self.store.shop.tables[kind] if row.status != "trash"]
        return [row.id for row in rows if status in (None, row.status)]

    def rest(self, method: str, path: str, **body: t.Any) -> t.Any:
        with self.store.shop.lock:
            answer = self.store.routes.answer(method, path, path, {}, body)
        assert answer.status < 300, answer.body
        return orjson.loads(answer.body)

    def place_order(self) -> int:
        return self.acts.place_order(0, [self.ids("products")[0]])

    def with_status(self, status: str, count: int) -> list[int]:
        """Give the first orders this status and the others another; forget what was sent."""
        orders = self.ids("orders")
        for number in orders:
            self.acts.status(number, status if number in orders[:count] else "processing")
        return orders[:count]


Open = cabc.Callable[..., Shop]


@pytest.fixture
def database(tmp_path: pathlib.Path) -> cabc.Iterator[Database]:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/woo.sqlite3")
    database = Database(engine)
    Base.metadata.create_all(database.engine)
    yield database
    database.dispose()
    engine.dispose()


@pytest.fixture
def orders(database: Database) -> Shop:
    """Return a shop whose orders are polled."""
    return Shop(database, {"orders": ORDERS})


def _change_three(shop: Shop) -> tuple[int, int, int]:
    """Create an order, change one and delete one."""
    new = shop.place_order()
    changed, gone = shop.ids("orders")[1], shop.ids("orders")[3]
    shop.acts.status(changed, "completed")
    shop.acts.delete_for_good("orders", gone)
    return new, changed, gone


@pytest.mark.parametrize(
    ("key", "block"),
    [
        ("sales", ORDERS),
        ("orders", "/orders"),
        ("orders", f"{ORDERS}?per_page=50&orderby=date&context=view"),
        ("orders", {"url": ORDERS, "pageSize": 50}),
        ("sales", "/hubs/other/orders?pageSize=3"),
    ],
)
def test_what_happened_around_a_change_is_sent(
    any_database: Database, key: str, block: t.Any
) -> None:
    """Another key, path, paging or order lists the same objects: their ledger is kept."""
    shop = Shop(any_database, {"orders": ORDERS})
    new, changed, gone = _change_three(shop)
    shop.patch(**{key: block})
    later = shop.place_order()
    assert sorted(shop.poll()) == sorted(
        [
            (key, new, "CREATED", 1),
            (key, changed, "UPDATED", 2),
            (key, gone, "DELETED", 2),
            (key, later, "CREATED", 1),
        ]
    )
    assert shop.poll() == []


def test_versions_continue_under_another_key(orders: Shop) -> None:
    """An object's versions go on when its resource is renamed, and when it is renamed back."""
    number = orders.ids("orders")[0]
    for key in ("sales", "orders", "sales"):
        orders.acts.order_meta(number, value=key)
        orders.patch(**{key: ORDERS})
        assert orders.kinds() == {(key, number, "UPDATED")}
    assert orders.versions("sales", number) == [2, 4]
    assert orders.versions("orders", number) == [3]
    with orders.database.read() as session:
        for key in ("sales", "orders"):
            history = object_history.versions(session, orders.id, key, str(number))
            assert len(history) == {"sales": 3, "orders": 1}[key]


def test_two_resources_swap_their_keys(any_database: Database) -> None:
    """A key that another resource takes in the same request names the objects of that one."""
    shop = Shop(any_database, {"one": ORDERS, "two": "/hubs/ecommerce/customers"})
    order, customer = shop.place_order(), shop.acts.new_customer("Eve")
    changed = shop.ids("orders")[0]
    shop.acts.status(changed, "completed")
    shop.patch(two=ORDERS, one="/hubs/ecommerce/customers")
    events = shop.poll()
    assert {event[:3] for event in events} >= {
        ("two", order, "CREATED"),
        ("one", customer, "CREATED"),
        ("two", changed, "UPDATED"),
    }
    assert {name for name, _number, kind, _version in events if kind == "CREATED"} == {"one", "two"}
    assert set(shop.pollers()) == {"one", "two"}
    assert shop.pollers(selected=False) == {}


def test_a_renamed_key_and_a_new_one_under_its_old_name(orders: Shop) -> None:
    """The renamed resource keeps its ledger; the new one begins with a baseline."""
    new, changed, gone = _change_three(orders)
    orders.patch(sales=ORDERS, orders="/hubs/ecommerce/products")
    assert orders.kinds() == {
        ("sales", new, "CREATED"),
        ("sales", changed, "UPDATED"),
        ("sales", gone, "DELETED"),
    }
    product = orders.ids("products")[0]
    orders.acts.stock(product, 3)
    assert orders.kinds() == {("orders", product, "UPDATED")}


def test_a_renamed_filter_and_a_new_one_under_its_old_name(orders: Shop) -> None:
    """A ledger follows its filter to another key, and the key gets another filter."""
    new, changed, gone = _change_three(orders)
    orders.patch(sales=ORDERS, orders=COMPLETED)
    assert orders.kinds() == {
        ("sales", new, "CREATED"),
        ("sales", changed, "UPDATED"),
        ("sales", gone, "DELETED"),
    }


def test_versions_are_not_repeated_by_other_objects_of_a_key(database: Database) -> None:
    """Objects of another collection with the same key and id get later versions."""
    shop = Shop(
        database, {"things": "/hubs/ecommerce/customers"}, counts=(1, 1, 1, 40), page_size=100
    )
    tags = [shop.rest("POST", "products/tags", name=f"T{count}")["id"] for count in range(40)]
    number = next(iter({*tags} & {*shop.ids("customers")}))
    for count in range(4):
        shop.acts.profile(number, f"Name {count}")
        shop.poll()
    for url in ("/hubs/ecommerce/products-tags", "/hubs/ecommerce/customers"):
        shop.patch(things=url)
        shop.poll()
        shop.rest("PUT", f"products/tags/{number}", name=secrets.token_hex(4))
        shop.acts.profile(number, secrets.token_hex(4))
        shop.poll()
    shop.patch(others="/hubs/ecommerce/products-tags", things="/hubs/ecommerce/customers")
    shop.patch(things="/hubs/ecommerce/products-tags", others="/hubs/ecommerce/customers")
    shop.rest("PUT", f"products/tags/{number}", name=secrets.token_hex(4))
    shop.acts.profile(number, secrets.token_hex(4))
    shop.poll()
    versions = shop.versions("things", number)
    assert len(versions) > 6
    assert versions == sorted(set(versions))
    with database.read() as session:
        history = object_history.versions(session, shop.id, "things", str(number))
    assert {*versions} <= {one.entry.version for one in history}
    # Only customers have an address: a difference never compares them with a tag.
    compared = [one.differences for one in history if one.differences is not None]
    assert compared
    assert not [one for some in compared for one in some.each if one.path == "email"]


def test_another_collection_begins_with_a_baseline(any_database: Database) -> None:
    """The objects of another collection are no events, and the old ones are not deleted."""
    shop = Shop(any_database, {"things": ORDERS})
    shop.patch(things="/hubs/ecommerce/products")
    assert shop.poll() == []
    assert shop.live("things") == {*shop.ids("products")}
    product = shop.acts.new_product("New")
    assert shop.kinds() == {("things", product, "CREATED")}


def test_a_collection_that_comes_back_continues(orders: Shop) -> None:
    """A key that polled another collection meanwhile sends what changed in the first one."""
    orders.patch(orders="/hubs/ecommerce/products")
    assert orders.poll() == []
    new, changed, gone = _change_three(orders)
    # The placed order takes its product from the stock.
    assert {name for name, _number, _kind in orders.kinds()} <= {"orders"}
    orders.patch(orders=ORDERS)
    assert orders.kinds() == {
        ("orders", new, "CREATED"),
        ("orders", changed, "UPDATED"),
        ("orders", gone, "DELETED"),
    }


def test_a_resource_that_was_never_read_leaves_nothing(database: Database) -> None:
    """A mistyped resource is forgotten when its url is corrected."""
    shop = Shop(database, {"orders": ORDERS}, first_poll=False)
    shop.patch(orders="/hubs/ecommerce/products")
    assert shop.pollers(selected=False) == {}
    assert shop.poll() == []


def test_another_id_field_begins_with_a_baseline(database: Database) -> None:
    """Ids from another field name other objects."""
    url = "/wp-json/wc/v3/products/categories"
    shop = Shop(database, {"categories": url})
    shop.patch(categories={"url": url, "idField": "menu_order"})
    shop.poll()
    assert {poller.configuration["id_field"] for poller in shop.pollers().values()} == {
        "menu_order"
    }
    assert len(shop.pollers(selected=False)) == 1


def test_a_narrower_filter_is_no_deletion(any_database: Database) -> None:
    """Objects that the new filter leaves out send nothing; those of both keep their versions."""
    shop = Shop(any_database, {"orders": ORDERS})
    kept = shop.with_status("completed", 4)
    shop.poll()
    gone, out = kept[0], [one for one in shop.ids("orders") if one not in kept]
    shop.acts.order_meta(kept[1])
    shop.acts.delete_for_good("orders", gone)
    shop.acts.delete_for_good("orders", out[0])
    shop.patch(orders=COMPLETED)
    events = shop.poll()
    assert sorted(events) == sorted(
        [
            ("orders", kept[1], "UPDATED", max(shop.versions("orders", kept[1]))),
            ("orders", gone, "DELETED", max(shop.versions("orders", gone))),
            ("orders", out[0], "DELETED", max(shop.versions("orders", out[0]))),
        ]
    )
    assert shop.live("orders") == {*kept[1:]}
    assert shop.poll() == shop.poll() == []


def test_a_change_before_an_object_leaves_is_sent(orders: Shop) -> None:
    """A change since the last poll is sent, although the new filter leaves the object out."""
    kept = orders.with_status("completed", 2)
    orders.poll()
    moved = orders.ids("orders")[5]
    orders.acts.status(moved, "cancelled")
    orders.patch(orders=COMPLETED)
    assert orders.kinds() == {("orders", moved, "UPDATED")}
    assert orders.live("orders") == {*kept}


def test_a_wider_filter_is_a_wider_baseline(any_database: Database) -> None:
    """Old objects that only the new filter shows send nothing, new and changed ones do."""
    shop = Shop(any_database, {"orders": COMPLETED}, first_poll=False)
    completed = shop.with_status("completed", 4)
    assert {event[1] for event in shop.poll()} == {*completed}
    old = [one for one in shop.ids("orders") if one not in completed]
    new = shop.place_order()
    shop.acts.order_meta(old[2])
    shop.acts.order_meta(completed[1])
    shop.acts.delete_for_good("orders", completed[0])
    shop.patch(orders=ORDERS)
    later = shop.place_order()
    assert shop.kinds() == {
        ("orders", new, "CREATED"),
        ("orders", later, "CREATED"),
        ("orders", old[2], "UPDATED"),
        ("orders", completed[1], "UPDATED"),
        ("orders", completed[0], "DELETED"),
    }
    assert shop.live("orders") == {*shop.ids("orders")}
    assert shop.poll() == shop.poll() == []


def test_a_filter_without_common_objects(orders: Shop) -> None:
    """A filter may replace all objects: this is not another store, nor a mass deletion."""
    orders.with_status("completed", 6)
    orders.poll()
    orders.patch(orders="/hubs/ecommerce/orders?where=status='processing'")
    assert orders.poll() == []
    orders.patch(orders=COMPLETED)
    assert orders.poll() == []
    assert orders.live("orders") == {*orders.ids("orders", "completed")}


def test_a_filter_whose_objects_lie_between_those_of_before(database: Database) -> None:
    """Old objects in place of all known ones are not another store."""
    shop = Shop(database, {"orders": COMPLETED}, first_poll=False)
    for count, number in enumerate(shop.ids("orders")):
        shop.acts.status(number, ("completed", "cancelled")[count % 2])
    shop.poll()
    shop.patch(orders="/hubs/ecommerce/orders?status=cancelled")
    assert shop.poll() == []
    assert shop.live("orders") == {*shop.ids("orders", "cancelled")}


def test_a_much_wider_filter_is_read_by_one_poll(database: Database) -> None:
    """The number of pages does not depend on what the ledger holds."""
    shop = Shop(database, {"orders": COMPLETED}, counts=(40, 6, 1, 1), first_poll=False)
    completed = shop.with_status("completed", 2)
    shop.poll()
    # Later, no window of modified dates shows the others.
    shop.wait(86_400)
    shop.acts.order_meta(completed[0])
    shop.poll()
    shop.patch(orders=ORDERS)
    assert shop.poll() == []
    assert shop.live("orders") == {*shop.ids("orders")}


def test_a_narrower_filter_of_a_slow_store(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comparison that takes several polls does not count the objects that it has not reached."""
    shop = Shop(database, {"orders": ORDERS}, counts=(40, 6, 1, 1), first_poll=False)
    shop.with_status("completed", 0)
    kept = shop.ids("orders")[::2]
    for number in kept:
        shop.acts.status(number, "completed")
    shop.poll()
    # Later, no window of modified dates shows the others.
    shop.wait(86_400)
    shop.acts.order_meta(kept[0])
    shop.poll()
    monkeypatch.setattr(comparison, "MAX_SECONDS", 0.0)
    shop.patch(orders=COMPLETED)
    assert shop.poll() == []
    assert len(shop.live("orders")) > len(kept)
    for _ in range(4):
        assert shop.poll() == []
    assert shop.live("orders") == {*kept}


def test_a_filter_starts_without_what_was_noted_of_the_list_before(orders: Shop) -> None:
    """A held or an accepted deletion concerns the objects of one filter."""
    noted = {"hidden": 3, "missing_since": orders.now.isoformat(), "accept_missing": True}
    with orders.database.write() as session:
        session.execute(sa.update(Poller).values(memory=noted))
    orders.patch(orders=COMPLETED)
    assert not orders.pollers()["orders"].memory.keys() & noted.keys()


def test_another_key_and_another_filter_in_one_request(orders: Shop) -> None:
    """The ledger follows the collection."""
    new, changed, gone = _change_three(orders)
    orders.patch(done=COMPLETED)
    assert orders.kinds() == {("done", changed, "UPDATED"), ("done", gone, "DELETED")}
    assert new not in orders.live("done")


def test_a_resource_that_is_selected_again_under_another_key(orders: Shop) -> None:
    """A resource that comes back continues, also if its key is another one."""
    orders.patch(coupons="/hubs/ecommerce/coupons")
    assert orders.poll() == []
    new, changed, gone = _change_three(orders)
    orders.patch(coupons="/hubs/ecommerce/coupons", sales=ORDERS)
    assert orders.kinds() == {
        ("sales", new, "CREATED"),
        ("sales", changed, "UPDATED"),
        ("sales", gone, "DELETED"),
    }


def test_a_filter_that_comes_back(orders: Shop) -> None:
    """Objects that return with their filter send only what changed, with the next version."""
    kept = orders.with_status("completed", 4)
    orders.poll()
    out = [one for one in orders.ids("orders") if one not in kept]
    before = {number: orders.versions("orders", number) for number in out}
    orders.patch(orders=COMPLETED)
    assert orders.poll() == []
    orders.acts.order_meta(out[1])
    assert orders.poll() == []
    orders.patch(orders=ORDERS)
    assert orders.poll() == [("orders", out[1], "UPDATED", before[out[1]][-1] + 1)]
    assert orders.live("orders") == {*orders.ids("orders")}


def test_a_filter_changes_twice_between_two_polls(orders: Shop) -> None:
    """Only the filters of the last poll and of the next one count."""
    new, changed, gone = _change_three(orders)
    orders.patch(orders=COMPLETED)
    orders.patch(orders=ORDERS)
    assert orders.kinds() == {
        ("orders", new, "CREATED"),
        ("orders", changed, "UPDATED"),
        ("orders", gone, "DELETED"),
    }


def test_a_filter_changes_during_a_comparison(orders: Shop) -> None:
    """A comparison that was interrupted goes on, and sends nothing twice."""
    kept = orders.with_status("completed", 7)
    orders.poll()
    orders.acts.order_meta(kept[-1])
    orders.patch(orders=COMPLETED)
    orders.stop_after = 1
    events = orders.poll()
    orders.stop_after = None
    events += orders.poll()
    assert [event[:3] for event in events] == [("orders", kept[-1], "UPDATED")]
    assert orders.live("orders") == {*kept}
    assert orders.poll() == []


def test_a_filter_changes_during_the_baseline(database: Database) -> None:
    """A baseline that goes on with another filter holds the objects of that one."""
    shop = Shop(database, {"orders": ORDERS}, first_poll=False)
    kept = shop.with_status("completed", 4)
    shop.patch(orders={"url": ORDERS, "pageSize": 5})
    shop.stop_after = 1
    shop.poll()
    assert shop.pollers()["orders"].state == PollerState.BASELINE
    shop.stop_after = None
    shop.patch(orders=COMPLETED)
    for _ in range(3):
        assert {kind for _name, _number, kind, _version in shop.poll()} <= {"UPDATED"}
    assert shop.live("orders") == {*kept}


def test_customers_of_another_role(database: Database) -> None:
    """A role that is no longer polled is no deletion; customers have no list of dates."""
    shop = Shop(database, {"customers": "/hubs/ecommerce/customers?role=all"}, first_poll=False)
    shop.poll()
    user = shop.acts.new_user("Fay")
    shop.acts.role(user, "subscriber")
    assert shop.kinds() == {("customers", user, "CREATED")}
    new, changed = shop.acts.new_customer("Eve"), shop.ids("customers")[0]
    shop.acts.profile(changed, "Ann")
    shop.patch(customers="/hubs/ecommerce/customers")
    assert shop.kinds() == {("customers", new, "CREATED"), ("customers", changed, "UPDATED")}
    assert user not in shop.live("customers")
    shop.patch(customers="/hubs/ecommerce/customers?role=all")
    assert shop.poll() == []
    assert user in shop.live("customers")


@pytest.mark.parametrize("version", ["9.4", "11.0"])
def test_variations_of_another_status(database: Database, version: str) -> None:
    """Children that a store lists only by parent leave a filter without an event, too."""
    shop = Shop(database, {"variations": "/hubs/ecommerce/variations"}, version=version)
    options = [{"name": "Size", "options": ["a", "b"], "variation": True}]
    parent = shop.rest("POST", "products", name="V", type="variable", attributes=options)["id"]
    path = f"products/{parent}/variations"
    kept, out, gone = (
        shop.rest("POST", path, regular_price=price, status=status)["id"]
        for price, status in (("1", "publish"), ("2", "private"), ("3", "private"))
    )
    assert {event[1] for event in shop.poll()} == {kept, out, gone}
    shop.acts.delete_for_good("variations", gone)
    shop.patch(variations="/hubs/ecommerce/variations?status=publish")
    assert shop.kinds() == {("variations", gone, "DELETED")}
    assert shop.live("variations") == {kept}
    assert shop.poll() == []
    shop.patch(variations="/hubs/ecommerce/variations")
    assert shop.poll() == []
    assert shop.live("variations") == {kept, out}


def test_a_collection_that_is_read_whole_gets_another_filter(database: Database) -> None:
    """A custom collection is compared with what its filter of before still shows."""
    url = "/wp-json/wc/v3/coupons"
    shop = Shop(database, {"coupons": url}, counts=(1, 1, 6, 1))
    kept, gone, changed = shop.ids("coupons")[:3]
    code = shop.rest("GET", f"coupons/{kept}")["code"]
    shop.rest("PUT", f"coupons/{changed}", amount="7")
    shop.acts.delete_for_good("coupons", gone)
    shop.patch(coupons=f"{url}?code={code}")
    assert shop.kinds() == {("coupons", gone, "DELETED"), ("coupons", changed, "UPDATED")}
    assert shop.live("coupons") == {kept}
    assert shop.poll() == []
    shop.patch(coupons=url)
    assert shop.poll() == []
    assert shop.live("coupons") == {*shop.ids("coupons")}


def test_a_whole_collection_gets_two_filters_between_two_polls(database: Database) -> None:
    """What the last poll listed counts, not what no poll has read."""
    url = "/wp-json/wc/v3/coupons"
    shop = Shop(database, {"coupons": url}, counts=(1, 1, 6, 1))
    codes = [shop.rest("GET", f"coupons/{number}")["code"] for number in shop.ids("coupons")]
    shop.patch(coupons=f"{url}?code={codes[0]}")
    shop.patch(coupons=f"{url}?code={codes[1]}")
    assert shop.poll() == []
    assert shop.live("coupons") == {shop.ids("coupons")[1]}


@pytest.mark.parametrize("url", ["/hubs/ecommerce/taxes", "/wp-json/wc/v3/taxes"])
def test_a_wider_filter_of_objects_without_dates(database: Database, url: str) -> None:
    """An undated object is new if the filter before shows it, too."""
    shop = Shop(database, {"taxes": url}, first_poll=False)
    known, old = (_add_tax(shop, kind) for kind in ("reduced-rate", "zero-rate"))
    shop.patch(taxes=f"{url}?class=reduced-rate")
    shop.poll()
    assert shop.live("taxes") == {known}
    new = _add_tax(shop, "reduced-rate")
    shop.patch(taxes=url)
    assert shop.kinds() == {("taxes", new, "CREATED")}
    assert shop.live("taxes") == {known, old, new}
    assert shop.poll() == []


def _add_tax(shop: Shop, kind: str) -> int:
    tax: int = shop.rest("POST", "taxes", rate="7", name="VAT", **{"class": kind})["id"]
    return tax


def test_a_feed_becomes_a_whole_collection(database: Database) -> None:
    """The ledger of a feed is kept, and what the feed never listed is part of the baseline."""
    url = "/wp-json/wc/v3/orders"
    shop = Shop(database, {"orders": f"{url}?modified_after=${{date}}&dates_are_gmt=true"})
    known, silent = shop.ids("orders")[:2]
    shop.wait(60)
    shop.acts.order_meta(known)
    assert {event[1] for event in shop.poll()} == {known}
    shop.patch(orders=f"{url}?status=cancelled")
    shop.acts.status(silent, "cancelled")
    shop.poll()
    assert shop.versions("orders", known) == [1]
    assert shop.live("orders") == {*shop.ids("orders", "cancelled")}


def test_a_filter_that_the_store_refuses_now(database: Database) -> None:
    """The list of the filter before is not needed to read the new one."""
    shop = Shop(database, {"coupons": "/wp-json/wc/v3/coupons?orderby=id"}, first_poll=False)
    code = shop.rest("GET", f"coupons/{shop.ids('coupons')[0]}")["code"]
    shop.patch(coupons=f"/wp-json/wc/v3/coupons?search={code}")
    assert shop.poll() == []
    assert shop.live("coupons") == {shop.ids("coupons")[0]}
    shop.store.faults.add(
        "status", match=lambda *request: "search" in request[2], times=99, code=400
    )
    shop.patch(coupons="/wp-json/wc/v3/coupons")
    assert shop.poll() == []
    assert shop.live("coupons") == {*shop.ids("coupons")}


def test_a_backfill_that_an_earlier_release_began(orders: Shop) -> None:
    """A ledger that was emptied for a backfill sends CREATED with the next versions."""
    with orders.database.write() as session:
        emptied = {"digest": GONE_DIGEST, "fields": GONE_FIELDS, "revision": 2}
        session.execute(sa.update(Object).values(live=False, **emptied))
        session.execute(
            sa.update(Poller).values(
                state=PollerState.BASELINE,
                backfill=True,
                polled_at=None,
                baseline_offset=0,
                baseline_id=None,
                revision=2,
                memory={"forgotten": 2},
            )
        )
    assert sorted(orders.poll()) == [
        ("orders", number, "CREATED", 2) for number in orders.ids("orders")
    ]
    assert orders.poll() == []


def test_the_path_of_the_store_names_the_same_collection(database: Database) -> None:
    """``/hubs/ecommerce/discounts`` and ``/wp-json/wc/v3/coupons`` share a ledger."""
    shop = Shop(database, {"coupons": "/hubs/ecommerce/discounts"})
    changed, gone = shop.ids("coupons")[:2]
    for url in ("/wp-json/wc/v3/coupons", "/hubs/ecommerce/coupons"):
        shop.rest("PUT", f"coupons/{changed}", amount=str(len(url)))
        shop.patch(coupons=url)
        assert shop.kinds() == {("coupons", changed, "UPDATED")}
    shop.acts.delete_for_good("coupons", gone)
    shop.patch(coupons="/wp-json/wc/v3/coupons")
    assert shop.kinds() == {("coupons", gone, "DELETED")}


def test_a_filter_changes_while_the_journal_is_followed(database: Database) -> None:
    """With the journal, the whole resource is compared once, and the journal is followed again."""
    shop = Shop(database, {"orders": ORDERS}, version="11.0", journal=True)
    shop.with_status("completed", 4)
    for _ in range(3):
        shop.poll()
    new, changed, gone = _change_three(shop)
    shop.patch(orders=COMPLETED)
    # The new order is not completed, and no receiver knows it.
    assert shop.kinds() == {("orders", changed, "UPDATED"), ("orders", gone, "DELETED")}
    assert new not in shop.live("orders")
    shop.poll()
    before = len(shop.store.requests)
    assert shop.poll() == []
    assert len(shop.store.requests) - before == 1


def test_a_webhook_for_an_object_outside_the_new_filter(orders: Shop) -> None:
    """A webhook that arrives before the next poll does not delete what a filter left out."""
    kept = orders.with_status("completed", 4)
    orders.poll()
    out = next(one for one in orders.ids("orders") if one not in kept)
    orders.patch(orders=COMPLETED)
    _arrive(orders, "order.updated", out)
    _settle(orders)
    assert orders.events() == []
    assert orders.poll() == []
    assert orders.live("orders") == {*kept}


def _arrive(shop: Shop, topic: str, number: int) -> None:
    with shop.database.write() as session:
        session.add(
            Arrival(
                instance_id=shop.id,
                topic=topic,
                collection="orders",
                object_id=number,
                received_at=shop.now,
            )
        )


def _settle(shop: Shop) -> None:
    with LeaseRenewer(shop.database, shop.runtime.clock, dt.timedelta(minutes=30)) as renewer:
        reports = HintProcessor(shop.runtime, renewer).run(shop.id)
    assert [report.error for report in reports if report.error] == []


def test_a_resource_that_is_selected_again(any_database: Database) -> None:
    """What happened while a resource was not polled is sent at the next poll."""
    both = {"orders": ORDERS, "customers": "/hubs/ecommerce/customers"}
    shop = Shop(any_database, both, counts=(12, 6, 3, 150))
    shop.patch(orders=ORDERS)
    silent, gone = shop.ids("customers")[20], shop.ids("customers")[90]
    shop.acts.sql_update("customers", silent, first_name="Silent")
    shop.acts.delete_for_good("customers", gone)
    new = shop.acts.new_customer("Eve")
    assert shop.poll() == []
    shop.patch(**both)
    assert shop.kinds() == {
        ("customers", silent, "UPDATED"),
        ("customers", gone, "DELETED"),
        ("customers", new, "CREATED"),
    }
    assert shop.poll() == []


def test_a_disabled_resource_is_polled_with_its_new_block(orders: Shop) -> None:
    """A resource that was disabled after failures is tried again when its block changes."""
    with orders.database.write() as session:
        session.execute(sa.update(Poller).values(state=PollerState.DISABLED, failures=9, error="x"))
    new = orders.place_order()
    assert orders.poll() == []
    orders.patch(orders={"url": ORDERS, "pageSize": 10})
    assert orders.kinds() == {("orders", new, "CREATED")}
    assert orders.pollers()["orders"].error is None


def test_a_failing_resource_is_due_with_its_new_block(orders: Shop) -> None:
    """A new block may be what helps, so that the resource does not wait for its next try."""
    later = orders.now + dt.timedelta(days=1)
    with orders.database.write() as session:
        session.execute(sa.update(Poller).values(failures=9, error="x", retry_at=later))
    orders.patch(orders={"url": ORDERS, "pageSize": 10})
    poller = orders.pollers()["orders"]
    assert (poller.failures, poller.error, poller.retry_at) == (0, None, None)


def test_a_backfill_sends_what_is_there_and_what_is_gone(any_database: Database) -> None:
    """Every object is CREATED with its next version, and a deleted one DELETED."""
    shop = Shop(any_database, {"orders": ORDERS})
    first, long_gone, gone = shop.ids("orders")[:3]
    shop.acts.order_meta(first)
    shop.acts.delete_for_good("orders", long_gone)
    assert len(shop.poll()) == 2
    shop.acts.delete_for_good("orders", gone)
    new = shop.place_order()
    shop.backfill()
    events = shop.poll()
    there = {number: 2 for number in shop.ids("orders")} | {first: 3, new: 1}
    assert sorted(events) == sorted(
        [("orders", gone, "DELETED", 2)]
        + [("orders", number, "CREATED", version) for number, version in there.items()]
    )
    assert shop.poll() == shop.poll() == []
    shop.acts.order_meta(first)
    assert shop.poll() == [("orders", first, "UPDATED", 4)]


@pytest.mark.parametrize("stop_after", [None, 1, 2])
def test_a_backfill_by_part(database: Database, stop_after: int | None) -> None:
    """Only objects of the resource and of the dates are CREATED, beside what happens meanwhile."""
    shop = Shop(database, {"orders": ORDERS, "products": "/hubs/ecommerce/products"})
    dates = {
        number: dt.datetime.fromisoformat(f"{order['date_modified_gmt']}+00:00")
        for number, order in shop.store.truth("orders").items()
    }
    since, until = sorted(set(dates.values()))[2:6:3]
    wanted = {number for number, date in dates.items() if since <= date < until}
    assert wanted and len(wanted) < len(dates) - 2
    with pytest.raises(InputError, match="does not poll coupons; it polls orders, products"):
        shop.backfill(resources=["coupons"])
    with pytest.raises(InputError, match="not after"):
        shop.backfill(since=until, until=since)
    shop.backfill(resources=["orders"], since=since, until=until)
    shop.stop_after = stop_after
    events = shop.poll()
    shop.stop_after = None
    changed = min(dates.keys() - wanted)
    shop.acts.order_meta(changed)
    events += [*shop.poll(), *shop.poll()]
    assert sorted(event[:3] for event in events) == sorted(
        [("orders", changed, "UPDATED"), *(("orders", one, "CREATED") for one in wanted)]
    )


@pytest.mark.parametrize("first_poll", [True, False])
def test_a_backfill_by_date_with_or_without_a_baseline(
    database: Database, first_poll: bool
) -> None:
    """A store that was just connected sends the same, and no second backfill replaces the first."""
    shop = Shop(database, {"orders": ORDERS}, first_poll=first_poll)
    dates = {
        number: dt.datetime.fromisoformat(f"{order['date_modified_gmt']}+00:00")
        for number, order in shop.store.truth("orders").items()
    }
    since = sorted(dates.values())[4]
    shop.backfill(since=since)
    with pytest.raises(ConflictError, match="a backfill of orders is still under way"):
        shop.backfill(resources=["orders"], until=since)
    events = [event[:3] for _ in range(3) for event in shop.poll()]
    wanted = [number for number, date in dates.items() if date >= since]
    assert sorted(events) == [("orders", one, "CREATED") for one in sorted(wanted)]
    shop.backfill(resources=["orders", "orders"], until=since)
    assert len([*shop.poll(), *shop.poll()]) == len(dates) - len(wanted)


def test_a_backfill_of_a_large_store_delays_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll follows each part immediately, and sends first what has happened meanwhile."""
    monkeypatch.setattr(comparison, "SLICE_SECONDS", 0.0)
    shop = Shop(database, {"orders": ORDERS}, counts=(60, 6, 0, 5))
    there, parts = shop.ids("orders"), 0
    sent: list[tuple[str, int, str]] = []
    shop.backfill()
    while due_instances(shop.runtime) and parts < 40:
        order = shop.place_order()
        events = shop.poll(0)
        assert ("orders", order, "CREATED", 1) in events
        sent += [event[:3] for event in events]
        parts += 1
    assert 6 <= parts < 40
    assert sorted(one for one in sent if one[1] in there) == [
        ("orders", one, "CREATED") for one in there
    ]


@pytest.mark.parametrize("stop_after", [1, 2])
def test_an_interrupted_backfill_goes_on(orders: Shop, stop_after: int) -> None:
    """An object is CREATED once, although the poll that began the backfill was interrupted."""
    orders.backfill()
    orders.stop_after = stop_after
    events = orders.poll()
    orders.stop_after = None
    changed = orders.ids("orders")[0]
    orders.acts.order_meta(changed)
    events += orders.poll()
    counts = collections.Counter(event[1:3] for event in events)
    assert counts == {(number, "CREATED"): 1 for number in orders.ids("orders")} | {
        (changed, "UPDATED"): 1
    }


def test_a_backfill_during_the_baseline(database: Database) -> None:
    """A backfill that is requested before the baseline has ended sends every object."""
    shop = Shop(database, {"orders": ORDERS}, first_poll=False)
    shop.stop_after = 1
    assert shop.poll() == []
    shop.backfill()
    shop.stop_after = None
    events = [*shop.poll(), *shop.poll(), *shop.poll()]
    assert sorted(event[1:3] for event in events) == [
        (number, "CREATED") for number in shop.ids("orders")
    ]


@pytest.mark.parametrize(
    "url",
    [
        "/hubs/ecommerce/customers",
        "/hubs/ecommerce/discounts",
        "/wp-json/wc/v3/coupons",
        "/hubs/ecommerce/orders-comments",
    ],
)
def test_a_backfill_of_every_kind_of_resource(database: Database, url: str) -> None:
    """A backfill reads all of a resource, however it is read."""
    shop = Shop(database, {"mine": url}, counts=(12, 6, 6, 30))
    order = shop.ids("orders")[0]
    shop.acts.note(order)
    shop.poll(86_400)
    shop.poll(86_400)
    live = shop.live("mine")
    assert live
    shop.backfill()
    events = [*shop.poll(), *shop.poll(), *shop.poll()]
    assert sorted(event[1:3] for event in events) == sorted((one, "CREATED") for one in live)


def test_a_backfill_while_the_journal_is_followed(database: Database) -> None:
    """A store with the journal is read whole for a backfill."""
    shop = Shop(database, {"orders": ORDERS}, version="11.0", journal=True)
    for _ in range(3):
        shop.poll()
    shop.backfill()
    assert {event[1:3] for event in shop.poll()} == {
        (number, "CREATED") for number in shop.ids("orders")
    }
    shop.poll()
    before = len(shop.store.requests)
    assert shop.poll() == []
    assert len(shop.store.requests) - before == 1


def test_a_backfill_of_resources_that_are_not_polled(orders: Shop) -> None:
    """A resource that is not selected sends nothing when it is selected later."""
    orders.patch(products="/hubs/ecommerce/products")
    orders.poll()
    orders.backfill()
    assert {event[0] for event in orders.poll()} == {"products"}
    orders.patch(products="/hubs/ecommerce/products", orders=ORDERS)
    assert orders.poll() == []
