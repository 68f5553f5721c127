"""Parameters of a listing, checked with the error messages of WordPress."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import zoneinfo

from .responses import invalid


def _listed(words: cabc.Sequence[str]) -> str:
    return f"{', '.join(words[:-1])}, and {words[-1]}" if len(words) > 1 else words[0]


class Parameters:
    """The query of one request; collects all errors and raises them together."""

    def __init__(self, values: cabc.Mapping[str, str]) -> None:
        self._values = values
        self._errors: dict[str, tuple[str, str]] = {}

    def check(self) -> None:
        """Raise one error for all wrong parameters.

        :raises RestError: at least one parameter is wrong.
        """
        if self._errors:
            raise invalid(self._errors)

    def text(self, name: str, default: str = "") -> str:
        """Return a text; an empty one counts as missing."""
        return self._values.get(name) or default

    def integer(self, name: str, default: int, low: int, high: int | None = None) -> int:
        """Return an integer between two bounds."""
        raw = self._values.get(name)
        if raw is None or raw == "":
            return default
        try:
            value = int(raw)
        except ValueError:
            self._errors[name] = ("rest_invalid_type", f"{name} is not of type integer.")
            return default
        if value < low or (high is not None and value > high):
            bounds = (
                f"must be greater than or equal to {low}"
                if high is None
                else f"must be between {low} (inclusive) and {high} (inclusive)"
            )
            self._errors[name] = ("rest_out_of_bounds", f"{name} {bounds}")
        return value

    def choice(self, name: str, default: str, allowed: cabc.Sequence[str]) -> str:
        """Return one of the allowed values."""
        value = self._values.get(name) or default
        if value and value not in allowed:
            self._refuse(name, name, allowed)
        return value

    def choices(self, name: str, allowed: cabc.Sequence[str]) -> tuple[str, ...]:
        """Return several of the allowed values, separated by commas."""
        values = tuple(word.strip() for word in self._values.get(name, "").split(",") if word)
        for place, value in enumerate(values):
            if value not in allowed:
                self._refuse(name, f"{name}[{place}]", allowed)
                break
        return values

    def _refuse(self, name: str, place: str, allowed: cabc.Sequence[str]) -> None:
        message = f"{place} is not one of {_listed(allowed)}."
        self._errors[name] = ("rest_not_in_enum", message)

    def ids(self, name: str) -> tuple[int, ...]:
        """Return a list of ids, separated by commas."""
        words = self._values.get(name, "").replace(" ", ",").split(",")
        return tuple(int(word) for word in words if word.strip().isdigit())

    def date(self, name: str, zone: zoneinfo.ZoneInfo) -> dt.datetime | None:
        """Return a date as WordPress compares it: in the site's local time.

        WordPress converts every value with an offset to local digits, also if they are compared
        with a UTC column later. Digits in the gap of a clock change move forward.
        """
        raw = self._values.get(name)
        if not raw:
            return None
        try:
            value = dt.datetime.fromisoformat(raw.strip().replace(" ", "T").replace("t", "T"))
        except ValueError:
            self._errors[name] = ("rest_invalid_date", "Invalid date.")
            return None
        value = value.replace(microsecond=0)
        if value.tzinfo is None:
            value = value.replace(tzinfo=zone).astimezone(dt.UTC)
        return value.astimezone(zone)
