"""Sample data: fills a simulated store with objects as in a real shop."""

from __future__ import annotations

import random

from .routes import Routes
from .state import KINDS
from .tables import Row

_DAY = 86_400
_THINGS = ("Mug", "Tee", "Pen", "Poster", "Bag", "Cap", "Notebook", "Sticker", "Lamp", "Plate")
#: Statuses of orders, repeated in this order.
_STATUSES = (
    "processing", "processing", "completed", "completed", "on-hold", "completed", "cancelled",
    "pending", "completed", "refunded",
)  # fmt: skip
_NAMES = ("Ann", "Bob", "Cem", "Dee", "Eva", "Fay", "Gil", "Hal", "Ida", "Jon")


def populate(
    routes: Routes, *, orders: int, products: int, coupons: int, customers: int, seed: int = 7
) -> None:
    """Add objects with dates in the past two years; no hooks fire."""
    shop, rng = routes.shop, random.Random(seed)
    now = shop.now()

    def add(kind: str, status: str, fields: dict[str, object]) -> Row:
        age = rng.randrange(_DAY, 700 * _DAY)
        row_id = shop.next_id(KINDS[kind])
        modified = now - rng.randrange(3 * 3600, age)
        return shop.tables[kind].add(Row(row_id, status, now - age, modified, fields))

    product_rows = [add("products", "publish", _product(number, rng)) for number in range(products)]
    for row in product_rows:
        shop.slugs[str(row.fields["slug"])] = row.id
    for number in range(coupons):
        amount = f"{rng.randrange(1, 50)}.00"
        add("coupons", "publish", {"code": f"code{number}", "amount": amount})
    customer_rows = [
        add(
            "customers",
            "publish",
            {
                "email": f"person{number}@example.com",
                "username": f"person{number}",
                "name": f"person{number}",
                "first_name": rng.choice(_NAMES),
                "role": "customer",
            },
        )
        for number in range(customers)
    ]
    for number in range(orders):
        guest = not customer_rows or number % 5 == 4
        body: dict[str, object] = {
            "status": _STATUSES[number % len(_STATUSES)],
            "customer_id": 0 if guest else rng.choice(customer_rows).id,
            "billing": _billing(rng),
            "payment_method": "bacs",
            "payment_method_title": "Direct bank transfer",
        }
        _order(routes, body, rng.choice(product_rows) if product_rows else None, rng, now)


def _product(number: int, rng: random.Random) -> dict[str, object]:
    """Return the fields of a product."""
    return {
        "name": f"{rng.choice(_THINGS)} {number}",
        "slug": f"product-{number}",
        "regular_price": (price := f"{rng.randrange(100, 9000) / 100:.2f}"),
        "price": price,
        "manage_stock": True,
        "stock_quantity": rng.randrange(5, 500),
    }


def _billing(rng: random.Random) -> dict[str, str]:
    """Return a billing address."""
    name = rng.choice(_NAMES)
    return {
        "first_name": name,
        "last_name": f"O'{rng.choice(_NAMES)}",
        "address_1": f"{rng.randrange(1, 200)} Café Street",
        "city": rng.choice(("Springfield", "Köln", "Łódź")),
        "postcode": f"{rng.randrange(10_000, 99_999)}",
        "country": rng.choice(("US", "DE", "PL")),
        "email": f"{name.lower()}@example.com",
        "phone": f"+1 555 {rng.randrange(1000, 9999)}",
    }


def _order(
    routes: Routes,
    body: dict[str, object],
    product: Row | None,
    rng: random.Random,
    now: int,
) -> None:
    """Add an order without effects on the rest of the store."""
    shop = routes.shop
    fields: dict[str, object] = {}
    age = rng.randrange(_DAY, 700 * _DAY)
    if product is not None:
        quantity = rng.randrange(1, 4)
        body["line_items"] = [{"product_id": product.id, "quantity": quantity}]
    routes.orders.fill(fields, body)
    row = Row(
        shop.next_id("posts"),
        str(body["status"]),
        now - age,
        now - rng.randrange(3 * 3600, age),
        fields,
    )
    if row.status in ("processing", "completed", "refunded"):
        fields["paid"] = row.created
    if row.status == "completed":
        fields["completed"] = row.modified
    # As WooCommerce's order attribution and a plugin write them.
    fields["meta_data"] = [
        shop.meta("_wc_order_attribution_source_type", "organic"),
        shop.meta("_wc_order_attribution_device_type", "Mobile"),
        shop.meta("delivery_slot", str(row.id % 24)),
    ]
    shop.tables["orders"].add(row)
