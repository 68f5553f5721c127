"""Descriptions of the operations on instances and stores, and the list of all operations."""

from __future__ import annotations

import dataclasses

from ...values.cloud_elements import ELEMENT_ID, ELEMENT_KEY
from .. import element_responses, responses
from ..hub import collections
from . import (
    erasure_operations,
    event_operations,
    reconcile_operations,
    subscription_operations,
)
from .operation import (
    BODY_ERRORS,
    ID,
    NEXT_PAGE,
    OBJECT,
    PAGE_SIZE,
    PAGED,
    TEXT,
    TRUTH,
    Operation,
    Parameter,
    Schema,
)

#: Description and schema of each name in a path.
PATH_PARAMETERS: dict[str, tuple[str, Schema]] = {
    "account_id": ("Id of the user", ID),
    "erasure_id": ("Id of an erasure", ID),
    "address": ("The signed address of an instance, or its id in Base64", TEXT),
    "child": ("A child collection of an object", {"type": "string", "enum": [
        name for names in collections.CHILDREN.values() for name in names]}),
    "child_id": ("Id of a child object", ID),
    "element": ("Key or id of the element", {"type": "string", "enum": [
        ELEMENT_KEY, str(ELEMENT_ID)]}),
    "event_id": ("The eventId of a notification", TEXT),
    "entry_id": ("Id of an entry of the configuration", ID),
    "hub": ("Name of the hub; any value works", {"type": "string", "enum": ["ecommerce"]}),
    "instance_id": ("Id of an instance", ID),
    "notification_id": ("Id of a notification", ID),
    "object_id": ("Id of an object", ID),
    "resource": ("A resource of the hub", {"type": "string", "enum": list(collections.NAMES)}),
    "subscription_id": ("Id of a subscription", ID),
}  # fmt: skip

_FIELDS = Parameter(
    name="fields", text="Members to return, joined by commas; dots lead into objects"
)
_LISTING = (
    Parameter(name="where", text="Query language: created_date > '2026-01-31' AND total > 5"),
    _FIELDS,
    Parameter(name="orderBy", text="A field, then asc or desc; the default is the order of ids"),
    Parameter(
        name="page",
        text="Number of the page",
        schema={"type": "integer", "minimum": 1, "default": 1},
    ),
    PAGE_SIZE,
    NEXT_PAGE,
    Parameter(name="returnTotalCount", text="Return Elements-Total-Count", schema=TRUTH),
)
_EXPAND = Parameter(name="expand", text="Describe each object instead of naming it", schema=TRUTH)
_STORE = (400, 403, 404, 409, 429, 502)


def _instances(method: str, path: str, operation: Operation) -> dict[str, Operation]:
    """Return an operation on an instance, and the same on the token's instance."""
    errors = tuple(sorted({*operation.errors, 404}))
    return {
        f"{method} /instances/{{instance_id}}{path}": dataclasses.replace(operation, errors=errors),
        f"{method} /instances{path}": dataclasses.replace(
            operation, summary=f"{operation.summary} (the token's instance)", authorization="token"
        ),
    }


def _hub(method: str, path: str, operation: Operation) -> dict[str, Operation]:
    """Return an operation of the hub, with and without the hub in its path."""
    return {
        f"{method} {base}{path}": dataclasses.replace(operation, tag="hub", authorization="token")
        for base in ("/hubs/{hub}", "")
    }


