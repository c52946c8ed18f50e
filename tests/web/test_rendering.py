# SPDX-License-Identifier: MIT
"""The tests read the pages in each state."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from jinja2 import PackageLoader
from msgspec.structs import asdict

from ldapgw import __version__
from ldapgw.contact import Flaw, Sharing, Source
from ldapgw.directory.passwords import UNKNOWN_LOGIN_HASH
from ldapgw.google.oauth import SCOPE_OF
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.phones.contact_browser import BookSizes
from ldapgw.store.account_status import account_to_json
from ldapgw.store.accounts import Account, ErrorStatus, SourceState
from ldapgw.store.contacts import FlawedPerson
from ldapgw.store.phones import NumberMode, PhoneLogin
from ldapgw.store.sign_ins import SignIn
from ldapgw.store.sync_state import SyncState
from ldapgw.web import error_pages
from ldapgw.web.account_texts import ACCOUNT_STATE_TEXTS, account_details, account_view, with_phones
from ldapgw.web.admin_people import PersonRow
from ldapgw.web.contact_pages import ContactRow, NumberText
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import ErrorPage
from ldapgw.web.i18n import languages
from ldapgw.web.layout import FLASH_MESSAGES
from ldapgw.web.phone_texts import PhoneState
from ldapgw.web.rendering import Renderer, _environment
from ldapgw.web.sessions import Visitor
from tests.support.stage.web import ACME, GLOBEX, HOSTILE, NOW

VOID = {"meta", "link", "input", "img", "br"}
TESTING_END = NOW - 7200 + 604800  # a consent to a client in "Testing" ends then

ACCOUNT = Account(
    id=1,
    tenant="acme",
    sub="1",
    address="alice@acme.example",
    sharing=Sharing.CALLERS,
    connected_at=NOW - 7200,
    scopes=frozenset({"openid"}),
    last_sync=NOW - 300,
    next_sync=NOW + 300,
    attempts=1,
    generation=1,
    sources={Source.CONTACTS: SourceState.ON},
    contacts=1812,
    numbers=2304,
    skipped={},
)
OTHER = replace(ACCOUNT, id=2, sub="2", address="bob@acme.example")


class Reader(HTMLParser):
    """Read the text of a page; fail on tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """Return the words of the page with single blanks."""
        return " ".join(" ".join(self.words).split())

    def links(self) -> set[str]:
        """Return the page's links and forms, without links to other languages and within the page."""
        found = {str(attrs.get("href") or attrs.get("action")) for tag, attrs in self.tags if tag in ("a", "form")}
        return {link for link in found if "language=" not in link and not link.startswith("#")}


def visitor_of(account: Account | None) -> Visitor:
    sign_in = SignIn("acme", "1", "alice@acme.example", hd="acme.example")
    return Visitor(sign_in, "A" * 43, account, (account,) if account else ())


def shown(account: Account | None, tenant: WebTenant = ACME) -> Reader:
    """Return the overview."""
    return Reader(overview(tenant, visitor_of(account)))


def shown_of_account(account: Account | None, tenant: WebTenant = ACME, **more: Any) -> Reader:
    """Return the page of the account."""
    return Reader(account_page(tenant, visitor_of(account), **more))


def render(template: str, language: str = "en", **values: Any) -> str:
    given = {"tenant": None, "visitor": None, "flash_message": None, "config_file": "/etc/ldapgw/ldapgw.toml", **values}
    return Renderer("").render(language, template, **given)


def status_of(account: Account | None, certificate_ends: float | None = None) -> dict[str, Any] | None:
    return account_to_json(account, tuple(Source), "this page", NOW, certificate_ends) if account else None


def overview(
    tenant: WebTenant,
    visitor: Visitor,
    language: str = "en",
    *,
    certificate_ends: float | None = None,
    phones: Sequence[tuple[PhoneLogin, PhoneState]] = (),
) -> str:
    account = visitor.account
    view = with_phones(account_view(tenant, account, status_of(account, certificate_ends)), phones)
    values: dict[str, Any] = {"tenant": tenant, "visitor": visitor, "account": account, "view": view, "phones": phones}
    values["sizes"] = BookSizes(account.contacts) if account else BookSizes()
    return render("overview.html", language, **values, sync_bars=(), sync_outcome="", model_titles={})


