"""Calls of the hub: the store's objects."""

from __future__ import annotations

import typing as t

from tests.acceptance.old_client.client import Answer
from tests.acceptance.old_client.expected import ERROR, ISO
from tests.acceptance.old_client.shapes import Each, Fact
from tests.acceptance.old_client.world import Instance, World

_ADDRESS = {
    "first_name": "John",
    "last_name": "Doe",
    "address_1": "969 Market",
    "address_2": "",
    "city": "San Francisco",
    "state": "CA",
    "postcode": "94103",
    "country": "US",
}
_CONTACT = _ADDRESS | {"email": "john.doe@example.com", "phone": "(555) 555-5555"}


def payload(resource: str, name: str) -> dict[str, t.Any]:
    """Return what churros creates (``test/elements/woocommercerest/assets``).

    :param name: instead of its random words.
    """
    bodies: dict[str, dict[str, t.Any]] = {
        "customers": {
            "email": f"{name}@example.com",
            "first_name": "Ann",
            "last_name": "Lee",
            "username": name,
            "password": "Cloud3l3m3nts",
            "billing": _CONTACT | {"company": ""},
            "shipping": _ADDRESS | {"company": ""},
        },
        "discounts": {
            "code": name,
            "discount_type": "percent",
            "amount": "100",
            "individual_use": True,
            "exclude_sale_items": True,
            "minimum_amount": "100.00",
        },
        "orders": {
            "payment_method": "bacs",
            "payment_method_title": name,
            "set_paid": True,
            "billing": _CONTACT,
            "shipping": _ADDRESS,
            "shipping_lines": [
                {"method_id": "flat_rate", "method_title": "Flat Rate", "total": 10}
            ],
        },
        "products": {
            "name": name,
            "type": "simple",
            "regular_price": "21.99",
            "description": "Pellentesque habitant morbi tristique senectus et netus.",
            "short_description": "Pellentesque habitant morbi tristique senectus.",
        },
        "products-attributes": {
            "name": "Color",
            "slug": name,
            "type": "select",
            "order_by": "menu_order",
            "has_archives": True,
        },
        "products-categories": {"name": name},
        "products-tags": {"name": name},
    }
    return bodies[resource]


def manage(world: World, resource: str) -> None:
    """Create, read, update, list and delete (``core/cloud.js``, ``cruds``)."""
    call, churros, path = world.client.call, "churros", f"/hubs/ecommerce/{resource}"
    body = payload(resource, f"crud{resource.replace('-', '')}")
    some = {"id": int}
    made = call(f"create one of {resource}", churros, f"POST {path}", body=body, expect=some)
    one, number = f"{path}/{made['id']}", {"id": made["id"]}
    call(f"show one of {resource}", churros, f"GET {one}", expect=number)
    call(f"update one of {resource}", churros, f"PATCH {one}", body=body, expect=number)
    call(f"put one of {resource}", "sdk", f"PUT {one}", body=body, expect=number)
    call(f"list {resource}", churros, f"GET {path}", expect=Each(some))
    call(f"delete one of {resource}", churros, f"DELETE {one}")


def manage_children(world: World) -> None:
    """Create, read, list and delete comments and refunds of an order (churros)."""
    call, churros = world.client.call, "churros"
    orders = "/hubs/ecommerce/orders"
    order = call(
        "create an order for children",
        churros,
        f"POST {orders}",
        body=payload("orders", "children"),
    )["id"]
    for child, body in (("comments", {"note": "Order ok!!!"}), ("refunds", {"amount": "10"})):
        path = f"{orders}/{order}/{child}"
        made = call(
            f"create one of {child}", churros, f"POST {path}", body=body, expect={"id": int}
        )
        call(f"show one of {child}", churros, f"GET {path}/{made['id']}", expect={"id": made["id"]})
        call(f"list {child}", churros, f"GET {path}", expect=Each({"id": int}))
        call(f"delete one of {child}", churros, f"DELETE {path}/{made['id']}")
    call(
        "search refunds",
        churros,
        f"GET {orders}/{order}/refunds",
        query={"where": "amount >= 10"},
        expect=Each(dict, least=0),
    )
    call("delete the order of children", churros, f"DELETE {orders}/{order}")


