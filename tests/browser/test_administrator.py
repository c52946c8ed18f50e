# SPDX-License-Identifier: MIT
"""The journeys of an administrator, and what scripts do for the administration besides.

Each function is a journey; the parametrizations are the table of all.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import expect

from ldapgw.google.sandbox.tenant import CLIENT_ID, CLIENT_SECRET
from ldapgw.store import accounts, leavers, sync_state
from ldapgw.store.leavers import LeaverReason
from tests.browser.walk import Crew, Walk, Way, journeys
from tests.browser.window import person
from tests.support.readers import yealink
from tests.support.site.running import Site, fetch, new_site, wait_until
from tests.support.stage.databases import open_file

CHIEF, STAYER, LEAVER, LOSER = (f"{name}@acme.example" for name in ("chief", "anna", "lars", "rudi"))
ADMINS = f'admins = ["{CHIEF}"]\nprovisioning_networks = ["127.0.0.0/8"]\nremove_leavers = "14d"\n'
# Nobody has come there yet, and only one of the companies has a Google client.
NEW_TENANTS = """
[[tenant]]
name = "globex"
title = "Globex Kreditversicherungsgesellschaft"
base_dn = "dc=globex,dc=example"
[[tenant]]
name = "hooli"
base_dn = "dc=hooli,dc=example"
[[tenant]]
name = "initech"
title = "Initech"
base_dn = "dc=initech,dc=example"
client_id = "123456789012-other.apps.googleusercontent.com"
client_secret = "GOCSPX-unused"
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    few = [person("Tom", "Zweimann", "+4930555100")]
    people = dict.fromkeys((CHIEF, STAYER, LEAVER, LOSER), few)
    with new_site(tmp_path_factory.mktemp("site"), people=people, more=ADMINS + NEW_TENANTS) as site, site.running():
        yield site


@pytest.fixture(scope="module")
def crew(crew: Crew, site: Site) -> Crew:
    """With people: one who stays, and one whose access Google has ended."""
    way = Way(0, "wide", "en", has_scripts=True)
    for account in (CHIEF, STAYER, LOSER):
        here = Walk(crew, way)
        here.sign_in(account)
        if account == LOSER:
            site.turn("revoke", account=LOSER)
            site.turn("expire-access-tokens", account=LOSER)
            here.send("sync")
            here.shows("#standing .state.warn")
        here.close()
    return crew


def section(here: Walk, path: str) -> None:
    """A link of the administration's own navigation."""
    here.follow(f"/admin{path}", ".top nav")


def pick(here: Walk, *keys: str) -> None:
    """Select rows by what they say, and nothing else."""
    for key in keys:
        row = here.css("tbody tr", has_text=key)
        row.locator("input[type=checkbox]").check()


def act(here: Walk, name: str) -> None:
    here.css(f'button[name=act][value="{name}"]').click()


def find(here: Walk, words: str, show: str = "") -> Any:
    """Search and filter a table; its rows.  A filter that no row fits is not there."""
    here.css("form.tools input[type=search]").fill(words)
    here.css("form.tools button").click()
    if show:
        chip = here.css(f'#filters a[href*="show={show}"], #filters button[value="{show}"]')
        if not chip.count():
            return here.css("tbody .pick", has_text=show)
        chip.click()
    return here.css("tbody tr")


def download(here: Walk, selector: str) -> zipfile.ZipFile:
    """Press a button that gives a zip."""
    with here.page.expect_download() as given:
        here.css(selector).click()
        here.clicks += 1
    return zipfile.ZipFile(io.BytesIO(given.value.path().read_bytes()))


def handed_out(here: Walk, archive: zipfile.ZipFile) -> None:
    """After the download, nothing is left that would do it again; the same file can be had once more."""
    here.css("#passwords").wait_for()
    assert here.css('form[action$="/act"], form[action$="/import/add"]').count() == 0
    again = download(here, '#passwords a[href$="/zip"]')
    assert {name: again.read(name) for name in again.namelist()} == {
        name: archive.read(name) for name in archive.namelist()
    }
    here.page.reload()
    expect(here.css("#passwords .button")).to_have_count(1)


# --- looking ----------------------------------------------------------------------------------------------------------


