# SPDX-License-Identifier: MIT
"""A phone in a real browser: added, set up by what is printed, seen to work by real searches, removed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import expect

from ldapgw.google.sandbox.tenant import ALICE
from ldapgw.phones.hints import Hint, PhoneProfile, hint_text
from tests.browser.window import OpenWindow, Window, add
from tests.support.readers import yealink
from tests.support.site.running import Site, wait_until


def settings(here: Window) -> Mapping[str, str]:
    """Return the values that a phone reads of the settings on the page."""
    return yealink(here.page.locator("#file").inner_text())


def search(site: Site, printed: Mapping[str, str], filter_text: str) -> tuple[int, str]:
    """A real ldapsearch as a phone with these settings; its exit status and what it says."""
    assert (printed["ldap.host"], printed["ldap.port"]) == ("127.0.0.1", str(site.ldap_port))
    site.phones[printed["ldap.user"]] = printed["ldap.password"]
    attributes = f"{printed['ldap.name_attr']} {printed['ldap.numb_attr']}".split()
    limit, base = printed["ldap.max_hits"], printed["ldap.base"]
    return site.ldapsearch("-z", limit, filter_text, *attributes, phone=printed["ldap.user"], base=base)


def known(site: Site, printed: Mapping[str, str]) -> None:
    """Until the gateway lets the phone in; it asks for its own name, which is no search in the log."""
    wait_until(lambda: search(site, printed, "(cn=%)")[0] == 0, "the gateway knows the phone")


def test_a_phone_is_set_up_and_seen_to_work(window: OpenWindow, site: Site) -> None:
    """By what the page prints; the tick and the log come by themselves, here and on one's own page."""
    name = "kitchen"
    here = window("de")
    here.connect(ALICE)
    here.switch_on("Company directory", ALICE)
    here.open()
    expect(here.page.locator("dd.big").first).to_have_text("325")
    add(here, name)
    printed = settings(here)
    assert printed["ldap.password"] == here.page.locator("#the-password").inner_text()
    mine = here.context.new_page()
    mine.goto(site.page)
    row = mine.locator("#phones li").filter(has_text=name)
    expect(row).to_contain_text(here.say("Not used yet"))
    here.page.bring_to_front()
    here.page.evaluate("window.marked = true")

    known(site, printed)
    said = here.say(hint_text(Hint.PLACEHOLDER, PhoneProfile("")))
    expect(here.page.locator("#state")).to_contain_text(said)
    here.waits_for(f"{name}: {here.say('1 setting to fix')}")

    status, found = search(site, printed, printed["ldap.name_filter"].replace("%", "berg*"))
    assert (status, "cn: Bob Bergmann\n" in found) == (0, True)
    here.waits_for(f"{name}: {here.say('Works')}")
    log = here.page.locator("#searches li").first
    expect(log).to_contain_text("(|(cn=berg*)(sn=berg*)(o=berg*))")
    entries = here.language.ngettext("%(figure)s found", "%(figure)s found", found.count("dn: "))
    expect(log).to_contain_text(entries % {"figure": found.count("dn: ")})
    log.locator("summary").click()
    expect(log).to_contain_text("127.0.0.1")
    # In the reader's zone, as all times are: what has just happened is relative to now, a list of events has the clock.
    expect(here.page.locator("#state time[data-as]")).to_have_text(re.compile("gerade eben|vor 1 Minute"))
    expect(log.locator("time")).to_have_text(re.compile("^[0-9]{1,2}:[0-9]{2}:[0-9]{2}( [AP]M)?$"))
    assert here.page.evaluate("window.marked") is True
    mine.bring_to_front()
    expect(row).to_contain_text(here.say("Works"))
    assert "cn: Bob Bergmann\n" in search(site, printed, printed["ldap.number_filter"].replace("%", "03023125502"))[1]


def test_the_connection_is_tested(window: OpenWindow, site: Site) -> None:
    """Each step tells how it ended, and the page goes on following what changes, though a form led to the page."""
    name = "probe"
    here = window("de")
    here.connect(ALICE)
    add(here, name)
    printed = settings(here)
    known(site, printed)
    # The site has no TLS.
    good = ("name", "port", "login", "search by name", "search by number")
    assert outcome(here) == said(here, dict.fromkeys(good, "✓ ok") | {"TLS": "! warning"})
    search(site, printed, printed["ldap.name_filter"].replace("%", "berg*"))
    here.waits_for(f"{name}: {here.say('Works')}")