def account_page(tenant: WebTenant, visitor: Visitor, **more: Any) -> str:
    account, status = visitor.account, status_of(visitor.account)
    view = account_view(tenant, account, status)
    details = account_details(tenant, account, status, **more) if account and status and view.connected else None
    values: dict[str, Any] = {"tenant": tenant, "visitor": visitor, "account": account, "view": view}
    values["sizes"] = BookSizes(account.contacts, directory=25) if account else BookSizes()
    return render("account.html", **values, details=details, replicas=(), sync_bars=(), sync_rows=())


def welcome(tenant: WebTenant) -> str:
    return render("welcome.html", tenant=tenant, box=error_pages.CONSENT_CHECKBOXES[tenant.first_source])


def ending_page(ending: ErrorPage, tenant: WebTenant | None) -> str:
    return render("error_page.html", tenant=tenant, error_page=ending, popup=False)


OWN = {"share", "disconnect?account=1"}


@pytest.mark.parametrize(
    ("changed", "sign", "title", "offers", "offers_of_account"),
    [
        ({}, "✓", "Connected", {"sync"}, OWN),
        ({"syncing": True}, "✓", "Syncing now", {"sync"}, OWN),
        ({"last_sync": None}, "✓", "Connected, first sync in progress", {"sync"}, OWN),
        ({"error": ErrorStatus("consent_revoked", NOW)}, "!", "Needs attention", {"connect"}, {"connect", *OWN}),
        ({"error": ErrorStatus("client_rejected", NOW)}, "!", "Needs attention", {"sync"}, OWN),
        ({"refresh_expires_at": TESTING_END - 1}, "✓", "Connected", {"connect", "sync"}, {"connect", *OWN}),
        ({"connected_at": None}, "○", "Not connected", {"connect"}, {"connect"}),
        (None, "○", "Not connected", {"connect"}, {"connect"}),
    ],
    ids=["ok", "syncing", "waiting", "consent gone", "client rejected", "testing", "disconnected", "never connected"],
)
def test_what_a_page_shows_and_offers(
    changed: dict[str, Any] | None, sign: str, title: str, offers: set[str], offers_of_account: set[str]
) -> None:
    """The overview has a sign and a title for each state, with fitting links.

    The account's page has the other links.
    """
    account = None if changed is None else replace(ACCOUNT, **changed)
    page, of_account = shown(account), shown_of_account(account)
    assert page.text.startswith(f"{sign} {title} · Acme GmbH")
    assert page.text.count(f"{sign} {title}") == 2
    assert of_account.text.startswith("Account and sharing · Acme GmbH")
    assert (title in of_account.text) is (title == "Not connected")
    asked = {error_pages.GOOGLE_PERMISSIONS_URL} if account is None else set()
    pages = {"", "account", "contacts", "phones", "troubleshoot", "privacy", "signout"}
    own = {"search", "phones#add-phone"} if account else set()
    assert ("1,812 contacts are ready for your phone." in page.text) is (title in ("Connected", "Syncing now"))
    assert page.links() == {f"/acme/{name}" for name in pages | own | offers} | asked
    added = {"connect?add"} if account else set()
    assert of_account.links() == {f"/acme/{name}" for name in pages | added | offers_of_account}


