# SPDX-License-Identifier: MIT
"""All 110 requests of ``phones.json``: from Google's persons over the sync and the store to a phone's socket.

Only the whole program shows that its halves, which have tests of their own, fit each other.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from ldapgw.google.sandbox.tenant import ALICE
from tests.support import asks, pdu, phonebook
from tests.support.asks import controls_of
from tests.support.filter_text import encode, read_filter
from tests.support.pdu import uids
from tests.support.site.line import Line
from tests.support.site.tenants import LOBBY, Office, base, book

SCOPES = {"base": 0, "one": 1, "sub": 2}
EVERYTHING = {"*", "+"}

# A caller's number as a whole, and nothing else, is asked for: a wrong name on the display is worse than none.
CALLER = re.compile(
    r"\(\|?(\(?(telephoneNumber|mobile|homePhone|facsimileTelephoneNumber)~?=[^*()]*\)?)+\)", re.IGNORECASE
)
# Nine digits of a French number without its country: who else may be meant (the case's own note).
OR_ELSE = {"rev-french-national": {"dupont-lefevre"}}

LENIENT = [pytest.param(case, "acme", id=f"{case['id']}-lenient") for case in phonebook.CASES]
STRICT = [
    pytest.param(case, "letter", id=f"{case['id']}-strict")
    for case in phonebook.CASES
    if case["expectation"].startswith("strict")
]


def base_of(case: dict[str, Any], tenant: str) -> str:
    """The DN that a case's token stands for."""
    name = case["base"]
    if name.startswith("entry:"):
        return f"uid={name.removeprefix('entry:')},{book(tenant)}"
    return {
        "book": book(tenant),
        "tenant": base(tenant),
        "empty": "",
        "other-tenant": book("open"),
        "book-with-blanks-and-upper-case": f"OU={ALICE} , DC={tenant.upper()},  dc=Example",
    }[name]


def bound(office: Office, case: dict[str, Any], tenant: str) -> Line:
    """A connection on which the case's bind was answered with success."""
    opened_to_all = case.get("requires", {}).get("anonymous_allowed", False)
    line = office.line(LOBBY if opened_to_all else "127.0.0.1")
    binds = {
        "anonymous": [pdu.bind()],
        "dn": [office.bind(tenant)],
        "bare": [office.bind(tenant, tenant)],
        "v2": [office.bind(tenant, version=2)],
    }[case["bind"]]
    if "bind anonymous" in case.get("expect", {}).get("sequence", ()):
        binds.insert(0, pdu.bind())
    for bind in binds:
        [answer] = line.ask(bind)
        assert (answer.kind, answer.code) == (0x61, case.get("expect", {}).get("bind_result", 0))
    return line


def searched(line: Line, case: dict[str, Any], tenant: str) -> tuple[list[pdu.Response], pdu.Response]:
    """The entries that the case's search gives, of all pages if it has pages, and its end."""
    request = pdu.search(
        base_of(case, tenant),
        SCOPES[case["scope"]],
        encode(read_filter(case["filter"])),
        tuple(case["attributes"]),
        size=case["sizelimit"],
        time=case["timelimit"],
        types_only=bool(case.get("typesOnly")),
    )
    paged = [text.removeprefix("paged:") for text in case["controls"] if text.startswith("paged:")]
    if not paged:
        controls = controls_of(case)
        *entries, done = line.ask(request, pdu.controls(*controls) if controls else b"")
        return entries, done
    everything: list[pdu.Response] = []
    cookie, pages = b"", 0
    while pages == 0 or cookie:
        *entries, done = line.ask(request, pdu.controls(asks.page(int(paged[0]), cookie)))
        everything += entries
        cookie, pages = asks.cookie(done), pages + 1
    assert pages == case["expect"]["pages"]
    return everything, done


def judge(case: dict[str, Any], entries: list[pdu.Response], done: pdu.Response) -> None:
    """Hold the answer against everything that the case says about it."""
    expected = case.get("expect", {})
    names = uids(entries)
    must = set(case["must_find"])

    assert len(names) == len(set(names))
    assert must & set(names) if case.get("any_of") else must <= set(names)
    assert set(names).isdisjoint(case["must_not_find"])
    if CALLER.fullmatch(case["filter"]):
        assert set(names) <= must | OR_ELSE.get(case["id"], set())
    codes = expected.get("result_code_any") or [expected.get("result_code", expected.get("search_result", 0))]
    assert done.code in codes
    assert len(names) == expected.get("entries", len(names))
    assert len(names) <= expected.get("entries_at_most", len(names))
    assert names == expected.get("order", names)
    assert names[:1] == [expected["first"]] if "first" in expected else True
    judge_controls(expected, done)
    judge_attributes(case, entries)


def judge_controls(expected: dict[str, Any], done: pdu.Response) -> None:
    """Check the controls at the end of a search."""
    assert {kind for kind, _ in done.controls} >= set(expected.get("response_controls", ()))
    sorted_as = asks.sort_result(done)
    assert (sorted_as[0] if sorted_as else None) == expected.get("sort_result", 0 if sorted_as else None)


def judge_attributes(case: dict[str, Any], entries: list[pdu.Response]) -> None:
    """Only the requested attributes come, under the spelling of the request."""
    expected = case.get("expect", {})
    for entry in entries:
        held = dict(entry.attributes)
        assert set(expected.get("contains", ())) <= held.keys()
        if case["attributes"] and not EVERYTHING & set(case["attributes"]):
            assert held.keys() <= set(case["attributes"])
        assert all(not values for values in held.values()) if case.get("typesOnly") else all(held.values())
    if expected.get("root_dse"):
        [root] = entries
        assert root.dn == ""
        assert base("acme").encode() in dict(root.attributes)["namingContexts"]


@pytest.mark.parametrize(("case", "tenant"), [*LENIENT, *STRICT])
def test_a_phone_finds_what_a_person_expects(office: Office, case: dict[str, Any], tenant: str) -> None:
    """As the phone binds and asks, over TCP; what RFC 4517 alone promises holds with strict matching too."""
    where = "open" if case.get("requires", {}).get("anonymous_allowed") else tenant
    with bound(office, case, where) as line:
        entries, done = searched(line, case, where)
    judge(case, entries, done)


def test_a_list_in_windows_is_in_its_order(office: Office) -> None:
    """A Poly's first window holds the beginning of the sorted list."""
    case = next(case for case in phonebook.CASES if case["id"] == "poly-vlv-first")
    with bound(office, case, "acme") as line:
        entries, _ = searched(line, case, "acme")
        whole, _ = searched(line, {**case, "controls": [f"sort:{' '.join(case['expect']['sorted_by'])}"]}, "acme")
    assert [entry.dn for entry in entries] == [entry.dn for entry in whole][:32]
    assert len(whole) == len(phonebook.CONTACTS)


def test_every_request_is_there() -> None:
    """None is left out, and those of the letter are asked by the letter too."""
    assert (len(LENIENT), len(STRICT)) == (110, 57)
    assert sum(CALLER.fullmatch(case["filter"]) is not None for case in phonebook.CASES) == 21
