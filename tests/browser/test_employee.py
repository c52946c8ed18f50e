# SPDX-License-Identifier: MIT
"""The journeys of somebody whose contacts are on a phone.

Each function is a journey; the parametrization at the end is the table of all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from typing import Any

import pytest
from playwright.sync_api import expect

from ldapgw.store import tenants
from tests.browser.walk import WAYS, Walk, Way, journeys
from tests.browser.window import LANGUAGES, person
from tests.support.site.running import Site, new_site, wait_until
from tests.support.stage.databases import open_file

# Each journey that changes an account has one of its own.
READER, NEWCOMER, OWNER, LEAVER, LOSER, SYNCER, SHARER = (
    f"{name}@acme.example" for name in ("anna", "nina", "paula", "lars", "rudi", "sybille", "sina")
)
# One for each way, because Google remembers what was granted.
SWITCHERS = [f"silke{way.number}@acme.example" for way in WAYS]
# Two for each way, who have a phone in common.
PAIRS = [(f"petra{way.number}@acme.example", f"uwe{way.number}@acme.example") for way in WAYS]
# One for each way, because a session may ask only ten questions in a row.
ASKERS = [f"theo{way.number}@acme.example" for way in WAYS]
FAMILY_NAMES = ("Ahrens", "Berg", "Classen", "Dorn", "Ehlers", "Frank", "Groth", "Hansen", "Jansen", "Kruse", "Lorenz")
GIVEN_NAMES = ("Anna", "Boris", "Clara", "David", "Emma")
MANY = [
    person(given, family, f"+493055{first:02}{second:02}0")
    for first, family in enumerate(FAMILY_NAMES, start=10)
    for second, given in enumerate(GIVEN_NAMES)
]
NUMBER_MISSING: Any = {
    **person("Nadja", "Zahlmann", "+4930771000"),
    "phoneNumbers": [
        {"value": "+49 30 771000", "canonicalForm": "+4930771000", "type": "work"},
        {"value": "ask at reception", "type": "home"},
    ],
}
WITHOUT_NUMBER: Any = {**person("Ohne", "Nummer", ""), "phoneNumbers": [], "emailAddresses": [{"value": "o@x.example"}]}
# Phones get only the beginning of the name, and the account's page names the contact.
WITHOUT_BLANKS = person("Ulf", "n" * 300, "+4930771001")
HELP = 'help = "help@acme.example"\n'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    few = [person("Tom", "Zweimann", "+4930555100")]
    others = (NEWCOMER, OWNER, LEAVER, LOSER, SYNCER, SHARER, *SWITCHERS, *ASKERS, *chain.from_iterable(PAIRS))
    people = {**dict.fromkeys(others, few), READER: [*MANY, NUMBER_MISSING, WITHOUT_NUMBER]}
    people[SHARER] = [*few, WITHOUT_BLANKS]
    with new_site(tmp_path_factory.mktemp("site"), people=people, more=HELP) as site, site.running():
        other = person("Olga", "Andersen", "+4930555200")
        for account in SWITCHERS:
            site.turn("add-person", account=account, source="other_contacts", person=other)
        yield site


def search(here: Walk, name: str, filter_text: str = "(|(cn=zwei*)(sn=zwei*)(o=zwei*))") -> int:
    """A real search by a phone, in the words of its model; the status."""
    return here.site.ldapsearch("-z", "50", filter_text, "cn", "sn", "telephoneNumber", "mobile", phone=name)[0]


# --- connecting -------------------------------------------------------------------------------------------------------


def connecting(here: Walk) -> None:
    """From the welcome to a phone that works; the checklist says what is next until nothing is.  Then out again."""
    here.open()
    here.stop("welcome")
    here.consent_by(here.css('main a[href$="/connect"]').first, NEWCOMER)
    here.page.wait_for_url(f"{here.site.page}*")
    here.shows("#first-steps .done:nth-child(1)")
    here.shows("#standing dd.big")
    here.stop("overview-first-steps")
    here.follow("/phones#add-phone", "#first-steps")
    here.stop("phones-none")
    name = f"first-{here.way.number}"
    here.add_phone(name)
    expect(here.css("#settings ol.numbered li").first).to_be_visible()
    assert here.clicks == 4
    here.go("")
    assert here.css("#first-steps .done").count() == 2
    here.stop("overview-phone-added")
    here.follow(f"/phones/{name}", "#first-steps")
    wait_until(lambda: search(here, name) == 0, "the phone is known")
    here.shows("#state .state.good")
    here.stop("phone-works")
    here.go("")
    assert here.css("#first-steps section").count() == 0
    here.stop("overview")

    here.remove_phone(name)
    here.go("")
    here.follow("/acme/account")
    here.css("main a.danger").click()
    here.stop("confirm-disconnect")
    here.css("main .actions a").last.click()
    here.css("#access").wait_for()
    here.css("main a.danger").click()
    here.send("disconnect")
    here.shows("#standing .state.quiet")
    here.stop("overview-disconnected")
    here.follow("/acme/account", ".user")
    expect(here.css('main a.button[href$="/connect"]')).to_be_visible()
    here.stop("account-disconnected")


def refused_at_google(here: Walk) -> None:
    """A person who cancels at Google is told, and has changed nothing."""
    here.page.goto(f"{here.site.page}connect")
    here.page.get_by_role("button", name="Cancel").click()
    here.css("main .ending").wait_for()
    here.stop("refused")
    here.css("main a.button").last.click()
    expect(here.css('main a[href$="/connect"]')).to_be_visible()


def losing_access(here: Walk) -> None:
    """Google no longer accepts the consent: the pages say so, first of all; connecting again ends it."""
    here.sign_in(LOSER)
    here.site.turn("revoke", account=LOSER)
    here.site.turn("expire-access-tokens", account=LOSER)
    here.send("sync")
    here.shows("#standing .state.warn")
    assert here.css('main form[action$="/sync"]').count() == 0
    expect(here.css("#first-steps li.done")).to_have_count(0)
    here.stop("overview-revoked")
    with closing(open_file(here.site.folder / "state" / "ldapgw.db")) as database:
        database.run(tenants.raise_alarm, "acme", "api_disabled", 0.0)
        here.page.reload()
        expect(here.css("#standing .note.warn")).to_have_count(2)
        expect(here.css('#standing a[href$="/connect"], #standing a[href*="/connect?"]')).to_be_visible()
        here.stop("overview-revoked-alarm")
        database.run(tenants.clear_alarm, "acme")
    here.follow("/acme/account")
    expect(here.css("#access .wrong")).to_be_visible()
    here.stop("account-revoked")
    here.page.goto(f"{here.site.page}connect?account=1")
    here.consent(here.page, LOSER)
    here.page.wait_for_url(f"{here.site.page}*")
    here.shows("#standing .state.good")
    here.follow("/acme/account")
    expect(here.css("#access")).to_be_visible()
    assert here.css("#access .wrong").count() == 0
    here.crew.sessions["acme", LOSER] = here.context.cookies()


def switching(here: Walk) -> None:
    """More contacts are a switch and Google's consent away, and gone as quickly; whoever cancels keeps the rest."""
    account = SWITCHERS[here.way.number]
    here.sign_in(account)
    here.go("contacts")
    expect(here.css(".people > li")).to_have_count(1)
    for decision in ("Cancel", "Continue"):
        here.follow("/acme/account", ".user")
        here.stop("account-sources")
        here.css("#google form", has=here.css("[value=other_contacts]")).locator("button").click()
        here.page.get_by_text("automatically saved").wait_for()
        here.consent(here.page, account, decision)
        if decision == "Cancel":
            here.css("main .ending").wait_for()
            here.stop("source-refused")
            here.follow("/acme/account")
    here.css("main > .note.good").wait_for()
    here.stop("account-switched-on")
    here.go("contacts")
    here.shows(".people > li", has_text="Olga Andersen")
    here.stop("contacts-of-two-sources")

    here.follow("/acme/account", ".user")
    here.css("#google form", has=here.css("[value=other_contacts]")).locator("button").click()
    here.css("main > .note.good").wait_for()
    expect(here.css('#google a[href="https://myaccount.google.com/connections"]')).to_be_visible()
    here.stop("account-switched-off")
    here.go("contacts")
    expect(here.css(".people > li")).to_have_text([re.compile("Tom Zweimann")])


