"""One-legged OAuth 1.0a, which WooCommerce requires over plain HTTP."""

from __future__ import annotations

import base64
import collections.abc as cabc
import hashlib
import hmac
import secrets
import urllib.parse

Pairs = list[tuple[str, str]]


def encode(text: str) -> str:
    """Encode text by RFC 3986; a space is ``%20``."""
    return urllib.parse.quote(text, safe="-._~")


def encode_query(pairs: cabc.Iterable[tuple[str, str]]) -> str:
    """Write a query string in RFC 3986 form, in the order given."""
    return "&".join(f"{encode(key)}={encode(value)}" for key, value in pairs)


def sign(
    method: str,
    url: str,
    pairs: Pairs,
    key: str,
    secret: str,
    *,
    timestamp: int,
    nonce: str | None = None,
) -> Pairs:
    """Return the query with the OAuth parameters and their HMAC-SHA256 signature.

    :param url: the address by which the store checks: its home URL and the path, without query.
    :param pairs: the query; each name once. Lists must be joined with commas, because WooCommerce
        versions sign names with brackets differently.
    :param timestamp: seconds since 1970; the store allows a difference of fifteen minutes.
    """
    signed = [
        *pairs,
        ("oauth_consumer_key", key),
        ("oauth_nonce", nonce or secrets.token_hex(16)),
        ("oauth_signature_method", "HMAC-SHA256"),
        ("oauth_timestamp", str(timestamp)),
    ]
    # By the bytes of the names: the store sorts before it encodes, unlike the OAuth standard.
    ordered = encode_query(sorted(signed, key=lambda pair: pair[0].encode()))
    base = "&".join((method.upper(), encode(url), encode(ordered)))
    digest = hmac.new(f"{secret}&".encode(), base.encode(), hashlib.sha256).digest()
    return [*signed, ("oauth_signature", base64.b64encode(digest).decode())]
