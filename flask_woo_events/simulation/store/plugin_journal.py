"""The companion plugin's journal and its REST API."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import functools
import secrets
import typing as t

from .encoding import Json
from .product_references import ProductReferences
from .responses import RestError, SimulatedResponse, answer, no_route
from .state import Shop
from .tables import Row

#: Path of the journal.
PATH = "/wp-json/wc-flask-woo-events/v1/changes"
#: Path of the orders of products.
ORDERS_PATH = "/wp-json/wc-flask-woo-events/v1/orders"
#: Path of the status of the plugin.
STATUS_PATH = "/wp-json/wc-flask-woo-events/v1/status"
PATHS = (PATH, ORDERS_PATH, STATUS_PATH)
NAMESPACE = "wc-flask-woo-events/v1"
#: Maximum number of rows in a response.
LIMIT = 1_000
#: Kinds of objects, and their types in the journal.
TYPES = {
    "orders": "order",
    "refunds": "refund",
    "notes": "order_note",
    "products": "product",
    "variations": "variation",
    "coupons": "coupon",
    "customers": "customer",
    "categories": "product_category",
    "tags": "product_tag",
    "shipping_classes": "product_shipping_class",
    "reviews": "product_review",
}
#: Type of a product or variation that orders show differently now.
PRODUCT_IN_ORDERS = "product_in_orders"


@dataclasses.dataclass(frozen=True, slots=True)
class JournalEntry:
    """One row of the journal."""

    seq: int
    type: str
    id: int
    parent: int
    operation: str
    at: dt.datetime


@dataclasses.dataclass(frozen=True)
class JournalTable:
    """A copy of the journal, as in a backup of the database."""

    entries: tuple[JournalEntry, ...]
    next: int
    pruned: int
    epoch: str
    since: dt.datetime


class Journal:
    """Holds the rows that the plugin wrote; it is not installed until :meth:`install`.

    Every change of the tables is recorded, except changes by direct SQL.
    """

    def __init__(self, shop: Shop, uses: ProductReferences) -> None:
        self._shop = shop
        self._uses = uses
        self.installed = False
        #: A session in recovery mode has paused the plugin.
        self._paused = False
        self.entries: list[JournalEntry] = []
        self._next = 1
        self._pruned = 0
        self._epoch = ""
        self._since = shop.clock.now()
        #: Rows of a transaction that is not committed yet.
        self._held: list[JournalEntry] | None = None
        for kind in TYPES:
            shop.tables[kind].listeners.append(functools.partial(self._record, TYPES[kind]))
        uses.listener = self._record_product

    def install(self) -> None:
        """Install the plugin; changes until now were not recorded, so a new epoch begins."""
        with self._shop.lock:
            self.installed = True
            self.begin_epoch()

    def remove(self) -> None:
        """Remove the plugin; its table stays."""
        self.installed = False

    def begin_epoch(self) -> None:
        """Begin a new epoch: rows before this moment may be missing."""
        self._epoch, self._since = secrets.token_hex(10), self._shop.clock.now()

    def drop_table(self) -> None:
        """Drop the table, which the plugin immediately creates again."""
        with self._shop.lock:
            self.entries, self._next, self._pruned = [], 1, 0
            self.begin_epoch()

    def truncate(self) -> None:
        """Empty the table without the plugin; numbers restart at 1."""
        with self._shop.lock:
            self.entries, self._next = [], 1

    def copy(self) -> JournalTable:
        """Return a copy of the table."""
        entries = tuple(self.entries)
        return JournalTable(entries, self._next, self._pruned, self._epoch, self._since)

    def restore(self, table: JournalTable) -> None:
        """Restore a copy; its epoch goes on, and numbers are used again."""
        self.entries, self._next, self._pruned = list(table.entries), table.next, table.pruned
        self._epoch, self._since = table.epoch, table.since

    def prune(self, keep: int = 1) -> None:
        """Delete all rows but the newest ``keep``."""
        with self._shop.lock:
            gone = self.entries[:-keep]
            self._pruned = gone[-1].seq if gone else self._pruned
            self.entries = self.entries[-keep:]

    @contextlib.contextmanager
    def transaction(self) -> cabc.Iterator[cabc.Callable[[], None]]:
        """Hold back rows that are written in the block until the yielded function is called."""
        held: list[JournalEntry] = []

        def commit() -> None:
            with self._shop.lock:
                self.entries = sorted([*self.entries, *held], key=lambda entry: entry.seq)
                held.clear()

        self._held = held
        try:
            yield commit
        finally:
            self._held = None

    @contextlib.contextmanager
    def muted(self) -> cabc.Iterator[None]:
        """Record nothing while the block runs."""
        before, self.installed = self.installed, False
        try:
            yield
        finally:
            self.installed = before

    @contextlib.contextmanager
    def paused(self) -> cabc.Iterator[None]:
        """Record nothing while the block runs, as in a session in recovery mode, and say so."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def _record(self, kind: str, row: Row | None, operation: str) -> None:
        number, parent = (row.id, row.parent) if row is not None else (0, 0)
        self._write(kind, number, parent, operation)

    def _record_product(self, number: int) -> None:
        self._write(PRODUCT_IN_ORDERS, number, 0, "update")

    def _write(self, kind: str, number: int, parent: int, operation: str) -> None:
        if not self.installed or self._paused:
            return
        now = self._shop.clock.now()
        entry = JournalEntry(self._next, kind, number, parent, operation, now)
        self._next += 1
        (self.entries if self._held is None else self._held).append(entry)

    def answer(self, params: cabc.Mapping[str, str]) -> SimulatedResponse:
        """Answer ``/changes``.

        :raises RestError: the plugin is not installed, or the requested rows were pruned.
        """
        if not self.installed:
            raise no_route()
        limit, rows = int(params.get("limit", LIMIT)), self.entries
        after = int(params.get("after", 0))
        facts = self._facts(after)
        if "after" in params:
            if after < self._pruned:
                raise RestError(410, "flask_woo_events_pruned", "Rows after this one were pruned.")
            later = [entry for entry in rows if entry.seq > after]
            shown, more = later[:limit], len(later) >= limit
        else:
            shown, more = rows[-limit:], False
        changes = [_shown(entry) for entry in shown]
        place = {"next": shown[-1].seq if shown else after, "more": more}
        types = sorted([*TYPES.values(), PRODUCT_IN_ORDERS])
        return answer({"changes": changes, **place, "types": types, **facts})

    def orders(self, params: cabc.Mapping[str, str]) -> SimulatedResponse:
        """Answer ``/orders`` with all orders of some products.

        :raises RestError: the plugin is not installed.
        """
        if not self.installed:
            raise no_route()
        rows = self._uses.orders_of({int(product) for product in params["products"].split(",")})
        orders = [{"id": row.id, "type": "order", "parent": 0} for row in rows]
        return answer({"orders": orders, "next": self._shop.counters["items"], "more": False})

    def status(self) -> SimulatedResponse:
        """Answer ``/status``.

        :raises RestError: the plugin is not installed.
        """
        if not self.installed:
            raise no_route()
        facts = self._facts(0)
        del facts["anchor"]
        about = {"version": "1.0.0", "types": [*TYPES.values(), PRODUCT_IN_ORDERS]}
        return answer({**about, "last_read": None, "webhooks": [], **facts})

    def respond(self, path: str, params: cabc.Mapping[str, str]) -> SimulatedResponse:
        """Answer a request to the plugin.

        :raises RestError: the plugin is not installed, or the requested rows were pruned.
        """
        if path == PATH:
            return self.answer(params)
        return self.orders(params) if path == ORDERS_PATH else self.status()

    def _facts(self, after: int) -> Json:
        before = [entry for entry in self.entries if entry.seq <= after]
        anchor: t.Any = None
        if before:
            anchor = {"seq": before[-1].seq, "at": _date(before[-1].at)}
        return {
            "head": self.entries[-1].seq if self.entries else 0,
            "oldest": self.entries[0].seq if self.entries else 0,
            "pruned": self._pruned,
            "epoch": f"{self._epoch}-paused" if self._paused else self._epoch,
            "since": _date(self._since),
            "now": _date(self._shop.clock.now()),
            "anchor": anchor,
        }


def _shown(entry: JournalEntry) -> Json:
    return {
        "seq": entry.seq,
        "type": entry.type,
        "id": entry.id,
        "parent": entry.parent,
        "operation": entry.operation,
        "at": _date(entry.at),
        "source": "simulated",
    }


def _date(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
