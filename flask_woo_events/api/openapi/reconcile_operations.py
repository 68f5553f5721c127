"""Descriptions of the operations with which a consumer checks that it has everything."""

from __future__ import annotations

from .. import reconcile_responses
from ..reconcile import PAGE, PAGE_MOST
from .operation import ID, TRUTH, Operation, Parameter, Schema

_ONE = "/instances/{instance_id}"
_TAG = "reconcile"
_RESOURCE = Parameter(
    name="resource", text="A resource of event.poller.configuration", required=True
)
_NUMBER: Schema = {"type": "integer", "minimum": 0}
#: Lines of JSON have no schema of their own in OpenAPI 3.1.
_LINES: Schema = {
    "type": "string",
    "description": 'Lines such as {"objectId": "12", "version": 3}, with date_modified_gmt in '
    "place of the version, or with objectId alone; at most 4,096 bytes each, and 64 MiB",
}

#: By method and path.
OPERATIONS: dict[str, Operation] = {
    f"GET {_ONE}/state": Operation(
        summary="List the objects of a resource with their versions",
        tag=_TAG,
        query=(
            _RESOURCE,
            Parameter(name="cursor", text="The cursor of the page before"),
            Parameter(
                name="limit",
                text="Number of objects on the page",
                schema={"type": "integer", "minimum": 1, "maximum": PAGE_MOST, "default": PAGE},
            ),
        ),
        answer=reconcile_responses.StatePageResponse,
        errors=(400, 404),
    ),
    f"GET {_ONE}/checkpoint": Operation(
        summary="Show count and digest of the live objects of each resource",
        tag=_TAG,
        answer=reconcile_responses.CheckpointResponse,
        errors=(400, 404),
    ),
    f"POST {_ONE}/reconcile": Operation(
        summary="Compare what a consumer has with the ledger, and send what differs",
        tag=_TAG,
        query=(
            _RESOURCE,
            Parameter(name="after", text="Compare only objects with greater ids", schema=_NUMBER),
            Parameter(
                name="until", text="Compare only objects with ids up to this one", schema=_NUMBER
            ),
            Parameter(name="send", text="Send again what differs", schema=TRUTH),
            Parameter(
                name="subscription",
                text="Id of the subscription that gets it; the first one, or the only one",
                schema=ID,
            ),
        ),
        body=_LINES,
        body_media="application/x-ndjson",
        answer=reconcile_responses.ReconciliationResponse,
        errors=(400, 404, 409, 413, 415),
        headers=("Elements-Returned-Count",),
    ),
}
