"""Wording: numbers with their nouns."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 event``, ``1,200 events``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
