"""Changes: what an UPDATED event changed in its object, as values by their paths.

A path is as in ``billing.email``, ``line_items[12].quantity`` or ``meta_data[_tracking].value``.
Elements of a list are named by their id, metadata by its key, attributes by id or name, and other
objects by their place; a list of numbers or texts is one value.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import re
import sys
import typing as t

import orjson

from ..values.event_choice import EventChoice
from ..values.field_paths import any_covers, pattern_of, top_level

#: Bytes of JSON that all values of one event may take, and both values of one path.
MOST_BYTES, MOST_VALUE_BYTES = 16 * 1024, 4 * 1024
#: Values below this depth are not divided further.
_DEEPEST = 32
#: Names and identities that are written without quotes.
_PLAIN = re.compile(r'[^.\[\]"]+')
_NUMBER = re.compile(r"-?\d+")

#: ``before`` and ``after``; one alone is of what was removed or added, none are too long.
Value = cabc.Mapping[str, t.Any]
Body = cabc.Mapping[str, t.Any]

#: The derived names of changes, with the fields of which any must differ, by resource.
_NAMED: dict[str, dict[str, frozenset[str]]] = {
    "orders": {"order.status_changed": frozenset({"status"})},
    "products": {
        "product.price_changed": frozenset({"price", "regular_price", "sale_price"}),
        "product.stock_changed": frozenset({"stock_quantity", "stock_status"}),
    },
}
_REFUNDED = "order.refunded"
#: All derived names.
NAMES = tuple(sorted([_REFUNDED, *(name for named in _NAMED.values() for name in named)]))


@dataclasses.dataclass(frozen=True, slots=True)
class Changes:
    """The values that one UPDATED changed."""

    #: By path; empty for a value that is too long.
    values: cabc.Mapping[str, Value]
    #: Whether paths or values are left out, since they are too long.
    truncated: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of what changed."""
        return tuple(self.values)

    def to_json(self) -> bytes:
        """Return the changes as they are stored."""
        shown: dict[str, t.Any] = {"changes": self.values}
        return orjson.dumps(shown | {"truncated": True} if self.truncated else shown)

    @classmethod
    def from_json(cls, data: bytes | None) -> t.Self | None:
        """Return stored changes; ``None`` if none are known."""
        if data is None:
            return None
        shown = orjson.loads(data)
        return cls(shown["changes"], bool(shown.get("truncated")))


def between(
    before: Body,
    after: Body,
    *,
    unordered: cabc.Set[str] = frozenset(),
    watched: cabc.Set[str] = frozenset(),
) -> Changes:
    """Compare two bodies.

    :param unordered: patterns of lists whose order says nothing.
    :param watched: patterns that are kept first where not all has room.
    """
    found = dict(_objects(before, after, _Path(unordered=unordered)))
    if _size(found) <= MOST_VALUE_BYTES:
        return Changes(found)
    return _bounded(found, watched)


def _bounded(found: cabc.Mapping[str, Value], watched: cabc.Set[str]) -> Changes:
    """Return as many of the values as have room."""
    room, kept, truncated = MOST_BYTES, set[str](), False
    shortened: dict[str, Value] = {}
    for path, value in sorted(found.items(), key=lambda one: not any_covers(watched, one[:1])):
        size = _size(value)
        if size > MOST_VALUE_BYTES:
            shortened[path], truncated = {}, True
            size = 2
        size += len(path.encode(errors="replace")) + 4
        if size <= room:
            room -= size
            kept.add(path)
        else:
            truncated = True
    values = {path: shortened.get(path, value) for path, value in found.items() if path in kept}
    return Changes(values, truncated)


def _size(value: object) -> int:
    """Return bytes of JSON; more than any bound if a body around it would be nested too deeply."""
    try:
        return len(orjson.dumps([[[[[[[[value]]]]]]]])) - 16
    except TypeError:
        # orjson writes 254 levels, and a store may send as many.
        return sys.maxsize


def names(
    resource: str, changed_fields: cabc.Collection[str], changes: Changes | None
) -> tuple[str, ...]:
    """Return the derived names of an UPDATED, such as ``order.status_changed``.

    :param changed_fields: the top-level fields that differ.
    :param changes: their values, if they are known; without them nothing is called refunded.
    """
    fields = set(changed_fields)
    found = [name for name, any_of in _NAMED.get(resource, {}).items() if any_of & fields]
    if resource == "orders" and changes is not None and _is_refunded(changes):
        found.append(_REFUNDED)
    return tuple(sorted(found))


def _is_refunded(changes: Changes) -> bool:
    status = changes.values.get("status", {})
    return status.get("after") == "refunded" or any(
        pattern_of(path) == "refunds[]" and value.keys() == {"after"}
        for path, value in changes.values.items()
    )


