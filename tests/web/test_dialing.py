# SPDX-License-Identifier: MIT
"""A button on a contact's page calls by the browser or by the gateway, but only contacts that the visitor may see."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.task import Clock

from ldapgw.contact import Kind, Sharing
from ldapgw.directory.book import build_book
from ldapgw.directory.catalog import Snapshot
from ldapgw.numbers.phone_number import NumberFormat
from ldapgw.store import phones
from ldapgw.web.contact_pages import DIAL_BURST, DIAL_INTERVAL_SECONDS
from ldapgw.web.dialing import TIMEOUT, DialAddress, Dialer, DialResult
from tests.support.phonebook import naming_context
from tests.support.phonebook.trees import dit_of
from tests.support.stage.book_clients import person
from tests.support.stage.telephone_system import TelephoneSystem
from tests.support.stage.web import ACME, ALICE, BOB, GLOBEX, Browser, Seen, Stage, add, store_contacts, words_on

TEMPLATE = "https://pbx.example/call?from={phone}&to={number}"
NUMBER, OTHER = "+4930230001", "+491712300022"
PATH = "/acme/contacts/c1"


ANNA = person("c1", "Anna Berg", (Kind.WORK, "030 230001"), (Kind.WORK, "0171 2300022"))
SHARED = person("b1", "Sara Shared", (Kind.WORK, "030 230003"))
PRIVATE = person("b2", "Petra Private", (Kind.WORK, "030 230004"))
CALLER = person("k1", "Carl Caller", (Kind.WORK, "030 230005"))
FILE = person("f1", "Frank File", (Kind.WORK, "204"), (Kind.WORK, "030 230009"))


def serve(stage: Stage, number_format: NumberFormat = NumberFormat.E164) -> None:
    """Publish Alice's book, a shared one of Bob's, Carl's for callers, a private one of Petra's, and a file."""
    context = replace(naming_context(), number_format=number_format)
    books = [
        build_book(context, key, name, sharing, people, {}, per_number=False)
        for key, name, sharing, people in (
            (stage.world.account(ALICE).sub, ALICE, Sharing.PRIVATE, [ANNA]),
            (stage.world.account(BOB).sub, BOB, Sharing.SHARED, [SHARED]),
            ("carl", "carl@acme.example", Sharing.CALLERS, [CALLER]),
            ("petra", "petra@acme.example", Sharing.PRIVATE, [PRIVATE]),
            ("file:extensions", "extensions", Sharing.SHARED, [FILE]),
        )
    ]
    stage.catalog.publish(Snapshot(dit_of(*books, context=context), {}, loaded=True), ())


def dialing(template: str = TEMPLATE, *, by_gateway: bool = True) -> Stage:
    """Return a stage with a telephone system, and with the stored contacts of Alice and Bob."""
    acme = replace(ACME, dial=DialAddress(template, by_gateway))
    stage = Stage(tenants=(acme, GLOBEX))
    for address, people in ((BOB, [SHARED]), (ALICE, [ANNA])):
        stage.browser().consent(account=address)
        store_contacts(stage, stage.account(address).id, people)
    serve(stage)
    return stage


@pytest.fixture
def stage() -> Stage:
    return dialing()


def with_phones(stage: Stage, *names: str, account: str = ALICE) -> Browser:
    browser = stage.visitor(account=account)
    for name in names:
        assert add(browser, name).status == 303
    return browser


def dial(browser: Browser, path: str = PATH, **fields: str) -> Seen:
    return browser.submit(f"{path}/dial", **{"number": NUMBER, "phone": "desk1", **fields})


def contact_id(browser: Browser, name: str) -> str:
    [path] = re.findall(rf'href="(/acme/contacts/[^"]+)">{name}<', browser.get("/acme/contacts").body)
    return path


def links(page: Seen) -> list[str]:
    """Return the addresses that a browser opens to call."""
    return [html.unescape(link) for link in re.findall(r'href="(https://pbx[^"]+)"', page.body)]


# --- the address ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "path"),
    [
        (TEMPLATE, "call?from=desk1&to=%2B4930230001"),
        ("https://pbx.example/call/{number}", "call/%2B4930230001"),
        ("https://pbx.example/{phone}/{number}?key=1", "desk1/%2B4930230001?key=1"),
    ],
)
def test_the_address(template: str, path: str) -> None:
    assert DialAddress(template).url("desk1", NUMBER) == f"https://pbx.example/{path}"


def test_a_number_cannot_add_to_the_address() -> None:
    """Signs in a number or a phone's name are escaped; no repr shows the address, which may hold a secret."""
    address = DialAddress(TEMPLATE)
    assert parse_qs(urlsplit(address.url("a&b", "1#2&x={phone}/")).query) == {"from": ["a&b"], "to": ["1#2&x={phone}/"]}
    assert "pbx" not in repr(replace(ACME, dial=address))


