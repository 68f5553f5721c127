"""What the documentation and the public clients expect of answers and callbacks."""

from __future__ import annotations

import datetime as dt
import json
import re
import typing as t

from tests.acceptance.old_client.shapes import ABSENT, Each, Fact, Only, Shape

RESOURCES = ("customers", "discounts", "orders", "products")


def matching(pattern: str, text: str) -> Fact:
    """Return the fact that a text matches."""
    return Fact(text, lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value)))


def _is_java_date(value: t.Any) -> bool:
    try:
        dt.datetime.strptime(value, "%a %b %d %H:%M:%S UTC %Y")
    except (TypeError, ValueError):
        return False
    return True


ISO = matching(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "a date such as 2018-08-20T15:29:06Z")
JAVA_DATE = Fact("a date such as Mon Aug 20 15:30:07 UTC 2018", _is_java_date)
DIGITS = matching(r"\d+", "digits")
#: Not "a" number of JSON only: the clients' schemas say ``number``.
NUMBER = Fact("a number", lambda value: type(value) in (int, float))
NOT_EMPTY = Fact("something", bool)
WEB_ADDRESS = matching(r"https?://.+", "an address of the web")
#: guide, _includes/error-codes.md; churros, analytics.js.
ERROR = {"message": str, "requestId": str}
#: doctor, src/util/http.js
NONE_FOUND = ERROR | {"message": matching("No (.*) found", "No ... found")}

#: guide, woocommerce-rest/authenticate.md: the example answer.
ELEMENT = {
    "id": 2881, "name": "WooCommerce", "hookName": "WooCommercewp", "key": "woocommercerest",
    "description": str, "image": WEB_ADDRESS, "active": True, "deleted": False,
    "typeOauth": False, "trialAccount": False, "resources": [], "transformationsEnabled": True,
    "bulkDownloadEnabled": True, "bulkUploadEnabled": True, "cloneable": True,
    "extendable": False, "beta": False, "authentication": {"type": "custom"}, "extended": False,
    "hub": "ecommerce", "protocolType": "http", "parameters": [], "private": False,
}  # fmt: skip
#: churros, element.instance.schema.json
INSTANCE: dict[str, Shape] = {
    "id": NUMBER, "name": str, "token": str, "valid": bool, "tags": Each(str, least=0),
    "configuration": dict,
    "user": {"id": NUMBER, "emailAddress": str, "firstName": str, "lastName": str},
}  # fmt: skip
#: guide, woocommerce-rest/authenticate.md: the example answer.
CREATED = INSTANCE | {
    "createdDate": ISO, "element": ELEMENT, "elementId": 2881, "provisionInteractions": [],
    "valid": True, "disabled": False, "maxCacheSize": 0, "cacheTimeToLive": 0,
    "eventsEnabled": bool, "cachingEnabled": False, "externalAuthentication": "none",
    "traceLoggingEnabled": False, "providerData": ABSENT,
}  # fmt: skip
MASKED = "********"
#: sdk, ElementInstanceConfig
ENTRY = {
    "active": bool, "description": str, "hideFromConsole": bool, "id": NUMBER, "key": str,
    "name": str, "propertyValue": str, "required": bool, "type": str,
}  # fmt: skip
#: churros, element.configuration.schema.json; guide, elements/events.md
DEFINITION = {
    "id": int, "name": str, "key": str, "description": str, "defaultValue": str,
    "resellerConfig": bool, "companyConfig": bool, "active": bool, "internal": bool,
    "groupControl": bool, "displayOrder": int, "type": str, "hideFromConsole": bool,
    "required": bool,
}  # fmt: skip
#: churros, element.metadata.schema.json; kb
METADATA = {
    "id": NUMBER, "key": "woocommercerest", "name": str, "description": str,
    "events": {
        "supported": True,
        "methods": Fact("a list with polling", lambda value: "polling" in value),
        "polling": Fact("a description of the four resources", lambda v: set(RESOURCES) <= set(v)),
        "webhook": Fact("a description of the four resources", lambda v: set(RESOURCES) <= set(v)),
    },
}  # fmt: skip
_BULK = {"upload": {"supported": bool, "native": bool},
         "download": {"supported": bool, "native": bool}}  # fmt: skip