def sharing_a_phone(here: Walk) -> None:
    """Somebody gives a phone both of their accounts; the other account's own user sees the phone too, and leaves it."""
    (first, second), name = PAIRS[here.way.number], f"pair-{here.way.number}"
    here.sign_in(first)
    here.open("connect?add")
    here.consent(here.page, second)
    here.page.wait_for_url(f"{here.site.page}*")
    here.open("phones")
    here.css('[name="also-2"]').check()
    here.stop("phones-of-two-accounts")
    here.add_phone(name)
    expect(here.css('[name="also-2"]')).to_be_checked()
    here.stop("phone-of-two-accounts")

    here.context.clear_cookies()
    here.sign_in(second, "phones")
    here.follow(f"/phones/{name}")
    expect(here.css("main .above")).to_contain_text(f"{first}, {second}")
    here.stop("phone-of-two-people")
    here.open(f"phones/{name}/leave")
    here.stop("confirm-leave")
    here.send(f"phones/{name}/leave")
    expect(here.css("main > .note.good")).to_have_text(
        here.say("The phone no longer finds your contacts. It stays with its other owners.")
    )
    expect(here.css(f'main a[href$="/phones/{name}"]')).to_have_count(0)
    here.context.clear_cookies()
    # The consent for the second account has replaced the session of the first one.
    del here.crew.sessions["acme", first]
    here.sign_in(first)
    here.remove_phone(name)


