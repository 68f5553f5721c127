"""``flask woo doctor``: what is wrong, and what would put it right."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import sys

import click
import sqlalchemy as sa
from flask.cli import with_appcontext
from sqlalchemy import orm

from .. import profiles, schema, views, watch
from ..models import UNSETTLED, Arrival, Delivery, DeliveryStatus, Instance, Notification
from ..runtime import current_runtime
from ..views import InstanceView
from .output import as_json_option, echo_json, failing_in_words


@dataclasses.dataclass(frozen=True)
class _Finding:
    """One thing that is wrong."""

    instance: int
    what: str
    #: What puts it right.
    fix: str


@click.command("doctor")
@as_json_option
@with_appcontext
@failing_in_words
def doctor(as_json: bool) -> None:
    """Say what is wrong with stores, webhooks and callbacks, and how well webhooks tell.

    Exit status 1 if anything is wrong.
    """
    runtime = current_runtime()
    schema.check(runtime.database.engine)
    wrong = False
    silent = {base for base in watch.bases(runtime) if watch.seconds_up(runtime, base) is None}
    with runtime.database.read() as session:
        for number in session.scalars(sa.select(Instance.id).order_by(Instance.id)).all():
            view = views.get(session, profiles.owner(session, number), number)
            findings = [*_findings(view), *_waiting(session, number)]
            base = watch.base_of(runtime.settings, session.get_one(Instance, number).hooks_base)
            if view.vendor_type == "webhook" and base in silent:
                findings.append(_unwatched(number, str(base)))
            wrong = wrong or bool(findings)
            (_echo_json if as_json else _echo)(view, findings)
    if wrong:
        sys.exit(1)


def _findings(view: InstanceView) -> cabc.Iterator[_Finding]:
    number = view.id
    for one in view.pollers:
        if one.state == "disabled":
            fix = f"flask woo instances resume {number}"
            yield _Finding(number, f"{one.resource}: {one.error}", fix)
        elif one.error:
            when = f"tried again at {one.retry_at:%Y-%m-%d %H:%M:%S}" if one.retry_at else "-"
            yield _Finding(number, f"{one.resource}: {one.error}", when)
    for hook in view.webhooks:
        if hook.get("status") != "active":
            what = f"webhook {hook.get('topic')}: {hook.get('error') or hook.get('status')}"
            yield _Finding(number, what, f"flask woo webhooks register {number}")
    if view.events_enabled and not view.callback_url:
        fix = "set event.notification.callback.url"
        yield _Finding(number, "nobody is told: there is no callback", fix)


def _unwatched(number: int, base: str) -> _Finding:
    return _Finding(
        number,
        f"{base} does not answer from here: short outages of the intake are not noticed",
        "let the machine of flask woo poll reach WOO_EVENTS_PUBLIC_URL, and the web server run",
    )


def _waiting(session: orm.Session, instance_id: int) -> cabc.Iterator[_Finding]:
    queued = session.scalars(
        sa.select(sa.func.count())
        .select_from(Delivery)
        .join(Notification, Notification.id == Delivery.notification_id)
        .where(
            Notification.instance_id == instance_id,
            Delivery.status.in_([one for one in UNSETTLED if one != DeliveryStatus.CREATED]),
        )
    ).one()
    if queued:
        yield _Finding(instance_id, f"{queued} notifications wait for the callback", "-")
    arrived = session.scalars(
        sa.select(sa.func.count()).select_from(Arrival).where(Arrival.instance_id == instance_id)
    ).one()
    if arrived > 1000:
        what = f"{arrived} webhooks were not looked after yet"
        yield _Finding(instance_id, what, "is flask woo poll running?")


def _echo_json(view: InstanceView, findings: cabc.Sequence[_Finding]) -> None:
    echo_json(
        {
            "instance": view.id,
            "name": view.name,
            "findings": [{"what": one.what, "fix": one.fix} for one in findings],
            "webhooks": [
                {"resource": resource, **dataclasses.asdict(counts), "since": since.isoformat()}
                for resource, (counts, since) in view.tally.items()
            ],
        }
    )


def _echo(view: InstanceView, findings: cabc.Sequence[_Finding]) -> None:
    click.echo(f"instance {view.id} {view.name}: {'trouble' if findings else 'well'}")
    for one in findings:
        click.echo(f"  {one.what}\n    -> {one.fix}")
    for resource, (counts, since) in view.tally.items():
        changes = counts.told + counts.missed + counts.late
        click.echo(
            f"  {resource}: of {changes} changes since {since:%Y-%m-%d} webhooks told "
            f"{counts.told}, {counts.late} late, missed {counts.missed}; "
            f"{counts.repeated} came twice, {counts.wrong} without a change"
        )