#: churros, element.metadata.expanedschema.json
EXPANDED = METADATA | {
    "image": str, "displayOrder": int, "active": bool, "beta": bool, "transformations": bool,
    "elementType": str, "churros": bool, "normalizedPaging": bool, "swaggerValidated": bool,
    "cloneable": bool, "authenticationType": str, "hub": str,
    "discovery": {
        "customFields": bool, "customObjects": bool, "endpointCustomFields": bool,
        "endpointCustomObjects": bool,
    },
    "bulk": {"upload": bool, "download": bool},
    "api": {"type": str, "contentType": str},
    "resources": Each({
        "canonicalName": str, "operations": Each(str),
        "events": {"supported": bool, "methods": list, "eventTypes": list},
        "bulk": _BULK,
        "customField": {"get": bool, "create": bool, "update": bool, "delete": bool},
    }),
}  # fmt: skip

#: churros, event.schema.json; sdk
EVENT = {
    "id": str, "eventDate": str,
    "status": Fact("a status", lambda one: one in (
        "NEW", "RECEIVED", "DISPATCHED", "CONSUMED", "NOTIFIED")),
    "providerData": Fact("JSON text", lambda value: isinstance(json.loads(value), dict)),
    "notifiedData": list,
    "eventElementInstances": Each({
        "eventId": str, "elementInstanceId": NUMBER, "notificationId": str,
        "notifiedData": list, "createdDate": str, "updatedDate": str,
    }),
}  # fmt: skip
#: churros, notification.schema.json
NOTIFICATION = {
    "id": NUMBER, "from": str, "topic": str, "message": str, "createdDate": str,
    "severity": Fact("a severity", lambda one: one in ("low", "medium", "high")),
    "active": bool, "acknowledged": bool,
}  # fmt: skip
#: churros, subscription.schema.json; kb, list-notification-subscriptions
SUBSCRIPTION = {
    "id": NUMBER, "channel": "webhook", "topics": Each(str), "config": {"url": str},
    "active": bool,
}  # fmt: skip
#: churros, delivery.schema.json
DELIVERY = {
    "notificationId": NUMBER, "subscriptionId": NUMBER, "createdDate": str, "updatedDate": str,
    "status": Fact("a status", lambda one: one in (
        "created", "delivered", "notified", "retry", "queued")),
}  # fmt: skip
#: churros, deliveries.js; guide, tips.md: it carries the event's payload
HYDRATED = DELIVERY | {"notification": NOT_EMPTY, "subscription": NOT_EMPTY}


def envelope(instance: int, name: str, tags: list[str], resource: str, event_type: str) -> Shape:
    """Return what a callback's body holds (usecase: two captured bodies; kb)."""
    members = {
        "date": ISO, "elementKey": "woocommercerest", "pollDate": ISO, "eventType": event_type,
        "hubKey": "ecommerce", "objectId": str, "objectType": resource,
    }  # fmt: skip
    return Only({
        "severity": "medium",
        "createdDate": JAVA_DATE,
        "topic": f"instance-{instance}-woocommercerest-events",
        "action": "create",
        "id": DIGITS,
        "user": "notifications@cloud-elements.com",
        "message": Only({
            "elementKey": "woocommercerest", "accountId": int,
            "eventId": matching(r"[\w-]{20}", "20 characters"), "companyId": int,
            "instanceId": instance, "instance_id": instance, "instanceName": name,
            "instanceTags": tags, "userId": int,
            "raw": Only({
                resource: Each({"objectId": str, "eventType": event_type}),
                "pollDate": int, "objectType": resource,
            }),
            "events": Each(Only(members)),
        }),
    })  # fmt: skip
