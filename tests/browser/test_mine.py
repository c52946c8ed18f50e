# SPDX-License-Identifier: MIT
"""A person's own page in a real browser: what follows by itself, and what a keyboard and a mouse do meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.window import OpenWindow, Window, person


def figures(here: Window) -> Any:
    """The counts on the page: contacts, numbers."""
    return here.page.locator("dd.big")


# Without events a page asks every few seconds, and has to be waited for.
@pytest.mark.parametrize("events", [True, False], ids=["by events", "by asking again"])
def test_what_changes_is_shown_without_a_reload(window: OpenWindow, events: bool) -> None:
    """Somebody syncs from elsewhere; where no events get through, the page asks now and then.  The focus stays."""
    here = window()
    here.expected = ("501",)
    if not events:
        here.context.route("**/events", lambda route: route.fulfill(status=501))
    here.connect("dora@acme.example")
    before = int(figures(here).first.inner_text())
    here.page.evaluate("window.marked = true")
    here.page.get_by_role("button", name="Sync now").focus()
    here.site.turn("add-person", account="dora@acme.example", person=person("Ute", "Neu", "+49305550199"))
    assert here.site.ldapgw("sync", "dora@acme.example", "--wait").returncode == 0
    expect(figures(here).first).to_have_text(str(before + 1))
    expect(here.page.get_by_role("button", name="Sync now")).to_be_focused()
    assert here.page.evaluate("window.marked") is True


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