# --- contacts ---------------------------------------------------------------------------------------------------------


def contacts(here: Walk) -> None:
    """From the list by a letter to a contact and back; tests/web/test_contact_pages.py has what the pages say."""
    here.sign_in(READER)
    here.go("contacts")
    expect(here.css(".people > li")).to_have_count(50)
    here.stop("contacts")
    here.css(".turn a[rel=next]").click()
    here.stop("contacts-last-page")
    here.css(".letters").get_by_role("link", name="N", exact=True).click()
    expect(here.css(".letter")).to_have_text(["N"])
    here.css(".who").get_by_role("link", name="Nadja Zahlmann").click()
    here.stop("contact")
    if here.way.has_scripts:
        here.context.grant_permissions(["clipboard-read", "clipboard-write"])
        here.css("[data-copy=number-1]").click()
        assert here.page.evaluate("navigator.clipboard.readText()") == "+4930771000"
    here.css(".above a").click()
    here.page.wait_for_url("**/acme/contacts*")
    here.css(".letters").get_by_role("link", name="O", exact=True).click()
    here.css(".who").get_by_role("link", name="Ohne Nummer").click()
    expect(here.css(".note.warn")).to_be_visible()
    here.stop("contact-without-number")


def searching(here: Walk) -> None:
    """Contacts come as one types if scripts run; a search without contacts says why."""
    here.sign_in(READER)
    field, hits = here.css("#sought"), here.css("#results .people > li")
    field.press_sequentially("zahlm")
    if not here.way.has_scripts:
        here.send("search")
    expect(hits).to_have_count(1)
    if here.way.has_scripts:  # nothing of it gets into the address
        assert here.page.url == here.site.page
    assert here.css("#results a.tel").first.get_attribute("href") == "tel:%2B4930771000"
    field.fill("030 771000")
    here.send("search")
    expect(hits).to_have_count(1)
    here.stop("search")
    field.fill("xyzzy")
    here.send("search")
    here.stop("search-nobody")
    here.send("explain")
    here.css("#explain-title").wait_for()
    here.stop("explain-without-phone")


# --- phones -----------------------------------------------------------------------------------------------------------


def adding_a_phone(here: Walk) -> None:
    """A model has to be chosen, and another one asks more; then the steps for it are on the screen."""
    here.sign_in(OWNER)
    here.go("phones")
    here.stop("phones")
    here.css('main form[action$="/phones"] button').click()
    assert here.css("#model").evaluate("one => one.validity.valueMissing")
    assert here.page.url.endswith("/phones")
    asked = here.css("#placeholder")
    expect(asked).to_be_hidden()
    here.css("#model").select_option("other")
    expect(asked).to_be_visible()
    here.stop("phones-another-model")
    name = f"other-{here.way.number}"
    here.page.get_by_label(here.say("Label"), exact=True).fill("x" * 65)
    here.send("phones")
    here.css("[aria-invalid]").wait_for()
    expect(here.css("#model")).to_have_value("other")
    here.stop("phone-name-refused")
    here.css("#placeholder").select_option("none")
    here.add_phone(name, "other")
    here.css("#settings").wait_for()
    assert_height(here, 1300)
    here.stop("phone-another-model")
    here.remove_phone(name)

    name = f"added-{here.way.number}"
    here.add_phone(name)
    assert_height(here, 1300)
    here.css("#settings [name=way][value=file]").check()
    assert 3 <= here.css("#settings .file ol.numbered li").count() <= 5
    assert f"ldap.password = {here.site.phones[name]}\n" in here.css("#file").text_content()
    here.stop("phone-added")
    here.css(".sources summary").click()
    here.css(".report summary").click()
    here.stop("phone-step-report")
    menu = here.css("#report-menu")
    menu.fill("Setup")
    menu.press("Enter")
    expect(here.css("main > .note.good")).to_be_visible()
    here.open(f"phones/{name}?vendor=gigaset")
    expect(here.css("#settings table")).to_contain_text(here.site.phones[name])
    label, value = (here.css(f"#settings .values tbody {cell}").first.bounding_box() for cell in ("th", "td"))
    is_above = label["y"] + label["height"] <= value["y"] + 1
    assert is_above == (here.way.size == "narrow"), (label, value)
    here.stop("phone-fields")
    here.remove_phone(name)
    # A model of each vendor whose values somebody enters by hand; the first has the most values and the longest steps.
    for model in ("gigaset", "escene", "ale", "bria"):
        here.add_phone(f"{model}-{here.way.number}", model)
        expect(here.css("#settings .values tbody")).to_be_visible()
        assert_height(here, 1300)
        here.remove_phone(f"{model}-{here.way.number}")


