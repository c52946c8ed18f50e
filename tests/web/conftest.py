# SPDX-License-Identifier: MIT
"""The tests of ``ldapgw.web`` share these fixtures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ldapgw.phones.book_reader import BookReader
from ldapgw.phones.contact_list import ListedContact, ListQuery
from tests.support.stage.web import Browser, Stage, by_link


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def browser(stage: Stage) -> Browser:
    return stage.browser()


@pytest.fixture
def alice(browser: Browser) -> Browser:
    """Alice has connected in this browser, and has read that she has."""
    browser.consent()
    browser.get("/acme/")
    browser.stage.changes = 0
    return browser


@pytest.fixture
def admin(stage: Stage) -> Browser:
    """Return the browser of an administrator who has opened a link."""
    return by_link(stage)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[ListQuery]:
    """Return the queries by which contacts are read from the directory, in order."""
    asked: list[ListQuery] = []
    read_contacts = BookReader.contacts

    def contacts(self: BookReader, *args: Any, **kw: Any) -> AsyncIterator[ListedContact]:
        asked.append(args[2])
        return read_contacts(self, *args, **kw)

    monkeypatch.setattr(BookReader, "contacts", contacts)
    return asked
