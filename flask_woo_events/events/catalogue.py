"""The catalogue of event types: what is sent for which resource, and when."""

from __future__ import annotations

import dataclasses

from ..db.states import EventType


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One type of event of one resource."""

    #: The usual name of the resource; any other resource is ``*``.
    resource: str
    event_type: EventType
    #: When it is sent.
    when: str


_WHEN = {
    "customers": (
        "A customer registered or was added, or a user got the polled role.",
        "Any field changed: name, email, address, role or meta data.",
        "The customer was deleted, or lost the polled role.",
    ),
    "discounts": (
        "A coupon was added, or restored from the trash.",
        "Any field changed, also the number of its uses.",
        "The coupon was moved to the trash, or deleted.",
    ),
    "orders": (
        "An order was placed or added, or restored from the trash.",
        "Any field changed: status, items, addresses, refunds or meta data.",
        "The order was moved to the trash, or deleted.",
    ),
    "products": (
        "A product was added, or restored from the trash.",
        "Any field changed: price, stock, status, images, categories or meta data.",
        "The product was moved to the trash, or deleted.",
    ),
    "*": (
        "An object appeared in the list that is polled.",
        "Any field of the object changed.",
        "The object is no longer in the list; never sent for a url with a date macro.",
    ),
}

CATALOGUE = tuple(
    CatalogueEntry(resource=resource, event_type=kind, when=text)
    for resource, texts in _WHEN.items()
    for kind, text in zip(EventType, texts, strict=True)
)
