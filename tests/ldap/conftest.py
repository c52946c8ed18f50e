# SPDX-License-Identifier: MIT
"""The tests of ``ldapgw.ldap`` share these fixtures."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from tests.support.phonebook.listening import Server, certified
from tests.support.phonebook.served import serving


@pytest.fixture
def reactor() -> Any:
    """The reactor that runs the tests, for real sockets."""
    from twisted.internet import reactor  # noqa: TID251 (tests are an entry point)

    return reactor


@pytest.fixture
def clock() -> Clock:
    """A clock in the hands of the test."""
    return Clock()


@pytest.fixture
def trouble() -> Iterator[list[Any]]:
    """Yield the list of the log events above info, which would warn an operator."""
    events: list[Any] = []

    def observe(event: Any) -> None:
        if event["log_level"] > LogLevel.info:
            events.append(event)

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


@pytest.fixture(scope="module")
def still() -> Iterator[None]:
    """No collection of the whole test run's garbage while the work of a turn is measured."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def awkward_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The tree of awkward contacts in a process of its own, for clients that let no other thread run."""
    folder = tmp_path_factory.mktemp("awkward")
    certificate = certified(folder)
    with serving(folder, tls=True, world="awkward") as served:
        yield Server(served.port, served.tls_port, str(certificate))
        assert served.said == ""
