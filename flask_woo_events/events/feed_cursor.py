"""The cursor of a feed: up to where its reader has read, as a text that means nothing to others."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import struct

from ..errors import InputError

#: Version, organization, instance, subscription (0: none), position, and the name of a life.
_PARTS = struct.Struct(">BQQQQ16s")
_CHECK = 8
_VERSION = 1
_TEXT = re.compile(r"[A-Za-z0-9_-]{76}\Z", re.ASCII)
_WRONG = (
    "cursor is not one of this API: send the cursor of the last answer as it was, "
    "now for what happens from here on, or none to begin with the oldest event"
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeedScope:
    """Whose events a feed has."""

    organization_id: int
    #: ``None``: of all instances of the organization.
    instance_id: int | None = None
    subscription_id: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeedCursor:
    """The last position that was read, and in which life of the database."""

    position: int
    life: str

    def text(self, scope: FeedScope) -> str:
        """Return the cursor as a reader of a feed gets it."""
        body = _PARTS.pack(_VERSION, *_numbers(scope), self.position, self.life.encode())
        return base64.urlsafe_b64encode(body + _check(body)).decode()


def read(text: str, scope: FeedScope) -> FeedCursor:
    """Read a cursor that a reader has sent back.

    It is a position and no secret: whom the feed belongs to is checked in any case.

    :raises InputError: it was changed, or belongs to another feed.
    """
    if not _TEXT.match(text):
        raise InputError(_WRONG, "cursor")
    data = base64.urlsafe_b64decode(text)
    body, check = data[:-_CHECK], data[-_CHECK:]
    if check != _check(body):
        raise InputError(_WRONG, "cursor")
    version, *numbers, position, life = _PARTS.unpack(body)
    if version != _VERSION:
        raise InputError(_WRONG, "cursor")
    if tuple(numbers) != _numbers(scope):
        raise InputError("cursor belongs to another feed; each feed has its own", "cursor")
    return FeedCursor(position=position, life=life.rstrip(b"\0").decode("ascii", "replace"))


def _numbers(scope: FeedScope) -> tuple[int, int, int]:
    return scope.organization_id, scope.instance_id or 0, scope.subscription_id or 0


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECK, person=b"woo_feed").digest()
