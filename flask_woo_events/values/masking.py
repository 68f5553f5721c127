"""Masking: texts from outside without the secrets that they repeat, also in an encoding.

A store, a callback or a proxy may show the headers, the query or the body of our request in an
error. What is masked of each secret: the text itself, each character of it in percent-encoding,
as a JSON escape or as an HTML entity, and its Base64, alone or within a longer text.
"""

from __future__ import annotations

import base64
import binascii
import collections.abc as cabc
import functools
import html
import json
import re

from .validation import MASK

#: Characters; shorter secrets are masked only as a whole word, because they are in every text.
WORD_BELOW = 4
#: Characters of a secret that count alone: the rest may be cut off.
HEAD = 12
#: Shortest part of a Base64 text that is looked for.
_PART = 4

_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}|\\|&[#a-z]|\s")
_WORD_BEGINS = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\[nrt]))"
_WORD_ENDS = r"(?![A-Za-z0-9])"
#: Base64 has line breaks in some encoders.
_BREAK = r"(?:\s|\\+[rnt])*"
_REST = r"[\w+/%=-]*(?:(?:\r?\n|(?:\\+r)?\\+n)[\w+/%=-]+)*"
_NAMED = {'"': "quot", "&": "amp", "<": "lt", ">": "gt", "'": "apos"}


class SecretMask:
    """Replaces the secrets of a request in texts of those who received it.

    :param secrets: the secrets as they are, without any encoding.
    """

    def __init__(self, secrets: cabc.Iterable[str]) -> None:
        self._secrets = tuple(sorted({one for one in secrets if one}, key=len, reverse=True))

    def __repr__(self) -> str:
        return f"<SecretMask of {len(self._secrets)} secrets>"

    def hide(self, text: str) -> str:
        """Return a text with ``********`` in the place of each secret."""
        if not text or not self._secrets:
            return text
        probes, pattern = _compiled(self._secrets)
        if not _ENCODED.search(text) and not any(probe in text for probe in probes):
            return text
        return pattern.sub(MASK, text)


def secrets_of_headers(headers: cabc.Mapping[str, str]) -> set[str]:
    """Return the secrets in headers: values, and what follows ``Basic`` or ``Bearer``."""
    found = set()
    for value in headers.values():
        found.add(value)
        scheme, _space, credentials = value.partition(" ")
        if scheme.lower() in ("basic", "bearer", "token"):
            found.add(credentials)
        if scheme.lower() == "basic":
            found |= _of_basic(credentials)
    return found


def secrets_of_basic(user: str, password: str) -> set[str]:
    """Return the secrets of Basic credentials; the name alone is none."""
    pair = f"{user}:{password}"
    # Also as it is sent, because a text may have the Base64 of the whole header.
    return {password, pair, base64.b64encode(pair.encode()).decode()}


def _of_basic(credentials: str) -> set[str]:
    try:
        user, colon, password = base64.b64decode(credentials).decode().partition(":")
    except (binascii.Error, ValueError):
        return set()
    return secrets_of_basic(user, password) if colon else set()


# Compiled for each delivery, the pattern would take longer than the delivery.
@functools.lru_cache(maxsize=256)
def _compiled(secrets: tuple[str, ...]) -> tuple[tuple[str, ...], re.Pattern[str]]:
    """Return the beginnings of what is masked, and the pattern of it."""
    probes: set[str] = set()
    patterns: list[str] = []
    for secret in secrets:
        probes.add(secret[:_PART])
        alike = [one for one in secrets if one.startswith(secret[:HEAD])]
        patterns.append(_pattern(secret, alike))
        for part in _parts(secret.encode()):
            probes.add(part[:_PART].replace("-", "+").replace("_", "/"))
            probes.add(part[:_PART].replace("+", "-").replace("/", "_"))
            patterns.append(_base64_pattern(part))
    return tuple(probes), re.compile("|".join(patterns))


def _pattern(secret: str, alike: cabc.Iterable[str]) -> str:
    """Match a secret in any encoding; of a long one also the first part alone.

    :param alike: all secrets with this first part, such as a key and ``key:secret``.
    """
    beginning = "".join(map(_character, secret[:HEAD]))
    if len(secret) < WORD_BELOW:
        return f"{_WORD_BEGINS}{beginning}{_WORD_ENDS}"
    if len(secret) <= HEAD:
        return beginning
    # An encoded rest holds none of these; one that does is as a common encoding writes it.
    rests = set[str]().union(*(_written(one[HEAD:]) for one in alike))
    rest = "|".join(re.escape(one) for one in sorted(rests, reverse=True))
    return rf"{beginning}(?:{rest})?[^\s\"'<>]*"


def _written(text: str) -> set[str]:
    escaped = json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]
    return {text, html.escape(text), html.escape(text, quote=False), *escaped,
            *(json.dumps(one)[1:-1] for one in escaped),
            *(one.replace("/", r"\/") for one in escaped)}  # fmt: skip


def _parts(data: bytes) -> cabc.Iterator[str]:
    """Yield the Base64 characters that only ``data`` decides, at each place in a longer text."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        shared = (before + len(data)) % 3 != 0
        part = text[(0, 2, 3)[before] : len(text) - shared]
        if len(part) >= _PART:
            yield part


def _base64_pattern(part: str) -> str:
    """Match the beginning of a part of a Base64 text, and what follows it there."""
    return _BREAK.join(map(_base64_character, part[: HEAD * 4 // 3])) + _REST


def _base64_character(character: str) -> str:
    if character == "+":
        return r"(?:[+-]|%(?:25)*2[bB]|\\+u002[bB])"
    if character == "/":
        return r"(?:\\*[/_]|%(?:25)*2[fF]|\\+u002[fF])"
    return character


def _character(character: str) -> str:
    """Match a character, or one of its encodings."""
    code = ord(character)
    percent = "".join(f"%(?:25)*{_hex(byte, 2)}" for byte in character.encode("utf-8", "replace"))
    units = character.encode("utf-16-be", "surrogatepass")
    escapes = "".join(
        rf"\\+u{_hex(units[at] << 8 | units[at + 1], 4)}" for at in range(0, len(units), 2)
    )
    ways = [re.escape(character), percent, escapes, f"&#0*{code};", f"&#[xX]0*{_hex(code, 1)};"]
    if character in '"\\/':
        ways.append(r"\\+" + re.escape(character))
    if character in _NAMED:
        ways.append(f"&{_NAMED[character]};")
    if character == " ":
        ways.append(r"\+")
    return f"(?:{'|'.join(ways)})"


def _hex(number: int, digits: int) -> str:
    """Match a number in hexadecimal digits, in upper or lower case."""
    text = f"{number:0{digits}x}"
    return "".join(f"[{one}{one.upper()}]" if one.isalpha() else one for one in text)
