# SPDX-License-Identifier: MIT
"""``export`` writes contacts as LDIF (RFC 2849), vCard (RFC 6350) or CSV (RFC 4180).

``activity export`` writes the activity log.  The function for a format converts one contact at a time, so that memory
use stays constant.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

import click

from ldapgw.cli.library import Library
from ldapgw.cli.output import print_json
from ldapgw.cli.root import Choice, examples
from ldapgw.cli.site import Site, as_json, find_account, only_of_tenant, only_tenant, pass_site
from ldapgw.contact import Contact, Kind, Phone
from ldapgw.directory import name_folding
from ldapgw.directory.entry import Entry
from ldapgw.directory.inet_org_person import numbers_of, shown_name, write_number
from ldapgw.directory.name_folding import has_letters
from ldapgw.directory.schema import ATTRIBUTE_TYPES
from ldapgw.directory.special_entries import tenant_entry
from ldapgw.errors import UserError
from ldapgw.files.csv_file import as_text, csv_line, csv_of_texts
from ldapgw.numbers.number import Number
from ldapgw.phones.vcards import Card, Telephone, VCardVersion, write_card
from ldapgw.store import activity as activity_log


class ExportedContact(NamedTuple):
    """A contact with its shown name and the name of its book.

    :ivar labels: the names of the labels, by the resource names of the labels.
    """

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
@click.option("--format", "form", type=Choice(["ldif", "vcard", "csv"]), required=True, help="The file format.")
@click.option(
    "--verbatim",
    is_flag=True,
    help="With csv: don't put an apostrophe before text that looks like a formula.",
)
@pass_site
def export(site: Site, tenant: str | None, account: str | None, form: str, *, verbatim: bool) -> None:
    """Write contacts as LDIF, vCard or CSV.

    The command writes the contacts of a tenant or of one account to standard output.
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
        library = Library(database, site.book_cache, site.file_cache, chosen, None)
        if form == "ldif":
            pieces: Iterable[bytes] = ldif(_entries(library, owner))
        elif form == "vcard":
            pieces = map(vcard, _contacts(library, owner))
        else:
            pieces = _csv(library, owner, verbatim=verbatim)
        for piece in pieces:
            sys.stdout.buffer.write(piece)


def _csv(library: Library, owner: int | None, *, verbatim: bool) -> Iterator[bytes]:
    context = library.context
    yield csv_header()
    for exported in _contacts(library, owner):
        yield csv_row(exported, lambda number: write_number(number, context), verbatim=verbatim)


def _entries(library: Library, owner: int | None) -> Iterator[Entry]:
    """Yield the tenant's entry, then each book's entry followed by the entries of its contacts."""
    yield tenant_entry(library.context)
    for book in library.books(owner):
        yield book.container
        yield from library.entries(book)


def _contacts(library: Library, owner: int | None) -> Iterator[ExportedContact]:
    for book, contacts, labels in library.contacts(owner):
        named = [(shown_name(contact, numbers_of(contact, library.context)), contact) for contact in contacts]
        # The order is the same as on phones: names without letters, such as bare numbers, come last.
        named.sort(key=lambda pair: (not has_letters(pair[0]), name_folding.collation_key(pair[0]), pair[1].uid))
        for name, contact in named:
            yield ExportedContact(contact, name, book, labels)


_LDIF_NAMES = tuple(kind.name for kind in ATTRIBUTE_TYPES if not kind.operational)

# RFC 2849 note 2: implementations should fold lines at 76 octets.
_LDIF_LINE = 76

# RFC 2849: a SAFE-STRING has no NUL, CR or LF, and only ASCII.  Some readers would lose other control characters.
_LDIF_UNSAFE = frozenset((*range(0x20), 0x7F))