def assert_height(here: Walk, pixels: int) -> None:
    """Assert that the page, without a message about the last act, is at most that high in a wide window."""
    if here.way.size == "wide":
        here.page.reload()
        assert here.page.evaluate("document.querySelector('footer').getBoundingClientRect().bottom") <= pixels


def provisioning(here: Walk, another: Callable[[], Walk]) -> None:
    """A new password with an address: it shows a button, and the owner who fetched what.  Then a sheet to print."""
    here.sign_in(OWNER, "phones")
    name = f"sent-{here.way.number}"
    before = here.add_phone(name)
    here.follow(f"/phones/{name}/provision")
    here.stop("confirm-provision")
    here.css("main .actions a").click()
    here.follow(f"/phones/{name}/provision")
    here.send(f"phones/{name}/provision")
    here.css("#the-provisioning").wait_for()
    password = here.css("#the-password").inner_text()
    assert password != before
    expect(here.css("#provisioning svg.qr")).to_be_visible()
    assert here.css("#provisioning table").count() == 0
    here.stop("phone-provisioning")
    waiting = here.heading

    stranger = another()
    folder = here.css("#the-provisioning").inner_text()
    stranger.page.goto(folder)
    stranger.stop("provision")
    here.page.reload()
    assert here.css("#provisioning table").count() == 0
    with stranger.page.expect_download() as download:
        stranger.css("main a.button").first.click()
    assert f"ldap.password = {password}\n" in download.value.path().read_text()
    here.shows("#provisioning tbody tr", has_text="127.0.0.1")
    expect(here.css("#state-title")).not_to_have_text(waiting)
    here.stop("phone-provisioning-fetched")

    here.open(f"phones/{name}/sheet")
    assert here.heading == name
    here.stop("sheet")
    expect(here.css("[data-print]")).to_be_visible(visible=here.way.has_scripts)
    if here.way.has_scripts:
        here.page.evaluate("window.print = () => window.printed = true")
        here.css("[data-print]").click()
        assert here.page.evaluate("window.printed")
    assert here.pages_of_print("sheet") == 1
    # Of a phone whose password nobody knows any more, the sheet has a box to write in.
    lost = f"lost-{here.way.number}"
    assert here.site.ldapgw("phones", "add", lost, "--account", OWNER).returncode == 0
    here.open(f"phones/{lost}/sheet")
    expect(here.css(".blank")).to_be_visible()
    here.stop("sheet-without-password")
    here.open(f"phones/{name}")
    here.follow(f"/phones/{name}/provision/end")
    here.stop("confirm-provision-end")
    here.send(f"phones/{name}/provision/end")
    here.css('#provisioning a[href$="/provision"]').wait_for()
    stranger.page.reload()
    stranger.css(".ending").wait_for()
    stranger.stop("provision-ended")
    here.remove_phone(name)


def wrong_password(here: Walk) -> None:
    """It is said in red, with when and from where, and in the list; a good login ends it."""
    here.sign_in(OWNER, "phones")
    name = f"typo-{here.way.number}"
    password = here.add_phone(name)
    wait_until(lambda: here.site.ldapsearch("-s", "base", phone=name)[0] == 0, "the phone is known")
    here.site.phones[name] = "wrong"
    assert search(here, name) == 49
    here.shows("#state .state.bad")
    expect(here.css("#state")).to_contain_text("127.0.0.1")
    here.stop("phone-refused")
    here.go("phones")
    expect(here.css("#phones li", has_text=name).locator(".tag.bad")).to_be_visible()
    here.stop("phones-refused")
    here.site.phones[name] = password
    assert search(here, name) == 0
    here.follow(f"/phones/{name}")
    here.shows("#state .state.good")
    assert_height(here, 900)
    here.stop("phone-works")
    here.remove_phone(name)


