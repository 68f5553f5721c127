"""Waiting: hints whose objects could not be read, apart from all others.

Each is stored in the inbox once more: for one resource alone, with the number of its failures in
place of a topic, and with the date of its next attempt.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ...db.models import WAITING_TOPICS
from ..hint import Hint
from ..reading.base import Followups

#: Objects of one batch that are found to be unreadable one by one; the rest wait with them.
MAX_ALONE = 20
#: The beginning of the topics of all that wait, and of what waits because its resource fails.
PREFIX = WAITING_TOPICS
RESOURCE, OBJECT = f"{PREFIX}resource.", f"{PREFIX}object."

Part = t.TypeVar("Part")


class HintTarget(t.NamedTuple):
    """What a hint asks of one resource: to read an object, or the children of a parent."""

    object_id: int | None
    parent: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """One of them that waits.

    :param resource: the whole resource fails, not only this.
    :param failures: attempts that failed, in a row.
    :param trace: the trace context of the webhook that named it.
    """

    collection: str
    named: HintTarget
    until: dt.datetime
    failures: int
    resource: bool
    trace: str | None = None

    @property
    def topic(self) -> str:
        """What the inbox holds in place of a topic."""
        return f"{RESOURCE if self.resource else OBJECT}{self.failures}"


def is_waiting(hint: Hint) -> bool:
    """Return whether a hint comes from an attempt that failed."""
    return hint.topic.startswith(PREFIX)


def failures_of(hint: Hint) -> int:
    """Return the number of a hint's attempts that failed."""
    return int(hint.topic.rpartition(".")[2]) if is_waiting(hint) else 0


def named_in(followups: Followups) -> list[HintTarget]:
    """Return what follow-ups name."""
    ids = sorted(followups.candidates | followups.reread)
    return [
        *map(HintTarget, ids),
        *(HintTarget(None, parent) for parent in sorted(followups.parents)),
    ]


def restrict(followups: Followups, named: cabc.Iterable[HintTarget]) -> None:
    """Have follow-ups name only these."""
    ids = {one.object_id for one in named if one.object_id is not None}
    followups.candidates, followups.reread = ids, set()
    followups.parents = {one.parent for one in named if one.parent is not None}


def unreadable(
    named: cabc.Sequence[Part], read: cabc.Callable[[cabc.Sequence[Part]], bool]
) -> list[Part]:
    """Return those that cannot be read, by halves; all of them together have just failed.

    :param read: reads some of them, and returns whether that was possible.
    """
    parts, found = [list(named)], list[Part]()
    known = True
    while parts:
        part = parts.pop()
        if len(found) >= MAX_ALONE:
            found += part
        elif not known and read(part):
            pass
        elif len(part) == 1:
            found += part
        else:
            middle = len(part) // 2
            parts += [part[middle:], part[:middle]]
        known = False
    return found
