# SPDX-License-Identifier: MIT
"""Consents in a real browser: all the ways there, and all the ways that they can end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from ldapgw.contact import Source
from ldapgw.google.sandbox.tenant import ALICE, BOB, CAROL
from ldapgw.web import error_pages
from tests.browser.window import EVE, Window, in_german

OpenWindow = Callable[..., Window]

NARROW = {"viewport": {"width": 390, "height": 844}}


@in_german
def test_connecting_in_a_window_of_its_own(window: OpenWindow, language: str) -> None:
    """It closes itself, and the page that opened it shows the account without having been loaded again."""
    here = window(language)
    here.open()
    assert here.heading == here.say("Your Google contacts on your desk phone")
    here.page.evaluate("window.marked = true")
    google = here.popup()
    here.consent(google, ALICE)
    here.waits_for(here.say("Connected"))
    expect(here.page.locator("main")).to_contain_text(here.say("Your Google contacts are connected."))
    expect(here.page.locator("dd.big").first).to_have_text("331")
    assert here.page.evaluate("window.marked") is True
    assert google.is_closed()
    assert here.page.evaluate("document.documentElement.lang") == language
    assert here.page.title() == f"✓ {here.say('Connected')} · Acme GmbH"


@in_german
def test_connecting_in_the_same_window(window: OpenWindow, language: str) -> None:
    """Where there is no room for another, as on a phone."""
    here = window(language, **NARROW)
    here.open()
    here.press("Connect Google contacts")
    here.consent(here.page, BOB)
    here.waits_for(here.say("Connected"))
    assert len(here.context.pages) == 1
    assert here.page.url == here.site.page


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


@in_german
def test_signing_in(window: OpenWindow, language: str) -> None:
    """It asks for no access, and shows what there is."""
    window().connect(BOB)
    here = window(language)
    here.open()
    google = here.popup("Sign in")
    assert google.get_by_role("checkbox").count() == 0
    here.consent(google, BOB, sources=())
    here.waits_for(here.say("Connected"))


@in_german
def test_signing_in_with_an_account_that_is_not_allowed(window: OpenWindow, language: str) -> None:
    """The page says so, and another one can be chosen."""
    here = window(language)
    here.expected = ("403",)
    here.open()
    google = here.popup("Sign in")
    here.consent(google, EVE, sources=())
    here.waits_for(here.say(error_pages.PAGES.may_not_sign_in.title), google)
    here.press("Choose another account", google)
    here.consent(google, BOB, sources=())
    here.waits_for(here.say("Connected"))


@in_german
def test_refusing(window: OpenWindow, language: str) -> None:
    """The page says so, and offers another try; whoever goes back has changed nothing."""
    here = window(language)
    here.expected = ("403",)
    here.open()
    google = here.popup()
    google.get_by_role("button", name="Cancel").click()
    here.waits_for(here.say(error_pages.PAGES.refused.title), google)
    for line in (error_pages.PAGES.refused.explanation, *error_pages.PAGES.refused.advice):
        expect(google.locator("main")).to_contain_text(here.say(line))
    here.press("Try again", google)
    google.get_by_role("button", name="Cancel").click()
    with google.expect_event("close"):
        here.press("Back", google)
    assert here.heading == here.say("Your Google contacts on your desk phone")


@in_german
def test_a_box_that_was_not_ticked(window: OpenWindow, language: str) -> None:
    """The page names it in Google's words; the second try may tick it."""
    here = window(language)
    here.expected = ("403",)
    here.open()
    google = here.popup()
    here.consent(google, "hanna@acme.example", [Source.DIRECTORY])
    here.waits_for(here.say("A checkbox wasn’t checked"), google)
    expect(google.locator("main")).to_contain_text(here.say(error_pages.CONSENT_CHECKBOXES[Source.CONTACTS]))
    here.press("Try again", google)
    here.consent(google, "hanna@acme.example", [Source.CONTACTS])
    here.waits_for(here.say("Connected"))
    expect(here.page.locator("#standing")).to_contain_text(here.say("Company directory"))
    here.press("Account and sharing")
    expect(here.page.locator("#google")).to_contain_text(here.say("not granted"))
    here.confirm("Disconnect")
    here.waits_for(here.say("Not connected"))


@in_german
def test_the_wrong_account(window: OpenWindow, language: str) -> None:
    """Whoever is signed in with one and chooses another is asked what they meant; both can be had."""
    here = window(language)
    here.expected = ("403",)
    here.open()
    here.consent(here.popup("Sign in"), CAROL, sources=())
    here.waits_for(here.say("Not connected"))
    google = here.popup()
    here.consent(google, "ivo@acme.example")
    here.waits_for(here.say(error_pages.PAGES.wrong_account.title), google)
    here.press("Add the other account", google)
    here.consent(google, "ivo@acme.example")
    here.waits_for(here.say("Connected"))
    here.press("Account and sharing")
    expect(here.page.locator("#access")).to_contain_text("ivo@acme.example")
    here.confirm("Disconnect")
    here.waits_for(here.say("Not connected"))


