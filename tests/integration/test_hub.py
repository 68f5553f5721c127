"""Reading a store through the hub, over real sockets. Numbers are rows of the parity table."""

from __future__ import annotations

import collections.abc as cabc
import pathlib
import typing as t

import pytest

from tests.integration.hub_client import Hub, open_hub

SINCE = "2016-04-28T21:58:25"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, tables: pathlib.Path) -> cabc.Iterator[Hub]:
    """A store to which the tests only add objects."""
    with open_hub(tmp_path_factory.mktemp("hub"), tables) as hub:
        yield hub


LISTS = [
    "customers", "discounts", "orders", "products", "products-attributes", "products-categories",
    "products-tags", "products-shipping-classes", "products-reviews", "taxes", "refunds",
    "variations", "reports", "reports-sales", "reports-top-sellers",
]  # fmt: skip


@pytest.mark.parity(83)
@pytest.mark.parametrize("resource", LISTS)
def test_parity_83_every_resource_is_listed(hub: Hub, resource: str) -> None:
    """Each resource answers 200 with a list, and the id of the instance in a header."""
    response = hub.call("GET", f"/hubs/ecommerce/{resource}")
    assert response.status_code == 200 and isinstance(response.json, list)
    assert response.headers["elements-element-instance-id"] == str(hub.instance["id"])


@pytest.mark.parity(83)
@pytest.mark.parametrize("base", ["/hubs/ecommerce", "/hubs/documents", "/hubs/crap", ""])
def test_parity_83_any_hub_is_ignored(hub: Hub, base: str) -> None:
    """Any name of the hub is accepted, and it can be left out."""
    response = hub.call("GET", f"{base}/orders", pageSize=1)
    assert response.json == hub.rows("orders", pageSize=1)


@pytest.mark.parity(83)
def test_parity_83_discounts_are_coupons(hub: Hub) -> None:
    """The hub's discounts are WooCommerce's coupons, by either name."""
    assert set(hub.ids("discounts")) == set(hub.store.truth("coupons"))
    assert hub.rows("coupons") == hub.rows("discounts")
    assert {"code", "discount_type", "amount"} <= set(hub.rows("discounts")[0])


@pytest.mark.parity(83)
def test_parity_83_objects_and_ping(hub: Hub) -> None:
    """The hub lists its resources and reports whether the store answers."""
    names = hub.call("GET", "/objects").json
    assert {"customers", "discounts", "orders", "products"} <= set(names)
    assert hub.call("GET", "/hubs/ecommerce/objects").json == names
    ping = hub.call("GET", "/ping")
    assert ping.status_code == 200
    assert ping.json["endpoint"] == "woocommercerest" and ping.json["dateTime"].endswith("Z")


def test_objects_in_detail(hub: Hub) -> None:
    """The header Elements-Version: Helium adds the store's own names, and marks canonical ones."""
    response = hub.api.call("GET", "/objects", headers={**hub.token, "Elements-Version": "Helium"})
    assert {"name": "discounts", "vendorName": "coupons", "type": "ceCanonical"} in response.json
    types = {one["name"]: one["type"] for one in response.json}
    canonical = {name for name, kind in types.items() if kind == "ceCanonical"}
    assert canonical == {"customers", "discounts", "orders", "products"}
    assert set(types.values()) == {"ceCanonical", "vendor"}


@pytest.mark.parity(83)
def test_parity_83_object_by_id(hub: Hub) -> None:
    """The object of an event is read with the token that the instance returned."""
    order = hub.rows("orders", pageSize=1)[0]
    assert hub.call("GET", f"/hubs/ecommerce/orders/{order['id']}").json == order
    assert hub.call("GET", f"/orders/{order['id']}").json == order


@pytest.mark.parity(84)
@pytest.mark.parametrize("resource", ["orders", "products"])
def test_parity_84_created_date_is_the_native_after(hub: Hub, resource: str) -> None:
    """``created_date >`` returns the same as the store's own ``after``."""
    middle = sorted(row["date_created"] for row in hub.rows(resource))[5]
    fields = "id,date_created"
    native = hub.rows(resource, where=f"after = '{middle}'", fields=fields)
    assert native == hub.rows(resource, where=f"created_date > '{middle}'", fields=fields)
    assert 0 < len(native) < len(hub.rows(resource))
    assert all(row["date_created"] > middle for row in native)


