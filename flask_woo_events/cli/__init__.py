"""The commands of ``flask woo``: each parses, calls one function and prints."""

from __future__ import annotations

import importlib
import typing as t

import click
from flask.cli import AppGroup

#: Module and attribute of each command. A module is imported when its command is used, so that
#: applications do not load the simulator, the loss suite and the worker.
_COMMANDS = {
    "db": "db:group",
    "deliver": "poll:deliver",
    "deliveries": "deliveries:group",
    "demo": "demo:demo",
    "doctor": "doctor:doctor",
    "events": "events:group",
    "instances": "instances:group",
    "keys": "keys:group",
    "poll": "poll:poll",
    "prove": "prove:prove",
    "simulate": "simulate:simulate",
    "users": "users:group",
    "webhooks": "webhooks:group",
}


class LazyGroup(AppGroup):
    """The group ``flask woo``, which imports its commands when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or ``None`` for an unknown name."""
        if cmd_name not in _COMMANDS:
            return None
        module, _colon, attribute = _COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(f".{module}", __name__), attribute)
        return t.cast("click.Command", command)


cli = LazyGroup("woo", help="Connect WooCommerce stores, poll them and deliver their events.")
