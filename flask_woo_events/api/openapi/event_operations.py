"""Descriptions of the operations on events, notifications and account settings."""

from __future__ import annotations

import dataclasses
import typing as t

from ...instances.accounts import FAILURE_POLICY, RETRY_SCHEDULE
from ...settings import FailurePolicy, Schedule
from .. import event_responses
from ..analytics import INTERVALS
from .operation import (
    BODY_ERRORS,
    FEED,
    ID,
    NEXT_PAGE,
    PAGE_SIZE,
    PAGED,
    Operation,
    Parameter,
    Schema,
)

_LIST = (PAGE_SIZE, NEXT_PAGE)
_TIMES = (
    Parameter(name="from", text="Events from this date on, ISO 8601"),
    Parameter(name="to", text="Events before this date, ISO 8601"),
)
_INTERVAL = {"type": "string", "enum": list(INTERVALS), "default": "hour"}
_COUNTED = (
    *_TIMES,
    Parameter(name="interval", text="Length of the buckets of time", schema=_INTERVAL),
    Parameter(
        name="accountIds[]",
        text="Only the caller's own account is allowed",
        schema={"type": "array", "items": ID},
    ),
    Parameter(name="instanceId", text="Only events of this instance", schema=ID),
)
_DELIVERIES = (
    Parameter(
        name="where",
        text="Conditions such as status='queued', joined by and; the fields are channel, status, "
        "config.url, instanceId, subscriptionId and notificationId",
    ),
    Parameter(
        name="hydrate",
        text="Include the notifications",
        schema={"type": "boolean", "default": True},
    ),
    *_LIST,
)
_SETTINGS: Schema = {
    "type": "object",
    "properties": {
        FAILURE_POLICY: {"type": "string", "enum": list(t.get_args(FailurePolicy))},
        RETRY_SCHEDULE: {"type": "string", "enum": list(t.get_args(Schedule))},
    },
    "additionalProperties": False,
}

_EVENT_LIST = Operation(
    summary="List events, the newest first",
    tag="events",
    query=_LIST,
    answer=[event_responses.EventResponse],
    errors=(400, 404),
    headers=PAGED,
)
_EVENT = Operation(
    summary="Show an event", tag="events", answer=event_responses.EventResponse, errors=(400, 404)
)
_FEED = Operation(
    summary="Read events in the order of their commits, and wait for more",
    tag="events",
    query=FEED,
    answer={"$ref": "#/components/schemas/Feed"},
    errors=(400, 404, 429),
)
_COUNT = Operation(
    summary="Count events over time",
    tag="events",
    query=_COUNTED,
    answer=[event_responses.EventCountResponse],
    errors=(400, 403),
)
_POLLERS = Operation(
    summary="List the polled resources",
    tag="events",
    answer=[event_responses.PollerRecordResponse],
    errors=(400,),
)
_DISABLED = dataclasses.replace(
    _POLLERS, summary="List the polled resources that were disabled after repeated failures"
)
_DELIVERY_LIST = Operation(
    summary="List deliveries, for example queued ones",
    tag="notifications",
    query=_DELIVERIES,
    answer=[event_responses.DeliveryResponse],
    errors=(400, 404),
    headers=PAGED,
)
_DELIVERIES_OF_ONE = dataclasses.replace(
    _DELIVERY_LIST, summary="List the deliveries of a notification", query=_DELIVERIES[1:]
)
_DELIVERY = dataclasses.replace(
    _DELIVERIES_OF_ONE,
    summary="Show the delivery of a notification to a subscription",
    query=_DELIVERIES[1:2],
    answer=event_responses.DeliveryResponse,
    headers=(),
)
_SHOW_SETTINGS = Operation(
    summary="Show the account's settings",
    tag="accounts",
    authorization="account",
    answer=_SETTINGS,
    errors=(404,),
)
_CHANGE_SETTINGS = Operation(
    summary="Change the account's settings",
    tag="accounts",
    authorization="account",
    body=_SETTINGS,
    answer=_SETTINGS,
    errors=(*BODY_ERRORS, 404),
)

