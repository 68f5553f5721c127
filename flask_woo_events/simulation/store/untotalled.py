"""Lists without a total: what some versions and plugins leave out of their headers."""

from __future__ import annotations

import dataclasses

from .lies import Asked, Lie
from .responses import SimulatedResponse
from .routes import Routes


class NoTotalPastTheEnd(Lie):
    """A page past the end of a list has no total."""

    def alter(self, live: Routes, asked: Asked, answer: SimulatedResponse) -> SimulatedResponse:
        """Return the empty page without its total."""
        if not asked.listed or answer.status != 200 or answer.body.strip() != b"[]":
            return answer
        left_out = ("X-WP-Total", "X-WP-TotalPages")
        headers = [pair for pair in answer.headers if pair[0] not in left_out]
        return dataclasses.replace(answer, headers=headers)
