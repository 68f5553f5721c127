"""The worker's loops."""

from __future__ import annotations

import typing as t

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.worker import retention, worker
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of


@pytest.mark.parametrize(
    "error",
    [RuntimeError("unexpected"), sa.exc.OperationalError("DELETE", None, Exception("away"))],
    ids=["unexpected", "database"],
)
def test_a_loop_continues_after_an_error(
    app: flask.Flask,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The error is logged with the loop's action, and the loop calls its function again."""
    calls: list[None] = []

    def purge(*_: t.Any) -> retention.Purged:
        calls.append(None)
        if len(calls) == 1:
            raise error
        running.stop()
        return retention.Purged()

    monkeypatch.setattr(worker, "PURGE_AFTER", 0.0)
    monkeypatch.setattr(worker, "PURGE_EVERY", 0.01)
    monkeypatch.setattr(retention, "purge", purge)
    running = Worker(runtime_of(app), poll=False)
    running.run()
    assert len(calls) == 2
    actions = [vars(one)["action"] for one in caplog.records if one.levelname != "INFO"]
    assert actions == ["purge" if isinstance(error, RuntimeError) else "database_away"]
