"""WooCommerce's webhooks: registered, taken in, looked after, and kept alive."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import pathlib
import shutil
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.db.database import Database
from flask_woo_events.db.leases import GuardLease, LeaseRenewer
from flask_woo_events.db.models import Arrival, Instance
from flask_woo_events.errors import LeaseLostError
from flask_woo_events.instances import webhook_urls, webhooks
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.runtime import Runtime
from flask_woo_events.sync.hint import Hint
from flask_woo_events.sync.instance_poll import due_instances
from flask_woo_events.sync.webhooks import inbox
from flask_woo_events.sync.webhooks.inbox import PendingWebhooks, ReceivedWebhook
from flask_woo_events.values import crypto
from flask_woo_events.worker.worker import Worker
from tests.conftest import BACKENDS
from tests.integration.host_app import PREFIX, runtime_of
from tests.integration.ledger_env import NOW, build
from tests.integration.store_to_callback import PUBLIC, StoreToCallback, open_line

Make = cabc.Callable[..., StoreToCallback]
VERSIONS = ["5.9", "8.0", "9.4", "11.0"]
LEASE = dt.timedelta(seconds=8)


@pytest.fixture
def make_line(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def make(version: str = "11.0", **how: t.Any) -> StoreToCallback:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            return open_line(version, tmp_path, stack, hooked=True, **how)

        yield make


@pytest.fixture
def line(make_line: Make) -> StoreToCallback:
    return make_line()


def _registered(line: StoreToCallback) -> dict[str, str]:
    rows = line.store.shop.tables["webhooks"]
    return {row.fields["topic"]: row.status for row in rows}


def _shown(line: StoreToCallback) -> dict[str, t.Any]:
    answer = line.api.call("GET", f"/instances/{line.instance_id}")
    return t.cast("dict[str, t.Any]", answer.json)


def _post(line: StoreToCallback, body: bytes, topic: str = "order.updated", **headers: str) -> int:
    runtime = runtime_of(line.app)
    keys, hook = runtime.settings.encryption_keys, Hook(line.instance_id, 1)
    signature = crypto._hmac(webhook_urls.secrets(keys, hook)[-1].encode(), body)
    answer = line.app.test_client().post(
        f"{PREFIX}{webhook_urls.PATH}/{webhook_urls.sign(keys, hook)}",
        data=body,
        headers={"X-WC-Webhook-Signature": signature, "X-WC-Webhook-Topic": topic, **headers},
    )
    return answer.status_code


def _keeper(runtime: Runtime) -> LeaseRenewer:
    return LeaseRenewer(runtime.database, runtime.clock, LEASE)


@pytest.mark.parity(65)
@pytest.mark.parametrize("version", VERSIONS)
def test_registered_with_the_instance(make_line: Make, version: str) -> None:
    """Each topic of what is polled has one active webhook, and the answer lists them."""
    line = make_line(version)
    found = _registered(line)
    assert set(found.values()) == {"active"}
    assert {"order.created", "coupon.deleted", "action.woocommerce_delete_product"} <= set(found)
    shown = _shown(line)["webhooks"]
    assert {one["topic"]: one["status"] for one in shown} == found
    assert [one["error"] for one in shown if one["error"]] == []


@pytest.mark.parity(65)
@pytest.mark.parametrize("version", VERSIONS)
def test_changes_are_told_at_once(make_line: Make, version: str) -> None:
    """Webhooks tell a change before the next poll, once, and the poll has nothing to add."""
    line = make_line(version)
    acts, order, product = line.store.acts, line.first("orders"), line.first("products")
    acts.status(order, "completed")
    assert ("orders", str(order), "UPDATED") in line.hooks()
    acts.stock(product, 7)
    assert line.hooks() == {("products", str(product), "UPDATED")}
    acts.trash_post(product)
    assert line.hooks() == {("products", str(product), "DELETED")}
    acts.untrash_post(product)
    assert line.hooks() == {("products", str(product), "CREATED")}
    number = acts.new_customer("eve")
    assert line.hooks() == {("customers", str(number), "CREATED")}
    assert line.arrivals() == set()


# A SQLite file has one writer at a time.
@pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)
def test_webhook_that_is_committed_late_is_looked_after(any_database: Database) -> None:
    """Of two web processes the slower may have drawn the lower number: it is not forgotten."""
    hook = Hook(build(any_database).stream.instance_id, 0)

    def arrived(number: int) -> ReceivedWebhook:
        return ReceivedWebhook(hook, Hint("order.updated", "orders", number), NOW)

    def waiting() -> PendingWebhooks | None:
        with any_database.read() as session:
            return inbox.pending(session, hook.instance_id)

    with any_database.begin() as slower:
        inbox.add(slower, [arrived(1)])
        with any_database.begin() as faster:
            inbox.add(faster, [arrived(2)])
        seen = waiting()
    assert seen is not None
    assert [hint.object_id for hint in seen.hints] == [2]
    with any_database.write() as session:
        inbox.remove(session, seen)
    left = waiting()
    assert left is not None
    assert [hint.object_id for hint in left.hints] == [1]


def test_on_every_database(any_url: str, make_line: Make) -> None:
    """Registration, ping, intake, reconciliation and removal do the same everywhere."""
    engine = sa.create_engine(any_url)
    upgrade.upgrade(engine)
    engine.dispose()
    line = make_line(SQLALCHEMY_DATABASE_URI=any_url)
    order = line.first("orders")
    assert {one["error"] for one in _shown(line)["webhooks"]} == {None}
    line.store.acts.status(order, "completed")
    assert ("orders", str(order), "UPDATED") in line.hooks()
    assert {row.status for row in line.store.shop.tables["webhooks"]} == {"active"}
    assert sum(row.fields["failures"] for row in line.store.shop.tables["webhooks"]) == 0
    assert line.arrivals() == set()
    assert line.api.call("DELETE", f"/instances/{line.instance_id}").status_code == 200
    assert not _registered(line)


@pytest.mark.parametrize("version", ["5.9", "11.0"])
def test_sales_and_coupons_of_an_order(make_line: Make, version: str) -> None:
    """What an order does to a product's sales and to its coupon is told with it."""
    line = make_line(version)
    acts, customer = line.store.acts, line.first("customers")
    product = acts.new_product("Sold")
    coupon = acts.new_coupon("once")
    line.hooks()
    order = acts.place_order(customer, [product], ["once"])
    told = line.hooks()
    assert {("orders", str(order), "CREATED"), ("discounts", str(coupon), "UPDATED")} <= told
    assert ("products", str(product), "UPDATED") in told
    assert line.arrivals() <= {("customers", str(customer), "UPDATED")}
    acts.status(order, "cancelled")
    assert {one[0] for one in line.hooks()} == {"orders", "products", "discounts"}
    assert line.arrivals() <= {("customers", str(customer), "UPDATED")}


