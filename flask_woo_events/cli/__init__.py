"""The commands of ``flask woo``: each parses, calls one function and prints."""

from __future__ import annotations

import importlib
import typing as t

import click
from flask.cli import AppGroup

#: Module and attribute of each command, and the first sentence of its help. A module is imported
#: when its command is used, so that applications and ``flask woo --help`` do not load the
#: simulator, the loss suite and the worker.
_COMMANDS = {
    "connect": ("connect:connect", "Connect a store with one command."),
    "db": ("db:group", "Create, check and copy the tables."),
    "deliver": ("poll:deliver", "Deliver notifications without polling."),
    "deliveries": (
        "deliveries:group",
        "List deliveries, and send undelivered notifications again.",
    ),
    "demo": ("demo:demo", "Change a simulated store and print the events that arrive."),
    "doctor": ("doctor:doctor", "Check the installation, stores, webhooks and callbacks."),
    "erase": ("erase:erase_", "Erase a person, and store nothing of them from now on."),
    "events": ("events:group", "List, show and replay events."),
    "instances": ("instances:group", "Connect, list, change, pause and delete stores."),
    "keys": ("keys:group", "Generate and rotate encryption keys."),
    "listen": ("listen:listen", "Print events as they are recorded, and forward them."),
    "poll": ("poll:poll", "Poll stores and deliver notifications: the worker."),
    "prove": ("prove:prove", "Run the loss suite: scenarios that could lose events."),
    "reconcile": ("reconcile:reconcile", "Compare what a consumer has with the ledger."),
    "simulate": ("simulate:simulate", "Serve a simulated store until Ctrl-C."),
    "subscriptions": (
        "subscriptions:group",
        "List, add, change, test and remove receivers.",
    ),
    "trigger": ("trigger:trigger", "Make a named change in a simulated or test store."),
    "users": ("users:group", "Add, list and remove users of the API and the console."),
    "webhooks": ("webhooks:group", "Register, list, check and remove the webhooks of an instance."),
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
        module, _colon, attribute = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(f".{module}", __name__), attribute)
        return t.cast("click.Command", command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in _COMMANDS.items()])


cli = LazyGroup("woo", help="Connect WooCommerce stores, poll them and deliver their events.")
