"""Descriptions of the operations on the subscriptions of an instance."""

from __future__ import annotations

from .. import responses, subscription_responses
from .operation import BODY_ERRORS, Operation, Schema

_EVERY, _ONE = "/instances/{instance_id}/subscriptions", "/{subscription_id}"
_TAG = "subscriptions"
_BODY: Schema = {"$ref": "#/components/schemas/SubscriptionRequest"}
_ANSWER = subscription_responses.InstanceSubscriptionResponse

#: By method and path.
OPERATIONS: dict[str, Operation] = {
    f"GET {_EVERY}": Operation(
        summary="List the subscriptions of an instance, at most 20",
        tag=_TAG,
        answer=[_ANSWER],
        errors=(404,),
    ),
    f"POST {_EVERY}": Operation(
        summary="Add a subscription, which gets what happens from now on",
        tag=_TAG,
        body=_BODY,
        answer=_ANSWER,
        errors=(*BODY_ERRORS, 404, 409),
    ),
    f"GET {_EVERY}{_ONE}": Operation(
        summary="Show a subscription of an instance", tag=_TAG, answer=_ANSWER, errors=(404,)
    ),
    f"PATCH {_EVERY}{_ONE}": Operation(
        summary="Change the members in the body, also for what is not sent yet",
        tag=_TAG,
        body=_BODY,
        answer=_ANSWER,
        errors=(*BODY_ERRORS, 404, 409),
    ),
    f"DELETE {_EVERY}{_ONE}": Operation(
        summary="Delete a subscription, with what it was not sent yet",
        tag=_TAG,
        answer=responses.EmptyResponse,
        errors=(400, 404),
    ),
    f"POST {_EVERY}{_ONE}/test": Operation(
        summary="Send a test notification, and show what the receiver answered",
        tag=_TAG,
        answer=subscription_responses.TestedSubscriptionResponse,
        errors=(404, 409, 429),
    ),
}