_INSTANCE_CALLS = {
    "POST /instances": Operation(
        summary="Connect a store",
        tag="instances",
        authorization="account",
        body={"$ref": "#/components/schemas/InstanceRequest"},
        answer=responses.InstanceResponse,
        errors=(*BODY_ERRORS, 409, 502),
    ),
    "GET /instances": Operation(
        summary="List instances, or show the token's instance",
        tag="instances",
        query=(
            Parameter(
                name="tags[]",
                text="Only instances with all of these tags",
                schema={"type": "array", "items": TEXT},
            ),
            Parameter(name="searchText", text="Only instances whose name contains this text"),
            PAGE_SIZE,
            NEXT_PAGE,
        ),
        answer={
            "oneOf": [
                {"type": "array", "items": {"$ref": "#/components/schemas/Instance"}},
                {"$ref": "#/components/schemas/Instance"},
            ]
        },
        errors=(400, 404),
        headers=PAGED,
    ),
    "GET /instances/{instance_id}": Operation(
        summary="Show an instance",
        tag="instances",
        answer=responses.InstanceResponse,
        errors=(404,),
    ),
    **_instances(
        "PUT",
        "",
        Operation(
            summary="Replace name and configuration of an instance",
            tag="instances",
            body={"$ref": "#/components/schemas/InstanceRequest"},
            answer=responses.InstanceResponse,
            errors=(*BODY_ERRORS, 409, 502),
        ),
    ),
    **_instances(
        "PATCH",
        "",
        Operation(
            summary="Change the members in the body of an instance",
            tag="instances",
            body={"$ref": "#/components/schemas/InstanceRequest"},
            answer=responses.InstanceResponse,
            errors=(*BODY_ERRORS, 409, 502),
        ),
    ),
    **_instances(
        "DELETE",
        "",
        Operation(summary="Delete an instance", tag="instances", answer=responses.EmptyResponse),
    ),
    **_instances(
        "PUT",
        "/enabled",
        Operation(
            summary="Enable an instance and its disabled pollers",
            tag="instances",
            answer=responses.InstanceResponse,
        ),
    ),
    **_instances(
        "DELETE",
        "/enabled",
        Operation(
            summary="Disable an instance", tag="instances", answer=responses.InstanceResponse
        ),
    ),
    "POST /instances/{instance_id}/token": Operation(
        summary="Give an instance a new token, in place of the one before",
        tag="instances",
        authorization="account",
        answer=responses.TokenResponse,
        errors=(404,),
    ),
    **_instances(
        "GET",
        "/configuration",
        Operation(
            summary="List the entries of an instance's configuration",
            tag="configuration",
            answer=[responses.ConfigurationEntryResponse],
        ),
    ),
    **_instances(
        "GET",
        "/configuration/{entry_id}",
        Operation(
            summary="Show an entry of an instance's configuration",
            tag="configuration",
            answer=responses.ConfigurationEntryResponse,
            errors=(404,),
        ),
    ),
    **_instances(
        "PATCH",
        "/configuration/{entry_id}",
        Operation(
            summary="Change an entry of an instance's configuration",
            tag="configuration",
            body={"$ref": "#/components/schemas/EntryRequest"},
            answer=responses.ConfigurationEntryResponse,
            errors=(*BODY_ERRORS, 404, 409, 502),
        ),
    ),
}

#: The calls on instances that are also below the element; another element is 404.
_BY_ELEMENT = {
    key.replace(" /instances", " /elements/{element}/instances"): dataclasses.replace(
        operation, errors=tuple(sorted({*operation.errors, 404}))
    )
    for key, operation in _INSTANCE_CALLS.items()
    if key.partition(" /instances")[2] in ("", "/{instance_id}", "/{instance_id}/token")
}

_ELEMENT_CALLS = {
    "GET /elements": Operation(
        summary="List the elements; there is one",
        tag="elements",
        answer=[element_responses.ElementResponse],
    ),
    "GET /elements/metadata": Operation(
        summary="List what each element can do",
        tag="elements",
        query=(_EXPAND,),
        answer=[element_responses.MetadataResponse],
        errors=(400,),
    ),
    "GET /elements/{element}": Operation(
        summary="Show the element",
        tag="elements",
        answer=element_responses.ElementResponse,
        errors=(404,),
    ),
    "GET /elements/{element}/metadata": Operation(
        summary="Describe what the element can do",
        tag="elements",
        query=(_EXPAND,),
        answer=element_responses.MetadataResponse,
        errors=(400, 404),
    ),
    "GET /elements/{element}/configuration": Operation(
        summary="List the keys of a configuration, with their defaults",
        tag="elements",
        answer=[element_responses.ConfigurationDefinitionResponse],
        errors=(404,),
    ),
}

_LIST = Operation(
    summary="List objects",
    tag="hub",
    query=_LISTING,
    answer=[responses.StoreObject],
    errors=_STORE,
    headers=(*PAGED, "Elements-Total-Count"),
)
_GET = Operation(
    summary="Show an object",
    tag="hub",
    query=(_FIELDS,),
    answer=responses.StoreObject,
    errors=_STORE,
)
_CREATE = Operation(
    summary="Create an object",
    tag="hub",
    body=OBJECT,
    answer=responses.StoreObject,
    errors=(*_STORE, 405, 409, 413, 415),
)
_CHANGE = dataclasses.replace(_CREATE, summary="Change the members in the body of an object")
_DELETE = Operation(
    summary="Move an object to the store's trash, or delete it where there is none",
    tag="hub",
    query=(
        Parameter(name="force", text="Delete it permanently", schema=TRUTH),
        Parameter(
            name="reassign", text="Id of the user who gets a deleted customer's posts", schema=ID
        ),
    ),
    answer=responses.StoreObject,
    errors=(*_STORE, 405, 409, 413),
)
_BELOW = {
    name: dataclasses.replace(one, summary=f"{one.summary} in a child collection")
    for name, one in (
        ("list", _LIST), ("get", _GET), ("create", _CREATE), ("change", _CHANGE),
        ("delete", _DELETE),
    )
}  # fmt: skip

