"""Sending: what is refused before any connection."""

from __future__ import annotations

import datetime as dt

import pytest
import requests

from flask_woo_events.delivery.send import CallbackCredentials, post
from flask_woo_events.http.exchange import Timeouts

NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
PATH = "/elements/api-v2/events/woocommercerest/"


def _reason(host: str) -> str:
    session = requests.Session()
    session.trust_env = False
    # Without an adapter no request can leave.
    session.adapters.clear()
    outcome = post(
        session, "event", b"{}", f"https://{host}{PATH}", CallbackCredentials(),
        timeouts=Timeouts(), now=NOW,
    )  # fmt: skip
    assert not outcome.delivered and outcome.status_code is None
    return outcome.reason


@pytest.mark.parity(4)
@pytest.mark.parametrize(
    "host", ["api.cloud-elements.com", "API.Cloud-Elements.com.:443", "cloud-elements.com"]
)
def test_nothing_is_sent_to_the_retired_service(host: str) -> None:
    """A documented call names it as the callback; nobody answers for who owns the domain next."""
    assert "belongs to the retired service" in _reason(host)


@pytest.mark.parametrize("host", ["notcloud-elements.com", "cloud-elements.com.example"])
def test_other_domains_are_not_refused(host: str) -> None:
    """Only the domain itself and what is below it belong to the service."""
    assert "retired" not in _reason(host)
