"""Feed kills: kill the reader of a feed while several transactions write events.

``python -m tests.fault_injection.feed_kills`` writes 10,000 events and kills the reader 100 times,
on SQLite and on PostgreSQL, and prints what was lost, out of order and repeated.
"""

from __future__ import annotations

import collections
import collections.abc as cabc
import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import sqlalchemy as sa

from benchmarks.serving import wait_for
from flask_woo_events.db import upgrade
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Organization, StoredEvent, User
from flask_woo_events.values.crypto import Cipher, hash_token
from tests import servers
from tests.integration.feed_env import FeedEnv, open_feed
from tests.ports import reserve_port
from tests.waiting import wait_until

from .feed_reader import LIMIT

EVENTS, KILLS = 10_000, 100
#: Transactions that write at the same time, events of each, and how long one stays open, seconds.
WRITERS, TOGETHER, OPEN = 4, 10, 0.15
#: The numbers of the objects of a writer begin with its own.
_EACH = 1_000_000
_AUTHORIZATION = "User the-user, Organization the-organization"


@dataclasses.dataclass
class FeedResult:
    """The outcome of a series of kills."""

    events: int
    kills: int = 0
    lost: int = 0
    #: Events that came before one of their own writer, or before one that was committed before
    #: their transaction began.
    out_of_order: int = 0
    #: Events beyond the first of their object: all, and the most after one kill.
    repeated: int = 0
    per_kill: int = 0
    #: Events with a lower id than one that was read before: a reader by ids would have missed them.
    late: int = 0
    seconds: float = 0.0

    @property
    def wrong(self) -> list[str]:
        """What must not happen."""
        found = {"lost": self.lost, "out of order": self.out_of_order}
        found["repeated beyond one answer"] = max(0, self.per_kill - LIMIT)
        return [f"{count} {what}" for what, count in found.items() if count]


@dataclasses.dataclass
class _Written:
    """When the transaction of each event began, and when it was committed; monotonic."""

    began: dict[int, float] = dataclasses.field(default_factory=dict)
    committed: dict[int, float] = dataclasses.field(default_factory=dict)


def run(url: str, folder: pathlib.Path, *, events: int, kills: int, seed: int) -> FeedResult:
    """Write events, kill the reader, and count.

    :param url: of an empty database.
    """
    began, engine = time.monotonic(), sa.create_engine(url)
    database = Database(engine)
    upgrade.upgrade(database.engine)
    env, chance = open_feed(database, instances=WRITERS), random.Random(seed)
    with database.write() as session:
        home = session.get_one(Organization, env.organization_id)
        home.secret_hash = hash_token("the-organization")
        mine = sa.update(User).where(User.organization_id == env.organization_id)
        session.execute(mine.values(secret_hash=hash_token("the-user")))
    handled, written = folder / "handled", _Written()
    handled.touch()
    ends: list[int] = []
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(_served(url, folder))
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(WRITERS))
        command = [
            sys.executable, "-m", "tests.fault_injection.feed_reader", f"{root}/events/feed",
            _AUTHORIZATION, str(folder / "cursor"), str(handled),
        ]  # fmt: skip
        share = events // (WRITERS * TOGETHER)
        writing = [
            pool.submit(_write, env, number, share, written, random.Random(seed + number), kills)
            for number in range(WRITERS)
        ]
        for _ in range(kills):
            ends.append(_read_and_kill(command, handled, chance))
        for one in writing:
            one.result()
        with _process(command):
            wait_until(lambda: len(set(_lines(handled))) >= len(written.began))
    result = _judge(_lines(handled), ends, written, _ids(database))
    database.dispose()
    engine.dispose()
    result.kills, result.seconds = kills, round(time.monotonic() - began, 1)
    return result