@pytest.mark.parametrize("version", ["5.9", "11.0"])
def test_deleted_refund_brings_the_poll_forward(make_line: Make, version: str) -> None:
    """Only the refund's own number is told: the poll finds the order."""
    line = make_line(version)
    order = line.first("orders")
    refund = line.rest("POST", f"orders/{order}/refunds", amount="1.00", api_refund=False)
    line.hooks()
    line.arrivals()
    runtime = runtime_of(line.app)
    line.store.acts.delete_refund(refund["id"], on_page=version == "11.0")
    assert line.hooks() == set()
    with runtime.database.read() as session:
        due = session.get_one(Instance, line.instance_id).next_poll_at
    assert due is not None
    assert due <= runtime.clock() + dt.timedelta(minutes=1)
    assert line.arrivals() == {("orders", str(order), "UPDATED")}


def test_deleted_variation_brings_the_poll_forward(line: StoreToCallback) -> None:
    """Only the variation's own number is told: the poll finds its product."""
    body = {"name": "Shirt", "type": "variable"}
    product = line.rest("POST", "products", **body)["id"]
    variation = line.rest("POST", f"products/{product}/variations", regular_price="5")["id"]
    line.hooks()
    line.arrivals()
    runtime = runtime_of(line.app)
    line.store.acts.delete_for_good("variations", variation)
    line.hooks()
    with runtime.database.read() as session:
        due = session.get_one(Instance, line.instance_id).next_poll_at
    assert due is not None
    assert due <= runtime.clock() + dt.timedelta(minutes=1)
    assert ("products", str(product), "UPDATED") in line.arrivals()