def page(world: World, resource: str, size: int = 2) -> None:
    """Compare two pages with one of twice the size (``core/suite.js``, ``itPagination``)."""
    call, churros, path = world.client.call, "churros", f"GET /hubs/ecommerce/{resource}"

    def ids(answer: Answer) -> list[int]:
        return [one["id"] for one in answer.body]

    most = Each({"id": int})
    first = call(
        f"first page of {resource}",
        churros,
        path,
        expect=most,
        query={"page": 1, "pageSize": size},
        expect_headers={"elements-returned-count": str(size)},
    )
    token = first.headers.get("elements-next-page-token")
    query: dict[str, t.Any] = {"pageSize": size, "page": 2}
    second = call(
        f"second page of {resource}",
        churros,
        path,
        expect=most,
        query=query | ({"nextPage": token} if token else {}),
    )
    whole = call(
        f"both pages of {resource}", churros, path, expect=most, query={"pageSize": 2 * size}
    )
    world.client.check(f"pages of {resource}", churros, ids(first) + ids(second), ids(whole))
    assert len(ids(whole)) == 2 * size


def search(world: World) -> None:
    """Filter and sort (churros; guide: ceql-ref; kb)."""
    call, churros, base = world.client.call, "churros", "GET /hubs/ecommerce"
    day = "2016-04-28T21:58:25"
    newer = Each({"date_created": Fact("later", lambda date: date >= day)})
    for resource in ("customers", "discounts", "orders", "products"):
        after = call(
            f"{resource} after a day",
            churros,
            f"{base}/{resource}",
            expect=newer,
            query={"where": f"after = '{day}'"},
        )
        if resource in ("orders", "products"):
            same = call(
                f"{resource} created since a day",
                churros,
                f"{base}/{resource}",
                query={"where": f"created_date > '{day}'"},
                expect=newer,
            )
            world.client.check(
                f"{resource} by both conditions", churros, len(same.body), len(after.body)
            )
    call(
        "orders of a status",
        "guide",
        f"{base}/orders",
        expect=Each({"status": "completed"}),
        query={"where": "status = 'completed' AND total >= 0"},
    )
    call(
        "products in a list",
        "guide",
        f"{base}/products",
        expect=Each(dict),
        query={"where": "name LIKE '%e%' OR id IN (1, 2)"},
    )


def search_slugs(world: World) -> None:
    """Find categories and tags by their slugs (churros)."""
    call, churros = world.client.call, "churros"
    for resource in ("products-categories", "products-tags"):
        slug = call(
            f"create one of {resource} to search",
            churros,
            f"POST /hubs/ecommerce/{resource}",
            body=payload(resource, "albums"),
        )["slug"]
        call(
            f"{resource} by slug",
            churros,
            f"GET /hubs/ecommerce/{resource}",
            expect=Each({"slug": slug}),
            query={"where": f"slug = '{slug}'"},
        )


def sort(world: World) -> None:
    """Choose fields, sort and count (guide)."""
    call, base = world.client.call, "GET /hubs/ecommerce"
    call(
        "some fields",
        "guide",
        f"{base}/customers?fields=id,email&pageSize=1",
        expect=Each({"id": int, "email": str}),
    )
    ordered = call(
        "newest products",
        "guide",
        f"{base}/products",
        query={"orderBy": "date_created desc"},
        expect=Each(dict),
    ).body
    dates = [one["date_created"] for one in ordered]
    world.client.check("order of the newest products", "guide", dates, sorted(dates, reverse=True))
    listed = call(
        "count orders",
        "guide",
        f"{base}/orders?pageSize=1&returnTotalCount=true",
        expect_headers={"elements-returned-count": "1", "elements-total-count": str},
    )
    assert int(listed.headers["Elements-Total-Count"]) > 1


