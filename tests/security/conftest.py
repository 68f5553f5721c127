"""Fixtures of the integration tests that the security tests use, too."""

from __future__ import annotations

from tests.integration.conftest import (
    account,
    api,
    app,
    client,
    env,
    headers,
    other_headers,
    store_server,
    tables,
)

__all__ = [
    "account",
    "api",
    "app",
    "client",
    "env",
    "headers",
    "other_headers",
    "store_server",
    "tables",
]
