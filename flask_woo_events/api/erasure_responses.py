"""The answers about erasures: what they hold, and how it is serialized."""

from __future__ import annotations

import typing as t

import pydantic

from .responses import ApiResponse, Attribute, Date


class ErasureCountsResponse(ApiResponse):
    """Numbers of rows that were changed, or would be."""

    objects: int = pydantic.Field(description="Objects of the person")
    bodies: int = pydantic.Field(description="Last known objects in the ledger")
    events: int = pydantic.Field(description="Recorded events")
    waiting: int = pydantic.Field(
        description="Notifications that were not sent yet, and are sent without the person"
    )
    inFlight: int = pydantic.Field(
        description="Those of them that a worker had claimed, and may have sent with the person"
    )
    attempts: int = pydantic.Field(description="Answers and errors of receivers")
    texts: int = pydantic.Field(description="Notices, problems and errors of stores")


class ErasureResponse(ApiResponse):
    """What an erasure has done."""

    id: int | None = pydantic.Field(description="Null for a dry run")
    dryRun: bool
    complete: bool = pydantic.Field(
        description="Whether nothing is left to do; otherwise send the same request again"
    )
    counts: ErasureCountsResponse


class RecordedErasureResponse(ApiResponse):
    """An erasure that was recorded, or the end of a suppression."""

    id: int
    action: t.Literal["erase", "lift"]
    addressHash: str = pydantic.Field(description="Keyed hash of the address")
    askedBy: str = pydantic.Field(description="The user, or the command line")
    beganDate: t.Annotated[Date, Attribute("began_at")]
    endedDate: t.Annotated[Date | None, Attribute("ended_at")]
    counts: dict[str, int]
