"""The models of WooCommerce's objects, made from the schema that a store itself answers.

``store_objects.json`` holds what WooCommerce 11.0.1 answered to ``OPTIONS /wp-json/wc/v3/orders``
and its siblings, without what only clients that write need.
"""

from __future__ import annotations

import collections.abc as cabc
import functools
import importlib.resources
import typing as t

import orjson

from .operation import Schema

#: Types that the store declares, and those of JSON Schema. WooCommerce means text by date-time.
_TYPES = {"bool": "boolean", "date-time": "string", "float": "number"}
#: What stores return where they declare something else (WooCommerce 5.9 to 11.0).
_RETURNED = {
    "Coupon.used_by[]": ["integer", "string"],
    "Order.line_items[].image.id": ["integer", "string"],
    "Order.line_items[].meta_data[].display_value": "mixed",
    "Order.tax_lines[].rate_id": ["integer", "string"],
    "Product.shipping_class_id": "integer",
}
#: Declared types that say nothing.
_ANY = frozenset({"mixed", "null"})


@functools.cache
def load() -> dict[str, Schema]:
    """Return the model of each kind of object: Order, Product, Customer, Coupon."""
    text = importlib.resources.files(__package__).joinpath("store_objects.json").read_bytes()
    declared: dict[str, Schema] = orjson.loads(text)
    return {
        name: _open(shape, name) | {"description": f"{shape['title']} of WooCommerce's REST API"}
        for name, shape in declared.items()
    }


def _open(declared: cabc.Mapping[str, t.Any], path: str) -> Schema:
    """Return a declared schema as JSON Schema that every store's answers satisfy.

    A member may be null, and an extension may add values to an enumeration.

    :param path: where it is: ``Order.line_items[].id``.
    """
    shape: Schema = {}
    if text := declared.get("description"):
        shape["description"] = text
    kinds = _kinds(_RETURNED.get(path, declared.get("type")))
    if kinds:
        shape["type"] = kinds
    if known := [one for one in declared.get("enum") or () if one != ""]:
        shape["examples"] = known
    if "object" in kinds and declared.get("properties"):
        shape["properties"] = {
            name: _open(member, f"{path}.{name}")
            for name, member in sorted(declared["properties"].items())
        }
        shape["additionalProperties"] = True
    if "array" in kinds and isinstance(declared.get("items"), dict):
        items = _open(declared["items"], f"{path}[]")
        if "type" in items:
            items["type"] = [one for one in items["type"] if one != "null"]
        shape["items"] = items
    return shape


def _kinds(declared: t.Any) -> list[str]:
    named: list[str] = declared if isinstance(declared, list) else [declared] if declared else []
    if not named or _ANY & set(named):
        return []
    return sorted({_TYPES.get(one, one) for one in named} | {"null"})