@pytest.mark.parity(65)
def test_deletion_for_good_by_rest(line: StoreToCallback) -> None:
    """The action topics tell what no ordinary topic does."""
    product, coupon = line.first("products"), line.first("coupons")
    for path in (f"products/{product}", f"coupons/{coupon}"):
        line.rest("DELETE", path, force=True)
    assert line.hooks() == {
        ("products", str(product), "DELETED"),
        ("discounts", str(coupon), "DELETED"),
    }


def test_deletion_told_of_the_wrong_resource(line: StoreToCallback) -> None:
    """``coupon.deleted`` that names an order tells that the order is gone, or nothing."""
    order = line.first("orders")
    _post(line, b'{"id":%d}' % order, "coupon.deleted")
    assert line.hooks() == set()
    line.store.acts.trash_post(order)
    line.store.shop.tables["webhooks"].replace([])  # Only what is posted here tells.
    _post(line, b'{"id":%d}' % order, "coupon.deleted")
    told = line.hooks()
    assert ("orders", str(order), "DELETED") in told
    assert not [one for one in told if one[0] == "discounts"]


def test_stale_and_repeated_webhooks_tell_nothing(line: StoreToCallback) -> None:
    """What a body says is not believed: an old state, sent late or twice, is no event."""
    order = line.first("orders")
    row = line.store.shop.tables["orders"].get(order)
    assert row is not None
    old = line.store.routes.orders.encoded(row)
    line.store.acts.status(order, "completed")
    assert ("orders", str(order), "UPDATED") in line.hooks()
    for _ in range(3):
        assert _post(line, old) == 200
    assert line.hooks() == set()
    assert line.arrivals() == set()


def test_error_in_the_place_of_an_object(line: StoreToCallback) -> None:
    """An error object names nothing: the next poll looks, and soon."""
    body = b'{"code":"woocommerce_rest_cannot_view","message":"","data":{"status":401}}'
    assert _post(line, body) == 200
    assert line.hooks() == set()
    runtime = runtime_of(line.app)
    with runtime.database.read() as session:
        due = session.get_one(Instance, line.instance_id).next_poll_at
    assert due is not None
    assert due <= runtime.clock() + dt.timedelta(minutes=1)


def test_subscriber_is_no_customer(line: StoreToCallback) -> None:
    """``customer.created`` of a user with another role is not an event."""
    line.store.acts.new_user("subscriber")
    assert line.store.webhooks.pending
    assert line.hooks() == set()


@pytest.mark.parity(64)
def test_forged_webhooks_are_refused(line: StoreToCallback) -> None:
    """Nothing is kept without the right signature, whatever else fits."""
    body = b'{"id":1}'
    client, runtime = line.app.test_client(), runtime_of(line.app)
    keys = runtime.settings.encryption_keys
    path = f"{PREFIX}{webhook_urls.PATH}/{webhook_urls.sign(keys, Hook(line.instance_id, 1))}"
    wrong = crypto._hmac(b"another secret", body)
    for headers in ({}, {"X-WC-Webhook-Signature": "x"}, {"X-WC-Webhook-Signature": wrong}):
        assert client.post(path, data=body, headers=headers).status_code == 401
    assert client.post(f"{path}x", data=body).status_code == 404
    with runtime.database.read() as session:
        assert session.scalars(sa.select(Arrival.id)).all() == []


@pytest.mark.parity(89)
def test_large_bodies(line: StoreToCallback) -> None:
    """A webhook of some megabytes is taken, one of more than 8 MiB is refused."""
    assert _post(line, b'{"id":1,"x":"%s"}' % (b"x" * 4_000_000)) == 200
    assert _post(line, b'{"id":1,"x":"%s"}' % (b"x" * 9_000_000)) == 413


@pytest.mark.parity(4)
@pytest.mark.parametrize(("slash", "status"), [("/", 404), ("", 401)])
def test_notification_at_our_own_address(line: StoreToCallback, slash: str, status: int) -> None:
    """The callback of a documented body is the service itself: it takes no notifications."""
    line.store.acts.stock(line.first("products"), 3)
    line.hooks()
    (told,) = line.receiver.received
    own = f"{PREFIX}{webhook_urls.PATH}{slash}"
    headers = {"Elements-Webhook-Signature": told.headers["Elements-Webhook-Signature"]}
    answer = line.app.test_client().post(own, data=told.body, headers=headers)
    assert answer.status_code == status
    with runtime_of(line.app).database.read() as session:
        assert session.scalars(sa.select(Arrival.id)).all() == []


