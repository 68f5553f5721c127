"""Oddities: what is wrong with a store's answers that a resource survives, and what it costs."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Oddity:
    """One kind of them.

    :param code: for the API and for logs.
    :param costs: what is not as it should be while it lasts, a sentence.
    :param ends: what ends it, a sentence.
    """

    code: str
    costs: str
    ends: str


def by_code(code: str) -> Oddity | None:
    """Return the oddity with a code; ``None`` if this release has none."""
    every = [one for one in globals().values() if isinstance(one, Oddity)]
    return next((one for one in every if one.code == code), None)


BODY_TRUNCATED = Oddity(
    "body-truncated",
    costs="Events of these objects have no body, only the id and bodyTruncated.",
    ends="A change of the object that the database takes, or a day; MariaDB takes no statement "
    "that is larger than max_allowed_packet.",
)
NOT_RECORDED = Oddity(
    "not-recorded",
    costs="The change that was found of these objects is not sent.",
    ends="A reading of the object that the database takes, at the latest the comparison's.",
)


class Oddities:
    """Collects the oddities that a client and its readers meet, until they are taken."""

    def __init__(self) -> None:
        self._found: dict[Oddity, str] = {}

    def add(self, oddity: Oddity, detail: str = "") -> None:
        """Add an oddity.

        :param detail: what exactly, a sentence without a customer's data; the last one counts.
        """
        self._found[oddity] = detail

    def take(self) -> dict[Oddity, str]:
        """Return what was added since this was last called."""
        found, self._found = self._found, {}
        return found
