# SPDX-License-Identifier: MIT
"""``export``."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
import vobject

from ldapgw.contact import Sharing, Source
from ldapgw.store import accounts, contacts, sync_state
from ldapgw.store.accounts import SourceState
from ldapgw.store.contacts import ContactRecord
from tests.support.site.command_line import ACME, BETA, HEAD, Gateway, person


@pytest.fixture
def books(gateway: Gateway) -> Gateway:
    """Two accounts, and a colleague in the Workspace directory; a tenant besides."""
    gateway.write(HEAD + ACME + BETA)
    alice = gateway.connect("alice@acme.example")
    gateway.fill(alice, person("Jörg Müller", "030 1234567"), person("Ann Adler", "030 1234568"))
    gateway.fill(gateway.connect("bob@acme.example", sharing=Sharing.SHARED), person("Zoë Brontë", "030 1234569"))
    gateway.fill(gateway.connect("carol@beta.example", "beta"), person("Carol", "030 1234560"))
    with gateway.begin() as connection:
        sync_state.write_source_states(connection, alice, {Source.DIRECTORY: SourceState.ON})
        colleague = replace(person("Eva Klein", "030 1234561"), source=Source.DIRECTORY)
        contacts.apply_changes(
            connection, alice, Source.DIRECTORY, [ContactRecord.from_contact("e", "e", colleague)], ()
        )
    return gateway


def written(gateway: Gateway, *arguments: str) -> str:
    result = gateway.run("export", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout_bytes.decode()


def test_ldif_holds_the_tree(books: Gateway) -> None:
    """The tenant, its books, and their contacts in the order of their names."""
    names = [line for line in written(books, "--tenant", "acme", "--format", "ldif").split("\n") if line[:3] == "dn:"]
    assert names == [
        "dn: dc=acme,dc=example",
        "dn: ou=alice@acme.example,dc=acme,dc=example",
        "dn: uid=cannadler,ou=alice@acme.example,dc=acme,dc=example",
        "dn:: dWlkPWNqw7ZyZ23DvGxsZXIsb3U9YWxpY2VAYWNtZS5leGFtcGxlLGRjPWFjbWUsZGM9ZXh",
        "dn: ou=bob@acme.example,dc=acme,dc=example",
        "dn:: dWlkPWN6b8OrYnJvbnTDqyxvdT1ib2JAYWNtZS5leGFtcGxlLGRjPWFjbWUsZGM9ZXhhbXB",
        "dn: ou=directory,dc=acme,dc=example",
        "dn: uid=cevaklein,ou=directory,dc=acme,dc=example",
    ]


def test_vcards_of_one_account(books: Gateway) -> None:
    """And of no other; what it feeds into the directory is not its own."""
    data = written(books, "--tenant", "acme", "--account", "Alice@acme.example", "--format", "vcard")
    assert [card.fn.value for card in vobject.readComponents(data)] == ["Ann Adler", "Jörg Müller"]


def test_csv_of_a_tenant(books: Gateway) -> None:
    """Private books too: the administrator asks.  Numbers are written as entries have them."""
    books.write(HEAD + ACME + 'number_format = "national"\n' + BETA)
    data = written(books, "--tenant", "acme", "--format", "csv")
    rows = csv.DictReader(io.StringIO(data, newline=""))
    assert [(row["book"], row["name"], row["work"]) for row in rows] == [
        ("alice@acme.example", "Ann Adler", "030 1234568"),
        ("alice@acme.example", "Jörg Müller", "030 1234567"),
        ("bob@acme.example", "Zoë Brontë", "030 1234569"),
        ("directory", "Eva Klein", "030 1234561"),
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--tenant", "gamma", "--format", "csv"], '{file}: there is no tenant "gamma"; there are: acme, beta'),
        (["--tenant", "acme", "--account", "x@acme.example", "--format", "csv"],
         'there is no account x@acme.example in tenant "acme"'),
    ],
    ids=["tenant", "account"],
)  # fmt: skip
def test_refused(books: Gateway, arguments: list[str], line: str) -> None:
    """One line that says what is wrong."""
    assert books.refused("export", *arguments) == line.format(file=books.file) + "\n"


def test_who_is_disconnected_has_nothing_here(books: Gateway) -> None:
    """An empty file would say that there never was anything."""
    with books.begin() as connection:
        (bob,) = accounts.find_by_address(connection, "bob@acme.example")
        accounts.disconnect(connection, bob.id)
    assert books.refused("export", "--tenant", "acme", "--account", "bob@acme.example", "--format", "csv") == (
        "bob@acme.example is not connected, so none of its contacts are here\n"
    )


def test_usage(books: Gateway) -> None:
    """A format is needed, and with several tenants the tenant."""
    assert books.run("export", "--tenant", "acme").exit_code == 2
    assert books.run("export", "--format", "csv").exit_code == 2


def test_nothing_is_created(gateway: Gateway) -> None:
    """Where there is no database there are no contacts."""
    assert written(gateway, "--format", "vcard") == ""
    assert not gateway.state_dir.exists()


def test_names_without_letters_come_last(gateway: Gateway) -> None:
    """As on phones."""
    gateway.fill(
        gateway.connect("alice@acme.example"),
        person("112", "112"),
        person("Zoë Brontë", "030 1234569"),
        person("Ann Adler", "030 1234568"),
    )
    rows = csv.DictReader(io.StringIO(written(gateway, "--format", "csv"), newline=""))
    assert [row["name"] for row in rows] == ["Ann Adler", "Zoë Brontë", "112"]