_HUB_CALLS = {
    **_hub("GET", "/ping", Operation(
        summary="Check that the store answers", tag="hub", answer=responses.PingResponse,
        errors=(403, 404, 409, 429, 502))),
    **_hub("GET", "/objects", Operation(
        summary="List the resources of the hub", tag="hub",
        query=(Parameter(name="Elements-Version", place="header",
                         text="Helium adds the store's names of the resources"),),
        answer={"type": "array", "items": {"anyOf": [
            TEXT, {"$ref": "#/components/schemas/HubObject"}]}})),
    **_hub("GET", "/{resource}", _LIST),
    **_hub("POST", "/{resource}", _CREATE),
    **_hub("GET", "/{resource}/{object_id}", _GET),
    **_hub("PUT", "/{resource}/{object_id}", _CHANGE),
    **_hub("PATCH", "/{resource}/{object_id}", _CHANGE),
    **_hub("DELETE", "/{resource}/{object_id}", _DELETE),
    **_hub("GET", "/{resource}/{object_id}/{child}", _BELOW["list"]),
    **_hub("POST", "/{resource}/{object_id}/{child}", _BELOW["create"]),
    **_hub("GET", "/{resource}/{object_id}/{child}/{child_id}", _BELOW["get"]),
    **_hub("PUT", "/{resource}/{object_id}/{child}/{child_id}", _BELOW["change"]),
    **_hub("PATCH", "/{resource}/{object_id}/{child}/{child_id}", _BELOW["change"]),
    **_hub("DELETE", "/{resource}/{object_id}/{child}/{child_id}", _BELOW["delete"]),
}  # fmt: skip

_HOOK_CALLS = {
    f"POST /events/{ELEMENT_KEY}/{{address}}": Operation(
        summary="Receive a signed webhook of a store",
        tag="webhooks",
        authorization="none",
        query=(
            Parameter(
                name="X-WC-Webhook-Signature",
                text="HMAC-SHA256 of the body, in Base64",
                place="header",
            ),
            Parameter(
                name="X-WC-Webhook-Topic",
                text="Topic of the webhook, such as order.updated",
                place="header",
            ),
        ),
        body=OBJECT,
        answer=responses.EmptyResponse,
        errors=(400, 401, 404, 413),
    ),
    f"GET /events/{ELEMENT_KEY}/{{address}}": Operation(
        summary="Confirm that the address receives webhooks",
        tag="webhooks",
        authorization="none",
        answer=responses.MessageResponse,
        errors=(404,),
    ),
    f"GET /events/{ELEMENT_KEY}": Operation(
        summary="Confirm that webhooks are received, and for how long without a loss",
        tag="webhooks",
        authorization="none",
        answer=responses.TakenResponse,
    ),
    f"POST /events/{ELEMENT_KEY}": Operation(
        summary="Receive an event for some instances",
        tag="webhooks",
        query=(
            Parameter(
                name="Element-Instances",
                text="Ids of instances, joined by commas",
                place="header",
                required=True,
            ),
            Parameter(
                name="X-WC-Webhook-Topic",
                text="Topic of the event, such as order.updated; without it, poll the instances",
                place="header",
            ),
        ),
        body=OBJECT,
        answer=responses.EmptyResponse,
        errors=(400, 404, 409, 413),
    ),
}

_DESCRIPTION_CALLS = {
    "GET /openapi.json": Operation(
        summary="Return this description", tag="description", authorization="none", answer=OBJECT
    ),
    "GET /docs": Operation(
        summary="Return this description as a page",
        tag="description",
        authorization="none",
        answer=TEXT,
        media="text/html",
    ),
}

_WATCHING_CALLS = {
    "GET /healthz": Operation(
        summary="Check that this process can read its tables",
        tag="operation",
        authorization="none",
        answer=responses.MessageResponse,
        errors=(503,),
    ),
    "GET /metrics": Operation(
        summary="Return the metrics of all instances for Prometheus",
        tag="operation",
        authorization="none",
        answer=TEXT,
        media="text/plain",
        errors=(401, 404, 503),
    ),
}

#: By method and path; a test fails for a route that is missing here.
OPERATIONS: dict[str, Operation] = {
    **_INSTANCE_CALLS,
    **_BY_ELEMENT,
    **subscription_operations.OPERATIONS,
    **reconcile_operations.OPERATIONS,
    **_ELEMENT_CALLS,
    **_HUB_CALLS,
    **erasure_operations.OPERATIONS,
    **event_operations.OPERATIONS,
    **_HOOK_CALLS,
    **_DESCRIPTION_CALLS,
    **_WATCHING_CALLS,
}