def _write(
    env: FeedEnv,
    number: int,
    share: int,
    written: _Written,
    chance: random.Random,
    kills: int,
) -> None:
    """Commit events, with transactions that stay open while others are committed."""
    mine = dataclasses.replace(env, streams=[env.streams[number]], posted=number * _EACH)
    # As long as readers are killed.
    pause = kills * 0.35 / share
    for _ in range(share):
        time.sleep(chance.uniform(0, 2 * max(0.0, pause - OPEN / 2)))
        began = time.monotonic()
        with env.runtime.database.write() as session:
            names = mine.post(session, TOGETHER)
            if session.get_bind().dialect.name != "sqlite":
                time.sleep(chance.uniform(0, OPEN))
        committed = time.monotonic()
        written.began |= {int(name): began for name in names}
        written.committed |= {int(name): committed for name in names}


def _read_and_kill(
    command: cabc.Sequence[str], handled: pathlib.Path, chance: random.Random
) -> int:
    """Start a reader, and kill it after some events; return how many are handled by then."""
    before, most = len(_lines(handled)), chance.randint(0, 3 * LIMIT)
    with _process(command), contextlib.suppress(TimeoutError):
        wait_until(lambda: len(_lines(handled)) >= before + most, chance.uniform(0.2, 1.5))
    return len(_lines(handled))


@contextlib.contextmanager
def _process(command: cabc.Sequence[str]) -> cabc.Iterator[None]:
    """Run a program in the block, and kill it."""
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _served(url: str, folder: pathlib.Path) -> cabc.Iterator[str]:
    """Serve the API with two processes, and yield its address."""
    port = reserve_port()
    environment = {
        **os.environ,
        "FLASK_SQLALCHEMY_DATABASE_URI": url,
        "FLASK_WOO_EVENTS_ENCRYPTION_KEYS": Cipher.generate_key(),
        "FLASK_WOO_EVENTS_STATE_FOLDER": str(folder),
    }
    command = [
        sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2",
        "--threads", "8", "--log-level", "error", "benchmarks.intake_apps:make_app()",
    ]  # fmt: skip
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}/elements/api-v2"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _lines(handled: pathlib.Path) -> list[int]:
    return [int(line) for line in handled.read_bytes().split()]


def _ids(database: Database) -> dict[int, int]:
    """Return the ids of the events, by their objects."""
    with database.read() as session:
        rows = session.execute(sa.select(StoredEvent.object_id, StoredEvent.id))
        return {int(name): number for name, number in rows}


def _judge(
    lines: cabc.Sequence[int],
    ends: cabc.Sequence[int],
    written: _Written,
    ids: cabc.Mapping[int, int],
) -> FeedResult:
    """Compare what was handled with what was written.

    :param ends: how many lines there were at each kill.
    """
    first = list(dict.fromkeys(lines))
    result = FeedResult(len(written.began), lost=len(written.began.keys() - first))
    result.repeated = len(lines) - len(first)
    seen: set[int] = set()
    per_kill: collections.Counter[int] = collections.Counter()
    last: dict[int, int] = {}
    highest = 0
    for place, one in enumerate(lines):
        per_kill[sum(end <= place for end in ends)] += one in seen
        if one not in seen:
            result.late += ids[one] < highest
            result.out_of_order += one < last.get(one // _EACH, 0)
            last[one // _EACH] = one
            highest = max(highest, ids[one])
        seen.add(one)
    result.per_kill = max(per_kill.values(), default=0)
    earliest = float("inf")
    for one in reversed(first):
        # Nothing that comes later was committed before this one's transaction began.
        result.out_of_order += earliest < written.began[one]
        earliest = min(earliest, written.committed[one])
    return result


def main() -> None:
    """Run the long form on both databases, and print the outcomes."""
    wrong = []
    for backend in ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory(prefix="woo-feed-", ignore_cleanup_errors=True) as name:
            folder = pathlib.Path(name)
            with contextlib.ExitStack() as stack:
                url = f"sqlite:///{folder}/woo.sqlite3"
                if backend != "sqlite":
                    folder.chmod(0o755)
                    url = stack.enter_context(getattr(servers, backend)(folder / backend))
                result = run(url, folder, events=EVENTS, kills=KILLS, seed=1)
        print(f"{backend}: {result}", flush=True)
        wrong += result.wrong
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
