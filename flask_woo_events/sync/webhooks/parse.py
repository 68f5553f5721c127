"""Parsing: the hint in a delivery of a WooCommerce webhook."""

from __future__ import annotations

import re
import typing as t

import orjson

from ...values.validation import is_id
from ..hint import Hint

#: The hub's names of the collections, by the topic's resource.
_RESOURCES = {
    "order": "orders",
    "product": "products",
    "coupon": "discounts",
    "customer": "customers",
}
#: The words in ``action.*`` topics, longest first, and the hub's names of their collections.
_ACTIONS = (
    ("product_variation", "variations"),
    ("order_note", "orders-comments"),
    ("product", "products"),
    ("refund", "refunds"),
    ("order", "orders"),
    ("coupon", "discounts"),
    ("customer", "customers"),
)
_DIGITS = re.compile(r"[0-9]{1,18}\Z")


def read(topic: str, body: bytes) -> Hint:
    """Read a delivery whose signature was verified.

    Only the object's name is used: the store is then read. WooCommerce 5.9 to 11.0 sends the
    object as it is when the queue runs, not as it was; from a cache, not from the table; sometimes
    an error instead of an object; and ``coupon.deleted`` for a deleted page.

    :param topic: the ``X-WC-Webhook-Topic`` header.
    """
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = None
    data = data if isinstance(data, dict) else {}
    topic = topic.strip()[:190]
    resource, _, event = topic.partition(".")
    if resource == "action":
        return Hint(topic, _of_action(event), _whole(data.get("arg")))
    collection = _RESOURCES.get(resource)
    parent = _whole(data.get("parent_id"))
    if collection == "products" and parent and data.get("type") == "variation":
        return Hint(topic, "variations", _whole(data.get("id")), parent)
    return Hint(topic, collection, _whole(data.get("id")))


def _of_action(name: str) -> str | None:
    return next((collection for word, collection in _ACTIONS if word in name), None)


def _whole(value: t.Any) -> int | None:
    if isinstance(value, str) and _DIGITS.match(value):
        value = int(value)
    return value if is_id(value) and value else None
