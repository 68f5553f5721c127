"""Deliveries under failure: nothing is lost, nothing overtakes, and nobody waits for others."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import datetime as dt
import random
import threading
import time
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.db.models import Attempt, Delivery, DeliveryStatus, Organization, Subscription
from flask_woo_events.delivery import redelivery
from flask_woo_events.delivery.dispatcher import Dispatch, DispatchReport
from flask_woo_events.delivery.redelivery import DeliverySelection
from flask_woo_events.instances import configuration
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.values.crypto import Cipher, verify_body
from tests.integration.failing_callback import MODES, FailingCallback, Mode
from tests.integration.ledger_env import NOW, LedgerEnv, build

#: Real seconds that a callback may take; the clock of the tests is moved by hand.
QUICK = {
    "callback_connect_timeout": 0.3,
    "callback_read_timeout": 0.15,
    "callback_total_timeout": 0.3,
}


class Clock:
    """Our own clock, moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> dt.datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)


@dataclasses.dataclass
class Post:
    """A stage whose notifications are sent for real."""

    stage: LedgerEnv
    runtime: Runtime
    clock: Clock

    def dispatch(self) -> DispatchReport:
        length = dt.timedelta(seconds=self.runtime.settings.lease_seconds)
        with LeaseRenewer(self.runtime.database, self.clock, length) as keeper:
            return Dispatch(self.runtime, keeper, chance=lambda: 0.0).run()

    def redeliver(self, **wanted: t.Any) -> int:
        with self.stage.database.write() as session:
            home = session.scalars(sa.select(Organization.id)).first()
            assert home is not None
            return redelivery.redeliver(
                session, DeliverySelection(organization_id=home, **wanted), self.clock()
            )

    def statuses(self) -> collections.Counter[str]:
        with self.stage.database.read() as session:
            return collections.Counter(session.scalars(sa.select(Delivery.status)))

    def too_late(self) -> set[str]:
        """Notifications for whose answer we waited in vain once: the machine was busy."""
        with self.stage.database.read() as session:
            found = session.scalars(
                sa.select(Delivery.notification_id)
                .join(Attempt, Attempt.delivery_id == Delivery.id)
                .where(
                    Attempt.status_code.is_(None),
                    Attempt.seconds >= QUICK["callback_read_timeout"],
                )
            )
            return {str(number) for number in found}

    def subscription(self) -> Subscription:
        with self.stage.database.read() as session:
            return session.scalars(sa.select(Subscription)).one()


def open_post(database: Database, url: str, **settings: t.Any) -> Post:
    clock = Clock()
    chosen = Settings(
        encryption_keys=(Cipher.generate_key(),),
        allow_private_callbacks=True,
        **(QUICK | settings),
    )
    runtime = Runtime(chosen, database, clock)
    return Post(build(database, callback=url), runtime, clock)


def test_an_hour_of_failures_loses_nothing(any_database: Database) -> None:
    """Whatever a callback does, each version arrives, in order, and twice only after a lost answer.

    The second time it has the id of the first.
    """
    chance = random.Random(20261124)
    healthy = False

    def choose() -> Mode:
        return "ok" if healthy or chance.random() < 0.3 else chance.choice(MODES)

    callback = FailingCallback(choose, lambda: post.clock().timestamp())
    versions: collections.Counter[int] = collections.Counter()
    with callback.serve() as url:
        post = open_post(any_database, url)
        for _minute in range(60):
            for number in chance.sample(range(1, 13), 3):
                versions[number] += 1
                post.stage.see({"id": number, "v": versions[number]})
            post.dispatch()
            post.clock.move(60)
        healthy = True
        for _hour in range(80):
            post.dispatch()
            post.clock.move(3600)
    assert post.statuses() == {"delivered": sum(versions.values())}
    assert callback.seen == set(MODES)
    _in_order_and_whole(callback, versions, post.too_late())
    post.runtime.callback_session.close()


