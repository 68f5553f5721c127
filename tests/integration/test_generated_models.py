"""Models that code generators made from the description read what is sent.

They are made by hand when the description changes, with the ``webhooks`` and their models as input:
``tests/data/generated-models.txt`` by ``datamodel-codegen --input-file-type openapi
--openapi-scopes schemas --output-model-type pydantic_v2.BaseModel --use-annotated
--disable-timestamp``, and ``tests/data/generated-types.d.ts`` by ``openapi-typescript``, of which
the models are kept, without comments.
"""

from __future__ import annotations

import collections.abc as cabc
import json
import pathlib
import re
import shutil
import subprocess
import sys
import types
import typing as t

import pydantic
import pytest

from flask_woo_events.api.openapi import sent_notifications
from tests.integration.store_to_callback import StoreToCallback
from tests.integration.test_formats import FORMAT, all_types, open_source

__all__ = ["open_source"]

DATA = pathlib.Path(__file__).parents[1] / "data"
GENERATED = DATA / "generated-models.txt"
TYPES = DATA / "generated-types.d.ts"


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
    for name, members in _described().items():
        assert set(vars(models)[name].model_fields) == members, name


def test_types_are_those_of_the_description() -> None:
    """Each described model was generated with its members, for TypeScript, too."""
    found: dict[str, set[str]] = {}
    members: set[str] = set()
    bases: dict[str, str] = {}
    for line in TYPES.read_text("utf-8").splitlines():
        if model := re.match(r" {8}(\w+): ", line):
            members = found.setdefault(model[1], set())
        elif member := re.match(r" {12}\"?(\w+)\"?\??: ", line):
            members.add(member[1])
        elif base := re.match(r' {8}}.*& components\["schemas"\]\["(\w+)"\]', line):
            bases[next(reversed(found))] = base[1]
    for name, base_name in bases.items():
        found[name] |= found[base_name]
    assert found == _described()


def _described() -> dict[str, set[str]]:
    """Return the members of each described model."""
    described = sent_notifications.schemas()
    found: dict[str, set[str]] = {}
    for name, schema in described.items():
        found[name] = set(schema["properties"])
        for base in schema.get("allOf", ()):
            found[name] |= set(described[base["$ref"].rpartition("/")[2]]["properties"])
    return found


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


@pytest.mark.skipif(shutil.which("tsc") is None, reason="needs Debian's node-typescript")
def test_generated_types_read_what_is_sent(
    open_source: cabc.Callable[..., StoreToCallback], tmp_path: pathlib.Path
) -> None:
    """TypeScript accepts every body as its own model, and none as that of another format."""
    lines = [
        'import type { components } from "./generated-types";',
        'type S = components["schemas"];',
    ]
    for form in _MODELS:
        env = open_source("poll", **{FORMAT: form})
        for number, one in enumerate(all_types(env, "poll")):
            resource = one.events[0]["objectType"].capitalize()
            named = {each: name.format(resource) for each, name in _MODELS.items()}
            own = named.pop(form)
            lines.append(_constant(own, one.json))
            if number == 0:
                wrong = {**one.json, "id": None}
                for name, body in [(own, wrong), *((other, one.json) for other in named.values())]:
                    lines += ["// @ts-expect-error", _constant(name, body)]
    shutil.copy(TYPES, tmp_path)
    checked = tmp_path / "bodies.ts"
    numbered = (line.replace("{}", str(number), 1) for number, line in enumerate(lines))
    checked.write_text("\n".join(numbered), "utf-8")
    command = ["tsc", "--noEmit", "--strict", str(checked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")


def _constant(model: str, body: dict[str, t.Any]) -> str:
    """Return a constant with a body in one line; ``{}`` stands for its number."""
    return f'export const one{{}}: S["{model}"] = {json.dumps(body)};'
