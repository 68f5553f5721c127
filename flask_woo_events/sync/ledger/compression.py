"""Compression of bodies with dictionaries that are shipped and numbered.

Objects of one kind share most of their text, which a dictionary holds already. A dictionary that
was released never changes, since rows of the ledger need it; another one gets the next number.
"""

from __future__ import annotations

import functools
import importlib.resources
import threading

import zstandard

#: The number of what was compressed without a dictionary.
PLAIN = 0
#: The files of the dictionaries, by number.
DICTIONARIES = {1: "1-orders.txt", 2: "2-products.txt", 3: "3-customers.txt", 4: "4-coupons.txt"}
#: The dictionary for each kind of object; related kinds share one.
_NUMBERS = {
    "orders": 1,
    "refunds": 1,
    "products": 2,
    "variations": 2,
    "customers": 3,
    "discounts": 4,
}

# Measured on recorded orders, products and customers: half the time of zlib, for as many bytes.
_LEVEL = 3
#: A compressor must not be used by two threads at once.
_THREAD = threading.local()


def number_for(hub_name: str) -> int:
    """Return the number of the dictionary for a collection's objects."""
    return _NUMBERS.get(hub_name, PLAIN)


def compress(data: bytes, number: int) -> bytes:
    """Compress a body with the dictionary of this number."""
    known: dict[int, zstandard.ZstdCompressor] = _THREAD.__dict__.setdefault("compressors", {})
    compressor = known.get(number)
    if compressor is None:
        compressor = known[number] = zstandard.ZstdCompressor(
            _LEVEL,
            dict_data=_dictionary(number),
            write_content_size=True,
            write_checksum=False,
            write_dict_id=False,
        )
    return compressor.compress(data)


def decompress(data: bytes, number: int) -> bytes | None:
    """Return a compressed body; ``None`` if only a newer release can read it, or nothing can."""
    if number != PLAIN and number not in DICTIONARIES:
        return None
    reading = zstandard.ZstdDecompressor(dict_data=_dictionary(number)).decompressobj()
    try:
        found = reading.decompress(data)
    except zstandard.ZstdError:
        return None
    return found if reading.eof else None


@functools.cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict | None:
    if number == PLAIN:
        return None
    folder = importlib.resources.files(__package__) / "dictionaries"
    text = (folder / DICTIONARIES[number]).read_bytes()
    found = zstandard.ZstdCompressionDict(text, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    # To read a dictionary takes longer than to compress a body.
    found.precompute_compress(_LEVEL)
    return found