def overview(here: Walk) -> None:
    """The overview has the tasks left, the state, the people to remind, and the syncs of fourteen days."""
    here.sign_in(CHIEF)
    here.go("admin")
    expect(here.css("#figures dd").nth(0)).to_contain_text("3")
    expect(here.css("#figures svg g")).to_have_count(14)
    assert here.css("#figures svg g title").count() == 14
    assert 0 < here.css("#checklist .done").count() < here.css("#checklist li").count()
    expect(here.css("#remind-addresses")).to_have_text(LOSER)
    here.stop("admin-overview")
    here.follow("/admin/people?show=action", "#alarm")
    expect(here.css("tbody tr")).to_have_count(1)
    expect(here.css("tbody th")).to_have_text(LOSER)
    here.css("tbody th a").click()
    expect(here.css("#standing svg g")).to_have_count(14)
    expect(here.css("#history .tag.bad")).to_have_count(1)
    here.stop("admin-person-revoked")


def first_visit(here: Walk) -> None:
    """By a link from the terminal, to a company where nobody is yet, and no Google client."""
    here.administer("globex")
    assert here.css("#checklist .done").count() < 2
    here.stop("admin-overview-first")
    expect(here.css(".top nav a")).to_have_count(5)
    for name in ("people", "phones"):
        section(here, f"/{name}")
        assert here.css("table").count() == 0
        here.stop(f"admin-{name}-none")
    section(here, "/google")
    assert here.css("#guide .steps > li").count() == 8
    assert here.css("#guide").evaluate("one => one.tagName") == "SECTION"
    here.stop("admin-google-first")
    here.css("#client_id").fill("123")
    here.send("admin/client")
    here.css("#client-wrong").wait_for()
    here.stop("admin-google-refused")


def google(here: Walk) -> None:
    """The guide is folded once the client works, which can be tried."""
    here.sign_in(CHIEF, "admin")
    section(here, "/google")
    expect(here.css("#guide .steps").first).to_be_hidden()
    here.send("admin/client/try")
    expect(here.css("main > .note")).to_be_visible()
    here.stop("admin-google")
    here.css("#guide > summary").click()
    expect(here.css("#guide .steps").first).to_be_visible()
    here.stop("admin-google-guide")


def activity(here: Walk) -> None:
    """The log is filtered and searched by its forms; tests/web/test_activity_page.py has what the log says."""
    here.sign_in(CHIEF, "admin")
    section(here, "/activity")
    here.stop("admin-activity")
    here.css("select[name=show]").select_option("connected")
    here.css("form.tools button").last.click()
    here.page.wait_for_url("**/admin/activity?show=connected&sort=")
    here.css("input[type=search]").fill("xyzzy")
    here.css("form.tools button").first.click()
    expect(here.css("tbody tr")).to_have_count(0)
    here.stop("admin-activity-nothing")


def leaves(site: Site, address: str) -> None:
    """Store that somebody has left the company, as the gateway does after hours or days."""
    with closing(open_file(site.folder / "state" / "ldapgw.db")) as database:
        (account,) = database.run(accounts.find_by_address, address)
        since = account.connected_at or 0.0
        database.run(sync_state.fail, account, "consent_revoked", since, None)
        database.run(leavers.mark, [account.id], {account.id: LeaverReason.MISSING}, since)


# --- acting -----------------------------------------------------------------------------------------------------------


