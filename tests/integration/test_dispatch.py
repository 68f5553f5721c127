"""Deliveries under failure: none is lost or out of order, and none waits for another callback."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import datetime as dt
import itertools
import random
import threading
import time
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.db.models import Attempt, Delivery, Organization, Subscription
from flask_woo_events.db.states import DeliveryStatus
from flask_woo_events.delivery import redelivery
from flask_woo_events.delivery.dispatcher import Dispatch, DispatchReport
from flask_woo_events.delivery.redelivery import DeliverySelection
from flask_woo_events.delivery.retry import CLOUD_ELEMENTS, STANDARD
from flask_woo_events.instances import configuration
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Schedule, Settings
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.values.crypto import Cipher, verify_body
from tests.integration.failing_callback import MODES, FailingCallback, Mode
from tests.integration.ledger_env import NOW, LedgerEnv, build
from tests.waiting import HANG_SECONDS, wait_until

#: Time-outs in real seconds of callbacks that do not answer; the clock is set by hand.
QUICK = {
    "callback_connect_timeout": 0.3,
    "callback_read_timeout": 0.15,
    "callback_total_timeout": 0.3,
}
#: Time-outs of the others.
PATIENT = dict.fromkeys(QUICK, HANG_SECONDS)
#: When each schedule attempts a delivery that always fails, seconds, without the random part.
DATES: dict[Schedule, list[float]] = {
    "standard": [0.0, *itertools.accumulate(STANDARD)],
    "cloud-elements": [0.0, *CLOUD_ELEMENTS],
}


class Clock:
    """The package's clock, set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> dt.datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)


@dataclasses.dataclass
class DeliveryEnv:
    """A ledger whose notifications are sent to a real callback."""

    ledger: LedgerEnv
    runtime: Runtime
    clock: Clock

    def dispatch(self) -> DispatchReport:
        length = dt.timedelta(seconds=self.runtime.settings.lease_seconds)
        with LeaseRenewer(self.runtime.database, self.clock, length) as renewer:
            return Dispatch(self.runtime, renewer, chance=lambda: 0.0).run()

    def redeliver(self, **wanted: t.Any) -> int:
        with self.ledger.database.write() as session:
            home = session.scalars(sa.select(Organization.id)).first()
            assert home is not None
            return redelivery.redeliver(
                session, DeliverySelection(organization_id=home, **wanted), self.clock()
            )

    def statuses(self) -> collections.Counter[str]:
        with self.ledger.database.read() as session:
            return collections.Counter(session.scalars(sa.select(Delivery.status)))

    def too_late(self) -> set[str]:
        """Return notifications with an attempt that timed out because the machine was busy."""
        with self.ledger.database.read() as session:
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
        with self.ledger.database.read() as session:
            return session.scalars(sa.select(Subscription)).one()


def open_env(database: Database, url: str, **settings: t.Any) -> DeliveryEnv:
    clock = Clock()
    chosen = Settings(
        encryption_keys=(Cipher.generate_key(),),
        allow_private_callbacks=True,
        **(PATIENT | settings),
    )
    runtime = Runtime(chosen, database, clock)
    return DeliveryEnv(build(database, callback=url), runtime, clock)


@pytest.mark.slow
def test_an_hour_of_failures_loses_nothing(any_database: Database) -> None:
    """Each version is delivered in order, and twice only after a lost answer.

    The second time it has the id of the first.
    """
    chance = random.Random(20261124)
    healthy, one_at_a_time = False, threading.Lock()
    minutes = 60 if any_database.engine.dialect.name == "sqlite" else 25

    #: All modes in turn, in random order.
    modes = itertools.chain.from_iterable(
        chance.sample(MODES, len(MODES)) for _ in itertools.count()
    )

    def choose() -> Mode:
        with one_at_a_time:
            return "ok" if healthy or chance.random() < 0.3 else next(modes)

    callback = FailingCallback(choose, lambda: env.clock().timestamp())
    versions: collections.Counter[int] = collections.Counter()
    with callback.serve() as url:
        env = open_env(any_database, url, **QUICK)
        for _minute in range(minutes):
            for number in chance.sample(range(1, 13), 3):
                versions[number] += 1
                env.ledger.see({"id": number, "v": versions[number]})
            env.dispatch()
            env.clock.move(60)
        healthy = True
        for _hour in range(80):
            env.dispatch()
            env.clock.move(3600)
            if set(env.statuses()) == {"delivered"}:
                break
        for _hour in range(3):
            env.dispatch()  # Nothing is sent again.
            env.clock.move(3600)
    assert env.statuses() == {"delivered": sum(versions.values())}
    assert callback.seen == set(MODES)
    _in_order_and_whole(callback, versions, env.too_late())
    env.runtime.callback_session.close()


