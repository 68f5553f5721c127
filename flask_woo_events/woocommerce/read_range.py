"""A range of positions of a listing: what was read of it, and its parts."""

from __future__ import annotations

import dataclasses
import typing as t

from .responses import StoreResponse

Row = dict[str, t.Any]


@dataclasses.dataclass
class ReadRange:
    """What was read of a range of positions."""

    #: Rows, and positions in place of those that cannot be read.
    items: list[Row | int] = dataclasses.field(default_factory=list)
    #: The first answer.
    answer: StoreResponse | None = None
    #: An answer with another row, if there is no first one.
    spare: StoreResponse | None = None
    #: A position at which the store has shown a row, or that there is none.
    good: int | None = None

    def add(self, answer: StoreResponse) -> None:
        """Add the rows of an answer."""
        self.items += answer.data
        self.answer = self.answer or answer

    def ends_before(self, place: int) -> bool:
        """Return whether the collection has no row there."""
        if self.answer is None or self.answer.total is None:
            return False
        return bool(self.items) and place >= self.answer.total

    @property
    def rows(self) -> list[Row]:
        """The rows that could be read."""
        return [item for item in self.items if not isinstance(item, int)]

    @property
    def places(self) -> list[int]:
        """The positions of the others."""
        return [item for item in self.items if isinstance(item, int)]

    @property
    def unreadable(self) -> int:
        """Their number."""
        return len(self.items) - len(self.rows)

    @property
    def merged(self) -> StoreResponse:
        """All rows as one answer."""
        answer = self.answer or self.spare
        assert answer is not None
        total = answer.total if self.answer is not None or answer.data else None
        return dataclasses.replace(answer, data=self.rows, total=total, unreadable=self.unreadable)


def parts_of(at: int, size: int, part: int) -> list[tuple[int, int, int | None]]:
    """Return the parts of a range, the first one last."""
    starts = range(at, at + size, part)
    return [(one, min(part, at + size - one), None) for one in reversed(starts)]


def divisor(count: int, most: int) -> int:
    """Return the greatest divisor up to a number: pages of that size begin where these do."""
    return next(size for size in range(min(count, most), 0, -1) if count % size == 0)
