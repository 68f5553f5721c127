"""Sequences of calls, each with values of the answers before it; ``make soak`` runs them."""

from __future__ import annotations

import typing as t

import flask
import hypothesis
import pytest
from hypothesis import stateful
from schemathesis.specs.openapi import checks

from tests.examples import examples
from tests.integration.host_app import Account, Api
from tests.openapi.description import (
    NOWHERE,
    SCHEMA,
    SWITCH,
    Case,
    Store,
    add_subscription,
    aim,
    entry_of,
    excluded,
    headers_of,
)

#: Calls of one sequence at most.
STEPS = 12


@pytest.mark.timeout(7200)
def test_sequences_match_the_description(
    described_app: flask.Flask, described_account: Account, shop: Store
) -> None:
    """Calls that follow the links from one operation to another are answered as described."""
    SWITCH.app = described_app
    api = Api(described_app.test_client(), described_account.headers, shop[1])
    links = SCHEMA.as_state_machine()

    class Sequence(links):  # type: ignore[misc, valid-type]
        def setup(self) -> None:
            self.instance = api.create(**{"event.notification.callback.url": NOWHERE})
            token = described_account.element(self.instance["token"])
            entry, subscription = (
                entry_of(described_app, token),
                add_subscription(api, self.instance),
            )
            self.known = {"entry_id": lambda: entry, "subscription_id": lambda: subscription}

        def before_call(self, case: Case) -> None:
            aim(case, self.instance, self.known, shop)

        def get_call_kwargs(self, case: Case) -> dict[str, t.Any]:
            return {"headers": headers_of(case, described_account, self.instance["token"])}

        def validate_response(self, response: t.Any, case: Case, **options: t.Any) -> None:
            case.validate_response(
                response, excluded_checks=[*excluded(case), checks.ignored_auth], **options
            )
            if case.method == "DELETE" and response.status_code == 200:
                self.setup()  # It may have been this one, and its token.

    stateful.run_state_machine_as_test(
        Sequence,
        settings=hypothesis.settings(
            max_examples=examples(20),
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
