# SPDX-License-Identifier: MIT
"""The journey of a company on Google Workspace: one decision, 50 people, and the first who leaves."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from ldapgw.google.delegation import REFUSAL_TEXTS, DelegationRefusal
from ldapgw.google.sandbox.tenant import ALICE, BOB
from ldapgw.store.activity import Act
from tests.browser import axe
from tests.browser.walk import HAS_AXE, Crew, Walk, Way, journeys
from tests.browser.window import person
from tests.support.readers import yealink
from tests.support.site.running import Site, fetch, new_site, wait_until

# Alice and Bob are the sandbox's; Alice is an administrator of the Workspace.
STAFF = (ALICE, BOB, *(f"user{number:02}@acme.example" for number in range(2, 50)))
EMPLOYEE, LEAVER = STAFF[7], STAFF[8]
PEOPLE = {address: [person("Kim", f"Kunde{number:02}", f"+4930555{number:03}")] for number, address in enumerate(STAFF)}
ORGANIZATION_DECIDED = "Your organization lets this phone book read your contacts. You decide who sees them."
NOT_ALLOWED = REFUSAL_TEXTS[DelegationRefusal.NOT_AUTHORIZED]
SUSPENDED = "This person’s Google account is suspended or archived."


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with new_site(tmp_path, people=PEOPLE, more='remove_leavers = "14d"\n') as site:
        yield site


@pytest.fixture
def crew(browser: Any, site: Site) -> Crew:
    return Crew(browser, site)


def finds(site: Site, number: int, phone: str) -> bool:
    """Return whether a phone finds the contact of a member of the staff by a real search."""
    status, said = site.ldapsearch(f"(sn=kunde{number:02})", "telephoneNumber", phone=phone)
    return status == 0 and f"+4930555{number:03}" in said


def delegation(here: Walk) -> None:
    """From the key file to 50 people on phones in ten clicks, of which two are the Workspace administrator's."""

    def choose(name: str, file: str, content: str) -> None:
        here.css(name).set_input_files({"name": file, "mimeType": "text/plain", "buffer": content.encode()})
        here.clicks += 1

    here.administer("acme", "admin/google")
    _, key = fetch(f"{here.site.google}/sandbox/service-account.json")
    here.clicks = 0
    choose("#key_file", "acme-phones.json", key)
    here.css("#administrator").fill(ALICE)
    here.send("admin/delegation")
    expect(here.css("#delegation-problem")).to_contain_text(here.say(NOT_ALLOWED.what))
    client_id, scopes = (here.css(f"#delegation-{name}").inner_text() for name in ("client-id", "scopes"))
    expect(here.css('a[href*="clientIdToAdd"]')).to_have_attribute("href", re.compile(f"clientIdToAdd={client_id}"))
    here.stop("delegation-refused")
    here.site.turn("authorize-service-account", client_id=client_id, scopes=scopes)
    here.clicks += 2  # the link to Google's console, and Authorize
    here.send("admin/delegation")
    expect(here.css("main > .note.good")).to_be_visible()
    here.site.wait_for_sync(len(STAFF))

    here.follow("/admin/phones", ".top nav")
    here.follow("/admin/phones/import")
    desks = [f"desk{number:02},{address},yealink,0015650000{number:02}" for number, address in enumerate(STAFF)]
    choose("#file", "desks.csv", "\n".join(("name,account,model,mac", *desks)))
    here.send("admin/phones/import")
    with here.page.expect_download() as given:
        here.send("admin/phones/import/add")
    assert here.clicks <= 10
    archive = zipfile.ZipFile(io.BytesIO(given.value.path().read_bytes()))
    numbers = range(len(STAFF))
    for number in numbers:
        text = archive.read(f"0015650000{number:02}.cfg").decode()
        here.site.phones[f"desk{number:02}"] = yealink(text)["ldap.password"]
    wait_until(lambda: all(finds(here.site, each, f"desk{each:02}") for each in numbers), "all phones find a contact")
    here.open("admin/google")
    expect(here.css("#delegation")).to_contain_text(str(len(STAFF)))
    here.stop("delegation-in-use")


def employee(here: Walk) -> None:
    """Signs in without a consent, learns who decided what, shares, and adds a phone."""
    number = STAFF.index(EMPLOYEE)
    here.page.goto(f"{here.site.page}signin")
    here.page.get_by_role("radio", name=EMPLOYEE).check()
    here.page.get_by_role("button", name="Continue").click()
    here.page.wait_for_url(here.site.page)
    expect(here.css("#standing")).to_contain_text(here.say(ORGANIZATION_DECIDED))
    here.stop("delegated-overview")
    assert not finds(here.site, number, "desk49")
    here.follow("/acme/account")
    expect(here.css("#access")).to_contain_text(here.say(ORGANIZATION_DECIDED))
    assert here.css('main a[href*="disconnect"]').count() == 0
    here.css("[name=sharing][value=shared]").check()
    here.send("share")
    expect(here.css("main > .note.good")).to_be_visible()
    here.stop("delegated-account")
    wait_until(lambda: finds(here.site, number, "desk49"), "the colleagues find what is shared")
    here.go("phones")
    here.add_phone("home")
    wait_until(lambda: finds(here.site, number, "home"), "the phone is known")


def leaver(here: Walk) -> None:
    """Somebody who is suspended leaves on a day that the page tells, unless the administrator keeps the account."""
    here.administer("acme", "admin/people?show=leaving")
    row = here.css("tbody tr")
    leaves = here.say("leaves on %(day)s").partition("%")[0]
    expect(row).to_contain_text([re.compile(f"{LEAVER}.*{leaves}", re.DOTALL)])
    here.stop("leaver")
    row.locator("th a").click()
    expect(here.css("main .note")).to_contain_text(here.say(SUSPENDED))
    here.stop("leaver-person")
    here.page.go_back()
    row.locator("input[type=checkbox]").check()
    here.css('button[name=act][value="keep"]').click()
    expect(here.css("main > .note.good")).to_be_visible()
    expect(row.filter(has_text=LEAVER)).not_to_contain_text(leaves)


@journeys(delegation)
def test_a_company(
    another: Callable[[], Walk], site: Site, journey: Callable[[Walk], None], way: Way, tmp_path: Path
) -> None:
    """The story to its end; the gateway reads the Workspace each hour, and when it starts."""
    first, second = another(), another()
    with site.running():
        journey(first)
        employee(second)
        site.turn("set-user", account=LEAVER, suspended=True)
        for here in (first, second):
            here.page.goto("about:blank")  # an open page would ask the gateway for changes after its end
    with site.running():
        wait_until(lambda: Act.LEAVER_FOUND in site.ldapgw("activity", "export").stdout, "the Workspace is read again")
        leaver(first)
        first.page.goto("about:blank")
    assert not HAS_AXE or axe.invalid(first.crew.html, tmp_path) == ""
