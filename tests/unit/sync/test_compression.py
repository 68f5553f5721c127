"""Compression: dictionaries that never change, and bodies that come back as they were."""

from __future__ import annotations

import hashlib
import importlib.resources
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_woo_events.sync.ledger import compression
from flask_woo_events.sync.ledger.compression import DICTIONARIES, PLAIN
from tests.examples import examples

#: Of the dictionaries that were released.
RELEASED = {
    1: "7fbc5b5a4d4821ce",
    2: "2786f8576aec13d8",
    3: "a382006c9bd09f84",
    4: "3644def0084c9b52",
}


def test_released_dictionaries_are_unchanged() -> None:
    """Rows of the ledger need them; another text needs another number, with its own line above."""
    folder = importlib.resources.files(compression.__package__ or "") / "dictionaries"
    found = {
        number: hashlib.sha256((folder / name).read_bytes()).hexdigest()[:16]
        for number, name in DICTIONARIES.items()
    }
    assert found == RELEASED


@given(
    st.binary(max_size=300) | st.text(min_size=4096, max_size=5000).map(str.encode),
    st.sampled_from([PLAIN, *DICTIONARIES]),
)
@settings(max_examples=examples(100), deadline=None)
def test_bodies_come_back(data: bytes, number: int) -> None:
    """Whatever a body is, with every dictionary; another one does not read it by mistake."""
    packed = compression.compress(data, number)
    assert compression.decompress(packed, number) == data
    assert compression.decompress(packed, 999) is None
    assert compression.decompress(packed[:-1], number) is None


@pytest.mark.parametrize("kind", ["orders", "products", "customers", "discounts"])
def test_dictionaries_shorten_what_they_are_for(kind: str) -> None:
    """An object of the kind takes much less than without one."""
    number = compression.number_for(kind)
    folder = importlib.resources.files(compression.__package__ or "") / "dictionaries"
    text = (folder / DICTIONARIES[number]).read_bytes()[-1200:]
    assert len(compression.compress(text, number)) < len(zlib.compress(text, 9)) / 5
