# SPDX-License-Identifier: MIT
"""PBXs ask for callers' names over HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from ldapgw.contact import Contact, Kind, Phone, Sharing
from ldapgw.directory.book import build_book
from ldapgw.ldap.admission import UNKNOWN_NUMBERS
from ldapgw.numbers import stored_numbers
from ldapgw.phones.activity import decode_search
from ldapgw.phones.hints import Hint, PhoneProfile, find_hints
from ldapgw.web.book_clients import caller_number, prefers_json
from tests.support.checkout import ROOT
from tests.support.phonebook import naming_context
from tests.support.phonebook.trees import dit_of
from tests.support.stage.book_clients import PASSWORD, basic, bearer, serve
from tests.support.stage.web import ALICE, BOB, Browser, Seen, Stage


@pytest.fixture
def stage() -> Stage:
    return serve()


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def ask(browser: Browser, number: str, headers: dict[str, str] | None = None, tenant: str = "acme") -> Seen:
    return browser.get(f"/{tenant}/caller?number={number}", basic() if headers is None else headers)


ANNAS = ("%2B49301234567", "+49301234567", "0049301234567", "0301234567", "(030)%20123-4567", "01711234567")


@pytest.mark.parametrize("number", [*ANNAS, "sip:+49301234567@pbx.example"])
def test_the_name(browser: Browser, number: str) -> None:
    """The PBX may write the number in any way; a plus sign that is not encoded is understood too."""
    answer = ask(browser, number)
    assert (answer.status, answer.body) == (200, "Anna Berg")
    assert answer.headers["content-type"] == ["text/plain; charset=utf-8"]
    assert answer.headers["cache-control"] == ["no-store"]


def test_a_number_in_a_form(browser: Browser) -> None:
    """Some PBXs can only send the number in a form."""
    posted = [browser.post("/acme/caller", {"number": number}, basic()) for number in ("+49301234567", "030 123-4567")]
    posted.append(browser.send("/acme/caller", b"number=+49301234567", FORM | basic()))
    assert [(answer.status, answer.body) for answer in posted] == [(200, "Anna Berg")] * 3


@pytest.mark.parametrize("name", ["M%FCller", "M%C3%BCller%FF", "%", "%00"])
def test_the_name_that_the_network_sends(browser: Browser, name: str) -> None:
    """A PBX may add the caller's name, in any encoding."""
    assert ask(browser, f"0301234567&name={name}").body == "Anna Berg"


@pytest.mark.parametrize("headers", [basic(), bearer(), basic("PBX"), basic("cn=pbx,ou=phones,dc=acme,dc=example")])
def test_the_login(browser: Browser, headers: dict[str, str]) -> None:
    assert ask(browser, "0301234567", headers).status == 200


JSON = {"Accept": "application/json"}


ANNA = "01711234567"
FIELDS = ("name", "first_name", "last_name", "company", "number", "kind", "book", "label", "favourite", "blocked")
CALLERS = {
    ANNA: ("Anna Berg", "Anna", "Berg", "Berg & Söhne", "+491711234567", "mobile", ALICE, "Suppliers", True, True),
    "0307654321": ("Bob Bauer", "Bob", "Bauer", "Bauer AG", "+49307654321", "home", BOB, "Friends", False, False),
    "01717654321": ("Carl Cäsar", None, "Cäsar", None, "+491717654321", "mobile", None, None, False, False),
}


@pytest.mark.parametrize(("number", "found"), CALLERS.items(), ids=["own", "shared", "for callers"])
def test_json(browser: Browser, number: str, found: tuple[object, ...]) -> None:
    """The object has all fields that the login may see.

    A contact of a book for callers has only its name and number.
    """
    answer = ask(browser, number, basic() | JSON)
    assert answer.headers["content-type"] == ["application/json"]
    assert json.loads(answer.body) == dict(zip(FIELDS, found, strict=True))


def test_json_of_a_company(stage: Stage, browser: Browser) -> None:
    """The company's name and the number of its switchboard stand for a caller from one of its extensions."""
    context = replace(naming_context(), switchboard=True)
    [number] = stored_numbers.read("030 55501-0", "DE")
    hans = Contact("h1", name="Hans Müller", organization="Beispiel AG", phones=(Phone(Kind.WORK, number),))
    book = build_book(context, "a", "alice@acme.example", Sharing.PRIVATE, [hans], {}, per_number=False)
    stage.catalog.publish(replace(stage.catalog.snapshot, dit=dit_of(book, context=context)), ())
    found = json.loads(ask(browser, "03055501234", basic() | JSON).body)
    assert found.items() >= {
        "name": "Beispiel AG ?", "first_name": None, "last_name": "Beispiel AG ?",
        "number": "+4930555010", "kind": "work",
    }.items()  # fmt: skip


