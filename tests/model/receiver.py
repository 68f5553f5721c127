"""A receiver of events, which compares them with what really happened in the store."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses

from flask_woo_events.simulation.loss_suite.judge import ObjectKey, Truth

States = dict[ObjectKey, set[bytes | None]]


@dataclasses.dataclass
class Counts:
    """What was wrong in one history or in several."""

    histories: int = 0
    #: Objects whose last state was never sent.
    lost: list[str] = dataclasses.field(default_factory=list)
    #: Objects whose last event is false, and was not corrected.
    stays_false: list[str] = dataclasses.field(default_factory=list)
    #: Events of a state that the object did not have since the previous poll, during a lie.
    false: list[str] = dataclasses.field(default_factory=list)
    #: Those that no lie of this kind or length may cause, and those while there was no lie.
    forbidden: list[str] = dataclasses.field(default_factory=list)
    #: Events of the state that the receiver had already, or of the wrong type for it.
    repeated: list[str] = dataclasses.field(default_factory=list)
    #: Versions that do not follow the object's version before.
    versions: list[str] = dataclasses.field(default_factory=list)
    #: Errors of the last poll.
    errors: list[str] = dataclasses.field(default_factory=list)

    def add(self, other: Counts) -> None:
        """Add the counts of another history."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    @property
    def clean(self) -> bool:
        """Whether nothing but events during a lie was false, and all was corrected."""
        wrong = (self.lost, self.stays_false, self.forbidden, self.repeated, self.versions)
        return not any((*wrong, self.errors))


class Receiver:
    """Applies events in the order in which they were recorded.

    :param truth: the baseline.
    """

    def __init__(self, truth: Truth) -> None:
        #: The state according to the events.
        self.known: dict[ObjectKey, bytes] = dict(truth)
        #: The objects whose last event was false.
        self.wrong: set[ObjectKey] = set()
        self.repeated: list[str] = []
        self.versions: list[str] = []
        self._version: dict[ObjectKey, int] = {}
        #: The states that were seen since the previous poll began, and since the last one.
        self._before: States = {}
        self._states: States = collections.defaultdict(set)
        self.record(truth)

    def record(self, truth: Truth, unlisted: cabc.Collection[ObjectKey] = ()) -> None:
        """Record the current state.

        :param unlisted: objects that may also count as deleted.
        """
        for key in truth.keys() | self._states.keys() | self._before.keys() | self.known.keys():
            self._states[key].add(truth.get(key))
        for key in unlisted:
            self._states[key].add(None)

    def begin_poll(self, *, forget: bool = True) -> None:
        """Forget what was so before the previous poll began.

        :param forget: false while a cache may show what was so long ago.
        """
        if not forget:
            for key, states in self._before.items():
                self._states[key] |= states
        self._before, self._states = self._states, collections.defaultdict(set)

    def receive(
        self, key: ObjectKey, event_type: str, content: bytes | None, version: int
    ) -> str | None:
        """Apply one event; return its description if it is false.

        :param content: the digest of the object; ``None`` for DELETED.
        """
        before, event = self.known.get(key), f"{event_type} {key[0]} {key[1]}"
        if content == before or (event_type == "CREATED") != (
            before is None and content is not None
        ):
            self.repeated.append(event)
        if version != self._version.get(key, version - 1) + 1:
            self.versions.append(f"{event}: {version} after {self._version[key]}")
        self._version[key] = version
        if content is None:
            self.known.pop(key, None)
        else:
            self.known[key] = content
        true = self._before.get(key, set()) | self._states.get(key, set())
        if content in true or (content is None and not true):
            self.wrong.discard(key)
            return None
        self.wrong.add(key)
        return event

    def differing(self, truth: Truth, ignored: cabc.Container[ObjectKey] = ()) -> list[ObjectKey]:
        """Return the objects whose state the receiver does not have."""
        keys = sorted(truth.keys() | self.known.keys())
        return [key for key in keys if truth.get(key) != self.known.get(key) and key not in ignored]
