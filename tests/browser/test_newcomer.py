# SPDX-License-Identifier: MIT
"""Somebody who has just started the demo: how many clicks it is to a phone's settings."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.window import PATIENCE_MS
from tests.support.site.running import Process, wait_until

ALICE = "alice@acme.example"


class Hand:
    """Counts what a person does: clicks, and choices in lists.

    Mutable: `count`.
    """

    def __init__(self) -> None:
        self.count = 0

    def click(self, what: Any) -> None:
        self.count += 1
        what.click()

    def choose(self, what: Any, option: str) -> None:
        self.count += 1
        what.select_option(label=option)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[str]:
    """The page's address, as ``ldapgw demo`` prints it."""
    command = [sys.executable, "-m", "ldapgw", "demo", "--state", str(tmp_path / "demo")]
    process = Process(command, tmp_path / "demo.log", tmp_path)
    try:
        wait_until(lambda: "Ctrl-C ends the demo." in process.said or process.status is not None, "the demo is there")
        found = re.search(r"^Page: +(\S+)", process.said, re.MULTILINE)
        assert found, process.said
        yield found[1]
    finally:
        process.end()


def signed_in(browser: Any, demo: str, hand: Hand) -> Any:
    """The person's own page."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(demo)
    with context.expect_page() as opened:
        hand.click(page.get_by_role("link", name="Sign in", exact=True))
    hand.click(opened.value.get_by_role("radio", name=ALICE))
    hand.click(opened.value.get_by_role("button", name="Continue"))
    page.get_by_role("heading", name="Phones", exact=True).wait_for()
    return page


def test_from_the_demo_to_a_phones_settings(browser: Any, demo: str) -> None:
    """Four clicks to the phone that is there; seven to a new one and the file with its settings; nothing to type."""
    hand = Hand()
    page = signed_in(browser, demo, hand)
    hand.click(page.get_by_role("link", name="desk1"))
    page.get_by_role("heading", name="Set up desk1").wait_for()
    assert hand.count == 4

    hand = Hand()
    page = signed_in(browser, demo, hand)
    hand.click(page.get_by_role("link", name="Add a phone"))
    assert page.get_by_label("Label", exact=True).input_value()
    hand.choose(page.get_by_label("Model"), "Yealink")
    hand.click(page.get_by_role("button", name="Add phone", exact=True))
    hand.click(page.get_by_role("radio", name="Load a file"))
    page.get_by_role("link", name="Download").wait_for()
    password = page.locator("#the-password").inner_text()
    assert f"ldap.password = {password}\n" in page.locator("#file").text_content()
    assert hand.count == 7
