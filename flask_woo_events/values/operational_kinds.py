"""The kinds of operational events: what of a subscription's operation is reported, and when."""

from __future__ import annotations

import dataclasses

#: ``objectType`` of operational events.
RESOURCE = "operational"
#: The kind that a receiver gets only if it asks for it.
CHECKPOINT = "checkpoint"
#: Members that the records of all kinds have; ``since`` is missing at an end without a known begin.
COMMON_FIELDS = ("kind", "problemId", "since", "text")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OperationalKind:
    """One kind of operational event."""

    name: str
    #: When it is recorded.
    when: str
    #: The kind whose end it is; empty for a begin, and for what has no end.
    ends: str = ""
    #: Members of its record beside the common ones.
    fields: tuple[str, ...] = ()


def _pair(
    begin: str, begins_when: str, end: str, ends_when: str, *fields: str
) -> tuple[OperationalKind, OperationalKind]:
    return (
        OperationalKind(name=begin, when=begins_when, fields=(*fields, "costs", "ends", "command")),
        OperationalKind(name=end, when=ends_when, ends=begin, fields=fields),
    )


_ALL = (
    *_pair(
        "poller.disabled",
        "A resource was disabled after repeated failures.",
        "poller.enabled",
        "The resource is polled again: a person resumed it or changed its configuration.",
        "resource",
    ),
    *_pair(
        "store.unreachable",
        "Two polls in a row got no usable answer for any resource.",
        "store.reachable",
        "A poll was answered again.",
    ),
    *_pair(
        "store.replaced",
        "The store that answers is not proved to be the known one, so nothing is recorded.",
        "store.recognized",
        "The known store answers again, or a person accepted the one that answers.",
    ),
    OperationalKind(
        name="store.restored",
        when="The store shows objects as they were before, as after the restore of a backup; "
        "at most once until it has shown none for an hour.",
        fields=("resource", "costs", "ends"),
    ),
    OperationalKind(
        name="database.restored",
        when="The database of this application is older than what was known of it.",
        fields=("costs", "ends"),
    ),
    *_pair(
        "webhooks.disabled",
        "A check found webhooks at the store disabled, changed or missing.",
        "webhooks.repaired",
        "All webhooks are active again; this may be the result of the same check.",
    ),
    *_pair(
        "subscription.stopped",
        "A subscription was stopped after its last attempt, or because its callback answered 410.",
        "subscription.resumed",
        "A person redelivered what waits, or gave the subscription another callback URL.",
        "subscriptionId",
    ),
    OperationalKind(
        name="delivery.exhausted",
        when="A notification failed with its last attempt while others to its subscription "
        "succeeded.",
        fields=(
            "resource", "subscriptionId", "notificationId", "costs", "ends", "command",
        ),
    ),
    *_pair(
        "deletion.held",
        "So many objects are missing from the store that DELETED waits for a confirmation.",
        "deletion.released",
        "No object waits any more: they are shown again, or sent as DELETED.",
        "resource",
    ),
    *_pair(
        "key.rejected",
        "The store refused the API key for every resource.",
        "key.accepted",
        "The store accepts the key again.",
    ),
    OperationalKind(
        name=CHECKPOINT,
        when="Once in 24 hours, for receivers that ask for it.",
        fields=("resources",),
    ),
)  # fmt: skip
#: All kinds by name.
KINDS = {one.name: one for one in _ALL}
