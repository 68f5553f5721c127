"""The members of a received notification. Numbers are rows of the parity table."""

from __future__ import annotations

import base64
import collections.abc as cabc
import contextlib
import datetime as dt
import pathlib
import re
import shutil
import typing as t

import pytest

from tests.integration.store_to_callback import KEY, StoreToCallback, open_env

Make = cabc.Callable[..., StoreToCallback]
CUSTOMERS = {"url": "/hubs/ecommerce/customers", "idField": "id"}
ORDERS = {"url": "/hubs/ecommerce/orders", "idField": "id"}


@pytest.fixture
def make_env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Make]:
    with contextlib.ExitStack() as stack:

        def make(**how: t.Any) -> StoreToCallback:
            shutil.copy(tables, tmp_path / "host.sqlite3")
            return open_env("9.4", tmp_path, stack, **how)

        yield make


@pytest.mark.parity(10, 32, 35, 36, 37, 38, 44)
def test_envelope(make_env: Make) -> None:
    """Each resource has a notification of its own, with the documented members and no others."""
    env = make_env(resources={"contacts": CUSTOMERS, "orders": ORDERS})
    env.store.acts.new_customer("eve")
    env.store.acts.order_meta(env.first("orders"))
    assert {kind for kind, _, _ in env.arrivals()} == {"contacts", "orders"}
    shown = env.api.call("GET", f"/instances/{env.instance_id}").json
    for body in (one.json for one in env.receiver.received):
        message = body.pop("message")
        assert re.fullmatch(r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d UTC \d{4}", body.pop("createdDate"))
        assert body.pop("id").isdigit()
        topic = f"instance-{env.instance_id}-woocommercerest-events"
        sender = "notifications@cloud-elements.com"
        assert body == {"severity": "medium", "topic": topic, "action": "create", "user": sender}
        assert set(message) == {
            "elementKey", "accountId", "eventId", "companyId", "instanceId", "instance_id",
            "instanceName", "instanceTags", "raw", "userId", "events",
        }  # fmt: skip
        assert message["instance_id"] == message["instanceId"] == env.instance_id
        assert (message["instanceName"], message["userId"]) == (shown["name"], shown["user"]["id"])
        assert message["instanceTags"] == shown["tags"] != []
        (resource,) = set(message["raw"]) - {"pollDate", "objectType"}
        assert {one["objectType"] for one in message["events"]} == {resource}
    assert {len(one.json["message"]["eventId"]) for one in env.receiver.received} == {20}
    assert len({one.json["message"]["eventId"] for one in env.receiver.received}) == 2


@pytest.mark.parity(13, 33, 39, 40, 41, 43, 86)
def test_events_and_their_records(make_env: Make) -> None:
    """An event and its record in ``raw`` agree, and there is no other record."""
    env = make_env(counts=(12, 12, 0, 0))
    expected = [str(env.store.acts.stock(one, 7)) for one in env.store.truth("products")]
    env.arrivals()
    notifications = [one.json["message"] for one in env.receiver.received]
    assert sorted(len(one["events"]) for one in notifications) == [2, 10]
    for message in notifications:
        raw, events = message["raw"], message["events"]
        poll_date = dt.datetime.fromisoformat(events[0]["pollDate"]).timestamp()
        assert raw["objectType"] == "products" and raw["pollDate"] // 1000 == poll_date
        assert len(raw["products"]) == len(events)
        for event, record in zip(events, raw["products"], strict=True):
            assert (event["hubKey"], event["elementKey"]) == ("ecommerce", "woocommercerest")
            assert event["date"] == f"{record['date_modified_gmt']}Z"
            assert (record["objectId"], record["eventType"]) == (event["objectId"], "UPDATED")
            assert record["stock_quantity"] == 7 and str(record["id"]) == event["objectId"]
            assert None not in record.values()
            expected.remove(event["objectId"])
    assert expected == []


@pytest.mark.parity(40, 41)
def test_record_of_a_deleted_object(make_env: Make) -> None:
    """A deleted object has only its id."""
    env = make_env()
    product = env.store.acts.trash_post(env.first("products"))
    env.arrivals()
    raw = [one.json["message"]["raw"] for one in env.receiver.received]
    (record,) = [record for one in raw for record in one.get("products", [])]
    assert record == {"id": product, "objectId": str(product), "eventType": "DELETED"}


@pytest.mark.parity(42)
def test_record_of_a_webhook(make_env: Make) -> None:
    """It is what the store returns, not what the webhook's body contained."""
    env = make_env(hooked=True)
    product = env.store.acts.stock(env.first("products"), 3)
    env.store.webhooks.send = _late(env, product)
    assert env.hooks() == {("products", str(product), "UPDATED")}
    message = env.receiver.received[0].json["message"]
    (record,) = message["raw"]["products"]
    assert (record["stock_quantity"], record["regular_price"]) == (3, "4.56")
    assert message["raw"]["objectType"] == "products" and message["raw"]["pollDate"]


def _late(env: StoreToCallback, product: int) -> t.Any:
    """Change a price before the store sends each webhook."""
    send = env.store.webhooks.send

    def late(*delivery: t.Any) -> int | None:
        env.store.acts.price_meta(product, "4.56")
        return send(*delivery)

    return late


@pytest.mark.parity(34)
def test_twenty_events_by_webhooks(make_env: Make) -> None:
    """Events from webhooks come in notifications of at most twenty."""
    env = make_env(hooked=True, counts=(0, 25, 0, 0))
    for product in env.store.truth("products"):
        env.store.acts.stock(product, 7)
    assert len(env.hooks()) == 25
    assert sorted(len(one.events) for one in env.receiver.received) == [5, 20]


@pytest.mark.parity(12)
def test_id_at_a_dotted_path(make_env: Make) -> None:
    """``objectId`` is the text at ``idField``, also inside of another object."""
    block = {"url": "/wp-json/wc/v3/customers", "idField": "billing.phone"}
    env = make_env(resources={"contacts": block}, counts=(0, 0, 0, 0))
    body = {"email": "eve@example.com", "billing": {"phone": "0815"}}
    env.rest("POST", "customers", **body)
    assert env.arrivals() == {("contacts", "0815", "CREATED")}


@pytest.mark.parity(5, 45, 46, 49, 50)
@pytest.mark.parametrize("key", ["", "k", "k" * 1000], ids=["none", "short", "long"])
def test_headers(make_env: Make, key: str) -> None:
    """Signed with any key, with the credentials and headers of the instance."""
    own = {
        "event.notification.signature.key": key,
        "event.notification.basic.username": "ann",
        "event.notification.basic.password": "open:sesame",
        "event.notification.callback.headers": "X-Tenant: acme",
    }
    env = make_env(**own)
    env.store.acts.stock(env.first("products"), 3)
    env.arrivals()
    (received,) = env.receiver.received
    assert received.headers["Elements-Webhook-Id"] == received.json["message"]["eventId"]
    credentials = base64.b64encode(b"ann:open:sesame").decode()
    assert received.headers["Authorization"] == f"Basic {credentials}"
    assert received.headers["X-Tenant"] == "acme"
    assert received.is_signed_with(key) == bool(key)
    assert ("Elements-Webhook-Signature" in received.headers) == bool(key)
    assert not received.is_signed_with(KEY)
