"""Persons: which objects belong to a person, by an e-mail address, and the objects without them."""

from __future__ import annotations

import collections.abc as cabc
import functools
import html
import re
import typing as t
import unicodedata
import urllib.parse

from ..errors import InputError
from .crypto import KeyedHash

#: What is shown in place of a text of a person.
ERASED = "[erased]"
#: The longest address (RFC 5321), and what of a text around ``@`` may be one.
ADDRESS_LENGTH, _LOCAL_LENGTH, _DOMAIN_LENGTH = 254, 100, 255
#: How often a text may be encoded in itself.
_ENCODED_TIMES = 3
#: ``@``, also percent-encoded, as an escape of JSON, and of HTML.
_AT = re.compile(r"@|%(?:25)*40|\\u0040|&(?:amp;)*(?:#0*64|#x0*40|commat);", re.IGNORECASE)
_JSON_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})")
_LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]+")
_LOCAL_END = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]+\Z")
_DOMAIN = re.compile(r"[\w-]+(?:\.[\w-]+)*")
#: Characters of addresses that also stand before one: ``?email=ann@shop.example``.
_BEFORE = re.compile(r"[!#$%&'*/=?^`{|}~]")
_TOKEN = re.compile(r"\[redacted:([0-9a-f]{16})[0-9a-f]{16}\]")

Body = cabc.Mapping[str, t.Any]
#: What of an object is kept, by the names of its members; ``{}`` is a value.
Kept = cabc.Mapping[str, t.Any]


def _names(text: str, **more: Kept) -> dict[str, Kept]:
    return {name: {} for name in text.split()} | more


_META = _names("id key")
_TAXES = _names("id total subtotal")
_LINE = _names(
    "id name parent_name product_id variation_id quantity tax_class tax_status subtotal "
    "subtotal_tax total total_tax sku global_unique_id price method_title method_id instance_id "
    "rate_code rate_id rate_percent label compound tax_total shipping_tax_total amount code "
    "discount discount_tax discount_type nominal_amount free_shipping",
    taxes=_TAXES,
    meta_data=_META,
    image=_names("id src"),
)
#: The members of orders, customers and reviews that say nothing about their person. Everything else
#: is erased, also what extensions add.
KEPT: Kept = _names(
    "id parent_id number order_key created_via version status currency currency_symbol "
    "date_created date_created_gmt date_modified date_modified_gmt date_completed "
    "date_completed_gmt date_paid date_paid_gmt discount_total discount_tax shipping_total "
    "shipping_tax cart_tax total total_tax prices_include_tax customer_id payment_method "
    "payment_method_title cart_hash set_paid is_editable needs_payment needs_processing role "
    "is_paying_customer product_id product_name product_permalink rating average_rating verified "
    "amount refunded_by refunded_payment",
    meta_data=_META,
    refunds=_names("id total total_tax"),
    **dict.fromkeys(
        ("line_items", "shipping_lines", "fee_lines", "tax_lines", "coupon_lines"), _LINE
    ),
)


def normalized(text: str) -> str:
    """Return an address as it is compared: without spaces around it and in lower case."""
    return unicodedata.normalize("NFKC", text.strip()).casefold()


def checked_address(text: str) -> str:
    """Return a valid address, normalized.

    :raises InputError: the text is no e-mail address; the message does not repeat it.
    """
    address = normalized(text[: 4 * ADDRESS_LENGTH])
    local, _at, domain = address.rpartition("@")
    if (
        len(text) > ADDRESS_LENGTH
        or not text.strip().isprintable()
        or not _LOCAL.fullmatch(local)
        or "." not in domain
        or not _DOMAIN.fullmatch(domain)
    ):
        raise InputError(
            f"email: one e-mail address of at most {ADDRESS_LENGTH} characters is expected, "
            "such as ann@shop.example",
            "email",
        )
    return address


def may_hold_address(value: t.Any) -> bool:
    """Return whether any address can be in a text, or in one of a list or an object."""
    if isinstance(value, dict):
        return any(map(may_hold_address, (*value, *value.values())))
    if isinstance(value, list):
        return any(map(may_hold_address, value))
    return isinstance(value, str) and _AT.search(value) is not None