def test_the_headline_is_the_worst_of_account_and_phones() -> None:
    """If the account has no trouble, a phone's trouble is the headline, with a link to the phone."""
    visitor = visitor_of(ACCOUNT)
    refused, works = PhoneState("bad", "Wrong password", "The last try."), PhoneState("good", "Works")
    to_fix, waiting = PhoneState("warn", "1 setting to fix"), PhoneState("quiet", "Not used yet")

    def title(account: Account, *states: PhoneState) -> str:
        logins = [
            PhoneLogin(f"bob-{number}", "acme", 1, NumberMode.VALUES, UNKNOWN_LOGIN_HASH, NOW)
            for number in range(1, len(states) + 1)
        ]
        page = Reader(overview(ACME, visitor_of(account), phones=tuple(zip(logins, states, strict=True))))
        return page.text.partition(" · ")[0]

    assert title(ACCOUNT, works, waiting) == "✓ Connected"
    assert title(ACCOUNT, to_fix, refused, works) == "! bob-2 uses a wrong password"
    assert title(ACCOUNT, works, to_fix) == "! bob-2: 1 setting to fix"
    assert title(replace(ACCOUNT, error=ErrorStatus("consent_revoked", NOW)), refused) == "! Needs attention"
    login = PhoneLogin("bob-1", "acme", 1, NumberMode.VALUES, UNKNOWN_LOGIN_HASH, NOW)
    labelled = replace(login, label="Bob’s office")
    page = Reader(overview(ACME, visitor, phones=((labelled, refused),)))
    assert "Bob’s office (bob-1) uses a wrong password The last try. Fix" in page.text
    assert "/acme/phones/bob-1" in page.links()
    served = Reader(overview(ACME, visitor, phones=((login, works),)))
    assert "Your contacts are on your phones and update automatically." in served.text


@pytest.mark.parametrize(
    "code",
    [
        *("consent_revoked", "scope_missing", "client_rejected", "api_disabled", "quota", "google_unavailable"),
        *("network", "bad_response", "suspicious_shrink", "internal"),
    ],
)
def test_each_error_is_shown_in_plain_words(code: str) -> None:
    trouble = ErrorStatus(
        code, NOW - 60, "https://console.developers.google.com/apis" if code == "api_disabled" else ""
    )
    page = shown(replace(ACCOUNT, error=trouble))
    status = account_to_json(replace(ACCOUNT, error=trouble), tuple(Source), "this page", NOW)
    assert status["error"]["message"] in page.text
    assert code == "network" or code not in page.text
    # Only administrators can enable the API.
    assert "https://console.developers.google.com/apis" not in page.links()
    administrator = shown(replace(ACCOUNT, error=trouble, alarm=trouble), replace(ACME, admins=("alice@acme.example",)))
    assert ("https://console.developers.google.com/apis" in administrator.links()) is (code == "api_disabled")


def test_labels_say_what_becomes_of_their_contacts() -> None:
    """The page says what becomes of each label, and names configured labels that Google does not have."""
    there = ["Family", "friends", "PRIVATE"]
    tenant = replace(ACME, labels=("Friends", "Staff", "starred"), excluded_labels=("Private", "Secret"))
    text = shown_of_account(ACCOUNT, tenant, labels=there).text
    for row in (
        "Family not among the chosen labels",
        "friends on the phones",
        "PRIVATE not on the phones",
        "Secret doesn’t exist in Google Contacts",
        "Staff doesn’t exist in Google Contacts",
    ):
        assert row in text
    assert "starred" not in text
    assert "Family on the phones" in shown_of_account(ACCOUNT, replace(tenant, labels=()), labels=there).text


REVOKED = {"error": ErrorStatus("consent_revoked", NOW - 60)}
BEFORE_FIRST_SYNC = {"last_sync": None, "error": ErrorStatus("api_disabled", NOW)}
TESTING = {"refresh_expires_at": TESTING_END}
SKIPPED = {"empty": 3, "label": 1, "excluded_label": 2, "unreadable_number": 1200, "a new reason": 2}
ASKED_FOR = ["See and download your contacts", "How long, and how to end it"]
FIGURES = [
    "Contacts 1,812 Numbers 2,304",
    "Last sync 21 Sept 2026, 14:08 UTC Next sync 21 Sept 2026, 14:18 UTC",
]
LEFT_OUT = [
    "3 contacts without a name, company, number or address",
    "1 contact without one of the chosen labels",
    "2 contacts with an excluded label",
    "1,200 numbers that can’t be dialed",
    "2 contacts left out",
]