def people(here: Walk, another: Callable[[], Walk]) -> None:
    """Search, sort and select; sync, remind, share and disconnect people; keep and remove somebody who has left."""
    leaver = another()
    leaver.crew.sessions.pop(("acme", LEAVER), None)
    leaver.sign_in(LEAVER, "phones")
    name = f"left-{here.way.number}"
    leaver.add_phone(name)

    here.sign_in(CHIEF, "admin")
    section(here, "/people")
    here.stop("admin-people")
    if here.way.size == "wide":
        here.css("thead a").first.click()
        assert here.css("tbody th").first.inner_text() == STAYER
        here.css("thead a").first.click()
        expect(here.css("thead [aria-sort=descending]")).to_have_count(1)
        assert here.css("tbody th").first.inner_text() == LOSER
    leaves(here.site, LEAVER)
    for button, left in (("keep", False), ("unkeep", True)):
        section(here, "/people")
        here.css("tbody th a", has_text=LEAVER).click()
        expect(here.css("#standing .tag.warn")).to_be_visible()
        expect(here.css("#standing .note").first).to_contain_text("Google")
        expect(here.css("#standing time").first).to_be_visible()
        here.stop(f"admin-person-leaves-{button}")
        act(here, button)
        expect(here.css("main > .note.good")).to_be_visible()
        expect(find(here, "", "leaving")).to_have_count(int(left))
    here.stop("admin-people-leaving")
    assert find(here, "nobody").count() == 0
    here.stop("admin-people-no-match")
    assert find(here, "", "connected").count() == 2
    section(here, "/people")
    expect(here.css(".bar")).to_be_hidden()
    pick(here, STAYER, LOSER)
    expect(here.css(".bar")).to_be_in_viewport()
    here.css(".bar button[type=reset]").click()
    expect(here.css(".bar")).to_be_hidden()
    pick(here, STAYER, LOSER)
    here.stop("admin-people-selected")
    act(here, "remind")
    expect(here.css("#remind-addresses")).to_have_text(LOSER)
    here.stop("admin-remind")
    here.css(".above a").click()
    pick(here, STAYER)
    act(here, "sync")
    expect(here.css("main > .note.good")).to_be_visible()

    for sharing in ("shared", "private"):
        pick(here, STAYER)
        act(here, "share")
        here.stop("admin-ask-share")
        here.css("#sharing").select_option(sharing)
        here.css(".ending button").click()
        expect(here.css("main > .note.good")).to_be_visible()
    pick(here, LEAVER)
    act(here, "disconnect")
    here.stop("admin-ask-disconnect")
    here.css(".ending button").click()
    expect(here.css("main > .note.good")).to_be_visible()
    here.css("tbody th a", has_text=LEAVER).click()
    expect(here.css("#phones")).to_contain_text(name)
    expect(here.css("#standing .note")).not_to_contain_text("Google")
    here.stop("admin-person-disconnected")
    act(here, "remove")
    assert here.css("[name=with_phones]").is_checked()
    here.stop("admin-ask-remove-people")
    here.css(".ending button").click()
    assert here.css("tbody tr", has_text=LEAVER).count() == 0
    section(here, "/phones")
    assert here.css("tbody tr", has_text=name).count() == 0
    leaver.page.reload()
    leaver.css(".ending").wait_for()


def phones(here: Walk) -> None:
    """One for anybody: renamed, given to nobody, another model, a new password in a zip, and gone, all asked first."""
    here.sign_in(CHIEF, "admin")
    section(here, "/phones")
    here.follow("/admin/phones/new")
    here.stop("admin-phone-new")
    here.page.get_by_label(here.say("Label"), exact=True).fill("x" * 65)
    here.css("#model").select_option("snom")
    here.css('form[action$="/phones/new"] button').click()
    assert here.css("#owner:invalid").count() == 1
    here.css("#owner").select_option("nobody")
    here.send("admin/phones/new")
    expect(here.css("#label[aria-invalid]")).to_be_visible()
    here.stop("admin-phone-new-refused")
    name, renamed = f"lobby-{here.way.number}", f"hall-{here.way.number}"
    here.page.get_by_label(here.say("Label"), exact=True).fill(name)
    owner = str(here.css("#owner option", has_text=STAYER).get_attribute("value"))
    here.css("#owner").select_option(owner)
    here.send("admin/phones/new")
    here.css("#the-password").wait_for()
    here.css("#settings [name=way][value=file]").check()
    assert 3 <= here.css("#settings .file ol.numbered li").count() <= 5
    # Menus are told apart from the words around them, and who may change the configuration reads in which file.
    expect(here.css("#settings .file ol.numbered b").first).to_have_text(re.compile(" › "))
    expect(here.css("#settings .note.warn")).to_contain_text(str(here.site.file))
    here.stop("admin-phone-added")
    here.send(f"phones/{name}/steps", 'button[value="worked"]')
    expect(here.css("main > .note.good")).to_be_visible()
    here.css("#change > summary").click()
    here.css("#change #name").fill(renamed)
    here.send(f"phones/{name}/change")
    here.page.wait_for_url(f"**/phones/{renamed}")

    here.go("admin")
    section(here, "/phones")
    here.stop("admin-phones")
    here.follow("/admin/phones/steps")
    expect(here.css("#reports tbody tr")).to_have_count(1)
    here.stop("admin-steps")
    here.follow("/admin/phones/steps/delete")
    here.stop("admin-ask-delete-steps")
    here.send("admin/phones/steps/delete")
    expect(here.css("#reports tbody tr")).to_have_count(0)
    here.stop("admin-steps-none")
    section(here, "/phones")
    rows = find(here, "hall-", "unused")
    expect(rows).to_have_count(1)
    for asked, choice in (("move", ("#owner", "nobody")), ("model", ("#model", "yealink"))):
        pick(here, renamed)
        act(here, asked)
        here.stop(f"admin-ask-{asked}")
        here.css(choice[0]).select_option(choice[1])
        here.css(".ending button").click()
        expect(here.css("main > .note.good")).to_be_visible()
        if asked == "move":
            here.css("#passwords").wait_for()
            here.css('#next a[href*="?show=zip-"]').click()
    row = here.css("tbody tr", has_text=renamed)
    expect(row).to_contain_text("Yealink")
    assert row.locator("td", has_text=STAYER).count() == 0
    pick(here, renamed)
    act(here, "password")
    here.stop("admin-ask-password")
    archive = download(here, ".ending button")
    assert any(file.endswith(".cfg") for file in archive.namelist())
    handed_out(here, archive)
    here.stop("admin-passwords-new")
    here.css('#next a[href*="?show=zip-"]').click()
    pick(here, renamed)
    act(here, "remove")
    here.stop("admin-ask-remove-phones")
    here.css(".ending button").click()
    assert here.css("tbody tr", has_text=renamed).count() == 0