@pytest.mark.parity(60)
def test_ping_and_get(line: StoreToCallback) -> None:
    """The unsigned form of a ping gets exactly 200, and so does a GET."""
    client, runtime = line.app.test_client(), runtime_of(line.app)
    keys = runtime.settings.encryption_keys
    path = f"{PREFIX}{webhook_urls.PATH}/{webhook_urls.sign(keys, Hook(line.instance_id, 1))}"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post(path, data=b"webhook_id=12", headers=form).status_code == 200
    assert client.get(path).status_code == 200
    assert client.head(path).status_code == 200
    assert client.post(path, data=b"webhook_id=12&x=1", headers=form).status_code == 401


@pytest.mark.parity(61, 62)
def test_documented_routings(line: StoreToCallback) -> None:
    """By Base64 of the id with a signature; by ``Element-Instances`` with User and Organization."""
    runtime, body = runtime_of(line.app), b'{"id":1}'
    hook = Hook(line.instance_id, 1)
    secret = webhook_urls.secrets(runtime.settings.encryption_keys, hook)[-1].encode()
    headers = {"X-WC-Webhook-Signature": crypto._hmac(secret, body)}
    client = line.app.test_client()
    assert (
        client.post(f"{PREFIX}{webhook_urls.PATH}/MQ==", data=body, headers=headers).status_code
        == 200
    )
    assert client.post(f"{PREFIX}{webhook_urls.PATH}/MQ==", data=body).status_code == 401
    listed = {"Element-Instances": str(line.instance_id)}
    path = f"{PREFIX}{webhook_urls.PATH}"
    assert client.post(path, data=body, headers=listed).status_code == 401
    answer = client.post(path, data=body, headers={**listed, **line.api.headers})
    assert answer.status_code == 200
    other = {"Element-Instances": "77", **line.api.headers}
    assert client.post(path, data=body, headers=other).status_code == 404


def test_secret_is_rotated(line: StoreToCallback) -> None:
    """While webhooks with the secret before are on their way it is good; then no more."""
    runner = line.app.test_cli_runner()
    register = ["woo", "webhooks", "register", str(line.instance_id), "--rotate"]
    assert runner.invoke(args=register).exit_code == 0
    assert _post(line, b'{"id":1}') == 200
    assert runner.invoke(args=register).exit_code == 0
    assert _post(line, b'{"id":1}') == 404
    line.store.acts.stock(line.first("products"), 9)
    assert line.hooks() == {("products", str(line.first("products")), "UPDATED")}


def test_guardian_replaces_what_is_broken(line: StoreToCallback) -> None:
    """Disabled, edited, missing and doubled webhooks are put right, and the gap is polled."""
    table = line.store.shop.tables["webhooks"]
    disabled, edited, gone, *_rest = list(table)
    with line.store.shop.lock:
        disabled.status = "disabled"
        edited.fields["delivery_url"] = edited.fields["delivery_url"].replace("events.", "old.")
        line.store.shop.remove("webhooks", gone)
    other = line.rest("POST", "webhooks", topic="order.updated", delivery_url="https://other.test/")
    line.store.acts.stock(line.first("products"), 3)
    line.store.webhooks._webhooks.queue.clear()  # Nobody told.
    webhooks.reconcile(runtime_of(line.app), line.instance_id)
    ours = [row for row in table if row.fields["delivery_url"].startswith(PUBLIC)]
    assert len({row.fields["topic"] for row in ours}) == len(ours)
    assert {row.status for row in ours} == {"active"}
    assert disabled.id not in [row.id for row in ours]
    assert other["id"] in [row.id for row in table]
    assert "was disabled" in line.notices[-1]["text"]
    with runtime_of(line.app).database.read() as session:
        due = session.get_one(Instance, line.instance_id).next_poll_at
    assert due is not None
    assert due <= runtime_of(line.app).clock()
    assert line.arrivals() == {("products", str(line.first("products")), "UPDATED")}


