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
    described = sent_notifications.schemas()
    for name, schema in described.items():
        members = set(schema["properties"])
        for base in schema.get("allOf", ()):
            members |= set(described[base["$ref"].rpartition("/")[2]]["properties"])
        assert set(vars(models)[name].model_fields) == members, name


#: Models of each format; ``{}`` is the resource.
_MODELS = {
    "cloud-elements": "{}Notification",
    "extended": "Extended{}Notification",
    "thin": "ThinNotification",
    "cloudevents": "{}CloudEvent",
}


@pytest.mark.parametrize("form", _MODELS)
def test_generated_models_read_what_is_sent(
    open_source: cabc.Callable[..., StoreToCallback], models: types.ModuleType, form: str
) -> None:
    """Every member of a body comes through, and models of the other formats refuse it."""
    for one in all_types(open_source("poll", **{FORMAT: form}), "poll"):
        resource = one.events[0]["objectType"].capitalize()
        named = {each: name.format(resource) for each, name in _MODELS.items()}
        model: t.Any = vars(models)[named.pop(form)]
        read = model.model_validate(one.json).model_dump(mode="json", exclude_unset=True)
        assert read == one.json
        for other in named.values():
            refusing: t.Any = vars(models)[other]
            with pytest.raises(pydantic.ValidationError):
                refusing.model_validate(one.json)
