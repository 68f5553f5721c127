"""Webhooks of WooCommerce: registered, received, processed and repaired."""

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
from flask_woo_events.instances import access, lifecycle, provisioning, webhook_urls, webhooks
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
from tests.integration.store_to_callback import PUBLIC, OwnClock, StoreToCallback, open_env

Make = cabc.Callable[..., StoreToCallback]
VERSIONS = ["5.9", "8.0", "9.4", "11.0"]
LEASE = dt.timedelta(seconds=8)


@pytest.fixture
def make_env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def make(version: str = "11.0", **how: t.Any) -> StoreToCallback:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            return open_env(version, tmp_path, stack, hooked=True, **how)

        yield make


@pytest.fixture
def env(make_env: Make) -> StoreToCallback:
    return make_env()


def _registered(env: StoreToCallback) -> dict[str, str]:
    rows = env.store.shop.tables["webhooks"]
    return {row.fields["topic"]: row.status for row in rows}


def _shown(env: StoreToCallback) -> dict[str, t.Any]:
    answer = env.api.call("GET", f"/instances/{env.instance_id}")
    return t.cast("dict[str, t.Any]", answer.json)


def _post(env: StoreToCallback, body: bytes, topic: str = "order.updated", **headers: str) -> int:
    runtime = runtime_of(env.app)
    keys, hook = runtime.settings.encryption_keys, Hook(env.instance_id, 1)
    signature = crypto._hmac(webhook_urls.secrets(keys, hook)[-1].encode(), body)
    answer = env.app.test_client().post(
        f"{PREFIX}{webhook_urls.PATH}/{webhook_urls.sign(keys, hook)}",
        data=body,
        headers={"X-WC-Webhook-Signature": signature, "X-WC-Webhook-Topic": topic, **headers},
    )
    return answer.status_code


def _renewer(runtime: Runtime) -> LeaseRenewer:
    return LeaseRenewer(runtime.database, runtime.clock, LEASE)


@pytest.mark.parity(65)
@pytest.mark.parametrize("version", VERSIONS)
def test_registered_with_the_instance(make_env: Make, version: str) -> None:
    """Each topic of the polled resources has one active webhook, listed in the response."""
    env = make_env(version)
    found = _registered(env)
    assert set(found.values()) == {"active"}
    assert {"order.created", "coupon.deleted", "action.woocommerce_delete_product"} <= set(found)
    shown = _shown(env)["webhooks"]
    assert {one["topic"]: one["status"] for one in shown} == found
    assert [one["error"] for one in shown if one["error"]] == []


@pytest.mark.parity(65)
@pytest.mark.parametrize("version", VERSIONS)
def test_changes_are_emitted_before_the_next_poll(make_env: Make, version: str) -> None:
    """A webhook's change is emitted once, before the next poll, which finds nothing more."""
    env = make_env(version)
    acts, order, product = env.store.acts, env.first("orders"), env.first("products")
    acts.status(order, "completed")
    assert ("orders", str(order), "UPDATED") in env.hooks()
    acts.stock(product, 7)
    assert env.hooks() == {("products", str(product), "UPDATED")}
    acts.trash_post(product)
    assert env.hooks() == {("products", str(product), "DELETED")}
    acts.untrash_post(product)
    assert env.hooks() == {("products", str(product), "CREATED")}
    number = acts.new_customer("eve")
    assert env.hooks() == {("customers", str(number), "CREATED")}
    assert env.arrivals() == set()