def test_registration_that_was_cut_short_is_made_up_for(make_line: Make) -> None:
    """A guardian is killed after the first webhook: what none of them told is polled at once."""
    line = make_line(**{"event.webhook.reconcile_interval": "0"})
    runtime, table = runtime_of(line.app), line.store.shop.tables["webhooks"]
    with line.store.shop.lock:
        for row in list(table)[1:]:
            line.store.shop.remove("webhooks", row)
    with runtime.database.write() as session:
        instance = session.get_one(Instance, line.instance_id)
        instance.hooks, instance.hooks_due_at = [], runtime.clock()
    line.store.acts.stock(line.first("products"), 3)
    line.store.webhooks._webhooks.queue.clear()  # Nobody told.
    assert due_instances(runtime) == []
    webhooks.guard(runtime, _keeper(runtime), line.instance_id)
    assert due_instances(runtime) == [line.instance_id]
    assert line.arrivals() == {("products", str(line.first("products")), "UPDATED")}
    assert due_instances(runtime) == []
    assert line.notices == []


def test_guardian_that_is_killed_is_taken_over(line: StoreToCallback) -> None:
    """It keeps others away for a lease, which it renews until it has said how the webhooks are."""
    runtime, meanwhile = runtime_of(line.app), []

    def due() -> dt.datetime:
        with runtime.database.read() as session:
            found = session.get_one(Instance, line.instance_id).hooks_due_at
        assert found is not None
        return found

    def send(*_: t.Any) -> int:
        meanwhile.append(due() - runtime.clock())
        return 200

    line.store.webhooks.send = send
    line.store.shop.tables["webhooks"].replace([])
    with runtime.database.write() as session:
        session.get_one(Instance, line.instance_id).hooks_due_at = runtime.clock()
    webhooks.guard(runtime, _keeper(runtime), line.instance_id)
    assert dt.timedelta() < min(meanwhile) <= max(meanwhile) <= LEASE
    lease = GuardLease(line.instance_id, due())
    for _ in range(2):
        with runtime.database.write() as session:
            lease.renew(session, runtime.clock() + LEASE)
        assert due() <= runtime.clock() + LEASE
    assert webhooks.due(runtime) == []
    with runtime.database.write() as session:
        session.get_one(Instance, line.instance_id).hooks_due_at = runtime.clock()
        session.flush()
        with pytest.raises(LeaseLostError):
            lease.renew(session, runtime.clock() + LEASE)


def test_notices_while_webhooks_cannot_be_put_right(line: StoreToCallback) -> None:
    """Each look polls what is missed; the notice says so once, and what ended it."""
    runtime, send = runtime_of(line.app), line.store.webhooks.send
    for row in line.store.shop.tables["webhooks"]:
        row.status = "disabled"
    line.store.webhooks.send = lambda *_: None
    for _ in range(3):
        assert not webhooks.reconcile(runtime, line.instance_id).healthy
        with runtime.database.write() as session:
            instance = session.get_one(Instance, line.instance_id)
            assert instance.next_poll_at is not None
            assert instance.next_poll_at <= runtime.clock()
            instance.next_poll_at = runtime.clock() + dt.timedelta(hours=1)
    (notice,) = line.notices
    assert notice["count"] == 3
    assert "cannot be repaired" in notice["text"]
    assert "the store cannot reach" in notice["text"]
    line.store.webhooks.send = send
    assert webhooks.reconcile(runtime, line.instance_id).healthy
    assert [one["text"].partition(" (")[0] for one in line.notices] == [
        "webhooks cannot be repaired",
        "webhooks were repaired",
    ]


def test_webhook_with_another_secret_is_replaced(line: StoreToCallback) -> None:
    """Somebody edits the secret of one in WooCommerce: the next delivery betrays it."""
    product = line.first("products")
    row = next(
        row for row in line.store.shop.tables["webhooks"]
        if row.fields["topic"] == "product.updated"
    )  # fmt: skip
    row.fields["secret"] = "edited"
    line.store.acts.stock(product, 3)
    assert line.hooks() == set()
    runtime = runtime_of(line.app)
    assert webhooks.due(runtime) == [line.instance_id]
    webhooks.guard(runtime, _keeper(runtime), line.instance_id)
    assert webhooks.due(runtime) == []
    line.store.acts.stock(product, 4)
    assert line.hooks() == {("products", str(product), "UPDATED")}


def test_read_only_key(line: StoreToCallback) -> None:
    """The answer says that the key may not write; the instance is polled all the same."""
    line.store.add_key("ck_read", "cs_read", "read")
    created = line.api.create(
        **{
            "oauth.api.key": "ck_read",
            "oauth.api.secret": "cs_read",
            "event.vendor.type": "webhooks",
        }
    )
    errors = {one["error"] for one in created["webhooks"]}
    assert errors == {"The API key provided does not have write permissions."}
    assert {one["status"] for one in created["webhooks"]} == {"missing"}


