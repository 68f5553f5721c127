"""Descriptions of the operations on erasures."""

from __future__ import annotations

from .. import erasure_responses, responses
from .operation import BODY_ERRORS, Operation, Schema

_TAG = "accounts"
_BODY: Schema = {"$ref": "#/components/schemas/ErasureRequest"}
_ERASE = Operation(
    summary="Erase a person from the organization's data, and store nothing of them from now on",
    tag=_TAG,
    authorization="account",
    body=_BODY,
    answer=erasure_responses.ErasureResponse,
    errors=(*BODY_ERRORS, 404, 409),
)
_LIST = Operation(
    summary="List the latest erasures, without the addresses",
    tag=_TAG,
    authorization="account",
    answer=[erasure_responses.RecordedErasureResponse],
    errors=(404,),
)

#: By method and path.
OPERATIONS: dict[str, Operation] = {
    "POST /accounts/erasures": _ERASE,
    "POST /accounts/{account_id}/erasures": _ERASE,
    "GET /accounts/erasures": _LIST,
    "GET /accounts/{account_id}/erasures": _LIST,
    "DELETE /accounts/erasures/{erasure_id}": Operation(
        summary="Store again what a store shows of the person of an erasure",
        tag=_TAG,
        authorization="account",
        answer=responses.EmptyResponse,
        errors=(404,),
    ),
}
