# SPDX-License-Identifier: MIT
"""The tests of ``ldapgw.google`` share these fixtures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import SSL4ServerEndpoint

from .double import RudeServer


@pytest.fixture
def reactor() -> Any:
    """Return the reactor that runs the tests."""
    from twisted.internet import reactor  # noqa: TID251 (tests are an entry point)

    return reactor


@pytest.fixture
def serve(reactor: Any) -> Iterator[Callable[..., Awaitable[str]]]:
    """Return a function that has a server listen until the test ends, with or without TLS, and gives the URL."""
    ports: list[Any] = []

    async def listen(server: RudeServer, tls: Any = None) -> str:
        options = {"endpoint": SSL4ServerEndpoint, "sslContextFactory": tls} if tls else {}
        ports.append(await server.listen(reactor, **options))
        return f"{'https' if tls else 'http'}://127.0.0.1:{ports[-1].getHost().port}/"

    yield listen
    for port in ports:
        pytest_twisted.blockon(maybeDeferred(port.stopListening))
