"""Unstable fields of a simulated store, as extensions add them to each object."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import itertools

import orjson

from .lies import Asked, Lie
from .responses import SimulatedResponse
from .routes import Routes


class UnstableField(Lie):
    """Objects of a kind have a field that differs at each read, such as a signed URL.

    :param every: it differs only after this time instead, by the store's clock, as after the bulk
        write of an ERP.
    """

    def __init__(self, kind: str, name: str, every: float | None = None) -> None:
        self._kind = kind
        self._name = name
        self._every = every
        self._numbers: cabc.Iterator[int] = itertools.count()

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the list or the object with the field."""
        parent = asked.path.rstrip("/").rpartition("/")[0]
        shown = asked.listed == self._kind or parent.endswith(f"/{self._kind}")
        if not shown or answer.status != 200 or "_fields" in asked.params:
            return answer
        body = orjson.loads(answer.body)
        for row in body if isinstance(body, list) else [body]:
            row[self._name] = f"https://cdn.test/{row['id']}?signature={self._value(live)}"
        return dataclasses.replace(answer, body=orjson.dumps(body))

    def _value(self, live: Routes) -> int:
        if self._every is None:
            return next(self._numbers)
        return int(live.shop.clock.timestamp() // self._every)