def is_chosen(
    chosen: EventChoice,
    resource: str,
    event_type: str,
    changed_fields: cabc.Collection[str],
    changes: Changes | None,
) -> bool:
    """Return whether a receiver wants an event.

    What is left out of the changes may be what it waits for: then names of fields decide. That is
    so if they are truncated, and for a field of which no value was kept when another one changed.

    :param changed_fields: the top-level fields that differ.
    :param changes: their values, if they are known.
    """
    if chosen.selects_all:
        return True
    paths = None if changes is None else changes.paths
    if chosen.wants(resource, event_type, changed_fields, paths):
        return True
    if changes is None:
        return False
    if changes.truncated:
        return chosen.wants(resource, event_type, changed_fields, None)
    unknown = set(changed_fields).difference(map(top_level, changes.paths))
    return bool(unknown) and chosen.wants(resource, event_type, unknown, None)


@dataclasses.dataclass(frozen=True, slots=True)
class _Path:
    """Where two values are compared."""

    unordered: cabc.Set[str]
    text: str = ""
    pattern: str = ""
    name: str = ""
    depth: int = 0

    def member(self, name: str) -> _Path:
        if _PLAIN.fullmatch(name):
            step = f".{name}" if self.text else name
        else:
            step = f"[{orjson.dumps(name).decode()}]"
        return self._below(step, step, name)

    def element(self, identity: _Identity) -> _Path:
        plain = isinstance(identity, int) or (
            _PLAIN.fullmatch(identity) and not _NUMBER.fullmatch(identity)
        )
        shown = str(identity) if plain else orjson.dumps(identity).decode()
        return self._below(f"[{shown}]", "[]", self.name)

    def _below(self, step: str, pattern: str, name: str) -> _Path:
        return _Path(self.unordered, self.text + step, self.pattern + pattern, name, self.depth + 1)


_Found = cabc.Iterator[tuple[str, Value]]
_Identity = int | str


def _values(before: t.Any, after: t.Any, path: _Path) -> _Found:
    if path.depth < _DEEPEST:
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _objects(before, after, path)
            return
        if isinstance(before, list) and isinstance(after, list):
            yield from _lists(before, after, path)
            return
    if not _same(before, after):
        yield path.text, {"before": before, "after": after}


def _objects(before: Body, after: Body, path: _Path) -> _Found:
    for name, value in after.items():
        if name in before:
            yield from _values(before[name], value, path.member(name))
        else:
            yield path.member(name).text, {"after": value}
    for name, value in before.items():
        if name not in after:
            yield path.member(name).text, {"before": value}


def _lists(before: list[t.Any], after: list[t.Any], path: _Path) -> _Found:
    if _same(before, after):
        return
    named = _identities(before, after, path.name)
    if named is None or not _in_order(*named, path):
        yield path.text, {"before": before, "after": after}
        return
    old, new = named
    was = dict(zip(old, before, strict=True))
    for identity, value in zip(new, after, strict=True):
        if identity in was:
            yield from _values(was.pop(identity), value, path.element(identity))
        else:
            yield path.element(identity).text, {"after": value}
    for identity, value in was.items():
        yield path.element(identity).text, {"before": value}


def _in_order(old: cabc.Sequence[_Identity], new: cabc.Sequence[_Identity], path: _Path) -> bool:
    """Return whether the new list is the old one without some elements, and with others behind."""
    if path.pattern in path.unordered:
        return True
    there = set(new)
    kept = [one for one in old if one in there]
    return list(new[: len(kept)]) == kept


def _identities(
    before: list[t.Any], after: list[t.Any], name: str
) -> tuple[list[_Identity], list[_Identity]] | None:
    """Return what names each element of two lists: their ids, or else their places.

    :return: ``None`` if each list is one value.
    """
    if not all(isinstance(one, dict) for one in [*before, *after]):
        return None
    for keys in _identifying(name):
        old, new = _identities_by(keys, before), _identities_by(keys, after)
        if old is not None and new is not None:
            return old, new
    # What is named by ids before and by places after would be ambiguous.
    if any(_identities_by(keys, some) for keys in _identifying(name) for some in (before, after)):
        return None
    if not before or not after:
        return None
    return list(range(len(before))), list(range(len(after)))


def _identifying(name: str) -> tuple[tuple[str, ...], ...]:
    """Return the members that may name the elements of a list, the best first."""
    if name == "meta_data":
        return ("key",), ("id",)
    return (("id", "name"),) if name.endswith("attributes") else (("id",),)


def _identities_by(keys: tuple[str, ...], items: list[t.Any]) -> list[_Identity] | None:
    """Return what these members name; ``None`` if one element has none, or two have the same."""
    found = [one for item in items if (one := _identity(item, keys)) is not None]
    return found if len(found) == len(items) == len(set(found)) else None


def _identity(item: Body, keys: tuple[str, ...]) -> _Identity | None:
    for key in keys:
        value = item.get(key)
        if value and (type(value) is str or (key == "id" and type(value) is int)):
            return value
    return None


def _same(before: t.Any, after: t.Any) -> bool:
    # Python takes True for 1.0; JSON does not.
    if isinstance(before, dict | list | float):
        option = orjson.OPT_SORT_KEYS
        return orjson.dumps(before, option=option) == orjson.dumps(after, option=option)
    return type(before) is type(after) and bool(before == after)
