"""The described models of notifications, to validate what is sent."""

from __future__ import annotations

import functools
import typing as t

import jsonschema_rs

from flask_woo_events.api.openapi import sent_notifications


@functools.cache
def _validator(webhook: str) -> jsonschema_rs.Draft202012Validator:
    described = sent_notifications.webhooks()[webhook]["post"]["requestBody"]
    [content] = described["content"].values()
    return _with_components(content["schema"])


@functools.cache
def object_validator(name: str) -> jsonschema_rs.Draft202012Validator:
    """Return the validator of an object of the store in ``raw``."""
    return _with_components(sent_notifications.schemas()[name])


def _with_components(schema: dict[str, t.Any]) -> jsonschema_rs.Draft202012Validator:
    components = {"schemas": sent_notifications.schemas()}
    return jsonschema_rs.Draft202012Validator({**schema, "components": components})


def problems(body: dict[str, t.Any], form: str = "cloud-elements") -> list[str]:
    """Return where a notification differs from the description of a format."""
    return [
        f"{'/'.join(map(str, one.instance_path))}: {one.message[:200]}"
        for one in _validator(_webhook(body, form)).iter_errors(body)
    ]


def _webhook(body: dict[str, t.Any], form: str) -> str:
    suffix = "" if form == "cloud-elements" else f"-{form}"
    if form == "cloudevents":
        kind = body["type"].removeprefix("woocommerce.")
        name = "test" if kind == "test" else body["data"]["objectType"]
    elif body["action"] == "test":
        return "test"
    else:
        name = body["message"]["raw"]["objectType"]
        if form == "thin" and name != "operational":
            return "thin"
    known = name in ("test", "operational") or name in sent_notifications.RESOURCES
    return f"{name if known else 'other'}{suffix}"
