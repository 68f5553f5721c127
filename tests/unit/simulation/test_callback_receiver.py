"""The callback receiver keeps complete notifications only."""

from __future__ import annotations

import socket
import urllib.parse

from flask_woo_events.simulation.callback_receiver import CallbackReceiver


def test_incomplete_request_is_ignored() -> None:
    """A body shorter than its Content-Length is ignored; the receiver continues."""
    receiver = CallbackReceiver()
    with receiver.serve() as url:
        port = urllib.parse.urlsplit(url).port
        for body in (b"{}", b'{"a":1}'):
            with socket.create_connection(("127.0.0.1", port), 5) as sender:
                sender.sendall(b"POST /events HTTP/1.1\r\nContent-Length: 7\r\n\r\n" + body)
                sender.shutdown(socket.SHUT_WR)
                answer = sender.recv(1000)
                assert answer.startswith(b"HTTP/1.1 200" if len(body) == 7 else b"")
                assert bool(answer) == (len(body) == 7)
    assert [one.json for one in receiver.received] == [{"a": 1}]