# A SQLite file has one writer at a time.
@pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)
def test_webhook_that_is_committed_late_is_processed(any_database: Database) -> None:
    """A webhook with a lower id that another process commits later is not lost."""
    hook = Hook(build(any_database).stream.instance_id, 0)

    def received(number: int) -> ReceivedWebhook:
        return ReceivedWebhook(hook, Hint("order.updated", "orders", number), NOW)

    def pending() -> PendingWebhooks | None:
        with any_database.read() as session:
            return inbox.pending(session, hook.instance_id, NOW)

    with any_database.begin() as slower:
        inbox.add(slower, [received(1)])
        with any_database.begin() as faster:
            inbox.add(faster, [received(2)])
        seen = pending()
    assert seen is not None
    assert [hint.object_id for hint in seen.hints] == [2]
    with any_database.write() as session:
        inbox.remove(session, seen)
    left = pending()
    assert left is not None
    assert [hint.object_id for hint in left.hints] == [1]


def test_on_every_database(any_url: str, make_env: Make) -> None:
    """Registration, ping, webhooks, polls and removal work on every database."""
    engine = sa.create_engine(any_url)
    upgrade.upgrade(engine)
    engine.dispose()
    env = make_env(SQLALCHEMY_DATABASE_URI=any_url)
    order = env.first("orders")
    assert {one["error"] for one in _shown(env)["webhooks"]} == {None}
    env.store.acts.status(order, "completed")
    assert ("orders", str(order), "UPDATED") in env.hooks()
    assert {row.status for row in env.store.shop.tables["webhooks"]} == {"active"}
    assert sum(row.fields["failures"] for row in env.store.shop.tables["webhooks"]) == 0
    assert env.arrivals() == set()
    assert env.api.call("DELETE", f"/instances/{env.instance_id}").status_code == 200
    assert not _registered(env)


@pytest.mark.parametrize("version", ["5.9", "11.0"])
def test_sales_and_coupons_of_an_order(make_env: Make, version: str) -> None:
    """An order emits events for its product, whose sales change, and for its coupon."""
    env = make_env(version)
    acts, customer = env.store.acts, env.first("customers")
    product = acts.new_product("Sold")
    coupon = acts.new_coupon("once")
    env.hooks()
    order = acts.place_order(customer, [product], ["once"])
    emitted = env.hooks()
    assert {("orders", str(order), "CREATED"), ("discounts", str(coupon), "UPDATED")} <= emitted
    assert ("products", str(product), "UPDATED") in emitted
    assert env.arrivals() <= {("customers", str(customer), "UPDATED")}
    acts.status(order, "cancelled")
    assert {one[0] for one in env.hooks()} == {"orders", "products", "discounts"}
    assert env.arrivals() <= {("customers", str(customer), "UPDATED")}


@pytest.mark.parametrize("version", ["5.9", "11.0"])
def test_deleted_refund_brings_the_poll_forward(make_env: Make, version: str) -> None:
    """The webhook names only the refund; the poll finds its order."""
    env = make_env(version)
    order = env.first("orders")
    refund = env.rest("POST", f"orders/{order}/refunds", amount="1.00", api_refund=False)
    env.hooks()
    env.arrivals()
    runtime = runtime_of(env.app)
    env.store.acts.delete_refund(refund["id"], on_page=version == "11.0")
    assert env.hooks() == set()
    with runtime.database.read() as session:
        due = session.get_one(Instance, env.instance_id).next_poll_at
    assert due is not None
    assert due <= runtime.clock() + dt.timedelta(minutes=1)
    assert env.arrivals() == {("orders", str(order), "UPDATED")}


def test_deleted_variation_brings_the_poll_forward(env: StoreToCallback) -> None:
    """The webhook names only the variation; the poll finds its product."""
    body = {"name": "Shirt", "type": "variable"}
    product = env.rest("POST", "products", **body)["id"]
    variation = env.rest("POST", f"products/{product}/variations", regular_price="5")["id"]
    env.hooks()
    env.arrivals()
    runtime = runtime_of(env.app)
    env.store.acts.delete_for_good("variations", variation)
    env.hooks()
    with runtime.database.read() as session:
        due = session.get_one(Instance, env.instance_id).next_poll_at
    assert due is not None
    assert due <= runtime.clock() + dt.timedelta(minutes=1)
    assert ("products", str(product), "UPDATED") in env.arrivals()