@pytest.mark.parametrize("resource", ["customers", "discounts", "orders", "products"])
def test_where_after(hub: Hub, resource: str) -> None:
    """Each record is later than the requested date."""
    rows = hub.rows(resource, where=f"after = '{SINCE}'")
    assert rows and all(row["date_created"] >= SINCE for row in rows)


def _between(
    hub: Hub, resource: str, field: str, left: str, right: str
) -> tuple[set[int], set[int]]:
    """Return the hub's rows between two dates, both included, and the expected ones."""
    where = f"{field} >= '{left}' and {field} <= '{right}'"
    found = set(hub.ids(resource, where=where))
    name = {"created_date": "date_created"}.get(field, field)
    return found, {row["id"] for row in hub.rows(resource) if left <= row[name] <= right}


@pytest.mark.parametrize(
    "field", ["created_date", "date_created_gmt", "date_modified", "date_modified_gmt"]
)
@pytest.mark.parametrize("resource", ["discounts", "orders", "products"])
def test_where_between_dates_of_objects(hub: Hub, resource: str, field: str) -> None:
    """Both ends can equal the date of an object, in local time of the site or in UTC."""
    name = {"created_date": "date_created"}.get(field, field)
    dates = sorted(row[name] for row in hub.rows(resource))
    found, expected = _between(hub, resource, field, dates[1], dates[-2])
    assert found == expected and len(found) >= 2


@pytest.mark.parity(84)
@pytest.mark.parametrize("field", ["created_date", "date_created_gmt"])
@pytest.mark.parametrize("op", [">", ">=", "<", "<="])
def test_where_on_customers(hub: Hub, field: str, op: str) -> None:
    """Customers, which no store filters by date, are read in that order up to the date."""
    name = {"created_date": "date_created"}.get(field, field)
    everyone = {row["id"]: row[name] for row in hub.rows("customers")}
    date = sorted(everyone.values())[4]
    compare: dict[str, t.Callable[[str], bool]] = {
        ">": lambda one: one > date,
        ">=": lambda one: one >= date,
        "<": lambda one: one < date,
        "<=": lambda one: one <= date,
    }
    true = {number for number, one in everyone.items() if compare[op](one)}
    assert set(hub.ids("customers", where=f"{field} {op} '{date}'")) == true
    fields = hub.rows("customers", where=f"{field} {op} '{date}'", fields="email")
    assert all(set(row) == {"email"} for row in fields) and len(fields) == len(true)


def test_where_on_customers_by_pages(hub: Hub) -> None:
    """The pages of customers end at the date."""
    date = sorted(row["date_created"] for row in hub.rows("customers"))[2]
    where, token, seen = f"created_date > '{date}'", "", list[int]()
    while True:
        query = {"where": where, "pageSize": 4} | ({"nextPage": token} if token else {})
        response = hub.call("GET", "/customers", **query)
        seen += [row["id"] for row in response.json]
        token = response.headers.get("Elements-Next-Page-Token", "")
        if not token:
            break
    assert len(seen) == len(set(seen)) == 6


def test_where_by_ids_and_status(hub: Hub) -> None:
    """``where`` filters by ids and by lists of statuses."""
    ids = hub.ids("orders")
    assert hub.ids("orders", where=f"id in ({ids[3]}, {ids[1]})") == [ids[1], ids[3]]
    assert hub.ids("orders", where=f"id = {ids[2]}") == [ids[2]]
    assert hub.ids("orders", where=f"id != {ids[2]}") == [one for one in ids if one != ids[2]]
    wanted = ("completed", "processing")
    true = [row["id"] for row in hub.rows("orders") if row["status"] in wanted]
    assert hub.ids("orders", where="status in ('completed', 'processing')") == true
    assert hub.ids("orders", status="completed,processing") == true
    assert 0 < len(true) < len(ids)


def test_two_where_parameters_are_joined(hub: Hub) -> None:
    """Two ``where`` parameters mean the same as one with ``and``."""
    ids = hub.ids("orders")
    path = f"/orders?where=id in ({ids[0]},{ids[1]})&where=id != {ids[0]}"
    assert [row["id"] for row in hub.call("GET", path).json] == [ids[1]]


@pytest.mark.parametrize("resource", ["products-categories", "products-tags"])
def test_where_by_slug(hub: Hub, resource: str) -> None:
    """``where`` filters categories and tags by slug."""
    made = hub.make(resource, name=f"Salt & pepper of {resource}")
    found = hub.rows(resource, where=f"slug = '{made['slug']}'")
    assert [row["id"] for row in found] == [made["id"]]