@pytest.mark.parametrize(
    ("page", "changed", "has", "lacks"),
    [
        (shown, None, ASKED_FOR, FIGURES),
        (shown, {}, FIGURES, ASKED_FOR),
        (shown, BEFORE_FIRST_SYNC, ["Your contacts aren’t on your phones yet."], []),
        (shown, TESTING, ["This access ends on 2026-09-28 12:13 UTC"], []),
        (shown_of_account, TESTING, ["because the Google client is in “Testing”"], []),
        (shown_of_account, {}, ["until you disconnect"], ["My contacts access ended", *LEFT_OUT]),
        (shown_of_account, REVOKED, ["My contacts access ended", "Lasts ended on "],
         ["until you disconnect", "until you end it", "My contacts on"]),
        (shown_of_account, {"skipped": SKIPPED}, LEFT_OUT, []),
    ],
    ids=["never connected", "figures", "before the first sync", "end of access", "testing", "access", "no access",
         "left out"],
)  # fmt: skip
def test_what_a_page_says(
    page: Callable[[Account | None], Reader], changed: dict[str, Any] | None, has: list[str], lacks: list[str]
) -> None:
    """The overview or the account's page says what is so, and nothing that is not so; `changed` changes the account."""
    text = page(None if changed is None else replace(ACCOUNT, **changed)).text
    assert [words for words in (*has, *lacks) if words in text] == has


def test_contacts_to_correct() -> None:
    """Each contact has its faults and its page at Google, if there is one; the page counts contacts beyond the list."""
    flawed = [
        FlawedPerson("c77", "Anna \ufffd Berg", (Flaw.CHARACTERS, Flaw.COUNT)),
        FlawedPerson("c78", "", (Flaw.VALUES,)),
        FlawedPerson("other-c79", "Otto", (Flaw.LENGTH, Flaw.ID)),
        FlawedPerson("c80", "Paula", (Flaw.NUMBERS,), ("+49 1", "ask me")),
    ]
    page = shown_of_account(replace(ACCOUNT, skipped={"flawed": 6}), flawed=flawed)
    assert {link for link in page.links() if "google.com" in link} == {
        "https://contacts.google.com/person/c77?authuser=alice%40acme.example",
        "https://contacts.google.com/person/c78?authuser=alice%40acme.example",
        "https://contacts.google.com/person/c80?authuser=alice%40acme.example",
    }
    for row in (
        "Anna \ufffd Berg A character can’t be read, so phones show \ufffd in its place. There are too many values of "
        "a kind, so phones only get the first 100.",
        "Contact without a name Some values are damaged, so phones don’t get them.",
        "Otto A text is too long, so phones only get its beginning. The contact’s ID is damaged. Phones get the "
        "contact all the same.",
        "Paula “+49 1” can’t be understood as a phone number. “ask me” can’t be understood as a phone number.",
        "and 2 more contacts",
    ):
        assert row in page.text
    assert "What was left out" not in page.text
    assert "Google sent 1,812 contacts." in page.text
    assert "Contacts to correct" not in shown_of_account(ACCOUNT).text


ALL = replace(ACME, sources=tuple(Source))
ON, OFF, NONE, AWAY = SourceState.ON, SourceState.OFF, SourceState.NOT_GRANTED, SourceState.UNAVAILABLE
READABLE = frozenset(SCOPE_OF.values())