@pytest.mark.parity(65)
def test_permanent_deletion_by_rest(env: StoreToCallback) -> None:
    """Action topics report permanent deletions, which no resource topic does."""
    product, coupon = env.first("products"), env.first("coupons")
    for path in (f"products/{product}", f"coupons/{coupon}"):
        env.rest("DELETE", path, force=True)
    assert env.hooks() == {
        ("products", str(product), "DELETED"),
        ("discounts", str(coupon), "DELETED"),
    }


def test_deletion_reported_for_the_wrong_resource(env: StoreToCallback) -> None:
    """A ``coupon.deleted`` that names an order emits the order's deletion, or nothing."""
    order = env.first("orders")
    _post(env, b'{"id":%d}' % order, "coupon.deleted")
    assert env.hooks() == set()
    env.store.acts.trash_post(order)
    env.store.shop.tables["webhooks"].replace([])  # Only the webhook posted here is received.
    _post(env, b'{"id":%d}' % order, "coupon.deleted")
    emitted = env.hooks()
    assert ("orders", str(order), "DELETED") in emitted
    assert not [one for one in emitted if one[0] == "discounts"]


def test_stale_and_repeated_webhooks_emit_nothing(env: StoreToCallback) -> None:
    """The body of a webhook is not used: an old state, sent late or twice, is no event."""
    order = env.first("orders")
    row = env.store.shop.tables["orders"].get(order)
    assert row is not None
    old = env.store.routes.orders.encoded(row)
    env.store.acts.status(order, "completed")
    assert ("orders", str(order), "UPDATED") in env.hooks()
    for _ in range(3):
        assert _post(env, old) == 200
    assert env.hooks() == set()
    assert env.arrivals() == set()


@pytest.mark.parametrize(
    ("body", "topic"),
    [
        (b'{"code":"woocommerce_rest_cannot_view","data":{"status":401}}', "order.updated"),
        (b'{"id":1}', "thing.updated"),
    ],
)
def test_webhook_that_names_no_object(env: StoreToCallback, body: bytes, topic: str) -> None:
    """An error in place of an object, or an unknown resource, brings the next poll forward."""
    assert _post(env, body, topic) == 200
    assert env.hooks() == set()
    runtime = runtime_of(env.app)
    with runtime.database.read() as session:
        due = session.get_one(Instance, env.instance_id).next_poll_at
    assert due is not None
    assert due <= runtime.clock() + dt.timedelta(minutes=1)


def test_subscriber_is_no_customer(env: StoreToCallback) -> None:
    """``customer.created`` of a user with another role is not an event."""
    env.store.acts.new_user("subscriber")
    assert env.store.webhooks.pending
    assert env.hooks() == set()


@pytest.mark.parity(64)
def test_forged_webhooks_are_rejected(env: StoreToCallback) -> None:
    """A webhook without the right signature is not stored."""
    body = b'{"id":1}'
    client, runtime = env.app.test_client(), runtime_of(env.app)
    keys = runtime.settings.encryption_keys
    path = f"{PREFIX}{webhook_urls.PATH}/{webhook_urls.sign(keys, Hook(env.instance_id, 1))}"
    wrong = crypto._hmac(b"another secret", body)
    for headers in ({}, {"X-WC-Webhook-Signature": "x"}, {"X-WC-Webhook-Signature": wrong}):
        assert client.post(path, data=body, headers=headers).status_code == 401
    assert client.post(f"{path}x", data=body).status_code == 404
    with runtime.database.read() as session:
        assert session.scalars(sa.select(Arrival.id)).all() == []


@pytest.mark.parity(89)
def test_large_bodies(env: StoreToCallback) -> None:
    """A webhook of several megabytes is accepted, one of more than 8 MiB is rejected."""
    assert _post(env, b'{"id":1,"x":"%s"}' % (b"x" * 4_000_000)) == 200
    assert _post(env, b'{"id":1,"x":"%s"}' % (b"x" * 9_000_000)) == 413


