"""The described models of WooCommerce's objects, and what five real stores answered."""

from __future__ import annotations

import json
import pathlib
import re
import typing as t

import pytest

from tests.sent_schema import object_validator

CAPTURES = sorted((pathlib.Path(__file__).parents[1] / "captures").glob("*.jsonl"))
MODELS = {
    "orders": "Order", "products": "Product", "customers": "Customer", "coupons": "Coupon"
}  # fmt: skip
_PATH = re.compile(r"/wp-json/wc/v3/(orders|products|customers|coupons)(?:/\d+)?$")


def _objects(file: pathlib.Path) -> list[tuple[str, dict[str, t.Any]]]:
    found = []
    for line in file.read_text("utf-8").splitlines():
        record = json.loads(line)
        matched = record["kind"] == "rest" and _PATH.match(record["path"])
        if matched and record["status"] in (200, 201):
            answer = record["response"]
            for one in answer if isinstance(answer, list) else [answer]:
                if isinstance(one, dict) and "id" in one:
                    found.append((matched[1], one))
    return found


@pytest.mark.parametrize("file", CAPTURES, ids=lambda file: file.stem)
def test_recorded_objects_match_their_models(file: pathlib.Path) -> None:
    """Objects of each version satisfy the models, which declare each of their members."""
    objects = _objects(file)
    assert {name for name, _ in objects} == MODELS.keys()
    for name, one in objects:
        validator = object_validator(MODELS[name])
        record = one | {"objectId": str(one["id"]), "eventType": "UPDATED"}
        wrong = [
            f"{error.instance_path}: {error.message}" for error in validator.iter_errors(record)
        ]
        assert wrong == []