def test_where_on_a_list_without_pages(hub: Hub) -> None:
    """The hub filters, orders and pages attributes, which a store always returns whole."""
    for name in ("Colour", "Size", "Weight"):
        hub.make("products-attributes", name=name)
    names = [row["name"] for row in hub.rows("products-attributes", orderBy="name desc")]
    assert names == ["Weight", "Size", "Colour"]
    [row] = hub.rows("products-attributes", where="name = 'Size'")
    assert row["slug"] == "pa_size"
    assert len(hub.rows("products-attributes", where="name != 'Size'")) == 2
    pages = [hub.ids("products-attributes", pageSize=2, page=page) for page in (1, 2)]
    assert pages[0] + pages[1] == hub.ids("products-attributes")
    first = hub.call("GET", "/products-attributes", pageSize=2, returnTotalCount="true")
    assert first.headers["Elements-Total-Count"] == "3"
    token = first.headers["Elements-Next-Page-Token"]
    assert hub.ids("products-attributes", pageSize=2, nextPage=token) == pages[1]


REFUSED = [
    ("orders", "created_date > 'yesterday'"),
    ("orders", "created_date >= '0001-01-01'"),
    ("orders", "id = 'x'"),
    ("orders", "total = null"),
    ("orders", "not total = 5"),
    ("orders", "total = 5 or search = 'x'"),
    ("orders", "search like 'x%'"),
    ("orders", "search = ''"),
    ("orders", "search = 'a' and search = 'b'"),
    ("orders", "product = 0"),
    ("orders", "parent > 5"),
    ("orders", "total = 5 or status = 'trash'"),
    ("products", "status in ('trash', 'draft')"),
    ("products", "attribute = 'pa_color'"),
    ("customers", "first_name = 'Ann' or role in ('all')"),
    ("customers", "customer = 7"),
    ("products-tags", "after = '2026-01-01'"),
    ("reports-sales", "period like 'x'"),
    ("orders", "(" * 60 + "total = 5" + ")" * 60),
    ("orders", " or ".join(["total = 5"] * 101)),
    ("orders", "id in (" + "1," * 3000 + "1)"),
    ("orders", "total = 'x"),
    ("orders", "total = 5 and total = 6" + " " * 4000),
]


@pytest.mark.parametrize(("resource", "where"), REFUSED)
def test_where_that_is_refused(hub: Hub, resource: str, where: str) -> None:
    """A ``where`` that cannot be read, or that would be ignored, is an error without a request."""
    hub.asked()
    response = hub.call("GET", f"/hubs/ecommerce/{resource}", where=where)
    assert response.status_code == 400 and response.json["message"]
    assert hub.asked() == []


@pytest.mark.parametrize(
    "query",
    [
        {"page": "0"}, {"page": "x"}, {"page": "99999999"}, {"pageSize": "0"}, {"pageSize": "-1"},
        {"nextPage": "x"}, {"nextPage": "W10"}, {"nextPage": "WzEsMSwiYSJd"}, {"nextPage": "é"},
        {"orderBy": "id sideways"}, {"fields": "a b"},
        {"fields": "id,../x"}, {"returnTotalCount": "perhaps"}, {"nonsense": "1"},
        {"_method": "DELETE"}, {"consumer_key": "ck_other"}, {"oauth_token": "x"},
        {"status": ""}, {"customer": " "}, {"created_date": ""}, {"page": ""}, {"pageSize": ""},
        {"returnTotalCount": ""},
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused(hub: Hub, query: dict[str, str]) -> None:
    """A wrong or unknown parameter is an error that names it, and never reaches the store."""
    hub.asked()
    response = hub.call("GET", "/hubs/ecommerce/orders", **query)
    assert response.status_code == 400
    assert next(iter(query)) in response.json["message"]
    assert hub.asked() == []


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("products?sku=", "where=sku = ''"), ("products?sku=X&sku=", "where=sku = ''"),
        ("products-attributes?slug=", "where=slug = ''"), ("orders?customer=", "leave it out"),
        ("orders?after=", "leave it out"), ("orders?id=", "leave it out"),
    ],
)  # fmt: skip
def test_parameters_without_a_value_are_refused(hub: Hub, path: str, hint: str) -> None:
    """The error says how to ask for members that are empty, and the store is not called."""
    hub.asked()
    response = hub.call("GET", f"/hubs/ecommerce/{path}")
    assert response.status_code == 400
    assert response.json["message"].endswith(hint)
    assert hub.asked() == []