@pytest.mark.parity(4)
@pytest.mark.parametrize(("slash", "status"), [("/", 404), ("", 401)])
def test_notification_at_our_own_address(env: StoreToCallback, slash: str, status: int) -> None:
    """The webhook address, given as a callback, accepts no notifications."""
    env.store.acts.stock(env.first("products"), 3)
    env.hooks()
    (sent,) = env.receiver.received
    own = f"{PREFIX}{webhook_urls.PATH}{slash}"
    headers = {"Elements-Webhook-Signature": sent.headers["Elements-Webhook-Signature"]}
    answer = env.app.test_client().post(own, data=sent.body, headers=headers)
    assert answer.status_code == status
    with runtime_of(env.app).database.read() as session:
        assert session.scalars(sa.select(Arrival.id)).all() == []


@pytest.mark.parity(60)
def test_ping_and_get(env: StoreToCallback) -> None:
    """An unsigned ping gets 200, and so does a GET."""
    client, runtime = env.app.test_client(), runtime_of(env.app)
    keys = runtime.settings.encryption_keys
    path = f"{PREFIX}{webhook_urls.PATH}/{webhook_urls.sign(keys, Hook(env.instance_id, 1))}"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post(path, data=b"webhook_id=12", headers=form).status_code == 200
    assert client.get(path).status_code == 200
    assert client.head(path).status_code == 200
    assert client.post(path, data=b"webhook_id=12&x=1", headers=form).status_code == 401


@pytest.mark.parity(61, 62)
def test_documented_routings(env: StoreToCallback) -> None:
    """Instances are named in Base64 with a signature, or in ``Element-Instances`` with a user."""
    runtime, body = runtime_of(env.app), b'{"id":1}'
    hook = Hook(env.instance_id, 1)
    secret = webhook_urls.secrets(runtime.settings.encryption_keys, hook)[-1].encode()
    headers = {"X-WC-Webhook-Signature": crypto._hmac(secret, body)}
    client = env.app.test_client()
    assert (
        client.post(f"{PREFIX}{webhook_urls.PATH}/MQ==", data=body, headers=headers).status_code
        == 200
    )
    assert client.post(f"{PREFIX}{webhook_urls.PATH}/MQ==", data=body).status_code == 401
    listed = {"Element-Instances": str(env.instance_id)}
    path = f"{PREFIX}{webhook_urls.PATH}"
    assert client.post(path, data=body, headers=listed).status_code == 401
    answer = client.post(path, data=body, headers={**listed, **env.api.headers})
    assert answer.status_code == 200
    other = {"Element-Instances": "77", **env.api.headers}
    assert client.post(path, data=body, headers=other).status_code == 404


@pytest.mark.parity(61)
def test_event_without_a_topic(env: StoreToCallback) -> None:
    """An event that names no resource makes the listed instances due; 409 if none is polled."""
    runtime = runtime_of(env.app)
    sent = {**env.api.headers, "Element-Instances": str(env.instance_id)}
    path, client = f"{PREFIX}{webhook_urls.PATH}", env.app.test_client()
    env.poll()
    for topic in ("", "thing.updated"):
        assert due_instances(runtime) == []
        answer = client.post(path, json={"id": 1}, headers={**sent, "X-WC-Webhook-Topic": topic})
        assert answer.status_code == 200, answer.text
        assert due_instances(runtime) == [env.instance_id]
        env.poll()
    for method, below in (("DELETE", "/enabled"), ("PATCH", "")):
        change = {"configuration": {"event.notification.enabled": False}}
        env.api.call("PUT", f"/instances/{env.instance_id}/enabled")
        env.api.call(method, f"/instances/{env.instance_id}{below}", change)
        refused = client.post(path, json={"id": 1}, headers=sent)
        assert refused.status_code == 409 and "events are off" in refused.text


