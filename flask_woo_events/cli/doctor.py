"""``flask woo doctor``: report problems, each with its fix."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import sys

import click
import sqlalchemy as sa
from flask.cli import with_appcontext

from ..db import upgrade
from ..db.epochs import EpochState
from ..db.models import Instance
from ..instances import access, restored, views
from ..instances.views import InstanceView
from ..runtime import Runtime, current_runtime
from ..sync.webhooks import reachability
from ..values.wording import counted
from ..worker import consistency
from ..worker.consistency import Contradiction
from . import doctor_checks
from .doctor_checks import Finding, JournalReport
from .output import as_json_option, echo_json, errors_as_messages, plain


@click.command("doctor")
@click.option("--deep", is_flag=True, help="Also search the tables for contradictory rows.")
@click.option("--repair", is_flag=True, help="Also repair contradictory rows.")
@as_json_option
@with_appcontext
@errors_as_messages
def doctor(deep: bool, repair: bool, as_json: bool) -> None:
    """Check the installation, stores, webhooks and callbacks.

    Each problem is printed with the command or the change that fixes it. The command calls each
    store with its keys and connects to each callback; it sends no event.

    Exit status 1 if there is a problem.
    """
    runtime = current_runtime()
    version = upgrade.check(runtime.database.engine)
    silent = {
        base
        for base in reachability.bases(runtime)
        if reachability.seconds_up(runtime, base) is None
    }
    repaired = (
        consistency.contradictions(runtime.database, runtime.clock, repair=True) if repair else []
    )
    epoch, sign = restored.present(runtime)
    general = [*doctor_checks.of_installation(runtime), *doctor_checks.of_restore(sign)]
    if deep or repair:
        general += doctor_checks.of_tables(runtime)
    _echo_installation(version, epoch, general, repaired, as_json)
    problems = bool(general)
    for number in _instances(runtime):
        with runtime.database.read() as session:
            view = views.get(session, access.owner(session, number), number, runtime.clock())
        findings = list(doctor_checks.of_instance(runtime, view, silent))
        journal = doctor_checks.journal_of(runtime, view)
        if journal.fix:
            findings.append(Finding(f"the journal cannot be read: {journal.why}", journal.fix))
        problems = problems or bool(findings)
        (_echo_json if as_json else _echo)(view, findings, journal)
    if problems:
        sys.exit(1)


def _instances(runtime: Runtime) -> cabc.Sequence[int]:
    with runtime.database.read() as session:
        return session.scalars(sa.select(Instance.id).order_by(Instance.id)).all()


def _echo_installation(
    version: str,
    epoch: EpochState | None,
    findings: cabc.Sequence[Finding],
    repaired: cabc.Sequence[Contradiction],
    as_json: bool,
) -> None:
    if as_json:
        echo_json(
            {
                "tables": version,
                "epoch": epoch and {"number": epoch.number, "since": epoch.began_at.isoformat()},
                "findings": [dataclasses.asdict(one) for one in findings],
                "repaired": [dataclasses.asdict(one) for one in repaired],
            }
        )
        return
    for one in repaired:
        click.echo(f"repaired {one}")
    life = "no epoch yet" if epoch is None else f"epoch {epoch.number}"
    click.echo(f"installation, tables at version {version}, {life}: {_state(findings)}")
    _echo_findings(findings)


def _state(findings: cabc.Sequence[Finding]) -> str:
    return counted(len(findings), "problem") if findings else "ok"


def _echo_findings(findings: cabc.Sequence[Finding]) -> None:
    for one in findings:
        click.echo(plain(f"  {one.what}"))
        if one.costs:
            click.echo(f"    costs: {one.costs}")
        click.echo(f"    fix: {one.fix}")


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
    click.echo(f"instance {view.id} {view.name}: {_state(findings)}")
    _echo_findings(findings)
    click.echo(f"  journal: {_journal_text(journal)}")
    for resource, (counts, since) in view.tally.items():
        changes = counts.told + counts.missed + counts.late
        click.echo(
            f"  {resource}: {counted(changes, 'change')} since {since:%Y-%m-%d}: webhooks reported "
            f"{counts.told}, {counts.late} late, and missed {counts.missed}; "
            f"{counted(counts.repeated, 'duplicate')}, {counts.wrong} without a change"
        )


def _journal_text(journal: JournalReport) -> str:
    if journal.version is None:
        return f"none: {journal.why}"
    text = f"plugin {journal.version}, newest row {journal.head}"
    if journal.read is not None:
        text += f", read up to {journal.read}"
    if journal.covered:
        text += f" for {', '.join(journal.covered)}"
    if journal.polled:
        text += f"; also polled: {', '.join(journal.polled)}"
    return text + (f" ({journal.why})" if journal.why else "")
