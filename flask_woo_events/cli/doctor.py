"""``flask woo doctor``: what is wrong, and what would put it right."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import sys

import click
import sqlalchemy as sa
from flask.cli import with_appcontext

from ..db import upgrade
from ..db.models import Instance
from ..instances import access, views
from ..instances.views import InstanceView
from ..runtime import Runtime, current_runtime
from ..sync.webhooks import reachability
from . import doctor_checks
from .doctor_checks import Finding, JournalReport
from .output import as_json_option, echo_json, errors_as_messages


@click.command("doctor")
@as_json_option
@with_appcontext
@errors_as_messages
def doctor(as_json: bool) -> None:
    """Say what is wrong with the installation, its stores, webhooks and callbacks.

    Each store is asked with its keys, each callback connected to; no event is sent.

    Exit status 1 if anything is wrong.
    """
    runtime = current_runtime()
    version = upgrade.check(runtime.database.engine)
    silent = {
        base
        for base in reachability.bases(runtime)
        if reachability.seconds_up(runtime, base) is None
    }
    general = list(doctor_checks.of_installation(runtime))
    _echo_installation(version, general, as_json)
    wrong = bool(general)
    for number in _instances(runtime):
        with runtime.database.read() as session:
            view = views.get(session, access.owner(session, number), number)
        findings = list(doctor_checks.of_instance(runtime, view, silent))
        journal = doctor_checks.journal_of(runtime, view)
        if journal.fix:
            findings.append(Finding(f"the journal is not read: {journal.why}", journal.fix))
        wrong = wrong or bool(findings)
        (_echo_json if as_json else _echo)(view, findings, journal)
    if wrong:
        sys.exit(1)


def _instances(runtime: Runtime) -> cabc.Sequence[int]:
    with runtime.database.read() as session:
        return session.scalars(sa.select(Instance.id).order_by(Instance.id)).all()


def _echo_installation(version: str, findings: cabc.Sequence[Finding], as_json: bool) -> None:
    if as_json:
        echo_json({"tables": version, "findings": [dataclasses.asdict(one) for one in findings]})
        return
    state = "trouble" if findings else "well"
    click.echo(f"installation, tables at version {version}: {state}")
    _echo_findings(findings)


def _echo_findings(findings: cabc.Sequence[Finding]) -> None:
    for one in findings:
        click.echo(f"  {one.what}\n    -> {one.fix}")


def _echo_json(
    view: InstanceView, findings: cabc.Sequence[Finding], journal: JournalReport
) -> None:
    echo_json(
        {
            "instance": view.id,
            "name": view.name,
            "findings": [dataclasses.asdict(one) for one in findings],
            "journal": dataclasses.asdict(journal),
            "webhooks": [
                {"resource": resource, **dataclasses.asdict(counts), "since": since.isoformat()}
                for resource, (counts, since) in view.tally.items()
            ],
        }
    )


def _echo(view: InstanceView, findings: cabc.Sequence[Finding], journal: JournalReport) -> None:
    click.echo(f"instance {view.id} {view.name}: {'trouble' if findings else 'well'}")
    _echo_findings(findings)
    click.echo(f"  journal: {_words(journal)}")
    for resource, (counts, since) in view.tally.items():
        changes = counts.told + counts.missed + counts.late
        click.echo(
            f"  {resource}: of {changes} changes since {since:%Y-%m-%d} webhooks told "
            f"{counts.told}, {counts.late} late, missed {counts.missed}; "
            f"{counts.repeated} came twice, {counts.wrong} without a change"
        )


def _words(journal: JournalReport) -> str:
    if journal.version is None:
        return f"none: {journal.why}"
    words = f"plugin {journal.version}, newest row {journal.head}"
    if journal.read is not None:
        words += f", read up to {journal.read}"
    if journal.covered:
        words += f" for {', '.join(journal.covered)}"
    if journal.polled:
        words += f"; polled besides: {', '.join(journal.polled)}"
    return words + (f" ({journal.why})" if journal.why else "")
