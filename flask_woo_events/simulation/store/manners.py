"""Manners: what plugins, proxies and hosts do to a store's answers, for as long as they are there.

Each one is a lie, and several can be combined by :class:`Together`.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import email.utils
import itertools
import typing as t

import orjson

from .encoding import Json
from .faults import Reset
from .lies import Asked, Lie
from .responses import RestError, SimulatedResponse, answer, invalid
from .routes import Routes

_API = "/wp-json/wc/v3/"
_TOTALS = f"{_API}reports/orders/totals"
_CRITICAL = (
    "internal_server_error",
    "<p>There has been a critical error on this website.</p>",
)


class TimedOut(Reset):
    """Raised instead of an answer that the store does not give in time."""


class Together(Lie):
    """Several manners at the same time; each alters what the ones before it answer."""

    def __init__(self, *lies: Lie) -> None:
        self._lies = lies

    def routes(self, live: Routes, asked: Asked) -> Routes:
        """Return the shop of the last one that has another."""
        for lie in self._lies:
            live = lie.routes(live, asked)
        return live

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the answer as all of them alter it."""
        for lie in self._lies:
            answer = lie.alter(live, asked, answer)
        return answer


class Manner(Lie):
    """Alters answers to reads of the REST API that succeeded; subclasses define how."""

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the altered answer."""
        if not (asked.reads and asked.path.startswith(_API) and answer.status == 200):
            return answer
        try:
            return self.spoil(live, asked, answer)
        except RestError as exc:
            return exc.answer()

    def spoil(self, live: Routes, asked: Asked, given: SimulatedResponse) -> SimulatedResponse:
        """Return the answer to send instead of this one.

        :raises RestError: the answer is this error.
        """
        return given


# Rows and pages


class UnreadableRows(Manner):
    """Some objects are fatal errors: every answer that holds one of them is a 500.

    :param light: whether answers with a few fields only (``_fields``) can be read.
    :param alone: whether the object's own address can be read.
    """

    def __init__(
        self, kind: str, ids: cabc.Container[int], *, light: bool = False, alone: bool = False
    ) -> None:
        self._kind = kind
        self._ids = ids
        self._light = light
        self._alone = alone

    def spoil(self, live: Routes, asked: Asked, given: SimulatedResponse) -> SimulatedResponse:
        """Refuse an answer that holds one of the objects."""
        if self._light and "_fields" in asked.params:
            return given
        if asked.listed == self._kind:
            held = any(row.get("id") in self._ids for row in orjson.loads(given.body))
        else:
            kind, number = _own_address(asked)
            held = not self._alone and kind == self._kind and number in self._ids
        if held:
            raise RestError(500, *_CRITICAL)
        return given


class FailsAbove(Manner):
    """The store has memory or time for a few objects only: longer pages are a 500.

    :param rows: the largest number of objects.
    :param light: whether answers with a few fields only (``_fields``) can be longer.
    :param slow: whether there is no answer in time instead.
    """

    def __init__(self, rows: int, *, light: bool = True, slow: bool = False) -> None:
        self._rows = rows
        self._light = light
        self._slow = slow

    def spoil(self, live: Routes, asked: Asked, given: SimulatedResponse) -> SimulatedResponse:
        """Refuse an answer with more objects."""
        if not asked.listed or (self._light and "_fields" in asked.params):
            return given
        if len(orjson.loads(given.body)) <= self._rows:
            return given
        if self._slow:
            raise TimedOut
        raise RestError(500, *_CRITICAL)


class CappedPages(Manner):
    """A plugin lowers ``per_page`` to its own limit; the headers are of the shorter pages."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def spoil(self, live: Routes, asked: Asked, given: SimulatedResponse) -> SimulatedResponse:
        """Return a page of fewer objects."""
        if not asked.listed or _per_page(asked) <= self._rows:
            return given
        return ask_again(live, asked, per_page=str(self._rows))