def test_store_that_cannot_reach_us(line: StoreToCallback) -> None:
    """The answer names the reason, and nothing is left in the store that can only fail."""
    before = len(_registered(line))
    line.store.webhooks.send = lambda *_: None
    created = line.api.create(**{"event.vendor.type": "webhook", "name": "second"})
    assert all("cannot reach" in one["error"] for one in created["webhooks"])
    assert len(_registered(line)) == before


def test_deleting_an_instance_removes_ours_only(line: StoreToCallback) -> None:
    """Others' webhooks stay, also those of another instance of ours."""
    line.rest("POST", "webhooks", topic="order.updated", delivery_url="https://other.test/")
    second = line.api.create(**{"event.vendor.type": "webhook", "name": "second"})
    count = len(list(line.store.shop.tables["webhooks"]))
    assert line.api.call("DELETE", f"/instances/{line.instance_id}").status_code == 200
    left = list(line.store.shop.tables["webhooks"])
    assert len(left) == (count - 1) // 2 + 1
    assert second["webhooks"][0]["id"] in [row.id for row in left]


def test_webhook_made_by_hand_is_recognised(line: StoreToCallback) -> None:
    """``webhooks url`` prints what an administrator enters; ours gives way to nothing else."""
    result = line.app.test_cli_runner().invoke(
        args=["woo", "webhooks", "url", str(line.instance_id)]
    )
    address, secret = [text.split()[-1] for text in result.output.splitlines()]
    line.store.shop.tables["webhooks"].replace([])
    made = line.rest(
        "POST", "webhooks", topic="order.updated", delivery_url=address, secret=secret, name="mine"
    )
    webhooks.reconcile(runtime_of(line.app), line.instance_id)
    kept = {one["topic"]: one["id"] for one in _shown(line)["webhooks"]}
    assert kept["order.updated"] == made["id"]
    line.store.acts.status(line.first("orders"), "completed")
    assert ("orders", str(line.first("orders")), "UPDATED") in line.hooks()


@pytest.mark.parity(1)
def test_tally(line: StoreToCallback) -> None:
    """What webhooks told, missed, told late, twice and falsely is counted and shown."""
    product, acts = line.first("products"), line.store.acts
    acts.stock(product, 3)
    line.hooks()
    acts.price_meta(product, "3.21")  # No webhook tells this.
    line.arrivals()
    acts.stock(product, 4)
    line.arrivals()
    line.hooks()  # Too late: the poll was faster.
    _post(line, b'{"id":%d}' % line.first("coupons"), "coupon.deleted")
    line.hooks()
    tally = {one["resource"]: one for one in _shown(line)["webhookTally"]}
    products = {name: tally["products"][name] for name in ("told", "missed", "late", "wrong")}
    assert products == {"told": 1, "missed": 1, "late": 1, "wrong": 0}
    assert tally["discounts"]["wrong"] == 1
    output = line.app.test_cli_runner().invoke(args=["woo", "doctor"]).output
    assert "products: of 3 changes" in output
    assert "missed 1" in output


def test_unreachable_store_keeps_what_is_in_doubt(line: StoreToCallback) -> None:
    """Webhooks are taken while the store does not answer, and looked after when it does."""
    product = line.first("products")
    line.store.acts.stock(product, 5)
    line.store.faults.add("status", times=100, code=503, match="/wc/v3/products")
    line.store.webhooks.run_queue()
    worker = Worker(runtime_of(line.app))
    assert [one for one in worker.settle_once() if one.error]
    line.store.faults.clear()
    assert line.hooks() == {("products", str(product), "UPDATED")}


def test_polling_instance_has_no_webhooks(line: StoreToCallback) -> None:
    """Changing the type to polling removes them; nothing of the store is touched otherwise."""
    answer = line.api.call(
        "PATCH",
        f"/instances/{line.instance_id}",
        {"configuration": {"event.vendor.type": "polling"}},
    )
    assert answer.json["webhooks"] == []
    assert _registered(line) == {}


def test_new_callback_does_not_touch_the_store(line: StoreToCallback) -> None:
    """Where notifications go is our side's business."""
    before = len(line.store.requests)
    body = {"configuration": {"event.notification.callback.url": "https://new.test/"}}
    line.api.call("PATCH", f"/instances/{line.instance_id}", body)
    assert len(line.store.requests) == before