def test_secret_is_rotated(env: StoreToCallback) -> None:
    """The previous secret is accepted, the one before it is not."""
    runner = env.app.test_cli_runner()
    register = ["woo", "webhooks", "register", str(env.instance_id), "--rotate"]
    assert runner.invoke(args=register).exit_code == 0
    assert _post(env, b'{"id":1}') == 200
    assert runner.invoke(args=register).exit_code == 0
    assert _post(env, b'{"id":1}') == 404
    env.store.acts.stock(env.first("products"), 9)
    assert env.hooks() == {("products", str(env.first("products")), "UPDATED")}


def test_reconciliation_replaces_broken_webhooks(env: StoreToCallback) -> None:
    """Disabled, edited, missing and duplicate webhooks are repaired, and the gap is polled."""
    table = env.store.shop.tables["webhooks"]
    disabled, edited, gone, *_rest = list(table)
    with env.store.shop.lock:
        disabled.status = "disabled"
        edited.fields["delivery_url"] = edited.fields["delivery_url"].replace("events.", "old.")
        env.store.shop.remove("webhooks", gone)
    other = env.rest("POST", "webhooks", topic="order.updated", delivery_url="https://other.test/")
    env.store.acts.stock(env.first("products"), 3)
    env.store.webhooks._webhooks.queue.clear()  # No webhook is sent.
    webhooks.reconcile(runtime_of(env.app), env.instance_id)
    ours = [row for row in table if row.fields["delivery_url"].startswith(PUBLIC)]
    assert len({row.fields["topic"] for row in ours}) == len(ours)
    assert {row.status for row in ours} == {"active"}
    assert disabled.id not in [row.id for row in ours]
    assert other["id"] in [row.id for row in table]
    assert "was disabled" in env.notices[-1]["text"]
    with runtime_of(env.app).database.read() as session:
        due = session.get_one(Instance, env.instance_id).next_poll_at
    assert due is not None
    assert due <= runtime_of(env.app).clock()
    assert env.arrivals() == {("products", str(env.first("products")), "UPDATED")}


def test_interrupted_registration_is_completed(make_env: Make) -> None:
    """After a registration that was killed, changes without a webhook are polled immediately."""
    env = make_env(**{"event.webhook.reconcile_interval": "0"})
    runtime, table = runtime_of(env.app), env.store.shop.tables["webhooks"]
    with env.store.shop.lock:
        for row in list(table)[1:]:
            env.store.shop.remove("webhooks", row)
    with runtime.database.write() as session:
        instance = session.get_one(Instance, env.instance_id)
        instance.hooks, instance.hooks_due_at = [], runtime.clock()
    env.store.acts.stock(env.first("products"), 3)
    env.store.webhooks._webhooks.queue.clear()  # No webhook is sent.
    assert due_instances(runtime) == []
    webhooks.guard(runtime, _renewer(runtime), env.instance_id)
    assert due_instances(runtime) == [env.instance_id]
    assert env.arrivals() == {("products", str(env.first("products")), "UPDATED")}
    assert due_instances(runtime) == []
    assert env.notices == []


def test_killed_reconciliation_is_taken_over(env: StoreToCallback) -> None:
    """A reconciliation holds a lease, which it renews until it has stored the result."""
    runtime, meanwhile = runtime_of(env.app), []

    def due() -> dt.datetime:
        with runtime.database.read() as session:
            found = session.get_one(Instance, env.instance_id).hooks_due_at
        assert found is not None
        return found

    def send(*_: t.Any) -> int:
        meanwhile.append(due() - runtime.clock())
        return 200

    env.store.webhooks.send = send
    env.store.shop.tables["webhooks"].replace([])
    with runtime.database.write() as session:
        session.get_one(Instance, env.instance_id).hooks_due_at = runtime.clock()
    webhooks.guard(runtime, _renewer(runtime), env.instance_id)
    assert dt.timedelta() < min(meanwhile) <= max(meanwhile) <= LEASE
    lease = GuardLease(env.instance_id, due())
    for _ in range(2):
        with runtime.database.write() as session:
            lease.renew(session, lambda: runtime.clock() + LEASE)
        assert due() <= runtime.clock() + LEASE
    assert webhooks.due(runtime) == []
    with runtime.database.write() as session:
        session.get_one(Instance, env.instance_id).hooks_due_at = runtime.clock()
        session.flush()
        with pytest.raises(LeaseLostError):
            lease.renew(session, lambda: runtime.clock() + LEASE)