def _in_order_and_whole(
    callback: FailingCallback, versions: dict[int, int], too_late: set[str]
) -> None:
    first: dict[tuple[str, int], int] = {}
    lost: set[str] = set()
    latest: dict[str, int] = collections.defaultdict(int)
    for place, one in enumerate(callback.taken):
        for event in one.versions:
            if event in first:
                assert one.id in lost | too_late, f"{event} came twice although its answer arrived"
                continue
            first[event] = place
            assert event[1] == latest[event[0]] + 1, f"{event} came after {latest[event[0]]}"
            latest[event[0]] = event[1]
        if one.mode == "lost":
            lost.add(one.id)
        else:
            lost.discard(one.id)
    assert latest == {str(number): count for number, count in versions.items()}


def test_a_callback_that_is_down_is_not_asked_by_everything_that_waits(
    any_database: Database,
) -> None:
    """After a few failures one notification probes; when it arrives, the others follow at once."""
    answer = 500
    receiver = CallbackReceiver(lambda _: answer)
    with receiver.serve() as url:
        post = open_post(any_database, url, deliver_threads=4)
        for number in range(60):
            post.stage.see({"id": number})
        post.dispatch()
        assert len(receiver.received) <= 5
        held_until = post.subscription().held_until
        assert held_until is not None and held_until > post.clock()
        post.dispatch()
        assert len(receiver.received) <= 5
        answer = 200
        post.clock.move(10)
        post.dispatch()
    assert post.statuses()["delivered"] >= 55
    assert post.subscription().held_until is None


def test_one_notification_that_fails_does_not_hold_the_others(any_database: Database) -> None:
    """A callback that cannot take one object still gets all the others."""
    receiver = CallbackReceiver(lambda one: 500 if one.events[0]["objectId"] == "7" else 200)
    with receiver.serve() as url:
        post = open_post(any_database, url)
        for number in range(20):
            post.stage.see({"id": number})
        post.dispatch()
    assert post.statuses() == {"delivered": 19, "retry": 1}


def test_a_dead_callback_delays_nobody_else(any_database: Database) -> None:
    """However much waits for one subscription, another one's is claimed at once."""
    with CallbackReceiver().serve() as url:
        post = open_post(any_database, "http://127.0.0.1:9/", deliver_threads=2)
        for number in range(30):
            post.stage.see({"id": number})
        other = build(any_database, callback=url)
        other.see({"id": 1}, seconds=5)
        post.clock.move(5)
        report = post.dispatch()
    assert report.delivered == 1


def test_a_slow_callback_is_asked_by_several_threads_but_not_by_all(any_database: Database) -> None:
    """Its answers are waited for together; a thread is left for others."""
    together = threading.Semaphore(0)
    asked, most = 0, 0
    lock = threading.Lock()

    def answer(_: object) -> int:
        nonlocal asked, most
        with lock:
            asked += 1
            most = max(most, asked)
            if asked == 3:
                # Time for one more, if it were allowed.
                threading.Timer(0.2, together.release, (20,)).start()
        together.acquire(timeout=20)
        with lock:
            asked -= 1
        return 200

    with CallbackReceiver(answer).serve() as url:
        post = open_post(
            any_database,
            url,
            deliver_threads=6,
            callback_read_timeout=20,
            callback_total_timeout=20,
        )
        for number in range(12):
            post.stage.see({"id": number})
        assert post.dispatch().delivered == 12
    assert most == 3


def test_an_outcome_does_not_wait_for_a_slow_callback(any_database: Database) -> None:
    """What arrived is written down while another answer is still waited for."""
    written = threading.Event()
    slow = CallbackReceiver(lambda _: 200 if written.wait(20) else 500)
    with slow.serve() as slow_url, CallbackReceiver().serve() as quick_url:
        # One thread makes both, the quick one first.
        post = open_post(
            any_database,
            quick_url,
            deliver_threads=1,
            callback_read_timeout=20,
            callback_total_timeout=20,
        )
        post.stage.see({"id": 1})
        build(any_database, callback=slow_url).see({"id": 2}, seconds=1)
        post.clock.move(1)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(post.dispatch)
            deadline = time.monotonic() + 15
            while "delivered" not in post.statuses() and time.monotonic() < deadline:
                time.sleep(0.01)
            between = post.statuses()
            written.set()
            assert running.result().delivered == 2
    assert between == {"delivered": 1, "created": 1}


