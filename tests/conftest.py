# SPDX-License-Identifier: MIT
"""What tests of every part share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import reactor  # noqa: TID251  tests are an entry point
from twisted.logger import formatEvent, globalLogPublisher

from ldapgw.server.reactor import use_monotonic_clock

# A machine's clock that is set must stop no test that waits.
use_monotonic_clock(reactor)


@pytest.fixture
def caplog_twisted() -> Iterator[list[str]]:
    """What our own loggers say during the test."""
    said: list[str] = []

    def observe(event: dict[str, Any]) -> None:
        if event.get("log_namespace", "").startswith("ldapgw"):
            said.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield said
    globalLogPublisher.removeObserver(observe)
