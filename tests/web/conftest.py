# SPDX-License-Identifier: MIT
"""What the tests of ``ldapgw.web`` share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import provider

from ldapgw.phones.book_reader import BookReader, ListedContact, ListQuery
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


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[ListQuery]:
    """What phones' lists were read of the directory, in order."""
    asked: list[ListQuery] = []
    read_contacts = BookReader.contacts

    def contacts(self: BookReader, *args: Any, **kw: Any) -> AsyncIterator[ListedContact]:
        asked.append(args[2])
        return read_contacts(self, *args, **kw)

    monkeypatch.setattr(BookReader, "contacts", contacts)
    return asked