def _in_order_and_whole(
    callback: FailingCallback, versions: dict[int, int], too_late: set[str]
) -> None:
    first: dict[tuple[str, int], int] = {}
    lost: set[str] = set()
    latest: dict[str, int] = collections.defaultdict(int)
    for place, one in enumerate(callback.accepted):
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


def test_a_callback_that_is_down_gets_few_requests(
    any_database: Database,
) -> None:
    """After some failures one notification probes; when it is delivered, the others follow."""
    answer = 500
    receiver = CallbackReceiver(lambda _: answer)
    with receiver.serve() as url:
        env = open_env(any_database, url, deliver_threads=4)
        for number in range(60):
            env.ledger.see({"id": number})
        env.dispatch()
        assert len(receiver.received) <= 5
        held_until = env.subscription().held_until
        assert held_until is not None and held_until > env.clock()
        env.dispatch()
        assert len(receiver.received) <= 5
        answer = 200
        env.clock.move(10)
        env.dispatch()
    assert env.statuses()["delivered"] >= 55
    assert env.subscription().held_until is None


def test_one_notification_that_fails_does_not_hold_the_others(any_database: Database) -> None:
    """A callback that rejects one object still gets all the others."""
    receiver = CallbackReceiver(lambda one: 500 if one.events[0]["objectId"] == "7" else 200)
    with receiver.serve() as url:
        env = open_env(any_database, url)
        for number in range(20):
            env.ledger.see({"id": number})
        env.dispatch()
    assert env.statuses() == {"delivered": 19, "retry": 1}


def test_a_dead_callback_delays_no_other(any_database: Database) -> None:
    """A long backlog of one subscription does not delay the claims of another."""
    with CallbackReceiver().serve() as url:
        env = open_env(any_database, "http://127.0.0.1:9/", deliver_threads=2)
        for number in range(30):
            env.ledger.see({"id": number})
        other = build(any_database, callback=url)
        other.see({"id": 1}, seconds=5)
        env.clock.move(5)
        report = env.dispatch()
    assert report.delivered == 1


def test_a_slow_callback_gets_several_threads_but_not_all(any_database: Database) -> None:
    """Its requests run at the same time, and a thread remains for other callbacks."""
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
        together.acquire(timeout=HANG_SECONDS)
        with lock:
            asked -= 1
        return 200

    with CallbackReceiver(answer).serve() as url:
        env = open_env(
            any_database,
            url,
            deliver_threads=6,
        )
        for number in range(12):
            env.ledger.see({"id": number})
        assert env.dispatch().delivered == 12
    assert most == 3


def test_a_result_does_not_wait_for_a_slow_callback(any_database: Database) -> None:
    """A result is written while another request is still running."""
    written = threading.Event()
    slow = CallbackReceiver(lambda _: 200 if written.wait(HANG_SECONDS) else 500)
    with slow.serve() as slow_url, CallbackReceiver().serve() as quick_url:
        # One thread makes both attempts, the quick one first.
        env = open_env(
            any_database,
            quick_url,
            deliver_threads=1,
        )
        env.ledger.see({"id": 1})
        build(any_database, callback=slow_url).see({"id": 2}, seconds=1)
        env.clock.move(1)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(env.dispatch)
            wait_until(lambda: "delivered" in env.statuses())
            between = env.statuses()
            written.set()
            assert running.result().delivered == 2
    assert between == {"delivered": 1, "created": 1}


def test_a_process_claims_a_limited_number_ahead(any_database: Database) -> None:
    """Other processes can claim the rest."""
    asked, go = threading.Event(), threading.Event()

    def answer(_: object) -> int:
        asked.set()
        return 200 if go.wait(HANG_SECONDS) else 500

    with CallbackReceiver(answer).serve() as url:
        env = open_env(any_database, url, deliver_threads=2)
        ledgers = [env.ledger, *(build(any_database, callback=url) for _ in range(3))]
        for ledger in ledgers:
            for number in range(40):
                ledger.see({"id": number})
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(env.dispatch)
            assert asked.wait(HANG_SECONDS)
            time.sleep(0.3)  # Time to claim more, if it were allowed.
            with any_database.read() as session:
                claimed = sa.select(sa.func.count()).where(Delivery.lease_token.is_not(None))
                ahead = session.scalars(claimed).one()
            go.set()
            assert running.result().delivered == 160
    assert ahead == 100


