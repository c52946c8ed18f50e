# SPDX-License-Identifier: MIT
"""One browser and one gateway for all journeys; each has accounts and a window of its own.

Only a browser runs scripts, moves the focus, lays out pages in a window and on paper, and shows pages to axe.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ldapgw.google.sandbox.tenant import CAROL
from tests.browser import axe
from tests.browser.window import PEOPLE, SECOND_TENANT, Window, chromium
from tests.support.site.running import Site, new_site

# Without a browser there are no journeys; in CI there has to be one.
collect_ignore_glob = ["test_*.py"] if chromium.missing() and "CI" not in os.environ else []


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """All of them take long; tests/web asks for the same pages without a browser."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium.running() as running:
        yield running


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, allowed = tmp_path_factory.mktemp("site"), ("@acme.example", CAROL)
    with new_site(folder, people=PEOPLE, allowed=allowed, more=SECOND_TENANT) as site, site.running():
        yield site


@pytest.fixture(scope="module")
def crew(browser: Any, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The walks of a module; in the end, the HTML of every page at which a walk has stopped is valid.

    The rules are those that html-validate recommends, and its rules for accessibility.
    """
    from tests.browser.walk import Crew  # needs Playwright

    crew = Crew(browser, site)
    yield crew
    assert not crew.html or axe.invalid(crew.html, tmp_path_factory.mktemp("html")) == ""


@pytest.fixture
def another(crew: Any, way: Any) -> Iterator[Callable[[], Window]]:
    """Opens windows for the way of a journey."""
    from tests.browser.walk import Walk  # needs Playwright

    opened: list[Window] = []

    def open_window() -> Window:
        opened.append(Walk(crew, way))
        return opened[-1]

    yield open_window
    for one in opened:
        one.close()


@pytest.fixture
def window(browser: Any, site: Site) -> Iterator[Callable[..., Window]]:
    """Opens windows, each as of a browser that was never here."""
    windows: list[Window] = []

    def open_window(language: str = "en", **context: Any) -> Window:
        windows.append(Window(browser, site, language, context))
        return windows[-1]

    yield open_window
    for one in windows:
        one.close()
