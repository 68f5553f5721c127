"""``flask woo subscriptions``: the receivers of an instance."""

from __future__ import annotations

import collections.abc as cabc
import sys
import typing as t

import click
from flask.cli import AppGroup
from sqlalchemy import orm

from ..delivery import sample
from ..errors import InputError
from ..instances import access, subscriptions
from ..instances.accounts import Caller
from ..instances.subscription_requests import SubscriptionRequest
from ..instances.subscriptions import SubscriptionView
from ..runtime import Runtime, current_runtime
from ..values.validation import validated
from ..values.wording import counted
from .output import ID, as_json_option, echo_json, echo_table, errors_as_messages

F = t.TypeVar("F", bound=cabc.Callable[..., t.Any])
group = AppGroup("subscriptions", help="List, add, change, test and remove receivers.")

#: Options with a value, their member of the request, metavar and help.
_SINGLE = (
    ("--callback-url", "callbackUrl", "URL", "URL to which notifications are sent."),
    (
        "--signature-key", "signatureKey", "KEY",
        "Key that signs the notifications; - reads it from standard input.",
    ),
    ("--username", "username", "NAME", "User name for Basic authentication at the receiver."),
    (
        "--password", "password", "TEXT",
        "Password for Basic authentication; - reads it from standard input.",
    ),
    ("--format", "format", "NAME", "cloud-elements, extended, thin or cloudevents."),
    (
        "--retry-schedule", "retrySchedule", "NAME|SECONDS,...",
        "standard or cloud-elements, or the waits between attempts in seconds: 60,600,3600.",
    ),
    ("--timeout", "timeoutSeconds", "SECONDS", "Longest time of one request."),
    ("--rate", "requestsPerSecond", "NUMBER", "Maximum number of requests per second."),
    ("--concurrent", "concurrentRequests", "NUMBER", "Maximum number of requests at a time."),
    ("--description", "description", "TEXT", "A text of yours."),
)  # fmt: skip
#: Options that can be repeated. The first ones choose events of the store.
_CHOICE = (
    ("--resource", "resources", "NAME", "Only send events of this resource."),
    ("--type", "eventTypes", "NAME", "Only send events of this type: CREATED, UPDATED, DELETED."),
    ("--field", "fields", "PATH", "Only send an UPDATED if this field has changed."),
)
_HEADER = ("--header", "headers", "'NAME: VALUE'", "Additional header of each request.")
_REPEATED = (*_CHOICE, _HEADER)
_SECRETS = ("signatureKey", "password")
#: Without a value: a subscription is made as one of these, and stays one.
_operational = click.option(
    "--operational", is_flag=True, default=None, help="Send operational events only."
)
_feed = click.option(
    "--feed", is_flag=True, default=None, help="Send nothing: it is only read by its feed."
)
_checkpoint = click.option(
    "--checkpoint/--no-checkpoint",
    default=None,
    help="Send an operational subscription a checkpoint once a day.",
)


def _members(command: F) -> F:
    """Add the options of a request."""
    return _sending(_repeated(command, _CHOICE))


def _sending(command: F) -> F:
    """Add the options of how to send, without those that choose events."""
    command = _repeated(command, (_HEADER,))
    for option, name, metavar, text in reversed(_SINGLE):
        command = click.option(option, name, metavar=metavar, help=text)(command)
    return command


def _repeated(command: F, options: cabc.Sequence[tuple[str, str, str, str]]) -> F:
    for option, name, metavar, text in reversed(options):
        command = click.option(
            option, name, metavar=metavar, multiple=True, help=f"{text} Can be repeated."
        )(command)
    return command


@group.command("list")
@click.argument("instance_id", type=ID)
@as_json_option
@errors_as_messages
def list_subscriptions(instance_id: int, as_json: bool) -> None:
    """List the subscriptions of an instance, the one of its configuration first."""
    runtime = current_runtime()
    with runtime.database.read() as session:
        caller = access.owner(session, instance_id)
        found = subscriptions.of_instance(session, runtime.cipher_or_none, caller, instance_id)
    if as_json:
        for one in found:
            _echo_json(one)
        return
    echo_table(
        ("id", "callback URL", "state", "waiting", "format", "events"),
        [
            (
                one.id,
                one.url or "-",
                _state(one),
                one.waiting,
                one.options.format or "of the instance",
                _chosen(one),
            )
            for one in found
        ],
    )


