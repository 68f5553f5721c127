"""The recorded webhooks of five real stores, taken in with their real signatures."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import tempfile
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.db.models import StoredEvent
from flask_woo_events.instances import webhook_urls
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.simulation.loss_suite.ground_truth import KINDS, truth
from flask_woo_events.worker.worker import Worker
from tests.contract import replay
from tests.integration.host_app import PREFIX, Api, add_account, dispose, make_app, runtime_of

SECRET = "s3cr3t-key-0123456789"
#: How the server of the recording was reached, which ours is not.
HOP = ("host", "connection", "content-length")
CASES = [(file, step) for file in replay.FILES for step in replay.steps_of(file)]

Told = list[tuple[str, str, str]]


class Outcome(t.NamedTuple):
    """What one step of a recording came to."""

    #: What is otherwise in the store than before it.
    true: Told
    #: Told on account of its webhooks.
    by_hook: Told
    #: Told by the reconciliation.
    by_poll: Told
    #: Answers of the intake.
    answers: set[int]


class Receiver:
    """An application that takes in what one recorded store sent."""

    def __init__(self, file: str, folder: pathlib.Path, stack: contextlib.ExitStack) -> None:
        self.replay = replay.Replay(file)
        self.url = stack.enter_context(self.replay.store.serve())
        app = make_app(folder)
        stack.callback(dispose, app)
        self._app, self._runtime = app, runtime_of(app)
        self._runtime.clock = self.replay.clock.now
        upgrade.upgrade(self._runtime.database.engine)
        self._read = 0
        self._instance_id = self._connect()
        # What an administrator would have copied into WooCommerce.
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(
            webhook_urls, "secrets", lambda _keys, _hook: (SECRET,)
        )

    def _connect(self) -> int:
        api = Api(self._app.test_client(), add_account(self._app, "u", "o").headers, self.url)
        created = api.create(
            **{
                "oauth.api.key": "ck_replay",
                "oauth.api.secret": "cs_replay",
                "event.poller.configuration": {
                    name: {"url": f"/hubs/ecommerce/{name}"} for name in KINDS
                },
            }
        )
        return int(created["id"])

    def take(self, deliveries: list[replay.Record]) -> set[int]:
        """Deliver as it was recorded, byte by byte."""
        hook = Hook(self._instance_id, 1)
        path = (
            PREFIX
            + webhook_urls.PATH
            + "/"
            + webhook_urls.sign(self._runtime.settings.encryption_keys, hook)
        )
        return {
            self._app.test_client()
            .post(
                path,
                data=one["body"].encode(),
                headers=[
                    (name, value) for name, value in one["headers"] if name.lower() not in HOP
                ],
            )
            .status_code
            for one in deliveries
        }

    def settle(self) -> Told:
        """Look after what came, and tell."""
        return self._told(Worker(self._runtime).settle_once())

    def poll(self) -> Told:
        """Reconcile."""
        return self._told(Worker(self._runtime).poll_once([self._instance_id]))

    def _told(self, reports: t.Any) -> Told:
        assert [one.error for one in reports if one.error] == []
        query = sa.select(
            StoredEvent.id, StoredEvent.resource, StoredEvent.object_id, StoredEvent.event_type
        )
        with self._runtime.database.read() as session:
            rows = session.execute(
                query.where(StoredEvent.id > self._read).order_by(StoredEvent.id)
            ).all()
        self._read = max([self._read, *(row.id for row in rows)])
        return sorted((row.resource, row.object_id, row.event_type) for row in rows)


def _changes(before: dict[t.Any, bytes], after: dict[t.Any, bytes]) -> Told:
    kinds = {
        thing: "CREATED" if thing not in before else "DELETED" if thing not in after else "UPDATED"
        for thing in before.keys() | after.keys()
        if before.get(thing) != after.get(thing)
    }
    return sorted((*thing, kind) for thing, kind in kinds.items())


@functools.cache
def outcomes(file: str) -> dict[str, Outcome]:
    """What each step of a recording came to; every webhook comes twice, the second time late."""
    found: dict[str, Outcome] = {}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        receiver = Receiver(file, pathlib.Path(folder), stack)
        store, late = receiver.replay.store, list[replay.Record]()
        receiver.poll()
        before = truth(store)
        for step, deliveries in receiver.replay.steps():
            answers = receiver.take([*late, *deliveries])
            by_hook = receiver.settle()
            after = truth(store)
            found[step] = Outcome(_changes(before, after), by_hook, receiver.poll(), answers)
            before, late = after, deliveries
    return found


@pytest.mark.parametrize(("file", "step"), CASES)
def test_what_is_told_is_what_happened(file: str, step: str) -> None:
    """Webhooks and reconciliation together tell each change of a step once, and no other."""
    outcome = outcomes(file)[step]
    assert sorted(outcome.by_hook + outcome.by_poll) == outcome.true
    assert outcome.answers <= {200}


@pytest.mark.parametrize("file", replay.FILES)
def test_webhooks_tell_most_at_once(file: str) -> None:
    """The reconciliation is left with what no webhook of a recording tells."""
    found = outcomes(file).values()
    told, true = sum(len(one.by_hook) for one in found), sum(len(one.true) for one in found)
    assert told / true > 0.8
