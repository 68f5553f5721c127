"""Ports that tests reserve."""

from __future__ import annotations

import contextlib
import socket

import pytest

from tests.ports import reserve_port


def test_reserved_port() -> None:
    """A server may bind a reserved port again and again, while nobody else is given it."""
    port = reserve_port()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", port)):
            socket.create_connection(("127.0.0.1", port)).close()


def test_nobody_is_given_a_reserved_port() -> None:
    """Neither servers nor clients are given a reserved port, though they take many."""
    ports = {reserve_port() for _ in range(20)}
    with contextlib.ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(2_000):
            taken = stack.enter_context(socket.socket())
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", 0))
            assert taken.getsockname()[1] not in ports
        for _ in range(200):
            with socket.create_connection(server.getsockname()) as client:
                assert client.getsockname()[1] not in ports
                server.accept()[0].close()
