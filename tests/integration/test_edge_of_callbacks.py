"""Whatever a callback answers, its delivery has one attempt, with a result that is stored."""

from __future__ import annotations

import datetime as dt
import types

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Attempt, Delivery, Subscription
from flask_woo_events.delivery.retry import JITTER, STANDARD
from flask_woo_events.http.headers import RETRY_AFTER_CAP
from tests.conftest import BACKENDS
from tests.examples import examples
from tests.integration.test_dispatch import open_env
from tests.raw_server import Connection, serve_raw

STATUSES = (
    "100 Continue", "101 x", "200 OK", "200", "204 No", "299 \xff", "304 No", "399 x", "410 Gone",
    "429 \x00", "500 x", "503 x", "599 x", "600 x", "999 x", "0 x", "-1 x", "1000 x", "NaN x",
    "9" * 400, "",
)  # fmt: skip
HEADERS = ("Retry-After", "Date", "Content-Encoding", "Content-Type", "Location", "Set-Cookie",
           "Connection", "X")  # fmt: skip
TEXTS = (
    "", "0", "-1", "1", "1.5", "1e999", "NaN", "Infinity", "9" * 400, str(2**63), "\xb2", "\xff",
    "x", "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -1400",
    "Fri, 31 Dec 9999 23:59:60 GMT", "Mon, 01 Jan 0001 00:00:00 GMT",
    "Mon, 01 Jan 0001 00:00:00 +1400", "gzip", "deflate", "http://[::1", "x" * 70_000, "close",
)  # fmt: skip
BODIES = (
    b"", b"{}", b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"x" * 100_000, b"\xf0\x9f\x98\x80" * 5_000,
    b"a\x00" * 3_000, b"[" * 5_000,
)  # fmt: skip
LENGTHS = ("", "0", "-1", "1", "NaN", "9" * 400, str(2**63), "\xb2")


def _bytes(status: str, headers: list[tuple[str, str]], length: str, body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {text}" for name, text in headers)]
    lines.append(f"Content-Length: {length or len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


_ANSWERS = st.builds(
    _bytes,
    st.sampled_from(STATUSES),
    st.lists(st.tuples(st.sampled_from(HEADERS), st.sampled_from(TEXTS)), max_size=3),
    st.sampled_from(("", "", "", *LENGTHS)),
    st.sampled_from(BODIES),
) | st.sampled_from((b"", b"\r\n\r\n", b"HTTP/1.1", b"HTTP/9.9 200 OK\r\n\r\n", b"\x00" * 99))


@pytest.mark.parametrize("any_url", BACKENDS, indirect=True)
def test_any_answer_is_one_attempt(
    any_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It is stored without an error of ours, and the next attempt is not too early or too late."""
    said = types.SimpleNamespace(answer=b"", requests=0)

    def answer(connection: Connection) -> None:
        if connection.read():
            said.requests += 1
            connection.send(said.answer)

    with serve_raw(answer) as server:
        env = open_env(any_database, server.url)

        @hypothesis.settings(
            max_examples=examples(25), deadline=None, database=None,
            derandomize=examples(1) == 1, suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        @hypothesis.given(data=_ANSWERS)
        @hypothesis.example(_bytes("503 x", [("Retry-After", TEXTS[13])], "", b""))
        def deliver(data: bytes) -> None:
            said.answer, before = data, said.requests
            caplog.clear()
            with any_database.write() as session:
                for table in (Attempt, Delivery):
                    session.execute(sa.delete(table))
                fresh = {"active": True, "failures": 0, "failing_since": None, "held_until": None}
                session.execute(sa.update(Subscription).values(**fresh, next_due_at=env.clock()))
            env.ledger.see({"id": 1, "v": said.requests})
            env.clock.move(1)
            env.dispatch()
            assert said.requests == before + 1
            assert not [one for one in caplog.records if one.exc_info]
            with any_database.read() as session:
                made = session.scalars(sa.select(Attempt)).one()
                row = session.scalars(sa.select(Delivery)).one()
            assert made.reason and row.lease_token is None
            if row.status == "retry":
                assert row.due_at is not None
                latest = max(RETRY_AFTER_CAP, STANDARD[0] * (1 + JITTER))
                wait = (row.due_at - env.clock()).total_seconds()
                assert STANDARD[0] <= wait <= latest, dt.timedelta(seconds=wait)

        deliver()
