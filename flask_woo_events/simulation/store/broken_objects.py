"""Broken objects of a simulated store, of which an extension makes a fatal error."""

from __future__ import annotations

import collections.abc as cabc

import orjson

from .encoding import encode
from .lies import Asked, Lie
from .responses import SimulatedResponse
from .routes import Routes


class BrokenAddresses(Lie):
    """Some objects' own addresses answer 500, whether the objects exist or not; lists work.

    :param kind: ``products`` or another kind.
    """

    def __init__(self, kind: str, ids: cabc.Container[int]) -> None:
        self._kind = kind
        self._ids = ids

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return 500 for the address of a broken object."""
        head, _, number = asked.path.rstrip("/").rpartition("/")
        broken = head.endswith(f"/{self._kind}") and number.isdecimal() and int(number) in self._ids
        return _FATAL if asked.reads and broken else answer


class BrokenObjects(BrokenAddresses):
    """Some objects are fatal errors wherever they are shown in full: 500 for any such page."""

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return 500 for the address of a broken object, and for full pages that hold one."""
        if asked.listed == self._kind and answer.status == 200 and "_fields" not in asked.params:
            if any(row["id"] in self._ids for row in orjson.loads(answer.body)):
                return _FATAL
        return super().alter(live, asked, answer)


_FATAL = SimulatedResponse(
    500,
    encode(
        {
            "code": "internal_server_error",
            "message": "<p>There has been a critical error on this website.</p>",
            "data": {"status": 500},
        }
    ),
)
