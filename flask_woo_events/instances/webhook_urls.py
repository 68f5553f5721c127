"""The delivery URLs of stores' webhooks, and their secrets."""

from __future__ import annotations

import base64
import binascii
import collections.abc as cabc
import dataclasses
import hashlib
import hmac

import itsdangerous

from ..values.validation import whole_number

#: Path below the API's prefix; Cloud Elements documents it with the element's key.
PATH = "/events/woocommercerest"
_SALT = "flask_woo_events.hooks"


@dataclasses.dataclass(frozen=True, slots=True)
class Hook:
    """The instance of a webhook, and the number of its secret."""

    instance_id: int
    #: Incremented when the instance's secret is replaced.
    epoch: int


def sign(keys: cabc.Sequence[str], hook: Hook) -> str:
    """Return the last part of the URL, which only the owner of the keys can make.

    :param keys: ``WOO_EVENTS_ENCRYPTION_KEYS``, oldest first.
    """
    return str(_serializer(keys).dumps([hook.instance_id, hook.epoch]))


def read(keys: cabc.Sequence[str], text: str) -> Hook | None:
    """Read the last part of a URL; return ``None`` if :func:`sign` did not make it."""
    try:
        number, epoch = _serializer(keys).loads(text)
    except (itsdangerous.BadSignature, ValueError, TypeError):
        return None
    return Hook(number, epoch)


def read_base64(text: str) -> int | None:
    """Read the instance of Cloud Elements' documented route ``/events/{key}/{base64 of id}``."""
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return whole_number(plain)


def secrets(keys: cabc.Sequence[str], hook: Hook) -> tuple[str, ...]:
    """Return the valid secrets of a webhook, oldest first; a new webhook gets the last one.

    They are derived from the encryption keys and not stored. Each key has its own, so that all
    are valid while a key is being replaced.
    """
    message = f"hook:{hook.instance_id}:{hook.epoch}".encode()
    return tuple(hmac.new(key.encode(), message, hashlib.sha256).hexdigest() for key in keys)


def url(base: str, keys: cabc.Sequence[str], hook: Hook) -> str:
    """Return the delivery URL for a store.

    :param base: URL at which the store reaches the API, with its prefix.
    """
    return f"{base.rstrip('/')}{PATH}/{sign(keys, hook)}"


def _serializer(keys: cabc.Sequence[str]) -> itsdangerous.URLSafeSerializer:
    return itsdangerous.URLSafeSerializer(list(keys), salt=_SALT)
