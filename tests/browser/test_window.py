# SPDX-License-Identifier: MIT
"""On every journey, the pages ask nobody but us for anything."""

from __future__ import annotations

from tests.browser.window import OpenWindow


def test_a_request_to_somebody_else_is_noticed(window: OpenWindow) -> None:
    """Were there one on a page, its journey would fail; a person who goes to Google is none."""
    here = window()
    here.expected = ("blocked by CORS", "ERR_FAILED")
    here.open()
    here.popup().get_by_role("radio").first.wait_for()
    assert here.foreign == []
    here.page.goto("about:blank")
    elsewhere = f"{here.site.google}/sandbox/state"
    here.page.set_content(f'<img src="{elsewhere}">', wait_until="load")
    assert here.foreign == [elsewhere]
    here.foreign.clear()
