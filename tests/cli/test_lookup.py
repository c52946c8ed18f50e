# SPDX-License-Identifier: MIT
"""The tests run ``lookup``."""

from __future__ import annotations

import pytest

from ldapgw.contact import Kind, Sharing
from tests.support.site.command_line import ACME, BETA, HEAD, Gateway, person


@pytest.fixture
def books(gateway: Gateway) -> Gateway:
    """Alice's book is private, Bob's is shared, and Carol's is for callers' names; Alice has a phone."""
    gateway.fill(gateway.connect("alice@acme.example"), person("Jörg Müller", "030 1234567", organization="Müller AG"))
    bob = gateway.connect("bob@acme.example", sharing=Sharing.SHARED)
    gateway.fill(bob, person("Ann Mulligan", "+44 20 7946 0123", kind=Kind.MOBILE))
    carol = gateway.connect("carol@acme.example", sharing=Sharing.CALLERS)
    gateway.fill(carol, person("Iwan Muller", "0171 7654321", kind=Kind.MOBILE))
    gateway.run("phones", "add", "desk1", "--account", "alice@acme.example")
    return gateway


MULLIGAN = {
    "dn": "uid=cannmulligan,ou=bob@acme.example,dc=acme,dc=example",
    "book": "bob@acme.example",
    "name": "Ann Mulligan",
    "organization": "",
    "numbers": [
        {"attribute": "telephoneNumber", "number": "+442079460123"},
        {"attribute": "mobile", "number": "+442079460123"},
    ],
    "mail": ["mulligan@mail.example"],
}


def names(gateway: Gateway, *arguments: str) -> list[str]:
    """Return the names of the found contacts."""
    return [one["name"] for one in gateway.json("lookup", *arguments)]


def test_entries_are_objects(books: Gateway) -> None:
    """Without a phone the command searches the shared books."""
    assert books.json("lookup", "mull") == [MULLIGAN]


def test_numbers_have_the_phones_format(books: Gateway) -> None:
    books.run("phones", "add", "desk2", "--account", "alice@acme.example", "--number-format", "national")
    [found] = books.json("lookup", "jörg", "--phone", "desk2")
    assert [number["number"] for number in found["numbers"]] == ["030 1234567"]
    assert " 030 1234567 " in books.run("lookup", "jörg", "--phone", "desk2").stdout


def test_entries_are_rows(books: Gateway) -> None:
    """Each contact is a row with each number once; stderr tells of the books that were not searched."""
    result = books.run("lookup", "mull")
    assert " ".join(result.stdout.splitlines()[1].split()) == (
        "Ann Mulligan +442079460123 (mobile) mulligan@mail.example bob@acme.example"
    )
    assert result.stderr == (
        "2 books that are not shared were not searched. "
        "To search a person's own book, use --phone NAME with a phone of this person.\n"
    )


@pytest.mark.parametrize(
    ("wanted", "as_phone", "as_nobody"),
    [
        ("mull", ["Jörg Müller", "Ann Mulligan"], ["Ann Mulligan"]),
        ("MÜLLER AG", ["Jörg Müller"], []),
        ("mull jö", ["Jörg Müller"], []),
        ("266068", ["Ann Mulligan"], ["Ann Mulligan"]),
        ("030/123 45 67", ["Jörg Müller"], []),
        ("0049301234567", ["Jörg Müller"], []),
        ("+49 171 7654321", ["Iwan Muller"], ["Iwan Muller"]),
        ("(mobile=*)", ["Ann Mulligan"], ["Ann Mulligan"]),
        ("(&(objectClass=organizationalUnit)(ou=b*))", ["bob@acme.example"], ["bob@acme.example"]),
        ("nobody", [], []),
    ],
)
def test_what_a_phone_would_find(books: Gateway, wanted: str, as_phone: list[str], as_nobody: list[str]) -> None:
    """A phone finds its own book and shared books; a book for callers answers only a whole number."""
    assert sorted(names(books, wanted, "--phone", "DESK1")) == sorted(as_phone)
    assert names(books, wanted) == as_nobody


def test_a_phone_that_shows_one_number(books: Gateway) -> None:
    books.run("phones", "add", "old", "--numbers", "entries")
    assert names(books, "mull", "--phone", "old") == ["Ann Mulligan (mobile)"]


def test_hints(books: Gateway) -> None:
    """An empty result is no failure.

    A search for a number includes the books of callers, so only the private book is left out.
    """
    result = books.run("lookup", "nobody", "--phone", "desk1")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "",
        "Nothing found. To see why: ldapgw explain nobody --phone desk1\n",
    )
    assert "1 book that is not shared was not searched" in books.run("lookup", "0171 7654321").stderr


def test_the_size_limit_is_the_phones(books: Gateway) -> None:
    """The command shows the first entries, and hints at further entries."""
    books.write((HEAD + ACME).replace("[ldap]", "[ldap]\nsize_limit = 1"))
    result = books.run("lookup", "mull", "--phone", "desk1")
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr == "There are more: a phone gets the first 1 (ldap.size_limit).\n"


def test_the_tenant_of_the_phone_is_searched(books: Gateway) -> None:
    """With several tenants a phone needs no ``--tenant``; another tenant than the phone's is refused."""
    books.write(HEAD + ACME + BETA)
    assert "Jörg Müller" in names(books, "jörg", "--phone", "desk1")
    assert names(books, "mull", "--tenant", "beta") == []
    assert books.run("lookup", "mull").exit_code == 2
    lines = books.refused("lookup", "mull", "--phone", "desk1", "--tenant", "beta")
    assert lines == 'desk1 is a phone of tenant "acme"\n'


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["mull", "--phone", "desk9"], "there is no phone named desk9; see ldapgw phones list"),
        (["mull", "--tenant", "gamma"], '{file}: there is no tenant "gamma"; there are: acme'),
        (["(cn=mull"], "This is not a filter: it cannot be read from position 9 on."),
    ],
    ids=["phone", "tenant", "filter"],
)
def test_refused(books: Gateway, arguments: list[str], line: str) -> None:
    assert books.refused("lookup", *arguments) == line.format(file=books.file) + "\n"


def test_before_the_first_start_nothing_is_found_or_created(gateway: Gateway) -> None:
    assert names(gateway, "mull") == []
    assert not gateway.state_dir.exists()


def test_nobody_has_connected_yet(gateway: Gateway) -> None:
    """The commands name the page where people connect; then the advice for a phone without an owner changes."""
    gateway.run("phones", "add", "hall", "--tenant", "acme")
    page = "https://phonebook.example.com/acme/"
    told = f"No account is connected yet. Connect one on {page}\n"
    assert gateway.run("lookup", "anna", "--phone", "hall").stderr.endswith(f"Nothing found: n{told[1:]}")
    assert gateway.run("explain", "anna", "--phone", "hall").stderr == told
    action = f"acme: nobody has connected yet, so phones find nobody. People connect on {page}"
    assert action in gateway.json("status")["actions"]
    gateway.connect("alice@acme.example")
    assert "give it an owner, or have somebody share" in gateway.run("explain", "anna", "--phone", "hall").stderr
    assert action not in gateway.json("status")["actions"]
