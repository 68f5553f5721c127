"""The exceptions of the package, in one tree.

::

    WooEventsError
    ├── ConfigurationError          a setting or a step of the installation is wrong
    │   └── SchemaError             our tables are missing or of another release
    ├── SecretError                 a stored secret cannot be read with the keys given
    ├── InputError                  what a caller sent is wrong (400)
    │   └── DatePatternError        a Java date pattern that cannot be used
    ├── AccessError                 who calls is unknown (401)
    │   └── ForbiddenError          who calls is known and may not (403)
    ├── NotFoundError               the thing does not exist for this caller (404)
    ├── ConflictError               the thing exists already or is in another state (409)
    ├── LeaseLostError              another worker has taken this work over
    └── TransportError              a conversation over HTTP failed
        ├── AddressRefusedError     the address guard forbids this address
        ├── UnreachableError        no answer: name, connection, TLS, time-out
        └── StoreError              the store answered, and not as it should
            ├── StoreAccessError    401, 403: keys, permissions
            ├── StoreBusyError      429, 503: come back later
            ├── StoreRejectedError  another 4xx: the request does not suit this store
            ├── StoreFailedError    5xx
            ├── StoreGarbledError   not the JSON that was asked for
            ├── MassDeletionError   much is gone at once; not believed at first sight
            ├── AnotherStoreError   what is shown is not the store that is known
            ├── StoreRestoredError  the store is as it was before changes that were seen
            └── JournalBrokenError  the companion plugin's journal lacks rows that should be there
"""

from __future__ import annotations


class WooEventsError(Exception):
    """The base of every exception that this package raises on purpose."""


class ConfigurationError(WooEventsError):
    """A setting or a step of the installation is wrong; the message names the key and the fix."""


class SchemaError(ConfigurationError):
    """Our tables are missing or belong to another release."""


class SecretError(WooEventsError):
    """A stored secret cannot be decrypted with ``WOO_EVENTS_ENCRYPTION_KEYS``."""


class InputError(WooEventsError):
    """What a caller sent is wrong.

    :param message: one sentence that says what is expected.
    :param field: the path of the field, as the caller wrote it.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        #: The path of the wrong field, for example ``configuration.store.url``.
        self.field = field


class DatePatternError(InputError):
    """A Java date pattern, or a date that does not follow its pattern."""


class AccessError(WooEventsError):
    """Who calls is unknown."""


class ForbiddenError(AccessError):
    """Who calls is known and may not do this."""


class NotFoundError(WooEventsError):
    """The thing does not exist, or not for this caller."""


class ConflictError(WooEventsError):
    """The thing exists already, or is in a state that forbids this."""


class LeaseLostError(WooEventsError):
    """Another worker has taken this work over; nothing of it may be written any more."""


class TransportError(WooEventsError):
    """A conversation over HTTP failed.

    :param message: a sentence for people, without any secret.
    :param url: the address, without its query.
    """

    def __init__(self, message: str, *, url: str = "") -> None:
        super().__init__(message)
        #: The address that was asked, without its query string.
        self.url = url


class AddressRefusedError(TransportError):
    """The address guard forbids this address."""


class UnreachableError(TransportError):
    """No answer came: name look-up, connection, TLS or a time-out."""


class StoreError(TransportError):
    """The store answered, and not as it should.

    :param status: HTTP status of the answer.
    :param code: WooCommerce's error code, for example ``woocommerce_rest_cannot_view``.
    :param said: what the store said, at most a few hundred characters.
    :param retry_after: seconds that the store asked us to wait, when it did.
    """

    def __init__(
        self,
        message: str,
        *,
        url: str = "",
        status: int = 0,
        code: str = "",
        said: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, url=url)
        #: HTTP status of the answer.
        self.status = status
        #: WooCommerce's error code, empty when the answer had none.
        self.code = code
        #: What the store said, shortened.
        self.said = said
        #: Seconds that the store asked us to wait.
        self.retry_after = retry_after


class StoreAccessError(StoreError):
    """401 or 403: the keys are wrong, or their user or scope may not do this."""


class StoreBusyError(StoreError):
    """429 or 503: the store wants us to come back later."""


class StoreRejectedError(StoreError):
    """Another 4xx: the request does not suit this store."""


class StoreFailedError(StoreError):
    """5xx: the store failed."""


class StoreGarbledError(StoreError):
    """The answer is not the JSON that was asked for."""


class MassDeletionError(StoreError):
    """Much of a store is gone at once, which is not believed at first sight."""


class AnotherStoreError(StoreError):
    """What is shown is not the store that the ledger knows."""


class StoreRestoredError(StoreError):
    """The store is as it was before changes that were seen: a backup was played in."""


class JournalBrokenError(StoreError):
    """The companion plugin's journal is not the one that was read, or lacks rows."""
