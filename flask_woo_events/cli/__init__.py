"""The commands of ``flask woo``: each parses, calls one function and prints."""

from __future__ import annotations

from flask.cli import AppGroup

from .db import group as db_group
from .deliveries import group as deliveries_group
from .demo import demo
from .doctor import doctor
from .events import group as events_group
from .instances import group as instances_group
from .keys import group as keys_group
from .poll import deliver, poll
from .prove import prove
from .simulate import simulate
from .users import group as users_group
from .webhooks import group as webhooks_group

cli = AppGroup("woo", help="Events of WooCommerce stores.")
for group in (
    db_group,
    users_group,
    keys_group,
    instances_group,
    webhooks_group,
    events_group,
    deliveries_group,
):
    cli.add_command(group)
for command in (poll, deliver, doctor, simulate, demo, prove):
    cli.add_command(command)