def test_notices_while_webhooks_cannot_be_repaired(env: StoreToCallback) -> None:
    """Each reconciliation brings a poll forward; one notice reports the failure, one its end."""
    runtime, send = runtime_of(env.app), env.store.webhooks.send
    for row in env.store.shop.tables["webhooks"]:
        row.status = "disabled"
    env.store.webhooks.send = lambda *_: None
    for _ in range(3):
        assert not webhooks.reconcile(runtime, env.instance_id).healthy
        with runtime.database.write() as session:
            instance = session.get_one(Instance, env.instance_id)
            assert instance.next_poll_at is not None
            assert instance.next_poll_at <= runtime.clock()
            instance.next_poll_at = runtime.clock() + dt.timedelta(hours=1)
    (notice,) = env.notices
    assert notice["count"] == 3
    assert "cannot be repaired" in notice["text"]
    assert "the store cannot reach" in notice["text"]
    env.store.webhooks.send = send
    assert webhooks.reconcile(runtime, env.instance_id).healthy
    assert [one["text"].partition(" (")[0] for one in env.notices] == [
        "webhooks cannot be repaired",
        "webhooks were repaired",
    ]


def test_webhook_with_another_secret_is_replaced(env: StoreToCallback) -> None:
    """A webhook whose secret was edited in WooCommerce is replaced after its next delivery."""
    product = env.first("products")
    row = next(
        row for row in env.store.shop.tables["webhooks"]
        if row.fields["topic"] == "product.updated"
    )  # fmt: skip
    row.fields["secret"] = "edited"
    env.store.acts.stock(product, 3)
    assert env.hooks() == set()
    runtime = runtime_of(env.app)
    assert webhooks.due(runtime) == [env.instance_id]
    webhooks.guard(runtime, _renewer(runtime), env.instance_id)
    assert webhooks.due(runtime) == []
    env.store.acts.stock(product, 4)
    assert env.hooks() == {("products", str(product), "UPDATED")}


def test_read_only_key(env: StoreToCallback) -> None:
    """The response says that the key may not write; the instance is polled anyway."""
    env.store.add_key("ck_read", "cs_read", "read")
    created = env.api.create(
        **{
            "oauth.api.key": "ck_read",
            "oauth.api.secret": "cs_read",
            "event.vendor.type": "webhooks",
        }
    )
    errors = {one["error"] for one in created["webhooks"]}
    assert errors == {"The API key provided does not have write permissions."}
    assert {one["status"] for one in created["webhooks"]} == {"missing"}


def test_store_that_cannot_reach_us(env: StoreToCallback) -> None:
    """The response names the reason, and no webhook is left in the store that cannot work."""
    before = len(_registered(env))
    env.store.webhooks.send = lambda *_: None
    created = env.api.create(**{"event.vendor.type": "webhook", "name": "second"})
    assert all("cannot reach" in one["error"] for one in created["webhooks"])
    assert len(_registered(env)) == before


