"""The faults of a simulated store, each for a number of matching requests."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import threading
import time
import typing as t

from .encoding import encode
from .responses import SimulatedResponse

Kind = t.Literal[
    "timeout",
    "delay",
    "reset",
    "status",
    "html",
    "php_notice",
    "truncated",
    "lying_json",
    "empty200",
    "wrong_total",
    "duplicate_ids",
    "endless_pages",
    "wrong_content_type",
    "empty_list",
]

#: Selects the requests of a fault: a part of their path, or a function of method, path and
#: parameters.
Match = str | cabc.Callable[[str, str, cabc.Mapping[str, str]], bool] | None


class Reset(Exception):
    """Raised to close the connection without a response."""


@dataclasses.dataclass
class Fault:
    """One fault."""

    kind: Kind
    match: Match
    times: int
    options: cabc.Mapping[str, t.Any]

    def fits(self, method: str, path: str, params: cabc.Mapping[str, str]) -> bool:
        """Return whether the fault applies to this request."""
        if callable(self.match):
            return self.match(method, path, params)
        return (self.match or "") in path

    @property
    def effective(self) -> bool:
        """Whether the request is processed before its response is spoiled."""
        return bool(self.options.get("effect", True))


class Faults:
    """Holds the faults of the next requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def add(self, kind: Kind, *, match: Match = None, times: int = 1, **options: t.Any) -> None:
        """Apply a fault to the next matching requests.

        :param match: only requests whose path contains this, or for which this function of method,
            path and parameters is true.
        :param times: the number of requests.
        :param options: ``seconds`` of a delay, or ``until``, an event to wait for; ``code``,
            ``message`` and ``retry_after`` (seconds) of a status; ``total`` of a wrong total; with
            ``effect=False`` the request changes nothing.
        """
        with self._lock:
            self._waiting.append(Fault(kind, match, times, options))

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._waiting.clear()

    def take(self, method: str, path: str, params: cabc.Mapping[str, str]) -> Fault | None:
        """Take the fault of this request, if there is one."""
        if not self._waiting:
            return None
        with self._lock:
            for fault in self._waiting:
                if fault.fits(method, path, params):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._waiting.remove(fault)
                    return fault
        return None


def spoil(fault: Fault, answer: SimulatedResponse) -> SimulatedResponse:
    """Return the response with a fault.

    :raises Reset: the connection is to be closed without a response.
    """
    options, headers = fault.options, answer.headers
    match fault.kind:
        case "delay" | "timeout":
            if until := options.get("until"):
                until.wait()
            else:
                time.sleep(options.get("seconds", 1.0))
            return answer
        case "reset":
            raise Reset
        case "status":
            code = options.get("code", 500)
            after = options.get("retry_after")
            extra = [("Retry-After", str(after))] if after is not None else []
            message = options.get("message", f"Simulated {code}")
            body = {"code": "simulated", "message": message, "data": {"status": code}}
            return SimulatedResponse(code, encode(body), extra)
        case "html":
            page = b"<!DOCTYPE html><title>Just a moment...</title><p>Checking your browser"
            return SimulatedResponse(
                options.get("code", 200), page, [("Content-Type", "text/html")]
            )
        case "php_notice":
            notice = b"<br />\n<b>Notice</b>:  Undefined index in <b>x.php</b> on line <b>7</b>"
            return SimulatedResponse(answer.status, notice + b"<br />\n" + answer.body, headers)
        case "truncated":
            return SimulatedResponse(answer.status, answer.body[: len(answer.body) // 2], headers)
        case "lying_json":
            return SimulatedResponse(200, b'{"ok":true}', headers)
        case "empty200":
            return SimulatedResponse(200, b"", headers)
        case "wrong_total":
            return _with_header(answer, "X-WP-Total", str(options.get("total", 1)))
        case "duplicate_ids":
            inner = answer.body[1:-1]
            return SimulatedResponse(answer.status, b"[" + inner + b"," + inner + b"]", headers)
        case "endless_pages":
            return _with_header(answer, "X-WP-TotalPages", "1000000")
        case "wrong_content_type":
            return _with_header(answer, "Content-Type", "text/html")
        case "empty_list":
            return SimulatedResponse(200, b"[]", [("X-WP-Total", "0"), ("X-WP-TotalPages", "0")])


def _with_header(answer: SimulatedResponse, name: str, value: str) -> SimulatedResponse:
    kept = [pair for pair in answer.headers if pair[0] != name]
    return SimulatedResponse(answer.status, answer.body, [*kept, (name, value)])
