"""The belief: what an instance recognizes its store by, and why it holds."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import enum
import typing as t

import pydantic
from sqlalchemy import orm

from ..db.models import Instance


class Doubt(enum.StrEnum):
    """What is believed of a store whose answers cannot be recorded."""

    COPY = "copy"  #: known objects under another address: a clone, or the store has moved
    ANOTHER = "another"  #: other objects under known ids
    UNKNOWN = "unknown"  #: nothing that is known, and nothing that contradicts it
    ALTERNATING = "alternating"  #: the known store, in turn with another one or an old copy


#: How many times in how long the store becomes another one, or an older one, until it holds.
REVERSALS, REVERSED_WITHIN = 3, dt.timedelta(hours=1)
ALTERNATING_REASON = (
    "the known store and another one, or an old copy of it, answer at store.url in turn: their "
    "answers cannot be distinguished; it goes on after an hour without the other one"
)
#: What accepting a hold means.
_WISHES = {
    Doubt.COPY: "If it has moved",
    Doubt.ALTERNATING: "To go on immediately",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Hold:
    """Since when and why nothing of a store is recorded."""

    verdict: Doubt
    since: dt.datetime
    reason: str
    #: The address that the store gives as its own, if it was another.
    root: str = ""

    def text(self, instance_id: int) -> str:
        """Return the reason with what a person can do."""
        wish = _WISHES.get(self.verdict, "To take over the store that answers")
        return (
            f"{self.reason}. Nothing is recorded since {self.since:%Y-%m-%d %H:%M} UTC, until the "
            "known store answers again. "
            f"{wish}: flask woo instances accept {instance_id}"
        )


@dataclasses.dataclass(slots=True)
class Belief:
    """What an instance recognizes its store by; changed in place and saved with the lease."""

    #: The address that the store gives as its own, normalised; empty until an answer has it.
    root: str = ""
    #: Digests of the oldest users; ``None`` until they were asked for.
    users: tuple[str, ...] | None = None
    hold: Hold | None = None
    #: An operator has accepted what is missing since this, by our clock.
    accepted: dt.datetime | None = None
    #: An operator has accepted the store that answers now; it is compared as a whole.
    adopting: bool = False
    #: When the store became another one, or an older one, lately.
    reversals: tuple[dt.datetime, ...] = ()

    def reverse(self, now: dt.datetime) -> None:
        """Note that another store answers, or an older copy; once for each ordinary hold."""
        if self.hold is None or self.hold.verdict is Doubt.ALTERNATING:
            self.reversals = (*self.reversals, now)[-REVERSALS:]

    def alternates(self, now: dt.datetime) -> bool:
        """Return whether that happened so often that several stores answer in turn."""
        if not self.reversals or now - self.reversals[-1] >= REVERSED_WITHIN:
            return False
        if self.hold is not None and self.hold.verdict is Doubt.ALTERNATING:
            return True
        often = len(self.reversals) == REVERSALS
        return often and self.reversals[-1] - self.reversals[0] < REVERSED_WITHIN

    @classmethod
    def from_json(cls, stored: cabc.Mapping[str, t.Any] | None) -> Belief:
        """Return what ``to_json`` returned."""
        return _JSON.validate_python(stored or {})

    def to_json(self) -> dict[str, t.Any]:
        """Return what an instance's row keeps."""
        kept: dict[str, t.Any] = _JSON.dump_python(self, mode="json", exclude_defaults=True)
        return kept

    def save(self, session: orm.Session, instance_id: int) -> None:
        """Write it to the instance's row."""
        session.get_one(Instance, instance_id).belief = self.to_json()


_JSON = pydantic.TypeAdapter(Belief)
