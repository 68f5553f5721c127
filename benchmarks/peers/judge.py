"""The judge: which changes a peer reported, wrongly reported, repeated or lost."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

from flask_woo_events.sync.ledger.digest import VOLATILE, digest_of

Json = dict[str, t.Any]
#: Resource, as in the store's REST API, and id.
Key = tuple[str, int]
World = cabc.Mapping[Key, Json]
Kind = t.Literal["CREATED", "UPDATED", "DELETED"]


@dataclasses.dataclass(frozen=True)
class ReportedRow:
    """One row of a peer's output.

    :param body: the fields that the peer carries, as the store has them; None for a deletion.
    :param kind: what the peer says has happened; most say nothing.
    """

    key: Key
    body: Json | None
    kind: str | None = None

    @property
    def deletion(self) -> bool:
        """It says that the object is deleted, as a row in the trash does."""
        return self.body is None or self.body.get("status") == "trash"


@dataclasses.dataclass(frozen=True)
class Change:
    """One change that really happened."""

    act: str
    key: Key
    kind: Kind


@dataclasses.dataclass
class Score:
    """A peer's score on the acts."""

    changes: int = 0
    told: int = 0
    #: Reported, but not by the sync after the act.
    late: int = 0
    #: Deletions that were not reported but visible: the sync listed the whole resource.
    by_absence: int = 0
    #: Rows with nothing new of objects that no act had changed since the peer knew them.
    unchanged: int = 0
    #: Rows that are wrong: another content, another kind, a deleted object as live.
    wrong: int = 0
    #: Rows that repeat what this peer has reported.
    duplicates: int = 0
    #: Neither reported nor visible by absence before the object changed again, or at all.
    missed: list[Change] = dataclasses.field(default_factory=list)

    @property
    def false(self) -> int:
        """Rows whose content is not new, without those that repeat a reported change."""
        return self.unchanged + self.wrong


class Judge:
    """Follows the acts and the syncs between them.

    A change is reported when a row with the object's new content (or a deletion) comes before the
    object changes again, at whatever sync. So nothing depends on how a peer names changes; but
    where it names a kind, the kind has to be right.
    """

    def __init__(self, world: World) -> None:
        self.score = Score()
        self._world = world
        self._waiting: dict[Key, tuple[Change, int]] = {}
        self._reported: set[Key] = set()
        self._syncs = 0

    def see(self, act: str, world: World) -> None:
        """Record what an act changed."""
        for key, kind in sorted(differences(self._world, world).items()):
            self.score.changes += 1
            self._reported.discard(key)
            lost = self._waiting.pop(key, None)
            if lost is not None:
                self.score.missed.append(lost[0])
            self._waiting[key] = (Change(act, key, kind), self._syncs)
        self._world = world

    def receive(self, rows: cabc.Sequence[ReportedRow]) -> None:
        """Judge the rows of one sync."""
        for row in rows:
            self._judge(row)
        for key in unlisted(rows, self._world, self._waiting):
            if self._waiting[key][0].kind == "DELETED":
                self.score.by_absence += 1
                del self._waiting[key]
                self._reported.add(key)
        self._syncs += 1

    def close(self) -> Score:
        """Return the score; changes that still wait were missed."""
        self.score.missed += [change for change, _since in self._waiting.values()]
        self._waiting.clear()
        return self.score

    def _judge(self, row: ReportedRow) -> None:
        key, score = row.key, self.score
        if not self._is_true(row):
            score.wrong += 1
        elif key in self._waiting:
            change, since = self._waiting[key]
            if row.kind not in (None, change.kind):
                score.wrong += 1
                return
            score.told += 1
            score.late += since < self._syncs
            del self._waiting[key]
            self._reported.add(key)
        elif key in self._reported:
            score.duplicates += 1
        else:
            score.unchanged += 1

    def _is_true(self, row: ReportedRow) -> bool:
        true = self._world.get(row.key)
        if row.deletion or true is None:
            # A deletion of an object that was not known is not true.
            known = row.key in self._waiting or row.key in self._reported
            return row.deletion and true is None and known
        return row.body is not None and same(row.body, true)


class Knowledge:
    """The state of the store according to a peer."""

    def __init__(self, world: World) -> None:
        self._known: dict[Key, Json] = dict(world)

    def receive(self, rows: cabc.Sequence[ReportedRow], world: World) -> None:
        """Apply the rows of one sync; ``world`` says whether it listed a whole resource."""
        for row in rows:
            if row.deletion or row.body is None:
                self._known.pop(row.key, None)
            else:
                self._known[row.key] = row.body
        for key in unlisted(rows, world, self._known):
            del self._known[key]

    def lost(self, world: World, resource: str) -> list[Key]:
        """Return the objects of a resource that differ from the store's."""
        keys = {key for key in self._known.keys() | world.keys() if key[0] == resource}
        return sorted(
            key
            for key in keys
            if key not in self._known or key not in world or not same(self._known[key], world[key])
        )


def differences(before: World, after: World) -> dict[Key, Kind]:
    """Return what happened to each object between two snapshots of the store."""
    found: dict[Key, Kind] = {}
    for key in before.keys() | after.keys():
        if key not in before:
            found[key] = "CREATED"
        elif key not in after:
            found[key] = "DELETED"
        elif digest_of(before[key]) != digest_of(after[key]):
            found[key] = "UPDATED"
    return found


def same(reported: Json, true: Json) -> bool:
    """Return whether every reported field has the store's value.

    A peer may carry fewer fields, leave out nulls, or add fields of its own.
    """
    shared = (reported.keys() & true.keys()) - VOLATILE
    return bool(shared) and all(_plain(reported[name]) == _plain(true[name]) for name in shared)


def unlisted(rows: cabc.Sequence[ReportedRow], world: World, keys: cabc.Iterable[Key]) -> list[Key]:
    """Return the keys that are missing in a sync that listed their whole resource."""
    listed = {row.key for row in rows if not row.deletion}
    whole = {resource for resource, _number in listed}
    whole -= {resource for resource, number in world.keys() - listed}
    return [key for key in keys if key[0] in whole and key not in listed]


def _plain(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value
