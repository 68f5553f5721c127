"""Reconciliation: a receiver that lost what it had accepted gets it again, and nobody else does.

The judge compares what the first receiver gets with what happened. The other one keeps the objects
that its notifications have, forgets some of them, and asks for what it lacks.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import typing as t

from ...instances.subscription_requests import SubscriptionRequest
from ...sync.ledger.digest import digest_of
from ...values.validation import validated
from ..callback_receiver import CallbackReceiver, Received
from .ground_truth import KINDS
from .harness import Environment
from .scenario import scenario
from .subscription_scenarios import _plain, some_changes

Body = cabc.Mapping[str, t.Any]
#: The resources of which the store has objects from the beginning.
RESOURCES = {name: KINDS[name] for name in ("orders", "products", "discounts", "customers")}
#: Version and content of an object.
Kept = tuple[int, Body]


@dataclasses.dataclass
class ForgetfulReceiver:
    """A receiver that keeps the latest version of each object, by resource and id."""

    kept: dict[tuple[str, str], Kept] = dataclasses.field(default_factory=dict)
    #: Returns whether a notification that is accepted is lost.
    loses: cabc.Callable[[], bool] = lambda: False

    def take(self, received: Received) -> int:
        """Accept a notification, and perhaps lose it."""
        if not self.loses():
            message = received.json["message"]
            for event in message["events"]:
                if event["objectType"] not in RESOURCES:
                    continue
                key = event["objectType"], event["objectId"]
                rows = message["raw"][event["objectType"]]
                row = next(one for one in rows if one["objectId"] == event["objectId"])
                known = self.kept.get(key)
                if event["eventType"] == "DELETED":
                    self.kept.pop(key, None)
                elif known is None or event["version"] >= known[0]:
                    self.kept[key] = event["version"], _plain(row)
        return 200


@contextlib.contextmanager
def _receiving(env: Environment, receiver: ForgetfulReceiver) -> cabc.Iterator[None]:
    """Subscribe a receiver that has everything; let it ask for what it lacks at the end.

    :raises AssertionError: it has other objects than the store afterwards.
    """
    for resource, kind in RESOURCES.items():
        bodies = env.store.truth(kind)
        receiver.kept |= {
            (resource, row["objectId"]): (row["version"], bodies[int(row["objectId"])])
            for row in env.reconcile(resource, [])
        }
    with CallbackReceiver(receiver.take).serve() as url:
        members = {"callbackUrl": url, "format": "extended"}
        subscription = env.subscribe(validated(SubscriptionRequest, members))
        yield
        receiver.loses = lambda: False
        found = _ask(env, receiver, subscription)
        assert found, "nothing was lost"
        assert all(row["send"] in ("recorded", "waiting", "read") for row in found), found
        env.poll()
        env.deliver()
        assert not _ask(env, receiver, None), "not everything was sent again"
    assert {key: digest_of(body) for key, (_, body) in receiver.kept.items()} == {
        key: digest for key, digest in env.truth().items() if key[0] in RESOURCES
    }, "other objects, or other content"


def _ask(
    env: Environment, receiver: ForgetfulReceiver, subscription: int | None
) -> list[dict[str, t.Any]]:
    """Return what differs, and have it sent again if a subscription is named."""
    return [
        row
        for resource in RESOURCES
        for row in env.reconcile(
            resource,
            [
                {"objectId": object_id, "version": version}
                for (kind, object_id), (version, _) in receiver.kept.items()
                if kind == resource
            ],
            subscription,
        )
    ]


@scenario(
    "a receiver loses every third notification",
    "It accepts them and forgets them; then it asks for what it lacks, which it alone gets.",
    changes=16,
)
def _every_third(env: Environment) -> None:
    receiver, turn = ForgetfulReceiver(), iter(range(1_000_000))
    receiver.loses = lambda: next(turn) % 3 == 0
    with _receiving(env, receiver):
        for _ in range(3):
            env.do(lambda: some_changes(env))
            env.poll()


@scenario(
    "a receiver restores its backup",
    "It has the objects of hours ago, lacks some of the baseline, and keeps some that are gone.",
    changes=16,
)
def _backup(env: Environment) -> None:
    receiver = ForgetfulReceiver()
    with _receiving(env, receiver):
        before = dict(receiver.kept)
        for _ in range(3):
            env.do(lambda: some_changes(env))
            env.poll()
        receiver.kept = dict(list(before.items())[2:])
        receiver.kept["orders", "999999"] = 1, {}
