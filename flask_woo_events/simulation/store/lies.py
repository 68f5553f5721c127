"""Lies: wrong answers of a simulated store, by another state of the shop or altered lists.

Unlike a fault, a lie is a well-formed answer, and it lasts until it ends.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import email.utils
import threading
import typing as t

import orjson

from .responses import SimulatedResponse
from .routes import Routes
from .state import KINDS, Shop
from .store_side import Backup, StoreSide
from .tables import Row

Keep = cabc.Callable[[str, Row], bool]
Garbling = t.Literal["repeated", "reversed", "short"]


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request, as a lie sees it."""

    method: str
    path: str
    params: cabc.Mapping[str, str]
    #: Number of requests since the lie began.
    number: int = 0

    @property
    def reads(self) -> bool:
        """Whether the request changes nothing."""
        return self.method in ("GET", "HEAD")

    @property
    def listed(self) -> str:
        """The kind of the objects that the request lists; empty if it lists none."""
        name = self.path.rstrip("/").rpartition("/")[2]
        listed = self.reads and self.path.startswith("/wp-json/wc/") and name in KINDS
        return name if listed else ""


class Lie:
    """Answers requests; this class answers them truthfully."""

    def routes(self, live: Routes, asked: Asked) -> Routes:
        """Return the shop that answers the request."""
        return live

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the answer to send instead of this one."""
        return answer


TRUTH = Lie()


class Lies:
    """Holds the lie of the next requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: Lie = TRUTH
        self._number = 0
        #: The requests until each change of the lie, in order.
        self._planned: list[tuple[int, Lie]] = []

    @property
    def current(self) -> Lie:
        """The lie that answers now; :data:`TRUTH` if none does."""
        return self._current

    def begin(self, lie: Lie, *, after: int = 0, requests: int | None = None) -> None:
        """Answer with a lie from now, instead of any other.

        :param after: the number of requests that are still answered as before.
        :param requests: the number of answers after which it ends.
        """
        with self._lock:
            self._planned = [(after, lie)]
            if requests is not None:
                self._planned.append((after + requests, TRUTH))
            self._change()

    def end(self) -> None:
        """Answer truthfully from now."""
        with self._lock:
            self._planned, self._current = [], TRUTH

    def take(self, method: str, path: str, params: cabc.Mapping[str, str]) -> tuple[Lie, Asked]:
        """Return the lie that answers this request, and the request as it sees it."""
        with self._lock:
            self._change()
            lie, asked = self._current, Asked(method, path, params, self._number)
            self._number += 1
            self._planned = [(left - 1, planned) for left, planned in self._planned]
            return lie, asked

    def _change(self) -> None:
        while self._planned and self._planned[0][0] <= 0:
            self._current, self._number = self._planned.pop(0)[1], 0


def copy_of(live: Routes, home: str | None = None, backup: Backup | None = None) -> Routes:
    """Return a copy of a shop with its webhooks and its journal, which lives on by itself.

    :param home: the copy's own address; by default it has the shop's.
    :param backup: copy the shop as of this backup instead of now.
    """
    shop = live.shop
    with shop.lock:
        routes = _new_routes(shop, home or shop.home)
        StoreSide(routes).restore_backup(backup or StoreSide(live).snapshot(journal=True))
        routes.journal.installed = live.journal.installed
        routes.shop.tables["webhooks"].replace(shop.tables["webhooks"].copy())
        routes.shop.counters["webhooks"] = shop.counters["webhooks"]
    return routes


def _new_routes(shop: Shop, home: str) -> Routes:
    made = Shop(shop.version, shop.timezone, shop.clock)
    made.home = home
    return Routes(made)


class AnotherShop(Lie):
    """Another shop answers everything: a copy at another time or address, or a foreign shop."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        #: Changes in that shop.
        self.acts = StoreSide(routes)

    def routes(self, live: Routes, asked: Asked) -> Routes:
        """Return the other shop."""
        return self._routes


class Alternating(AnotherShop):
    """Another shop answers every second request, beginning with the first."""

    def routes(self, live: Routes, asked: Asked) -> Routes:
        """Return the other shop for every second request."""
        return live if asked.number % 2 else self._routes


class Replica(Lie):
    """A replica of the database that lags behind; writes reach the shop itself.

    It remembers the shop's states from when it is made, also while another lie answers.

    :param seconds: its delay, by the store's clock.
    """

    def __init__(self, live: Routes, seconds: float) -> None:
        self._live = live
        #: Its delay.
        self.seconds = seconds
        self._changed = False
        self._changed_at = live.shop.clock.timestamp()
        #: States of the shop, each with the time of its last change.
        self._states = [(self._changed_at, copy_of(live))]
        for table in live.shop.tables.values():
            table.listeners.append(self._note_change)

    def _note_change(self, _row: Row | None, _operation: str) -> None:
        self._changed, self._changed_at = True, self._live.shop.clock.timestamp()

    def record(self) -> None:
        """Keep the shop's state; every request does so, and states between two are skipped."""
        with self._live.shop.lock:
            if self._changed:
                self._states.append((self._changed_at, copy_of(self._live)))
                self._changed = False

    def routes(self, live: Routes, asked: Asked) -> Routes:
        """Return the newest state that is older than the delay, for reads."""
        if not asked.reads:
            return live
        self.record()
        limit = live.shop.clock.timestamp() - self.seconds
        old = [routes for at, routes in self._states if at <= limit]
        return old[-1] if old else self._states[0][1]


