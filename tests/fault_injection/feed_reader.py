"""A program that reads a feed with ``flask_woo_events.client``, to be killed at any moment.

``python -m tests.fault_injection.feed_reader URL AUTHORIZATION CURSOR HANDLED`` appends the id of
the object of each event to the file HANDLED.
"""

from __future__ import annotations

import os
import sys

from flask_woo_events.client import CursorFile, FeedReader

#: Events of one answer, which a kill may repeat; seconds that the server waits.
LIMIT, WAIT = 50, 2


def main(url: str, authorization: str, cursor: str, handled: str) -> None:
    """Read until the process is killed."""
    file = os.open(handled, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for event in FeedReader(url, authorization, CursorFile(cursor), limit=LIMIT, wait=WAIT):
        [one] = event["message"]["events"]
        os.write(file, f"{one['objectId']}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
