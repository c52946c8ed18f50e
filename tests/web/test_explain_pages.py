# SPDX-License-Identifier: MIT
"""The page Troubleshoot explains why a caller was not found, with advice, as far as the reader may know the reason."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from markupsafe import escape
from twisted.internet.defer import Deferred

from ldapgw.contact import STARRED, Contact, Sharing
from ldapgw.directory.book import FAVOURITES, build_book
from ldapgw.directory.catalog import Snapshot
from ldapgw.directory.naming_context import NamingContext
from ldapgw.phones.explain.explain import MAX_QUERY_LENGTH
from ldapgw.store import accounts, phones, sync_state
from ldapgw.store.sign_ins import SignIn
from ldapgw.sync.publisher import make_login
from ldapgw.web.error_pages import PageError
from ldapgw.web.explain_pages import MAX_RUNNING, ExplainPages
from ldapgw.web.http import HttpRequest
from ldapgw.web.layout import Layout, Visit
from ldapgw.web.sessions import Visitor
from tests.support.phonebook import explain, naming_context
from tests.support.phonebook.trees import dit_of
from tests.support.results import result_of
from tests.support.stage.web import (
    ACME,
    ALICE,
    BOB,
    HOSTILE,
    NOW,
    ROOT,
    Browser,
    Seen,
    Stage,
    add,
    owner,
    search,
    words_on,
)


def serve(stage: Stage, sharing: Mapping[str, Sharing] | None = None) -> None:
    """Publish the world of the explanations.

    Alice's and Bob's books belong to their accounts, and other books to nobody.
    """
    context, known = naming_context(), stage.accounts()
    subs, owners = {one.address: one.sub for one in known}, {one.id: one.sub for one in known}
    books = [
        build_book(context, subs.get(name, key), name, (sharing or {}).get(name, how), people, {}, per_number=False)
        for key, name, how, people in explain.BOOKS
    ]
    logins = [make_login(login, context, tuple(login.owners(owners))) for login in stage.do(phones.read_all)]
    by_name = {login.name.lower(): login for login in logins}
    stage.served = Snapshot(dit_of(*books, context=context), by_name, loaded=True)


def serve_own(
    stage: Stage, *contacts: Contact, context: NamingContext | None = None, labels: Mapping[str, str] | None = None
) -> None:
    """Publish a book of Alice's with only these contacts."""
    context = context or naming_context()
    [account] = stage.accounts()
    book = build_book(context, account.sub, ALICE, Sharing.PRIVATE, contacts, labels or {}, per_number=False)
    stage.served = replace(stage.served, dit=dit_of(book, context=context))


PART = "doesn’t match this part of the filter: (telephoneNumber=*)"
DAVES_BOOK = f"ou={explain.DAVE},dc=acme,dc=example"


def ask(browser: Browser, asked: str, phone: str = "desk1", **more: str) -> Seen:
    return browser.submit("/acme/explain", asked=asked, phone=phone, **more)


def links(page: Seen) -> list[str]:
    return [html.unescape(link) for link in re.findall(r'<a class="button plain small" href="([^"]*)"', page.body)]


@pytest.fixture
def alice(stage: Stage) -> Browser:
    """Alice owns the phone desk1."""
    browser = owner(stage)
    serve(stage)
    return browser


def test_a_caller_is_found(alice: Browser) -> None:
    page = ask(alice, "030 123-45 67")
    assert "the number +49\xa030\xa01234567 is the same" in page.body
    assert "“030\xa0123-45\xa067”</h1>" in page.body
    said = words_on(page)
    for words in (
        "✓ desk1 finds 1 contact Hans Müller alice@acme.example",
        "Query (|(telephoneNumber=030 123-45 67)(mobile=030 123-45 67)(homePhone=030 123-45 67))",
        "Compared as +49 30 1234567 Search base dc=acme,dc=example",
        "Searched in alice@acme.example (the phone’s own)",
        "bob@acme.example (shared)",
        "Company directory carol@",
        "carol@acme.example (only callers’ names)",
    ):
        assert words in said


SETTINGS = ["/acme/phones/desk1#settings"]