@group.command("add")
@click.argument("instance_id", type=ID)
@_members
@_feed
@_operational
@_checkpoint
@as_json_option
@errors_as_messages
def add(instance_id: int, as_json: bool, **members: t.Any) -> None:
    """Add a subscription, which gets what happens from now on."""
    runtime, request = current_runtime(), _request(members)
    with runtime.database.write() as session:
        caller, now = access.owner(session, instance_id), runtime.clock()
        made = subscriptions.create(session, runtime.cipher, caller, instance_id, request, now)
        view = _view(session, runtime, instance_id, made)
    if as_json:
        _echo_json(view)
        return
    click.echo(f"Subscription {made} was added.")
    if view.is_feed:
        click.echo(f"To read it: GET /instances/{instance_id}/subscriptions/{made}/feed")
        return
    click.echo(f"To test it: flask woo subscriptions test {instance_id} {made}")


@group.command("add-operational")
@click.argument("organization")
@_sending
@_checkpoint
@errors_as_messages
def add_operational(organization: str, **members: t.Any) -> None:
    """Add an operational subscription to each instance of an organization.

    Instances that have one with this callback URL are left as they are, so the command can be run
    again when an instance was added.
    """
    runtime, request = current_runtime(), _request({**members, "operational": True})
    with runtime.database.write() as session:
        owned = access.of_organization(session, organization)
        if not owned:
            raise InputError(
                f"no instance belongs to an organization {organization!r}; flask woo users list "
                "shows the organizations"
            )
        made = [
            instance_id
            for instance_id, caller in owned.items()
            if _add_missing(session, runtime, caller, instance_id, request)
        ]
    click.echo(
        f"{counted(len(made), 'operational subscription')} added to "
        f"{counted(len(owned), 'instance')} of {organization}."
    )


def _add_missing(
    session: orm.Session,
    runtime: Runtime,
    caller: Caller,
    instance_id: int,
    request: SubscriptionRequest,
) -> bool:
    cipher = runtime.cipher
    known = subscriptions.of_instance(session, cipher, caller, instance_id)
    if any(one.is_operational and one.url == request.callback_url for one in known):
        return False
    subscriptions.create(session, cipher, caller, instance_id, request, runtime.clock())
    return True


@group.command("change")
@click.argument("instance_id", type=ID)
@click.argument("subscription_id", type=ID)
@_members
@_checkpoint
@errors_as_messages
def change(instance_id: int, subscription_id: int, **members: t.Any) -> None:
    """Change a subscription, also for what is not sent yet.

    What has no option stays as it is. An empty value takes a choice back: --format ''. A repeated
    option replaces all of its values.
    """
    request = _request(members)
    if not request.model_fields_set:
        raise click.UsageError("name what to change, for example --format thin")
    view = _changed(instance_id, subscription_id, request)
    click.echo(f"Subscription {subscription_id} was changed.")
    _echo_waiting(view)


@group.command("pause")
@click.argument("instance_id", type=ID)
@click.argument("subscription_id", type=ID)
@errors_as_messages
def pause(instance_id: int, subscription_id: int) -> None:
    """Send nothing to a subscription until it is resumed; its notifications wait."""
    _changed(instance_id, subscription_id, _switched(True))
    click.echo(f"Subscription {subscription_id} is paused.")


@group.command("resume")
@click.argument("instance_id", type=ID)
@click.argument("subscription_id", type=ID)
@errors_as_messages
def resume(instance_id: int, subscription_id: int) -> None:
    """Send to a paused subscription again, first what has waited."""
    view = _changed(instance_id, subscription_id, _switched(False))
    click.echo(f"Subscription {subscription_id} is sent to again.")
    _echo_waiting(view)


