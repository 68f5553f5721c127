"""The state of a simulated store: its tables, counters, clock and hooks."""

from __future__ import annotations

import collections
import collections.abc as cabc
import datetime as dt
import functools
import random
import threading
import typing as t
import zoneinfo

from .clock import SimClock
from .encoding import Json
from .tables import Row, Table
from .versions import Version

#: Every kind of object, with the counter that gives its ids.
KINDS = {
    "orders": "posts",
    "products": "posts",
    "variations": "posts",
    "coupons": "posts",
    "refunds": "posts",
    "customers": "users",
    "notes": "comments",
    "reviews": "comments",
    "categories": "terms",
    "tags": "terms",
    "shipping_classes": "terms",
    "attributes": "attributes",
    "taxes": "taxes",
    "zones": "zones",
    "webhooks": "webhooks",
}

Hook = cabc.Callable[[str, int], None]


class Shop:
    """The state that the resources share; hold ``lock`` to read or change it."""

    def __init__(self, version: Version, timezone: str, clock: SimClock) -> None:
        self.version = version
        self.clock = clock
        self.home = "http://localhost"
        self.lock = threading.RLock()
        self.random = random.Random(0)
        self.tables = {kind: Table() for kind in KINDS}
        #: The next id of each counter; WordPress's own objects come first.
        self.counters: dict[str, int] = collections.defaultdict(lambda: 1)
        self.counters.update(posts=10, users=2, comments=2, terms=16, meta=12)
        #: Slugs of products and the ids that have them.
        self.slugs: dict[str, int] = {}
        #: By kind, the ids of the children of each parent.
        self.children: dict[str, dict[int, list[int]]] = collections.defaultdict(dict)
        self._hooks: list[Hook] = []
        self._gmt = functools.lru_cache(8192)(_make_gmt)
        self.set_timezone(timezone)

    # Time

    def set_timezone(self, name: str) -> None:
        """Show local dates in another zone from now on."""
        self.timezone, self.zone = name, zoneinfo.ZoneInfo(name)
        utc = name == "UTC"
        self._local = self._gmt if utc else functools.lru_cache(8192)(self._make_local)
        for table in self.tables.values():
            table.all_changed()

    def now(self) -> int:
        """Return the store's time in seconds since the epoch."""
        return int(self.clock.timestamp())

    def local(self, moment: int | None) -> str | None:
        """Return a date in the site's time zone, without an offset."""
        return None if moment is None else self._local(moment)

    def gmt(self, moment: int | None) -> str | None:
        """Return a date in UTC, without an offset."""
        return None if moment is None else self._gmt(moment)

    def created_dates(self, row: Row) -> Json:
        """Return the created date, local and in UTC."""
        return {
            "date_created": self.local(row.created),
            "date_created_gmt": self.gmt(row.created),
        }

    def dates(self, row: Row) -> Json:
        """Return the created and modified dates, local and in UTC."""
        return {
            **self.created_dates(row),
            "date_modified": self.local(row.modified),
            "date_modified_gmt": self.gmt(row.modified),
        }

    def _make_local(self, moment: int) -> str:
        return dt.datetime.fromtimestamp(moment, self.zone).isoformat()[:19]

    def moment(self, text: t.Any, *, gmt: bool = False) -> int | None:
        """Read a date that a client sent; without an offset it is local, or UTC with ``gmt``."""
        try:
            value = dt.datetime.fromisoformat(str(text))
        except ValueError:
            return None
        if value.tzinfo is None:
            value = value.replace(tzinfo=dt.UTC if gmt else self.zone)
        return int(value.timestamp())

    # Rows

    def next_id(self, counter: str) -> int:
        """Take the next id of a counter."""
        value = self.counters[counter]
        self.counters[counter] = value + 1
        return value

    def create(self, kind: str, fields: Json, *, status: str = "publish", parent: int = 0) -> Row:
        """Add a row that is created now."""
        now = self.now()
        row = Row(self.next_id(KINDS[kind]), status, now, now, fields, parent)
        if parent:
            self.children[kind].setdefault(parent, []).append(row.id)
        return self.tables[kind].add(row)

    def remove(self, kind: str, row: Row) -> None:
        """Delete a row permanently."""
        self.tables[kind].remove(row.id)
        if row.parent:
            self.children[kind].get(row.parent, []).remove(row.id)

    def children_of(self, kind: str, parent: int) -> list[Row]:
        """Return the children of this parent, oldest first."""
        table = self.tables[kind]
        found = (table.get(child) for child in self.children[kind].get(parent, ()))
        return [row for row in found if row is not None]

    def meta(self, key: str, value: t.Any) -> Json:
        """Return a new entry of ``meta_data``."""
        return {"id": self.next_id("meta"), "key": key, "value": value}

    def set_meta(self, fields: Json, entries: cabc.Iterable[Json]) -> None:
        """Write entries of ``meta_data`` by id or key; the value None deletes."""
        current = [dict(entry) for entry in fields.get("meta_data", ())]
        for entry in entries:
            known = next(
                (
                    old
                    for old in current
                    if ("id" in entry and old["id"] == entry["id"])
                    or ("id" not in entry and old["key"] == entry.get("key"))
                ),
                None,
            )
            if entry.get("value") is None:
                current = [old for old in current if old is not known]
            elif known is not None:
                known["value"] = entry["value"]
            else:
                current.append(self.meta(str(entry.get("key")), entry["value"]))
        fields["meta_data"] = current

    def drop_meta(self, fields: Json, *keys: str) -> None:
        """Remove entries of ``meta_data`` by key."""
        kept = [entry for entry in fields.get("meta_data", ()) if entry["key"] not in keys]
        fields["meta_data"] = kept

    # Links and hooks

    def api(self, path: str) -> str:
        """Return the URL of a path in the REST API."""
        return f"{self.home}/wp-json/wc/v3/{path}"

    def link(self, path: str, allow: cabc.Sequence[str] = ()) -> list[Json]:
        """Return one entry of ``_links``."""
        entry: Json = {"href": self.api(path)}
        if allow and self.version.target_hints:
            entry["targetHints"] = {"allow": list(allow)}
        return [entry]

    def add_hook(self, hook: Hook) -> None:
        """Call a function for every hook that fires."""
        self._hooks.append(hook)

    def fire(self, name: str, argument: int) -> None:
        """Run a WordPress action."""
        for hook in self._hooks:
            hook(name, argument)


def _make_gmt(moment: int) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).isoformat()[:19]
