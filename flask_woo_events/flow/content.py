"""The content of an object: what of its representation counts, and whether it changed."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import hashlib
import struct
import typing as t
import zlib

import orjson

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
    """What is kept of an object's content."""

    #: 16 bytes that differ when the content does.
    digest: bytes
    #: For each top-level field, 4 bytes of its name's checksum and 4 of its value's.
    fields: bytes


#: The content of what is gone.
NOTHING = Content(b"\0" * 16, b"")


def content_of(body: cabc.Mapping[str, t.Any]) -> Content:
    """Digest an object's representation without the fields that change by themselves."""
    whole = hashlib.blake2b(digest_size=16)
    pairs = []
    for name in sorted(body):
        if name in VOLATILE:
            continue
        value = body[name]
        if name == "average_rating":
            value = _rating(value)
        key = name.encode("utf-8", "surrogatepass")
        data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        whole.update(b"%d:%d:" % (len(key), len(data)))
        whole.update(key)
        whole.update(data)
        pairs.append(_PAIR.pack(zlib.crc32(key), zlib.crc32(data)))
    return Content(whole.digest(), b"".join(pairs))


def changed_fields(before: bytes, after: bytes, body: cabc.Mapping[str, t.Any]) -> tuple[str, ...]:
    """Name the top-level fields that differ between two ``Content.fields``.

    A field that is no longer there cannot be named: only its checksum was kept.
    """
    old = dict(_PAIR.iter_unpack(before))
    new = dict(_PAIR.iter_unpack(after))
    changed = {name for name, value in new.items() if old.get(name) != value}
    return tuple(
        name
        for name in sorted(body)
        if name not in VOLATILE and zlib.crc32(name.encode("utf-8", "surrogatepass")) in changed
    )


def _rating(value: object) -> object:
    # "0.00" by REST and "0" in a webhook of the same second.
    try:
        return f"{float(t.cast(str, value)):.2f}"
    except (TypeError, ValueError):
        return value
