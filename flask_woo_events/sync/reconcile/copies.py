"""Copies: what a consumer says it has of a resource's objects, read line by line and sorted."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import heapq
import itertools
import tempfile
import typing as t

import orjson

from ...errors import InputError
from ...values.dates import parse_iso
from ...values.validation import KEY_LENGTH, is_id, whole_number

#: Bytes of one line at most, and of all lines.
LINE_MOST, LINES_MOST = 4 * 1024, 64 * 1024 * 1024
#: The greatest version that the ledger can hold.
VERSION_MOST = 2**31 - 1
#: Copies that are sorted in memory; more are sorted in parts, in temporary files.
IN_MEMORY = 100_000
#: In place of a version or a date that a copy does not have.
NONE = -1


class Copy(t.NamedTuple):
    """One object that a consumer has; sorts by the id's characters."""

    object_id: str
    #: Its version, or ``NONE``.
    version: int = NONE
    #: Its modified date in seconds since 1970, or ``NONE``.
    modified: float = NONE


class IdRange(t.NamedTuple):
    """A part of the ids: numbers above ``after`` and up to ``until``; ``None``: no bound."""

    after: int | None = None
    until: int | None = None

    @property
    def is_all(self) -> bool:
        """Whether all ids belong to it, also those that are no numbers."""
        return self.after is None and self.until is None

    @property
    def is_empty(self) -> bool:
        """Whether no id can belong to it."""
        return None not in (self.after, self.until) and (self.after or 0) >= (self.until or 0)

    def includes(self, object_id: str) -> bool:
        """Return whether an id belongs to it."""
        if self.is_all:
            return True
        number = whole_number(object_id)
        if number is None or str(number) != object_id:
            return False
        above = self.after is None or number > self.after
        return above and (self.until is None or number <= self.until)


def lines_of(chunks: cabc.Iterable[bytes]) -> cabc.Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank with its number, from 1.

    :param chunks: the text, divided anywhere.
    :raises InputError: a line is longer than ``LINE_MOST``, or all of them than ``LINES_MOST``.
    """
    number, size, rest = 0, 0, b""
    for chunk in itertools.chain(chunks, (b"\n",)):
        size += len(chunk)
        if size > LINES_MOST + 1:
            raise InputError(
                f"the lines have more than {LINES_MOST:,} bytes; send parts with after and until"
            )
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            number += 1
            if len(line) > LINE_MOST:
                raise _too_long(number)
            if line and not line.isspace():
                yield number, line
        if len(rest) > LINE_MOST:
            raise _too_long(number + 1)


def _too_long(number: int) -> InputError:
    return InputError(f"line {number:,} has more than {LINE_MOST:,} bytes")


def parse(number: int, line: bytes, part: IdRange) -> Copy:
    """Read one line, such as ``{"objectId": "12", "version": 3}``.

    :param number: of the line, for the error, which does not quote the line.
    :raises InputError: the line is not such an object, or its id is outside of the part.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise InputError(f"line {number:,} is not JSON in UTF-8") from None
    if type(value) is not dict:
        raise _unexpected(number)
    object_id, version = value.pop("objectId", None), value.pop("version", None)
    date = value.pop("date_modified_gmt", None)
    if value:
        # A date that is misspelt would find no old copy.
        raise _unexpected(number)
    if is_id(object_id):
        object_id = str(object_id)
    elif type(object_id) is not str or not 0 < len(object_id) <= KEY_LENGTH or "\0" in object_id:
        raise InputError(
            f"line {number:,}: objectId must be a text of 1 to {KEY_LENGTH} characters, or a "
            "whole number"
        )
    if version is None:
        version = NONE
    elif type(version) is not int or not 0 <= version <= VERSION_MOST:
        raise InputError(
            f"line {number:,}: version must be a whole number from 0 to {VERSION_MOST:,}"
        )
    if not part.includes(object_id):
        raise InputError(f"line {number:,}: objectId is no number in the part after ... until")
    return Copy(object_id, version, NONE if date is None else _seconds(number, date))


def _unexpected(number: int) -> InputError:
    return InputError(
        f"line {number:,}: an object with objectId, and perhaps version or date_modified_gmt, is "
        "expected"
    )


def _seconds(number: int, date: object) -> float:
    try:
        if type(date) is str:
            return parse_iso(date).timestamp()
    except ValueError:
        pass
    raise InputError(
        f"line {number:,}: date_modified_gmt must be a date such as 2026-11-23T21:14:50"
    )


class SortedCopies:
    """Copies in the order of their ids, those with the lowest version first.

    Close it, which removes the files that hold what does not fit into memory.
    """

    def __init__(self) -> None:
        #: Number of copies.
        self.count = 0
        #: Whether any of them has a date.
        self.dated = False
        self._files: list[t.IO[bytes]] = []
        self._last: list[Copy] = []

    def add(self, copies: cabc.Iterable[Copy]) -> None:
        """Add copies in any order, an object perhaps several times."""
        iterator = iter(copies)
        while part := list(itertools.islice(iterator, IN_MEMORY)):
            if self._last:
                self._files.append(_written(self._last))
            part.sort()
            self._last = part
            self.count += len(part)
            self.dated = self.dated or any(one.modified != NONE for one in part)

    def __iter__(self) -> cabc.Iterator[Copy]:
        """Yield all copies; only once at a time."""
        if not self._files:
            return iter(self._last)
        return heapq.merge(*map(_read, self._files), self._last)

    def close(self) -> None:
        """Remove the files."""
        for file in self._files:
            file.close()


def _written(copies: cabc.Iterable[Copy]) -> t.IO[bytes]:
    with contextlib.ExitStack() as unless_failed:
        file = unless_failed.enter_context(tempfile.TemporaryFile())
        file.writelines(orjson.dumps(list(one), option=orjson.OPT_APPEND_NEWLINE) for one in copies)
        unless_failed.pop_all()
    return file


def _read(file: t.IO[bytes]) -> cabc.Iterator[Copy]:
    file.seek(0)
    for line in file:
        yield Copy(*orjson.loads(line))
