"""Webhooks of the simulated store: deliveries, their time, and failures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
import typing as t

import pytest

from flask_woo_events.simulation.store import SimulatedStore
from tests.waiting import wait_until

from .conftest import MakeStore, ask

URL = "http://receiver.example/hook"
SECRET = "a&amp;b"


class Receiver:
    """Receives deliveries without a network."""

    def __init__(self, store: SimulatedStore) -> None:
        self.status: int | None = 200
        self.got: list[tuple[dict[str, str], bytes]] = []
        store.webhooks.send = self._receive

    def _receive(
        self, url: str, headers: list[tuple[str, str]], body: bytes, timeout: float
    ) -> int | None:
        self.got.append((dict(headers), body))
        return self.status

    @property
    def bodies(self) -> list[t.Any]:
        """The delivered bodies, without pings."""
        return [json.loads(body) for _, body in self.got if not body.startswith(b"webhook_id")]

    @property
    def topics(self) -> list[str]:
        """The topics of the deliveries."""
        return [headers["X-WC-Webhook-Topic"] for headers, _ in self.got if len(headers) > 8]


@pytest.fixture
def receiver(store: SimulatedStore) -> Receiver:
    """Return a receiver of the store's deliveries."""
    return Receiver(store)


def hook(store: SimulatedStore, topic: str) -> dict[str, t.Any]:
    """Create a webhook."""
    body = {"topic": topic, "delivery_url": URL, "secret": SECRET, "name": topic}
    answer = ask(store, "webhooks", method="POST", body=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json or {})


def status_of(store: SimulatedStore, webhook: dict[str, t.Any]) -> str:
    """Return the status of a webhook."""
    return str((ask(store, f"webhooks/{webhook['id']}").json or {})["status"])


def test_ping_precedes_the_response(store: SimulatedStore, receiver: Receiver) -> None:
    """Creating a webhook sends an unsigned form, and no response contains the secret."""
    made = hook(store, "order.created")
    assert [body for _, body in receiver.got] == [f"webhook_id={made['id']}".encode()]
    assert "secret" not in made


def test_delivery_is_signed_with_the_decoded_secret(
    store: SimulatedStore, receiver: Receiver
) -> None:
    """The signature covers the raw bytes, which are ASCII with escaped slashes."""
    hook(store, "product.created")
    store.acts.new_product("Café")
    store.webhooks.run_queue()
    headers, body = receiver.got[-1]
    digest = hmac.new(b"a&b", body, hashlib.sha256).digest()
    assert headers["X-WC-Webhook-Signature"] == base64.b64encode(digest).decode()
    assert b"Caf\\u00e9" in body and b"http:\\/\\/" in body


def test_body_has_the_state_at_delivery(store: SimulatedStore, receiver: Receiver) -> None:
    """Two changes before the queue runs cause one delivery with the later state."""
    product = store.acts.new_product("Mug")
    hook(store, "product.updated")
    store.acts.stock(product, 5)
    ask(store, f"products/{product}", method="PUT", body={"name": "Cup"})
    assert store.webhooks.run_queue() == 1
    assert receiver.bodies[0]["name"] == "Cup"


def test_deliveries_of_one_second_share_their_id(store: SimulatedStore, receiver: Receiver) -> None:
    """The id of a delivery depends only on the webhook and the second."""
    hook(store, "product.created")
    for number in range(2):
        store.acts.new_product(f"Thing {number}")
    store.webhooks.run_queue()
    shared = {headers.get("X-WC-Webhook-Delivery-ID") for headers, _ in receiver.got[1:]}
    assert len(shared) == 1


def test_deleted_object_is_an_error_body(store: SimulatedStore, receiver: Receiver) -> None:
    """An object that is deleted before the queue runs is delivered as an error without an id."""
    hook(store, "coupon.updated")
    coupon = store.acts.new_coupon("ten")
    ask(store, f"coupons/{coupon}", method="PUT", body={"amount": "3"})
    store.acts.delete_for_good("coupons", coupon)
    store.webhooks.run_queue()
    assert receiver.bodies[0]["code"] == "woocommerce_rest_shop_coupon_invalid_id"


def test_trash_also_sends_topics_of_other_resources(make_store: MakeStore) -> None:
    """A trashed order that is a post also sends product.deleted and coupon.deleted."""
    store = make_store("8.0")
    receiver = Receiver(store)
    for topic in ("order.deleted", "product.deleted", "coupon.deleted"):
        hook(store, topic)
    order = store.acts.place_order(0, [])
    store.acts.trash_post(order)
    store.webhooks.run_queue()
    assert receiver.topics == ["coupon.deleted", "product.deleted", "order.deleted"]
    assert receiver.bodies == [{"id": order}] * 3


def test_only_action_topics_report_permanent_deletions(
    store: SimulatedStore, receiver: Receiver
) -> None:
    """``deleted`` topics report the trash, but not permanent deletions."""
    hook(store, "product.deleted")
    hook(store, "action.woocommerce_delete_product")
    product = store.acts.new_product("Mug")
    store.acts.delete_for_good("products", product)
    store.webhooks.run_queue()
    assert receiver.bodies == [{"action": "woocommerce_delete_product", "arg": product}]


