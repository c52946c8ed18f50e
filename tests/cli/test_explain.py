# SPDX-License-Identifier: MIT
"""The tests run ``explain``."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from ldapgw.contact import Kind, Phone, Sharing, Source
from ldapgw.numbers.phone_number import parse
from ldapgw.store import contacts, sync_state
from ldapgw.store.accounts import SourceState
from ldapgw.store.contact_record import ContactRecord
from tests.support import rst
from tests.support.checkout import ROOT
from tests.support.site.command_line import ACME, BETA, HEAD, THEN, Gateway, person

PAGE = ROOT / "docs" / "how-to" / "not-found.rst"


@pytest.fixture
def books(gateway: Gateway) -> Gateway:
    """The gateway has the office of the documentation's examples."""
    fax = parse("030 5550199", "DE")
    assert fax is not None
    müller = person("Jörg Müller", "030 5550100", organization="Müller Maschinenbau")
    gateway.fill(
        gateway.connect("alice@acme.example"),
        replace(müller, phones=(*müller.phones, Phone(Kind.FAX, fax))),
        replace(person("Theresa Stumm", "1"), phones=()),
    )
    gateway.fill(
        gateway.connect("bob@acme.example", sharing=Sharing.SHARED), person("Ann Mulligan", "+44 20 7946 0123")
    )
    gateway.fill(gateway.connect("dave@acme.example"), person("Karla Meyer", "0171 5550177", kind=Kind.MOBILE))
    gateway.run("phones", "add", "desk1", "--account", "alice@acme.example")
    return gateway


@pytest.mark.parametrize("members", [["alice@acme.example"], ["Alice@Acme.example", "erin@acme.example"], []])
def test_a_book_that_is_shared_with_a_group(books: Gateway, members: list[str]) -> None:
    """A phone of the group finds the book, and another phone's explanation names the group.

    ``lookup`` finds the same.
    """
    books.write(HEAD + ACME + f'group = [{{ name = "sales", accounts = {json.dumps(members)} }}]\n')
    erin = books.connect("erin@acme.example", sharing=Sharing("group:sales"))
    books.fill(erin, person("Nora Neu", "030 5550190"))
    found = books.json("explain", "nora", "--phone", "desk1")
    access = {book["name"]: book["seen"] for book in found["books"]}
    looked_up = books.json("lookup", "nora", "--phone", "desk1")
    if members:
        assert [match["name"] for match in found["matches"]] == ["Nora Neu"]
        assert access["erin@acme.example"] == "group"
        assert len(looked_up) == 1
    else:
        [miss] = found["misses"]
        assert (miss["reason"], miss["name"]) == ("group_book", "Nora Neu")
        assert miss["message"] == (
            "The contact is in the address book of erin@acme.example. It is shared with the group sales, and this "
            "phone’s account isn’t in the group."
        )
        assert "erin@acme.example" not in access
        assert looked_up == []


def test_favourites_and_blocked_contacts(books: Gateway) -> None:
    """The command marks such contacts; favourites are also below an entry of their own."""
    books.write(HEAD + ACME + 'favourites = true\nblock_label = "BLOCKED"\n')
    erin = books.connect("erin@acme.example")
    star, spam = "contactGroups/starred", "contactGroups/1"
    books.fill(
        erin,
        replace(person("Nora Neu", "030 5550190"), labels=(star,)),
        replace(person("Nora Spam", "030 5550191"), labels=(spam,)),
    )
    books.do(contacts.set_labels, erin, {spam: "Blocked"})
    books.run("phones", "add", "desk2", "--account", "erin@acme.example")
    found = books.json("explain", "nora", "--phone", "desk2")
    assert [(match["name"], match["flags"]) for match in found["matches"]] == [
        ("Nora Neu", ["favourite"]),
        ("Nora Spam", ["blocked"]),
    ]
    assert "Nora Spam, in erin@acme.example, blocked" in books.run("explain", "nora", "--phone", "desk2").stdout
    branch = "ou=Favourites,ou=erin@acme.example,dc=acme,dc=example"
    favourites = books.json("explain", "nora", "--phone", "desk2", "--base", branch)
    assert [match["name"] for match in favourites["matches"]] == ["Nora Neu"]


def examples() -> list[tuple[str, str]]:
    """Return the commands of the documentation, each with its output."""
    blocks = rst.literal_blocks(rst.section(PAGE, "Three examples"))
    return [tuple(block.removeprefix("$ ldapgw ").split("\n", 1)) for block in blocks]


@pytest.mark.parametrize(("command", "printed"), examples())
def test_the_documentation_shows_what_is_printed(books: Gateway, command: str, printed: str) -> None:
    words = re.findall(r"'[^']*'|\S+", command)
    result = books.run(*(word.strip("'") for word in words))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.strip() == printed.strip()


def test_there_are_three_examples() -> None:
    assert len(examples()) == 3


def test_the_object(books: Gateway) -> None:
    """Programs get nothing but the object on stdout."""
    told = books.json("explain", "mul", "--phone", "DESK1")
    assert [match["name"] for match in told["matches"]] == ["Ann Mulligan", "Jörg Müller"]
    assert set(told) == set(object_members())


def object_members() -> list[str]:
    """Return the documented members of the object."""
    table = rst.rows(rst.section(ROOT / "docs" / "reference" / "commands" / "explain.rst", "Explanation objects"))
    return [literal for row in table for literal in row[0].literals]


