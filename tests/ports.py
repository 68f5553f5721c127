"""Ports of loopback for servers that start later, restart, or are other programs."""

from __future__ import annotations

import socket

_held: list[socket.socket] = []


def reserve_port() -> int:
    """Reserve a port of 127.0.0.1 until this process ends.

    A socket that is bound and does not listen keeps everybody else from being given the port:
    other tests and outgoing connections. The server may bind it all the same, as servers set
    SO_REUSEADDR; before it does, connections are refused.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    _held.append(holder)
    return int(holder.getsockname()[1])
