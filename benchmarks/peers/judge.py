"""The judge: which changes a peer told, what it told wrongly or twice, and what it lost."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

from flask_woo_events.sync.ledger.digest import VOLATILE, digest_of

Json = dict[str, t.Any]
#: Resource, in the words of the store's REST API, and id.
Key = tuple[str, int]
World = cabc.Mapping[Key, Json]
Kind = t.Literal["CREATED", "UPDATED", "DELETED"]


@dataclasses.dataclass(frozen=True)
class Telling:
    """One row that a peer gave out.

    :param body: the fields that the peer carries, as the store has them; None for a deletion.
    :param kind: what the peer says has happened; most say nothing.
    """

    key: Key
    body: Json | None
    kind: str | None = None

    @property
    def deletion(self) -> bool:
        """It says that the object is gone; a row in the trash says so too."""
        return self.body is None or self.body.get("status") == "trash"


@dataclasses.dataclass(frozen=True)
class Change:
    """One change that really happened."""

    act: str
    key: Key
    kind: Kind


@dataclasses.dataclass
class Score:
    """How a peer did on the acts."""

    changes: int = 0
    told: int = 0
    #: Told, but not by the sync that followed the act.
    late: int = 0
    #: Deletions that were not told but can be seen: the sync listed all there is of the resource.
    by_absence: int = 0
    #: Rows with nothing new of objects that no act had changed since the peer knew them.
    unchanged: int = 0
    #: Rows that say what is not so: another content, another kind, what is gone as if it lived.
    wrong: int = 0
    #: Rows that tell again what this peer has told.
    duplicates: int = 0
    #: Neither told nor seen by absence before the object changed again, or at all.
    missed: list[Change] = dataclasses.field(default_factory=list)

    @property
    def false(self) -> int:
        """Rows whose content is not new, without those that repeat a told change."""
        return self.unchanged + self.wrong


class Judge:
    """Follows the acts and the syncs between them.

    A change is told when a row with the object's new content (or a deletion) comes before the
    object changes again, at whatever sync. So nothing depends on how a peer names changes; but
    where it names a kind, the kind has to be right.
    """

    def __init__(self, world: World) -> None:
        self.score = Score()
        self._world = world
        self._waiting: dict[Key, tuple[Change, int]] = {}
        self._told: set[Key] = set()
        self._syncs = 0

    def see(self, act: str, world: World) -> None:
        """Note what an act changed."""
        for key, kind in sorted(differences(self._world, world).items()):
            self.score.changes += 1
            self._told.discard(key)
            lost = self._waiting.pop(key, None)
            if lost is not None:
                self.score.missed.append(lost[0])
            self._waiting[key] = (Change(act, key, kind), self._syncs)
        self._world = world

    def hear(self, tellings: cabc.Sequence[Telling]) -> None:
        """Judge the rows of one sync."""
        for telling in tellings:
            self._judge(telling)
        for key in unlisted(tellings, self._world, self._waiting):
            if self._waiting[key][0].kind == "DELETED":
                self.score.by_absence += 1
                del self._waiting[key]
                self._told.add(key)
        self._syncs += 1

    def close(self) -> Score:
        """The score; what is still waiting was missed."""
        self.score.missed += [change for change, _since in self._waiting.values()]
        self._waiting.clear()
        return self.score

    def _judge(self, telling: Telling) -> None:
        key, score = telling.key, self.score
        if not self._right(telling):
            score.wrong += 1
        elif key in self._waiting:
            change, since = self._waiting[key]
            if telling.kind not in (None, change.kind):
                score.wrong += 1
                return
            score.told += 1
            score.late += since < self._syncs
            del self._waiting[key]
            self._told.add(key)
        elif key in self._told:
            score.duplicates += 1
        else:
            score.unchanged += 1

    def _right(self, telling: Telling) -> bool:
        true = self._world.get(telling.key)
        if telling.deletion or true is None:
            # A deletion of what nobody knew to be there tells nothing true.
            known = telling.key in self._waiting or telling.key in self._told
            return telling.deletion and true is None and known
        return telling.body is not None and same(telling.body, true)


class Knowledge:
    """What somebody who believes a peer thinks is in the store."""

    def __init__(self, world: World) -> None:
        self._known: dict[Key, Json] = dict(world)

    def hear(self, tellings: cabc.Sequence[Telling], world: World) -> None:
        """Take over what one sync told; ``world`` says whether it listed a whole resource."""
        for telling in tellings:
            if telling.deletion or telling.body is None:
                self._known.pop(telling.key, None)
            else:
                self._known[telling.key] = telling.body
        for key in unlisted(tellings, world, self._known):
            del self._known[key]

    def lost(self, world: World, resource: str) -> list[Key]:
        """The objects of a resource of which the belief is not what the store has."""
        keys = {key for key in self._known.keys() | world.keys() if key[0] == resource}
        return sorted(
            key
            for key in keys
            if key not in self._known or key not in world or not same(self._known[key], world[key])
        )


def differences(before: World, after: World) -> dict[Key, Kind]:
    """What happened to each object between two looks at the whole store."""
    found: dict[Key, Kind] = {}
    for key in before.keys() | after.keys():
        if key not in before:
            found[key] = "CREATED"
        elif key not in after:
            found[key] = "DELETED"
        elif digest_of(before[key]) != digest_of(after[key]):
            found[key] = "UPDATED"
    return found


def same(told: Json, true: Json) -> bool:
    """Whether every field that was told has the value that the store has.

    A peer may carry fewer fields, leave out nulls, or add fields of its own.
    """
    shared = (told.keys() & true.keys()) - VOLATILE
    return bool(shared) and all(_plain(told[name]) == _plain(true[name]) for name in shared)


def unlisted(tellings: cabc.Sequence[Telling], world: World, keys: cabc.Iterable[Key]) -> list[Key]:
    """Those of ``keys`` that are missing in a sync that listed all there is of their resource."""
    heard = {telling.key for telling in tellings if not telling.deletion}
    whole = {resource for resource, _number in heard}
    whole -= {resource for resource, number in world.keys() - heard}
    return [key for key in keys if key[0] in whole and key not in heard]


def _plain(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value
