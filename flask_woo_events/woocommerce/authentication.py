"""The ways in which a store may accept its keys, and the form of the keys."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..errors import InputError

AuthKind = t.Literal["basic", "query", "oauth"]


def kinds_of(auth: str, url: str, headers: cabc.Iterable[str]) -> list[AuthKind]:
    """Return the kinds of authentication to try, in this order.

    :param auth: ``auto``, or the only kind to use.
    :param headers: names of the additional headers.
    :raises InputError: there is no such kind.
    """
    kinds: dict[str, list[AuthKind]] = {
        "auto": ["basic", "query", "oauth"] if url.startswith("https:") else ["oauth"],
        "basic": ["basic"],
        "query": ["query"],
        "oauth": ["oauth"],
    }
    if auth not in kinds:
        raise InputError("auth has to be auto, basic, query or oauth", "auth")
    if any(name.lower() == "authorization" for name in headers):
        # The site's own password takes the header.
        return [kind for kind in kinds[auth] if kind != "basic"] or ["query"]
    return kinds[auth]


def credential(text: str, name: str) -> str:
    """Return a key without white space around it.

    :raises InputError: it cannot be one of WooCommerce's.
    """
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable() or set(text) & set("<>: "):
        raise InputError(
            f"the {name} is not one of WooCommerce's; it begins with ck_ or cs_",
            name.replace(" ", "_"),
        )
    return text