AS_JSON = ("application/json", "application/json, */*", "application/json, text/plain;q=0.9")
AS_TEXT = ("", "*/*", "text/plain", "text/html", "x", "application/json;q=0.5, text/plain")


def test_who_asks_for_json() -> None:
    assert [accept for accept in AS_JSON + AS_TEXT if prefers_json(accept)] == [*AS_JSON]


@pytest.mark.parametrize("number", ["0305556677", "03099999999", "anonymous", "", "Berg", "*", "%2B", "9" * 300])
def test_nobody(browser: Browser, number: str) -> None:
    """A number in another person's private book, an unknown or withheld number, and other text find nobody."""
    answer = ask(browser, number)
    assert (answer.status, answer.body) == (404, "")


def test_no_number(browser: Browser) -> None:
    answer = browser.get("/acme/caller", basic())
    assert (answer.status, answer.body) == (400, "The number is missing: …/caller?number=+4930…\n")


def test_trying_all_numbers(stage: Stage, browser: Browser) -> None:
    """A login that asks for too many unknown numbers gets no more names from books for callers for a while."""
    for number in range(int(UNKNOWN_NUMBERS)):
        ask(browser, f"0309{number:06}")
    assert [ask(browser, number).status for number in ("01717654321", "0301234567")] == [404, 200]
    stage.clock.advance(10.0)
    assert ask(browser, "01717654321").body == "Carl Cäsar"


def test_the_search_is_on_the_phones_page(stage: Stage, browser: Browser) -> None:
    """The phone's page shows the search with its result, as after a search over LDAP."""
    ask(browser, "0301234567")
    ask(browser, "03099999999")
    base = stage.watch.base_dn("acme")
    found = [decode_search(one) for one in stage.watch.search_log.searches_of(f"cn=pbx,ou=phones,{base}")]
    assert [(one.search.entries, one.request.base) for one in found if one.request] == [(0, base), (1, base)]
    profile = PhoneProfile.for_model(base, "", per_number=False)
    assert [find_hints(one, profile) for one in found] == [(Hint.NOTHING,), ()]


def test_a_plus_that_was_not_encoded() -> None:
    """A blank before a digit was a plus sign; any other text stays as it is."""
    values = {" 4930": "+4930", "+4930": "+4930", " anonymous": " anonymous", " ": " ", "": ""}
    assert {value: caller_number(value) for value in values} == values


# --- telephone systems, as their documents have their requests -------------------------------------------------------


def test_the_template_for_3cx(browser: Browser) -> None:
    """The test applies the template as the vendor's documents say.

    It fills in the brackets, logs in, and reads the JSON object.
    """
    template = ElementTree.parse(ROOT / "docs" / "how-to" / "pbx" / "3cx.xml").getroot()
    values = {"Address": "/acme", "User": "pbx", "Secret": PASSWORD}
    assert {one.get("Name") for one in template.iter("Parameter")} == values.keys()
    user, _, password = filled(template.findtext("Authentication/Value"), values).partition(":")
    scenario = template.find("Scenarios/Scenario")
    assert scenario is not None
    request = scenario.find("Request")
    assert request is not None
    headers = {str(one.get("Key")): one.text or "" for one in request.iter("Value")}
    for number, shown in (
        ("%2B491711234567", ["Anna", "Berg", "Berg & Söhne", "+491711234567"]),
        ("%2B491717654321", ["", "Carl Cäsar", "", "+491717654321"]),
    ):
        answer = browser.get(filled(request.get("Url"), values | {"Number": number}), basic(user, password) | headers)
        found = json.loads(answer.body)
        assert all(found[rule.text or ""] for rule in scenario.iter("Rule"))
        variables = {str(one.get("Name")): found[str(one.get("Path"))] or "" for one in scenario.iter("Variable")}
        outputs = [filled(one.get("Value"), variables) for one in scenario.iter("Output")]
        assert [text for text in outputs if text != "Contacts"] == [*shown, shown[-1]]


def filled(text: str | None, values: Mapping[str, str]) -> str:
    """Return the text with values in place of the names in brackets, after its one kind of condition was evaluated."""
    made = text or ""
    for name, value in values.items():
        made = made.replace(f"[{name}]", value)
    condition = re.fullmatch(r'\[IIf\((.*)=="",(.*),(.*)\)\]', made)
    return made if condition is None else condition[3] if condition[1] else condition[2]
