# SPDX-License-Identifier: MIT
"""The tests run ``numbers check``."""

from __future__ import annotations

import pytest

from ldapgw.contact import Contact, Kind, LeftOutNumber, LeftOutReason, Phone
from ldapgw.numbers import Number
from tests.support.site.command_line import ACME, BETA, HEAD, Gateway


def stored(uid: str, name: str, *texts: str, left_out: str = "") -> Contact:
    """Return a contact as stored by a former version, with one number for each field."""
    numbers = [Number(text, digits="".join(filter(str.isdigit, text))) for text in texts]
    not_dialable = (LeftOutNumber(left_out, LeftOutReason.NOT_DIALABLE),) if left_out else ()
    return Contact(uid, name=name, phones=tuple(Phone(Kind.WORK, number) for number in numbers), left_out=not_dialable)


@pytest.fixture
def books(gateway: Gateway) -> Gateway:
    """Two tenants have an account each."""
    gateway.write(HEAD + ACME + BETA)
    alice = gateway.connect("alice@acme.example")
    gateway.fill(
        alice,
        stored("c1", "Ada", "030 1234567", "491705551442"),
        stored("c2", "Ben", "030 1234567 / 0171 2345678"),
        stored("c3", "", "+49 1", left_out="ask me"),
    )
    gateway.fill(gateway.connect("bob@beta.example", "beta"), stored("c4", "Cem", "491705551443"))
    return gateway


PAGE = "https://contacts.google.com/person/c3?authuser=alice%40acme.example"
HEAD_OF = {"tenant": "acme", "account": "alice@acme.example", "contact": "", "kinds": ["not_understood"]}


def test_numbers_are_counted_by_kind_and_listed(books: Gateway) -> None:
    """The present rules count the numbers of all tenants; a number that is not understood has its contact's page."""
    found = books.json("numbers", "check")
    assert {kind: count for kind, count in found["kinds"].items() if count} == {
        "not_understood": 2,
        "several": 2,
        "plus": 2,
    }
    assert (found["numbers"], found["listed"]) == (
        7,
        [
            {**HEAD_OF, "stored": "+49 1", "dialed": "+49 1", "page": PAGE},
            {**HEAD_OF, "stored": "ask me", "dialed": "", "page": PAGE},
        ],
    )


def test_another_kind_can_be_listed(books: Gateway) -> None:
    [found] = books.json("numbers", "check", "--kind", "plus", "--tenant", "beta")["listed"]
    assert (found["contact"], found["stored"], found["dialed"]) == ("Cem", "491705551443", "+49 170 5551443")


def test_rows_for_people(books: Gateway) -> None:
    result = books.run("numbers", "check")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines == [
        "7 numbers, 1 of them dialed as they are stored.",
        "kind numbers meaning",
        "not_understood 2 telephone networks may refuse the number",
        "several 2 the field holds several numbers",
        "plus 2 + was added, because the number begins with a country code",
        "",
        "account contact stored dialed page",
        f"alice@acme.example +49 1 +49 1 {PAGE}",
        f"alice@acme.example ask me – {PAGE}",
    ]
    assert result.stderr == "Correct these numbers in Google Contacts; the next sync reads them again.\n"


def test_nothing_to_correct(gateway: Gateway) -> None:
    assert gateway.run("numbers", "check").stdout == "0 numbers, 0 of them dialed as they are stored.\n"
