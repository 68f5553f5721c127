"""Writing to a store through the hub, and access to it. Numbers are rows of the parity table."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import shutil
import typing as t

import pytest

from flask_woo_events.simulation.store import SimulatedStore
from tests.integration.host_app import Api, Headers, add_account
from tests.integration.hub_client import Hub, open_hub
from tests.integration.store_to_callback import StoreToCallback, open_env

Body = dict[str, t.Any]


@pytest.fixture
def hub(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Hub]:
    """A store that the test can change."""
    with open_hub(tmp_path, tables) as hub:
        yield hub


WRITTEN: list[tuple[str, Body, Body, bool]] = [
    ("customers", {"email": "new@example.com"}, {"first_name": "Ann"}, False),
    ("discounts", {"code": "ten", "amount": "10.00"}, {"amount": "11.00"}, True),
    ("orders", {"status": "pending"}, {"customer_note": "Ring twice"}, True),
    ("products", {"name": "Mug", "regular_price": "5.00"}, {"name": "Cup"}, True),
    ("products-attributes", {"name": "Colour"}, {"name": "Shade"}, False),
    ("products-categories", {"name": "Mugs"}, {"name": "Cups"}, False),
    ("products-tags", {"name": "New"}, {"name": "Old"}, False),
    ("products-shipping-classes", {"name": "Heavy"}, {"name": "Light"}, False),
    ("taxes", {"country": "DE", "rate": "19.0000"}, {"rate": "16.0000"}, False),
]


@pytest.mark.parity(83)
@pytest.mark.parametrize(("base", "method"), [("/hubs/ecommerce", "PATCH"), ("", "PUT")])
@pytest.mark.parametrize(
    ("resource", "body", "change", "trash"), WRITTEN, ids=[one[0] for one in WRITTEN]
)
def test_parity_83_create_read_change_delete(
    hub: Hub, base: str, method: str, resource: str, body: Body, change: Body, trash: bool
) -> None:
    """Each resource is created, read, changed and deleted, with status 200."""
    created = hub.call("POST", f"{base}/{resource}", body)
    assert created.status_code == 200
    path = f"{base}/{resource}/{created.json['id']}"
    assert body.items() <= hub.call("GET", path).json.items()
    assert change.items() <= hub.call(method, path, change).json.items()
    assert change.items() <= hub.call("GET", path).json.items()
    deleted = hub.call("DELETE", path)
    assert deleted.status_code == 200 and deleted.json["id"] == created.json["id"]
    assert created.json["id"] not in hub.ids(resource)
    assert hub.call("GET", path).status_code == (200 if trash else 404)
    if trash:
        assert hub.call("GET", path).json["status"] == "trash"
        assert hub.call("DELETE", path, force="true").status_code == 200
        assert hub.call("GET", path).status_code == 404
    assert hub.call("DELETE", path).status_code == 404
    assert hub.call(method, path, change).status_code == 404


@pytest.mark.parity(83)
@pytest.mark.parametrize("child", ["comments", "refunds"])
def test_parity_83_below_an_order(hub: Hub, child: str) -> None:
    """Comments and refunds of an order are created, read, listed and deleted, never changed."""
    lines = [{"product_id": hub.ids("products")[0], "quantity": 1}]
    order = hub.make("orders", status="completed", line_items=lines)["id"]
    body = {"note": "Called"} if child == "comments" else {"amount": "1.00", "api_refund": False}
    path = f"/hubs/ecommerce/orders/{order}/{child}"
    created = hub.call("POST", path, body)
    assert created.status_code == 200
    one = f"{path}/{created.json['id']}"
    assert created.json["id"] in [row["id"] for row in hub.call("GET", path).json]
    shown = hub.call("GET", one).json
    assert ("note" if child == "comments" else "amount") in shown
    changed = hub.call("PATCH", one, body)
    assert changed.status_code == 405 and changed.headers["Allow"] == "GET, DELETE"
    assert hub.call("DELETE", one).status_code == 200
    assert hub.call("GET", one).status_code == 404
    assert created.json["id"] not in [row["id"] for row in hub.call("GET", path).json]


def test_comments_are_filtered_and_paged(hub: Hub) -> None:
    """Comments, which a store does not page, are paged by the hub."""
    order = hub.ids("orders")[0]
    for number in range(5):
        hub.make(f"orders/{order}/comments", note=f"Note {number}")
    path = f"orders/{order}/comments"
    assert len(hub.rows(path, pageSize=2)) == 2
    [row] = hub.rows(path, where="note = 'Note 3'")
    assert row["note"] == "Note 3"
    notes = [row["note"] for row in hub.rows(path, orderBy="note asc", fields="note")]
    assert notes == sorted(notes)


@pytest.mark.parity(83)
def test_parity_83_variations_of_a_product(hub: Hub) -> None:
    """Variations are children of their product, and are moved to the trash."""
    attribute = {"name": "Size", "options": ["S", "L"], "variation": True}
    product = hub.make("products", name="V", type="variable", attributes=[attribute])["id"]
    made = hub.make(f"products/{product}/variations", regular_price="7.00")
    path = f"/hubs/ecommerce/products/{product}/variations/{made['id']}"
    assert hub.call("PATCH", path, {"regular_price": "8.00"}).json["regular_price"] == "8.00"
    assert hub.ids(f"products/{product}/variations") == [made["id"]]
    assert hub.ids("variations") == [made["id"]]
    assert hub.call("DELETE", path).status_code == 200
    assert hub.ids(f"products/{product}/variations") == []


@pytest.mark.parametrize("resource", ["reports", "reports-sales", "refunds", "variations"])
def test_read_only_collections(hub: Hub, resource: str) -> None:
    """Reports and lists over all parents are read-only."""
    response = hub.call("POST", f"/hubs/ecommerce/{resource}", {"name": "x"})
    assert response.status_code == 405 and response.headers["Allow"] == "GET"


@pytest.mark.parametrize(
    ("kwargs", "status"),
    [
        ({"data": b""}, 400), ({"data": b"{"}, 400), ({"data": b"[]"}, 400),
        ({"data": b"null"}, 400), ({"data": b'"x"'}, 400), ({"data": b"\xff"}, 400),
        ({"data": b'{"name": "\\u0000"}'}, 400), ({"data": b'{"a":' * 70 + b"1" + b"}" * 70}, 400),
        ({"data": {"name": "x"}}, 415), ({"data": b'{"a": "' + b"x" * 1_100_000 + b'"}'}, 413),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("method", "path"), [("POST", "/products"), ("PATCH", "/products/1")])
def test_wrong_bodies(hub: Hub, method: str, path: str, kwargs: Body, status: int) -> None:
    """A body that is not a JSON object within the limits is refused; the store gets no request."""
    hub.asked()
    response = hub.api.client.open(
        f"/elements/api-v2{path}", method=method, headers=hub.token, **kwargs
    )
    assert response.status_code == status
    assert hub.asked() == []


#: The code of a discount that exists.
TAKEN = "taken-code"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/orders", {"status": "nonsense"}, 400),
        ("/products-tags", {}, 400),
        ("/customers", {"first_name": "Ann"}, 400),
        ("/orders/999999/comments", {"note": "x"}, 404),
        ("/discounts", {"code": TAKEN}, 409),
    ],
)
def test_refusals_of_the_store(hub: Hub, path: str, body: Body, status: int) -> None:
    """The store's refusal is passed on with its message."""
    if body.get("code") == TAKEN:
        assert hub.call("POST", path, body).status_code == 200
    response = hub.call("POST", path, body)
    assert response.status_code == status
    assert response.json["providerMessage"]
    assert response.headers["elements-element-instance-id"] == str(hub.instance["id"])


