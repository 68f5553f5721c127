"""``flask woo poll`` and ``flask woo deliver``: the worker."""

from __future__ import annotations

import dataclasses
import logging
import sys

import click
from flask.cli import with_appcontext
from sqlalchemy import orm

from ..db import upgrade
from ..db.states import PollerState
from ..errors import ConflictError, NotFoundError
from ..instances import access, lifecycle, pollers
from ..runtime import current_runtime
from ..sync.instance_poll import due_instances
from ..sync.report import PollReport
from ..values.wording import counted
from ..worker.worker import Worker, stopping_on_signals
from .output import ID, as_json_option, echo_json, errors_as_messages
from .progress import BaselineBar


@click.command("poll")
@click.option("--once", is_flag=True, help="Poll all instances now, deliver what is due, and exit.")
@click.option("--instance", type=ID, metavar="ID", help="Poll only this instance (with --once).")
@click.option("--resource", metavar="NAME", help="Poll only this resource (with --once).")
@click.option(
    "--force",
    is_flag=True,
    help="Poll also if the instance's events are off (with --once --instance).",
)
@click.option("--no-deliver", is_flag=True, help="Leave deliveries to another process.")
@as_json_option
@with_appcontext
@errors_as_messages
def poll(
    once: bool,
    instance: int | None,
    resource: str | None,
    force: bool,
    no_deliver: bool,
    as_json: bool,
) -> None:
    """Poll stores and deliver notifications: the worker.

    It runs until Ctrl-C or SIGTERM. With --once, exit status 1 if a resource failed, or if the
    instance is not polled.
    """
    if not once and (instance is not None or resource is not None):
        raise click.UsageError("--instance and --resource need --once")
    if force and instance is None:
        raise click.UsageError("--force polls one instance: add --once --instance ID")
    runtime = current_runtime()
    upgrade.check(runtime.database.engine)
    if instance is not None:
        with runtime.database.read() as session:
            _require_polled(session, instance, resource, force)
    bar = BaselineBar(shown=sys.stderr.isatty() and not as_json)
    worker = Worker(runtime, progress=bar.show, deliver=not no_deliver)
    with stopping_on_signals(worker), bar:
        if not once:
            _log_to_terminal()
            worker.run()
            return
        chosen = due_instances(runtime, all_of_them=True) if instance is None else [instance]
        reports = worker.poll_once(chosen, only=resource, also_off=force)
    for report in reports:
        _echo(report, as_json)
    if not no_deliver and not worker.stopped:
        with stopping_on_signals(worker):
            delivered = worker.deliver_once()
        if not as_json:
            click.echo(f"{delivered.delivered} delivered, {delivered.failed} failed")
    if any(report.error for report in reports):
        sys.exit(1)


@click.command("deliver")
@click.option("--once", is_flag=True, help="Deliver what is due and exit.")
@as_json_option
@with_appcontext
@errors_as_messages
def deliver(once: bool, as_json: bool) -> None:
    """Deliver notifications without polling.

    It runs until Ctrl-C or SIGTERM. With --once, exit status 1 if a delivery failed.
    """
    runtime = current_runtime()
    upgrade.check(runtime.database.engine)
    worker = Worker(runtime, poll=False)
    with stopping_on_signals(worker):
        if not once:
            _log_to_terminal()
            worker.run()
            return
        report = worker.deliver_once()
    if as_json:
        echo_json(dataclasses.asdict(report))
    else:
        click.echo(f"{report.delivered} delivered, {report.failed} failed")
    if report.failed:
        sys.exit(1)


def _require_polled(
    session: orm.Session, instance_id: int, resource: str | None, force: bool
) -> None:
    """Refuse an instance that the worker does not poll.

    :param resource: the one resource to poll; ``None``: all.
    :param force: accept an instance whose events are off.
    :raises NotFoundError: there is no such instance, or it has no such resource.
    :raises ConflictError: it is paused, its events are off, or its resources are disabled.
    """
    caller = access.owner(session, instance_id)
    instance = lifecycle.find(session, caller, instance_id)
    resume = f"use: flask woo instances resume {instance_id}"
    if instance.disabled:
        raise _not_polled(instance_id, "it is paused", resume)
    if not (instance.events_enabled or force):
        raise _not_polled(
            instance_id,
            "its events are off",
            f"set event.notification.enabled to true: flask woo instances change {instance_id} "
            "FILE. To poll it once all the same, add --force",
        )
    selected = [one for one in pollers.of_instance(session, instance_id) if one.selected]
    chosen = [one for one in selected if resource in (None, one.resource)]
    if resource is not None and not chosen:
        names = ", ".join(one.resource for one in selected)
        raise NotFoundError(f"instance {instance_id} polls no {resource!r}, but: {names}")
    if chosen and all(one.state == PollerState.DISABLED for one in chosen):
        names = ", ".join(one.resource for one in chosen)
        raise _not_polled(instance_id, f"{names} failed too often", resume)


def _not_polled(instance_id: int, reason: str, fix: str) -> ConflictError:
    return ConflictError(f"instance {instance_id} is not polled, because {reason}; {fix}")


def _echo(report: PollReport, as_json: bool) -> None:
    if as_json:
        echo_json(dataclasses.asdict(report))
        return
    outcome = report.error or counted(report.events, "event")
    click.echo(
        f"instance {report.instance} {report.resource}: {outcome} "
        f"({counted(report.observed, 'object')} read, {counted(report.requests, 'request')}, "
        f"{report.seconds:.2f} s)"
    )


def _log_to_terminal() -> None:
    # Only if the host application has not configured logging.
    if not logging.getLogger().handlers:
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
