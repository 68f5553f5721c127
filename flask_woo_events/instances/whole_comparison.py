"""The whole comparison: a request to compare all of a resource with its ledger.

A change of configuration, a backfill and a new epoch write it to the poller's memory; the polls
that follow keep it until one has reached the resource's end.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

#: Its name in ``Poller.memory``.
MEMORY_KEY = "comparison"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """Which objects a backfill sends as CREATED."""

    #: The ledger's revision when it was requested: what was recorded since is not sent again.
    revision: int
    #: Only objects that were modified at or after it, and before ``until``; ``None``: all.
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    #: The only subscription that gets them, or ``outbox.CONFIGURED``; ``None``: all.
    subscription_id: int | None = None

    def includes(self, modified: dt.datetime | None) -> bool:
        """Return whether an object with this date is sent; without a date, only by all."""
        if modified is None:
            return self.since is None and self.until is None
        return (self.since is None or modified >= self.since) and (
            self.until is None or modified < self.until
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WholeComparison:
    """Why all of a resource is compared with its ledger, and what the comparison sends."""

    #: The url that the last complete poll read, if its filter has changed since.
    url_before: str | None = None
    #: When that poll began, by the store's clock: what only the new filter shows and is not newer
    #: becomes part of the baseline.
    since: dt.datetime | None = None
    #: Objects to send as CREATED, although they are as the ledger has them.
    backfill: Backfill | None = None
    #: The ledger's revision when the database was restored: an object that was last recorded
    #: before and has another date is sent, also if its content is as it was in the backup.
    restored: int | None = None

    @property
    def filter_changed(self) -> bool:
        """Whether the ledger may hold objects that the filter excludes."""
        return self.url_before is not None

    def with_filter(self, url_before: str, since: dt.datetime | None) -> WholeComparison:
        """Add a change of the filter; of several, the first one counts."""
        if self.filter_changed:
            return self
        return dataclasses.replace(self, url_before=url_before, since=since)

    def to_json(self) -> dict[str, t.Any]:
        """Return it in the form that the memory keeps."""
        return {
            "url_before": self.url_before,
            "since": self.since.isoformat() if self.since is not None else None,
            **_backfill_to_json(self.backfill),
            "restored": self.restored,
        }

    @classmethod
    def from_memory(cls, memory: cabc.Mapping[str, t.Any]) -> WholeComparison | None:
        """Return the comparison that a poller's memory requests, if any."""
        kept = memory.get(MEMORY_KEY)
        if kept is None:
            return None
        return cls(
            url_before=kept["url_before"],
            since=dt.datetime.fromisoformat(kept["since"]) if kept["since"] else None,
            backfill=_backfill_of(kept),
            restored=kept.get("restored"),
        )


def _backfill_to_json(backfill: Backfill | None) -> dict[str, t.Any]:
    if backfill is None:
        return {"backfill": None}
    is_part, target = not backfill.includes(None), backfill.subscription_id
    if not is_part and target is None:
        return {"backfill": backfill.revision}
    dates = [one and one.isoformat() for one in (backfill.since, backfill.until)]
    # Not as above: a worker of an earlier release would send every object, or to everyone.
    if target is None:
        return {"backfill": None, "backfill_part": [backfill.revision, *dates]}
    return {"backfill": None, "backfill_to": [backfill.revision, *dates, target]}


def _backfill_of(kept: cabc.Mapping[str, t.Any]) -> Backfill | None:
    part = kept.get("backfill_to") or kept.get("backfill_part")
    if part is not None:
        revision, since, until, *target = part
        return Backfill(
            revision=revision,
            since=dt.datetime.fromisoformat(since) if since else None,
            until=dt.datetime.fromisoformat(until) if until else None,
            subscription_id=target[0] if target else None,
        )
    return None if kept["backfill"] is None else Backfill(revision=kept["backfill"])
