"""A reader of the feed: every event at least once, in order, for programs without a callback.

It needs ``requests`` and loads nothing else of the package::

    from flask_woo_events.client import CursorFile, FeedReader

    reader = FeedReader(
        "https://events.example.com/elements/api-v2/instances/1/events/feed",
        "User 3b8f…, Organization 5c1d…",
        CursorFile("orders.cursor"),
    )
    for event in reader:
        handle(event)
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import email.utils
import logging
import os
import pathlib
import random
import time
import typing as t

import requests

#: Seconds before the first and the latest repetition of a request that failed.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: Longest pause that a server may ask for, seconds.
LONGEST_ASKED = 600.0
#: Seconds to connect, and for an answer beyond the time that it may wait for events.
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 30.0
#: Seconds after an answer without events, if the server may not wait for them.
IDLE_PAUSE = 2.0
#: In place of a cursor: what happens from here on.
_NOW = "now"

_log = logging.getLogger(__name__)


class FeedError(Exception):
    """The server refuses the request, and would refuse it again.

    :param message: one sentence, with the server's own.
    :param status: HTTP status of the answer.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        #: HTTP status of the answer.
        self.status = status


class SavedCursor(t.Protocol):
    """Keeps the cursor of a reader where it outlives the process."""

    def load(self) -> str | None:
        """Return the cursor, or ``None`` to begin with the oldest event."""

    def save(self, cursor: str) -> None:
        """Keep a cursor in place of the last one."""