def confirming(here: Walk) -> None:
    """Acts that cannot be undone ask first, and Cancel changes nothing; a new password replaces the old one."""
    here.sign_in(OWNER, "phones")
    name = f"asked-{here.way.number}"
    before = here.add_phone(name)
    phone = f"phones/{name}"
    here.css("#more > summary").click()
    here.css("#http > summary").click()
    here.send(f"{phone}/book-address")
    here.css("#recording > summary").click()
    here.send(f"{phone}/record")
    here.css(f'form[action$="/{phone}/record"] [value=stop]').wait_for(state="attached")
    here.stop("phone-recording")
    here.send(f"{phone}/record")
    here.shows(f'a.danger[href$="/{phone}/record"]')
    for act in ("reset", "remove", "book-address", "book-address/end", "record"):
        here.open(phone)
        here.follow(f"/{phone}/{act}")
        assert here.css("main button.danger").count() == 1
        here.stop(f"confirm-{act.replace('/', '-')}")
        here.css("main .actions a").click()
        here.page.wait_for_url(f"**/{phone}*")
    assert here.css("#the-password").inner_text() == before
    here.follow(f"/{phone}/reset")
    here.send(f"{phone}/reset")
    here.css("#password").wait_for()
    assert here.css("#the-password").inner_text() != before
    here.follow(f"/{phone}/remove")
    here.send(f"{phone}/remove")
    here.page.wait_for_url("**/acme/phones")
    expect(here.css(".note.good")).to_be_visible()
    assert here.css(f'a[href$="/{phone}"]').count() == 0
    here.stop("phones-one-removed")


# --- everyday ---------------------------------------------------------------------------------------------------------


def syncing(here: Walk) -> None:
    """Sync now says how it ended."""
    here.sign_in(SYNCER)
    before = int(here.css("#standing dd.big").first.inner_text())
    number = f"+493066{here.way.number:02}"
    here.site.turn("add-person", account=SYNCER, person=person("Ute", f"Neu-{here.way.number}", number))
    here.send("sync")
    here.shows("#standing dd.big", has_text=re.compile(f"^{before + 1}$"))
    here.shows(".outcome", has_text=re.compile(r"1"))
    here.stop("overview-synced")
    here.follow("/acme/account")
    here.css("#history > summary").click()
    expect(here.css("#history tbody tr").first).to_be_visible()
    here.stop("account-history")


def sharing(here: Walk) -> None:
    """The address on top leads to who sees the contacts; what is saved is said there, and syncs go on to be told."""
    here.sign_in(SHARER, "contacts")
    here.follow("/acme/account", ".user")
    expect(here.css(".user [aria-current=page]")).to_have_text(f"{here.say('Account')} {SHARER}")
    here.stop("account")
    for choice in ("callers", "private"):
        here.css(f"#sharing [value={choice}]").check()
        here.send("share")
        expect(here.css(".note.good")).to_be_visible()
        expect(here.css(f"#sharing [value={choice}]")).to_be_checked()
        assert here.page.url == f"{here.site.page}account"
    here.stop("account-saved")
    here.css("#history > summary").click()
    rows = here.css("#history-rows tbody tr")
    expect(rows.first).to_be_visible()
    before = rows.count()
    assert here.site.ldapgw("sync", SHARER, "--wait").returncode == 0
    here.shows(f"#history-rows tbody tr:nth-child({before + 1})")


def troubleshooting(here: Walk) -> None:
    """Why nobody was found, asked at the phone's search and by hand; what is found is said, too."""
    here.sign_in(ASKERS[here.way.number], "phones")
    name = f"why-{here.way.number}"
    here.add_phone(name, "snom")
    wait_until(lambda: search(here, name, "(cn=zweig*)") == 0, "the phone is known")
    here.shows('#searches form[action$="/explain"]')
    here.stop("phone-found-nobody")
    here.css("#searches details summary").first.click()
    here.css('#searches form[action$="/explain"] button').first.click()
    here.css("#answer").wait_for()
    expect(here.css("#phone")).to_have_value(name)
    here.stop("explain-search")
    here.go("troubleshoot")
    here.stop("troubleshoot")
    for problem in here.css("#problems summary").all():
        problem.click()
    here.stop("troubleshoot-open")
    here.css("#asked").fill("030 555-999")
    here.css("#phone").select_option(name)
    here.send("explain")
    expect(here.css("#answer .state.warn")).to_be_visible()
    assert "555" not in here.page.url.removeprefix(here.site.page)
    here.stop("explain-nobody")
    here.css("#asked").fill("030 555-100")
    here.send("explain")
    expect(here.css("#answer .state.good")).to_be_visible()
    here.stop("explain-found")
    here.remove_phone(name)