@pytest.mark.parametrize(
    ("changed", "states", "rows"),
    [
        ({}, (ON, NONE, AWAY), "contacts on; other off [on]; directory away [off]"),
        ({}, (ON, ON, OFF), "contacts on; other on [off]; directory off [on]"),
        ({"hd": ""}, (ON, NONE, NONE), "contacts on; other off [on]; directory away"),
        ({}, (NONE, ON, NONE), "contacts not granted; other on [off]; directory off [on]"),
        ({"revoked": True}, (ON, ON, OFF), "contacts on; other on [off]; directory off"),
        ({"delegated": True}, (ON, ON, NONE), "contacts on; other on; directory off"),
        ({"delegated": True, "has_consent": True}, (ON, ON, ON), "contacts on; other on [off]; directory on [off]"),
    ],
)
def test_each_source_has_its_state_and_its_switch(
    changed: dict[str, Any], states: tuple[SourceState, ...], rows: str
) -> None:
    """The first source has no switch, and neither has a source that Google or the administrator decides about."""
    account = replace(ACCOUNT, sources=dict(zip(Source, states, strict=True)), **changed)
    details = account_details(ALL, account, status_of(account) or {})
    names = {"My contacts": "contacts", "My other contacts": "other", "Company directory": "directory"}
    shown_rows = [
        f"{names[row.label]} {row.state.replace('not available for this account', 'away')}"
        + (f" [{row.switch}]" if row.switch else "")
        for row in details["sources"]
    ]
    assert "; ".join(shown_rows) == rows
    may_reconnect = states[0] is NONE
    assert account_view(ALL, account, status_of(account)).reconnect == ("may" if may_reconnect else "")


def test_a_source_that_is_switched_off_can_be_taken_back_at_google() -> None:
    """The page links to Google's connections as long as the grant has the scope."""
    account = replace(ACCOUNT, sources={Source.CONTACTS: ON, Source.OTHER_CONTACTS: OFF}, scopes=READABLE)
    assert error_pages.GOOGLE_CONNECTIONS_URL in shown_of_account(account, ALL).links()
    never = replace(account, sources={Source.CONTACTS: ON}, scopes=frozenset({SCOPE_OF[Source.CONTACTS]}))
    assert error_pages.GOOGLE_CONNECTIONS_URL not in shown_of_account(never, ALL).links()
    assert "Company directory" not in shown_of_account(ACCOUNT).text


@pytest.mark.parametrize(
    ("feeder", "state", "words"),
    [
        (None, NONE, "No one has switched this on yet."),
        (ACCOUNT, ON, "All phones here find the company directory through this account."),
        (OTHER, NONE, "the company directory through bob@acme.example. One account is enough for everyone."),
        (OTHER, ON, "through bob@acme.example. This account takes over if that one no longer can."),
    ],
)
def test_who_feeds_the_directory(feeder: Account | None, state: SourceState, words: str) -> None:
    account = replace(ACCOUNT, sources={Source.CONTACTS: ON, Source.DIRECTORY: state})
    assert words in shown_of_account(account, ALL, directory_account=feeder).text


def test_sharing_is_explained() -> None:
    """Each of the three choices shows a colleague's screens; the present choice is selected."""
    page = shown_of_account(ACCOUNT)
    radios = [attrs for tag, attrs in page.tags if tag == "input" and attrs.get("type") == "radio"]
    assert [(attrs["value"], "checked" in attrs) for attrs in radios] == [
        ("private", False),
        ("callers", True),
        ("shared", False),
    ]
    assert "Only your own phones find your contacts." in page.text
    html = account_page(ACME, visitor_of(ACCOUNT))
    screens = [re.findall("<span>(.*?)</span>", screen) for screen in re.findall('<figure class="screen">.*', html)]
    name, number, nothing = "Anna Berg", "+49301234567", "Nothing found"
    assert screens == [[number], [nothing], [name, number], [nothing], [name, number], [name, number]]


def test_every_form_has_the_token() -> None:
    """The forms to sync, search, share and sign out have the token."""
    tags = [*shown(ACCOUNT).tags, *shown_of_account(ACCOUNT).tags]
    forms = [attrs for tag, attrs in tags if tag == "form"]
    tokens = [attrs["value"] for tag, attrs in tags if tag == "input" and attrs.get("name") == "token"]
    assert len(forms) == len(tokens) == 5
    assert set(tokens) == {Visitor(SignIn("acme", "1", ""), "A" * 43, None).token}
    assert {form["method"] for form in forms} == {"post"}


