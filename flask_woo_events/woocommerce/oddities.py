"""Oddities: what is wrong with a store's answers that a resource survives, and what it costs."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Oddity:
    """One kind of them.

    :param code: for the API and for logs.
    :param costs: what is not as it should be while it lasts, a sentence.
    :param ends: what ends it, a sentence.
    """

    code: str
    costs: str
    ends: str


def by_code(code: str) -> Oddity | None:
    """Return the oddity with a code; ``None`` if this release has none."""
    every = [one for one in globals().values() if isinstance(one, Oddity)]
    return next((one for one in every if one.code == code), None)


BODY_TRUNCATED = Oddity(
    "body-truncated",
    costs="Events of these objects have no body, only the id and bodyTruncated.",
    ends="A change of the object that the database takes, or a day; MariaDB takes no statement "
    "that is larger than max_allowed_packet.",
)
NOT_RECORDED = Oddity(
    "not-recorded",
    costs="The change that was found of these objects is not sent.",
    ends="A reading of the object that the database takes, at the latest the comparison's.",
)


class Oddities:
    """Collects the oddities that a client and its readers meet, until they are taken."""

    def __init__(self) -> None:
        self._found: dict[Oddity, str] = {}

    def add(self, oddity: Oddity, detail: str) -> None:
        """Add an oddity.

        :param detail: what exactly, a sentence without a customer's data; the last one counts.
        """
        self._found[oddity] = detail

    def take(self) -> dict[Oddity, str]:
        """Return what was added since this was last called."""
        found, self._found = self._found, {}
        return found


#: Values that do not match ``datesConfiguration``.
DATES_UNREADABLE = Oddity(
    "dates-unreadable",
    costs="Events of these objects have another date of theirs, or the date of the poll.",
    ends="A datesConfiguration with the field, format and time zone of the dates in the objects.",
)
UNREADABLE_OBJECTS = Oddity(
    "unreadable-objects",
    costs="Changes of these objects are sent when the store can show them again.",
    ends="The store shows them, which is tried again by itself; its error log says why it fails, "
    "unless an answer is larger than WOO_EVENTS_STORE_MAX_BYTES.",
)
SMALL_PAGES = Oddity(
    "small-pages",
    costs="A poll takes more requests than with pages of full length.",
    ends="The store answers longer pages, which are tried again by themselves; a pageSize that it "
    "can answer avoids the trials.",
)
STATUSES_UNKNOWN = Oddity(
    "order-statuses-unknown",
    costs="Orders with a status that an extension has added since may be found late.",
    ends="The store answers reports/orders/totals, which is read again every hour.",
)
STATUSES_REFUSED = Oddity(
    "order-statuses-refused",
    costs="Orders with these statuses are read only by their own addresses.",
    ends="The store lists orders with these statuses, which are tried again every day.",
)
#: Objects with a modified date that the store's clock will not reach for a day or more.
DATED_AHEAD = Oddity(
    "dated-ahead",
    costs="A later change of these objects that keeps their date is found by the comparison, "
    "within `WOO_EVENTS_COMPARE_HOURS`.",
    ends="Saving the objects in WooCommerce, which sets their date.",
)

#: Fields of extensions that differ each time an object is read.
UNSTABLE_FIELDS = Oddity(
    "unstable-fields",
    costs="Changes of these fields alone send no event.",
    ends="Two equal reads of the same objects, checked daily, or `ignoredFields` of the resource.",
)
TEXT_AROUND_JSON = Oddity(
    "text-around-json",
    costs="Nothing yet: the JSON is found, but an answer that the text breaks up would fail.",
    ends="Switch off WP_DEBUG_DISPLAY and display_errors, and the plugin that prints the text.",
)
DATABASE_ERROR = Oddity(
    "database-error",
    costs="No deletions are sent: objects may be missing because a query of the store failed.",
    ends="Repair the table that WordPress names in the answer of /wp-json/wc/v3/orders.",
)
#: The detail of such errors.
QUERY_FAILED = "an answer says that a query of the store's database failed"
STATUS_IN_BODY = Oddity(
    "status-in-body",
    costs="Nothing: errors with the status of a success are recognized by their body.",
    ends="Switch off the plugin that changes the status, or prints text before the answer.",
)
STATUS_CONTRADICTS_BODY = Oddity(
    "status-contradicts-body",
    costs="No deletions are sent: the store answers with an error status and with objects.",
    ends="Switch off the plugin that sets the status, or that fails after each answer.",
)
CACHED = Oddity(
    "cached-answers",
    costs="No deletions are sent, and changes are found after the cache has dropped its answers.",
    ends="Exclude /wp-json/ from the cache before the store.",
)
NOT_INCLUDED = Oddity(
    "not-included",
    costs="Each of these objects costs a request of its own, 20 of a page in one poll.",
    ends="Switch off the plugin that leaves objects out of requests with include.",
)
FORCED_ORDER = Oddity(
    "forced-order",
    costs="Each poll reads all objects of the resource, since the store ignores orderby and order.",
    ends="Switch off the plugin that sorts lists of the REST API; it is tried again each day.",
)
