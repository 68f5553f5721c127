"""The deviations that ``docs/parity.md`` declares, and what is seen instead."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Deviation:
    """Differences that some calls have.

    :param row: of the table of parity, whose last column gives the reason.
    :param seen: the differences as they are reported.
    :param calls: names of the calls; each has all of them.
    """

    row: int
    seen: tuple[str, ...]
    calls: tuple[str, ...]


def _row(row: int, seen: str | tuple[str, ...], *calls: str) -> Deviation:
    return Deviation(row, (seen,) if isinstance(seen, str) else seen, calls)


_CREATED = (
    "create a polling instance", "create with the element's defaults", "create a webhook instance",
    "create without events", "create at woocommercerest", "create at 2881",
)  # fmt: skip
_ELEMENT = (
    "body.element.transformationsEnabled is False, not True",
    "body.element.bulkDownloadEnabled is False, not True",
    "body.element.bulkUploadEnabled is False, not True",
    "body.element.cloneable is False, not True",
)
_LISTS = ("list instances", "find a backup", "list at woocommercerest", "list at 2881")
_WIDE = tuple(
    f"it.event.notification.callback.{name}.type is TEXTFIELD_1000, not TEXTFIELD_128"
    for name in ("url", "headers")
)

DECLARED = (
    _row(48, "status 405, not 200", "bulk query"),
    _row(59, "status 405, not 200", "create a notification", "delete a notification",
         "create a subscription", "delete a subscription", "send an e-mail"),
    _row(59, "status 405, not 400", "create a notification from nothing",
         "create a subscription from nothing"),
    _row(59, "status 404, not 200", "acknowledge a notification"),
    _row(59, ("body.id is not a number", "body.message is dict, not str", "body.from is missing",
              "body.active is missing", "body.acknowledged is missing"), "one notification"),
    _row(59, ("body[].id is not a number", "body[].message is dict, not str",
              "body[].from is missing", "body[].active is missing",
              "body[].acknowledged is missing"), "notifications of a topic"),
    _row(61, "it is 0, not 1", "callbacks of the same event", "callbacks of another vendor"),
    _row(62, "status 401, not 200", "send to an address"),
    _row(62, "status 404, not 200", "imitate the poller"),
    _row(68, "status 404, not 200", "metrics of events"),
    _row(69, "it is False, not True", "disposition Triggered executions",
         "disposition Completed execution"),
    _row(70, "status 404, not 200", "poll jobs"),
    _row(72, _WIDE, "definitions of woocommercerest", "definitions of 2881"),
    _row(73, "body.objects is missing", "create and retrieve objects"),
    _row(74, _ELEMENT, *_CREATED),
    _row(74, "body.element.image is not an address of the web", *_CREATED),
    _row(74, "body.token is missing", "show by id", "show at woocommercerest", "show at 2881"),
    _row(74, "body[].token is missing", *_LISTS),
    _row(74, "status 404, not 200", "switch trace logging on", "instance's own docs"),
    _row(99, "body is list, not an object", "asynchronous call"),
)  # fmt: skip
