"""Which modules an application loads when it imports and initialises the extension."""

from __future__ import annotations

import functools
import subprocess
import sys

import click
import pytest

from flask_woo_events.cli import cli

_IMPORT = "from flask_woo_events import WooEvents"
_INIT_APP = """\
import flask, flask_sqlalchemy, flask_woo_events
app = flask.Flask("host")
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
flask_sqlalchemy.SQLAlchemy(app)
flask_woo_events.WooEvents(app)
"""
_HELP = _INIT_APP + "print(app.test_cli_runner().invoke(args=['woo', '--help']).output)"
#: Packages that only some commands, workers or options need.
_OPTIONAL = ("flask_woo_events.simulation", "flask_woo_events.console", "flask_woo_events.worker",
             "alembic", "celery", "opentelemetry", "prometheus_client", "pytest",
             "flask_bootstrap")  # fmt: skip


@functools.cache
def _run(program: str) -> tuple[set[str], str]:
    """Run a program in a fresh interpreter; return the modules that it loaded, and its output."""
    program += "\nimport sys\nprint('LOADED', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    output, _, loaded = done.stdout.rpartition("LOADED")
    return set(loaded.split()), output


@pytest.mark.slow
@pytest.mark.parametrize("program", [_IMPORT, _HELP], ids=["import", "init_app and help"])
def test_optional_parts_are_not_loaded(program: str) -> None:
    """The simulator, the loss suite, the console and the worker are imported when they are used."""
    loaded, _output = _run(program)
    assert "flask_woo_events.extension" in loaded
    optional = {name for name in loaded for part in _OPTIONAL if f"{name}.".startswith(f"{part}.")}
    assert optional == set()


@pytest.mark.slow
@pytest.mark.parametrize("program", [_IMPORT, _HELP], ids=["import", "init_app and help"])
def test_commands_are_not_loaded(program: str) -> None:
    """Neither ``import flask_woo_events`` nor ``flask woo --help`` loads a command."""
    loaded, _output = _run(program)
    assert {name for name in loaded if name.startswith("flask_woo_events.cli.")} == set()


@pytest.mark.slow
def test_help_lists_every_command() -> None:
    """``flask woo --help`` lists each command with the first sentence of its own help."""
    _loaded, output = _run(_HELP)
    lines = [line.split(maxsplit=1) for line in output.partition("Commands:")[2].split("\n")]
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    assert {"db", "demo", "doctor", "instances", "poll", "prove", "simulate"} <= set(commands)
    assert {name: text for name, text in filter(None, lines)} == {
        name: command.get_short_help_str(200) for name, command in commands.items() if command
    }
