"""The page on reconciliation: its requests and commands answer what it shows."""

from __future__ import annotations

import collections.abc as cabc
import json
import pathlib
import re
import shlex
import types
import typing as t

import pytest

from tests.integration.host_app import PREFIX
from tests.integration.store_to_callback import StoreToCallback

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "reconcile.md"
FENCES = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def _blocks(language: str) -> list[str]:
    found = [code for name, code in FENCES if name == language]
    assert found
    return found


def _copies(env: StoreToCallback) -> str:
    """Return the lines of the consumer that the page describes."""
    state = env.api.call("GET", "/instances/1/state?resource=orders").json
    had = {one["objectId"]: one["version"] for one in state["objects"]}
    del had["19"]
    had |= {"21": 0, "999999": 1}
    return "".join(f'{{"objectId": "{name}", "version": {one}}}\n' for name, one in had.items())


def _call(env: StoreToCallback, path: str, body: str | None) -> t.Any:
    headers = env.api.headers | {"Content-Type": "application/x-ndjson"}
    method = "GET" if body is None else "POST"
    answer = env.api.client.open(PREFIX + path, method=method, data=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_the_kinds_of_blocks_are_known() -> None:
    """Each block of the page is executed or compared by a test here."""
    assert {name for name, _ in FENCES} == {"console", "text", "json", "python"}


def test_requests_are_answered_as_the_page_shows(env: StoreToCallback) -> None:
    """The answers of the page, and the count of a consumer that computes the digest itself."""
    requests = [block.partition("\n\n") for block in _blocks("text")]
    checkpoint, compare, part, send, state = [
        (head.split()[1], lines if head.startswith("POST") else None) for head, _, lines in requests
    ]
    shown_checkpoint, shown_differences, shown_state = map(json.loads, _blocks("json"))
    [code] = _blocks("python")
    module = types.ModuleType("consumer")
    exec(code, module.__dict__)
    copies = [("20", 1), ("19", 1), *((str(number), 1) for number in range(21, 31))]
    [orders] = shown_checkpoint["resources"]
    found = _call(env, *checkpoint)["resources"]
    [real] = [one for one in found if one["resource"] == "orders"]
    assert (real["count"], real["digest"]) == (orders["count"], orders["digest"])
    assert t.cast("t.Any", module).checkpoint(copies) == (orders["count"], orders["digest"])
    assert real.keys() == orders.keys()
    assert compare[1] is not None
    lines = _copies(env)
    assert set(compare[1].splitlines()) <= set(lines.splitlines())
    assert _call(env, compare[0], lines) == shown_differences
    assert _call(env, *part)["counts"] == dict.fromkeys(("missing", "stale", "newer", "extra"), 0)
    assert {one["send"] for one in _call(env, *send)["differences"]} == {"read"}
    found = _call(env, *state)
    assert found["cursor"] is not None
    assert found | {"cursor": None} == shown_state | {"cursor": None}


def _commands() -> cabc.Iterator[tuple[list[str], str]]:
    for block in _blocks("console"):
        for part in re.split(r"^\$ flask ", block, flags=re.MULTILINE)[1:]:
            words, _, output = part.partition("\n")
            yield shlex.split(words), output


def test_commands_print_what_the_page_shows(
    env: StoreToCallback, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of the page print the lines below them."""
    monkeypatch.chdir(tmp_path)
    pathlib.Path("orders.jsonl").write_text(_copies(env), "utf-8")
    for words, output in _commands():
        result = env.app.test_cli_runner().invoke(args=words)
        assert result.exit_code == 0, (words, result.output)
        assert result.output == output, words
