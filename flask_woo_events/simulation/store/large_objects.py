"""Large objects: a plugin that stores files in the metadata of some objects."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

import orjson

from .lies import Asked, Lie
from .responses import SimulatedResponse
from .routes import Routes


class LargeObjects(Lie):
    """Some objects of one kind have as many bytes as this, in a metadata value.

    :param kind: such as ``orders``.
    :param sizes: bytes by the object's id.
    """

    def __init__(self, kind: str, sizes: cabc.Mapping[int, int]) -> None:
        self._kind = kind
        self._sizes = sizes

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the answer with the large values."""
        if f"/{self._kind}" not in asked.path or answer.status != 200:
            return answer
        data = orjson.loads(answer.body)
        rows = data if isinstance(data, list) else [data]
        for row in rows:
            if isinstance(row, dict) and "meta_data" in row and row.get("id") in self._sizes:
                row["meta_data"] = [*row["meta_data"], self._meta(row["id"])]
        return dataclasses.replace(answer, body=orjson.dumps(data))

    def _meta(self, number: int) -> dict[str, t.Any]:
        return {"id": 10**6 + number, "key": "_file", "value": "x" * self._sizes[number]}
