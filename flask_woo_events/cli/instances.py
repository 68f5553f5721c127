"""``flask woo instances``: connect stores, show, change, pause and delete them."""

from __future__ import annotations

import datetime as dt
import typing as t

import click
import sqlalchemy as sa
from flask.cli import AppGroup

from ..db.models import Instance, Organization, User
from ..instances import access, lifecycle, provisioning, views, wc_auth
from ..instances.accounts import Caller
from ..instances.requests import InstanceRequest
from ..runtime import current_runtime
from ..values.validation import load_json, validated
from .output import ID, as_date, as_json_option, echo_json, echo_table, errors_as_messages, plain

group = AppGroup("instances", help="Connect, list, change, pause and delete stores.")


@group.command("list")
@as_json_option
@errors_as_messages
def list_instances(as_json: bool) -> None:
    """List all instances with the state of their pollers."""
    runtime = current_runtime()
    now = runtime.clock()
    with runtime.database.read() as session:
        ids = session.scalars(sa.select(Instance.id).order_by(Instance.id)).all()
        found = [views.get(session, access.owner(session, one), one, now) for one in ids]
    if as_json:
        for view in found:
            echo_json(_shown(view))
        return
    echo_table(
        ("id", "name", "events", "next poll", "pollers"),
        [
            (
                view.id,
                view.name,
                "paused" if view.disabled else "on" if view.events_enabled else "off",
                f"{view.next_poll_at:%Y-%m-%d %H:%M:%S}" if view.next_poll_at else "-",
                " ".join(
                    f"{one.resource}:{'FAILING' if one.error else one.state}"
                    for one in view.pollers
                ),
            )
            for view in found
        ],
    )


@group.command("show")
@click.argument("instance_id", type=ID)
@as_json_option
@errors_as_messages
def show(instance_id: int, as_json: bool) -> None:
    """Show an instance. Secrets are masked."""
    runtime = current_runtime()
    with runtime.database.read() as session:
        caller = access.owner(session, instance_id)
        view = views.get(session, caller, instance_id, runtime.clock())
    if as_json:
        echo_json(_shown(view))
        return
    shown = _shown(view)
    configuration = shown.pop("configuration")
    for name, value in {**shown, **configuration}.items():
        if isinstance(value, dict):
            for key, one in value.items():
                click.echo(f"{name + '.' + key:36} {one}")
        elif name not in {"pollers", "notices", "problems"}:
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            click.echo(plain(f"{name:36} {text}"))
    for one in view.pollers:
        polled_at = f"{one.polled_at:%Y-%m-%d %H:%M:%S}" if one.polled_at else "never"
        click.echo(
            plain(f"{one.resource:36} {one.state}, last poll {polled_at}, {one.error or 'ok'}")
        )
    if view.state != "connected":
        click.echo(f"{'state':36} {view.state}")
    for problem in view.problems:
        click.echo(plain(f"{problem.code:36} since {problem.since:%Y-%m-%d %H:%M:%S}: {problem}"))
    for notice in view.notices:
        times = f" ({notice['count']} times)" if "count" in notice else ""
        click.echo(plain(f"{notice['date']:36} {notice['kind']}: {notice['text']}{times}"))


@group.command("create")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--user", required=True, metavar="NAME", help="Name of the user who owns the instance."
)
@click.option(
    "--organization", required=True, metavar="NAME", help="Name of the user's organization."
)
@errors_as_messages
def create(file: click.File, user: str, organization: str) -> None:
    """Connect a store, with the JSON of POST /instances in FILE.

    FILE may be - for standard input.
    """
    runtime = current_runtime()
    request = validated(InstanceRequest, load_json(file.read()))  # type: ignore[attr-defined]
    with runtime.database.read() as session:
        caller = _user(session, user, organization)
    base = runtime.settings.public_url or ""
    instance_id, made = provisioning.create(runtime, caller, request, base)
    click.echo(f"id    {instance_id}\ntoken {made}")


@group.command("change")
@click.argument("instance_id", type=ID)
@click.argument("file", type=click.File("rb"))
@errors_as_messages
def change(instance_id: int, file: click.File) -> None:
    """Change an instance, with the JSON of PATCH /instances in FILE.

    FILE may be - for standard input. What it leaves out stays as it is.
    """
    runtime = current_runtime()
    request = validated(InstanceRequest, load_json(file.read()))  # type: ignore[attr-defined]
    with runtime.database.read() as session:
        caller = access.owner(session, instance_id)
        base = runtime.settings.public_url or session.get_one(Instance, instance_id).hooks_base
    provisioning.change(runtime, caller, instance_id, request, base or "", partial=True)
    click.echo(f"Instance {instance_id} was changed.")


@group.command("invite")
@click.option(
    "--organization", required=True, metavar="NAME", help="Name of the user's organization."
)
@click.option(
    "--user", required=True, metavar="NAME", help="Name of the user who owns the instance."
)
@click.option(
    "--store", default="", metavar="URL", help="URL of the store to which the link is limited."
)
@click.option(
    "--days",
    default=7,
    show_default=True,
    type=click.IntRange(1, 365),
    help="Number of days for which the link is valid.",
)
@click.option(
    "--request",
    type=click.File("rb"),
    help="File with the JSON for create, without the store and its keys.",
)
@errors_as_messages
def invite(organization: str, user: str, store: str, days: int, request: click.File | None) -> None:
    """Print a link to connect a store without copying keys.

    The owner of the shop opens it and approves the connection.
    """
    runtime = current_runtime()
    wanted = load_json(request.read()) if request is not None else None  # type: ignore[attr-defined]
    with runtime.database.read() as session:
        caller = _user(session, user, organization)
    valid = dt.timedelta(days=days)
    click.echo(wc_auth.invite(runtime, caller, store_url=store, request=wanted, valid=valid))


