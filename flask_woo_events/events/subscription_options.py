"""What a subscription gets, and how it is sent: the options of one row of ``woo_subscription``."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.models import Subscription
from ..settings import Schedule
from ..values.cloud_elements import Format
from ..values.event_choice import EventChoice


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOptions:
    """The options of one subscription; ``None`` leaves a choice to the instance or application."""

    choice: EventChoice = EventChoice()
    format: Format | None = None
    #: A named retry schedule, or the waits between attempts in seconds.
    schedule: Schedule | tuple[int, ...] | None = None
    #: The time of one request at most, seconds.
    timeout: float | None = None
    #: Requests per second at most, over all workers.
    rate: float | None = None
    #: Requests at the same time at most, over all workers.
    concurrency: int | None = None
    #: For operational subscriptions: also a checkpoint once a day.
    checkpoint: bool = False
    description: str = ""

    @property
    def is_limited(self) -> bool:
        """Fewer deliveries may be claimed at once than are due."""
        return self.rate is not None or self.concurrency is not None


#: A row without options has these.
NONE = SubscriptionOptions()


def read(row: cabc.Mapping[str, t.Any] | None) -> SubscriptionOptions:
    """Return the options that a row holds."""
    if not row:
        return NONE
    schedule, kind = row.get("schedule"), row.get("format")
    return SubscriptionOptions(
        choice=EventChoice(
            resources=frozenset(row.get("resources", ())),
            types=frozenset(row.get("types", ())),
            fields=tuple(row.get("fields", ())),
        ),
        format=Format(kind) if kind else None,
        schedule=tuple(schedule) if isinstance(schedule, list) else schedule,
        timeout=row.get("timeout"),
        rate=row.get("rate"),
        concurrency=row.get("concurrency"),
        checkpoint=bool(row.get("checkpoint")),
        description=row.get("description", ""),
    )


def trigger_fields(session: orm.Session, instance_id: int) -> frozenset[str]:
    """Return the fields that subscriptions of an instance wait for."""
    rows = session.scalars(
        sa.select(Subscription.options).where(
            Subscription.instance_id == instance_id,
            Subscription.current,
            Subscription.options.is_not(None),
        )
    )
    return frozenset(path for row in rows for path in read(row).choice.fields)


def written(options: SubscriptionOptions) -> dict[str, t.Any] | None:
    """Return options as a row holds them."""
    chosen, schedule = options.choice, options.schedule
    row = {
        "resources": sorted(chosen.resources),
        "types": sorted(chosen.types),
        "fields": list(chosen.fields),
        "format": options.format.value if options.format is not None else None,
        "schedule": list(schedule) if isinstance(schedule, tuple) else schedule,
        "timeout": options.timeout,
        "rate": options.rate,
        "concurrency": options.concurrency,
        "checkpoint": options.checkpoint or None,
        "description": options.description,
    }
    return {name: value for name, value in row.items() if value not in (None, [], "")} or None