# --- by the browser ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "phones", "urls"),
    [
        (TEMPLATE, ["desk1"], ["call?from=desk1&to={}"]),
        (TEMPLATE, ["desk1", "desk2"], ["call?from=desk1&to={}", "call?from=desk2&to={}"]),
        # Without a phone a device has to dial, unless the telephone system need not know the phone.
        (TEMPLATE, [], []),
        ("https://pbx.example/?to={number}", [], ["?to={}"]),
    ],
    ids=["one phone", "two phones", "no phone", "no phone needed"],
)
def test_the_browser_calls(template: str, phones: list[str], urls: list[str]) -> None:
    """The page has a link for each number and phone, without a referrer; the link by ``tel:`` stays."""
    page = with_phones(dialing(template, by_gateway=False), *phones).get(PATH)
    numbers = [f"%2B{number[1:]}" for number in (NUMBER, OTHER)]
    assert links(page) == [f"https://pbx.example/{url.format(number)}" for number in numbers for url in urls]
    assert page.body.count('target="_blank" rel="noopener noreferrer" referrerpolicy="no-referrer"') == 2 * len(urls)
    assert f'href="tel:{NUMBER}"'.replace("+", "%2B") in page.body or f'href="tel:{NUMBER}"' in page.body
    if phones:
        assert ("with desk2" in words_on(page)) is ("desk2" in phones)
    if len(urls) == 1:
        assert 'aria-label="Call 030 230001"' in page.body or 'aria-label="Call +49 30 230001"' in page.body


@pytest.mark.parametrize(
    ("number_format", "prefix"),
    [
        (NumberFormat.E164, "+49"),
        (NumberFormat.INTERNATIONAL, "+49"),
        (NumberFormat.NATIONAL, "0"),
        (NumberFormat.TYPED, "0"),
        (NumberFormat.DIAL, "00"),
    ],
)
def test_the_number_has_the_tenants_format(number_format: NumberFormat, prefix: str) -> None:
    """The telephone system gets a number as phones get the number; numbers of a file are called too."""
    stage = dialing()
    serve(stage, number_format)
    browser = with_phones(stage, "desk1")
    filed = contact_id(browser, "Frank File")
    assert browser.get(filed).body.count(f'action="{filed}/dial"') == 2
    for path, number in ((PATH, NUMBER), (filed, "204"), (filed, "+4930230009")):
        assert dial(browser, path, number=number).location == path
    called = [parse_qs(urlsplit(url).query)["to"] for _, url in stage.pbx.asked]
    assert called == [[f"{prefix}30230001"], ["204"], [f"{prefix}30230009"]]


@pytest.mark.parametrize("has_address", [False, True], ids=["no address", "browsers open it"])
def test_when_the_gateway_does_not_call(has_address: bool) -> None:
    """The page has no button of the gateway, and the gateway takes no form."""
    stage = dialing(by_gateway=False)
    stage.tenants = stage.tenants if has_address else (ACME, GLOBEX)
    browser = with_phones(stage, "desk1")
    assert "/dial" not in browser.get(PATH).body
    assert (dial(browser).status, stage.pbx.asked) == (404, [])


# --- by the gateway ---------------------------------------------------------------------------------------------------


def test_the_gateway_calls(stage: Stage, logged: list[Any]) -> None:
    """The gateway calls once, and the page says so; neither the page has the address, nor the log the number."""
    browser = with_phones(stage, "desk1")
    page = browser.get(PATH)
    assert ("pbx.example" in page.body, page.body.count(f'action="{PATH}/dial"')) == (False, 2)
    assert dial(browser).location == PATH
    assert stage.pbx.asked == [("GET", "/call?from=desk1&to=%2B4930230001")]
    assert "Your phone rings in a moment." in words_on(browser.get(PATH))
    assert "230001" not in str(logged)
    assert browser.get(f"{PATH}/dial").location == PATH


@pytest.mark.parametrize(
    ("status", "said"),
    [(500, "accept the call"), (302, "accept the call"), (0, "answer in time")],
    ids=["refused", "a redirect that is not followed", "late"],
)
def test_a_call_that_fails(stage: Stage, status: int, said: str) -> None:
    """The page says that the call failed, and shows nothing of the answer."""
    stage.pbx.status = status
    browser = with_phones(stage, "desk1")
    fields = {"token": browser.get(PATH).token, "number": NUMBER, "phone": "desk1"}
    browser.patience = TIMEOUT
    assert browser.post(f"{PATH}/dial", fields).location == PATH
    browser.patience = 0.0
    words = words_on(browser.get(PATH))
    assert (said in words, "Ringing" in words, len(stage.pbx.asked)) == (True, False, 1)


NO_NUMBERS = ("+4930999999", "030 230001", "0900 1234567", "", "+4930230003")
NO_PHONES = ("bobs", "gone", "halls", "../x", "")


