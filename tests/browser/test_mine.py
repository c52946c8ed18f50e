# SPDX-License-Identifier: MIT
"""A person's own page in a real browser: what follows by itself, and what one can do there."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from ldapgw.numbers.phone_number import readable
from tests.browser.window import LANGUAGES, Window, in_german, person
from tests.support.site.running import wait_until

OpenWindow = Callable[..., Window]


def figures(here: Window) -> Any:
    """The counts on the page: contacts, numbers."""
    return here.page.locator("dd.big")


# Without events a page asks every few seconds, and has to be waited for.
@pytest.mark.parametrize("events", [True, False], ids=["by events", "by asking again"])
def test_what_changes_is_shown_without_a_reload(window: OpenWindow, events: bool) -> None:
    """Somebody syncs from elsewhere; where no events get through, the page asks now and then."""
    here = window()
    here.expected = ("501",)
    if not events:
        here.context.route("**/events", lambda route: route.fulfill(status=501))
    here.connect("dora@acme.example")
    before = int(figures(here).first.inner_text())
    here.page.evaluate("window.marked = true")
    here.site.turn("add-person", account="dora@acme.example", person=person("Ute", "Neu", "+49305550199"))
    assert here.site.ldapgw("sync", "dora@acme.example", "--wait").returncode == 0
    expect(figures(here).first).to_have_text(str(before + 1))
    assert here.page.evaluate("window.marked") is True


@in_german
def test_a_first_sync_shows_how_far_it_is(window: OpenWindow, language: str) -> None:
    """While Google is slow."""
    account = {"en": "emil@acme.example", "de": "frida@acme.example"}[language]
    here = window(language)
    here.open()
    here.site.turn("inject-fault", name="broken_silence", path="/v1/otherContacts", account=account)
    try:
        here.consent(here.popup(), account)
        here.waits_for(here.say("Connected, first sync in progress"))
        bar = here.page.get_by_role("progressbar")
        expect(bar).to_have_attribute("max", "2")
        expect(bar).to_have_attribute("value", "1")
    finally:
        here.site.turn("clear-faults")
    here.disconnect()
    here.waits_for(here.say("Not connected"))


def test_the_end_of_a_consent(window: OpenWindow) -> None:
    """Google no longer accepts it: the page says so by itself, and how it is mended."""
    here = window()
    account = "georg@acme.example"
    here.connect(account)
    here.site.turn("revoke", account=account)
    here.site.turn("expire-access-tokens", account=account)
    here.press("Sync now")
    here.waits_for("Needs attention")
    expect(here.page.locator("#standing")).to_contain_text(f"Google no longer accepts the access that {account}")
    here.consent(here.popup("Reconnect"), account)
    here.waits_for("Connected")


@in_german
def test_a_consent_to_a_client_in_testing(window: OpenWindow, language: str) -> None:
    """The page of the account says on which day it ends."""
    here = window(language)
    here.site.turn("client", audience="testing")
    try:
        here.connect("georg@acme.example")
    finally:
        here.site.turn("client", audience="external")
    here.press("Account and sharing")
    expect(here.page.locator("#access")).to_contain_text(here.say("because the Google client is in “Testing”"))
    here.confirm("Disconnect")
    here.waits_for(here.say("Not connected"))


@in_german
def test_searching_while_one_types(window: OpenWindow, language: str) -> None:
    """Names and numbers, as phones find them; nothing of it gets into the address."""
    here = window(language)
    here.connect("alice@acme.example")
    field = here.page.get_by_role("searchbox")
    results = here.page.locator("#results")
    field.press_sequentially("jorg mul")
    expect(results).to_contain_text("Jörg Müller")
    field.fill("0171 392")
    expect(results).to_contain_text("+49 171 3920000")
    expect(results).to_contain_text(here.say("mobile"))
    field.fill("xyzzy")
    expect(results).to_contain_text(here.say("Your phones find nobody with that name or number."))
    assert here.page.url == here.site.page


@in_german
def test_sharing_is_seen_from_a_colleagues_phone(window: OpenWindow, language: str) -> None:
    """Private: nothing; callers: the name of who calls; shared: everything; disconnected: nothing again.

    So say the examples beside each choice.
    """
    window().connect("bob@acme.example")
    here = window(language)
    owner, number = {"en": ("karl", "+4930555107"), "de": ("paul", "+4930555112")}[language]
    here.connect(f"{owner}@acme.example")
    site, who, desk = here.site, f"Tom {owner.title()}mann", f"desk-of-bob-{language}"
    site.add_phone(desk, "--tenant", "acme", "--account", "bob@acme.example")
    shown = readable(number)
    caller, begun = f"(telephoneNumber={number})", f"(sn={owner.title()}m*)"

    def seen(asked: str) -> list[str]:
        _, said = site.ldapsearch(asked, "cn", phone=desk)
        return [line.removeprefix("cn: ") for line in said.splitlines() if line.startswith("cn: ")]

    here.press("Account and sharing")
    here.waits_for(here.say("Account and sharing"))
    for choice, calls, finds in (
        ("Private", [shown], [here.say("Nothing found")]),
        ("Callers’ names", [who, shown], [here.say("Nothing found")]),
        ("Shared", [who, shown], [who, shown]),
    ):
        radio = here.page.get_by_role("radio", name=re.compile(rf"^{here.say(choice)}"))
        screens = here.page.locator(".choice").filter(has=radio).locator(".screen")
        assert [one.locator("div span").all_inner_texts() for one in screens.all()] == [calls, finds]

    for choice, calls, finds in (
        ("Callers’ names", [who], []),
        ("Shared", [who], [who]),
        ("Private", [], []),
        ("Shared", [who], [who]),
    ):
        radio = here.page.get_by_role("radio", name=re.compile(rf"^{here.say(choice)}"))
        radio.check()
        here.press("Save")
        expect(radio).to_be_checked()
        expect(here.page.locator(".note.good")).to_have_text(
            here.say("Saved. The new sharing setting is now in effect.")
        )
        wait_until(lambda: (seen(caller), seen(begun)) == (calls, finds), choice)  # noqa: B023  called at once
    here.confirm("Disconnect")
    here.waits_for(here.say("Not connected"))
    wait_until(lambda: not seen(caller), "the book is off the phones")
    assert here.page.get_by_role("button", name=here.say("Disconnect")).count() == 0


def test_choosing_a_language(window: OpenWindow) -> None:
    """The switch is remembered, whatever the browser asks for; the address stays clean."""
    here = window("en")
    here.open()
    here.page.get_by_role("link", name="Deutsch").click()
    here.language = LANGUAGES["de"]
    german = "Ihre Google-Kontakte auf Ihrem Tischtelefon"
    here.waits_for(german)
    assert here.page.url == here.site.page
    here.page.reload()
    assert here.heading == german
    here.page.get_by_role("link", name="English").click()
    here.language = LANGUAGES["en"]
    here.waits_for("Your Google contacts on your desk phone")


def test_by_keyboard_alone(window: OpenWindow) -> None:
    """From the top of the page to a saved choice; the focus can be seen, and stays where it was when parts change."""
    here = window()
    here.connect("dora@acme.example")
    here.page.reload()
    keys = here.page.keyboard
    keys.press("Tab")
    expect(here.page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
    keys.press("Enter")
    keys.press("Tab")
    button = here.page.get_by_role("button", name="Sync now")
    expect(button).to_be_focused()
    outline = button.evaluate("one => getComputedStyle(one).outlineStyle")
    assert outline == "solid"
    here.site.turn("add-person", account="dora@acme.example", person=person("Uwe", "Neuer", "+49305550198"))
    before = figures(here).first.inner_text()
    assert here.site.ldapgw("sync", "dora@acme.example", "--wait").returncode == 0
    expect(figures(here).first).not_to_have_text(before)
    expect(here.page.get_by_role("button", name="Sync now")).to_be_focused()
    keys.press("Tab")
    expect(here.page.get_by_role("link", name="Account and sharing")).to_be_focused()
    keys.press("Enter")
    here.waits_for("Account and sharing")
    private = here.page.get_by_role("radio", name="Private")
    for _ in range(20):
        keys.press("Tab")
        if private.evaluate("one => one === document.activeElement"):
            break
    expect(private).to_be_focused()
    keys.press("ArrowDown")
    keys.press("Tab")
    keys.press("Enter")
    expect(here.page.get_by_role("radio", name="Callers’ names")).to_be_checked()
    expect(here.page.locator("main")).to_contain_text("Saved. The new sharing setting is now in effect.")


@pytest.mark.parametrize("by", ["mouse", "key"])
def test_what_changes_while_a_button_is_pressed(window: OpenWindow, by: str) -> None:
    """Waits until it is let go of: a button that is replaced between press and release would do nothing."""

    def changed(route: Any) -> None:
        if "ldapgw-live" not in route.request.headers:
            return route.continue_()
        answer = route.fetch(headers={**route.request.headers, "if-none-match": ""})
        return route.fulfill(response=answer, body=answer.text().replace('"big">', '"big">1'))

    here = window()
    here.connect("ivo@acme.example")
    other = here.context.new_page()
    other.goto(here.site.page)
    here.page.bring_to_front()
    here.page.route(here.site.page, changed)
    button = here.page.get_by_role("button", name="Sync now")
    button.hover()
    button.focus()
    # The page waits two seconds for a release that it has not heard of: its clock stands, however slow the machine.
    here.page.clock.install()
    here.page.clock.pause_at(datetime.now(UTC) + timedelta(minutes=1))
    hand = here.page.mouse if by == "mouse" else here.page.keyboard
    key = () if by == "mouse" else (" ",)
    before = figures(here).first.inner_text()
    # The end of the sync may be told just now: the page then asks for itself before it hears the message.
    with here.page.expect_response(lambda one: "ldapgw-live" in one.request.headers):
        hand.down(*key)
        other.evaluate("new BroadcastChannel('ldapgw').postMessage('done')")
    here.page.evaluate("fetch(location.href).then((one) => one.text())")
    assert figures(here).first.inner_text() == before
    here.page.unroute_all(behavior="wait")
    hand.up(*key)
    here.page.clock.resume()
    expect(here.page.locator(".outcome")).to_have_text("Up to date: no changes.")


def test_signing_out_in_one_window_is_seen_in_the_other(window: OpenWindow) -> None:
    """The other keeps nothing but its frame as soon as it looks again, and offers to sign in."""
    here = window()
    here.expected = ("403",)
    here.connect("dora@acme.example")
    other = here.context.new_page()
    other.goto(here.site.page)
    here.press("Sign out", other)
    other.wait_for_url(here.site.page)
    other.evaluate("new BroadcastChannel('ldapgw').postMessage('done')")
    here.waits_for("You’ve been signed out")
    assert "dora@acme.example" not in here.page.content()