@group.command("test")
@click.argument("instance_id", type=ID)
@click.argument("subscription_id", type=ID)
@errors_as_messages
def test(instance_id: int, subscription_id: int) -> None:
    """Send a test notification, and print what the receiver answered.

    It is signed, and has the subscription's headers and format. Exit status 1 if the receiver does
    not accept it.
    """
    runtime = current_runtime()
    with runtime.database.read() as session:
        caller = access.owner(session, instance_id)
    outcome = sample.send_to_subscription(runtime, caller, instance_id, subscription_id)
    said = f"{outcome.reason} {outcome.answer}".strip()
    if not outcome.delivered:
        raise click.ClickException(f"the receiver did not accept the test notification: {said}")
    click.echo(f"The receiver accepted the test notification: {said}")


@group.command("remove")
@click.argument("instance_id", type=ID)
@click.argument("subscription_id", type=ID)
@click.confirmation_option(prompt="Remove the subscription, with what it was not sent yet?")
@errors_as_messages
def remove(instance_id: int, subscription_id: int) -> None:
    """Remove a subscription, with what it was not sent yet."""
    with current_runtime().database.write() as session:
        caller = access.owner(session, instance_id)
        subscriptions.delete(session, caller, instance_id, subscription_id)
    click.echo(f"Subscription {subscription_id} was removed.")


def _request(chosen: cabc.Mapping[str, t.Any]) -> SubscriptionRequest:
    """Build the request that the options describe.

    :raises InputError: a value is wrong; the message names the member of the request.
    """
    members: dict[str, t.Any] = {}
    for _option, name, _metavar, _text in _SINGLE:
        if (value := chosen[name]) is not None:
            members[name] = value or None
    for name in _SECRETS:
        if members.get(name) == "-":
            members[name] = sys.stdin.readline().rstrip("\r\n") or None
    for _option, name, _metavar, _text in _REPEATED:
        if values := chosen.get(name):
            members[name] = [one for one in values if one]
    if "headers" in members:
        members["headers"] = dict(_header(one) for one in members["headers"])
    for name in ("feed", "operational", "checkpoint"):
        if chosen.get(name) is not None:
            members[name] = chosen[name]
    schedule = members.get("retrySchedule")
    if schedule and schedule[0].isdigit():
        members["retrySchedule"] = _waits(schedule)
    return validated(SubscriptionRequest, members)


def _switched(paused: bool) -> SubscriptionRequest:
    return SubscriptionRequest.model_validate({"paused": paused})


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise InputError("headers: --header 'NAME: VALUE' is expected")
    return name.strip(), value.strip()


def _waits(text: str) -> list[int]:
    try:
        return [int(one) for one in text.split(",")]
    except ValueError:
        raise InputError("retrySchedule: write seconds between commas, such as 60,600") from None


def _changed(
    instance_id: int, subscription_id: int, request: SubscriptionRequest
) -> SubscriptionView:
    runtime = current_runtime()
    with runtime.database.write() as session:
        caller, now = access.owner(session, instance_id), runtime.clock()
        subscriptions.change(
            session, runtime.cipher, caller, instance_id, subscription_id, request, now
        )
        return _view(session, runtime, instance_id, subscription_id)


def _view(
    session: orm.Session, runtime: Runtime, instance_id: int, subscription_id: int
) -> SubscriptionView:
    caller, cipher = access.owner(session, instance_id), runtime.cipher_or_none
    return subscriptions.get(session, cipher, caller, instance_id, subscription_id)


def _state(view: SubscriptionView) -> str:
    if view.is_feed:
        return "feed"
    if view.paused:
        return "paused"
    if not view.active:
        return "stopped"
    return "failing" if view.failures else "active"


def _chosen(view: SubscriptionView) -> str:
    chosen = view.options.choice
    if view.is_operational:
        return "operational, checkpoint" if view.options.checkpoint else "operational"
    parts = [",".join(sorted(one)) for one in (chosen.resources, chosen.types) if one]
    if chosen.fields:
        parts.append(f"fields {','.join(chosen.fields)}")
    return " ".join(parts) or "all"


def _echo_waiting(view: SubscriptionView) -> None:
    if view.waiting:
        click.echo(f"It applies to {counted(view.waiting, 'notification')} not sent yet, too.")


def _echo_json(view: SubscriptionView) -> None:
    from ..api.responses import dump
    from ..api.subscription_responses import InstanceSubscriptionResponse

    echo_json(dump(InstanceSubscriptionResponse.of_view(view)))
