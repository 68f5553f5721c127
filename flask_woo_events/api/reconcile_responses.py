"""The answers to consumers that compare their copies with the ledger."""

from __future__ import annotations

import pydantic

from ..sync.reconcile.differences import Why
from ..sync.reconcile.resend import Outcome
from .responses import ApiResponse, Date


class ObjectStateResponse(ApiResponse):
    """One object of a resource."""

    objectId: str
    version: int
    digest: str = pydantic.Field(
        description="SHA-256 of objectId, a colon and version: identifies the content"
    )
    live: bool = pydantic.Field(description="False once it was deleted")


class StatePageResponse(ApiResponse):
    """A page of the objects of a resource."""

    resource: str
    objects: list[ObjectStateResponse]
    cursor: str | None = pydantic.Field(description="For the next page; null on the last page")


class DifferenceResponse(ApiResponse):
    """One object of which the consumer has another state than the ledger, or none."""

    objectId: str
    why: Why
    version: int | None = pydantic.Field(
        description="The ledger's version; null if it has never known the object"
    )
    send: Outcome | None = pydantic.Field(
        None, description="With send=true: what becomes of the object"
    )


class DifferenceCountsResponse(ApiResponse):
    """The number of differences of each kind."""

    missing: int
    stale: int
    newer: int
    extra: int


class ReconciliationResponse(ApiResponse):
    """What differs, and nothing else."""

    resource: str
    compared: int = pydantic.Field(description="Number of lines")
    counts: DifferenceCountsResponse
    differences: list[DifferenceResponse] = pydantic.Field(description="In the order of the ids")


class ResourceCheckpointResponse(ApiResponse):
    """The live objects of one resource."""

    resource: str
    count: int
    digest: str = pydantic.Field(
        description="Sum of the digests of the live objects modulo 2**256, hexadecimal"
    )
    date: Date | None = pydantic.Field(description="The greatest modified date of an object")
    pollDate: Date | None = pydantic.Field(
        description="When the last complete poll began, by the store's clock; null before the "
        "first one has ended"
    )


class CheckpointResponse(ApiResponse):
    """What a consumer must have of each resource."""

    instanceId: int
    resources: list[ResourceCheckpointResponse]