class CursorFile:
    """Keeps a cursor in a file, which is whole after a crash and a power cut.

    :param path: the file; a reader needs one of its own.
    :param begin: where to begin without a file: ``now``, or ``None`` for the oldest event.
    """

    def __init__(self, path: str | os.PathLike[str], begin: str | None = None) -> None:
        self._path = pathlib.Path(path)
        self._begin = begin

    def load(self) -> str | None:
        """Return the cursor of the file."""
        try:
            return self._path.read_text("ascii").strip() or self._begin
        except FileNotFoundError:
            return self._begin

    def save(self, cursor: str) -> None:
        """Replace the file."""
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with beside.open("w", encoding="ascii") as file:
            file.write(cursor + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        with contextlib.suppress(OSError):  # Windows opens no folders.
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@dataclasses.dataclass(frozen=True, slots=True)
class FeedAnswer:
    """One answer of a feed."""

    events: tuple[dict[str, t.Any], ...]
    #: To be saved once these events are handled.
    cursor: str
    #: Events that come after the cursor of the request were deleted before they were read.
    truncated: bool
    #: More events may be there already.
    more: bool


class FeedReader:
    """Reads a feed, and goes on with what its last run had not handled.

    Iterate over it: the next event is returned once the last one is handled. The cursor is saved
    when all events of an answer are. A program that ends before that gets them again, so it must
    be able to handle an event twice; ``message.eventId`` and the ``id`` of a CloudEvent are the
    same then. What the program raises ends the iteration; iterate again to repeat the event.

    Requests that fail without a fault of theirs are repeated without end: no connection, no answer
    in time, 429 and 5xx.

    :param url: of the feed, without a query.
    :param authorization: the header: ``User <USER_SECRET>, Organization <ORGANIZATION_SECRET>``
        or ``User <USER_SECRET>, Element <INSTANCE_TOKEN>``.
    :param saved: where the cursor is kept.
    :param limit: events of one answer, which are repeated after a crash; at most 1,000.
    :param wait: seconds that the server may wait for events, at most 30; with 0, the reader itself
        pauses between two requests.
    :param on_truncated: called if events were deleted before they were read; by default a warning
        is logged.
    :param session: for a proxy, or certificates of one's own.
    """

    def __init__(
        self,
        url: str,
        authorization: str,
        saved: SavedCursor,
        *,
        limit: int = 100,
        wait: int = 30,
        on_truncated: cabc.Callable[[], object] | None = None,
        session: requests.Session | None = None,
    ) -> None:
        self._url = url
        self._headers = {"Authorization": authorization, "Accept": "application/json"}
        self._saved = saved
        self._limit = limit
        self._wait = wait
        self._on_truncated = on_truncated or self._warn
        self._session = session or requests.Session()
        #: Waits for a number of seconds.
        self.pause: cabc.Callable[[float], object] = time.sleep

    def __iter__(self) -> cabc.Iterator[dict[str, t.Any]]:
        """Yield events without end.

        :raises FeedError: the server refuses the request.
        """
        for answer in self.answers():
            yield from answer.events

    def answers(self) -> cabc.Iterator[FeedAnswer]:
        """Yield answers without end, also those without events; save the cursor after each.

        :raises FeedError: the server refuses the request.
        """
        cursor = self._saved.load()
        while True:
            # The cursor of now is saved before there are events, which a next run would pass over.
            answer = self._read(cursor, 0 if cursor == _NOW else self._wait)
            if answer.truncated:
                self._on_truncated()
            yield answer
            if answer.cursor != cursor:
                self._saved.save(answer.cursor)
                cursor = answer.cursor
            if not (self._wait or answer.events or answer.more):
                self.pause(IDLE_PAUSE)

    def _read(self, cursor: str | None, wait: int) -> FeedAnswer:
        """Request the next events until there is an answer."""
        parameters = {"limit": str(self._limit), "wait": str(wait)}
        if cursor is not None:
            parameters["cursor"] = cursor
        failures = 0
        while True:
            asked = 0.0
            try:
                response = self._session.get(
                    self._url,
                    params=parameters,
                    headers=self._headers,
                    auth=self._authorize,
                    timeout=(CONNECT_TIMEOUT, READ_TIMEOUT + wait),
                    allow_redirects=False,
                )
                if response.status_code == 200:
                    return _answer(response)
                reason = f"status {response.status_code}"
                asked = _asked(response)
            except (requests.RequestException, ValueError, KeyError, TypeError) as exc:
                # No answer, or one of a proxy.
                response, reason = None, f"{type(exc).__name__}"
            if response is not None and not _may_succeed(response.status_code):
                raise FeedError(
                    f"the feed answered {response.status_code}: {_message(response)}",
                    response.status_code,
                )
            failures += 1
            seconds = max(asked, _backoff(failures))
            extra = {"action": "feed_retry"}
            _log.info("the feed is read again in %.1f s: %s", seconds, reason, extra=extra)
            self.pause(seconds)

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the header again: requests replaces it by what a ``.netrc`` or the URL names."""
        request.headers["Authorization"] = self._headers["Authorization"]
        return request

    def _warn(self) -> None:
        _log.warning(
            "events of the feed were deleted before they were read: %s",
            self._url,
            extra={"action": "feed_truncated"},
        )


def _answer(response: requests.Response) -> FeedAnswer:
    body = response.json()
    return FeedAnswer(
        tuple(body["events"]), str(body["cursor"]), bool(body["truncated"]), bool(body["more"])
    )


def _may_succeed(status: int) -> bool:
    return status in (408, 425, 429) or status >= 500


def _message(response: requests.Response) -> str:
    """Return what the server says, without the request."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(response.json()["message"])[:500]
    return response.reason or "no reason"


def _backoff(failures: int) -> float:
    """Return seconds, doubled with each failure, with chance so that readers do not meet."""
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 16))
    return longest * random.uniform(0.5, 1.0)


def _asked(response: requests.Response) -> float:
    """Return the seconds of ``Retry-After``, a number or a date; 0 without one."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_ASKED)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        date = email.utils.parsedate_to_datetime(text)
        date = date.replace(tzinfo=date.tzinfo or dt.UTC)
        left = (date - dt.datetime.now(dt.UTC)).total_seconds()
        return min(max(left, 0.0), LONGEST_ASKED)
    return 0.0