@group.command("pause")
@click.argument("instance_id", type=ID)
@errors_as_messages
def pause(instance_id: int) -> None:
    """Stop polling an instance."""
    _switch(instance_id, enabled=False)
    click.echo(f"Instance {instance_id} is paused.")


@group.command("resume")
@click.argument("instance_id", type=ID)
@errors_as_messages
def resume(instance_id: int) -> None:
    """End the pause of an instance.

    It is polled again if its events are on, with resources that were disabled after failures.
    """
    if _switch(instance_id, enabled=True):
        click.echo(f"Instance {instance_id} is polled again.")
        return
    click.echo(
        f"Instance {instance_id} is not paused any more. It is not polled, because its events are "
        "off; set event.notification.enabled to true: "
        f"flask woo instances change {instance_id} FILE"
    )


@group.command("accept")
@click.argument("instance_id", type=ID)
@errors_as_messages
def accept(instance_id: int) -> None:
    """Accept missing objects, or another store.

    If a large part of a store is missing at once, polls hold back the deletions. If the store
    cannot be recognized, or has moved, nothing is recorded. This command accepts what the store
    shows now.
    """
    runtime = current_runtime()
    with runtime.database.write() as session:
        caller = access.owner(session, instance_id)
        accepted = lifecycle.accept(session, caller, instance_id, runtime.clock())
    if not accepted:
        raise click.ClickException(
            f"Nothing of instance {instance_id} is held back; "
            f"see flask woo instances show {instance_id}"
        )
    if accepted == ["*"]:
        click.echo("The next poll compares the store that answers with what is known.")
    else:
        click.echo(f"The next poll sends the deletions of: {', '.join(accepted)}.")


@group.command("token")
@click.argument("instance_id", type=ID)
@click.confirmation_option(prompt="Make a new token? Clients with the present one get 401.")
@as_json_option
@errors_as_messages
def token(instance_id: int, as_json: bool) -> None:
    """Make a new token of an instance, in place of the present one, and print it."""
    runtime = current_runtime()
    with runtime.database.read() as session:
        caller = access.owner(session, instance_id)
    made = provisioning.replace_token(runtime, caller, instance_id)
    if as_json:
        echo_json({"id": instance_id, "token": made})
        return
    click.echo(f"id    {instance_id}\ntoken {made}")


@group.command("delete")
@click.argument("instance_id", type=ID)
@click.confirmation_option(prompt="Delete the instance with its events?")
@errors_as_messages
def delete(instance_id: int) -> None:
    """Delete an instance, its events and its webhooks at the store."""
    runtime = current_runtime()
    with runtime.database.read() as session:
        caller = access.owner(session, instance_id)
    provisioning.remove(runtime, caller, instance_id)
    click.echo(f"Instance {instance_id} was deleted.")


@group.command("backfill")
@click.argument("instance_id", type=ID)
@click.option(
    "--resource",
    "resources",
    metavar="NAME",
    multiple=True,
    help="Only send objects of this resource. Can be repeated.",
)
@click.option(
    "--since",
    metavar="DATE",
    callback=as_date,
    help="Only send objects modified at or after this date, UTC.",
)
@click.option(
    "--until",
    metavar="DATE",
    callback=as_date,
    help="Only send objects modified before this date, UTC.",
)
@click.option(
    "--to",
    "subscription_id",
    type=ID,
    metavar="SUBSCRIPTION_ID",
    help="Send CREATED only to this subscription, by default to all.",
)
@errors_as_messages
def backfill(
    instance_id: int,
    resources: tuple[str, ...],
    since: dt.datetime | None,
    until: dt.datetime | None,
    subscription_id: int | None,
) -> None:
    """Send CREATED for what is in the store and DELETED for what is gone, with the next poll."""
    runtime = current_runtime()
    with runtime.database.write() as session:
        caller = access.owner(session, instance_id)
        chosen = lifecycle.backfill(
            session,
            caller,
            instance_id,
            runtime.clock(),
            resources=resources,
            since=since,
            until=until,
            subscription_id=subscription_id,
        )
        instance = session.get_one(Instance, instance_id)
        waits = instance.disabled or not instance.events_enabled
    dates = "" if since is None and until is None else " of these dates"
    to = "" if subscription_id is None else f" to subscription {subscription_id}"
    all_ = "" if subscription_id is None else " to all"
    click.echo(
        f"The next poll of instance {instance_id} sends CREATED for every object{dates}{to}, and "
        f"DELETED for those that are gone{all_}: {', '.join(chosen)}."
    )
    if waits:
        click.echo("It is not polled now: it is paused, or its events are off.", err=True)


def _switch(instance_id: int, *, enabled: bool) -> bool:
    """Resume or pause an instance, and return whether its events are on."""
    runtime = current_runtime()
    with runtime.database.write() as session:
        caller = access.owner(session, instance_id)
        lifecycle.set_enabled(session, caller, instance_id, enabled, runtime.clock())
        return session.get_one(Instance, instance_id).events_enabled


def _user(session: sa.orm.Session, name: str, organization: str) -> Caller:
    row = session.execute(
        sa.select(User.id, User.organization_id)
        .join(Organization, Organization.id == User.organization_id)
        .where(User.name == name, Organization.name == organization)
    ).one_or_none()
    if row is None:
        raise click.ClickException(
            f"{organization} has no user {name!r}; add one with flask woo users add"
        )
    return Caller(organization_id=row.organization_id, user_id=row.id)


def _shown(view: views.InstanceView) -> dict[str, t.Any]:
    from ..api.responses import InstanceResponse, dump

    shown = dump(InstanceResponse.of_view(view))
    return {key: shown[key] for key in shown if key != "element"}
