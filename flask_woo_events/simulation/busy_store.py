"""A busy store: it changes by itself, at a rate, as a shop with customers and staff does."""

from __future__ import annotations

import collections.abc as cabc
import random
import re
import threading

from ..errors import InputError, TransportError
from ..woocommerce.client import StoreClient
from .changing_store import ChangingStore, Row
from .triggers import TRIGGERS, Trigger

#: How often each change is made, in relation to the others: many orders and stock changes, few
#: deletions. Those that a store can run out of are rarer than those that make up for them.
_WEIGHTS = {
    "order.created": 24, "order.paid": 4, "order.completed": 14, "order.on_hold": 2,
    "order.cancelled": 3, "order.refunded": 2, "order.partially_refunded": 2,
    "order.address_changed": 2, "order.note_added": 3, "order.trashed": 1, "order.restored": 1,
    "product.created": 2, "product.renamed": 1, "product.price_changed": 6,
    "product.sale_started": 2, "product.stock_changed": 10, "product.out_of_stock": 1,
    "product.reviewed": 2, "product.deleted": 1,
    "customer.created": 6, "customer.updated": 3, "customer.address_changed": 4,
    "customer.deleted": 1,
    "discount.created": 2, "discount.changed": 1, "discount.used": 3, "discount.deleted": 1,
}  # fmt: skip
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(s|second|min|minute|h|hour)\s*\Z", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600}
#: More than this the store's own requests could not keep up with, changes per second.
_FASTEST = 50


def parse_rate(text: str) -> float:
    """Return the seconds between two changes.

    :param text: a number of changes and a unit of time: ``20/min``, ``2/s``, ``90/h``.
    :raises InputError: it is something else, or too fast.
    """
    match = _RATE.match(text)
    if match is None or float(match[1]) <= 0:
        raise InputError(
            f"{text!r} is no rate; say the changes and the unit of time: 20/min, 2/s or 90/h"
        )
    seconds = _SECONDS[match[2][0].lower()] / float(match[1])
    if seconds < 1 / _FASTEST:
        raise InputError(f"at most {_FASTEST}/s changes can be made")
    return seconds


class BusyStore:
    """Changes a simulated store, at random and repeatably.

    :param seed: stores with the same objects and the same seed change in the same way.
    :param write: prints one line for each change.
    """

    def __init__(self, client: StoreClient, seed: int, write: cabc.Callable[[str], None]) -> None:
        self._rng = random.Random(seed)
        self._names = list(_WEIGHTS)
        self._write = write
        self._store = ChangingStore(client, simulated=True, rng=self._rng, choose=self._choose)

    def step(self) -> None:
        """Make one change and print it."""
        [name] = self._rng.choices(self._names, weights=list(_WEIGHTS.values()))
        perform(TRIGGERS[name], self._store, self._write)

    def run(self, seconds: float, stop: threading.Event) -> None:
        """Make changes until ``stop`` is set.

        :param seconds: between two changes.
        """
        while not stop.wait(seconds):
            self.step()

    def _choose(self, rows: cabc.Sequence[Row]) -> Row:
        # Objects of one second have no order of their own.
        return self._rng.choice(sorted(rows, key=lambda row: int(row["id"])))


def perform(trigger: Trigger, store: ChangingStore, write: cabc.Callable[[str], None]) -> None:
    """Make a change and print what was changed, or why not."""
    try:
        number = trigger.run(store)
    except TransportError as exc:
        write(f"{trigger.name} failed: {exc}")
        return
    write(f"{trigger.name:26} {trigger.resource} {number}")
