"""What requests to one subscription are sent with: its signature keys, headers and password."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ..values.crypto import same


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubscriptionCredentials:
    """The credentials of a subscription that does not use those of its instance."""

    #: Empty: requests are not signed.
    signature_key: str = dataclasses.field(default="", repr=False)
    #: The key before, which signs, too, for some time after its replacement.
    previous_key: str = dataclasses.field(default="", repr=False)
    replaced_at: dt.datetime | None = None
    headers: cabc.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    #: Basic authentication.
    username: str = dataclasses.field(default="", repr=False)
    password: str = dataclasses.field(default="", repr=False)

    @classmethod
    def of(cls, kept: cabc.Mapping[str, t.Any]) -> SubscriptionCredentials:
        """Return the credentials that are stored as JSON."""
        at = kept.get("replaced_at")
        date = dt.datetime.fromisoformat(at) if at is not None else None
        return cls(**{**kept, "replaced_at": date})

    def written(self) -> dict[str, t.Any]:
        """Return the credentials as JSON, without what is empty."""
        kept = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        if self.replaced_at is not None:
            kept["replaced_at"] = self.replaced_at.isoformat()
        return {name: value for name, value in kept.items() if value}

    def with_key(self, key: str, now: dt.datetime) -> SubscriptionCredentials:
        """Return the credentials with another signature key; the present one is retired."""
        if same(key, self.signature_key):
            return self
        retired = self.signature_key
        return dataclasses.replace(
            self,
            signature_key=key,
            previous_key=retired,
            replaced_at=now if retired else None,
        )

    def signing_keys(self, retired_after: dt.datetime) -> tuple[str, ...]:
        """Return the keys that sign, oldest first; none if there is no present key.

        :param retired_after: a key that was replaced after this date signs, too.
        """
        if not self.signature_key:
            return ()
        overlaps = self.replaced_at is not None and self.replaced_at > retired_after
        previous = (self.previous_key,) if self.previous_key and overlaps else ()
        return (*previous, self.signature_key)