def report(world: World, instance: Instance) -> None:
    """Call what is no list of objects, and every way to write a path."""
    call, churros = world.client.call, "churros"
    call("ping", churros, "GET /hubs/ecommerce/ping", expect={"dateTime": ISO, "endpoint": str})
    for name in ("reports", "reports-sales", "reports-top-sellers"):
        call(name, churros, f"GET /hubs/ecommerce/{name}")
    path = "hubs/ecommerce/customers?pageSize=1"
    known = call(
        "customers of the hub",
        churros,
        f"GET /{path}",
        expect_headers={"elements-element-instance-id": str(instance.id)},
    ).body
    for hub in ("hubs/crm/customers", "hubs/crap/customers", "customers"):
        call(f"customers at {hub}", churros, f"GET /{hub}?pageSize=1", expect=known)
    call(
        "customers by token alone",
        "guide",
        f"GET /{path}",
        expect=known,
        auth=world.client.element(instance.token),
    )
    call(
        "bulk query",
        "guide",
        "POST /hubs/ecommerce/bulk/query?q=select%20*%20from%20orders",
        expect={"id": str, "status": "CREATED"},
    )
    call(
        "asynchronous call",
        "guide",
        "GET /orders",
        headers={"Elements-Async-Request": "True"},
        expect={"eventId": int, "eventStatus": "dispatched"},
    )


def list_objects(world: World) -> None:
    """List the resources (churros)."""
    call, churros = world.client.call, "churros"
    call("objects", "sdk", "GET /objects", expect=Each(str))
    kinds = ("vendor", "ceCanonical", "vdr")
    detailed = call(
        "objects in detail",
        churros,
        "GET /objects",
        headers={"Elements-Version": "Helium"},
        expect=Each(
            {"name": str, "vendorName": str, "type": Fact("a kind", lambda kind: kind in kinds)}
        ),
    )
    seen = {one["type"] for one in detailed.body}
    world.client.check("kinds of objects", churros, {"vendor", "ceCanonical"} <= seen, True)


def fail(world: World) -> None:
    """Make each documented error (guide: error-codes)."""
    call, guide, orders = world.client.call, "guide", "/hubs/ecommerce/orders"
    failed = ERROR | {"providerMessage": str}
    call("unknown order", guide, f"GET {orders}/999999", status=404, expect=failed)
    call(
        "order with a wrong status",
        guide,
        f"POST {orders}",
        status=400,
        expect=failed,
        body={"status": "no-such-status"},
    )
    body = payload("customers", "twice")
    call("first customer", guide, "POST /hubs/ecommerce/customers", body=body)
    call(
        "same customer again",
        guide,
        "POST /hubs/ecommerce/customers",
        status=409,
        body=body,
        expect=failed,
    )
    call("unknown resource", guide, "GET /hubs/ecommerce/unicorns", status=404, expect=ERROR)
    call("unknown path", guide, "GET /unicorns", status=404, expect=ERROR)
    call("wrong method", guide, f"DELETE {orders}", status=405, expect=ERROR)
    call(
        "no JSON accepted",
        guide,
        f"GET {orders}",
        status=406,
        expect=ERROR,
        headers={"Accept": "image/png"},
    )


def fail_to_send(world: World) -> None:
    """Send other bodies than JSON, and other secrets (guide: error-codes)."""
    client, guide, orders = world.client, "guide", "/hubs/ecommerce/orders"
    call = client.call
    for kind in ("text/xml", "application/x-www-form-urlencoded", "text/plain"):
        call(
            f"order as {kind}",
            guide,
            f"POST {orders}",
            status=415,
            expect=ERROR,
            body=b"<order/>",
            headers={"Content-Type": kind},
        )
    call(
        "broken JSON",
        guide,
        f"POST {orders}",
        status=400,
        expect=ERROR,
        body=b'{"status":',
        headers={"Content-Type": "application/json"},
    )
    for name, auth in (
        ("no authorization", ""),
        ("the user alone", client.account().partition(",")[0]),
        ("wrong secrets", "User wrong, Organization wrong"),
        ("a wrong token", client.element("wrong")),
    ):
        for path in ("/instances", orders):
            call(f"{name} at {path}", guide, f"GET {path}", status=401, expect=ERROR, auth=auth)
