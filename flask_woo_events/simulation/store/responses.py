"""Requests as the resources see them, responses, and the error objects of WordPress."""

from __future__ import annotations

import dataclasses
import typing as t

from .encoding import Json, encode

Headers = list[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class SimulatedRequest:
    """One call of the REST API, already authenticated."""

    method: str
    path: str
    params: dict[str, str]
    body: Json
    #: Numbers in the path, in order.
    ids: tuple[int, ...] = ()

    @property
    def fields(self) -> str:
        """The fields that ``_fields`` asks for, separated by commas; empty for all."""
        return self.params.get("_fields", "").replace(" ", "").strip(",")

    @property
    def force(self) -> bool:
        """Whether ``force`` asks for a deletion without the trash."""
        value = self.params.get("force", self.body.get("force", ""))
        return str(value).lower() in ("true", "1")


@dataclasses.dataclass
class SimulatedResponse:
    """One response."""

    status: int
    body: bytes
    headers: Headers = dataclasses.field(default_factory=list)
    #: Whether the request had a valid key; only then is caching forbidden.
    authenticated: bool = True


def answer(value: t.Any, status: int = 200, headers: Headers | None = None) -> SimulatedResponse:
    """Return a response with this value as JSON."""
    return SimulatedResponse(
        status, value if isinstance(value, bytes) else encode(value), headers or []
    )


def one_page_totals(count: int) -> Headers:
    """Return the headers of a collection that is always one page."""
    return [("X-WP-Total", str(count)), ("X-WP-TotalPages", "1")]


class RestError(Exception):
    """A response with a WordPress error object."""

    def __init__(self, status: int, code: str, message: str, **data: t.Any) -> None:
        super().__init__(message)
        #: The HTTP status.
        self.status = status
        #: The body.
        self.body: Json = {"code": code, "message": message, "data": {"status": status, **data}}

    def answer(self) -> SimulatedResponse:
        """Return the error as a response."""
        return answer(self.body, self.status)


def no_route() -> RestError:
    """Return the error for an unknown URL."""
    return RestError(
        404, "rest_no_route", "No route was found matching the URL and request method."
    )


def no_trash(what: str) -> RestError:
    """Return the error for an object that can only be deleted permanently."""
    return RestError(
        501,
        "woocommerce_rest_trash_not_supported",
        f"{what} do not support trashing.",
    )


def missing(*names: str) -> RestError:
    """Return the error for missing parameters."""
    return RestError(
        400,
        "rest_missing_callback_param",
        f"Missing parameter(s): {', '.join(names)}",
        params=list(names),
    )


def invalid(details: dict[str, tuple[str, str]]) -> RestError:
    """Return the error for invalid parameters.

    :param details: code and message by name.
    """
    return RestError(
        400,
        "rest_invalid_param",
        f"Invalid parameter(s): {', '.join(details)}",
        params={name: message for name, (_, message) in details.items()},
        details={
            name: {"code": code, "message": message, "data": None}
            for name, (code, message) in details.items()
        },
    )
