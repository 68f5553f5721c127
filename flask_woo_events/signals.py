"""Signals that an application can receive, in addition to its handlers."""

from __future__ import annotations

import typing as t
import warnings

import blinker

_signals = blinker.Namespace()

#: An event was recorded. The sender is the application, ``event`` a ``flask_woo_events.Event``.
#: Sent by the worker, with the retries of a callback: when a receiver raises, all receivers get
#: the event again.
event_sent = _signals.signal("event-sent")

#: A subscription was stopped after its last attempt, or because its callback answered 410; its
#: deliveries are queued. The sender is the application; ``instance_id``, ``subscription_id`` and
#: ``reason`` say which and why. Sent once, after the commit.
subscription_stopped = _signals.signal("subscription-stopped")

#: The poller of a resource was disabled after repeated failures. The sender is the application;
#: ``instance_id``, ``resource`` and ``reason`` say which and why. Sent once, after the commit.
poller_disabled = _signals.signal("poller-disabled")

#: Something began to make an instance send less or later than it should, or ended. The sender is
#: the application, ``instance_id`` and ``resource`` say which (``None``: all of its resources), and
#: ``code``, ``text``, ``costs`` and ``ends`` what. Sent once, after the commit.
problem_began = _signals.signal("problem-began")
problem_ended = _signals.signal("problem-ended")


def renamed(name: str) -> blinker.NamedSignal:
    """Return ``event_sent`` under its old name, ``event_told``, with a warning for who uses it."""
    if name != "event_told":
        raise AttributeError(f"module 'flask_woo_events' has no attribute {name!r}")
    warnings.warn(
        "flask_woo_events.event_told is deprecated; use flask_woo_events.event_sent",
        DeprecationWarning,
        stacklevel=3,
    )
    return event_sent


if t.TYPE_CHECKING:
    #: .. deprecated:: 0.1 The old name of :data:`event_sent`.
    event_told = event_sent
else:

    def __getattr__(name: str) -> blinker.NamedSignal:
        return renamed(name)