def said(here: Window, results: Mapping[str, str]) -> Mapping[str, str]:
    """The steps of a connection test with their states, in the window's language."""
    return {here.say(step): f"{state[0]} {here.say(state[2:])}" for step, state in results.items()}


def outcome(here: Window) -> Mapping[str, str]:
    """Press "Test connection", and read the state of each step from the page."""
    # An update of the page may move the test below another fold in the moment of a click.
    here.page.evaluate("document.querySelectorAll('#more, #test').forEach(fold => { fold.open = true })")
    with here.page.expect_navigation():
        here.press("Test connection")
    here.speaks(here.page)
    rows = here.page.locator("#test tbody tr").all()
    return {row.locator("th").inner_text(): row.locator("td").first.inner_text() for row in rows}


def test_a_phone_is_removed(window: OpenWindow, site: Site) -> None:
    """Its login is refused, and its page is gone; who has the page open elsewhere is led to the list."""
    name = "old"
    here = window("de")
    here.expected = ("404",)
    here.connect(ALICE)
    add(here, name)
    printed = settings(here)
    known(site, printed)
    other = here.context.new_page()
    other.goto(here.page.url)
    here.page.bring_to_front()
    here.confirm("Remove phone")
    expect(here.page.locator(".note.good")).to_have_text(here.say("Phone removed. It can no longer sign in."))
    assert here.page.locator(".ending").count() == 0
    other.bring_to_front()
    other.wait_for_url(lambda address: f"/phones/{name}" not in address)
    assert other.locator(".ending").count() == 0
    here.page.bring_to_front()
    wait_until(lambda: search(site, printed, "(cn=berg*)")[0] == 49, "the login is refused")
    here.open(f"phones/{name}")
    assert here.heading == here.say("There’s no such page")


def test_a_page_that_is_open_when_its_reader_signs_out(window: OpenWindow) -> None:
    """At its next look it is gone, with the password, the names and the numbers that were on it."""
    here = window()
    here.expected = ("403",)
    here.connect(ALICE)
    add(here, "left-open")
    password = here.page.locator("#the-password").inner_text()
    other = here.context.new_page()
    other.goto(here.site.page)
    here.press("Sign out", other)
    here.waits_for("Your Google contacts on your desk phone", other)
    other.evaluate("new BroadcastChannel('ldapgw').postMessage('done')")
    here.waits_for("You’ve been signed out")
    assert password not in here.page.content()


def test_a_search_after_its_reader_has_signed_out(window: OpenWindow) -> None:
    """The page says that the reader is signed out, although no event has told the page so."""
    here = window()
    here.expected = ("403", "ERR_FAILED")
    here.connect(ALICE)
    here.context.route("**/events*", lambda route: route.abort())
    here.open("contacts")
    other = here.context.new_page()
    other.goto(here.site.page)
    here.press("Sign out", other)
    here.waits_for("Your Google contacts on your desk phone", other)
    here.page.bring_to_front()
    here.page.locator("#sought").press_sequentially("be")
    here.waits_for("You’ve been signed out")


def test_what_is_copied_and_downloaded(window: OpenWindow, tmp_path: Path) -> None:
    """Is what the page shows, for the phone that was chosen."""
    here = window(permissions=["clipboard-read", "clipboard-write"])
    here.connect(ALICE)
    add(here, "copied")
    password = here.page.locator("#the-password").inner_text()
    copied = "navigator.clipboard.readText()"
    here.page.get_by_role("button", name="Copy the password").click()
    assert here.page.evaluate(copied) == password
    here.open("phones/copied?vendor=snom")
    here.page.get_by_label("Load a file").check()
    here.page.locator(".contents summary").click()
    here.page.get_by_role("button", name="Copy snom-ldap.xml").click()
    text = here.page.evaluate(copied)
    assert f'<ldap_password perm="">{password}</ldap_password>' in text
    with here.page.expect_download() as download:
        here.page.get_by_role("link", name="Download", exact=True).click()
    assert download.value.suggested_filename == "snom-ldap.xml"
    download.value.save_as(tmp_path / "file")
    assert (tmp_path / "file").read_text() == text
    here.open("phones/copied?vendor=other")
    here.press("Copy all")
    expect(here.page.get_by_role("button", name="Copied")).to_be_visible()
    lines = here.page.evaluate(copied).splitlines()
    assert {f"Password: {password}", "User name: copied", "LDAP version: 3"} <= {*lines}
    assert len(lines) == here.page.locator("#settings tbody tr").count()
