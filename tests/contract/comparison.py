"""The comparison of a recorded store with the simulated one."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import typing as t

#: Seconds by which dates may differ, since a real request takes time.
TOLERANCE = 2
#: Seconds by which a webhook's date, that of its last delivery, may differ: the queue was late.
QUEUE_TOLERANCE = 10

Record = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Difference:
    """One difference between the simulated store and the recording."""

    step: str
    #: The call or the delivery.
    what: str
    #: The place in it.
    where: str
    real: t.Any
    ours: t.Any


@dataclasses.dataclass
class Comparison:
    """A comparison of recorded values with the simulated ones, which collects differences."""

    differences: list[Difference]
    step: str
    what: str

    def compare(self, where: str, real: t.Any, ours: t.Any) -> bool:
        """Compare two values."""
        if real == ours:
            return True
        self.differences.append(Difference(self.step, self.what, where, real, ours))
        return False

    def compare_members(self, where: str, real: Record, ours: Record) -> None:
        """Compare two sets of names and their values."""
        self.compare(where, sorted(real), sorted(ours))
        for name in real.keys() & ours.keys():
            self.compare(f"{where}.{name}", real[name], ours[name])

    def compare_values(self, where: str, real: t.Any, ours: t.Any) -> None:
        """Compare two JSON values, member by member."""
        if isinstance(real, list) and isinstance(ours, list):
            self._lists(where, real, ours)
        elif isinstance(real, dict) and isinstance(ours, dict):
            if not self.compare(f"{where} members", list(real), list(ours)):
                return
            for name in real:
                if not (name == "id" and "key" in real):
                    # Ids of meta data also count the store's other meta data.
                    self.compare_values(f"{where}.{name}", real[name], ours[name])
        elif not self._alike(where, real, ours):
            self.compare(where, real, ours)

    def _lists(self, where: str, real: list[t.Any], ours: list[t.Any]) -> None:
        if where.endswith("related_ids"):
            self.compare(where, sorted(real), sorted(ours))
            return
        ids = [_name_of(each) for each in real], [_name_of(each) for each in ours]
        if "delivery_url" in json.dumps(real):
            # Webhooks of one second arrive in any order.
            self.compare(f"{where} ids", sorted(ids[0]), sorted(ids[1]))
            real, ours = sorted(real, key=_name_of), sorted(ours, key=_name_of)
        elif not self.compare(f"{where} ids", *ids):
            return
        for place, (one, other) in enumerate(zip(real, ours, strict=False)):
            self.compare_values(f"{where}[{place}]", one, other)

    def _alike(self, where: str, real: t.Any, ours: t.Any) -> bool:
        """Return whether two values differ only by chance or by the duration of a real request."""
        last = where.rpartition(".")[2]
        if last == "order_key":
            return len(real) == len(ours)
        if last == "payment_url":
            return bool(real.partition("&key=")[0] == ours.partition("&key=")[0])
        if last.startswith("date") and real and ours:
            apart = abs(dt.datetime.fromisoformat(real) - dt.datetime.fromisoformat(ours))
            webhook = "webhooks" in self.what and "modified" in last
            return apart.total_seconds() <= (QUEUE_TOLERANCE if webhook else TOLERANCE)
        if isinstance(real, str) and re.fullmatch(r"\d{10}", real) and isinstance(ours, str):
            return ours.isdigit() and abs(int(real) - int(ours)) <= TOLERANCE
        return False


def _name_of(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return value.get("key") or value.get("id", 0)
    return value