@pytest.mark.parity(56)
def test_gone_stops_and_redelivery_starts(any_database: Database) -> None:
    """410 queues everything; a redelivery delivers it, the earliest version first."""
    answer = 410
    receiver = CallbackReceiver(lambda _: answer)
    with receiver.serve() as url:
        env = open_env(any_database, url)
        for version in range(3):
            env.ledger.see({"id": 1, "v": version})
        env.dispatch()
        assert env.statuses() == {"queued": 3} and not env.subscription().active
        env.ledger.see({"id": 2})
        assert env.statuses() == {"queued": 4}
        answer = 200
        receiver.clear()
        assert env.redeliver(status="queued") == 4
        env.dispatch()
    assert env.statuses() == {"delivered": 4} and env.subscription().active
    versions = [one["version"] for each in receiver.received for one in each.events]
    assert sorted(versions) == [1, 1, 2, 3]
    assert [one for one in versions if one > 1] == [2, 3]


@pytest.mark.slow
@pytest.mark.parity(54)
def test_a_callback_that_never_recovers_is_stopped(any_database: Database) -> None:
    """After the 75 hours of the schedule the subscription stops, also with few attempts of each."""
    receiver = CallbackReceiver(lambda _: 500)
    with receiver.serve() as url:
        env = open_env(any_database, url)
        for number in range(40):
            env.ledger.see({"id": number})
        for _ in range(100):
            env.dispatch()
            env.clock.move(3600)
            if not env.subscription().active:
                break
    assert env.statuses() == {"queued": 40}
    assert env.clock() - NOW > dt.timedelta(hours=75)


@pytest.mark.parametrize("schedule", ["standard", "cloud-elements"])
def test_one_notification_has_all_its_attempts(any_database: Database, schedule: str) -> None:
    """A single notification is attempted ten times before its subscription stops."""
    receiver = CallbackReceiver(lambda _: 500)
    with receiver.serve() as url:
        env = open_env(any_database, url, retry_schedule=schedule)
        env.ledger.see({"id": 1})
        for _ in range(100):
            env.dispatch()
            env.clock.move(3600)
    assert len(receiver.received) == 10
    assert env.statuses() == {"queued": 1} and not env.subscription().active


def _choose_schedule(database: Database, schedule: Schedule) -> None:
    """Set the schedule of the only organization."""
    with database.write() as session:
        home = session.scalars(sa.select(Organization)).one()
        home.settings = {"notification.webhook.retry.schedule": schedule}


@pytest.mark.parity(52)
@pytest.mark.parametrize("chosen", DATES)
def test_the_organisations_schedule_is_used(any_database: Database, chosen: Schedule) -> None:
    """The account's setting decides for its own deliveries, whatever the application's says."""
    (other,) = DATES.keys() - {chosen}
    made: dict[Schedule, list[float]] = {chosen: [], other: []}

    def refuse(schedule: Schedule) -> int:
        made[schedule].append((env.clock() - NOW).total_seconds())
        return 500

    own = CallbackReceiver(lambda _: refuse(chosen))
    theirs = CallbackReceiver(lambda _: refuse(other))
    with own.serve() as url, theirs.serve() as their_url:
        env = open_env(any_database, url, retry_schedule=other)
        _choose_schedule(any_database, chosen)
        for ledger in (env.ledger, build(any_database, callback=their_url)):
            ledger.see({"id": 1})
        for date in sorted({*DATES[chosen], *DATES[other]}):
            env.clock.now = NOW + dt.timedelta(seconds=date)
            env.dispatch()
    assert made == DATES and env.statuses() == {"queued": 2}


@pytest.mark.parity(54)
@pytest.mark.parametrize(("schedule", "active"), [("standard", True), ("cloud-elements", False)])
def test_the_organisations_schedule_ends_a_dead_callback(
    any_database: Database, schedule: Schedule, active: bool
) -> None:
    """After 89 hours of failures, only the schedule of 72.8 hours and 20 % more has ended."""
    (other,) = DATES.keys() - {schedule}
    receiver = CallbackReceiver(lambda _: 500)
    with receiver.serve() as url:
        env = open_env(any_database, url, retry_schedule=other)
        _choose_schedule(any_database, schedule)
        env.ledger.see({"id": 1})
        env.dispatch()
        env.clock.move(89 * 3600)
        env.dispatch()
    assert len(receiver.received) == 2 and env.subscription().active is active


@pytest.mark.parity(51)
def test_the_organisations_policy_is_used(any_database: Database) -> None:
    """``queue`` as the account's setting queues the first failure, and holds nothing."""
    receiver = CallbackReceiver(lambda _: 500)
    with receiver.serve() as url:
        env = open_env(any_database, url)
        with any_database.write() as session:
            for home in session.scalars(sa.select(Organization)):
                home.settings = {"notification.webhook.failure.policy": "queue"}
        for number in range(5):
            env.ledger.see({"id": number})
        env.dispatch()
    assert env.statuses() == {"queued": 5} and env.subscription().active


