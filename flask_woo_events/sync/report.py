"""Reports: what one poll of one resource did, for logs and the command line."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(kw_only=True)
class PollReport:
    """What one poll of one resource did."""

    instance: int
    resource: str
    #: Requests to the store.
    requests: int = 0
    #: Objects read in full.
    observed: int = 0
    events: int = 0
    seconds: float = 0.0
    error: str | None = None