@pytest.mark.parametrize(
    ("number", "phone"), [*((number, "desk1") for number in NO_NUMBERS), *((NUMBER, phone) for phone in NO_PHONES)]
)
def test_only_numbers_of_the_contact_and_phones_of_ones_own(stage: Stage, number: str, phone: str) -> None:
    with_phones(stage, "bobs", account=BOB)
    browser = with_phones(stage, "desk1", "gone")
    stage.do(phones.remove, "gone")
    assert dial(browser, number=number, phone=phone).location == PATH
    assert "Something changed since you opened this page" in words_on(browser.get(PATH))
    assert stage.pbx.asked == []


def test_whose_contacts(stage: Stage) -> None:
    """The visitor can call shared contacts, and none of private books, of callers' books or of another tenant."""
    browser = with_phones(stage, "desk1")
    path = contact_id(browser, "Sara Shared")
    assert dial(browser, path, number="+4930230003").location == path
    assert stage.pbx.asked == [("GET", "/call?from=desk1&to=%2B4930230003")]
    for hidden, number in (("b2", "+4930230004"), ("k1", "+4930230005"), ("c9", NUMBER)):
        assert dial(browser, f"/acme/contacts/{hidden}", number=number).status == 404
    assert dial(with_phones(stage, "bobs", account=BOB), phone="bobs").status == 404
    assert stage.browser().post(f"/globex{PATH[5:]}/dial", {"number": NUMBER}).status == 403
    assert len(stage.pbx.asked) == 1


def test_not_too_often(stage: Stage) -> None:
    browser = with_phones(stage, "desk1")
    assert [dial(browser).status for _ in range(DIAL_BURST)] == [303] * DIAL_BURST
    browser.consent()
    refused = dial(browser)
    assert (refused.status, refused.headers["retry-after"]) == (429, ["10"])
    stage.clock.advance(DIAL_INTERVAL_SECONDS)
    assert (dial(browser).status, len(stage.pbx.asked)) == (303, DIAL_BURST + 1)


# --- the client -------------------------------------------------------------------------------------------------------


URL = "https://pbx.example/call?from=desk1&to=%2B4930230001"


RINGING = b"Ringing +4930230001"


@pytest.mark.parametrize(
    ("status", "body", "result", "detail"),
    [
        (200, RINGING, DialResult.DIALLED, ""),
        (200, b"x" * 1_000_000, DialResult.DIALLED, ""),
        (204, b"", DialResult.DIALLED, ""),
        (302, RINGING, DialResult.REFUSED, "HTTP 302"),
        (401, RINGING, DialResult.REFUSED, "HTTP 401"),
        (503, RINGING, DialResult.REFUSED, "HTTP 503"),
        (0, RINGING, DialResult.LATE, "no answer within 10 s"),
    ],
)
def test_results(logged: list[Any], status: int, body: bytes, result: DialResult, detail: str) -> None:
    """The status of an answer alone decides; failures are logged with the host, and without address and number."""
    pbx, clock = TelephoneSystem(), Clock()
    pbx.status, pbx.body = status, body
    found: list[DialResult] = []
    Deferred.fromCoroutine(pbx.dialer(clock).dial("acme", URL)).addCallback(found.append)
    clock.advance(TIMEOUT - 0.1)
    assert found == ([result] if status else [])
    clock.advance(0.1)
    assert found == [result]
    events = [event for event in logged if event.get("event") == "dial_failed"]
    assert [(event["tenant"], event["host"], event["detail"]) for event in events] == (
        [("acme", "pbx.example", detail)] if detail else []
    )
    assert "230001" not in str(events)


class Unreachable:
    """All connections of this agent fail."""

    def request(self, *_: object) -> Deferred[Any]:
        return fail(Refused())


@pytest.mark.parametrize(
    ("url", "answered"),
    [(URL, DialResult.REFUSED), (URL.replace("https://pbx.example", "http://127.0.0.1"), DialResult.DIALLED)],
)
def test_the_proxy_is_not_used_on_this_machine(url: str, answered: DialResult, logged: list[Any]) -> None:
    """The proxy cannot reach a telephone system on the gateway's machine, so the gateway calls without the proxy."""
    pbx, clock = TelephoneSystem(), Clock()
    pbx_http: Any = pbx.dialer(clock)._loopback_http
    unreachable: Any = Unreachable()
    dialer = Dialer(HTTPClient(unreachable), pbx_http, clock)
    found: list[DialResult] = []
    Deferred.fromCoroutine(dialer.dial("acme", url)).addCallback(found.append)
    assert found == [answered]
    failures = [event["detail"] for event in logged if event.get("event") == "dial_failed"]
    assert failures == (["ConnectionRefusedError"] if answered is DialResult.REFUSED else [])
