"""The values that describe one operation of the API."""

from __future__ import annotations

import dataclasses
import typing as t

import pydantic

Schema = dict[str, t.Any]
#: A model, a list of one, or a schema.
Shape = type[pydantic.BaseModel] | list[type[pydantic.BaseModel]] | Schema
#: Authorization: none, a user with the organization's secret, a user (with that or a token), or a
#: token.
Authorization = t.Literal["none", "account", "user", "token"]

TEXT: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean", "default": False}
ID: Schema = {"type": "integer", "minimum": 1}
OBJECT: Schema = {"type": "object"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of the query, or a header."""

    name: str
    text: str
    schema: Schema = dataclasses.field(default_factory=lambda: TEXT)
    place: t.Literal["query", "header"] = "query"
    required: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operation:
    """The description of one method at one path.

    :param errors: statuses of its answers other than 200 and 401, which needs no mention.
    :param headers: headers of its answer, without those of every answer.
    """

    summary: str
    tag: str
    authorization: Authorization = "user"
    query: tuple[Parameter, ...] = ()
    body: Shape | None = None
    #: Media type of the body.
    body_media: str = "application/json"
    answer: Shape | None = None
    #: Media type of the answer.
    media: str = "application/json"
    errors: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()


#: Statuses for an invalid body.
BODY_ERRORS = (400, 413, 415)
PAGE_SIZE = Parameter(
    name="pageSize",
    text="Number of rows on a page, at most 200",
    schema={"type": "integer", "minimum": 1, "maximum": 200, "default": 200},
)
NEXT_PAGE = Parameter(
    name="nextPage", text="The value of Elements-Next-Page-Token of the page before"
)
FEED = (
    Parameter(
        name="cursor",
        text="The cursor of the last answer; now: from here on; none: from the oldest event on",
    ),
    Parameter(
        name="limit",
        text="Number of events at most",
        schema={"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    ),
    Parameter(
        name="wait",
        text="Seconds to wait for events if there are none",
        schema={"type": "integer", "minimum": 0, "maximum": 30, "default": 0},
    ),
)
PAGED = ("Elements-Returned-Count", "Elements-Next-Page-Token")
