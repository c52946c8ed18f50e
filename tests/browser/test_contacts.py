# SPDX-License-Identifier: MIT
"""The list of contacts in a real browser: to a letter, to a contact, and back."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.window import Window

OpenWindow = Callable[..., Window]


def test_from_the_list_to_a_contact_and_back(window: OpenWindow) -> None:
    """By a letter; the number is copied in E.164 although it is written for people."""
    here = window()
    here.context.grant_permissions(["clipboard-read", "clipboard-write"])
    here.connect("alice@acme.example")
    here.press("Contacts")
    expect(here.page.locator(".people > li")).to_have_count(50)
    here.page.get_by_label("Letters").get_by_role("link", name="M", exact=True).click()
    names = here.page.locator(".who a")
    expect(here.page.locator(".letter")).to_have_text(["M"])
    here.page.locator(".people > li").filter(has=here.page.locator(".tel")).first.get_by_role("link").first.click()
    name = here.page.get_by_role("heading", level=1).inner_text()
    expect(here.page.locator("#shown .screen").first).to_contain_text(name)
    here.page.get_by_role("button", name="Copy").first.click()
    copied = here.page.evaluate("navigator.clipboard.readText()")
    assert copied == here.page.locator("#number-1").text_content()
    assert copied == here.page.locator("dl .tel").first.inner_text().replace(" ", "").replace("-", "")
    here.page.go_back()
    expect(names.filter(has_text=name).first).to_be_visible()
    here.page.get_by_role("searchbox").fill("mul")
    expect(here.page.locator("#results .hits li").first).to_be_visible()
