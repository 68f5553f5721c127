"""``flask woo prove``: the loss suite."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import sys
import typing as t

import click
from flask.cli import with_appcontext

from ..simulation.loss_suite import harness, live_store, suite
from ..simulation.loss_suite.judge import Verdict
from ..values.wording import counted
from .output import as_json_option, echo_json, errors_as_messages


@click.command("prove")
@click.option("--store", metavar="URL", help="Use this real test store instead of the simulator.")
@click.option(
    "--key", metavar="KEY", help="Consumer key of the test store, with Read/Write permission."
)
@click.option("--secret", metavar="SECRET", help="Consumer secret of the test store.")
@click.option(
    "--version",
    "versions",
    multiple=True,
    type=click.Choice(suite.VERSIONS),
    help="WooCommerce version to simulate; all by default. Can be repeated.",
)
@click.option(
    "--scenario",
    "names",
    metavar="NAME",
    multiple=True,
    help="Run only this scenario. Can be repeated.",
)
@click.option("--journal", is_flag=True, help="Install the companion plugin in the stores.")
@click.option(
    "--database", metavar="URL", help="URL of an empty database to use instead of a temporary file."
)
@click.option("--list", "only_list", is_flag=True, help="List the scenarios and exit.")
@as_json_option
@with_appcontext
@errors_as_messages
def prove(
    store: str | None,
    key: str | None,
    secret: str | None,
    versions: tuple[str, ...],
    names: tuple[str, ...],
    journal: bool,
    database: str | None,
    only_list: bool,
    as_json: bool,
) -> None:
    """Run the loss suite: scenarios that could lose events.

    The command counts lost, false and repeated events. The exit status is 1
    unless all three are zero in every scenario.
    """
    chosen = suite.scenarios(names)
    if only_list:
        for scenario in chosen:
            click.echo(f"{scenario.name}: {scenario.description}")
        return
    summary = _Summary(as_json)
    with harness.database(database) as opened:
        if store is not None:
            if not key or not secret:
                raise click.UsageError("--store needs --key and --secret")
            for step in live_store.run(opened, store, key, secret):
                summary.add(step.name, "real", step.verdict, None, step.seconds)
                if step.refused and not as_json:
                    click.echo(f"        {step.refused}")
        else:
            for result in suite.run(chosen, opened, versions or suite.VERSIONS, journal=journal):
                error = result.error
                if result.badly_signed:
                    error = f"{result.badly_signed} notifications had a wrong signature"
                elif result.verdict.changes < result.scenario.changes:
                    error = f"fewer than {result.scenario.changes} changes took place"
                name = result.scenario.name
                summary.add(name, result.version, result.verdict, error, result.seconds)
    summary.end()
    if not summary.clean:
        sys.exit(1)


class _Summary:
    """Prints each result and the sums."""

    def __init__(self, as_json: bool) -> None:
        self.clean = True
        self._as_json = as_json
        self._total: dict[str, float] = dict.fromkeys(
            ("scenarios", "changes", "arrived", "lost", "false", "duplicate", "errors"), 0
        )

    def add(
        self, name: str, version: str, verdict: Verdict, error: str | None, seconds: float
    ) -> None:
        total = self._total
        total["scenarios"] += 1
        total["errors"] += error is not None
        total["changes"] += verdict.changes
        total["arrived"] += verdict.arrived
        for kind in ("lost", "false", "duplicate"):
            total[kind] += len(getattr(verdict, kind))
        self.clean = self.clean and verdict.clean and error is None
        if self._as_json:
            shown: dict[str, t.Any] = dataclasses.asdict(verdict)
            about = {"scenario": name, "version": version}
            echo_json({**about, **shown, "error": error, "seconds": seconds})
            return
        good = verdict.clean and error is None
        counts = f"{len(verdict.lost)}/{len(verdict.false)}/{len(verdict.duplicate)}"
        click.echo(
            f"{version:5} {name:48.48} {verdict.changes:4} changes {verdict.arrived:4} events  "
            f"lost/false/repeated {counts:7} {'ok' if good else 'FAILED'}"
        )
        for line in _reasons(verdict, error):
            click.echo(f"        {line}")

    def end(self) -> None:
        if self._as_json:
            echo_json({"summary": self._total, "clean": self.clean})
            return
        total = {name: int(number) for name, number in self._total.items()}
        click.echo(
            f"\n{counted(total['scenarios'], 'scenario')}, {counted(total['changes'], 'change')}, "
            f"{counted(total['arrived'], 'event')}: {total['lost']} lost, {total['false']} false, "
            f"{total['duplicate']} repeated"
        )


def _reasons(verdict: Verdict, error: str | None) -> cabc.Iterator[str]:
    if error is not None:
        yield error
    yield from (f"lost: {key}" for key in verdict.lost[:5])
    yield from (f"false: {event}" for event in verdict.false[:5])
    yield from (f"repeated: {event}" for event in verdict.duplicate[:5])