@pytest.mark.parametrize(
    ("text", "displayed"),
    [(HOSTILE, HOSTILE), ("exe.\u202efdp \u200f\u2066\x1b[2J\x9b\u061c!", "exe.fdp [2J!")],
    ids=["tags", "controls"],
)
def test_hostile_texts_stay_text(text: str, displayed: str) -> None:
    """A title or an address cannot become a tag, or reorder the text around it."""
    tenant = replace(ACME, title=text)
    account = replace(ACCOUNT, address=text)
    visitor = Visitor(SignIn("acme", "1", text), "A" * 43, account, (account, replace(account, id=2)))
    row = ContactRow("", text, text, (NumberText(text, text, ""),), text, text, text, 0, has_photo=False)
    rows = [row, replace(row, numbers=())]
    for html in (
        overview(tenant, visitor),
        account_page(tenant, visitor, labels=[text], example=(text, text)),
        render("search.html", tenant=tenant, visitor=visitor, query=text, rows=rows, is_complete=True),
        welcome(tenant),
        render("front.html", tenants=(tenant, GLOBEX)),
        ending_page(error_pages.PAGES.not_allowed, tenant),
    ):
        page = Reader(html)
        assert [attrs["src"] for tag, attrs in page.tags if tag == "script"] == [f"/static/page.js?v={__version__}"]
        assert displayed in page.text
        assert not {*text} & {*html} - {*displayed}


@pytest.mark.parametrize("ending", asdict(error_pages.PAGES).values(), ids=lambda one: one.title)
@pytest.mark.parametrize("tenant", [ACME, None], ids=["of a tenant", "of nobody"])
def test_every_ending_says_what_happened_and_where_to_go(ending: ErrorPage, tenant: Any) -> None:
    page = Reader(ending_page(ending, tenant))
    assert ending.title in page.text
    assert str(ending.explanation) in page.text
    assert str(ending.explanation).endswith(".")
    assert all(str(line).endswith(".") for line in ending.advice)
    assert "button" in [str(attrs.get("class")) for tag, attrs in page.tags if tag == "a"]
    assert 400 <= ending.status < 600


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"excluded_labels": ("Private",)}, "give it the label “Private” in Google Contacts."),
        ({"labels": ("Friends",)}, "remove its labels that are on the phones in Google Contacts."),
        ({}, "ask your administrator."),
        ({"admins": (ACCOUNT.address,)}, "in the configuration file, /etc/ldapgw/ldapgw.toml."),
    ],
    ids=["excluded", "chosen", "all", "an administrator"],
)
def test_how_to_take_contacts_off_the_phones(labels: dict[str, Any], words: str) -> None:
    """The page names the tenant's labels for this, or else refers to the administrator."""
    tenant = replace(ACME, **labels)
    text = Reader(account_page(tenant, visitor_of(ACCOUNT), labels=["Friends"])).text
    assert re.search(f"To take [^.]*{re.escape(words)}", text)


def test_every_note_and_state_is_a_sentence() -> None:
    assert all(str(note.sentence).endswith(".") for note in FLASH_MESSAGES.values())
    assert all(str(state.sentence).endswith(".") for state in ACCOUNT_STATE_TEXTS.values() if state.sentence)


def test_no_tenants() -> None:
    assert "No company is set up yet." in Reader(render("front.html", tenants=())).text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sharing": Sharing.PRIVATE}, "By default: only your own phones"),
        ({"sharing": Sharing.CALLERS}, "By default: colleagues’ phones, only to show who is calling"),
        ({"sharing": Sharing("group:sales")}, "By default: the phones of the group “sales”"),
        ({"sharing": Sharing.SHARED}, "By default: all phones here"),
        # The drawn screens have a number as phones get the number.
        ({"number_format": NumberFormat.E164}, "+49301234567"),
        ({"number_format": NumberFormat.NATIONAL}, "030 1234567"),
        ({"sources": tuple(Source)}, "See and download your contacts"),
    ],
    ids=str,
)
def test_the_welcome(changed: dict[str, Any], words: str) -> None:
    """The welcome uses Google's words, and asks for the first source alone."""
    text = Reader(welcome(replace(ACME, **changed))).text
    assert words in text
    assert "See and download your organization’s Google Workspace directory" not in text


