# SPDX-License-Identifier: MIT
"""What the tests of ``ldapgw.web`` share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import provider

from tests.support.stage.web import Browser, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def browser(stage: Stage) -> Browser:
    return stage.browser()


@pytest.fixture
def alice(browser: Browser) -> Browser:
    """A browser in which Alice has connected, and has read that she has."""
    browser.consent()
    browser.get("/acme/")
    browser.stage.changes = 0
    return browser


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """What is logged while the test runs."""
    events: list[LogEvent] = []

    @provider(ILogObserver)
    def keep(event: LogEvent) -> None:
        events.append(event)

    globalLogPublisher.addObserver(keep)
    yield events
    globalLogPublisher.removeObserver(keep)
