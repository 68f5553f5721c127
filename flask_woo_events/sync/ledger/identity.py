"""Identity: whether an object that a store shows is the one that the ledger knows by its id.

An agreement proves something; a difference alone proves nothing, since people edit every field.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import enum
import typing as t

from .digest import content_of, split_by_checksum
from .lookup import Known
from .observation import Observation

#: Fields that no two objects share and nobody edits.
_UNIQUE = frozenset({"order_key"})
#: With the creation date, a name that nobody edits.
_NAMES = frozenset({"username"})
#: Fields that, with the creation date, two stores rarely share.
_TELLING = ("order_key", "username", "sku", "slug", "code", "name", "amount")


class Likeness(enum.Enum):
    """What one object says about its store."""

    SAME = "same"  #: a unique field agrees
    ALIKE = "alike"  #: the creation date and another field agree
    OTHER = "other"  #: the creation date differs, and no other field agrees
    UNCLEAR = "unclear"  #: no vote


def compare(known: Known, seen: Observation) -> Likeness:
    """Compare an object of the ledger with the one that the store shows under its id."""
    if not known.live or seen.body is None:
        return Likeness.UNCLEAR
    named = {name: seen.body[name] for name in _TELLING if seen.body.get(name)}
    same, different = split_by_checksum(known.fields, named)
    dated = known.created_at is not None and seen.created_at is not None
    same_date = dated and known.created_at == seen.created_at
    if same & _UNIQUE or (same_date and same & _NAMES):
        return Likeness.SAME
    if same:
        return Likeness.ALIKE if same_date else Likeness.UNCLEAR
    return Likeness.OTHER if different and dated and not same_date else Likeness.UNCLEAR


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """What the objects of one answer say about its store."""

    same: int = 0
    alike: int = 0
    other: int = 0

    @property
    def is_ours(self) -> bool:
        """Whether the answer is proved to be of the store that the ledger knows."""
        alone = not self.other and self.alike == 1
        return bool(self.same) or self.alike >= 2 or alone

    @property
    def is_another(self) -> bool:
        """Whether the answer is of another store."""
        return not self.same and not self.alike and self.other >= 2

    @property
    def is_unclear(self) -> bool:
        """Whether the answer may be of either store."""
        return not self.is_ours and not self.is_another


def gather(before: cabc.Mapping[str, Known], observations: cabc.Iterable[Observation]) -> Evidence:
    """Compare objects until they prove that the store is ours.

    :param before: what the ledger holds of them.
    """
    counts: t.Counter[Likeness] = t.Counter()
    for seen in observations:
        known = before.get(seen.object_id)
        if known is None:
            continue
        counts[compare(known, seen)] += 1
        if counts[Likeness.SAME] or counts[Likeness.ALIKE] >= 2:
            break
    return Evidence(counts[Likeness.SAME], counts[Likeness.ALIKE], counts[Likeness.OTHER])


def compare_readings(before: Observation, seen: Observation) -> Evidence:
    """Compare an object with a reading of it that was recorded as a live one."""
    if before.body is None:
        return Evidence()
    content = content_of(before.body)
    known = Known(
        live=True,
        digest=content.digest,
        modified_at=before.modified_at,
        seen_at=before.seen_at,
        fields=content.fields,
        created_at=before.created_at,
    )
    return gather({seen.object_id: known}, [seen])
