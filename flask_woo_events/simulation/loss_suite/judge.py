"""The judge: compares what was told with what was true."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import typing as t

from ...sync.ledger.digest import digest_of

#: A resource and the id of an object.
Thing = tuple[str, str]
#: The content of every live object, as a digest.
Truth = cabc.Mapping[Thing, bytes]


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What a scenario came to."""

    #: Changes that happened, as far as a poll could see them apart.
    changes: int
    #: Events that arrived.
    arrived: int
    #: Objects whose last state nobody was told.
    lost: tuple[str, ...] = ()
    #: Events that tell what never was.
    false: tuple[str, ...] = ()
    #: Events that tell what had been told.
    duplicate: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Nothing was lost, invented or repeated."""
        return not (self.lost or self.false or self.duplicate)


def told(message: cabc.Mapping[str, t.Any]) -> cabc.Iterator[tuple[Thing, str, bytes | None]]:
    """The events of a notification: what, CREATED or UPDATED or DELETED, and the content."""
    for event in message["events"]:
        thing: Thing = (event["objectType"], event["objectId"])
        rows = message["raw"].get(thing[0], ())
        body = next((row for row in rows if str(row["objectId"]) == thing[1]), None)
        content = None
        if event["eventType"] != "DELETED" and body is not None:
            # The two that the envelope adds to a record.
            added = ("objectId", "eventType")
            content = digest_of({name: body[name] for name in body if name not in added})
        yield thing, event["eventType"], content


class Judge:
    """Folds events as a receiver would, and remembers everything that was ever true.

    :param truth: when the receiver's knowledge begins.
    """

    def __init__(self, truth: Truth) -> None:
        #: What a receiver believes.
        self.known: dict[Thing, bytes] = dict(truth)
        self._ever: dict[Thing, set[bytes | None]] = collections.defaultdict(set)
        self._last = dict(truth)
        self._changes = self._arrived = 0
        self._false: list[str] = []
        self._duplicate: list[str] = []
        self.record(truth)

    def record(self, truth: Truth) -> None:
        """Note what is true at this moment."""
        for thing, content in truth.items():
            self._ever[thing].add(content)
        for thing, contents in self._ever.items():
            if thing not in truth:
                contents.add(None)

    def polled(self, truth: Truth) -> None:
        """Note that a poll could see what is true at this moment."""
        things = truth.keys() | self._last.keys()
        self._changes += sum(truth.get(thing) != self._last.get(thing) for thing in things)
        self._last = dict(truth)

    def tell(self, thing: Thing, kind: str, content: bytes | None) -> None:
        """Take one event.

        :param content: the digest of the object that came with it; ``None`` for DELETED.
        """
        self._arrived += 1
        before = self.known.get(thing)
        words = f"{kind} {thing[0]} {thing[1]}"
        if kind == "DELETED":
            content = None
        if content == before:
            self._duplicate.append(words)
        elif content not in self._ever[thing]:
            self._false.append(f"{words}: it never was so")
        elif (kind == "CREATED") != (before is None):
            self._false.append(f"{words}: the receiver {'lacks' if before is None else 'has'} it")
        if content is None:
            self.known.pop(thing, None)
        else:
            self.known[thing] = content

    def agrees(self, truth: Truth) -> bool:
        """Whether the receiver believes what is true."""
        return self.known == truth

    def verdict(self, truth: Truth) -> Verdict:
        """Judge at the end."""
        lost = sorted(
            f"{resource} {number}"
            for resource, number in truth.keys() | self.known.keys()
            if truth.get((resource, number)) != self.known.get((resource, number))
        )
        return Verdict(
            self._changes, self._arrived, tuple(lost), tuple(self._false), tuple(self._duplicate)
        )
