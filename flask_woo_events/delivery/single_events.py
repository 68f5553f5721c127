"""Single events: one attempt of a delivery whose receiver gets a request for each event."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses

from ..events.notifications import EventRecord, NotificationRecord
from .retry import AttemptOutcome

#: Sends one event, and returns how that ended.
Send = cabc.Callable[[EventRecord], AttemptOutcome]

#: Seconds after which the next attempt makes the other requests: a slow receiver keeps no thread.
LONGEST = 5.0


def attempt(
    notification: NotificationRecord,
    handled: frozenset[int],
    send: Send,
    wait: cabc.Callable[[], object] = lambda: None,
    most: int | None = None,
) -> AttemptOutcome:
    """Send the events of a notification one after the other, for a few seconds.

    What was accepted is not sent again by the next attempt. A refused event holds back later ones
    of its object only; a receiver that does not answer, or asks for time, gets no more.

    :param handled: ids of events that an earlier attempt has delivered.
    :param wait: called between two requests.
    :param most: requests at most; the next attempt makes the others.
    """
    accepted: list[int] = []
    refused: list[AttemptOutcome] = []
    objects: set[str] = set()
    last = AttemptOutcome(delivered=True, reason="delivered already", sent=False)
    seconds = 0.0
    for event in notification.events:
        if event.id in handled or event.object_id in objects:
            continue
        if len(accepted) + len(refused) == most or (last.sent and seconds >= LONGEST):
            return _unfinished(last, accepted, seconds)
        if last.sent:
            wait()
        last = send(event)
        seconds += last.seconds
        if last.delivered:
            accepted.append(event.id)
            continue
        refused.append(last)
        objects.add(event.object_id)
        if last.status_code is None or last.busy or last.gone:
            break
    if not refused:
        return dataclasses.replace(last, seconds=seconds)
    count = len(accepted) + len(refused)
    reason = refused[-1].reason
    if count > 1:
        reason = f"{len(refused)} of {count} events: {reason}"
    return dataclasses.replace(refused[-1], reason=reason, seconds=seconds, handled=tuple(accepted))


def _unfinished(last: AttemptOutcome, accepted: list[int], seconds: float) -> AttemptOutcome:
    return dataclasses.replace(
        last,
        delivered=False,
        unfinished=bool(accepted),
        reason=f"{last.reason}; {len(accepted)} events accepted, others follow",
        seconds=seconds,
        handled=tuple(accepted),
    )
