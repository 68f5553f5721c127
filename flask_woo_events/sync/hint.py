"""Hints: the objects that a webhook or the journal names."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Hint:
    """A collection, and an object of it if one is named, where something may have changed."""

    topic: str
    #: The hub's name of the collection; ``None`` when the topic names none.
    collection: str | None
    object_id: int | None = None
    #: The product or order that the object belongs to.
    parent: int | None = None
