"""A client of the retired Cloud Elements service, in which only the host name was changed.

It is written from that service's documentation and its public clients, and uses nothing of this
package. Sources of the calls:

page
    the page "WooCommerce > Events"
guide
    other pages of the developer portal: authentication, error codes, tips, hash verification
churros
    the service's public test suite
sdk
    the TypeScript client that was generated from the platform's description
usecase
    a consumer of callbacks with two captured bodies
kb
    the later knowledge base and the release notes
doctor
    the backup and migration client
"""

from __future__ import annotations

import dataclasses
import typing as t

import requests

from tests.acceptance.old_client.shapes import Shape, differences


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A call, or a callback that arrived, and in what it differs from the documented one."""

    name: str
    source: str
    differences: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Answer:
    """The answer to a call."""

    name: str
    status: int
    headers: t.Mapping[str, str]
    #: ``None`` if it is not JSON.
    body: t.Any

    def __getitem__(self, member: str) -> t.Any:
        assert isinstance(self.body, dict) and member in self.body, (self.name, self.body)
        return self.body[member]


class OldClient:
    """Makes calls, and keeps in what each answer differs from the documented one.

    :param host: scheme, name and port, instead of ``https://api.cloud-elements.com``.
    """

    def __init__(self, host: str, user_secret: str, organization_secret: str) -> None:
        self._base = f"{host}/elements/api-v2"
        self._user = f"User {user_secret}"
        self._organization = f"Organization {organization_secret}"
        self._session = requests.Session()
        self._token = ""
        self.outcomes: list[Outcome] = []
        #: How many calls were made and compared.
        self.calls = 0

    def use_token(self, token: str) -> None:
        """Send all three parts from now on, as churros does (``core/defaults.js``)."""
        self._token = token

    def account(self) -> str:
        """Return the header of the platform's calls."""
        return f"{self._user}, {self._organization}"

    def element(self, token: str) -> str:
        """Return the header of an instance's calls."""
        return f"{self._user}, Element {token}"

    def call(
        self,
        name: str,
        source: str,
        call: str,
        *,
        expect: Shape | None = None,
        status: int = 200,
        body: t.Any = None,
        query: t.Mapping[str, t.Any] | None = None,
        headers: t.Mapping[str, str] | None = None,
        auth: str | None = None,
        expect_headers: dict[str, Shape] | None = None,
    ) -> Answer:
        """Make a call and compare the answer.

        :param name: unique name of the call.
        :param call: method and path.
        :param expect: of the body.
        :param body: sent as JSON, or as it is if it is bytes.
        :param auth: the header Authorization; all parts that are known by default.
        :param expect_headers: with names in lower case.
        """
        self.calls += 1
        answer = self.ask(name, call, body=body, query=query, headers=headers, auth=auth)
        found = []
        if answer.status != status:
            found.append(f"status {answer.status}, not {status}")
        else:
            if expect is not None:
                found += differences(answer.body, expect)
            lower = {header.lower(): value for header, value in answer.headers.items()}
            found += differences(lower, expect_headers or {}, "headers")
        self.note(name, source, found)
        return answer

    def ask(
        self,
        name: str,
        call: str,
        *,
        body: t.Any = None,
        query: t.Mapping[str, t.Any] | None = None,
        headers: t.Mapping[str, str] | None = None,
        auth: str | None = None,
    ) -> Answer:
        """Make a call of which no outcome is kept, such as one that is repeated."""
        if auth is None:
            auth = self.account() + (f", Element {self._token}" if self._token else "")
        method, path = call.split(" ", 1)
        sent = {"Accept": "application/json", "Authorization": auth, **(headers or {})}
        raw = isinstance(body, bytes)
        response = self._session.request(
            method,
            self._base + path,
            params=query,
            headers={header: value for header, value in sent.items() if value},
            data=body if raw else None,
            json=None if raw else body,
            timeout=60,
        )
        return Answer(name, response.status_code, response.headers, _json(response))

    def check(self, name: str, source: str, seen: t.Any, expected: Shape) -> None:
        """Compare something that is not the answer to one call, such as a callback."""
        self.note(name, source, differences(seen, expected, "it"))

    def note(self, name: str, source: str, found: t.Sequence[str]) -> None:
        """Keep an outcome."""
        assert name not in {one.name for one in self.outcomes}, f"{name!r} is used twice"
        self.outcomes.append(Outcome(name, source, tuple(found)))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _json(response: requests.Response) -> t.Any:
    try:
        return response.json()
    except requests.JSONDecodeError:
        return None