def addresses_in(text: str) -> cabc.Iterator[str]:
    """Yield what may be an address in a text, normalized.

    Also percent-encoded, and with escapes of JSON and HTML. It yields too much rather than too
    little, for example ``ann@shop.example`` for ``ann@shop.example.org``.
    """
    if not _AT.search(text):
        return
    for _ in range(_ENCODED_TIMES):
        yield from _addresses(text)
        decoded = html.unescape(_JSON_ESCAPE.sub(lambda one: chr(int(one[1], 16)), text))
        decoded = urllib.parse.unquote(decoded, errors="surrogateescape")
        if decoded == text:
            return
        text = decoded
    yield from _addresses(text)


def _addresses(text: str) -> cabc.Iterator[str]:
    at = text.find("@")
    while at >= 0:
        before = _LOCAL_END.search(text[max(at - _LOCAL_LENGTH, 0) : at])
        after = _DOMAIN.match(text, at + 1, at + 1 + _DOMAIN_LENGTH)
        if before and after:
            locals_ = [before[0].lstrip(".")]
            begin = at - len(before[0])
            if begin and text[begin - 1] == "\\" and before[0][0] in "bfnrt":
                # An escape of JSON in a text ends before the address.
                locals_.append(before[0][1:].lstrip("."))
            locals_ += [before[0][one.end() :].lstrip(".") for one in _BEFORE.finditer(before[0])]
            domains = [after[0]]
            domains += [after[0][: one.start()] for one in re.finditer(r"[.-]", after[0])]
            for local in locals_:
                yield from (normalized(f"{local}@{domain}") for domain in domains if local)
        at = text.find("@", at + 1)


class Persons:
    """Persons whose data is not stored, by the keyed hashes of their addresses."""

    def __init__(self, hashes: cabc.Iterable[str], keyed: KeyedHash) -> None:
        # What a hidden field keeps of its value begins with the same.
        self._hashes = {one[:16]: one for one in hashes}
        self._keyed = keyed
        self._hash = functools.lru_cache(4096)(keyed.of)

    def find(self, text: str) -> str | None:
        """Return the hash of one of them whose address a text holds."""
        # Most texts have none of these signs, which costs less to see than the rest.
        if not ("@" in text or "%" in text or "\\" in text or "&" in text or "[" in text):
            return None
        if (token := _TOKEN.fullmatch(text)) is not None:
            return self._hashes.get(token[1])
        found = (self._hash(address) for address in addresses_in(text))
        return next((one for one in found if self._hashes.get(one[:16]) == one), None)

    def are_in(self, text: str) -> bool:
        """Return whether a text holds the address of one of them."""
        return self.find(text) is not None

    def own(self, body: Body) -> bool:
        """Return whether an object belongs to one of them."""
        return self.owner(body) is not None

    def owner(self, body: Body) -> str | None:
        """Return the hash of the person whose address the e-mail field of an object has.

        That is a member whose name contains ``mail``, of the object itself or of an object in it,
        such as ``billing.email``. One in a list, such as ``meta_data``, is no such field.
        """
        for name, value in body.items():
            found = None
            if isinstance(value, dict):
                found = self.owner(value)
            elif isinstance(value, str) and "mail" in name.lower():
                found = self.find(value)
            if found is not None:
                return found
        return None

    def without_addresses(self, value: t.Any) -> t.Any:
        """Return a value in which each text, and each name, that holds an address is erased."""
        if isinstance(value, str):
            return ERASED if self.are_in(value) else value
        if isinstance(value, dict):
            return {self._name(name): self.without_addresses(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.without_addresses(one) for one in value]
        return value

    def _name(self, name: str) -> str:
        # One name for all would lose the others' values, and their order would show in the digest.
        return f"{ERASED}{self._keyed.of(name)[:8]}" if self.are_in(name) else name

    def erased(self, body: t.Any, kept: Kept | None = KEPT) -> t.Any:
        """Return an object of one of them without their data; its structure stays as it is."""
        return self.without_addresses(erased(body, kept))


def erased(value: t.Any, kept: Kept | None = KEPT) -> t.Any:
    """Return a value without what is not kept: texts are ``[erased]`` and numbers 0.

    Empty texts, nulls and booleans stay, and so do the names of members.

    :param kept: ``None``: nothing.
    """
    if isinstance(value, dict):
        return {
            name: erased(one, None if kept is None else kept.get(name))
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [erased(one, kept) for one in value]
    if kept is not None or value is None or isinstance(value, bool):
        return value
    return (ERASED if value else value) if isinstance(value, str) else 0


def kept_at(names: cabc.Iterable[str]) -> Kept | None:
    """Return what is kept of a value at a path of names."""
    kept: Kept | None = KEPT
    for name in names:
        kept = None if kept is None else kept.get(name)
    return kept
