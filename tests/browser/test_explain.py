# SPDX-License-Identifier: MIT
"""Why was this caller not found?  Asked, answered and mended in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from ldapgw.google.sandbox.tenant import ALICE
from ldapgw.phones.explain.model import TEXTS, MissReason
from ldapgw.phrase import Phrase
from tests.browser.window import Window, add, in_german
from tests.support.site.running import Site, wait_until

OpenWindow = Callable[..., Window]


def ask(here: Window, asked: str) -> None:
    here.page.get_by_label(here.say("Number, name or filter")).fill(asked)
    here.press("Explain")


@in_german
def test_a_miss_is_explained_and_mended(window: OpenWindow, language: str) -> None:
    """The caller is in the private book of one's other account: a click leads to who sees it."""
    first, other, number = {
        "en": ("lena@acme.example", "max@acme.example", "030 555109"),
        "de": ("nora@acme.example", "otto@acme.example", "030 555111"),
    }[language]
    here = window(language)
    here.connect(first)
    here.press("Account and sharing")
    here.consent(here.popup("Add another Google account"), other)
    here.page.get_by_role("link", name=other).wait_for()
    name = f"desk-of-{first.partition('@')[0]}"
    add(here, name)
    here.press("Troubleshoot")
    here.waits_for(here.say("Troubleshoot"))
    here.page.get_by_label(here.say("Phone"), exact=True).select_option(name)
    ask(here, number)
    nobody = Phrase("%(phone)s finds nobody", {"phone": name})
    answer = here.page.locator("#answer")
    expect(answer).to_contain_text(here.say(nobody))
    expect(answer).to_contain_text(here.say(Phrase(TEXTS.reasons[MissReason.PRIVATE_BOOK].message, {"book": other})))
    assert "555" not in here.page.url.removeprefix(here.site.page)

    here.press("Choose who sees these contacts")
    here.page.get_by_role("radio", name=re.compile(rf"^{here.say('Shared')}")).check()
    here.press("Save")
    expect(here.page.locator(".note.good")).to_have_text(here.say("Saved. The new sharing setting is now in effect."))
    here.press("Troubleshoot")
    here.page.get_by_label(here.say("Phone"), exact=True).select_option(name)
    ask(here, number)
    expect(answer).to_contain_text(other.partition("@")[0].title() + "mann")
    expect(answer.locator(".good .sign")).to_be_visible()


@in_german
def test_a_search_in_vain_on_the_phones_page(window: OpenWindow, site: Site, language: str) -> None:
    """Its button asks with the very filter of the phone."""
    name = f"attic-{language}"
    here = window(language)
    here.connect(ALICE)
    add(here, name, "snom")
    site.phones[name] = here.page.locator("#the-password").inner_text()
    wait_until(
        lambda: site.ldapsearch("(&(telephoneNumber=*)(sn=nummernl*))", "cn", phone=name)[0] == 0, "the phone is known"
    )
    here.press("Why?")
    answer = here.page.locator("#answer")
    expect(answer).to_contain_text("Norbert Nummernlos")
    blamed = Phrase(TEXTS.reasons[MissReason.FILTER_TERM].message, {"terms": "(telephoneNumber=*)"})
    expect(answer).to_contain_text(here.say(blamed))
    expect(here.page.get_by_label(here.say("Phone"), exact=True)).to_have_value(name)
    here.press("See the phone’s settings")
    here.page.wait_for_url(f"**/phones/{name}#settings")
