"""The shapes of the API's answers."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

from ..instances.configuration import ConfigurationEntry
from ..instances.views import InstanceView, PollerView
from ..values.cloud_elements import ELEMENT_ID, ELEMENT_KEY, HUB_KEY
from ..values.dates import iso_z

#: The element as the documented service described it.
ELEMENT: dict[str, t.Any] = {
    "id": ELEMENT_ID,
    "name": "WooCommerce",
    "key": ELEMENT_KEY,
    "description": "Connects a WooCommerce store through its REST API",
    "active": True,
    "deleted": False,
    "typeOauth": False,
    "trialAccount": False,
    "resources": [],
    "transformationsEnabled": False,
    "bulkDownloadEnabled": False,
    "bulkUploadEnabled": False,
    "cloneable": False,
    "extendable": False,
    "beta": False,
    "authentication": {"type": "custom"},
    "extended": False,
    "hub": HUB_KEY,
    "protocolType": "http",
    "parameters": [],
    "private": False,
}


def instance(view: InstanceView) -> dict[str, t.Any]:
    """An instance; what follows ``user`` is ours, the rest is as documented."""
    shown: dict[str, t.Any] = {
        "id": view.id,
        "name": view.name,
        "createdDate": iso_z(view.created_at),
        "element": ELEMENT,
        "elementId": ELEMENT_ID,
        "tags": list(view.tags),
        "provisionInteractions": [],
        "valid": True,
        "disabled": view.disabled,
        "maxCacheSize": 0,
        "cacheTimeToLive": 0,
        "configuration": {one.key: one.value for one in view.configuration},
        "eventsEnabled": view.events_enabled,
    }
    if view.events_enabled and view.subscription_id is not None:
        shown["eventsNotificationCallbackUrl"] = view.callback_url
        shown["subscriptionId"] = view.subscription_id
    return shown | {
        "traceLoggingEnabled": False,
        "cachingEnabled": False,
        "externalAuthentication": "none",
        "user": {
            "id": view.user_id,
            "emailAddress": "",
            "firstName": view.user_name,
            "lastName": "",
        },
        "pollers": [poller(one) for one in view.pollers],
        "store": dict(view.store_facts),
        "webhooks": [webhook(one) for one in view.webhooks],
        "webhookTally": [
            {"resource": resource, **dataclasses.asdict(counts), "since": iso_z(since)}
            for resource, (counts, since) in view.tally.items()
        ],
        "journal": dict(view.journal),
        "notices": [dict(notice) for notice in view.notices],
    }


def poller(view: PollerView) -> dict[str, t.Any]:
    """How the poller of one resource is doing."""
    return {
        "resource": view.resource,
        "url": view.url,
        "state": view.state,
        "failures": view.failures,
        "error": view.error,
        "lastPoll": iso_z(view.polled_at) if view.polled_at is not None else None,
        "nextRetry": iso_z(view.retry_at) if view.retry_at is not None else None,
    }


def webhook(kept: cabc.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """One of our webhooks at the store, or why there is none."""
    return {name: kept.get(name) for name in ("topic", "id", "status", "error")}


def entry(one: ConfigurationEntry) -> dict[str, t.Any]:
    """One entry of the configuration (``ElementInstanceConfig``)."""
    return {
        "id": one.id,
        "name": one.definition.name,
        "key": one.key,
        "propertyValue": one.value,
        "description": one.definition.description,
        "type": one.definition.type,
        "required": one.definition.required,
        "active": True,
        "hideFromConsole": one.definition.hidden,
    }
