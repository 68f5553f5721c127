"""Signals: what an application can listen to besides its handlers."""

from __future__ import annotations

import blinker

_signals = blinker.Namespace()

#: An event was recorded. The sender is the application, ``event`` a ``flask_woo_events.Event``.
#: Sent by the worker, with the same retries as a callback: a receiver that raises gets it again,
#: and so do the others.
event_told = _signals.signal("event-told")

#: A subscription was stopped after its last attempt, or because its callback answered 410; what
#: waits for it is queued. The sender is the application, ``instance_id``, ``subscription_id``
#: and ``reason`` say which and why. Sent once, after the commit.
subscription_stopped = _signals.signal("subscription-stopped")

#: The poller of a resource was disabled after repeated failures. The sender is the application,
#: ``instance_id``, ``resource`` and ``reason`` say which and why. Sent once, after the commit.
poller_disabled = _signals.signal("poller-disabled")
