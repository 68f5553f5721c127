"""Parameters of a listing: read, checked, and refused with WordPress's words."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import zoneinfo

from .responses import invalid

_Rule = cabc.Callable[[str], tuple[str, str] | None]


def _listed(words: cabc.Sequence[str]) -> str:
    return f"{', '.join(words[:-1])}, and {words[-1]}" if len(words) > 1 else words[0]


class Parameters:
    """The query of one request; collects what is wrong and raises it at once."""

    def __init__(self, values: cabc.Mapping[str, str]) -> None:
        self._values = values
        self._wrong: dict[str, tuple[str, str]] = {}

    def check(self) -> None:
        """Raise the error that names every wrong parameter."""
        if self._wrong:
            raise invalid(self._wrong)

    def text(self, name: str, default: str = "") -> str:
        """A text; missing and empty are the same."""
        return self._values.get(name) or default

    def integer(self, name: str, default: int, low: int, high: int | None = None) -> int:
        """A whole number between two bounds."""
        raw = self._values.get(name)
        if raw is None or raw == "":
            return default
        try:
            value = int(raw)
        except ValueError:
            self._wrong[name] = ("rest_invalid_type", f"{name} is not of type integer.")
            return default
        if value < low or (high is not None and value > high):
            bounds = (
                f"must be greater than or equal to {low}"
                if high is None
                else f"must be between {low} (inclusive) and {high} (inclusive)"
            )
            self._wrong[name] = ("rest_out_of_bounds", f"{name} {bounds}")
        return value

    def choice(self, name: str, default: str, allowed: cabc.Sequence[str]) -> str:
        """One of a few words."""
        value = self._values.get(name) or default
        if value and value not in allowed:
            self._refuse(name, name, allowed)
        return value

    def choices(self, name: str, allowed: cabc.Sequence[str]) -> tuple[str, ...]:
        """Several of a few words, separated by commas."""
        values = tuple(word.strip() for word in self._values.get(name, "").split(",") if word)
        for place, value in enumerate(values):
            if value not in allowed:
                self._refuse(name, f"{name}[{place}]", allowed)
                break
        return values

    def _refuse(self, name: str, place: str, allowed: cabc.Sequence[str]) -> None:
        words = f"{place} is not one of {_listed(allowed)}."
        self._wrong[name] = ("rest_not_in_enum", words)

    def ids(self, name: str) -> tuple[int, ...]:
        """A list of ids, separated by commas."""
        words = self._values.get(name, "").replace(" ", ",").split(",")
        return tuple(int(word) for word in words if word.strip().isdigit())

    def date(self, name: str, zone: zoneinfo.ZoneInfo) -> dt.datetime | None:
        """A date as WordPress compares it: the digits of the site's wall clock.

        WordPress turns every value with an offset into site-local digits, whichever column they
        are compared with later; digits that fall into the gap of a time change move on.
        """
        raw = self._values.get(name)
        if not raw:
            return None
        try:
            value = dt.datetime.fromisoformat(raw.strip().replace(" ", "T").replace("t", "T"))
        except ValueError:
            self._wrong[name] = ("rest_invalid_date", "Invalid date.")
            return None
        value = value.replace(microsecond=0)
        if value.tzinfo is None:
            value = value.replace(tzinfo=zone).astimezone(dt.UTC)
        return value.astimezone(zone)
