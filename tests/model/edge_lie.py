"""A lie that puts values at the edge of calendars, numbers and types into answers of a store."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

import orjson
from hypothesis import strategies as st

from flask_woo_events.simulation.store.lies import Asked, Lie
from flask_woo_events.simulation.store.responses import SimulatedResponse
from flask_woo_events.simulation.store.routes import Routes

#: JSON texts, among them some that are no JSON.
VALUES = (
    '"9999-12-31T23:59:59"', '"0001-01-01T00:00:00"', '"0000-00-00T00:00:00"',
    '"10000-01-01T00:00:00"', '"9999-12-31T23:59:59-14:00"', '"0001-01-01T00:00:00+14:00"',
    '""', '"x"', '"NaN"', '"1"', '"\\u0000"', '"\\ud800"', '"' + "x" * 70_000 + '"',
    "0", "-1", "1", "0.5", "-0", str(2**31), str(2**63 - 1), str(2**63), str(-(2**63)),
    str(2**64 - 1), str(2**64), "9" * 400, "1e308", "1e999", "NaN", "Infinity", "-Infinity",
    "null", "true", "false", "[]", "{}", "[null]", "[[]]", '{"a": 1}', "[" * 600 + "]" * 600,
)  # fmt: skip
HEADERS = (
    "X-WP-Total", "X-WP-TotalPages", "Date", "Age", "Link", "Retry-After", "Location", "X-Cache",
    "Content-Type",
)  # fmt: skip
TEXTS = (
    "", "x", "0", "-1", "1.5", "NaN", "1e999", "9" * 400, str(2**63), "\xff", "\xb2", "\xa0", "1,2",
    "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -1400",
    "Fri, 31 Dec 9999 23:59:60 GMT", "Mon, 01 Jan 0001 00:00:00 GMT",
    "Mon, 01 Jan 0001 00:00:00 +1400", "Mon, 01 Jan 0000 00:00:00 GMT",
    '<https://[::1>; rel="https://api.w.org/"', '<>; rel="https://api.w.org/"',
    '<https://a\xff:99999/wp-json/>; rel="https://api.w.org/"', "HIT",
)  # fmt: skip
STATUSES = (100, 199, 201, 204, 206, 299, 304, 399, 401, 403, 404, 410, 418, 429, 499, 500, 503,
            599, 600, 999)  # fmt: skip
#: Members that decide what is read next.
TELLING = {
    "id", "parent_id", "date_created", "date_created_gmt", "date_modified", "date_modified_gmt",
    "status", "type", "variations", "refunds", "line_items", "meta_data", "slug", "code", "total",
    "seq", "at", "head", "pruned", "epoch", "since", "now", "anchor", "types", "changes", "more",
    "orders", "next", "delivery_url", "topic", "create", "hooks", "home", "timezone_string",
    "gmt_offset", "namespaces", "environment", "version", "settings", "data",
}  # fmt: skip
Path = tuple[str | int, ...]


@dataclasses.dataclass(frozen=True)
class Edge:
    """What is wrong about one answer."""

    kind: t.Literal["telling", "any", "header", "status"]
    #: Which of the places that there are.
    place: int
    value: int
    #: The name of the member, or the index of the row, that has the value; empty for any.
    named: str | int = ""

    def applied(self, answer: SimulatedResponse) -> SimulatedResponse:
        """Return an answer with the value in its place."""
        if self.kind == "status":
            return dataclasses.replace(answer, status=STATUSES[self.value % len(STATUSES)])
        if self.kind == "header":
            name = HEADERS[self.place % len(HEADERS)]
            kept = [one for one in answer.headers if one[0] != name]
            added = (name, TEXTS[self.value % len(TEXTS)])
            return dataclasses.replace(answer, headers=[*kept, added])
        data = orjson.loads(answer.body or b"null")
        paths = list(_paths(data))
        if self.kind == "telling":
            paths = [one for one in paths if one and one[-1] in TELLING] or paths
        if self.named != "":
            paths = [one for one in paths if one and one[-1] == self.named]
        if not paths:
            return answer
        mark = "the value of the test"
        body = orjson.dumps(_put(data, paths[self.place % len(paths)], mark))
        text = VALUES[self.value % len(VALUES)].encode()
        return dataclasses.replace(answer, body=body.replace(orjson.dumps(mark), text))


def _paths(value: t.Any, path: Path = ()) -> cabc.Iterator[Path]:
    yield path
    if isinstance(value, dict | list):
        names = value if isinstance(value, dict) else range(len(value))
        for name in names:
            yield from _paths(value[name], (*path, name))


def _put(value: t.Any, path: Path, new: str) -> t.Any:
    if not path:
        return new
    changed = value.copy()
    changed[path[0]] = _put(value[path[0]], path[1:], new)
    return changed


class EdgeLie(Lie):
    """Alters the answers to requests with these numbers.

    :param only: part of the paths of these requests; the others are not counted.
    """

    def __init__(self, edges: cabc.Mapping[int, Edge], only: str = "") -> None:
        self._edges = edges
        self._only = only
        self._number = 0
        #: How many answers were altered.
        self.altered = 0

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the answer to send instead of this one."""
        if self._only not in asked.path:
            return answer
        edge = self._edges.get(self._number)
        self._number += 1
        if edge is None:
            return answer
        self.altered += 1
        return edge.applied(answer)


def edges(requests: int) -> st.SearchStrategy[dict[int, Edge]]:
    """Return a strategy for what is wrong, by the number of the request below this number."""
    numbers = st.integers(0, 2**16)
    kinds = st.sampled_from(("telling", "telling", "any", "header", "status"))
    edge = st.builds(Edge, kinds, numbers, numbers)
    return st.dictionaries(st.integers(0, requests - 1), edge, min_size=2, max_size=requests // 2)


def everywhere(named: str | int, value: str, requests: int) -> dict[int, Edge]:
    """Return the same value for a member of each of these answers."""
    edge = Edge("any", 0, VALUES.index(value), named)
    return dict.fromkeys(range(requests), edge)