@in_german
def test_several_accounts_of_one_person(window: OpenWindow, language: str) -> None:
    """Each has its place on the page, and its own sharing and end."""
    here = window(language)
    shared, private = (
        here.page.get_by_role("radio", name=re.compile(rf"^{here.say(one)}")) for one in ("Shared", "Private")
    )
    here.connect(CAROL)
    here.press("Account and sharing")
    here.consent(here.popup("Add another Google account"), "ivo@acme.example")
    accounts = here.page.get_by_role("navigation", name=here.say("Google accounts")).get_by_role("link")
    expect(accounts).to_have_text([CAROL, "ivo@acme.example"])
    accounts.nth(1).click()
    expect(here.page.locator("#access")).to_contain_text("ivo@acme.example")
    shared.check()
    here.press("Save")
    expect(accounts.nth(1)).to_have_attribute("aria-current", "page")
    expect(shared).to_be_checked()
    accounts.nth(0).click()
    expect(private).to_be_checked()
    accounts.nth(1).click()
    expect(here.page.locator("#access")).to_contain_text("ivo@acme.example")
    here.confirm("Disconnect")
    here.waits_for(here.say("Connected"))
    assert accounts.count() == 0
    here.disconnect()
    # A window that is closed while the answer is on its way can leave Chromium waiting forever.
    here.waits_for(here.say("Not connected"))


@in_german
def test_an_account_that_is_not_allowed(window: OpenWindow, language: str) -> None:
    """The page says so, and another one can be chosen."""
    here = window(language)
    here.expected = ("403",)
    here.open()
    google = here.popup()
    here.consent(google, EVE)
    here.waits_for(here.say(error_pages.PAGES.not_allowed.title), google)
    here.press("Choose another account", google)
    here.consent(google, BOB)
    here.waits_for(here.say("Connected"))


@in_german
def test_a_consent_that_is_begun_twice(window: OpenWindow, language: str) -> None:
    """In two tabs: each ends for itself, and the one that comes later is no error."""
    here = window(language, **NARROW)
    tabs = [here.page, here.context.new_page()]
    for tab in tabs:
        tab.goto(here.site.page)
        here.press("Connect Google contacts", tab)
    for tab in tabs:
        here.consent(tab, BOB)
        here.waits_for(here.say("Connected"), tab)


@in_german
def test_a_callback_that_is_asked_for_twice(window: OpenWindow, language: str) -> None:
    """The answer of Google's counts once."""
    here = window(language, **NARROW)
    here.expected = ("400",)
    answers: list[str] = []
    here.page.on("request", lambda one: answers.append(one.url) if "/oauth/callback" in one.url else None)
    here.open()
    here.press("Connect Google contacts")
    here.consent(here.page, BOB)
    here.waits_for(here.say("Connected"))
    here.page.goto(answers[0])
    here.waits_for(here.say(error_pages.PAGES.expired.title))
    here.press("Open the page")
    here.waits_for(here.say("Connected"))


@in_german
def test_googles_error(window: OpenWindow, language: str) -> None:
    """Google does not answer when the code is exchanged."""
    here = window(language, **NARROW)
    here.expected = ("503",)
    here.site.turn("inject-fault", name="token_error_503_html")
    try:
        here.open()
        here.press("Connect Google contacts")
        here.consent(here.page, BOB)
        here.waits_for(here.say(error_pages.PAGES.busy.title))
    finally:
        here.site.turn("clear-faults")


def test_without_scripts(window: OpenWindow) -> None:
    """Connect, search, share, sync, disconnect, sign out: all of it goes on."""
    here = window(java_script_enabled=False)
    here.open()
    here.press("Connect Google contacts")
    here.consent(here.page, "jana@acme.example")
    # A reload while Google leads back would meet a page that is on its way out.
    here.page.wait_for_url(f"{here.site.page}*")
    _until_synced(here)
    here.page.get_by_role("searchbox").fill("jan")
    here.press("Search")
    expect(here.page.locator("#results")).to_contain_text("Tom Janamann")
    here.press("Overview")
    here.press("Account and sharing")
    here.page.get_by_role("radio", name="Shared").check()
    here.press("Save")
    assert here.page.get_by_role("radio", name="Shared").is_checked()
    here.press("Overview")
    here.press("Sync now")
    # The sync may have ended before the page was made; the first one had a change.
    expect(here.page.locator("main")).to_contain_text(re.compile("Sync started|Up to date: no changes"))
    here.disconnect()
    assert here.heading == "Not connected"
    here.press("Sign out")
    expect(here.page.locator("main")).to_contain_text("You’re signed out.")


def _until_synced(here: Any) -> None:
    for _ in range(50):
        if here.heading == "Connected":
            return
        here.page.wait_for_timeout(200)
        here.page.reload()
    raise AssertionError(here.heading)
