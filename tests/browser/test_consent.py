# SPDX-License-Identifier: MIT
"""Consents in a real browser: what scripts do for them; tests/web has every way in which a consent can end."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from ldapgw.google.sandbox.tenant import ALICE, BOB
from ldapgw.web import error_pages
from tests.browser.window import EVE, OpenWindow

RECONNECTED = "zara@acme.example"


def test_connecting_in_a_window_of_its_own(window: OpenWindow) -> None:
    """It closes itself, and the page that opened it shows the account without having been loaded again."""
    here = window("de")
    here.open()
    assert here.heading == here.say("Your Google contacts on your desk phone")
    here.page.evaluate("window.marked = true")
    google = here.popup()
    here.consent(google, ALICE)
    here.waits_for(here.say("Connected"))
    expect(here.page.locator("main")).to_contain_text(here.say("Your Google contacts are connected."))
    expect(here.page.locator("dd.big").first).to_have_text("300")
    assert here.page.evaluate("window.marked") is True
    assert google.is_closed()
    assert here.page.title() == f"✓ {here.say('Connected')} · Acme GmbH"


def test_connecting_again_in_a_window_of_its_own(window: OpenWindow) -> None:
    """The consent replaces the session, and all forms of the page that opened the window are of the new session."""
    here = window("de")
    here.connect(RECONNECTED)
    for control in ("revoke", "expire-access-tokens"):
        here.site.turn(control, account=RECONNECTED)
    here.press("Sync now")
    here.consent(here.popup("Reconnect"), RECONNECTED)
    here.waits_for(here.say("Connected"))
    here.page.locator("#sought").press_sequentially("tom")
    expect(here.page.locator("#results .people > li")).to_have_count(1)
    here.press("Sign out")
    here.waits_for(here.say("Your Google contacts on your desk phone"))


def test_connecting_where_windows_are_blocked(window: OpenWindow) -> None:
    """The link leads there itself."""
    here = window()
    here.context.add_init_script("window.open = () => null")
    here.open()
    here.press("Connect Google contacts")
    here.consent(here.page, BOB)
    here.waits_for("Connected")
    assert len(here.context.pages) == 1


def test_connecting_while_the_gateway_is_busy(window: OpenWindow) -> None:
    """The page that opened the window asks again until it is answered: nobody else tells it of the consent."""
    here = window()
    here.expected = ("503", "429", "ERR_FAILED")
    refused = iter((503, 429, 0))

    def answer(route: Any) -> None:
        status = next(refused, None)
        if "ldapgw-live" not in route.request.headers or status is None:
            return route.continue_()
        return route.fulfill(status=status) if status else route.abort()

    here.open()
    here.page.route(here.site.page, answer)
    here.consent(here.popup(), BOB)
    here.waits_for("Connected")
    expect(here.page.locator("main")).to_contain_text("Google contacts are connected.")


def test_an_account_that_is_not_allowed(window: OpenWindow) -> None:
    """The page says so, and another one can be chosen in the same window."""
    here = window("de")
    here.expected = ("403",)
    here.open()
    google = here.popup()
    here.consent(google, EVE)
    here.waits_for(here.say(error_pages.PAGES.not_allowed.title), google)
    here.press("Choose another account", google)
    here.consent(google, BOB)
    here.waits_for(here.say("Connected"))


def test_a_consent_that_is_begun_twice(window: OpenWindow) -> None:
    """In two tabs that have no room for another window: each ends for itself, and the later one is no error."""
    here = window("de", viewport={"width": 390, "height": 844})
    tabs = [here.page, here.context.new_page()]
    for tab in tabs:
        tab.goto(here.site.page)
        here.press("Connect Google contacts", tab)
    for tab in tabs:
        here.consent(tab, BOB)
        here.waits_for(here.say("Connected"), tab)
    assert here.context.pages == tabs