class RefusedPages(Manner):
    """A plugin refuses a ``per_page`` above its own limit with 400."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def spoil(self, live: Routes, asked: Asked, given: SimulatedResponse) -> SimulatedResponse:
        """Refuse larger pages."""
        if asked.listed and _per_page(asked) > self._rows:
            limit = f"per_page must be between 1 (inclusive) and {self._rows} (inclusive)"
            raise invalid({"per_page": ("rest_out_of_bounds", limit)})
        return given


class ForcedOrder(Manner):
    """A plugin puts its own ``orderby`` and ``order`` in place of the requested ones."""

    def __init__(self, orderby: str = "date", order: str = "desc") -> None:
        self._orderby = orderby
        self._order = order

    def spoil(self, live: Routes, asked: Asked, given: SimulatedResponse) -> SimulatedResponse:
        """Return the list in the plugin's order."""
        if asked.listed not in ("orders", "products", "coupons"):
            return given
        return ask_again(live, asked, orderby=self._orderby, order=self._order)


class LateInclude(Manner):
    """Lists by ``include`` lack objects for some time after a change, which light lists show.

    :param seconds: the time, by the store's clock.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def spoil(self, live: Routes, asked: Asked, given: SimulatedResponse) -> SimulatedResponse:
        """Return the list without objects that changed lately."""
        if not asked.listed or "include" not in asked.params:
            return given
        table, limit = live.shop.tables[asked.listed], live.shop.now() - self._seconds
        rows = orjson.loads(given.body)
        stored = {row["id"]: table.get(row["id"]) for row in rows}
        kept = [row for row in rows if (one := stored[row["id"]]) and (one.modified or 0) <= limit]
        total = ("X-WP-Total", str(len(kept)))
        headers = [pair for pair in given.headers if pair[0] != "X-WP-Total"]
        return dataclasses.replace(given, body=orjson.dumps(kept), headers=[*headers, total])


# Statuses


class FailingTotals(Lie):
    """``reports/orders/totals`` does not work.

    :param body: what it answers with 200; ``None`` for a 500.
    """

    def __init__(self, body: t.Any = None) -> None:
        self._body = body

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the wrong report."""
        if asked.path != _TOTALS:
            return answer
        if self._body is None:
            return RestError(500, *_CRITICAL).answer()
        return dataclasses.replace(answer, body=orjson.dumps(self._body))


class RefusedStatus(Manner):
    """The totals list an order status that ``/orders`` refuses with 400."""

    def __init__(self, status: str = "wc-quote") -> None:
        self._status = status

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """List the status, or refuse it."""
        if asked.listed == "orders" and self._status in asked.params.get("status", "").split(","):
            message = f"status[0] is not one of any, trash, {', '.join(('pending', 'processing'))}."
            return invalid({"status": ("rest_not_in_enum", message)}).answer()
        return super().alter(live, asked, answer)

    def spoil(self, live: Routes, asked: Asked, given: SimulatedResponse) -> SimulatedResponse:
        """List the status."""
        if asked.path != _TOTALS:
            return given
        extra = {"slug": self._status, "name": "Quote", "total": 0}
        return answer([*orjson.loads(given.body), extra])


# Answers that are not what they seem


class ErrorsAs200(Lie):
    """A plugin prints something first, so that every error has status 200 and no totals."""

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the answer with status 200."""
        if answer.status < 400 or not asked.path.startswith(_API):
            return answer
        return dataclasses.replace(answer, status=200, headers=[])


class MissingTotals(Manner):
    """A proxy removes ``X-WP-Total`` and ``X-WP-TotalPages``."""

    def spoil(self, live: Routes, asked: Asked, given: SimulatedResponse) -> SimulatedResponse:
        """Return the answer without them."""
        kept = [pair for pair in given.headers if not pair[0].startswith("X-WP-Total")]
        return dataclasses.replace(given, headers=kept)


class TextAround(Lie):
    """PHP or a plugin prints text before or after the JSON."""

    #: What stores print: a warning of PHP, an error of wpdb, a script, a table of xdebug.
    BEFORE = (
        b"<br />\n<b>Warning</b>:  Undefined key [0] in <b>x.php</b> on line <b>7</b><br />\n",
        b'<div id="error"><p class="wpdberror"><strong>WordPress database error:</strong> '
        b"[Table 'x' does not exist]<br /><code>SELECT {x}</code></p></div>",
        b'<script>window.seen = {"id": 1};</script>',
        b"<font size='1'><table class='xdebug-error xe-notice' border='1'><tr><th>( ! )"
        b" Notice: [1, 2] in x.php on line <i>7</i></th></tr></table></font>\n",
    )
    #: A warning at shutdown, and a comment of a cache.
    AFTER = (
        b"<br />\n<b>Warning</b>:  Unknown: Failed [13] in <b>Unknown</b> on line <b>0</b><br />\n",
        b"\n<!-- Dynamic page generated in 0.4 seconds. [cached] -->",
    )

    def __init__(self, before: bytes = b"", after: bytes = b"") -> None:
        self._before = before
        self._after = after

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the answer with the text."""
        if not asked.path.startswith("/wp-json/"):
            return answer
        return dataclasses.replace(answer, body=self._before + answer.body + self._after)