@pytest.mark.parametrize(("sharing", "words"), [(Sharing.SHARED, "Shared"), (Sharing("group:sales"), "Group “sales”")])
def test_the_administration_says_who_sees_a_book(sharing: Sharing, words: str) -> None:
    translate = Renderer("").translator("en")
    row = PersonRow(replace(ACCOUNT, sharing=sharing), "ok", "", 0)
    assert translate(row.sharing) == words
    row = PersonRow(replace(ACCOUNT, sharing=sharing, shared_label="VIP"), "ok", "", 0)
    assert translate(row.sharing) == f"{words}: only label “VIP”"


def privacy(tenant: WebTenant) -> Reader:
    return Reader(render("privacy.html", tenant=tenant))


def test_the_privacy_page() -> None:
    """The page says what is stored and where, and who sees the data; only a tenant with photos has a line on photos."""
    page = privacy(ACME)
    assert [words for words in ("What is stored", "Where it is stored", "Who sees it") if words not in page.text] == []
    assert "Your data is stored on the gateway of Acme GmbH and in its backups." in page.text
    assert "Small photos" not in page.text
    assert "Small photos" in privacy(replace(ACME, photos=True)).text
    assert error_pages.GOOGLE_PERMISSIONS_URL in page.links()


@pytest.mark.parametrize(
    ("help_", "url"),
    [("it@acme.example", "mailto:it@acme.example"), ("https://help.acme.example", "https://help.acme.example")],
)
def test_where_help_is_found(help_: str, url: str) -> None:
    """Each page has the help at its foot, and an error that needs the administrator names the help too."""
    tenant = replace(ACME, help=help_)
    assert url in shown(ACCOUNT, tenant).links()
    assert f"Version {__version__}" in shown(ACCOUNT, tenant).text
    assert "Help" not in shown(ACCOUNT).text
    asking, other = (
        Reader(ending_page(error_pages.PAGES.may_not_sign_in, tenant)),
        Reader(ending_page(error_pages.PAGES.not_found, tenant)),
    )
    assert f"Your administrator: {help_}" in asking.text
    assert url in asking.links() & other.links()
    assert "Your administrator:" not in other.text + Reader(ending_page(error_pages.PAGES.may_not_sign_in, ACME)).text


@pytest.mark.parametrize(
    ("account", "certificate_ends", "is_named"),
    [
        (ACCOUNT, None, False),
        (ACCOUNT, NOW + 86400, True),
        (replace(ACCOUNT, refresh_expires_at=TESTING_END), None, True),
        (replace(ACCOUNT, refresh_expires_at=NOW + 86400), None, False),
        (replace(ACCOUNT, error=ErrorStatus("consent_revoked", TESTING_END)), None, True),
        *(
            (replace(ACCOUNT, error=ErrorStatus("consent_revoked", NOW, facts={"by": by})), None, is_named)
            for by, is_named in (("admin", True), ("disabled", True), ("session", True), ("client", False))
        ),
        (replace(ACCOUNT, error=ErrorStatus("consent_revoked", NOW)), None, False),
        (replace(ACCOUNT, error=ErrorStatus("client_rejected", NOW)), None, True),
        (replace(ACCOUNT, error=ErrorStatus("network", NOW)), None, True),
        (replace(ACCOUNT, error=ErrorStatus("quota", NOW)), None, False),
        (replace(ACCOUNT, warnings={Source.DIRECTORY: {"directory_shrunk": {"lost": 5, "before": 6}}}), None, True),
    ],
    ids=[
        *("fine", "certificate", "testing", "ends", "testing ended", "by admin", "disabled", "session", "by client"),
        *("revoked", "client", "network", "quota", "directory"),
    ],
)
def test_who_the_administrator_is(account: Account, certificate_ends: float | None, is_named: bool) -> None:
    """The page names the administrator once if a message refers to the administrator, but not to an administrator."""
    tenant = replace(ACME, help="it@acme.example")
    visitor = visitor_of(account)
    page = Reader(overview(tenant, visitor, certificate_ends=certificate_ends)).text
    assert page.count("Your administrator: it@acme.example") == int(is_named)
    own = overview(replace(tenant, admins=frozenset({"alice@acme.example"})), visitor)
    assert "Your administrator:" not in own


