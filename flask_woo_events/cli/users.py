"""``flask woo users``: users of the API and the console."""

from __future__ import annotations

import dataclasses

import click
from flask.cli import AppGroup

from ..instances import accounts
from ..runtime import current_runtime
from .output import as_json_option, echo_json, echo_table, errors_as_messages

group = AppGroup("users", help="Add, list and remove users of the API and the console.")
_organization = click.option(
    "--organization", required=True, metavar="NAME", help="Name of the organization."
)


@group.command("add")
@click.argument("name")
@_organization
@click.option(
    "--new-organization-secret",
    "replace_secret",
    is_flag=True,
    help="Replace the organization's secret; requests with the old one get 401.",
)
@as_json_option
@errors_as_messages
def add(name: str, organization: str, replace_secret: bool, as_json: bool) -> None:
    """Add a user and print the secrets, which are stored only as hashes.

    The organization is created if it does not exist.
    """
    runtime = current_runtime()
    with runtime.database.write() as session:
        user = accounts.add_user(
            session, name, organization, runtime.clock(), replace_secret=replace_secret
        )
    if as_json:
        echo_json(dataclasses.asdict(user))
        return
    click.echo(f"User secret:         {user.user_secret}")
    if user.organization_secret is not None:
        click.echo(f"Organization secret: {user.organization_secret}")
    else:
        click.echo(
            f"Organization secret: the present one of {organization}; --new-organization-secret "
            "replaces it"
        )
    click.echo("The secrets are shown only once. Send them as")
    known = user.organization_secret or "<ORGANIZATION_SECRET>"
    click.echo(f"Authorization: User {user.user_secret}, Organization {known}")


@group.command("list")
@as_json_option
@errors_as_messages
def list_users(as_json: bool) -> None:
    """List users and their organizations."""
    with current_runtime().database.read() as session:
        users = accounts.list_users(session)
    if as_json:
        echo_json([dataclasses.asdict(user) for user in users])
        return
    echo_table(
        ("id", "name", "organization", "created"),
        [(user.id, user.name, user.organization, f"{user.created_at:%Y-%m-%d}") for user in users],
    )


@group.command("remove")
@click.argument("name")
@_organization
@errors_as_messages
def remove(name: str, organization: str) -> None:
    """Remove a user.

    Another user of the organization takes over the instances.
    """
    with current_runtime().database.write() as session:
        accounts.remove_user(session, name, organization)
    click.echo(f"User {name} of {organization} was removed.")
