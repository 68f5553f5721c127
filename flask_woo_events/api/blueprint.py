"""The name of the API's blueprint."""

from __future__ import annotations

#: For ``url_for``.
NAME = "woo_events_api"
