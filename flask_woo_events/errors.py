"""The exceptions of the package.

::

    WooEventsError
    ├── ConfigurationError          a setting or a step of the installation is wrong
    │   └── SchemaError             the tables are missing or of another release
    ├── SecretError                 a stored secret cannot be read with the keys given
    ├── InputError                  a value from outside is wrong (400)
    │   └── DatePatternError        a Java date pattern that cannot be used
    ├── AccessError                 the caller is unknown (401)
    │   └── ForbiddenError          the caller may not do this (403)
    ├── NotFoundError               the object does not exist for this caller (404)
    ├── ConflictError               the object exists already, or its state forbids this (409)
    ├── BusyError                   too many requests of a kind at the same time (429)
    ├── LeaseLostError              another worker has taken over this work
    └── TransportError              an HTTP request failed
        ├── AddressRefusedError     the address guard forbids this address
        ├── UnreachableError        no answer: name, connection, TLS, time-out
        │   └── OutOfPatienceError  the work may not wait for answers any longer
        └── StoreError              the store's answer is an error
            ├── StoreAccessError    401, 403: keys, permissions
            │   └── StoreFirewallError  a firewall before the store
            ├── StoreBusyError      429, 503: try again later
            ├── StoreRejectedError  another 4xx: the store does not support the request
            ├── StoreFailedError    5xx
            │   └── ObjectUnreadableError  one object cannot be read, others can
            ├── StoreGarbledError   not the expected JSON
            │   └── StoreOrderError     rows in another order than that of their ids
            ├── AnotherStoreError   the store that answers is not proved to be the known one
            └── JournalBrokenError  the companion plugin's journal lacks rows
"""

from __future__ import annotations


class WooEventsError(Exception):
    """The base of every exception that this package raises on purpose."""


class ConfigurationError(WooEventsError):
    """A setting or a step of the installation is wrong; the message names the key and the fix."""


class SchemaError(ConfigurationError):
    """The extension's tables are missing, or are of another release."""


class SecretError(WooEventsError):
    """A stored secret cannot be decrypted with ``WOO_EVENTS_ENCRYPTION_KEYS``."""


class InputError(WooEventsError):
    """A value from outside is wrong; the API answers 400.

    :param message: one sentence that says what is expected.
    :param field: path of the field, as the caller wrote it.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        #: Path of the wrong field, for example ``configuration.store.url``.
        self.field = field


class NotJsonError(InputError):
    """A body is not JSON."""


class DatePatternError(InputError):
    """A Java date pattern is not supported, or a date does not match its pattern."""


class AccessError(WooEventsError):
    """The caller is unknown; the API answers 401."""


class ForbiddenError(AccessError):
    """The caller is known but may not do this; the API answers 403."""


class NotFoundError(WooEventsError):
    """The object does not exist, or belongs to another organisation; the API answers 404."""


class ConflictError(WooEventsError):
    """The object exists already, or its state forbids this; the API answers 409."""


class BusyError(WooEventsError):
    """A feed cannot be read yet, or too many requests run at the same time; the API answers 429."""


class LeaseLostError(WooEventsError):
    """Another worker has taken over this work, so this one must not write its results."""


class TransportError(WooEventsError):
    """An HTTP request to a store or callback failed.

    :param message: one sentence without secrets.
    :param url: the requested URL without its query.
    """

    def __init__(self, message: str, *, url: str = "") -> None:
        super().__init__(message)
        #: The requested URL without its query.
        self.url = url


class AddressRefusedError(TransportError):
    """The address guard forbids this address."""


class UnreachableError(TransportError):
    """No complete answer: the name, the connection, TLS or a time-out failed."""

    #: Whether there was a connection, so that another request may be answered.
    connected = False


class OutOfPatienceError(UnreachableError):
    """The work that needs the answer may not wait any longer; another one may wait for it.

    :param busy: nothing was sent, because too many others are waiting.
    """

    def __init__(self, message: str, *, url: str = "", busy: bool = False) -> None:
        super().__init__(message, url=url)
        #: Whether nothing was sent, because too many others are waiting.
        self.busy = busy


class StoreError(TransportError):
    """The store's answer is an error, or is not what the REST API documents.

    :param status: HTTP status of the answer; 0 when there is none.
    :param code: WooCommerce's error code, for example ``woocommerce_rest_cannot_view``.
    :param said: the store's message, at most a few hundred characters.
    :param retry_after: seconds that the store asked to wait, if it did.
    :param doubtful: a query of the store failed, so that a 404 proves no absence.
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
        doubtful: bool = False,
    ) -> None:
        super().__init__(message, url=url)
        #: HTTP status of the answer; 0 when there is none.
        self.status = status
        #: WooCommerce's error code, empty when the answer had none.
        self.code = code
        #: The store's message, shortened.
        self.said = said
        #: Seconds that the store asked to wait (``Retry-After``).
        self.retry_after = retry_after
        #: Whether a 404 may be wrong.
        self.doubtful = doubtful


class StoreAccessError(StoreError):
    """401 or 403: the keys are wrong, or their user or permissions do not allow this."""


class StoreFirewallError(StoreAccessError):
    """A firewall before the store refused the request, or asked for a browser."""


class StoreBusyError(StoreError):
    """429 or 503: the store asks to try again later."""


class StoreRejectedError(StoreError):
    """Another 4xx: the store does not support the request."""


class StoreFailedError(StoreError):
    """5xx: the store failed."""


class ObjectUnreadableError(StoreFailedError):
    """The store fails to show one object, and shows others."""


class StoreGarbledError(StoreError):
    """The answer is not the expected JSON."""


class StoreOrderError(StoreGarbledError):
    """The store does not return the rows in the order of their ids, although requested."""


class AnotherStoreError(StoreError):
    """The store that answers is not proved to be the one in the ledger.

    :param verdict: ``another`` or ``unknown``; empty if only the address differs.
    :param root: the address that the store gives as its own, if it is another than before.
    """

    def __init__(self, message: str, *, verdict: str = "", root: str = "", url: str = "") -> None:
        super().__init__(message, url=url)
        self.verdict = verdict
        self.root = root


class JournalBrokenError(StoreError):
    """The companion plugin's journal was replaced, or lacks rows that have not been read."""
