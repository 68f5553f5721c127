"""Reports: the result of one run of one resource, for logs and the command line."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(kw_only=True)
class PollReport:
    """The result of one run of one resource."""

    instance: int
    resource: str
    #: Requests sent to the store.
    requests: int = 0
    #: Objects read in full.
    observed: int = 0
    events: int = 0
    #: Time spent reading and recording.
    seconds: float = 0.0
    error: str | None = None