def signed_out(here: Walk) -> None:
    """A person who is signed out elsewhere is told, and led back to the page they were on."""
    here.crew.sessions.pop(("acme", LEAVER), None)
    here.sign_in(LEAVER, "phones")
    other = here.context.new_page()
    other.goto(here.site.page)
    other.locator('form[action$="/signout"] button').click()
    other.locator('main a[href$="/connect"]').wait_for()
    if here.way.has_scripts:
        # As the end of an event stream does, without the wait for it.
        other.evaluate("new BroadcastChannel('ldapgw').postMessage('done')")
    else:
        here.page.reload()
    here.css(".ending").wait_for()
    assert here.css(".top nav, .user").count() == 0
    here.stop("signed-out")
    here.consent_by(here.css('main a[href*="signin?to=phones"]'), LEAVER)
    here.css("#add-phone").wait_for()
    assert here.page.url == f"{here.site.page}phones"
    expect(here.css(".top nav, .user")).to_have_count(2)


def getting_about(here: Walk) -> None:
    """All of the navigation is in view, and leads to each page; the footer; another language of the same page."""
    here.sign_in(READER)
    for path in ("contacts", "phones", "troubleshoot", ""):
        here.go(path)
        assert here.page.url == here.site.page + path
        expect(here.css(".top nav [aria-current=page]")).to_have_count(1)
        for link in here.css(".top nav a").all():
            expect(link).to_be_in_viewport(ratio=1)
    expect(here.css('footer a[href="mailto:help@acme.example"]')).to_be_visible()
    here.follow("/acme/privacy", "footer")
    assert re.search(r"\d+[.]\d+", here.css("footer .about li").last.inner_text())
    here.stop("privacy")

    own = here.way.language
    other = next(tag for tag in LANGUAGES if tag != own)
    here.open("contacts?letter=N")
    for tag in (other, own):
        before = here.css(".people a").first.inner_text()
        here.css(f"footer a[lang={tag}]").click()
        here.css(f"html[lang={tag}]").wait_for(state="attached")
        if here.way.has_scripts:  # the address stays clean
            here.page.wait_for_url(lambda url: "language=" not in url)
        here.language = LANGUAGES[tag]
        here.speaks(here.page)
        assert here.css(".people a").first.inner_text() == before
        expect(here.css("footer [aria-current]")).to_have_count(1)


def errors(here: Walk) -> None:
    """Pages that are not there, not for this reader, or come too late say so, and lead on."""
    here.open("nothing")
    here.stop("not-found")
    here.open("phones")
    here.stop("sign-in-first")
    here.open("link?key=" + "x" * 43)
    here.send("link")
    expect(here.css("main button")).to_have_count(0)
    here.stop("link-used")
    here.page.goto(here.site.page.replace("/acme/", "/oauth/callback?state=x&code=x"))
    here.stop("consent-expired")
    here.sign_in(READER)
    here.open("admin")
    here.stop("admins-only")
    here.open("phones/nothing")
    here.stop("no-such-phone")
    here.open("contacts/nothing")
    here.stop("no-such-contact")


JOURNEYS = (
    *(connecting, refused_at_google, losing_access, contacts, searching, adding_a_phone, wrong_password, confirming),
    *(syncing, troubleshooting, signed_out, getting_about, errors, sharing, sharing_a_phone, switching),
)


@journeys(*JOURNEYS, also_plain=(connecting, searching, adding_a_phone, wrong_password, syncing))
def test_a_journey(another: Callable[[], Walk], journey: Callable[[Walk], None], way: Way) -> None:
    """It is gone to its end; each page on it fits, speaks one language, and has nothing that axe finds."""
    journey(another())


@journeys(provisioning)
def test_two_people(another: Callable[[], Walk], journey: Callable[[Walk, Any], None], way: Way) -> None:
    """A journey that somebody else has a part in."""
    journey(another(), another)