def test_a_process_leaves_to_others_what_it_cannot_send_soon(any_database: Database) -> None:
    """However much is due, only some of it is claimed ahead."""
    asked, go = threading.Event(), threading.Event()

    def answer(_: object) -> int:
        asked.set()
        return 200 if go.wait(20) else 500

    with CallbackReceiver(answer).serve() as url:
        patience = {"callback_read_timeout": 20, "callback_total_timeout": 20}
        post = open_post(any_database, url, deliver_threads=2, **patience)
        stages = [post.stage, *(build(any_database, callback=url) for _ in range(3))]
        for stage in stages:
            for number in range(40):
                stage.see({"id": number})
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(post.dispatch)
            assert asked.wait(20)
            time.sleep(0.3)  # Time to claim more, if it were allowed.
            with any_database.read() as session:
                claimed = sa.select(sa.func.count()).where(Delivery.lease_token.is_not(None))
                ahead = session.scalars(claimed).one()
            go.set()
            assert running.result().delivered == 160
    assert ahead == 100


@pytest.mark.parity(56)
def test_gone_stops_and_redelivery_starts(any_database: Database) -> None:
    """410 queues everything; after a redelivery all of it arrives, the earliest version first."""
    answer = 410
    receiver = CallbackReceiver(lambda _: answer)
    with receiver.serve() as url:
        post = open_post(any_database, url)
        for version in range(3):
            post.stage.see({"id": 1, "v": version})
        post.dispatch()
        assert post.statuses() == {"queued": 3} and not post.subscription().active
        post.stage.see({"id": 2})
        assert post.statuses() == {"queued": 4}
        answer = 200
        receiver.clear()
        assert post.redeliver(status="queued") == 4
        post.dispatch()
    assert post.statuses() == {"delivered": 4} and post.subscription().active
    told = [one["version"] for each in receiver.received for one in each.events]
    assert sorted(told) == [1, 1, 2, 3]
    assert [one for one in told if one > 1] == [2, 3]


@pytest.mark.parity(54)
def test_a_callback_that_never_recovers_is_given_up(any_database: Database) -> None:
    """After the schedule's 75 hours the subscription stops, however few attempts each had."""
    receiver = CallbackReceiver(lambda _: 500)
    with receiver.serve() as url:
        post = open_post(any_database, url)
        for number in range(200):
            post.stage.see({"id": number})
        for _ in range(100):
            post.dispatch()
            post.clock.move(3600)
            if not post.subscription().active:
                break
    assert post.statuses() == {"queued": 200}
    assert post.clock() - NOW > dt.timedelta(hours=75)


@pytest.mark.parametrize("schedule", ["standard", "cloud-elements"])
def test_one_notification_has_all_its_attempts(any_database: Database, schedule: str) -> None:
    """A single notification is tried ten times before its subscription stops."""
    receiver = CallbackReceiver(lambda _: 500)
    with receiver.serve() as url:
        post = open_post(any_database, url, retry_schedule=schedule)
        post.stage.see({"id": 1})
        for _ in range(400):
            post.dispatch()
            post.clock.move(900)
    assert len(receiver.received) == 10
    assert post.statuses() == {"queued": 1} and not post.subscription().active


@pytest.mark.parity(51)
def test_the_organisations_policy_counts(any_database: Database) -> None:
    """``queue`` as the account's setting queues the first failure, and holds nothing."""
    receiver = CallbackReceiver(lambda _: 500)
    with receiver.serve() as url:
        post = open_post(any_database, url)
        with any_database.write() as session:
            for home in session.scalars(sa.select(Organization)):
                home.settings = {"notification.webhook.failure.policy": "queue"}
        for number in range(5):
            post.stage.see({"id": number})
        post.dispatch()
    assert post.statuses() == {"queued": 5} and post.subscription().active


def test_only_the_newest_version_is_sent_on_request(any_database: Database) -> None:
    """With WOO_EVENTS_COALESCE what waited for a dead callback is told as it is now."""
    answer = 500
    receiver = CallbackReceiver(lambda _: answer)
    with receiver.serve() as url:
        post = open_post(any_database, url, coalesce=True)
        for version in range(1, 6):
            post.stage.see({"id": 1, "v": version})
            post.stage.see({"id": 2}) if version == 3 else None
            post.dispatch()
        answer = 200
        receiver.clear()
        post.clock.move(600)
        post.dispatch()
        post.dispatch()
    told = {(one["objectId"], one["version"]) for each in receiver.received for one in each.events}
    assert told == {("1", 5), ("2", 1)}
    assert post.statuses() == {"delivered": 6}


