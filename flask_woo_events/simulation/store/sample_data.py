"""The filling of a simulated store with objects that look like a shop's."""

from __future__ import annotations

import random

from .routes import Routes
from .state import KINDS
from .tables import Row

_DAY = 86_400
_THINGS = ("Mug", "Tee", "Pen", "Poster", "Bag", "Cap", "Notebook", "Sticker", "Lamp", "Plate")
#: Statuses of orders, over and over.
_STATUSES = (
    "processing", "processing", "completed", "completed", "on-hold", "completed", "cancelled",
    "pending", "completed", "refunded",
)  # fmt: skip
_NAMES = ("Ann", "Bob", "Cem", "Dee", "Eva", "Fay", "Gil", "Hal", "Ida", "Jon")


def populate(routes: Routes, *, orders: int, products: int, coupons: int, customers: int) -> None:
    """Add objects whose dates lie in the past two years; nobody is told of them."""
    shop, chance = routes.shop, random.Random(7)
    now = shop.now()

    def add(kind: str, status: str, fields: dict[str, object]) -> Row:
        age = chance.randrange(_DAY, 700 * _DAY)
        row_id = shop.next_id(KINDS[kind])
        modified = now - chance.randrange(3 * 3600, age)
        return shop.tables[kind].add(Row(row_id, status, now - age, modified, fields))

    made = [
        add(
            "products",
            "publish",
            {
                "name": f"{chance.choice(_THINGS)} {number}",
                "slug": f"product-{number}",
                "regular_price": (price := f"{chance.randrange(100, 9000) / 100:.2f}"),
                "price": price,
                "manage_stock": True,
                "stock_quantity": chance.randrange(5, 500),
            },
        )
        for number in range(products)
    ]
    for row in made:
        shop.slugs[str(row.fields["slug"])] = row.id
    for number in range(coupons):
        amount = f"{chance.randrange(1, 50)}.00"
        add("coupons", "publish", {"code": f"code{number}", "amount": amount})
    people = [
        add(
            "customers",
            "publish",
            {
                "email": f"person{number}@example.com",
                "username": f"person{number}",
                "name": f"person{number}",
                "first_name": chance.choice(_NAMES),
                "role": "customer",
            },
        )
        for number in range(customers)
    ]
    for number in range(orders):
        guest = not people or number % 5 == 4
        body: dict[str, object] = {
            "status": _STATUSES[number % len(_STATUSES)],
            "customer_id": 0 if guest else chance.choice(people).id,
            "billing": _billing(chance),
            "payment_method": "bacs",
            "payment_method_title": "Direct bank transfer",
        }
        _order(routes, body, chance.choice(made) if made else None, chance, now)


def _billing(chance: random.Random) -> dict[str, str]:
    """A billing address."""
    name = chance.choice(_NAMES)
    return {
        "first_name": name,
        "last_name": f"O'{chance.choice(_NAMES)}",
        "address_1": f"{chance.randrange(1, 200)} Café Street",
        "city": chance.choice(("Springfield", "Köln", "Łódź")),
        "postcode": f"{chance.randrange(10_000, 99_999)}",
        "country": chance.choice(("US", "DE", "PL")),
        "email": f"{name.lower()}@example.com",
        "phone": f"+1 555 {chance.randrange(1000, 9999)}",
    }


def _order(
    routes: Routes,
    body: dict[str, object],
    product: Row | None,
    chance: random.Random,
    now: int,
) -> None:
    """An order as it would be read, without what making one does to the rest of the shop."""
    shop = routes.shop
    fields: dict[str, object] = {}
    age = chance.randrange(_DAY, 700 * _DAY)
    if product is not None:
        quantity = chance.randrange(1, 4)
        body["line_items"] = [{"product_id": product.id, "quantity": quantity}]
    routes.orders.fill(fields, body)
    row = Row(
        shop.next_id("posts"),
        str(body["status"]),
        now - age,
        now - chance.randrange(3 * 3600, age),
        fields,
    )
    if row.status in ("processing", "completed", "refunded"):
        fields["paid"] = row.created
    if row.status == "completed":
        fields["completed"] = row.modified
    shop.tables["orders"].add(row)
