"""Each operation of the API answers any request as the description says.

In a folder of its own, which one process collects: that alone takes Schemathesis seconds.
"""

from __future__ import annotations

import typing as t

import flask
import hypothesis

from tests.examples import examples
from tests.integration.host_app import Account
from tests.openapi.description import (
    SCHEMA,
    SWITCH,
    Case,
    Store,
    aim,
    entry_of,
    excluded,
    headers_of,
)


@SCHEMA.parametrize()  # type: ignore[untyped-decorator]
@hypothesis.settings(
    max_examples=min(examples(3), 20),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_operation_matches_its_description(
    case: Case,
    described_app: flask.Flask,
    described_account: Account,
    instance: dict[str, t.Any],
    subscription_id: int,
    shop: Store,
) -> None:
    """Any request gets a described status and answer, and no 500."""
    SWITCH.app = described_app
    token = described_account.element(instance["token"])
    known = {
        "entry_id": lambda: entry_of(described_app, token),
        "subscription_id": lambda: subscription_id,
    }
    aim(case, instance, known, shop)
    case.call_and_validate(
        headers=headers_of(case, described_account, instance["token"]),
        excluded_checks=excluded(case),
    )
