"""Encryption of stored secrets, tokens, and signatures.

Keys are lists, oldest first: the last one encrypts and signs, all of them are accepted.
"""

from __future__ import annotations

import base64
import binascii
import collections.abc as cabc
import datetime as dt
import hashlib
import hmac
import re
import secrets

import cryptography.fernet

from ..errors import ConfigurationError, SecretError

_SETTING = "WOO_EVENTS_ENCRYPTION_KEYS"
_PREFIX = "sha256="
_WHSEC = "whsec_"
#: Random bytes of a token: too many to guess, so that a plain hash protects it.
TOKEN_BYTES = 32


class Cipher:
    """Encrypt and decrypt the secrets in the database.

    :param keys: Fernet keys, oldest first; the last one encrypts.
    :raises ConfigurationError: there is no key, or one is not a Fernet key.
    """

    def __init__(self, keys: cabc.Sequence[str]) -> None:
        if not keys:
            raise ConfigurationError(
                f"{_SETTING} is empty; make a key with: flask woo keys generate"
            )
        parts = []
        for position, key in enumerate(keys, start=1):
            try:
                parts.append(cryptography.fernet.Fernet(key.strip()))
            except ValueError as exc:
                raise ConfigurationError(
                    f"key {position} of {_SETTING} is not a Fernet key; "
                    "make one with: flask woo keys generate"
                ) from exc
        # Fernet expects the key that encrypts first.
        self._fernet = cryptography.fernet.MultiFernet(parts[::-1])
        self._count = len(parts)

    def __repr__(self) -> str:
        return f"<Cipher with {self._count} keys>"

    @staticmethod
    def generate_key() -> str:
        """Make a key for ``WOO_EVENTS_ENCRYPTION_KEYS``."""
        return cryptography.fernet.Fernet.generate_key().decode()

    def encrypt(self, text: str) -> str:
        """Encrypt with the newest key."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, token: str) -> str:
        """Decrypt with any of the keys.

        :raises SecretError: no key fits, or the text was altered.
        """
        try:
            return self._fernet.decrypt(token.encode("utf-8", "replace")).decode()
        except cryptography.fernet.InvalidToken as exc:
            raise _unreadable() from exc

    def rotate(self, token: str) -> str:
        """Encrypt a stored secret again with the newest key.

        :raises SecretError: no key fits, or the text was altered.
        """
        try:
            return self._fernet.rotate(token.encode("utf-8", "replace")).decode()
        except cryptography.fernet.InvalidToken as exc:
            raise _unreadable() from exc


def _unreadable() -> SecretError:
    return SecretError(
        f"a stored secret cannot be decrypted; add the key that encrypted it to {_SETTING}, "
        "before the newest one (flask woo keys generate makes keys, and cannot bring one back)"
    )


class KeyedHash:
    """A hash that only those who have its key can compute, so that values cannot be tried."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "<KeyedHash>"

    def of(self, text: str) -> str:
        """Return the HMAC-SHA256 of a text in hex."""
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hex()


def new_token() -> str:
    """Make a token of 43 characters, which need no escaping in a URL."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def hash_token(token: str) -> str:
    """Return the SHA-256 of a token in hex, as the database stores it.

    A slow, salted hash protects passwords; a token's 256 random bits do not need one.
    """
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def same(left: str, right: str) -> bool:
    """Compare two texts in constant time."""
    return hmac.compare_digest(left.encode("utf-8", "replace"), right.encode("utf-8", "replace"))


def sign_body(body: bytes, key: str) -> str:
    """Return the value of ``Elements-Webhook-Signature``: ``sha256=`` and the Base64 HMAC.

    Source: Cloud Elements' developer portal, "Event management > Security".
    """
    return _PREFIX + _hmac(key.encode(), body)


def verify_body(body: bytes, keys: str | cabc.Sequence[str], header: str | None) -> bool:
    """Return whether a signature is valid for one of the keys."""
    return _verify(header, [sign_body(body, key) for key in _newest_first(keys)])


def standard_headers(
    msg_id: str, timestamp: dt.datetime, body: bytes, keys: cabc.Sequence[str]
) -> dict[str, str]:
    """Return the three headers of Standard Webhooks, one signature for each key, newest first.

    :param timestamp: time of this attempt, aware.
    :param keys: oldest first. A key that begins with ``whsec_`` holds its bytes in Base64; any
        other key is used as it is, in UTF-8.
    :raises ValueError: the timestamp is naive.
    """
    if timestamp.tzinfo is None:
        raise ValueError("the timestamp of a signature needs a time zone")
    seconds = str(int(timestamp.timestamp()))
    signed = f"{msg_id}.{seconds}.".encode() + body
    return {
        "webhook-id": msg_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(
            f"v1,{_hmac(_key_bytes(key), signed)}" for key in _newest_first(keys)
        ),
    }


def verify_woocommerce(body: bytes, keys: str | cabc.Sequence[str], header: str | None) -> bool:
    """Return whether ``X-WC-Webhook-Signature`` is valid for one of the secrets.

    :param body: the bytes as received; parsed and written again they would differ.
    """
    return _verify(header, [_hmac(_decoded(key).encode(), body) for key in _newest_first(keys)])


def _hmac(key: bytes, body: bytes) -> str:
    return base64.b64encode(hmac.digest(key, body, "sha256")).decode()


def _newest_first(keys: str | cabc.Sequence[str]) -> list[str]:
    # Anyone could sign with an empty key.
    return [key for key in reversed([keys] if isinstance(keys, str) else keys) if key]


def _verify(header: str | None, expected: cabc.Sequence[str]) -> bool:
    given = (header or "").strip()
    # All keys are compared, so that the time does not reveal which one matched.
    return any([same(given, each) for each in expected])


def _key_bytes(key: str) -> bytes:
    if key.startswith(_WHSEC):
        try:
            return base64.b64decode(key.removeprefix(_WHSEC), validate=True)
        except (binascii.Error, ValueError):
            pass
    return key.encode()


_ENTITY = re.compile(r"&(?:(quot|lt|gt|amp)|#0*(34|38|39|60|62)|#[xX]0*(22|26|27));")
_NAMED = {"quot": '"', "lt": "<", "gt": ">", "amp": "&"}


def _decoded(secret: str) -> str:
    """Decode the entities that WordPress decodes before it signs, and no others.

    Source: ``WC_Webhook::generate_signature`` calls ``wp_specialchars_decode(…, ENT_QUOTES)``.
    """

    def character(match: re.Match[str]) -> str:
        name, decimal, hexadecimal = match.groups()
        if name:
            return _NAMED[name]
        return chr(int(decimal)) if decimal else chr(int(hexadecimal, 16))

    return _ENTITY.sub(character, secret)