#: By method and path.
OPERATIONS: dict[str, Operation] = {
    "GET /instances/events": _EVENT_LIST,
    "GET /instances/{instance_id}/events": _EVENT_LIST,
    "GET /instances/events/{event_id}": _EVENT,
    "GET /instances/{instance_id}/events/{event_id}": _EVENT,
    "GET /events/feed": dataclasses.replace(_FEED, errors=(400, 429)),
    "GET /instances/{instance_id}/events/feed": _FEED,
    "GET /instances/{instance_id}/subscriptions/{subscription_id}/feed": dataclasses.replace(
        _FEED, summary="Read the events that a subscription chooses, in its format"
    ),
    "GET /instances/events/analytics": _COUNT,
    "GET /instances/events/analytics/accounts": dataclasses.replace(
        _COUNT,
        summary="Count events over time, by account",
        answer=[event_responses.AccountCountsResponse],
    ),
    "GET /instances/events/analytics/instances": dataclasses.replace(
        _COUNT,
        summary="Count events over time, by instance",
        answer=[event_responses.InstanceCountsResponse],
    ),
    "GET /instances/events/dispositions": Operation(
        summary="List the attempts to deliver events, the newest first",
        tag="events",
        query=(*_TIMES, Parameter(name="interval", text="No effect", schema=_INTERVAL), *_LIST),
        answer=[event_responses.DispositionResponse],
        errors=(400,),
        headers=PAGED,
    ),
    "GET /instances/event-poller-records": _POLLERS,
    "GET /instances/polling-disabled": _DISABLED,
    "GET /jobs/polling-disabled": _DISABLED,
    "GET /notifications": Operation(
        summary="List the notifications of topics, the newest first",
        tag="notifications",
        query=(
            Parameter(
                name="topics[]",
                text="Topics, such as instance-1-woocommercerest-events",
                schema={"type": "array", "items": {"type": "string"}, "minItems": 1},
                required=True,
            ),
            *_LIST,
        ),
        answer=[event_responses.NotificationResponse],
        errors=(400,),
        headers=PAGED,
    ),
    "GET /notifications/{notification_id}": Operation(
        summary="Show a notification as it is sent",
        tag="notifications",
        answer=event_responses.NotificationResponse,
        errors=(404,),
    ),
    "GET /notifications/subscriptions": Operation(
        summary="List the subscriptions",
        tag="notifications",
        answer=[event_responses.SubscriptionResponse],
    ),
    "GET /notifications/subscriptions/{subscription_id}": Operation(
        summary="Show a subscription",
        tag="notifications",
        answer=event_responses.SubscriptionResponse,
        errors=(404,),
    ),
    "GET /notifications/subscriptions/deliveries": _DELIVERY_LIST,
    "PUT /notifications/subscriptions/deliveries": Operation(
        summary="Send waiting deliveries again, and activate their subscriptions",
        tag="notifications",
        query=(dataclasses.replace(_DELIVERIES[0], required=True),),
        answer=event_responses.RedeliveredResponse,
        errors=(400, 404),
    ),
    "GET /notifications/{notification_id}/subscriptions/deliveries": _DELIVERIES_OF_ONE,
    "GET /notifications/{notification_id}/subscriptions/{subscription_id}/deliveries": _DELIVERY,
    "GET /accounts/settings": _SHOW_SETTINGS,
    "GET /accounts/{account_id}/settings": _SHOW_SETTINGS,
    "POST /accounts/settings": _CHANGE_SETTINGS,
    "POST /accounts/{account_id}/settings": _CHANGE_SETTINGS,
    "PATCH /accounts/settings": _CHANGE_SETTINGS,
    "PATCH /accounts/{account_id}/settings": _CHANGE_SETTINGS,
}
