"""The judge: compares the events that arrived with what really happened."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import typing as t

from ...sync.ledger.digest import digest_of

#: A resource and the id of an object in it.
ObjectKey = tuple[str, str]
#: The content of every live object, as a digest.
Truth = cabc.Mapping[ObjectKey, bytes]


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The result of comparing events with changes."""

    #: Changes between two polls, one for each changed object.
    changes: int
    #: Events that arrived.
    arrived: int
    #: Objects whose last state was not reported.
    lost: tuple[str, ...] = ()
    #: Events with a state that the object never had.
    false: tuple[str, ...] = ()
    #: Events that repeat a reported state.
    duplicate: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether no event was lost, invented or repeated."""
        return not (self.lost or self.false or self.duplicate)


def events_in(
    message: cabc.Mapping[str, t.Any],
) -> cabc.Iterator[tuple[ObjectKey, str, bytes | None]]:
    """Yield the object, the event type and the content of each event in a notification."""
    for event in message["events"]:
        key: ObjectKey = (event["objectType"], event["objectId"])
        rows = message["raw"].get(key[0], ())
        body = next((row for row in rows if str(row["objectId"]) == key[1]), None)
        content = None
        if event["eventType"] != "DELETED" and body is not None:
            # Fields that the notification adds to a record.
            added = ("objectId", "eventType")
            content = digest_of({name: body[name] for name in body if name not in added})
        yield key, event["eventType"], content


class Judge:
    """Applies events as a receiver would, and keeps every state that objects ever had.

    :param truth: the state that the receiver knows at the start.
    """

    def __init__(self, truth: Truth) -> None:
        #: The state according to the events.
        self.known: dict[ObjectKey, bytes] = dict(truth)
        self._states: dict[ObjectKey, set[bytes | None]] = collections.defaultdict(set)
        self._last = dict(truth)
        self._changes = self._arrived = 0
        self._false: list[str] = []
        self._duplicate: list[str] = []
        self.record(truth)

    def record(self, truth: Truth) -> None:
        """Record the current state."""
        for key, content in truth.items():
            self._states[key].add(content)
        for key, contents in self._states.items():
            if key not in truth:
                contents.add(None)

    def record_poll(self, truth: Truth) -> None:
        """Record the current state as one that a poll could see."""
        keys = truth.keys() | self._last.keys()
        self._changes += sum(truth.get(key) != self._last.get(key) for key in keys)
        self._last = dict(truth)

    def receive(self, key: ObjectKey, event_type: str, content: bytes | None) -> None:
        """Apply one event.

        :param content: the digest of the object in the notification; ``None`` for DELETED.
        """
        self._arrived += 1
        before = self.known.get(key)
        event = f"{event_type} {key[0]} {key[1]}"
        if event_type == "DELETED":
            content = None
        if content == before:
            self._duplicate.append(event)
        elif content not in self._states[key]:
            self._false.append(f"{event}: the object never had this state")
        elif (event_type == "CREATED") != (before is None):
            self._false.append(
                f"{event}: the receiver {'lacks' if before is None else 'has'} the object"
            )
        if content is None:
            self.known.pop(key, None)
        else:
            self.known[key] = content

    def agrees(self, truth: Truth) -> bool:
        """Return whether the receiver has the true state."""
        return self.known == truth

    def verdict(self, truth: Truth) -> Verdict:
        """Return the verdict for this final state."""
        lost = sorted(
            f"{resource} {number}"
            for resource, number in truth.keys() | self.known.keys()
            if truth.get((resource, number)) != self.known.get((resource, number))
        )
        return Verdict(
            self._changes, self._arrived, tuple(lost), tuple(self._false), tuple(self._duplicate)
        )
