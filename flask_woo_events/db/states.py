"""The states and kinds that rows of the tables have."""

from __future__ import annotations

import enum


class PollerState(enum.StrEnum):
    """The state of the poller of one resource."""

    BASELINE = "baseline"  #: reading what exists, without events
    ACTIVE = "active"  #: sending events for changes
    DISABLED = "disabled"  #: stopped after repeated failures


class EventType(enum.StrEnum):
    """What happened to an object, as documented."""

    CREATED = "CREATED"  #: it is new
    UPDATED = "UPDATED"  #: its content changed
    DELETED = "DELETED"  #: it was deleted or trashed, or lost the polled role


class Source(enum.StrEnum):
    """The source that found a change."""

    POLL = "poll"  #: a poll by modified date
    COMPARE = "compare"  #: a comparison with the ledger, for changes that dates do not show
    BASELINE = "baseline"  #: the first poll of a resource
    WEBHOOK = "webhook"  #: a webhook of WooCommerce
    JOURNAL = "journal"  #: the companion plugin's journal
    WORKER = "worker"  #: our own operation: an operational event


class Channel(enum.StrEnum):
    """The receiver of a subscription's notifications."""

    WEBHOOK = "webhook"  #: the callback URL of the instance's configuration
    CALLBACK = "callback"  #: a callback URL with a key and headers of its own
    OPERATIONAL = "operational"  #: the same, for operational events only
    FEED = "feed"  #: nobody: it is only read by its feed, and has no deliveries
    HANDLER = "handler"  #: a function of the application


#: Channels whose notifications are sent over HTTP.
HTTP_CHANNELS = (Channel.WEBHOOK, Channel.CALLBACK, Channel.OPERATIONAL)
#: Those of them with a key, headers and a password of their own.
OWN_CHANNELS = (Channel.CALLBACK, Channel.OPERATIONAL)
#: Those of them that get the events of the store.
STORE_CHANNELS = (Channel.WEBHOOK, Channel.CALLBACK)
#: Channels of what the API lists as subscriptions, and those of them that choose such events.
LISTED_CHANNELS = (*HTTP_CHANNELS, Channel.FEED)
CHOOSING_CHANNELS = (*STORE_CHANNELS, Channel.FEED)


class DeliveryStatus(enum.StrEnum):
    """The state of a delivery, as documented."""

    CREATED = "created"  #: not tried yet
    RETRY = "retry"  #: failed, due again later
    QUEUED = "queued"  #: waits for an operator: inactive subscription, or policy ``queue``
    DELIVERED = "delivered"  #: the callback answered 2xx


#: States in which a delivery holds back later versions of its objects.
UNSETTLED = (DeliveryStatus.CREATED, DeliveryStatus.RETRY, DeliveryStatus.QUEUED)
