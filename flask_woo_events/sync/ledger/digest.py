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

_PAIR = struct.Struct(">II")


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """What the ledger keeps of an object's content."""

    #: 16 bytes that differ when the content does.
    digest: bytes
    #: For each top-level field, 4 bytes of its name's checksum and 4 of its value's.
    fields: bytes


#: The content of a deleted object.
NOTHING = Content(GONE_DIGEST, GONE_FIELDS)


def digest_of(body: cabc.Mapping[str, t.Any]) -> bytes:
    """Digest a representation without its volatile fields."""
    data = orjson.dumps(_kept(body), option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(data, digest_size=16).digest()


def content_of(body: cabc.Mapping[str, t.Any]) -> Content:
    """Digest a representation and each of its fields."""
    kept = _kept(body)
    data = orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)
    checksums = []
    for name, value in kept.items():
        checksums.append(_checksum(name))
        checksums.append(_value(value))
    return Content(
        hashlib.blake2b(data, digest_size=16).digest(),
        struct.pack(f">{len(checksums)}I", *checksums),
    )


def _kept(body: cabc.Mapping[str, t.Any]) -> dict[str, t.Any]:
    left_out = VOLATILE | _redundant_local_dates(body)
    kept = {name: value for name, value in body.items() if name not in left_out}
    if "average_rating" in kept:
        kept["average_rating"] = _rating(kept["average_rating"])
    return kept


def _redundant_local_dates(body: cabc.Mapping[str, t.Any]) -> set[str]:
    """Return the local dates that a ``*_gmt`` date repeats: they move with the site's time zone.

    A draft's ``*_gmt`` date is null (WooCommerce 5.9 to 11.0), so its local date is kept.
    """
    return {
        name[:-4]
        for name, value in body.items()
        if name.endswith("_gmt") and (value is not None or body.get(name[:-4]) is None)
    }


@functools.lru_cache(maxsize=4096)
def _checksum(name: str) -> int:
    return zlib.crc32(name.encode())


def _value(value: object) -> int:
    return zlib.crc32(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def changed_fields(before: bytes, after: bytes, body: cabc.Mapping[str, t.Any]) -> tuple[str, ...]:
    """Name the top-level fields that differ between two ``Content.fields``.

    A field that vanished cannot be named: only its checksum was kept. Of a date and its
    ``*_gmt`` only the latter is named.
    """
    old = dict(_PAIR.iter_unpack(before))
    new = dict(_PAIR.iter_unpack(after))
    changed = {name for name, value in new.items() if old.get(name) != value}
    return tuple(
        name for name in sorted(body) if name not in VOLATILE and _checksum(name) in changed
    )


def split_by_checksum(before: bytes, values: cabc.Mapping[str, t.Any]) -> tuple[set[str], set[str]]:
    """Return which of these fields agree with a ``Content.fields``, and which differ from it."""
    kept = dict(_PAIR.iter_unpack(before))
    known = {name: value for name, value in values.items() if _checksum(name) in kept}
    same = {name for name, value in known.items() if kept[_checksum(name)] == _value(value)}
    return same, known.keys() - same


def only_names_differ(before: bytes, after: bytes) -> bool:
    """Return whether fields appeared or vanished while all that are in both are equal."""
    old = dict(_PAIR.iter_unpack(before))
    new = dict(_PAIR.iter_unpack(after))
    both = old.keys() & new.keys()
    return old.keys() != new.keys() and bool(both) and all(old[one] == new[one] for one in both)


def _rating(value: object) -> object:
    # REST shows "0.00" where a webhook of the same second shows "0".
    try:
        return f"{float(t.cast(str, value)):.2f}"
    except (TypeError, ValueError):
        return value
