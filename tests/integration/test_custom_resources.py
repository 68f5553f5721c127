"""Collections other than the default four, each in a configuration block of its own."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import shutil

import pytest

from tests.integration.store_to_callback import open_env

#: By hub name: the store's path, a body, and a change of it.
RESOURCES: dict[str, tuple[str, dict[str, object], dict[str, object]]] = {
    "products-categories": ("products/categories", {"name": "Mugs"}, {"name": "Cups"}),
    "products-tags": ("products/tags", {"name": "new"}, {"name": "old"}),
    "products-attributes": ("products/attributes", {"name": "Size"}, {"name": "Width"}),
    "products-shipping-classes": ("products/shipping_classes", {"name": "Heavy"}, {"name": "Big"}),
    "taxes": ("taxes", {"rate": "19", "name": "VAT"}, {"rate": "20"}),
    "products-reviews": (
        "products/reviews",
        {"review": "Good", "reviewer": "A", "reviewer_email": "a@b.test", "rating": 4},
        {"review": "Better"},
    ),
    "/wp-json/wc/v3/shipping/zones": ("shipping/zones", {"name": "North"}, {"name": "South"}),
    "/wp-json/wc/v3/coupons": ("coupons", {"code": "spring", "amount": "5"}, {"amount": "6"}),
}


@pytest.mark.parity(9, 10)
@pytest.mark.parametrize(
    ("name", "version"),
    # WooCommerce 8.0 answers 403 for a deleted review.
    [*itertools.product(RESOURCES, ["5.9", "11.0"]), ("products-reviews", "8.0")],
)
def test_life_of_an_object(
    tmp_path: pathlib.Path, tables: pathlib.Path, name: str, version: str
) -> None:
    """Creation, change and deletion emit one event each, under the name of the block."""
    path, body, change = RESOURCES[name]
    shutil.copy(tables, tmp_path / "host.sqlite3")
    url = name if name.startswith("/") else f"/hubs/ecommerce/{name}"
    with contextlib.ExitStack() as stack:
        both = {"mine": {"url": url}, "orders": {"url": "/hubs/ecommerce/orders"}}
        env = open_env(version, tmp_path, stack, resources=both)
        if "review" in body:
            body = {**body, "product_id": env.first("products")}
        number = env.rest("POST", path, **body)["id"]
        assert env.arrivals() == {("mine", str(number), "CREATED")}
        env.store.clock.advance(60)
        env.rest("PUT", f"{path}/{number}", **change)
        assert env.arrivals() == {("mine", str(number), "UPDATED")}
        env.rest("DELETE", f"{path}/{number}", force=True)
        assert env.arrivals() == {("mine", str(number), "DELETED")}
        assert env.arrivals() == set()
