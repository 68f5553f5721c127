"""Compression of bodies with dictionaries that are shipped and numbered.

Objects of one kind share most of their text, which a dictionary holds already. A dictionary that
was released never changes, since rows of the ledger need it; another one gets the next number.
"""

from __future__ import annotations

import functools
import importlib.resources
import zlib

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

# Measured on recorded orders, products and customers: level 1 saves 10 % of the time and costs 7 %
# more bytes, level 6 the reverse at double the time. A small window makes the prepared state cheap
# to copy, and still holds the dictionary with an ordinary object.
_LEVEL, _WINDOW, _MEMORY = 3, 13, 5
#: Bytes from which codes of a text's own are worth their time.
_LONG = 4096


def number_for(hub_name: str) -> int:
    """Return the number of the dictionary for a collection's objects."""
    return _NUMBERS.get(hub_name, PLAIN)


def compress(data: bytes, number: int) -> bytes:
    """Compress a body with the dictionary of this number."""
    compressor = _prepared(number, len(data) >= _LONG).copy()
    return compressor.compress(data) + compressor.flush()


def decompress(data: bytes, number: int) -> bytes | None:
    """Return a compressed body; ``None`` if only a newer release can read it, or nothing can."""
    if number != PLAIN and number not in DICTIONARIES:
        return None
    decompressor = zlib.decompressobj(-_WINDOW, zdict=_dictionary(number))
    try:
        found = decompressor.decompress(data)
    except zlib.error:
        return None
    return found if decompressor.eof else None


@functools.cache
def _prepared(number: int, long: bool) -> zlib._Compress:
    # To read a dictionary takes longer than to compress a body; a copy has read it.
    strategy = zlib.Z_DEFAULT_STRATEGY if long else zlib.Z_FIXED
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, -_WINDOW, _MEMORY, strategy, _dictionary(number))


@functools.cache
def _dictionary(number: int) -> bytes:
    if number == PLAIN:
        return b""
    folder = importlib.resources.files(__package__) / "dictionaries"
    return (folder / DICTIONARIES[number]).read_bytes()
