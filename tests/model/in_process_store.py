"""A simulated store that is called without a socket, for thousands of short histories."""

from __future__ import annotations

import collections.abc as cabc
import io
import typing as t
import urllib.parse

import requests
import urllib3

from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.simulation.store.faults import Reset
from flask_woo_events.simulation.store.manners import TimedOut

URL = "https://store.test"


class InProcessStore(requests.adapters.BaseAdapter):
    """An adapter that answers every request by calling the store.

    :param before: called before each request with the number of requests so far.
    """

    def __init__(self, store: SimulatedStore, before: cabc.Callable[[int], None]) -> None:
        super().__init__()
        self._store = store
        self._before = before
        self._requests = 0

    def send(self, request: requests.PreparedRequest, *_args: t.Any, **_how: t.Any) -> t.Any:
        """Call the store as its server would."""
        self._before(self._requests)
        self._requests += 1
        parts = urllib.parse.urlsplit(str(request.url))
        content = request.body or b""
        content = content.encode() if isinstance(content, str) else content
        environ = {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": urllib.parse.unquote(parts.path),
            "QUERY_STRING": parts.query,
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(content),
            "CONTENT_LENGTH": str(len(content)),
            "HTTP_AUTHORIZATION": request.headers.get("Authorization", ""),
        }
        given: list[t.Any] = []
        try:
            body = b"".join(self._store.wsgi(environ, lambda *head: given.extend(head)))
        except TimedOut:
            raise requests.ReadTimeout("no answer in time") from None
        except Reset:
            raise requests.ConnectionError("reset by the test") from None
        status, headers = given
        response = requests.Response()
        response.status_code = int(status.split()[0])
        response.headers.update(headers)
        response.raw = urllib3.HTTPResponse(
            io.BytesIO(body), headers=headers, preload_content=False
        )
        return response

    def close(self) -> None:
        """Do nothing: there is no connection."""


def session(store: SimulatedStore, before: cabc.Callable[[int], None]) -> requests.Session:
    """Return a session whose requests all go to this store."""
    made = requests.Session()
    made.trust_env = False
    made.adapters.clear()
    made.mount("https://", InProcessStore(store, before))
    return made