def test_only_the_newest_version_is_sent_on_request(any_database: Database) -> None:
    """With WOO_EVENTS_COALESCE a later version replaces those that waited for a dead callback."""
    answer = 500
    receiver = CallbackReceiver(lambda _: answer)
    with receiver.serve() as url:
        env = open_env(any_database, url, coalesce=True)
        for version in range(1, 6):
            env.ledger.see({"id": 1, "v": version})
            env.ledger.see({"id": 2}) if version == 3 else None
            env.dispatch()
        answer = 200
        receiver.clear()
        env.clock.move(600)
        env.dispatch()
        env.dispatch()
    sent = {(one["objectId"], one["version"]) for each in receiver.received for one in each.events}
    assert sent == {("1", 5), ("2", 1)}
    assert env.statuses() == {"delivered": 6}


def test_every_attempt_is_recorded(any_database: Database) -> None:
    """Time, duration, status, reason, and the beginning of the answer."""
    modes: list[Mode] = ["500", "silent", "reset", "ok"]
    callback = FailingCallback(lambda: modes.pop(0), lambda: 0.0)
    with callback.serve() as url:
        env = open_env(any_database, url)
        env.ledger.see({"id": 1})
        for mode in tuple(modes):
            limits: dict[str, t.Any] = {**(QUICK if mode == "silent" else PATIENT)}
            env.runtime.settings = dataclasses.replace(env.runtime.settings, **limits)
            env.dispatch()
            env.clock.move(3 * 3600)
    with any_database.read() as session:
        rows = session.scalars(sa.select(Attempt).order_by(Attempt.id)).all()
    assert [row.status_code for row in rows] == [500, None, None, 200]
    assert "500" in rows[0].reason and "nothing came" in rows[1].reason
    assert rows[3].answer == "{}"
    assert all(row.seconds > 0 for row in rows)
    assert rows[1].at > rows[0].at


def test_a_missing_encryption_key_is_retried(any_database: Database) -> None:
    """A delivery whose credentials cannot be decrypted waits until the key is configured."""
    with CallbackReceiver().serve() as url:
        env = open_env(any_database, url)
        with any_database.write() as session:
            lost = Cipher([Cipher.generate_key()])
            key = {"event.notification.signature.key": "secret"}
            configuration.write(session, lost, env.ledger.stream.instance_id, key)
        env.ledger.see({"id": 1})
        assert env.dispatch().failed == 1
    assert env.statuses() == {DeliveryStatus.RETRY: 1}


@pytest.mark.parity(46)
def test_a_replaced_signature_key_signs_for_a_day(any_database: Database) -> None:
    """Both keys sign meanwhile, the new one in the usual header."""
    receiver, previous = CallbackReceiver(), "Elements-Webhook-Signature-Previous"
    with receiver.serve() as url:
        env = open_env(any_database, url)
        instance_id, cipher = env.ledger.stream.instance_id, env.runtime.cipher
        for hour, key in ((0, "first"), (100, "second"), (100, "second")):
            with any_database.write() as session:
                texts = {"event.notification.signature.key": key}
                at_hour = NOW + dt.timedelta(hours=hour)
                configuration.retire_key(session, cipher, instance_id, texts, at_hour)
                configuration.write(session, cipher, instance_id, texts)
        for number, hour in enumerate((101, 125)):
            env.clock.now = NOW + dt.timedelta(hours=hour)
            env.ledger.see({"id": number}, seconds=hour * 3600)
            env.dispatch()
    during, after = receiver.received
    assert during.is_signed_with("second") and after.is_signed_with("second")
    assert verify_body(during.body, "first", during.headers[previous])
    assert previous not in after.headers
    assert [len(one.headers["webhook-signature"].split()) for one in receiver.received] == [2, 1]
    with any_database.read() as session:
        shown = {one.key for one in configuration.entries(session, instance_id)}
    assert shown == {"event.notification.signature.key"}


def test_secrets_in_an_answer_are_masked(any_database: Database) -> None:
    """A callback that echoes its request does not put secrets into the attempts."""
    secrets = {
        "event.notification.signature.key": "sign-with-this",
        "event.notification.basic.username": "ann",
        "event.notification.basic.password": "open sesame",
        "event.notification.callback.headers": "X-Key: for-you-only",
    }
    modes: list[Mode] = ["echo"]
    callback = FailingCallback(lambda: modes[0], lambda: 0.0)
    with callback.serve() as url:
        env = open_env(any_database, url)
        with any_database.write() as session:
            instance_id = env.ledger.stream.instance_id
            configuration.write(session, env.runtime.cipher, instance_id, secrets)
        env.ledger.see({"id": 1})
        env.dispatch()
    with any_database.read() as session:
        answer = session.scalars(sa.select(Attempt.answer)).one()
    assert "X-Key: ********" in answer and "Basic ********" in answer
    assert not [one for one in secrets.values() if len(one) > 3 and one in answer]
