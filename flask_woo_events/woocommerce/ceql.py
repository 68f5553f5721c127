"""``where`` in CEQL: reads its conditions."""

from __future__ import annotations

import dataclasses
import re

from ..errors import InputError

#: Longest ``where``, characters.
LENGTH_MOST = 4000
_QUOTED = r"'(?:[^']|'')*'"
_VALUE = rf"(?:{_QUOTED}|[^\s'()]+)"
_LISTED = rf"(?:{_QUOTED}|[^\s'(),]+)"
_CONDITION = re.compile(
    rf"\s*`?(?P<field>[\w.-]+)`?\s*"
    rf"(?:(?P<op>>=|<=|!=|=|>|<)\s*(?P<value>{_VALUE})"
    rf"|\s(?P<in>in)\s*\(\s*(?P<values>{_LISTED}(?:\s*,\s*{_LISTED})*)\s*\))"
    r"\s*(?P<and>\Z|\sand\s)",
    re.IGNORECASE,
)
_ONE = re.compile(_LISTED)


@dataclasses.dataclass(frozen=True)
class Condition:
    """One condition; with ``in`` it has several values, else one."""

    field: str
    #: ``=``, ``!=``, ``<``, ``>``, ``<=``, ``>=`` or ``in``.
    op: str
    values: tuple[str, ...]
    #: As the client wrote it, for errors.
    text: str

    @property
    def value(self) -> str:
        """The value, or the first of several."""
        return self.values[0]


def read_where(text: str, parameter: str = "where") -> tuple[Condition, ...]:
    """Read conditions joined by ``and``; a quote in a quoted value is written twice.

    ``OR``, ``LIKE``, ``IS NULL`` and parentheses are refused: no store supports them.

    :param parameter: the name of the parameter, for the error.
    :raises InputError: the text does not have this form.
    """
    if len(text) > LENGTH_MOST:
        raise InputError(f"where has more than {LENGTH_MOST} characters", parameter)
    found, place = [], 0
    while True:
        match = _CONDITION.match(text, place)
        if match is None:
            raise InputError(
                "where is not a list of conditions such as status='completed', joined by and "
                f"(not or, like, is null): {text[place:][:100]!r}",
                parameter,
            )
        values = _ONE.findall(match["values"]) if match["in"] else [match["value"]]
        shown = text[match.start() : match.start("and")].strip()[:100]
        found.append(
            Condition(match["field"], match["op"] or "in", tuple(map(_plain, values)), shown)
        )
        if not match["and"]:
            return tuple(found)
        place = match.end()


def _plain(text: str) -> str:
    return text[1:-1].replace("''", "'") if text.startswith("'") else text
