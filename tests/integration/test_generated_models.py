"""Models that a code generator made from the description read what is sent.

``tests/data/generated-models.txt`` is made by hand when the description changes:
``datamodel-codegen --input-file-type openapi --openapi-scopes schemas --output-model-type
pydantic_v2.BaseModel --use-annotated --disable-timestamp``, with the ``webhooks`` and their models
as input. openapi-typescript reads the same description.
"""

from __future__ import annotations

import collections.abc as cabc
import pathlib
import sys
import types
import typing as t

import pydantic
import pytest

from flask_woo_events.api.openapi import sent_notifications
from tests.integration.store_to_callback import StoreToCallback
from tests.integration.test_formats import FORMAT, all_types, open_source

__all__ = ["open_source"]

GENERATED = pathlib.Path(__file__).parents[1] / "data" / "generated-models.txt"


@pytest.fixture(scope="module")
def models() -> cabc.Iterator[types.ModuleType]:
    """Yield the module of the generated models."""
    module = types.ModuleType("generated_models")
    sys.modules[module.__name__] = module
    exec(compile(GENERATED.read_text("utf-8"), str(GENERATED), "exec"), vars(module))  # noqa: S102
    yield module
    del sys.modules[module.__name__]


def test_models_are_those_of_the_description(models: types.ModuleType) -> None:
    """Each described model was generated with its members."""
    for name, schema in sent_notifications.schemas().items():
        assert set(vars(models)[name].model_fields) == set(schema["properties"]), name


@pytest.mark.parametrize("form", ["cloud-elements", "extended"])
def test_generated_models_read_what_is_sent(
    open_source: cabc.Callable[..., StoreToCallback], models: types.ModuleType, form: str
) -> None:
    """Every member of a body comes through, and the other format is refused."""
    extended = {"cloud-elements": "", "extended": "Extended"}
    other = {"cloud-elements": "Extended", "extended": ""}
    for one in all_types(open_source("poll", **{FORMAT: form}), "poll"):
        resource = one.json["message"]["raw"]["objectType"].capitalize()
        model: t.Any = vars(models)[f"{extended[form]}{resource}Notification"]
        read = model.model_validate(one.json).model_dump(mode="json", exclude_unset=True)
        assert read == one.json
        refusing: t.Any = vars(models)[f"{other[form]}{resource}Notification"]
        with pytest.raises(pydantic.ValidationError):
            refusing.model_validate(one.json)
