"""The specification of an instance that changes."""

from __future__ import annotations

import json

import pytest

from flask_woo_events.errors import InputError
from flask_woo_events.instances.polled_resources import CONFIGURATION_KEY
from flask_woo_events.instances.requests import InstanceRequest
from flask_woo_events.instances.specification import CurrentSpec, plan

IGNORED = {"orders": {"url": "/hubs/ecommerce/orders?where=total='5'"}}
STORED = {
    "store.url": "https://shop.example",
    "oauth.api.key": "ck_" + "a" * 40,
    "oauth.api.secret": "cs_" + "b" * 40,
    CONFIGURATION_KEY: json.dumps(IGNORED),
}
BEFORE = CurrentSpec(name="shop", tags=(), texts=STORED)


def _change(configuration: dict[str, object]) -> None:
    plan(InstanceRequest.model_validate({"configuration": configuration}), BEFORE, partial=True)


@pytest.mark.parity(11)
def test_parity_11_a_known_url_does_not_refuse_other_changes() -> None:
    """A filter that an earlier release accepted does not keep the callback from being changed."""
    _change({"event.notification.callback.url": "https://app.example/events"})
    _change({CONFIGURATION_KEY: {**IGNORED, "products": {"url": "/hubs/ecommerce/products"}}})
    with pytest.raises(InputError, match=r"orders\.url.*total"):
        _change({CONFIGURATION_KEY: {"orders": {"url": "/orders?where=total='6'"}}})
