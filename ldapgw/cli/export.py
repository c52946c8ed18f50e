# SPDX-License-Identifier: MIT
"""``export`` writes contacts as LDIF (RFC 2849), vCard (RFC 6350) or CSV (RFC 4180).

``activity export`` writes the activity log.  The function for a format converts one contact at a time, so that memory
use stays constant.

A `Library` has the books of a tenant for ``export``, ``lookup`` and ``explain``.  The library reads a book when the
command needs the book.  A command takes the books from the gateway's cache, because building a large book is slow.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import click

from ldapgw.cli.output import print_json
from ldapgw.cli.root import Choice, examples
from ldapgw.cli.site import Site, as_json, find_account, only_of_tenant, only_tenant, pass_site
from ldapgw.contact import Contact, Kind, Phone, Source
from ldapgw.directory import name_folding
from ldapgw.directory.access import Access, BookAccess, TenantViewer, Viewer
from ldapgw.directory.book import DIRECTORY, Book
from ldapgw.directory.dit import Directory, Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Present, Scope, SearchRequest
from ldapgw.directory.inet_org_person import numbers_of, shown_name, write_number
from ldapgw.directory.name_folding import has_letters
from ldapgw.directory.schema import ATTRIBUTE_TYPES
from ldapgw.directory.search import search
from ldapgw.directory.special_entries import Features, tenant_entry
from ldapgw.errors import UserError
from ldapgw.files.csv_file import as_text, csv_line, csv_of_texts
from ldapgw.numbers import Number
from ldapgw.phones.vcards import Card, Telephone, VCardVersion, write_card
from ldapgw.server.config import Tenant
from ldapgw.store import activity as activity_log
from ldapgw.store import contacts
from ldapgw.store.accounts import Account
from ldapgw.store.contacts import StoredContacts
from ldapgw.store.database import Database
from ldapgw.store.phones import PhoneLogin
from ldapgw.sync.account_state import AccountState
from ldapgw.sync.book_builder import BuildTask, FileTask, present_books, present_contacts, present_file_book
from ldapgw.sync.book_cache import BookCache
from ldapgw.sync.publisher import make_login

_NO_FEATURES = Features(vendor_version="", controls=(), extensions=(), features=(), sasl_mechanisms=())


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
    for book, members, labels in library.contacts(owner):
        named = [(shown_name(contact, numbers_of(contact, library.context)), contact) for contact in members]
        # The order is the same as on phones: names without letters, such as bare numbers, come last.
        named.sort(key=lambda pair: (not has_letters(pair[0]), name_folding.collation_key(pair[0]), pair[1].uid))
        for name, contact in named:
            yield ExportedContact(contact, name, book, labels)


_LDIF_NAMES = tuple(kind.name for kind in ATTRIBUTE_TYPES if not kind.operational)

# RFC 2849 note 2: implementations should fold lines at 76 octets.
_LDIF_LINE = 76

# RFC 2849: a SAFE-STRING has no NUL, CR or LF, and only ASCII.  Some programs lose other control characters.
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
    # The grammar allows a blank at the end, but editors remove such a blank (RFC 2849 note 8).
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
        # The vCard's UID also names the book, because contacts of several books may have the same `Contact.uid`.
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


# --- the books of a tenant --------------------------------------------------------------------------------------------


class Library:
    """The books of a tenant, and the directory that a phone sees.

    :param cache: the books that the gateway has built.
    :param file_cache: the books of files that the gateway has built.
    :param phone: the phone that searches, or None to search as a phone without an owner.
    :ivar context: the naming context of the tenant.
    :ivar viewer: the phone with its access to the directory, for searches.
    :ivar tenant_viewer: tells which access the phone has to each book of the tenant.
    :raises StoreError: when the database cannot be used.
    """

    def __init__(
        self, database: Database, cache: BookCache, file_cache: BookCache, tenant: Tenant, phone: PhoneLogin | None
    ) -> None:
        self._database = database
        self._file_cache = file_cache
        self._cache = cache
        with database.begin() as connection:
            self._state = AccountState.read(connection, {tenant.name})
        self.context = tenant.naming_context().with_members(self._state.google_groups.get(tenant.name, {}))
        self._files = tenant.file_tasks(per_number=self._state.needs_numbers(tenant.name))
        self._directory: list[Book] = []
        self._accounts = [self._state.accounts[each] for each in self._state.account_ids(tenant.name)]
        self._directory_source = self._state.directory_accounts.get(tenant.name)
        own_books = self._state.books_of_phone(phone) if phone else ()
        first = self._state.accounts.get(phone.account_id or 0) if phone else None
        self.tenant_viewer = TenantViewer.of_accounts(self.context, own_books, first.address if first else "")
        self.viewer = (
            make_login(phone, self.context, own_books).viewer if phone else Viewer(access=(Access(tenant.name),))
        )

    def dit(self, *, callers: bool) -> Dit:
        """Return the directory tree that the phone sees.

        :param callers: whether to include the books that are shared for caller ID only; a search by number covers these
            books.
        """
        searched = (account for account in self._accounts if self._access(account).is_searched(for_number=callers))
        files = (task for task in self._files if self._access_to(task).is_searched(for_number=callers))
        books = [*self._books(searched), *self._file_books(files), *self._directory_books()]
        return Dit((Directory(self.context, tuple(books)),), _NO_FEATURES)

    def hidden_books(self) -> Iterator[Book]:
        """Yield the books of other owners that the phone does not see, or sees only in part.

        The phone sees a part of a book if the book's owner shares only the contacts with a label.
        """
        others = (account for account in self._accounts if account.sub not in self.tenant_viewer.books)
        yield from self._books(account for account in others if self._access(account).is_hidden or account.shared_label)
        yield from self._file_books(task for task in self._files if self._access_to(task).is_hidden)

    def books(self, owner: int | None) -> Iterator[Book]:
        """Yield the book of the account `owner`, or all books and the Workspace directory if `owner` is None."""
        yield from self._books(self._accounts_of(owner))
        if owner is None:
            yield from self._file_books(self._files)
            yield from self._directory_books()

    def entries(self, book: Book) -> Iterator[Entry]:
        """Return the entries of a book's contacts in directory order."""
        dit = Dit((Directory(self.context, (book,)),), _NO_FEATURES)
        viewer = Viewer(access=(Access(self.context.name, (book.key,)),))
        request = SearchRequest(str(self.context.base), Scope.WHOLE_SUBTREE, Present("uid"))
        return (entry for entry in search(dit, viewer, request) if entry is not None)

    def contacts(self, owner: int | None) -> Iterator[tuple[str, Sequence[Contact], Mapping[str, str]]]:
        """Yield the name, the contacts and the label names of each book that `books` yields."""
        for account in self._accounts_of(owner):
            stored = self._read(account)
            own = [contact for contact in stored.contacts if contact.source is not Source.DIRECTORY]
            yield account.address, own, stored.labels
        for task in self._files if owner is None else ():
            yield task.name, *present_contacts(task)
        if owner is None and self._directory_source is not None:
            yield DIRECTORY, self._colleagues(self._directory_source), {}

    def _access(self, account: Account) -> BookAccess:
        return self.tenant_viewer.access_to(account.sub, account.sharing)

    def _access_to(self, task: FileTask) -> BookAccess:
        return self.tenant_viewer.access_to(task.book_key, task.sharing)

    def _file_books(self, tasks: Iterable[FileTask]) -> Iterator[Book]:
        """Yield the book that a gateway serves for each file; a file that has always had a problem has no book."""
        return (book for task in tasks if (book := present_file_book(self._file_cache, task)) is not None)

    def _accounts_of(self, owner: int | None) -> Iterator[Account]:
        return (account for account in self._accounts if owner in (None, account.id))

    def _books(self, accounts: Iterable[Account]) -> Iterator[Book]:
        return map(self._book, accounts)

    def _book(self, account: Account) -> Book:
        own, *directory = self._present(account)
        # The book of the Workspace directory is built together with the book of the account that reads the directory.
        self._directory = self._directory or directory
        return own

    def _directory_books(self) -> Iterator[Book]:
        """Yield the book of the Workspace directory, if an account reads the directory."""
        if self._directory_source is not None and not self._directory:
            _, *self._directory = self._present(self._directory_source)
        yield from self._directory

    def _present(self, account: Account) -> tuple[Book, ...]:
        task = BuildTask.of(account, self.context, self._state)
        with self._database.begin_read() as connection:
            return present_books(connection, self._cache, task)

    def _colleagues(self, account: Account) -> list[Contact]:
        return [contact for contact in self._read(account).contacts if contact.source is Source.DIRECTORY]

    def _read(self, account: Account) -> StoredContacts:
        with self._database.begin_read() as connection:
            [stored] = contacts.read(connection, [account.id])
        return stored
