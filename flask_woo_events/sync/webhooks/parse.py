"""The intake: what a webhook of WooCommerce says, read as a hint where to look."""

from __future__ import annotations

import dataclasses
import re
import typing as t

import orjson

#: Topics of a resource, and the hub's name of its collection.
_RESOURCES = {
    "order": "orders",
    "product": "products",
    "coupon": "discounts",
    "customer": "customers",
}
#: What ``action.*`` topics name, longest first.
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


@dataclasses.dataclass(frozen=True, slots=True)
class Hint:
    """Where to look: a collection, and an object of it if the webhook named one."""

    topic: str
    #: The hub's name of the collection; ``None`` when the topic says nothing of one.
    collection: str | None
    object_id: int | None = None
    #: The product that a variation belongs to.
    parent: int | None = None


def read(topic: str, body: bytes) -> Hint:
    """Read a delivery whose signature held.

    Nothing of it is believed but that something may have happened there. WooCommerce sends what
    an object is when the queue runs, not what it was; from its memory, not from the table; errors
    in the place of objects; and ``coupon.deleted`` for a page (5.9 to 11.0).

    :param topic: ``X-WC-Webhook-Topic``.
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
    return value if type(value) is int and 0 < value < 2**63 else None