class Missing(Lie):
    """Some objects are missing, with their own addresses or only from lists of their kind.

    :param keep: returns whether an object is shown.
    :param lists_only: whether the objects' own addresses show them.
    """

    def __init__(self, keep: Keep, *, lists_only: bool = False) -> None:
        self._keep = keep
        self._lists_only = lists_only

    def routes(self, live: Routes, asked: Asked) -> Routes:
        """Return the shop without the missing objects, for reads."""
        if not asked.reads or (self._lists_only and not asked.listed):
            return live
        keep = self._keep
        if self._lists_only:
            # Other kinds are listed as ever, also where they show the missing objects.
            def keep(kind: str, row: Row) -> bool:
                return kind != asked.listed or self._keep(kind, row)

        with live.shop.lock:
            return _view(live, keep)


def _view(live: Routes, keep: Keep) -> Routes:
    """Return a shop for reading that shows some rows of another; they share their fields."""
    routes = _new_routes(live.shop, live.shop.home)
    for kind, table in live.shop.tables.items():
        kept = [row for row in table if keep(kind, row)]
        routes.shop.tables[kind].replace(
            dataclasses.replace(row, pieces=(), trimmed=None) for row in kept
        )
    routes.shop.children, routes.shop.slugs = live.shop.children, live.shop.slugs
    routes.shop.counters, routes.journal = live.shop.counters, live.journal
    return routes


def empty() -> Missing:
    """Return the lie that the shop has no objects."""
    return Missing(lambda _kind, _row: False)


def half(part: int = 0) -> Missing:
    """Return the lie that more than half of the objects are gone: four of five ids.

    :param part: 0 to 4, the remainder of the ids that are shown.
    """
    return Missing(lambda kind, row: kind == "webhooks" or row.id % 5 == part)


def hole(kind: str, ids: cabc.Container[int]) -> Missing:
    """Return the lie that lists of a kind lack objects, which their own addresses show."""
    return Missing(lambda a_kind, row: a_kind != kind or row.id not in ids, lists_only=True)


class GarbledLists(Lie):
    """Every list has wrong rows; its headers are right.

    :param how: ``repeated`` (the first row in place of the last), ``reversed``, or ``short`` (the
        second half is missing).
    """

    def __init__(self, how: Garbling) -> None:
        self._how = how

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the list with wrong rows."""
        if not asked.listed or answer.status != 200:
            return answer
        rows = orjson.loads(answer.body)
        match self._how:
            case "repeated":
                rows = rows[:-1] + rows[:1]
            case "reversed":
                rows = rows[::-1]
            case "short":
                rows = rows[: len(rows) // 2]
        return dataclasses.replace(answer, body=orjson.dumps(rows))


class CachedLists(Lie):
    """A cache in front of the store repeats each list for some time, without regard to its headers.

    :param seconds: the time, by the store's clock.
    :param age: whether the repeated answers have ``Age``.
    """

    def __init__(self, seconds: float, *, age: bool = True) -> None:
        self._seconds = seconds
        self._age = age
        self._kept: dict[cabc.Hashable, tuple[float, SimulatedResponse]] = {}

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the cached list, or cache this one."""
        if not asked.listed or answer.status != 200:
            return answer
        params = sorted(pair for pair in asked.params.items() if pair[0] != "_")
        key, now = (asked.path, *params), live.shop.clock.timestamp()
        at, kept = self._kept.get(key, (now - self._seconds, answer))
        if now - at >= self._seconds:
            date = email.utils.format_datetime(live.shop.clock.now(), usegmt=True)
            kept = dataclasses.replace(answer, headers=[*answer.headers, ("Date", date)])
            self._kept[key] = (now, kept)
            return answer
        age = [("Age", str(int(now - at)))] if self._age else []
        return dataclasses.replace(kept, headers=[*kept.headers, *age])
