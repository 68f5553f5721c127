"""A database that was restored from a backup: its receivers drop nothing as a repetition."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import pathlib

import pytest
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.delivery.payload import without_nulls
from flask_woo_events.simulation.callback_receiver import Received
from flask_woo_events.simulation.loss_suite.judge import ObjectKey, events_in
from flask_woo_events.sync.ledger.digest import digest_of
from tests.integration import backups
from tests.integration.host_app import dispose, make_app
from tests.integration.store_to_callback import StoreToCallback, open_env

#: Resources, each with its name in the store.
KINDS = {name: name for name in ("customers", "orders", "products")} | {"discounts": "coupons"}


def truth_of(env: StoreToCallback) -> dict[ObjectKey, bytes]:
    """Return what the store holds, as digests."""
    return {
        (resource, str(number)): digest_of(without_nulls(body))
        for resource, kind in KINDS.items()
        for number, body in env.store.truth(kind).items()
    }


class Deduplicating:
    """A receiver that drops what it has already, as documented, and keeps what remains.

    :param truth: what it knows in the beginning.
    """

    def __init__(self, truth: dict[ObjectKey, bytes]) -> None:
        self.known = dict(truth)
        self.versions: dict[ObjectKey, int] = {}
        self._ids: set[str] = set()
        self._numbers: set[str] = set()

    def take(self, received: cabc.Iterable[Received]) -> None:
        """Apply notifications in the order of their arrival."""
        for one in received:
            message, number = one.json["message"], one.json["id"]
            if message["eventId"] in self._ids or number in self._numbers:
                continue
            self._ids.add(message["eventId"])
            self._numbers.add(number)
            for event, (key, _kind, content) in zip(one.events, events_in(message), strict=True):
                if event["version"] <= self.versions.get(key, 0):
                    continue
                self.versions[key] = event["version"]
                if content is None:
                    self.known.pop(key, None)
                else:
                    self.known[key] = content


@dataclasses.dataclass
class Installation:
    """An application that is stopped, restored and started again."""

    env: StoreToCallback
    url: str
    folder: pathlib.Path
    receiver: Deduplicating

    def poll(self, times: int = 1) -> None:
        """Poll and deliver; the receiver takes what arrives."""
        for _ in range(times):
            self.env.arrivals()
            self.receiver.take(self.env.receiver.received)

    def back_up(self) -> None:
        """Make a backup while everything runs."""
        backups.back_up(self.url, self.folder / "backup")

    def restart(self) -> None:
        """Stop the application, and start it in another process's stead."""
        dispose(self.env.app)
        self.env.app = make_app(self.folder, **self.settings)

    def restore(self) -> None:
        """Restore the backup while the application is stopped, and start it again."""
        dispose(self.env.app)
        backups.restore(self.url, self.folder / "backup")
        self.restart()

    @property
    def settings(self) -> dict[str, object]:
        """The settings of the application."""
        kept = ("SQLALCHEMY_DATABASE_URI", "WOO_EVENTS_")
        return {name: value for name, value in self.env.app.config.items() if name.startswith(kept)}


@pytest.fixture
def installed(any_url: str, tmp_path: pathlib.Path) -> cabc.Iterator[Installation]:
    """Yield an installation on a database of each kind, with its baseline."""
    engine = sa.create_engine(any_url)
    upgrade.upgrade(engine)
    engine.dispose()
    with contextlib.ExitStack() as stack:
        env = open_env("9.4", tmp_path, stack, SQLALCHEMY_DATABASE_URI=any_url)
        yield (one := Installation(env, any_url, tmp_path, Deduplicating(truth_of(env))))
        dispose(one.env.app)


def _change(installed: Installation, *, again: int) -> None:
    """Change two objects, so that versions and ids are used."""
    acts, env = installed.env.store.acts, installed.env
    for number in range(again):
        acts.post_update(env.first("products"), f"Renamed {number}")
        acts.status(env.first("orders"), ("completed", "on-hold")[number % 2])
        installed.poll()


def test_receivers_have_what_the_store_has(installed: Installation) -> None:
    """What is sent after a restore is new to a receiver that drops known ids and versions."""
    env, acts = installed.env, installed.env.store.acts
    _change(installed, again=2)
    installed.back_up()
    _change(installed, again=3)
    acts.new_product("Since the backup")
    first_customer, coupon = env.first("customers"), env.first("coupons")
    acts.profile(first_customer, "Ann")
    installed.poll()
    sent = dict(installed.receiver.versions)
    assert installed.receiver.known == truth_of(env)

    installed.restore()
    # Another object takes its place among the ids, and known ones change once more.
    acts.post_update(env.first("products"), "After the restore")
    acts.status(env.first("orders"), "refunded")
    acts.profile(first_customer, "Bea")
    acts.delete_for_good("coupons", coupon)
    acts.new_product("After the restore, too")
    installed.poll(2)

    assert installed.receiver.known == truth_of(env)
    later = installed.receiver.versions
    assert all(later[key] >= version for key, version in sent.items())