def thirty_desks(here: Walk) -> None:
    """A CSV file as Excel writes it: its errors by line; then from the own page to the zip in six clicks."""
    number = here.way.number
    desks = [f"desk-{number}-{at:02};{STAYER};yealink;00156500{number:02}{at:02}" for at in range(30)]

    def upload(*lines: str) -> None:
        text = "\r\n".join(("name;account;model;mac", *lines))
        file = {"name": "desks.csv", "mimeType": "text/csv", "buffer": text.encode("utf-8-sig")}
        here.css("#file").set_input_files(file)
        here.clicks += 1
        here.send("admin/phones/import")

    here.sign_in(CHIEF)
    here.go("admin")
    section(here, "/phones")
    here.follow("/admin/phones/import")
    here.stop("admin-import")
    upload(*desks[:2], "bad name;nobody@acme.example;toaster;xyz")
    expect(here.css("#preview [role=alert]")).to_be_visible()
    expect(here.css("#preview tbody .wrong")).to_have_count(1)
    assert here.css('form[action$="/import/add"]').count() == 0
    here.stop("admin-import-errors")

    here.open()
    here.clicks = 0
    here.go("admin")
    section(here, "/phones")
    here.follow("/admin/phones/import")
    upload(*desks)
    here.css("#preview").wait_for()
    assert here.css("#preview tbody tr").count() == 30
    here.stop("admin-import-preview")
    archive = download(here, 'form[action$="/import/add"] button')
    assert [len(archive.namelist()), f"00156500{number:02}00.cfg" in archive.namelist()] == [31, True]
    assert here.clicks == 6
    handed_out(here, archive)
    here.stop("admin-passwords-added")
    here.css('#next a[href*="?show=zip-"]').click()
    expect(here.css("tbody tr")).to_have_count(30)
    fetched_in_a_window(here, f"desk-{number}-07", f"00156500{number:02}07.cfg")
    expect(find(here, f"desk-{number}-")).to_have_count(30)
    here.stop("admin-phones-found")
    if here.way.has_scripts and here.way.size == "wide":
        here.css("[data-all]").check()
    else:
        for box in here.css("tbody input[type=checkbox]").all():
            box.check()
    act(here, "remove")
    here.stop("admin-ask-remove-thirty")
    with here.page.expect_navigation():  # a click on another link would end the request
        here.css(".ending button").click()
    section(here, "/phones")
    expect(here.css("tbody tr", has_text=f"desk-{number}-")).to_have_count(0)


def fetched_in_a_window(here: Walk, name: str, file: str) -> None:
    """The window is opened for one of the phones in the table; the phone fetches its file, and its login works."""
    pick(here, name)
    act(here, "window")
    here.stop("admin-ask-window")
    with here.page.expect_navigation():
        here.css(".ending button").click()
    here.shows("#window .state.warn")
    status, text = fetch(here.css("#window-address-1").inner_text() + file)
    assert status == 200
    here.site.phones[name] = yealink(text)["ldap.password"]
    assert here.site.ldapsearch("-s", "base", phone=name)[0] == 0

    def is_signed_in() -> bool:
        shown = json.loads(here.site.ldapgw("phones", "provision", "--tenant", "acme", "--json").stdout)
        return bool(shown["phones"][0]["signed_in"])

    # Otherwise the phone's row would change while the page asks before the phones are removed.
    wait_until(is_signed_in, "the fetched password is in use")
    here.open("admin/phones/window")
    expect(here.css("#window-phones tbody .tag.good")).to_have_count(1)
    here.stop("admin-window")
    here.send("admin/phones/window/close")
    here.shows("#window .state.quiet")
    expect(here.css("#window-phones tbody tr")).to_have_count(1)
    here.stop("admin-window-closed")
    section(here, "/phones")