@pytest.mark.parametrize(
    ("asked", "said", "fixes"),
    [
        ("030 1234599", "The contact has the number +49 30 1234567. The difference: the last 2 digits.", []),
        ("(&(telephoneNumber=*)(sn=stumm*))", f"{PART}. Change the filter in the phone’s settings", SETTINGS),
        ("klinik", "saved as the email address “theresa@klinik.example”, and the phone doesn’t search in", SETTINGS),
        ("Maier", "The contact has the name “Karin Meier”, which is spelled differently.", []),
        ("Karin Qqqq", "The contact has “karin” (the name), but not “qqqq”.", []),
        ("xyzzy", "! desk1 finds nobody This phone can’t see any contact that is similar to what you searched", []),
    ],
    ids=["direct-dial number", "filter", "attribute", "spelling", "one word", "nobody"],
)
def test_a_miss_with_what_mends_it(alice: Browser, asked: str, said: str, fixes: list[str]) -> None:
    page = ask(alice, asked)
    assert (said in words_on(page), links(page)) == (True, fixes)


def test_what_is_to_be_done_is_said_once(stage: Stage, alice: Browser) -> None:
    """Contacts with the same advice share one sentence; a contact without a name is not called by its number."""
    serve_own(stage, explain.contact("c1", "Karin Meier", "w 030 1234500"), explain.contact("c2", "", "w 030 1234501"))
    said = words_on(ask(alice, "030 1234599"))
    advice = "If the caller is from the same company as this contact, save the caller’s number in Google Contacts, too."
    assert said.count(advice) == 1
    assert f"Karin Meier {ALICE} The contact has the number +49 30 1234500" in said
    assert f"Without a name {ALICE} The contact has the number +49 30 1234501" in said


def test_a_contact_of_ones_own_is_opened_at_google(stage: Stage, alice: Browser) -> None:
    """The link has the contact's id and the account; a contact that Google made by itself has no link."""
    serve_own(stage, explain.contact("c77", "Karin Meier"), explain.contact("other-c78", "Karla Meier"))
    page = ask(alice, "Maier")
    assert links(page) == [f"https://contacts.google.com/person/c77?authuser={ALICE.replace('@', '%40')}"]
    assert page.body.count('rel="noreferrer"') == 1


def test_favourites_and_blocked_contacts_are_said(stage: Stage, alice: Browser) -> None:
    """The page has a sentence for a favourite and for a blocked contact, and none for other contacts."""
    serve_own(
        stage,
        explain.contact("c1", "Karin Meier", labels=(STARRED,)),
        explain.contact("c2", "Karla Meier", labels=("contactGroups/s",)),
        explain.contact("c3", "Karl Meier"),
        context=replace(naming_context(), favourites=True, block_label="spam"),
        labels={STARRED: FAVOURITES, "contactGroups/s": "Spam"},
    )
    said = words_on(ask(alice, "meier"))
    assert said.count("This contact is a favorite, because it’s starred in Google Contacts.") == 1
    assert said.count("This contact is blocked, because it has the label for blocked contacts.") == 1


@pytest.mark.parametrize("is_admin", [False, True], ids=["a user", "an administrator"])
def test_other_peoples_books_are_not_told_of(stage: Stage, alice: Browser, is_admin: bool) -> None:
    """Users read that another book may have the contact. An administrator reads if another book has a whole number."""
    browser = stage.admin() if is_admin else alice
    maybe = "Someone else may have this contact in an address book that isn’t shared with this phone. Ask your"
    for asked in ("kolumna", "karla", "(mobile=*7654399)", "(mobile=0171765439*)", "iwan"):
        said = words_on(ask(browser, asked))
        assert ("finds nobody" in said, maybe in said) == (True, True)
        assert not re.search("Karla|Iwan|dave@", said.replace(asked, ""))
    page = ask(browser, "0171 7654399")
    said = words_on(page)
    assert ("A contact in someone else’s private address book has this number." in said) is is_admin
    assert not re.search("Karla|dave@|\\+491717654399 ", said.partition("How the phone searched")[0])
    assert links(page) == []


def test_ones_other_account_is_told_of(stage: Stage, alice: Browser) -> None:
    alice.consent("/acme/connect?add", account=BOB)
    serve(stage, {BOB: Sharing.PRIVATE})
    page = ask(alice, "mulligan")
    said = words_on(page)
    assert f"Ann Mulligan {BOB} The contact is in the private address book of {BOB}" in said
    assert "This contact is yours. If you share your contacts" in said
    assert links(page) == ["/acme/account?account=2#sharing"]