@pytest.mark.parametrize("asked", ["", "*"])
def test_what_a_phone_lists_before_anything_is_typed(books: Gateway, asked: str) -> None:
    """The explanation lists everybody that the phone sees, and names the setting of the phone's make."""
    books.run("phones", "add", "desk2", "--account", "alice@acme.example", "--model", "snom")
    lines = books.run("explain", asked, "--phone", "desk2").stdout.splitlines()
    assert lines[0] == "Asked for  everybody (nothing was typed)"
    assert "Found: 3." in lines
    assert lines[lines.index("Good to know:") + 1 :] == [
        "  Nothing was typed, so this search asks for everybody who has a value in the fields of the filter. The phone "
        "gets all of them, in the order of their names: 3.",
        "  Snom lists everybody before anything is typed only with this setting: "
        "perform_initial_query_in_ldap_state = on.",
    ]
    assert len(books.json("lookup", asked, "--phone", "desk2")) == 3


def test_the_base_can_be_said(books: Gateway) -> None:
    base = "ou=bob@acme.example,dc=acme,dc=example"
    told = books.json("explain", "mul", "--phone", "desk1", "--base", base)
    assert [match["name"] for match in told["matches"]] == ["Ann Mulligan"]
    assert [(miss["name"], miss["reason"]) for miss in told["misses"]] == [("Jörg Müller", "outside_base")]


def test_what_is_known_of_the_books(books: Gateway) -> None:
    """The notes tell how the syncs of books go, and whom they left out, for books that the phone sees."""
    empty = ContactRecord.from_contact("e1", "e1", None, "empty")
    for address in ("alice@acme.example", "dave@acme.example"):
        books.do(contacts.apply_changes, books.account(address).id, Source.OTHER_CONTACTS, [empty], ())
    books.do(sync_state.fail, books.account("bob@acme.example"), "quota", THEN, THEN + 600)
    books.connect("erin@acme.example", sharing=Sharing.SHARED)
    assert [note["message"] for note in books.json("explain", "x", "--phone", "desk1")["notes"]] == [
        "Left out of alice@acme.example because they have no name, company, number, email or postal address: 1.",
        "The last sync of bob@acme.example failed. Google has asked the gateway to slow down, so the next sync is "
        "delayed. You don’t need to do anything.",
        "The first sync of erin@acme.example hasn’t finished yet. Its contacts will appear after that.",
    ]


def test_the_workspace_directory_is_a_book(books: Gateway) -> None:
    """The directory is a book of its own, although its account's book is private."""
    dave = books.account("dave@acme.example").id
    books.do(sync_state.write_source_states, dave, {Source.DIRECTORY: SourceState.ON})
    colleague = replace(person("Zoë Adler", "030 5550111"), source=Source.DIRECTORY)
    books.do(contacts.apply_changes, dave, Source.DIRECTORY, [ContactRecord.from_contact("z", "z", colleague)], ())
    told = books.json("explain", "adler", "--phone", "desk1")
    assert [(match["name"], match["book"]) for match in told["matches"]] == [("Zoë Adler", "directory")]
    assert {"name": "directory", "seen": "directory"} in told["books"]
    assert [one["name"] for one in books.json("lookup", "adler")] == ["Zoë Adler"]


def test_lookup_reads_no_book_that_its_phone_does_not_see(books: Gateway) -> None:
    """``lookup`` reads only the books that the phone sees; ``explain`` also reads other books."""
    dave = books.account("dave@acme.example")
    read: set[Any] = set()

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        if "contact.content" in statement:
            read.update(values)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        books.run("lookup", "mul", "--phone", "desk1")
        assert read
        assert dave.id not in read
        books.run("explain", "mul", "--phone", "desk1")
        assert dave.id in read
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["x", "--phone", "desk9"], "there is no phone named desk9; see ldapgw phones list"),
        (["(cn=mull", "--phone", "desk1"], "This is not a filter: it cannot be read from position 9 on."),
        (["x", "--phone", "desk1", "--base", "dc=nowhere"],
         "the search is refused: no such entry, or this login may not see it"),
        (["x", "--phone", "desk1", "--base", "nowhere"],
         "the search is refused: the base is not a distinguished name"),
    ],
    ids=["phone", "filter", "base", "no base"],
)  # fmt: skip
def test_refused(books: Gateway, arguments: list[str], line: str) -> None:
    assert books.refused("explain", *arguments) == line + "\n"


def test_a_phone_has_to_be_named(gateway: Gateway) -> None:
    assert gateway.run("explain", "x").exit_code == 2


def test_another_tenants_books_are_not_looked_in(books: Gateway) -> None:
    books.write(HEAD + ACME + BETA)
    books.fill(books.connect("karl@beta.example", "beta", sharing=Sharing.SHARED), person("Karl Mull", "030 5550100"))
    told = books.json("explain", "030 5550100", "--phone", "desk1")
    assert "Karl" not in repr(told)
    assert [book["name"] for book in told["books"]] == ["alice@acme.example", "bob@acme.example"]


def test_names_cannot_steer_the_terminal(books: Gateway) -> None:
    alice = books.connect("alice@acme.example")
    books.fill(alice, person("Evil\x1b[2J Mulberry", "030 5550122"))
    assert "\x1b" not in books.run("explain", "mulberry", "--phone", "desk1").stdout