class Firewall(Lie):
    """A firewall answers every second read of the REST API with a page of its own.

    :param status: 403, or 200 for a challenge.
    """

    def __init__(self, status: int = 403) -> None:
        self._status = status

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the page."""
        if not asked.path.startswith(_API) or asked.number % 2:
            return answer
        page = b"<!DOCTYPE html><html><head><title>Attention Required!</title></head></html>"
        return SimulatedResponse(self._status, page, [("Content-Type", "text/html")])


class CachedAnswers(Manner):
    """A cache repeats each answer for some time, whatever parameter of ours varies, and says so.

    :param seconds: the time, by the store's clock.
    :param header: the header with which it says so; empty if it has the old ``Date`` only.
    """

    def __init__(self, seconds: float, header: str = "X-Cache") -> None:
        self._seconds = seconds
        self._header = header
        self._kept: dict[cabc.Hashable, tuple[float, SimulatedResponse]] = {}

    def spoil(self, live: Routes, asked: Asked, given: SimulatedResponse) -> SimulatedResponse:
        """Return the cached answer, or cache this one."""
        varying = ("_", "_skip_cache")
        params = sorted(pair for pair in asked.params.items() if pair[0] not in varying)
        key, now = (asked.method, asked.path, *params), live.shop.clock.timestamp()
        kept = self._kept.get(key)
        if kept is None or now - kept[0] >= self._seconds:
            date = email.utils.format_datetime(live.shop.clock.now(), usegmt=True)
            dated = dataclasses.replace(given, headers=[*given.headers, ("Date", date)])
            self._kept[key] = (now, dated)
            return given
        hit = [(self._header, "HIT")] if self._header else []
        return dataclasses.replace(kept[1], headers=[*kept[1].headers, *hit])


class UnstableFields(Manner):
    """A plugin adds fields that differ at each read, such as signed links and times."""

    #: The added fields.
    NAMES = ("signed_url", "yoast_head_json")

    def __init__(self) -> None:
        self._reads = itertools.count(1)

    def spoil(self, live: Routes, asked: Asked, given: SimulatedResponse) -> SimulatedResponse:
        """Return the objects with the fields."""
        kind, _number = _own_address(asked)
        found = orjson.loads(given.body)
        rows: list[Json] = found if asked.listed else [found] if kind else []
        fields = asked.params.get("_fields")
        for row in rows:
            read = next(self._reads)
            extra: Json = {
                "signed_url": f"https://media.example.com/{row.get('id')}?signature={read:08x}",
                "yoast_head_json": {"title": "Shop", "generated": read},
            }
            wanted = fields.split(",") if fields else list(extra)
            row.update({name: extra[name] for name in wanted if name in extra})
        return dataclasses.replace(given, body=orjson.dumps(found)) if rows else given


def ask_again(live: Routes, asked: Asked, **changed: str) -> SimulatedResponse:
    """Return the shop's answer to a request with other parameters."""
    path, params = asked.path.removeprefix(_API), {**asked.params, **changed}
    with live.shop.lock:
        return live.answer("GET", path, f"{live.shop.home}{asked.path}", params, {})


def _per_page(asked: Asked) -> int:
    text = asked.params.get("per_page", "10")
    return int(text) if text.isdecimal() else 10


def _own_address(asked: Asked) -> tuple[str, int]:
    """Return the kind and id of the object whose own address is read, or nothing."""
    parts = asked.path.removeprefix(_API).strip("/").split("/")
    if len(parts) < 2 or not parts[-1].isdecimal():
        return "", 0
    return parts[-2], int(parts[-1])