def ldif(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the LDIF record (RFC 2849) of each entry; a parent entry has to come before its children."""
    yield b"version: 1\n"
    for entry in entries:
        pairs = [("dn", entry.dn.encode()), *((name, value) for name in _LDIF_NAMES for value in entry.attribute(name))]
        yield b"\n" + b"".join(_ldif_line(name, value) for name, value in pairs)


def _ldif_line(name: str, value: bytes) -> bytes:
    value_spec = b": " + value if _is_safe(value) else b":: " + base64.b64encode(value)
    line = name.encode() + value_spec
    rest = (line[start : start + _LDIF_LINE - 1] for start in range(_LDIF_LINE, len(line), _LDIF_LINE - 1))
    return b"\n ".join((line[:_LDIF_LINE], *rest)) + b"\n"


def _is_safe(value: bytes) -> bool:
    is_safe_string = value.isascii() and not _LDIF_UNSAFE.intersection(value)
    # The grammar allows a blank at the end, but editors remove it (RFC 2849 note 8).
    return is_safe_string and value[:1] not in (b" ", b":", b"<") and value[-1:] != b" "


# The values of the parameter TYPE of a vCard (RFC 6350 6.4.1).
_VCARD_TYPES: Mapping[Kind, str] = {
    Kind.WORK: "work,voice",
    Kind.MAIN: "work,voice",
    Kind.OTHER: "voice",
    Kind.MOBILE: "cell",
    Kind.HOME: "home,voice",
    Kind.FAX: "fax",
    Kind.PAGER: "pager",
}


def vcard(exported: ExportedContact) -> bytes:
    """Return the vCard (RFC 6350, version 4.0) of one contact."""
    contact, name, book, labels = exported
    card = Card(
        # The UID contains the book, because contacts of several books may have the same uid.
        uid=f"{contact.uid}/{book}",
        name=name,
        family_name=contact.family_name,
        given_name=contact.given_name,
        also=contact.also,
        organization=contact.organization,
        department=contact.department,
        title=contact.title,
        telephones=tuple(map(_telephone, contact.phones)),
        emails=contact.emails,
        addresses=contact.addresses,
        urls=contact.urls,
        photo=contact.photo,
        categories=tuple(labels[label] for label in contact.labels if label in labels),
        updated=contact.updated,
    )
    return write_card(card, VCardVersion.V4)


def _telephone(phone: Phone) -> Telephone:
    types, number = _VCARD_TYPES[phone.kind], phone.number
    if not number.e164:
        return Telephone(types, number.typed)
    # A global number and its extension are written as in RFC 3966.
    extension = f";ext={number.extension}" if number.extension else ""
    return Telephone(types, f"{number.e164}{extension}", f"tel:{number.e164}{extension}")


_CSV_TEXTS: Final = ("given_name", "family_name", "organization", "department", "title")
_CSV_KINDS: Final = tuple(Kind)

CSV_COLUMNS: Final = (
    *("book", "uid", "name", *_CSV_TEXTS, "also"),
    *(kind.value for kind in _CSV_KINDS),
    *("mail", "address", "url", "label"),
)


def csv_header() -> bytes:
    """Return the first row of a CSV file, with the names of the columns."""
    return csv_line(CSV_COLUMNS)


def csv_row(exported: ExportedContact, write: Callable[[Number], str], *, verbatim: bool = False) -> bytes:
    """Return the CSV row (RFC 4180) of one contact, with a column for each kind of number.

    Line breaks within a cell separate several values of one column; no value contains a line break.

    :param write: formats a telephone number.
    :param verbatim: whether to write cells unchanged, even if a spreadsheet would evaluate them.
    """
    contact, name, book, labels = exported
    numbers = {kind: [write(phone.number) for phone in contact.phones if phone.kind is kind] for kind in _CSV_KINDS}
    cells = (
        *(book, contact.uid, name),
        *(getattr(contact, field) for field in _CSV_TEXTS),
        _several(contact.also),
        *map(_several, numbers.values()),
        _several(contact.emails),
        _several(", ".join(address.lines) for address in contact.addresses),
        _several(contact.urls),
        _several(labels[label] for label in contact.labels if label in labels),
    )
    return csv_line(cells if verbatim else map(as_text, cells))


def _several(values: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(values))


@click.group(epilog=examples("ldapgw activity export --since 2026-01-01 > activity.csv"))
def activity() -> None:
    """Export the log of who did what."""


@activity.command(
    name="export",
    epilog=examples("ldapgw activity export --since 2026-01-01 > activity.csv", "ldapgw activity export --json"),
)
@only_of_tenant
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    metavar="DATE",
    help="Only from this date on (UTC).",
)
@click.option("--format", "form", type=Choice(["csv", "json"]), default="csv", show_default=True, help="The format.")
@as_json
@pass_site
def export_activity(site: Site, tenant: str | None, since: datetime | None, form: str, *, as_json: bool) -> None:
    """Write the activity log to stdout, oldest first.

    The log has addresses of people and names of phones, and no names or numbers of contacts.
    """
    if tenant is not None:
        site.tenant(tenant)
    begin = since.replace(tzinfo=UTC).timestamp() if since else 0.0
    with site.open_store() as database, database.begin() as connection:
        entries = activity_log.read_since(connection, tenant, begin)
    if as_json or form == "json":
        names, *rows = activity_log.table(entries)
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    click.echo(csv_of_texts(activity_log.table(entries)), nl=False)