def test_what_is_known_of_ones_syncs(stage: Stage, alice: Browser) -> None:
    """The page tells of a failed sync of one's own account; only an administrator reads of other people's syncs."""
    stage.browser().consent(account=BOB)
    mine, bobs = stage.accounts()
    stage.do(sync_state.fail, mine, "quota", NOW, None)
    stage.do(accounts.set_sharing, bobs.id, Sharing.SHARED, "")
    serve(stage)
    shown = (
        'href="/acme/account?account=1#google"',
        "The last sync of alice@acme.example failed. Google has asked the gateway to slow down, so",
        "The first sync of bob@acme.example hasn’t finished yet",
    )
    pages = [ask(browser, "xyzzy") for browser in (alice, stage.admin())]
    found = [[words in page.body + words_on(page) for words in shown] for page in pages]
    assert found == [[True, True, False], [False, True, True]]


def test_advice_for_administrators(stage: Stage, alice: Browser) -> None:
    """Administrators can change the settings, so only their page tells of the settings."""
    for_all = "Correct the number in Google Contacts, with its country code."
    for_admins = f"{for_all} A number without one gets the country"
    told = [words_on(ask(browser, "+43 30 1234567")) for browser in (alice, stage.admin())]
    assert [(for_all in said, for_admins in said) for said in told] == [(True, False), (True, True)]


def test_whose_phones(stage: Stage, alice: Browser) -> None:
    """A user can choose the own phones, and an administrator all phones of the tenant."""
    bob = owner(stage, BOB, "desk2")
    stage.do(phones.add, phones.PhoneLogin("hall", "globex", None, phones.NumberMode.VALUES, "x", 0.0))
    serve(stage)
    assert ask(bob, "x", "desk1").status == 404
    assert bob.get("/acme/explain?phone=desk1").status == 404
    offered = re.compile(r'<option value="(\w+)"')
    assert offered.findall(bob.get("/acme/explain").body) == ["desk2"]
    admin = stage.visitor(account=ROOT)
    add(admin, "desk9")
    assert offered.findall(admin.get("/acme/explain").body) == ["desk9", "desk1", "desk2"]
    page = admin.get("/acme/explain?phone=desk2")
    assert '<option value="desk2" selected>' in page.body


def test_without_a_phone(browser: Browser) -> None:
    browser.consent()
    assert "You haven’t added a phone yet." in words_on(browser.get("/acme/explain"))


@pytest.mark.parametrize(
    ("asked", "base", "wrong"),
    [
        ("(cn=", "", "This filter can’t be read."),
        *(("x", base, "The phone’s search base doesn’t exist") for base in ("dc=nowhere", "no dn", DAVES_BOOK)),
    ],
    ids=["filter", "base", "no DN", "somebody else's book"],
)
def test_what_cannot_be_explained(alice: Browser, asked: str, base: str, wrong: str) -> None:
    page = ask(alice, asked, base=base)
    assert (page.status, wrong in words_on(page), f'value="{asked}"' in page.body) == (400, True, True)


def test_a_phone_that_is_not_served_yet(alice: Browser) -> None:
    add(alice, "desk8")
    assert "hasn’t loaded this phone yet" in words_on(ask(alice, "x", "desk8"))


@pytest.mark.parametrize(
    ("asked", "title"),
    [
        ("zzzz", "Why wasn’t “zzzz” found?"),
        (HOSTILE, f"Why wasn’t “{escape(HOSTILE)}” found?"),
        ("(|(cn=zzzz*)(sn=zzzz*))", "Why wasn’t “zzzz” found?"),
        ("(telephoneNumber=anonymous)", "The caller hid their number"),
        ("*", "What desk1 finds for “*”"),
        (" ", "Why wasn’t this caller found?"),
    ],
)
def test_the_title_names_what_was_asked(alice: Browser, asked: str, title: str) -> None:
    """The title also names the text that a phone's filter asks for; HTML stays text."""
    page = ask(alice, asked)
    assert re.findall(r"<h1[^>]*>([^\n]*)</h1>", page.body.replace("\xa0", " ")) == [title]
    assert "<script>alert" not in page.body


