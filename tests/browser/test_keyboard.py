# SPDX-License-Identifier: MIT
"""The whole way by keyboard alone: no mouse is touched, and one always sees where one is."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.browser.window import OpenWindow

# A page has fewer places to go to.
MOST_TABS = 60

# The element with the focus is marked, and within view.
_MARKED = """(one) => {
  const box = one.getBoundingClientRect();
  const style = getComputedStyle(one);
  const seen = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && seen;
}"""


def go_to(page: Any, wanted: Any, *, ours: bool = True) -> None:
    """Press Tab until something has the focus; on the way each place is marked."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        at = page.locator(":focus")
        if ours and at.count():
            assert at.evaluate(_MARKED), at.evaluate("one => one.outerHTML")
        if wanted.evaluate("one => one === document.activeElement"):
            return
    raise AssertionError(f"no way there by Tab: {wanted}")


def link(page: Any, name: str) -> Any:
    return page.get_by_role("link", name=name, exact=True)


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def consent(google: Any, account: str) -> None:
    """Google's page, by its own means."""
    go_to(google, google.get_by_role("radio").first, ours=False)
    radio = google.get_by_role("radio", name=account)
    while not radio.is_checked():
        google.keyboard.press("ArrowDown")
    for box in google.get_by_role("checkbox").all():
        go_to(google, box, ours=False)
        google.keyboard.press("Space")
    go_to(google, button(google, "Continue"), ours=False)
    google.keyboard.press("Enter")


def test_from_the_front_page_to_a_phones_settings(window: OpenWindow) -> None:
    """Connect, add a phone, choose its vendor, copy what it needs; then back, and out again."""
    here = window(permissions=["clipboard-read", "clipboard-write"])
    page, keys, name = here.page, here.page.keyboard, "keys"
    page.goto(here.site.page.removesuffix("acme/"))
    keys.press("Tab")
    expect(link(page, here.say("Skip to content"))).to_be_in_viewport()
    keys.press("Enter")
    keys.press("Tab")
    expect(link(page, "Acme GmbH")).to_be_focused()
    keys.press("Enter")
    here.waits_for(here.say("Your Google contacts on your desk phone"))
    go_to(page, link(page, here.say("Connect Google contacts")))
    with here.context.expect_page() as opened:
        keys.press("Enter")
    consent(opened.value, "rosa@acme.example")
    here.waits_for(here.say("Connected"))

    go_to(page, link(page, here.say("Phones")))
    keys.press("Enter")
    go_to(page, page.get_by_label(here.say("Label"), exact=True))
    keys.type(name)
    go_to(page, page.get_by_label(here.say("Model")))
    keys.type("Yea")
    go_to(page, button(page, here.say("Add phone")))
    keys.press("Enter")
    here.waits_for(f"{name}: {here.say('Not used yet')}")

    go_to(page, button(page, here.say("Copy %(what)s").replace("%(what)s", here.say("the password"))))
    keys.press("Space")
    copied = "navigator.clipboard.readText()"
    assert page.evaluate(copied) == page.locator("#the-password").inner_text()
    # The arrow chooses the next way, which is the file.
    go_to(page, page.get_by_label(here.say("Give the phone an address")))
    keys.press("ArrowDown")
    go_to(page, page.locator(".contents summary"))
    keys.press("Enter")
    go_to(page, button(page, here.say("Copy %(what)s").replace("%(what)s", "yealink-ldap.cfg")))
    keys.press("Enter")
    expect(page.locator("#said")).to_have_text(here.say("Copied"))
    assert f"ldap.user = {name}\n" in page.evaluate(copied)

    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Control+Home")
    page.reload()
    go_to(page, button(page, here.say("Sign out")))
    keys.press("Enter")
    here.waits_for(here.say("Your Google contacts on your desk phone"))
