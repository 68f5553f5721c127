"""Subscriptions: five receivers of one store with other choices, formats and limits.

The judge compares what the first one gets, which is everything, with what happened. Each of the
others has to get what its choice selects of that: every event, once, in order.
"""

from __future__ import annotations

import collections
import collections.abc as cabc
import contextlib
import dataclasses
import typing as t

from ...instances.subscription_requests import SubscriptionRequest
from ...values.validation import validated
from ..callback_receiver import CallbackReceiver, Received
from .change_scenarios import ACTIONS
from .ground_truth import KINDS
from .harness import Environment, Setup
from .scenario import scenario

Body = cabc.Mapping[str, t.Any]
#: The resource, id, type and content of an event; thin ones have no content.
Arrival = tuple[str, str, str, Body | None]
_KEY = "the-key-of-a-subscription"
#: Polls after which a failing receiver must have everything.
_POLLS = 12


@dataclasses.dataclass(frozen=True)
class Happened:
    """One event, with the object before and after it."""

    resource: str
    object_id: str
    event_type: str
    before: Body | None
    after: Body


@dataclasses.dataclass
class Subscriber:
    """A receiver with a choice of its own."""

    members: dict[str, t.Any]
    #: Whether its choice selects an event, decided from the objects.
    wants: cabc.Callable[[Happened], bool]
    #: Returns the status to answer with.
    answer: cabc.Callable[[], int] = lambda: 200
    accepted: list[Received] = dataclasses.field(default_factory=list)

    def take(self, received: Received) -> int:
        """Keep what is accepted, and return the status to answer with."""
        status = self.answer()
        if status == 200:
            self.accepted.append(received)
        return status

    def events(self) -> list[Arrival]:
        """Return what it accepted, in the order of arrival."""
        return [one for received in self.accepted for one in events_of(received.json)]


def events_of(body: Body) -> cabc.Iterator[Arrival]:
    """Yield the events of a notification, or the one of a CloudEvent."""
    if "specversion" in body:
        data = body["data"]
        yield data["objectType"], data["objectId"], data["eventType"], _plain(data["object"])
        return
    message = body["message"]
    for event in message["events"]:
        rows = message["raw"].get(event["objectType"])
        row = next((one for one in rows or () if _is_of(one, event)), None)
        content = None if row is None else _plain(row)
        yield event["objectType"], event["objectId"], event["eventType"], content


def _is_of(row: Body, event: Body) -> bool:
    names = ("objectId", "eventType")
    return all(row[name] == event[name] for name in names)


def _plain(row: Body) -> Body:
    """Return an object without what notifications add to it."""
    return {name: one for name, one in row.items() if name not in ("objectId", "eventType")}


def _at(body: Body, path: str) -> t.Any:
    value: t.Any = body
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _changed(*paths: str) -> cabc.Callable[[Happened], bool]:
    """Return whether an event is no update, or one that changed one of these fields."""

    def wants(one: Happened) -> bool:
        if one.event_type != "UPDATED" or one.before is None:
            return True
        before, after = one.before, one.after
        return any(_at(before, path) != _at(after, path) for path in paths)

    return wants


def five_receivers() -> list[Subscriber]:
    """Return five receivers; all but the last accept everything."""
    return [
        Subscriber(
            {"resources": ["orders"], "format": "extended"}, lambda one: one.resource == "orders"
        ),
        Subscriber(
            {"eventTypes": ["DELETED"], "format": "thin"}, lambda one: one.event_type == "DELETED"
        ),
        Subscriber(
            {"fields": ["status", "billing.email", "stock_quantity"], "format": "cloudevents"},
            _changed("status", "stock_quantity", "billing.email"),
        ),
        Subscriber(
            {
                "resources": ["products", "discounts"],
                "eventTypes": ["CREATED", "UPDATED"],
                "fields": ["price", "usage_count"],
                "format": "cloud-elements",
                "concurrentRequests": 1,
            },
            lambda one: (
                one.resource in ("products", "discounts")
                and one.event_type != "DELETED"
                and _changed("price", "usage_count")(one)
            ),
        ),
        Subscriber({"format": "cloudevents", "retrySchedule": [60] * 15}, lambda _: True),
    ]