def test_deleting_an_instance_removes_only_its_webhooks(env: StoreToCallback) -> None:
    """Webhooks of others stay, also those of another instance."""
    env.rest("POST", "webhooks", topic="order.updated", delivery_url="https://other.test/")
    second = env.api.create(**{"event.vendor.type": "webhook", "name": "second"})
    count = len(list(env.store.shop.tables["webhooks"]))
    assert env.api.call("DELETE", f"/instances/{env.instance_id}").status_code == 200
    left = list(env.store.shop.tables["webhooks"])
    assert len(left) == (count - 1) // 2 + 1
    assert second["webhooks"][0]["id"] in [row.id for row in left]


def test_killed_deletion_leaves_webhooks_to_the_guardian(
    env: StoreToCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instance is still there, so that the next check registers its webhooks again."""
    before = _registered(env)

    def killed(*_: object) -> t.NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "delete", killed)
        with runtime_of(env.app).database.read() as session:
            who = access.owner(session, env.instance_id)
        with pytest.raises(KeyboardInterrupt):
            provisioning.remove(runtime_of(env.app), who, env.instance_id)
    assert _registered(env) == {}
    OwnClock(runtime_of(env.app)).advance(days=1)
    assert webhooks.due(runtime_of(env.app)) == [env.instance_id]
    webhooks.guard(runtime_of(env.app), _renewer(runtime_of(env.app)), env.instance_id)
    assert _registered(env) == before


def test_webhook_made_by_hand_is_recognized(env: StoreToCallback) -> None:
    """A webhook entered with the output of ``webhooks url`` is used instead of a new one."""
    result = env.app.test_cli_runner().invoke(args=["woo", "webhooks", "url", str(env.instance_id)])
    address, secret = [text.split()[-1] for text in result.output.splitlines()]
    env.store.shop.tables["webhooks"].replace([])
    made = env.rest(
        "POST", "webhooks", topic="order.updated", delivery_url=address, secret=secret, name="mine"
    )
    webhooks.reconcile(runtime_of(env.app), env.instance_id)
    kept = {one["topic"]: one["id"] for one in _shown(env)["webhooks"]}
    assert kept["order.updated"] == made["id"]
    env.store.acts.status(env.first("orders"), "completed")
    assert ("orders", str(env.first("orders")), "UPDATED") in env.hooks()


@pytest.mark.parity(1)
def test_coverage(env: StoreToCallback) -> None:
    """Changes that webhooks reported, missed, or reported late or wrongly are counted."""
    product, acts = env.first("products"), env.store.acts
    acts.stock(product, 3)
    env.hooks()
    acts.price_meta(product, "3.21")  # No webhook reports this.
    env.arrivals()
    acts.stock(product, 4)
    env.arrivals()
    env.hooks()  # Too late: the poll was faster.
    _post(env, b'{"id":%d}' % env.first("coupons"), "coupon.deleted")
    env.hooks()
    tally = {one["resource"]: one for one in _shown(env)["webhookTally"]}
    products = {name: tally["products"][name] for name in ("told", "missed", "late", "wrong")}
    assert products == {"told": 1, "missed": 1, "late": 1, "wrong": 0}
    assert tally["discounts"]["wrong"] == 1
    output = env.app.test_cli_runner().invoke(args=["woo", "doctor"]).output
    assert "products: 3 changes" in output
    assert "and missed 1" in output


def test_coverage_of_one_change_with_two_webhooks(env: StoreToCallback) -> None:
    """Webhooks that follow a missed change one after the other do not count below zero."""
    order = env.first("orders")
    env.store.acts.status(order, "completed")
    env.store.webhooks.send = lambda *_: 200
    env.store.webhooks.run_queue()
    env.arrivals()
    for topic in ("order.created", "order.updated"):
        assert _post(env, b'{"id":%d}' % order, topic) == 200
        Worker(runtime_of(env.app)).settle_once()
    tally = {one["resource"]: one for one in _shown(env)["webhookTally"]}["orders"]
    assert (tally["missed"], tally["late"]) == (0, 2)


def test_webhooks_of_a_paused_instance(env: StoreToCallback) -> None:
    """They are accepted, so that the store keeps them, and not stored; a poll finds the changes."""
    order, path = env.first("orders"), f"/instances/{env.instance_id}/enabled"
    assert env.api.call("DELETE", path).status_code == 200
    env.store.acts.status(order, "completed")
    env.store.webhooks.run_queue()
    with runtime_of(env.app).database.read() as session:
        assert session.scalars(sa.select(Arrival.id)).all() == []
    assert sum(row.fields["failures"] for row in env.store.shop.tables["webhooks"]) == 0
    assert env.api.call("PUT", path).status_code == 200
    assert ("orders", str(order), "UPDATED") in env.arrivals()


def test_regular_poll_is_brought_forward_behind_a_retry(env: StoreToCallback) -> None:
    """A webhook that names no object brings all resources forward, not only those that failed."""
    runtime, minute = runtime_of(env.app), dt.timedelta(minutes=1)
    now = runtime.clock()
    with runtime.database.write() as session:
        instance = session.get_one(Instance, env.instance_id)
        instance.next_poll_at, instance.regular_poll_at = now + minute / 2, now + 60 * minute
    assert _post(env, b'{"action":"x"}', "action.woocommerce_x") == 200
    Worker(runtime).settle_once()
    with runtime.database.read() as session:
        instance = session.get_one(Instance, env.instance_id)
    assert instance.next_poll_at == now + minute / 2
    assert instance.regular_poll_at is not None
    assert instance.regular_poll_at <= runtime.clock() + minute


def test_unreachable_store_keeps_webhooks_pending(env: StoreToCallback) -> None:
    """Webhooks are stored while the store does not respond, and processed when it does."""
    product = env.first("products")
    env.store.acts.stock(product, 5)
    env.store.faults.add("status", times=100, code=503, match="/wc/v3/products")
    env.store.webhooks.run_queue()
    worker = Worker(runtime_of(env.app))
    assert [one for one in worker.settle_once() if one.error]
    env.store.faults.clear()
    assert env.hooks() == {("products", str(product), "UPDATED")}


def test_register_with_read_only_keys(env: StoreToCallback) -> None:
    """A webhook that the store refuses is not reported as repaired."""
    for row in env.store.shop.tables["webhooks"]:
        row.status = "disabled"
    env.store.add_key("ck_test", "cs_test", "read")
    args = ["woo", "webhooks", "register", str(env.instance_id)]
    result = env.app.test_cli_runner().invoke(args=args)
    assert result.exit_code == 1
    assert "\nnot repaired: order.created was disabled\n" in result.output
    assert "\nrepaired: " not in result.output


def test_missing_encryption_key_keeps_webhooks_pending(env: StoreToCallback) -> None:
    """Webhooks wait for the key of the instance's secret, and the instance is released."""
    product = env.first("products")
    env.store.acts.stock(product, 5)
    env.store.webhooks.run_queue()
    with env.without_key():
        assert Worker(runtime_of(env.app)).settle_once() == []
    with runtime_of(env.app).database.read() as session:
        assert session.get_one(Instance, env.instance_id).lease_until is None
    assert env.hooks() == {("products", str(product), "UPDATED")}


def test_polling_instance_has_no_webhooks(env: StoreToCallback) -> None:
    """Changing the type to polling removes the webhooks from the store."""
    answer = env.api.call(
        "PATCH",
        f"/instances/{env.instance_id}",
        {"configuration": {"event.vendor.type": "polling"}},
    )
    assert answer.json["webhooks"] == []
    assert _registered(env) == {}


def test_new_callback_does_not_touch_the_store(env: StoreToCallback) -> None:
    """A new callback URL causes no request to the store."""
    before = len(env.store.requests)
    body = {"configuration": {"event.notification.callback.url": "https://new.test/"}}
    env.api.call("PATCH", f"/instances/{env.instance_id}", body)
    assert len(env.store.requests) == before
