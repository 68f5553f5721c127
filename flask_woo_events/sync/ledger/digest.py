"""Digests: whether the content of an object changed, and in which fields."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import functools
import hashlib
import struct
import typing as t
import zlib

import orjson

from ...db.models import GONE_DIGEST, GONE_FIELDS

#: Fields that differ between two reads of an unchanged object. Seen on WooCommerce 5.9 to 11.0:
#: ``related_ids`` is shuffled at every read; the others depend on who asks, or on the route.
VOLATILE = frozenset(
    {
        "_links",
        "avatar_url",
        "generated_slug",
        "is_editable",
        "payment_url",
        "permalink",
        "permalink_template",
        "price_html",
        "related_ids",
    }
)

#: Lists whose order says nothing. WooCommerce 8.2 to 11.0 read the metadata of orders in tables of
#: their own (HPOS) without ``ORDER BY``: MariaDB returns it in one order when few orders are asked
#: for, and in another when many are. ``images`` are not among them: their order is the gallery's.
UNORDERED = frozenset(
    {"categories", "coupon_lines", "meta_data", "refunds", "tags", "tax_lines", "taxes"}
)
#: Lists of items that hold such lists themselves.
_ITEMS = frozenset({"coupon_lines", "fee_lines", "line_items", "shipping_lines", "tax_lines"})
_LISTS = UNORDERED | _ITEMS
#: All of them, as patterns of paths.
UNORDERED_PATHS = UNORDERED | {f"{outer}[].{name}" for outer in _ITEMS for name in UNORDERED}

#: The number of the function that rows without a number were written with.
FIRST = 1
#: The number of the function that rows are written with.
CURRENT = 2
_PAIR = struct.Struct(">II")


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """What the ledger keeps of an object's content."""

    #: 16 bytes that differ when the content does.
    digest: bytes
    #: For each top-level field, 4 bytes of its name's checksum and 4 of its value's.
    fields: bytes
    #: JSON of the fields that count.
    data: bytes = b""


#: The content of a deleted object.
NOTHING = Content(GONE_DIGEST, GONE_FIELDS)