@contextlib.contextmanager
def _subscribed(env: Environment, five: cabc.Sequence[Subscriber]) -> cabc.Iterator[None]:
    """Subscribe the receivers while the block runs, and compare what they got at its end."""
    known = plain_objects(env)
    began = len(env.receiver.received)
    with contextlib.ExitStack() as stack:
        for one in five:
            url = stack.enter_context(CallbackReceiver(one.take).serve())
            members = {"callbackUrl": url, "signatureKey": _KEY, **one.members}
            env.subscribe(validated(SubscriptionRequest, members))
        yield
        for _ in range(_POLLS):
            if not env.waiting():
                break
            env.poll()
    happened = list(happened_in(env.receiver.received[began:], known))
    for number, one in enumerate(five, start=2):
        compare(f"subscription {number}", one.wants, one.events(), happened)
        assert all(each.is_signed_with(_KEY) for each in one.accepted), "a wrong signature"


def plain_objects(env: Environment) -> dict[tuple[str, str], Body]:
    """Return the objects of the store."""
    return {
        (resource, str(number)): _plain(body)
        for resource, kind in KINDS.items()
        for number, body in env.store.truth(kind).items()
    }


def happened_in(
    received: cabc.Iterable[Received], known: dict[tuple[str, str], Body]
) -> cabc.Iterator[Happened]:
    """Yield the events that the first receiver got.

    :param known: the objects before them; they are changed.
    """
    for notification in received:
        for resource, object_id, kind, body in events_of(notification.json):
            before = known.pop((resource, object_id), None)
            if kind != "DELETED" and body is not None:
                known[resource, object_id] = body
            yield Happened(resource, object_id, kind, before, body or {})


def compare(
    receiver: str,
    wants: cabc.Callable[[Happened], bool],
    events: cabc.Sequence[Arrival],
    happened: cabc.Iterable[Happened],
) -> None:
    """Compare the events of each object that a receiver got with those that it wants.

    :raises AssertionError: names the receiver, and the first object of which they differ.
    """
    wanted, got = collections.defaultdict(list), collections.defaultdict(list)
    for each in happened:
        if wants(each):
            wanted[each.resource, each.object_id].append((each.event_type, each.after))
    for resource, object_id, kind, body in events:
        got[resource, object_id].append((kind, body))
    for key in wanted.keys() | got.keys():
        kinds = [kind for kind, _ in wanted[key]]
        assert [kind for kind, _ in got[key]] == kinds, (
            f"{receiver} got {[kind for kind, _ in got[key]]} of {key[0]} {key[1]} "
            f"and wants {kinds}"
        )
        full = [(after, body) for (_, after), (_, body) in zip(wanted[key], got[key], strict=True)]
        assert all(body is None or body == after for after, body in full), (
            f"{receiver} got other content of {key[0]} {key[1]}"
        )
    assert events, f"{receiver} got nothing"


@scenario(
    "five subscriptions, forty changes",
    "Each ordinary change, with five receivers of other choices and formats.",
    setup=Setup(page_size=100),
    changes=46,
)
def _all_changes(env: Environment) -> None:
    with _subscribed(env, five_receivers()):
        for _changes, action in ACTIONS.values():
            action(env)
            env.poll()


def some_changes(env: Environment) -> None:
    """Change eight objects."""
    env.acts.status(env.ids("orders")[0], "completed")
    env.acts.status(env.ids("orders")[1], "on-hold")
    env.acts.delete_for_good("orders", env.ids("orders")[3])
    env.acts.trash_post(env.ids("products")[1])
    env.acts.stock(env.ids("products")[2], 3)
    env.acts.price_meta(env.ids("products")[3], "1.23")
    env.acts.coupon_use(env.ids("coupons")[0])
    env.acts.new_customer("during")


@scenario(
    "five subscriptions, one fails half of the time",
    "Its callback answers 500 to every second request; the others get theirs meanwhile.",
    changes=16,
)
def _one_fails(env: Environment) -> None:
    five, turn = five_receivers(), iter(range(1_000_000))
    five[4].answer = lambda: 500 if next(turn) % 2 == 0 else 200
    with _subscribed(env, five):
        for _ in range(3):
            env.do(lambda: some_changes(env))
            env.poll()


@scenario(
    "five subscriptions, one is down for hours",
    "Its callback answers 503 at five polls; then it gets all that happened, in order.",
    changes=16,
)
def _one_is_down(env: Environment) -> None:
    five, down = five_receivers(), True
    five[2].answer = lambda: 503 if down else 200
    with _subscribed(env, five):
        for _ in range(3):
            env.do(lambda: some_changes(env))
            env.poll()
        for _ in range(2):
            env.poll()
        down = False