def test_empty_members_are_found_by_where(hub: Hub) -> None:
    """An empty text in ``where`` is a condition on the member."""
    made = hub.make("products", name="without a number", sku="")
    found = hub.ids("products", where="sku = ''")
    assert made["id"] in found


def test_empty_controls_are_absent(hub: Hub) -> None:
    """Clients that send every parameter get the same page as without the empty ones."""
    empty = dict.fromkeys(("where", "fields", "orderBy", "nextPage"), "")
    assert hub.rows("orders", **empty) == hub.rows("orders")


def test_a_deletion_refuses_parameters_without_a_value(hub: Hub) -> None:
    """Of ``force`` and ``reassign``, too, and the object stays."""
    number = hub.ids("customers")[0]
    for query in ({"force": ""}, {"reassign": ""}):
        response = hub.call("DELETE", f"/hubs/ecommerce/customers/{number}", **query)
        assert response.status_code == 400
        assert next(iter(query)) in response.json["message"]
    assert number in hub.ids("customers")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/hubs/ecommerce/nonsense", 404), ("/hubs/ecommerce/orders/abc", 404),
        ("/hubs/ecommerce/orders/999999", 404), ("/hubs/ecommerce/orders/0", 404),
        ("/hubs/ecommerce/orders/99999999999999999999", 404), ("/orders/-1", 404),
        ("/hubs/ecommerce/orders/1/nonsense", 404), ("/hubs/ecommerce/orders/x/comments", 404),
        ("/hubs/ecommerce/orders/999999/comments", 404), ("/hubs/ecommerce/reports/1", 404),
        ("/hubs/ecommerce/customers/1/orders", 404), ("/hubs/ecommerce/orders-comments", 404),
        ("/hubs/ecommerce/orders/1/comments/1/x", 404), ("/hubs/ecommerce/webhooks", 404),
        ("/hubs/ecommerce/wp-json", 404), ("/hubs/ecommerce/..", 404), ("/hubs/ecommerce", 404),
        ("/hubs/ecommerce/refunds/1", 404), ("/hubs/ecommerce/orders%2F1", 404),
        ("/nonsense", 404), ("/webhooks", 404),
    ],
)  # fmt: skip
def test_unknown_resources_and_objects(hub: Hub, path: str, status: int) -> None:
    """Unknown resources and objects are 404 in the documented form, never a 500."""
    response = hub.call("GET", path)
    assert response.status_code == status
    assert response.json["message"] and response.json["requestId"]


def test_order_and_fields(hub: Hub) -> None:
    """Rows have the requested order and only the requested members."""
    rows = hub.rows("products", orderBy="date_created desc", fields="id, date_created,images.src")
    dates = [row["date_created"] for row in rows]
    assert dates == sorted(dates, reverse=True)
    assert all(
        {"id", "date_created"} <= set(row) <= {"id", "date_created", "images"} for row in rows
    )
    names = [row["name"] for row in hub.rows("products", orderBy="name", fields="name")]
    assert names == sorted(names, key=str.lower)


def test_fields_lead_into_objects(hub: Hub) -> None:
    """A dot leads into an object or a list of objects; the store sends only these members."""
    hub.asked()
    row = hub.rows("orders", pageSize=1, fields="billing.email,line_items.product_id")[0]
    assert set(row) == {"billing", "line_items"}
    assert set(row["billing"]) == {"email"} and set(row["line_items"][0]) == {"product_id"}
    assert hub.asked()[0]["_fields"] == "id,billing.email,line_items.product_id"
    order = hub.call("GET", f"/orders/{hub.ids('orders')[0]}", fields="id,status").json
    assert set(order) == {"id", "status"}


def test_reports_of_a_period(hub: Hub) -> None:
    """Reports show the sales and the top sellers of a period."""
    [week], [year] = hub.rows("reports-sales"), hub.rows("reports-sales", period="year")
    assert float(year["total_sales"]) > float(week["total_sales"]) >= 0
    best = hub.rows("reports-top-sellers", where="period = 'year'")
    counts = [row["quantity"] for row in best]
    assert counts == sorted(counts, reverse=True) and counts[0] > 0
    refused = hub.call("GET", "/reports-sales", period="eternity")
    assert refused.status_code == 400 and "period" in refused.json["providerMessage"]


def test_head_is_a_get_without_a_body(hub: Hub) -> None:
    """HEAD counts without sending rows."""
    response = hub.call("HEAD", "/orders", returnTotalCount="true")
    assert response.status_code == 200 and response.data == b""
    assert response.headers["Elements-Total-Count"] == "30"