def test_what_google_counted_in_each_source() -> None:
    """The page shows Google's count for synced sources, if Google has sent a count."""
    counted = {Source.CONTACTS: SyncState("token", "", NOW, total=4704), Source.DIRECTORY: SyncState("token", "", NOW)}
    account = replace(ACCOUNT, sources={Source.CONTACTS: SourceState.ON, Source.DIRECTORY: SourceState.ON})
    text = shown_of_account(account, ALL, sync_states=counted).text
    assert "My contacts On 21 September 2026 , Google reported 4,704 contacts. on" in text
    assert "Company directory No one has switched this on yet." in text
    lost = replace(account, sources={Source.CONTACTS: SourceState.NOT_GRANTED})
    assert "Google reported" not in shown_of_account(lost, ALL, sync_states=counted).text


def first_steps(account: Account | None, *phones: tuple[PhoneLogin, Any]) -> Reader:
    accounts = (account,) if account else ()
    visitor = Visitor(SignIn("acme", "1", "alice@acme.example"), "A" * 43, account, accounts)
    view = account_view(ACME, account, status_of(account))
    values: dict[str, Any] = {"visitor": visitor, "account": account, "view": view, "phones": phones, "tenant": ACME}
    return Reader(render("first_steps.html", **values, sizes=BookSizes(account.contacts if account else 0)))


def test_the_first_steps() -> None:
    """The list shows the open steps with links, and is gone after the last step."""
    login = PhoneLogin("desk", "acme", 1, NumberMode.VALUES, UNKNOWN_LOGIN_HASH, NOW)
    waiting, works = PhoneState("warn", "Connected", ""), PhoneState("good", "Works", "")
    google, phone, search = "Connect your Google contacts", "Add your phone", "First search from the phone"
    assert first_steps(None).text == f"First steps ○ {google} ○ {phone} ○ {search}"
    connected = first_steps(ACCOUNT)
    assert connected.text == f"First steps ✓ Done: Google connected (1,812 contacts) ○ {phone} ○ {search}"
    assert connected.links() == {"/acme/phones#add-phone"}
    added = first_steps(ACCOUNT, (login, waiting))
    assert "✓ Done: Phone added ○ Enter the settings in the phone and search for someone" in added.text
    assert added.links() == {"/acme/phones/desk"}
    assert first_steps(ACCOUNT, (login, works)).text == ""
    assert first_steps(ACCOUNT, (replace(login, worked_at=NOW), waiting)).text == ""
    revoked = replace(ACCOUNT, error=ErrorStatus("consent_revoked", NOW - 60))
    assert first_steps(revoked).text == f"First steps ○ Reconnect Google ○ {phone} ○ {search}"
    assert first_steps(revoked, (login, works)).text == ""


ENVIRONMENTS = [_environment(language) for language in languages().values()]


def test_all_languages_share_the_code_of_a_template() -> None:
    first, *others = (environment.get_template("front.html").root_render_func for environment in ENVIRONMENTS)
    assert [one.__code__ is first.__code__ for one in others] == [True]


def test_the_code_of_the_templates_has_no_words_of_one_language() -> None:
    """The compiler of the templates translates a constant text that a filter gets."""
    loader = PackageLoader("ldapgw.web")
    sources = {name: loader.get_source(ENVIRONMENTS[0], name)[0] for name in loader.list_templates()}
    codes = [
        {name: environment.compile(source, name, raw=True) for name, source in sources.items()}
        for environment in ENVIRONMENTS
    ]
    assert [name for name in sources if len({code[name] for code in codes}) > 1] == []