def test_parent_of_a_variation_is_not_delivered(store: SimulatedStore, receiver: Receiver) -> None:
    """A change of a variation moves its parent's date without a webhook."""
    body = {"name": "Tee", "type": "variable", "attributes": [{"name": "Size", "variation": True}]}
    parent = (ask(store, "products", method="POST", body=body).json or {})["id"]
    path = f"products/{parent}/variations"
    variation = (ask(store, path, method="POST", body={"regular_price": "2"}).json or {})["id"]
    hook(store, "product.updated")
    store.clock.advance(60)
    ask(store, f"{path}/{variation}", method="PUT", body={"regular_price": "3"})
    store.webhooks.run_queue()
    assert [each["id"] for each in receiver.bodies] == [variation]
    assert store.truth("products")[parent]["date_modified_gmt"] == "2026-11-23T12:01:00"


def test_seventh_failure_disables(store: SimulatedStore, receiver: Receiver) -> None:
    """The seventh failure in a row disables; activating again does not reset the count."""
    webhook = hook(store, "product.updated")
    product = store.acts.new_product("Mug")
    receiver.status = 500
    for _ in range(6):
        store.acts.stock(product, 1)
        store.webhooks.run_queue()
    assert status_of(store, webhook) == "active"
    for _ in range(2):
        ask(store, f"webhooks/{webhook['id']}", method="PUT", body={"status": "active"})
        store.acts.stock(product, 1)
        store.webhooks.run_queue()
        assert status_of(store, webhook) == "disabled"


@pytest.mark.parametrize(
    ("status", "counts"), [(201, 0), (302, 0), (303, 1), (308, 1), (404, 1), (None, 1)]
)
def test_statuses_that_count_as_success(
    store: SimulatedStore, receiver: Receiver, status: int | None, counts: int
) -> None:
    """A status from 200 to 302 is a success; everything else is a failure."""
    webhook = hook(store, "product.created")
    receiver.status = status
    store.acts.new_product("Mug")
    store.webhooks.run_queue()
    row = store.shop.tables["webhooks"].get(webhook["id"])
    assert row is not None and row.fields["failures"] == counts


def test_unanswered_ping_is_repeated(store: SimulatedStore, receiver: Receiver) -> None:
    """Each delivery is followed by a ping until one returns exactly 200."""
    receiver.status = 204
    webhook = hook(store, "product.created")
    for name in ("Mug", "Cup"):
        store.acts.new_product(name)
        store.webhooks.run_queue()
        receiver.status = 200
    pings = [body for _, body in receiver.got if body == f"webhook_id={webhook['id']}".encode()]
    assert len(pings) == 3


@pytest.mark.parametrize(
    ("version", "topic", "status"),
    [
        ("9.4", "customer.restored", 201),
        ("11.0", "customer.restored", 400),
        ("11.0", "product.published", 201),
        ("9.4", "product.published", 400),
        ("11.0", "action.init", 400),
        ("11.0", "nonesuch.x", 400),
    ],
)
def test_topics_that_a_version_accepts(
    make_store: MakeStore, version: str, topic: str, status: int
) -> None:
    """Versions accept different topics."""
    store = make_store(version)
    Receiver(store)
    body = {"topic": topic, "delivery_url": URL}
    assert ask(store, "webhooks", method="POST", body=body).status_code == status


def test_topic_in_upper_case_has_no_hooks(store: SimulatedStore, receiver: Receiver) -> None:
    """A topic with upper-case letters is accepted but has no hooks."""
    made = hook(store, "Order.Updated")
    assert (made["topic"], made["hooks"]) == ("", [])


def test_queue_runs_by_itself(store: SimulatedStore, receiver: Receiver) -> None:
    """With ``auto``, the queue runs by itself."""
    hook(store, "product.created")
    store.webhooks.auto = True
    store.acts.new_product("Mug")
    wait_until(lambda: bool(receiver.bodies))
    store.webhooks.auto = False
    assert len(receiver.bodies) == 1


def test_headers_on_the_wire(store: SimulatedStore) -> None:
    """The sender keeps the order of the headers of real stores."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        got: list[bytes] = []

        def answer_twice() -> None:
            for _ in range(2):
                connection, _address = listener.accept()
                with connection:
                    got.append(connection.recv(65536))
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer_twice)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
        body = {"topic": "product.deleted", "delivery_url": url, "secret": "s"}
        ask(store, "webhooks", method="POST", body=body)
        store.acts.trash_post(store.acts.new_product("Mug"))
        store.webhooks.run_queue()
        thread.join()
    lines = got[1].partition(b"\r\n\r\n")[0].decode().split("\r\n")
    names = [line.partition(":")[0] for line in lines]
    assert names == ["POST /hook HTTP/1.1", "Host", "User-Agent", "Accept", "Accept-Encoding",
                     "Content-Type", "X-WC-Webhook-Source", "X-WC-Webhook-Topic",
                     "X-WC-Webhook-Resource", "X-WC-Webhook-Event", "X-WC-Webhook-Signature",
                     "X-WC-Webhook-ID", "X-WC-Webhook-Delivery-ID", "Connection",
                     "Content-Length"]  # fmt: skip