def alarms(here: Walk) -> None:
    """The overview shows sign-ins with a name that no phone has, and a phone with a wrong password."""
    here.sign_in(CHIEF, "phones")
    name = f"alarm-{here.way.number}"
    password = here.add_phone(name)
    wait_until(lambda: here.site.ldapsearch("-s", "base", phone=name)[0] == 0, "the phone is known")
    here.site.phones[f"desk{here.way.number}"] = here.site.phones[name] = "wrong"
    for login in (f"desk{here.way.number}", name):
        assert here.site.ldapsearch("-s", "base", phone=login)[0] == 49
    here.open("admin")
    # The card is not there while nobody was refused, so that nothing in the open page follows the first.
    here.shows_anew("#refused-logins li", has_text=re.compile(f"desk{here.way.number}"))
    here.stop("admin-overview-refused")
    section(here, "/phones")
    expect(find(here, "", "refused").filter(has_text=name)).to_have_count(1)
    here.stop("admin-phones-refused")
    here.site.phones[name] = password
    here.remove_phone(name)


@journeys(overview, first_visit, google, activity, phones, thirty_desks, alarms)
def test_a_journey(another: Callable[[], Walk], journey: Callable[[Walk], None], way: Way) -> None:
    """It is gone to its end; each page on it fits, speaks one language, and has nothing that axe finds."""
    journey(another())


@journeys(people, also_plain=(people,))
def test_two_people(another: Callable[[], Walk], journey: Callable[[Walk, Any], None], way: Way) -> None:
    """A journey that somebody else has a part in."""
    journey(another(), another)


# --- scripts ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(crew: Crew) -> Iterator[Walk]:
    """A wide window, in English."""
    here = Walk(crew, Way(0, "wide", "en", has_scripts=True))
    yield here
    here.close()


def test_a_table_follows_what_changes(here: Walk) -> None:
    """While somebody works with it: what is selected, focused or typed stays."""
    here.administer("acme", "admin/people")
    row = here.css("#rows tr", has_text=STAYER)
    row.get_by_role("checkbox").check()
    here.page.get_by_role("searchbox").fill("ali")
    row.get_by_role("link").focus()
    expect(row).not_to_contain_text("Shared")
    assert here.site.ldapgw("share", STAYER, "shared", "--tenant", "acme").returncode == 0
    expect(row).to_contain_text("Shared")
    expect(row.get_by_role("checkbox")).to_be_checked()
    expect(row.get_by_role("link")).to_be_focused()
    expect(here.page.get_by_role("searchbox")).to_have_value("ali")


def test_a_file_that_is_dropped(here: Walk) -> None:
    """Anywhere on the form: it is chosen then; dropped beside it, it opens nothing."""
    here.administer("hooli", "admin/google")
    expect(here.css("#guide form[data-drop]")).to_be_visible()
    web = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "redirect_uris": []}
    for target, chosen in (("h1", 0), ("#guide form[data-drop]", 1)):
        here.page.evaluate(_DROP, [target, json.dumps({"web": web})])
        assert here.page.evaluate("document.getElementById('file').files.length") == chosen
    here.press("Test and save")
    expect(here.css("main")).to_contain_text("Saved and recognized by Google.")


_DROP = """([target, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], "client_secret.json", { type: "application/json" }));
  const given = { dataTransfer: data, bubbles: true, cancelable: true };
  for (const type of ["dragover", "drop"]) document.querySelector(target).dispatchEvent(new DragEvent(type, given));
}"""


def test_a_form_that_is_under_way_is_not_sent_again(here: Walk) -> None:
    """Its buttons cannot be pressed until a page is shown again."""
    here.administer("acme")
    button = here.page.get_by_role("button", name="Sign out")
    here.page.evaluate("document.querySelector('.user form').onsubmit = () => false")
    button.click()
    expect(button).to_be_disabled()
    here.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow'))")
    expect(button).to_be_enabled()
