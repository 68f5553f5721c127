"""``flask woo db upgrade`` on several machines at once: one upgrades, the others wait."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.db.database import Database

#: Four processes that run the command, forked from one that has imported the package.
FOUR = textwrap.dedent("""
    import os, pathlib, sys
    import alembic.command
    from flask.cli import ScriptInfo
    from flask_woo_events.cli import cli
    from tests.integration.host_app import make_app

    app = make_app(pathlib.Path("/"), SQLALCHEMY_DATABASE_URI=sys.argv[1])
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            cli.main(["db", "upgrade"], obj=ScriptInfo(create_app=lambda: app))
        children.append(child)
    sys.exit(sum(os.waitpid(child, 0)[1] for child in children))
""")
ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
def test_four_at_once(any_url: str) -> None:
    """Each of four waits for the one before it, says so, and finds the tables upgraded."""
    engine = sa.create_engine(any_url)
    database = Database(engine)
    with contextlib.ExitStack() as first:
        connection = database.engine.connect().execution_options(**upgrade._OPTIONS)
        first.enter_context(connection)
        first.enter_context(upgrade._alone(connection, lambda: None))
        others = subprocess.Popen(
            [sys.executable, "-c", FOUR, any_url],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert others.stdout is not None
        said = [others.stdout.readline() for _ in range(4)]
    said += others.communicate()[0].splitlines()
    assert others.returncode == 0, said
    assert sum("Waiting for it" in line for line in said[:4]) == 4, said
    assert sum(line.startswith("The tables are at version") for line in said[4:]) == 4, said
    assert upgrade.check(database.engine)
    database.dispose()
    engine.dispose()


def test_an_upgrade_that_fails_leaves_no_lock(
    any_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one does not wait, also on the same connection of the pool."""
    engine = sa.create_engine(any_url)
    database = Database(engine)
    waited: list[object] = []
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(upgrade, "_refuse_encoding", lambda *args: 1 / 0)
        upgrade.upgrade(database.engine)
    another = sa.create_engine(any_url)
    for one in (Database(another), database):
        upgrade.upgrade(one.engine, lambda: waited.append(1))
        one.dispose()
    assert not waited
    engine.dispose()
    another.dispose()
