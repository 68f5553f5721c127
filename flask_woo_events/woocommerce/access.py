"""The address and the keys of one store, and how its requests are made."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses


@dataclasses.dataclass(frozen=True)
class RequestOptions:
    """What the requests to one store have in common.

    :param user_agent: ``User-Agent``; empty for ours.
    :param headers: additional headers. With an ``Authorization`` among them, the keys go into the
        query.
    :param rest: where the REST API is, as :attr:`~.client.StoreClient.rest` found it; empty for
        ``/wp-json/``.
    """

    user_agent: str = ""
    headers: cabc.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    rest: str = ""


@dataclasses.dataclass(frozen=True)
class StoreAccess:
    """The address of a store's REST API, and its keys."""

    url: str
    consumer_key: str = dataclasses.field(repr=False)
    consumer_secret: str = dataclasses.field(repr=False)
    options: RequestOptions = RequestOptions()
