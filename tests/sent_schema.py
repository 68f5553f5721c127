"""The described models of notifications, to validate what is sent."""

from __future__ import annotations

import functools
import typing as t

import jsonschema_rs

from flask_woo_events.api.openapi import sent_notifications


@functools.cache
def _validator(webhook: str) -> jsonschema_rs.Draft202012Validator:
    described = sent_notifications.webhooks()[webhook]["post"]["requestBody"]
    schema = described["content"]["application/json"]["schema"]
    components = {"schemas": sent_notifications.schemas()}
    return jsonschema_rs.Draft202012Validator({**schema, "components": components})


@functools.cache
def object_validator(name: str) -> jsonschema_rs.Draft202012Validator:
    """Return the validator of an object of the store in ``raw``."""
    return jsonschema_rs.Draft202012Validator(sent_notifications.schemas()[name])


def problems(body: dict[str, t.Any], *, extended: bool = False) -> list[str]:
    """Return where a notification differs from its description."""
    if body["action"] == "test":
        webhook = "test"
    else:
        resource = body["message"]["raw"]["objectType"]
        resource = resource if resource in sent_notifications.RESOURCES else "other"
        webhook = f"{resource}-extended" if extended else resource
    return [
        f"{'/'.join(map(str, one.instance_path))}: {one.message[:200]}"
        for one in _validator(webhook).iter_errors(body)
    ]