def test_a_search_in_vain_can_be_asked_about(stage: Stage, alice: Browser) -> None:
    """The phone's page asks with the filter and base of a search in vain, unless the filter is too long."""
    search(stage, "(cn=mue*)", 1)
    search(stage, f"(cn={'x' * MAX_QUERY_LENGTH}*)", 0)
    page = alice.get("/acme/phones/desk1")
    assert 'action="/acme/explain"' not in page.body
    assert 'href="/acme/explain?phone=desk1"' in page.body
    search(stage, "(&(telephoneNumber=*)(sn=stumm*))", 0)
    page = alice.get("/acme/phones/desk1")
    [form] = re.findall(r'<form method="post" action="/acme/explain".*?</form>', page.body, re.DOTALL)
    fields = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form)}
    assert PART in words_on(alice.post("/acme/explain", fields))


def test_the_answer_comes_first(stage: Stage, alice: Browser) -> None:
    """The nearest matches come second, then a hint at other people's books; the form for another question is last."""
    said = words_on(ask(alice, "030 1234599"))
    order = ("desk1 finds nobody", "The difference: the last 2 digits.", "Someone else may have", "Number or name")
    places = [said.index(words) for words in order]
    assert places == sorted(places)
    assert "A call showed only a number" not in said
    assert "A call showed only a number" in words_on(alice.get("/acme/explain"))


def test_filters_are_for_administrators(stage: Stage, alice: Browser) -> None:
    """The form accepts filters from everybody, as a phone's page sends them; users are asked for numbers and names."""
    labels = [
        re.findall('<label for="asked">(.*?)</label>', browser.get("/acme/explain?phone=desk1").body)
        for browser in (alice, stage.admin())
    ]
    assert labels == [["Number or name"], ["Number, name or filter"]]


def test_many_books_are_counted(stage: Stage, alice: Browser) -> None:
    """The page names the first books and counts the others."""
    context = naming_context()
    books = [
        build_book(context, f"k{at}", f"k{at}@acme.example", Sharing.SHARED, (), {}, per_number=False)
        for at in range(14)
    ]
    stage.served = replace(stage.served, dit=dit_of(*books, context=context))
    said = words_on(ask(alice, "x"))
    assert "k9@acme.example (shared) and 4 more" in said
    assert "k10@acme.example" not in said


def test_nothing_of_it_is_in_an_address(alice: Browser) -> None:
    """The page looks nothing up for a question in the address."""
    assert "finds" not in words_on(alice.get("/acme/explain?phone=desk1&asked=mueller"))


def test_in_german(alice: Browser) -> None:
    page = alice.post(
        "/acme/explain",
        {"token": alice.get("/acme/").token, "asked": "030 1234599", "phone": "desk1"},
        {"Accept-Language": "de"},
    )
    said = words_on(page)
    assert "desk1 findet niemanden" in said
    assert "Gespeichert ist +49 30 1234567 (Nummer). Der Unterschied: die letzten 2 Ziffern." in said
    assert "Gesucht in alice@acme.example (Telefonbuch dieses Telefons)" in said


def test_some_at_a_time(stage: Stage, alice: Browser) -> None:
    """Only some answers may be under way; further questions are refused."""
    waiting: Deferred[None] = Deferred()

    class Slow:
        async def explain(self, *_question: object) -> None:
            await waiting

    slow: Any = Slow()
    layout = Layout.of(replace(stage.gate, explainer=slow))
    page = ExplainPages(layout)
    [account] = stage.accounts()
    visitor = Visitor(SignIn("acme", account.sub, ALICE), "A" * 43, account, (account,))
    visit = Visit(layout, HttpRequest(form={"phone": "desk1", "asked": "x"}), ACME, visitor)
    begun = [Deferred.fromCoroutine(page.explain(visit)) for _ in range(MAX_RUNNING + 1)]
    with pytest.raises(PageError) as ended:
        result_of(begun.pop())
    assert ended.value.error_page.status == 429
    waiting.callback(None)
    assert [result_of(one).status for one in begun] == [400] * MAX_RUNNING
    assert result_of(page.explain(visit)).status == 400