def test_every_attempt_says_what_happened(any_database: Database) -> None:
    """Time, duration, status, reason, and the beginning of the answer."""
    modes: list[Mode] = ["500", "silent", "reset", "ok"]
    callback = FailingCallback(lambda: modes.pop(0), lambda: 0.0)
    with callback.serve() as url:
        post = open_post(any_database, url)
        post.stage.see({"id": 1})
        for _ in range(4):
            post.dispatch()
            post.clock.move(3 * 3600)
    with any_database.read() as session:
        rows = session.scalars(sa.select(Attempt).order_by(Attempt.id)).all()
    assert [row.status_code for row in rows] == [500, None, None, 200]
    assert "500" in rows[0].reason and "nothing came" in rows[1].reason
    assert rows[3].answer == "{}"
    assert all(row.seconds > 0 for row in rows)
    assert rows[1].at > rows[0].at


def test_what_cannot_be_decrypted_is_tried_again(any_database: Database) -> None:
    """A key that is missing from the settings is a failure that can be mended, not a loss."""
    with CallbackReceiver().serve() as url:
        post = open_post(any_database, url)
        with any_database.write() as session:
            lost = Cipher([Cipher.generate_key()])
            key = {"event.notification.signature.key": "secret"}
            configuration.write(session, lost, post.stage.stream.instance_id, key)
        post.stage.see({"id": 1})
        assert post.dispatch().failed == 1
    assert post.statuses() == {DeliveryStatus.RETRY: 1}


@pytest.mark.parity(46)
def test_a_replaced_signature_key_signs_for_a_day(any_database: Database) -> None:
    """Receivers have the time to change over: both keys sign, the newer one by the usual header."""
    receiver, previous = CallbackReceiver(), "Elements-Webhook-Signature-Previous"
    with receiver.serve() as url:
        post = open_post(any_database, url)
        instance_id, cipher = post.stage.stream.instance_id, post.runtime.cipher
        for hour, key in ((0, "first"), (100, "second"), (100, "second")):
            with any_database.write() as session:
                texts = {"event.notification.signature.key": key}
                at_hour = NOW + dt.timedelta(hours=hour)
                configuration.retire_key(session, cipher, instance_id, texts, at_hour)
                configuration.write(session, cipher, instance_id, texts)
        for number, hour in enumerate((101, 125)):
            post.clock.now = NOW + dt.timedelta(hours=hour)
            post.stage.see({"id": number}, seconds=hour * 3600)
            post.dispatch()
    during, after = receiver.received
    assert during.is_signed_with("second") and after.is_signed_with("second")
    assert verify_body(during.body, "first", during.headers[previous])
    assert previous not in after.headers
    assert [len(one.headers["webhook-signature"].split()) for one in receiver.received] == [2, 1]
    with any_database.read() as session:
        shown = {one.key for one in configuration.entries(session, instance_id)}
    assert shown == {"event.notification.signature.key"}


def test_an_answer_that_echoes_secrets_is_kept_without_them(any_database: Database) -> None:
    """A callback that shows its request must not put our secrets into the log."""
    secrets = {
        "event.notification.signature.key": "sign-with-this",
        "event.notification.basic.username": "ann",
        "event.notification.basic.password": "open sesame",
        "event.notification.callback.headers": "X-Key: for-you-only",
    }
    modes: list[Mode] = ["echo"]
    callback = FailingCallback(lambda: modes[0], lambda: 0.0)
    with callback.serve() as url:
        post = open_post(any_database, url)
        with any_database.write() as session:
            instance_id = post.stage.stream.instance_id
            configuration.write(session, post.runtime.cipher, instance_id, secrets)
        post.stage.see({"id": 1})
        post.dispatch()
    with any_database.read() as session:
        answer = session.scalars(sa.select(Attempt.answer)).one()
    assert "X-Key: ********" in answer and "Basic ********" in answer
    assert not [one for one in secrets.values() if len(one) > 3 and one in answer]
