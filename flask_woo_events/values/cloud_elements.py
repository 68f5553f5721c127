"""Names and numbers of the Cloud Elements service that clients rely on."""

from __future__ import annotations

import enum

ELEMENT_KEY = "woocommercerest"
ELEMENT_ID = 2881
HUB_KEY = "ecommerce"
#: The element's key and id, which a path may use.
ELEMENT_NAMES = (ELEMENT_KEY, str(ELEMENT_ID))
#: The ``user`` of every notification.
SENDER = "notifications@cloud-elements.com"


class Format(enum.StrEnum):
    """The form of an instance's notifications."""

    CLOUD_ELEMENTS = "cloud-elements"  #: the documented members and no others
    EXTENDED = "extended"  #: with ``version``, ``changedFields``, ``changes`` and ``names``
    THIN = "thin"  #: ``extended`` without the objects themselves
    CLOUDEVENTS = "cloudevents"  #: one event a request, as CloudEvents 1.0 in structured JSON
