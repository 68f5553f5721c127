"""More ill manners of plugins, caches and firewalls; they combine with those of ``manners``."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import email.utils

import orjson

from .lies import Asked, Lie
from .responses import SimulatedResponse
from .routes import Routes

CHALLENGE = b"<!DOCTYPE html><title>Just a moment...</title><p>Checking your browser"
#: Parameters that make each request another one.
_VARYING = frozenset({"_", "_skip_cache"})


class AlwaysFailed(Lie):
    """A plugin fails after each answer, or sets its status: successes have an error's status."""

    def __init__(self, status: int = 500) -> None:
        self._status = status

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return a list or an object with the status of an error."""
        if answer.status != 200 or not asked.reads:
            return answer
        return dataclasses.replace(answer, status=self._status)


class NotIncluded(Lie):
    """A plugin leaves objects out of lists that are asked for by ids."""

    def __init__(self, kind: str, ids: cabc.Container[int]) -> None:
        self._kind, self._ids = kind, ids

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return a list by ids without these objects."""
        if asked.listed != self._kind or "include" not in asked.params or answer.status != 200:
            return answer
        rows = [row for row in orjson.loads(answer.body) if row["id"] not in self._ids]
        return dataclasses.replace(answer, body=orjson.dumps(rows))


class AgedAnswers(Lie):
    """A cache keeps answers for a time, without regard to the parameters that vary.

    :param seconds: the time, by the store's clock.
    :param headers: what it adds to the answers that it kept; ``None`` for ``Age``.
    """

    def __init__(self, seconds: float, headers: cabc.Mapping[str, str] | None = None) -> None:
        self._seconds, self._headers = seconds, headers
        self._kept: dict[cabc.Hashable, tuple[float, SimulatedResponse]] = {}

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the kept answer, or keep this one."""
        if not asked.reads or answer.status not in (200, 404):
            return answer
        params = sorted(pair for pair in asked.params.items() if pair[0] not in _VARYING)
        key, now = (asked.method, asked.path, *params), live.shop.clock.timestamp()
        at, kept = self._kept.get(key, (now - self._seconds, answer))
        if now - at >= self._seconds:
            date = email.utils.format_datetime(live.shop.clock.now(), usegmt=True)
            kept = dataclasses.replace(answer, headers=[*answer.headers, ("Date", date)])
            self._kept[key] = (now, kept)
            return answer
        age = {"Age": str(int(now - at))} if self._headers is None else self._headers
        return dataclasses.replace(kept, headers=[*kept.headers, *age.items()])


class ChallengePage(Lie):
    """A firewall asks for a browser instead of letting requests pass.

    :param match: a part of the paths that it refuses.
    """

    def __init__(self, status: int = 403, match: str = "") -> None:
        self._status, self._match = status, match

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the page of the firewall."""
        if self._match not in asked.path:
            return answer
        html = [("Content-Type", "text/html")]
        return SimulatedResponse(self._status, CHALLENGE, html, authenticated=False)
