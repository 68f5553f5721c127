"""Which modules an application loads when it imports and initialises the extension."""

from __future__ import annotations

import subprocess
import sys

import pytest

_IMPORT = "import flask_woo_events"
_INIT_APP = """\
import flask, flask_sqlalchemy, flask_woo_events
app = flask.Flask("host")
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
flask_sqlalchemy.SQLAlchemy(app)
flask_woo_events.WooEvents(app)
"""
#: Packages that only some commands, workers or options need.
_OPTIONAL = ("flask_woo_events.simulation", "flask_woo_events.console", "flask_woo_events.worker",
             "alembic", "celery", "prometheus_client", "pytest", "flask_bootstrap")  # fmt: skip


def _loaded(program: str) -> set[str]:
    """Run a program in a fresh interpreter, and return the modules that it loaded."""
    program += "\nimport sys\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines())


@pytest.mark.parametrize("program", [_IMPORT, _INIT_APP], ids=["import", "init_app"])
def test_optional_parts_are_not_loaded(program: str) -> None:
    """The simulator, the loss suite, the console and the worker are imported when they are used."""
    loaded = _loaded(program)
    assert "flask_woo_events.extension" in loaded
    optional = {name for name in loaded for part in _OPTIONAL if f"{name}.".startswith(f"{part}.")}
    assert optional == set()


def test_commands_are_not_loaded() -> None:
    """``import flask_woo_events`` loads the group of commands and none of the commands."""
    loaded = {name for name in _loaded(_IMPORT) if name.startswith("flask_woo_events.cli.")}
    assert loaded == set()


def test_help_lists_every_command() -> None:
    """``flask woo --help`` lists each command although their modules are loaded later."""
    program = _INIT_APP + "print(app.test_cli_runner().invoke(args=['woo', '--help']).output)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    listed = done.stdout.partition("Commands:")[2].split("\n")
    words = {line.split()[0]: line.split()[1:] for line in listed if line.strip()}
    assert {"db", "demo", "doctor", "instances", "poll", "prove", "simulate"} <= set(words)
    assert all(words.values())
