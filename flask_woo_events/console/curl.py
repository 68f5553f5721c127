"""The cURL command that is equivalent to the form of a store."""

from __future__ import annotations

import typing as t

import orjson

from ..instances import configuration as configurations
from ..values.validation import MASK


def command(method: str, url: str, body: t.Mapping[str, t.Any], *, reveal: bool) -> str:
    """Return a command for a POSIX shell that sends a request to the API.

    :param reveal: include secrets; otherwise each is ``********``.
    """
    shown = dict(body) if reveal else masked(body)
    text = orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()
    authorization = "authorization: User <USER_SECRET>, Organization <ORGANIZATION_SECRET>"
    return " \\\n  ".join(
        (
            f"curl -X {method}",
            quoted(url),
            f"-H {quoted(authorization)}",
            f"-H {quoted('content-type: application/json')}",
            f"-d {quoted(text)}",
        )
    )


def quoted(text: str) -> str:
    """Quote a text as one word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def masked(body: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return a request with its secrets masked."""
    configuration = {
        key: MASK if value and configurations.is_secret(key) else value
        for key, value in body.get("configuration", {}).items()
    }
    return {**body, "configuration": configuration}
