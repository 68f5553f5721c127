"""The subscription of the callback URL of an instance's configuration, its first one."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import orm

from ..db.models import Instance, Subscription
from ..db.states import Channel
from ..events import delivery_states, operational, outbox
from . import stops


def synchronize(
    session: orm.Session, instance: Instance, callback_url: str, now: dt.datetime
) -> None:
    """Make the callback URL the current subscription; waiting deliveries move to it.

    What it gets and its limits stay as they are.
    """
    mine = Subscription.instance_id == instance.id
    webhook = Subscription.channel == Channel.WEBHOOK
    earlier = delivery_states.lock_subscriptions(session, mine, webhook)
    current = next((one for one in earlier if one.current), None)
    if current is not None and current.url == callback_url:
        return
    # Of a callback URL that was removed meanwhile, too.
    last = earlier[-1] if earlier else None
    if current is not None:
        if callback_url and not current.active:
            operational.record(session, instance.id, stops.resumed(current), now)
        current.current, current.next_due_at = False, None
    fresh = None
    if callback_url:
        fresh = Subscription(
            instance_id=instance.id,
            url=callback_url,
            active=True,
            current=True,
            options=last.options if last is not None else None,
            paused=last.paused if last is not None else False,
            created_at=now,
        )
        session.add(fresh)
        session.flush()
        outbox.wake(session, [fresh], now)
    delivery_states.move(session, [one.id for one in earlier], fresh, now)
