"""The JSON in a body of a store, also between PHP's notices, comments and printed text."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

import orjson

#: Bytes before the JSON, and after it, that are searched.
LOOK = 64 * 1024

_BLANK = re.compile(rb"(?:\s|\xef\xbb\xbf|<br ?/?>|</?p>)*")
_NOTICE = re.compile(
    rb"(?:<b>)?(?:PHP )?(?:User )?"
    rb"(?:Warning|Notice|Deprecated|Strict Standards|(?:Recoverable f|F)atal error|Parse error)"
    rb"(?:</b>)?:"
)
_ON_LINE = re.compile(rb" on line (?:<b>)?\d+(?:</b>)?")
#: Elements that plugins, WordPress and Xdebug print; those of a whole page are not among them.
_ELEMENT = re.compile(
    rb"<(a|b|code|div|font|iframe|noscript|p|pre|script|small|span|strong|style|table)\b[^<>]*>",
    re.IGNORECASE,
)
#: Of these, those that no notice holds.
_BLOCK = re.compile(rb"<(?:div|font|iframe|pre|script|style|table)\b|<!--", re.IGNORECASE)
_VOID = re.compile(rb"<(?:br|hr|img|link|meta)\b[^<>]*>", re.IGNORECASE)
#: Text that cannot be a part of JSON; numbers and words may be.
_PRINTED = re.compile(rb"[^<>{}\[\]\"]+")
_DATABASE_ERROR = (b"WordPress database error", b"wpdberror")


@dataclasses.dataclass(frozen=True)
class JsonText:
    """The JSON of a body, and what surrounds it.

    :param before: the text before it, without white space and a byte order mark.
    :param after: the text after it.
    :param odd: text other than notices, comments, styles and scripts is among it, so an empty
        list may stand for a failure.
    """

    data: t.Any
    before: bytes = b""
    after: bytes = b""
    odd: bool = False

    @property
    def around(self) -> bytes:
        """The text before and after it."""
        return b" ".join(filter(None, (self.before, self.after)))

    @property
    def database_failed(self) -> bool:
        """Whether WordPress printed that a query failed: objects may be missing."""
        return any(error in self.around for error in _DATABASE_ERROR)

    @property
    def died(self) -> bool:
        """Whether PHP printed a fatal error first."""
        return b"Fatal error" in self.before


def parse_json(body: bytes) -> JsonText:
    """Return the JSON of a body, and the text around it.

    The first JSON value has to be complete, so that a truncated list is not accepted, and nothing
    around it may look like another one.

    :raises ValueError: the body is anything else.
    """
    try:
        return JsonText(_loads(body))
    except ValueError:
        start, odd_before = _skip(body, 0)
        if body[start : start + 1] not in (b"{", b"["):
            raise
    end = _end_of_value(body, start)
    data = _loads(body[start:end])
    rest, odd_after = _skip(body, end)
    if body[rest:].strip():
        raise ValueError("more JSON follows")
    before = body[:start].removeprefix(b"\xef\xbb\xbf").strip()
    return JsonText(data, before, body[end:].strip(), odd_before or odd_after)


def _loads(body: bytes) -> t.Any:
    data = orjson.loads(body)
    try:
        # orjson reads 1024 levels but writes 254; what cannot be stored is refused.
        orjson.dumps(data)
    except TypeError as exc:
        raise ValueError("nested too deeply") from exc
    return data


def _end_of_value(body: bytes, start: int) -> int:
    if body[start:].rstrip()[-1:] in (b"}", b"]"):
        try:
            orjson.loads(body[start:])
            return len(body)
        except ValueError:
            pass
    text = body[start:].decode("utf-8", "surrogateescape")
    try:
        _data, end = json.JSONDecoder().raw_decode(text)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    return start + len(text[:end].encode("utf-8", "surrogateescape"))


def _skip(body: bytes, place: int) -> tuple[int, bool]:
    """Return where text that is not JSON ends, and whether any of it is odd."""
    limit, odd = min(place + LOOK, len(body)), False
    while place < limit:
        before = place
        if blank := _BLANK.match(body, place, limit):
            place = blank.end()
        if _NOTICE.match(body, place, limit):
            place = _after_notice(body, place, limit)
        elif body.startswith(b"<!--", place):
            place = _after(body, b"-->", place, limit)
        elif void := _VOID.match(body, place, limit):
            place = void.end()
        elif element := _ELEMENT.match(body, place, limit):
            place = _after_element(body, element, limit)
            odd |= element[1].lower() not in (b"script", b"style", b"noscript")
        elif printed := _PRINTED.match(body, place, limit):
            place, odd = printed.end(), True
        if place == before:
            break
    return place, odd


def _after(body: bytes, end: bytes, place: int, limit: int) -> int:
    found = body.find(end, place, limit)
    return place if found < 0 else found + len(end)


def _after_notice(body: bytes, place: int, limit: int) -> int:
    notice = place
    # A message may contain "on line"; its end is followed by markup, JSON or a notice.
    while line := _ON_LINE.search(body, place, limit):
        place = line.end()
        rest = _BLANK.match(body, place, limit)
        end = rest.end() if rest else place
        if end >= limit or body[end : end + 1] in (b"{", b"["):
            return end
        if _NOTICE.match(body, end, limit) or _BLOCK.match(body, end, limit):
            return end
    return notice if place == notice else place


def _after_element(body: bytes, element: re.Match[bytes], limit: int) -> int:
    name = element[1].lower()
    if name in (b"script", b"style", b"noscript", b"iframe"):
        found = re.compile(b"</" + name + rb"\s*>", re.IGNORECASE).search(
            body, element.end(), limit
        )
        return found.end() if found else element.start()
    depth = 0
    tags = re.compile(b"<(/?)" + name + rb"\b[^<>]*>", re.IGNORECASE)
    for tag in tags.finditer(body, element.start(), limit):
        depth += -1 if tag[1] else 1
        if not depth:
            return tag.end()
    return element.start()
