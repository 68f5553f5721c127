"""The page about privacy: its commands, its request, and its table of columns."""

from __future__ import annotations

import json
import pathlib
import re
import shlex

import sqlalchemy as sa

from flask_woo_events.db.models import Base
from flask_woo_events.instances import privacy
from tests.integration.host_app import PREFIX
from tests.integration.store_to_callback import StoreToCallback

PAGE = pathlib.Path(__file__).parents[2].joinpath("docs", "privacy.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_column_that_may_hold_a_body_is_listed() -> None:
    """A new column of text, bytes or JSON, or a long string, needs a row in the table."""
    listed = re.findall(r"`(woo_\w+\.\w+)`", PAGE.partition("### What happens to rows")[2])
    kinds = sa.Text, sa.LargeBinary, sa.JSON
    found = set()
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            kind = getattr(column.type, "impl_instance", column.type)
            is_long = isinstance(kind, sa.String) and (kind.length or 1_000) > 190
            if isinstance(kind, kinds) or is_long:
                found.add(f"{table.name}.{column.name}")
    known = {f"{table.name}.{one.name}" for table in Base.metadata.sorted_tables for one in table.c}
    assert found <= set(listed) <= known
    assert len(listed) == len(set(listed))


def test_commands_work(env: StoreToCallback) -> None:
    """Each, with an address on standard input."""
    (block,) = _blocks("console")
    for line in block.splitlines():
        words = shlex.split(line.removeprefix("$ flask "))
        result = env.app.test_cli_runner().invoke(args=words, input="ann@shop.example\n")
        assert result.exit_code == 0, result.output
    lifted = re.search(r"`flask (woo erase --email - --lift)`", PAGE)
    assert lifted is not None
    result = env.app.test_cli_runner().invoke(args=lifted[1].split(), input="ann@shop.example")
    assert result.exit_code == 0, result.output


def test_request_is_answered_as_shown(env: StoreToCallback) -> None:
    """The members of the answer are those of the page."""
    (request,), (shown,) = _blocks("text"), _blocks("json")
    head, _, body = request.partition("\n\n")
    path = head.splitlines()[0].removeprefix(f"POST {PREFIX}")
    answer = env.api.call("POST", path, json.loads(body))
    assert answer.status_code == 200
    expected = json.loads(shown)
    assert set(answer.json) == set(expected)
    assert set(answer.json["counts"]) == set(expected["counts"])


def test_setting_is_accepted() -> None:
    """Each of its paths."""
    (code,) = _blocks("python")
    paths = re.findall(r'"([^"]+)"', code.partition("=")[2])
    assert [one.resource for one in privacy.parsed(paths)] == [None, "orders", None]
