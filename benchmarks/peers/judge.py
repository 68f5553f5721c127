"""The judge: counts the changes that a peer reported, invented, repeated and lost."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

from flask_woo_events.sync.ledger.digest import VOLATILE, digest_of

Json = dict[str, t.Any]
#: Resource, as the store's REST API names it, and id.
Key = tuple[str, int]
Objects = cabc.Mapping[Key, Json]
Kind = t.Literal["CREATED", "UPDATED", "DELETED"]


@dataclasses.dataclass(frozen=True)
class ReportedRow:
    """One row that a peer reported.

    :param body: the fields that the peer passes on, with the store's values; None for a deletion.
    :param kind: the kind of change, if the peer reports one.
    """

    key: Key
    body: Json | None
    kind: str | None = None

    @property
    def deletion(self) -> bool:
        """Whether the row reports a deletion, or an object in the trash."""
        return self.body is None or self.body.get("status") == "trash"


@dataclasses.dataclass(frozen=True)
class Change:
    """One change that really happened."""

    action: str
    key: Key
    kind: Kind


@dataclasses.dataclass
class Score:
    """The result of a peer for the actions."""

    changes: int = 0
    reported: int = 0
    #: Reported, but not by the sync that followed the action.
    late: int = 0
    #: Deletions that were not reported but can be seen: the sync listed the whole resource.
    by_absence: int = 0
    #: Rows of objects that had not changed since the peer knew them.
    unchanged: int = 0
    #: Rows with a wrong content or kind, or of an object that no longer exists.
    wrong: int = 0
    #: Rows that repeat a change that this peer has reported.
    duplicates: int = 0
    #: Changes neither reported nor visible by absence before the object changed again, or at all.
    missed: list[Change] = dataclasses.field(default_factory=list)

    @property
    def false(self) -> int:
        """Rows without a new content, except those that repeat a reported change."""
        return self.unchanged + self.wrong


class Judge:
    """Compares the actions with the reports of the syncs between them.

    A change counts as reported when a row with the object's new content, or a deletion, arrives
    before the object changes again, at any sync. Peers need not row a kind of change, but a kind
    that is reported must be right.
    """

    def __init__(self, objects: Objects) -> None:
        self.score = Score()
        self._objects = objects
        self._pending: dict[Key, tuple[Change, int]] = {}
        self._reported: set[Key] = set()
        self._syncs = 0

    def record_action(self, action: str, objects: Objects) -> None:
        """Record the changes that an action made."""
        for key, kind in sorted(differences(self._objects, objects).items()):
            self.score.changes += 1
            self._reported.discard(key)
            lost = self._pending.pop(key, None)
            if lost is not None:
                self.score.missed.append(lost[0])
            self._pending[key] = (Change(action, key, kind), self._syncs)
        self._objects = objects

    def record_sync(self, rows: cabc.Sequence[ReportedRow]) -> None:
        """Judge the rows of one sync."""
        for row in rows:
            self._judge(row)
        for key in unlisted(rows, self._objects, self._pending):
            if self._pending[key][0].kind == "DELETED":
                self.score.by_absence += 1
                del self._pending[key]
                self._reported.add(key)
        self._syncs += 1

    def close(self) -> Score:
        """Return the score; pending changes count as missed."""
        self.score.missed += [change for change, _since in self._pending.values()]
        self._pending.clear()
        return self.score

    def _judge(self, row: ReportedRow) -> None:
        key, score = row.key, self.score
        if not self._right(row):
            score.wrong += 1
        elif key in self._pending:
            change, since = self._pending[key]
            if row.kind not in (None, change.kind):
                score.wrong += 1
                return
            score.reported += 1
            score.late += since < self._syncs
            del self._pending[key]
            self._reported.add(key)
        elif key in self._reported:
            score.duplicates += 1
        else:
            score.unchanged += 1

    def _right(self, row: ReportedRow) -> bool:
        true = self._objects.get(row.key)
        if row.deletion or true is None:
            # A deletion of an object that was never known is wrong.
            known = row.key in self._pending or row.key in self._reported
            return row.deletion and true is None and known
        return row.body is not None and same(row.body, true)


class Knowledge:
    """The state of the store according to the reports of a peer."""

    def __init__(self, objects: Objects) -> None:
        self._known: dict[Key, Json] = dict(objects)

    def update(self, rows: cabc.Sequence[ReportedRow], objects: Objects) -> None:
        """Apply the reports of one sync; ``objects`` shows whether it listed a whole resource."""
        for row in rows:
            if row.deletion or row.body is None:
                self._known.pop(row.key, None)
            else:
                self._known[row.key] = row.body
        for key in unlisted(rows, objects, self._known):
            del self._known[key]

    def lost(self, objects: Objects, resource: str) -> list[Key]:
        """Return the objects of a resource whose known state differs from the store's."""
        keys = {key for key in self._known.keys() | objects.keys() if key[0] == resource}
        return sorted(
            key
            for key in keys
            if key not in self._known
            or key not in objects
            or not same(self._known[key], objects[key])
        )


def differences(before: Objects, after: Objects) -> dict[Key, Kind]:
    """Return the kind of change of each object that differs between two states of the store."""
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

    A peer may pass on fewer fields, omit nulls, or add its own fields.
    """
    shared = (reported.keys() & true.keys()) - VOLATILE
    return bool(shared) and all(_plain(reported[name]) == _plain(true[name]) for name in shared)


def unlisted(
    rows: cabc.Sequence[ReportedRow], objects: Objects, keys: cabc.Iterable[Key]
) -> list[Key]:
    """Return those of ``keys`` that are missing in a sync that listed their whole resource."""
    heard = {row.key for row in rows if not row.deletion}
    whole = {resource for resource, _number in heard}
    whole -= {resource for resource, number in objects.keys() - heard}
    return [key for key in keys if key[0] in whole and key not in heard]


def _plain(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value