class DigestFunction:
    """One way to digest a representation.

    A function that was released never changes, since the ledger holds its digests. A change gets
    the next number in ``FUNCTIONS``, and ``CURRENT``.
    """

    #: Fields that are never part of a digest.
    volatile: cabc.Set[str] = VOLATILE

    def kept(self, body: cabc.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Return the fields that count, each with the value that counts."""
        kept = dict(body)
        for name in self.volatile:
            kept.pop(name, None)
        shape = _shape(tuple(body))
        for local, utc in shape.twins:
            # A draft's ``*_gmt`` date is null (WooCommerce 5.9 to 11.0), so its local one counts.
            if body[utc] is not None or body[local] is None:
                kept.pop(local, None)
        if shape.rated:
            kept["average_rating"] = _rating(kept["average_rating"])
        return kept

    def digest(self, body: cabc.Mapping[str, t.Any]) -> bytes:
        """Digest a representation without its volatile fields."""
        data = orjson.dumps(self.kept(body), option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(data, digest_size=16).digest()

    def content(self, body: cabc.Mapping[str, t.Any]) -> Content:
        """Digest a representation and each of its fields."""
        kept = self.kept(body)
        data = orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)
        pairs = [0] * (2 * len(kept))
        pairs[::2] = _shape(tuple(kept)).checksums
        # Without a call of our own for each of a million fields.
        dumps, sort, crc32 = orjson.dumps, orjson.OPT_SORT_KEYS, zlib.crc32
        pairs[1::2] = [crc32(dumps(value, option=sort)) for value in kept.values()]
        fields = struct.pack(f">{len(pairs)}I", *pairs)
        return Content(hashlib.blake2b(data, digest_size=16).digest(), fields, data)


class UnorderedDigestFunction(DigestFunction):
    """The second way: the order of lists that have none does not count."""

    def kept(self, body: cabc.Mapping[str, t.Any]) -> dict[str, t.Any]:
        """Return the fields that count, with lists that have no order sorted."""
        kept = super().kept(body)
        for name in _shape(tuple(body)).lists:
            if isinstance(kept[name], list):
                kept[name] = _sorted(name, kept[name])
        return kept


#: All functions that rows of the ledger may have been written with, by number.
FUNCTIONS: dict[int, DigestFunction] = {FIRST: DigestFunction(), 2: UnorderedDigestFunction()}


def current() -> DigestFunction:
    """Return the function that rows are written with."""
    return FUNCTIONS[CURRENT]


def digest_of(body: cabc.Mapping[str, t.Any]) -> bytes:
    """Digest a representation with the current function."""
    return FUNCTIONS[CURRENT].digest(body)


def content_of(body: cabc.Mapping[str, t.Any]) -> Content:
    """Digest a representation and each of its fields with the current function."""
    return FUNCTIONS[CURRENT].content(body)


class _Shape(t.NamedTuple):
    """What follows from the names of a representation's fields alone."""

    #: Local dates that a ``*_gmt`` date repeats, with its name: they move with the site's zone.
    twins: tuple[tuple[str, str], ...]
    lists: tuple[str, ...]
    rated: bool
    checksums: tuple[int, ...]


@functools.lru_cache(maxsize=256)
def _shape(names: tuple[str, ...]) -> _Shape:
    # Objects of one kind have the same fields.
    return _Shape(
        tuple((one[:-4], one) for one in names if one.endswith("_gmt") and one[:-4] in names),
        tuple(one for one in names if one in _LISTS),
        "average_rating" in names,
        tuple(map(checksum_of_name, names)),
    )


@functools.lru_cache(maxsize=4096)
def checksum_of_name(name: str) -> int:
    """Return the checksum of a field's name, as ``Content.fields`` has it."""
    return zlib.crc32(name.encode())


def checksum_of_value(value: object) -> int:
    """Return the checksum of a field's value, as ``Content.fields`` has it."""
    return zlib.crc32(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def checksums(fields: bytes) -> dict[int, int]:
    """Return the checksums in ``Content.fields``: that of each value by that of its name."""
    return dict(_PAIR.iter_unpack(fields))


def changed_fields(before: bytes, after: bytes, body: cabc.Mapping[str, t.Any]) -> tuple[str, ...]:
    """Name the top-level fields that differ between two ``Content.fields``.

    A field that vanished cannot be named: only its checksum was kept. Of a date and its
    ``*_gmt`` only the latter is named.
    """
    old, new = checksums(before), checksums(after)
    changed = {name for name, value in new.items() if old.get(name) != value}
    return tuple(
        name
        for name in sorted(body)
        if name not in current().volatile and checksum_of_name(name) in changed
    )


def split_by_checksum(before: bytes, values: cabc.Mapping[str, t.Any]) -> tuple[set[str], set[str]]:
    """Return which of these fields agree with a ``Content.fields``, and which differ from it."""
    kept = checksums(before)
    known = {name: value for name, value in values.items() if checksum_of_name(name) in kept}
    same = {
        name
        for name, value in known.items()
        if kept[checksum_of_name(name)] == checksum_of_value(value)
    }
    return same, known.keys() - same


def _sorted(name: str, entries: list[t.Any]) -> list[t.Any]:
    if name in _ITEMS:
        entries = [_item(entry) if isinstance(entry, dict) else entry for entry in entries]
    if name in UNORDERED and len(entries) > 1:
        return sorted(entries, key=_as_bytes)
    return entries


def _item(item: dict[str, t.Any]) -> dict[str, t.Any]:
    lists = {
        name: sorted(item[name], key=_as_bytes)
        for name in item.keys() & UNORDERED
        if isinstance(item[name], list) and len(item[name]) > 1
    }
    return item | lists if lists else item


def _as_bytes(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _rating(value: object) -> object:
    # REST shows "0.00" where a webhook of the same second shows "0".
    try:
        return f"{float(t.cast(str, value)):.2f}"
    except (TypeError, ValueError):
        return value