@pytest.mark.parametrize(
    ("fault", "options", "status"),
    [
        ("status", {"code": 401}, 403), ("status", {"code": 403}, 403),
        ("status", {"code": 404}, 404), ("status", {"code": 429, "retry_after": 7}, 429),
        ("status", {"code": 500}, 502), ("status", {"code": 503}, 502), ("html", {}, 502),
        ("reset", {}, 502), ("empty200", {}, 502), ("truncated", {}, 502),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_errors_of_the_store(
    hub: Hub, method: str, fault: t.Any, options: Body, status: int
) -> None:
    """A failing store is an error of the documented form, and no request is repeated."""
    hub.store.faults.add(fault, match="/products", times=50, **options)
    hub.asked()
    body = {"name": "Mug"} if method == "POST" else None
    response = hub.call(method, "/products", body)
    hub.store.faults.clear()
    assert response.status_code == status
    assert response.json["message"] and response.json["providerMessage"]
    assert ("Retry-After" in response.headers) == (status == 429)
    assert "cs_test" not in response.text and "ck_test" not in response.text
    if method == "POST":
        assert len(hub.asked()) == 1


def test_store_that_echoes_its_keys(hub: Hub) -> None:
    """Secrets that a store repeats in an error are removed."""
    hub.store.faults.add("status", match="/products", code=404)
    response = hub.call("GET", "/products/1")
    assert "oauth_signature" not in response.text and "consumer" not in response.text


@pytest.mark.parity(86)
def test_parity_86_nulls_are_filtered(hub: Hub) -> None:
    """Null members are left out unless the configuration includes them."""

    def nulls() -> list[str]:
        row = hub.rows("products", pageSize=1)[0]
        same = hub.call("GET", f"/products/{row['id']}").json
        assert set(row) == set(same)
        return [name for name, value in row.items() if value is None]

    entries = {one["key"]: one for one in hub.call("GET", "/instances/configuration").json}
    entry = entries["filter.response.nulls"]
    assert entry["propertyValue"] == "true" and nulls() == []
    path = f"/instances/configuration/{entry['id']}"
    changed = hub.call("PATCH", path, {**entry, "propertyValue": "false"})
    assert changed.json["propertyValue"] == "false"
    assert "date_on_sale_from" in nulls()


@pytest.mark.parity(78)
def test_parity_78_disabled_instance_is_forbidden(hub: Hub) -> None:
    """A disabled instance only lists the hub's resources until it is enabled."""
    number = hub.instance["id"]
    assert hub.api.call("DELETE", f"/instances/{number}/enabled").status_code == 200
    hub.asked()
    order = "/hubs/ecommerce/orders/1"
    for method, path in (
        ("GET", "/orders"), ("POST", "/orders"), ("GET", order), ("PATCH", order),
        ("DELETE", order), ("GET", "/ping"), ("GET", "/reports"),
    ):  # fmt: skip
        response = hub.call(method, path, {} if method in ("POST", "PATCH") else None)
        assert response.status_code == 403, path
        assert response.headers["elements-element-instance-id"] == str(number)
    assert hub.asked() == []
    assert hub.call("GET", "/objects").status_code == 200
    assert hub.api.call("PUT", f"/instances/{number}/enabled").status_code == 200
    assert hub.call("GET", "/orders").status_code == 200


@pytest.mark.parity(79)
def test_parity_79_token_of_a_deleted_instance(hub: Hub) -> None:
    """After the deletion the token is answered with 401, for objects too."""
    assert hub.api.call("DELETE", f"/instances/{hub.instance['id']}").status_code == 200
    for path in ("/hubs/ecommerce/orders?pageSize=1", "/orders/1", "/objects", "/ping"):
        assert hub.call("GET", path).status_code == 401


def test_hub_needs_a_token(hub: Hub) -> None:
    """A user without the token, or with another user's, gets 401 without a request to the store."""
    other = add_account(hub.api.client.application, "bob", "globex")
    hub.asked()
    anonymous: Headers = {}
    for headers in (
        anonymous,
        hub.account.headers,
        other.headers,
        other.element(hub.instance["token"]),
        hub.account.element("nonsense"),
        {"Authorization": f"Element {hub.instance['token']}"},
    ):
        for method, path in (("GET", "/orders"), ("DELETE", "/hubs/x/orders/1"), ("GET", "/ping")):
            response = hub.api.client.open(
                f"/elements/api-v2{path}", method=method, headers=headers
            )
            assert response.status_code == 401, (headers, path)
    assert hub.asked() == []


def test_token_reaches_the_store_of_its_instance_only(hub: Hub) -> None:
    """Two instances of one organisation do not see each other's store."""
    store = SimulatedStore("9.4", consumer_key="ck_test", consumer_secret="cs_test")
    with store.serve() as url:
        created = Api(hub.api.client, hub.account.headers, url).create()
        theirs = hub.api.call("GET", "/orders", headers=hub.account.element(created["token"]))
        assert theirs.json == [] and len(hub.ids("orders")) == 30
        assert theirs.headers["elements-element-instance-id"] == str(created["id"])


def _bodies(env: StoreToCallback) -> dict[str, Body]:
    return {
        "customers": {"email": "new@example.com"},
        "discounts": {"code": "ten", "amount": "10.00"},
        "orders": {"line_items": [{"product_id": env.first("products"), "quantity": 1}]},
        "products": {"name": "Mug", "regular_price": "5.00"},
    }


def test_changes_through_the_hub_are_sent(tmp_path: pathlib.Path, tables: pathlib.Path) -> None:
    """Changes through the hub are sent to the callback like any other change."""
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        env = open_env("11.0", tmp_path, stack)
        account = add_account(env.app, "ann", "other")
        api = Api(env.app.test_client(), account.headers, env.api.store)
        # The other organisation's hub writes to the same store.
        headers = account.element(api.create(**{"event.notification.enabled": False})["token"])
        made = {}
        for resource, body in _bodies(env).items():
            response = api.call("POST", f"/hubs/ecommerce/{resource}", body, headers)
            made[resource] = str(response.json["id"])
        created = {(resource, number, "CREATED") for resource, number in made.items()}
        assert created <= env.arrivals()
        path = f"/hubs/ecommerce/products/{made['products']}"
        api.call("PATCH", path, {"name": "Cup"}, headers)
        assert ("products", made["products"], "UPDATED") in env.arrivals()
        api.call("DELETE", path, None, headers)
        assert ("products", made["products"], "DELETED") in env.arrivals()


@pytest.mark.parametrize("version", ["5.9", "7.0", "8.0", "9.4"])
def test_hub_of_older_stores(tmp_path: pathlib.Path, tables: pathlib.Path, version: str) -> None:
    """The same calls work with older WooCommerce; a missing collection is 404."""
    with open_hub(tmp_path, tables, version) as hub:
        for resource in ("customers", "discounts", "orders", "products", "products-tags"):
            hub.rows(resource)
        made = hub.make("products", name="Mug")
        assert hub.call("DELETE", f"/products/{made['id']}").status_code == 200
        assert hub.call("DELETE", f"/products/{made['id']}").status_code in (200, 404)
        assert hub.call("GET", "/hubs/ecommerce/variations").status_code == 404
