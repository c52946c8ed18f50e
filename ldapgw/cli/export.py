# SPDX-License-Identifier: MIT
"""``export``: writes a tenant's contacts as LDIF, vCard or CSV, contact by contact."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import click

from ldapgw.cli.formats import table
from ldapgw.cli.formats.ldif import ldif
from ldapgw.cli.formats.vcard import vcard
from ldapgw.cli.help import examples
from ldapgw.cli.library import Library
from ldapgw.cli.site import Site, find_account, only_tenant, pass_site
from ldapgw.contact import Contact
from ldapgw.directory import name_folding
from ldapgw.directory.entry import Entry, has_letters
from ldapgw.directory.inet_org_person import numbers_of, shown_name, write_number
from ldapgw.directory.special_entries import tenant_entry
from ldapgw.errors import UserError


class ExportedContact(NamedTuple):
    """A contact with its shown name, the name of its book, and label names by resource name."""

    contact: Contact
    name: str
    book: str
    labels: Mapping[str, str]


@click.command(
    epilog=examples(
        "ldapgw export --format csv > contacts.csv", "ldapgw export --account alice@acme.example --format vcard"
    )
)
@only_tenant
@click.option("--account", metavar="ADDRESS", help="Only this account's contacts. Default: all, with the directory.")
@click.option("--format", "form", type=click.Choice(["ldif", "vcard", "csv"]), required=True, help="The file format.")
@click.option(
    "--verbatim",
    is_flag=True,
    help="With csv: write text that looks like a formula without an apostrophe before it.",
)
@pass_site
def export(site: Site, tenant: str | None, account: str | None, form: str, *, verbatim: bool) -> None:
    """Write contacts as LDIF, vCard or CSV.

    Writes the contacts of a tenant or of one account to standard output.
    """
    if verbatim and form != "csv":
        raise click.UsageError("--verbatim works only with --format csv.")
    chosen = site.tenant(tenant)
    with site.open_store() as database:
        owner = None
        if account is not None:
            with database.begin() as connection:
                owner_account = find_account(connection, account, chosen.name)
            if not owner_account.is_connected:
                raise UserError(f"{owner_account.address} is not connected, so none of its contacts are here")
            owner = owner_account.id
        library = Library(database, chosen, None)
        _write(_csv(library, owner, verbatim=verbatim) if form == "csv" else _FORMS[form](library, owner))


def _ldif(library: Library, owner: int | None) -> Iterator[bytes]:
    return ldif(_entries(library, owner))


def _vcards(library: Library, owner: int | None) -> Iterator[bytes]:
    return (vcard(contact, name, book, labels) for contact, name, book, labels in _contacts(library, owner))


def _csv(library: Library, owner: int | None, *, verbatim: bool) -> Iterator[bytes]:
    context = library.context
    yield table.header()
    for contact, name, book, labels in _contacts(library, owner):
        yield table.row(contact, name, book, labels, lambda number: write_number(number, context), verbatim=verbatim)


_FORMS: Mapping[str, Callable[[Library, int | None], Iterator[bytes]]] = {"ldif": _ldif, "vcard": _vcards}


def _entries(library: Library, owner: int | None) -> Iterator[Entry]:
    """The tenant's entry, then each book's entry followed by the entries of its contacts."""
    yield tenant_entry(library.context)
    for book in library.books(owner):
        yield book.container
        yield from library.entries(book)


def _contacts(library: Library, owner: int | None) -> Iterator[ExportedContact]:
    for book, contacts, labels in library.contacts(owner):
        named = [(shown_name(contact, numbers_of(contact, library.context)), contact) for contact in contacts]
        for name, contact in sorted(named, key=lambda pair: _sort_key(pair[0], pair[1].uid)):
            yield ExportedContact(contact, name, book, labels)


def _sort_key(name: str, uid: str) -> tuple[bool, str, str]:
    """As phones sort: names without letters, such as bare numbers, come last."""
    return not has_letters(name), name_folding.collation_key(name), uid


def _write(pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        sys.stdout.buffer.write(piece)
