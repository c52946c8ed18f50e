# SPDX-License-Identifier: MIT
"""``lookup`` searches as a phone does, ``explain`` explains what a search finds, and ``numbers check`` checks numbers.

``numbers check`` reads the stored numbers by the present rules, and counts numbers that are not dialled as stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from shlex import quote
from typing import Any, NamedTuple

import click

from ldapgw.cli.export import Library
from ldapgw.cli.output import hint, print_json, print_line, print_table
from ldapgw.cli.phone_output import refusal_json, refusal_line
from ldapgw.cli.root import Choice, examples
from ldapgw.cli.site import Site, as_json, find_phone, now, only_of_tenant, only_tenant, pass_site
from ldapgw.contact import Contact, LeftOutReason
from ldapgw.directory.access import TenantViewer
from ldapgw.directory.entry import Entry, NumberFormatter
from ldapgw.errors import DirectoryError, UserError
from ldapgw.google.endpoints import contact_page
from ldapgw.google.person_numbers import read_anew
from ldapgw.numbers import Rule
from ldapgw.numbers.stored_numbers import is_understood
from ldapgw.phones.explain.explain import book_sync_states, read_number_notes
from ldapgw.phones.explain.explain import explain as explained
from ldapgw.phones.explain.model import OPERATOR, REASONS, Explanation, explanation_json, number_text, report_lines
from ldapgw.phones.explain.query import PhoneQuery, parse_query
from ldapgw.phones.explain.terms import has_number_assertion
from ldapgw.phones.explain.view import PhoneSearchResult, PhoneView, book_of, name_of, text_of, texts_of
from ldapgw.server.config import Tenant
from ldapgw.store import accounts, contacts
from ldapgw.store.accounts import Account
from ldapgw.store.database import Database
from ldapgw.store.phones import PhoneLogin, wrong_password

# The kind of number in each attribute; empty for telephoneNumber, which has numbers of several kinds.
_NUMBERS = {
    "telephoneNumber": "",
    "mobile": "mobile",
    "homePhone": "home",
    "facsimileTelephoneNumber": "fax",
    "pager": "pager",
}


@click.command(
    epilog=examples("ldapgw lookup mül", "ldapgw lookup 0301234567 --phone desk1", "ldapgw lookup '(o=Acme*)' --json")
)
@click.argument("wanted", metavar="TEXT_OR_NUMBER")
@only_tenant
@click.option("--phone", metavar="NAME", help="Search as this phone. Default: as a phone without an owner.")
@as_json
@pass_site
def lookup(site: Site, wanted: str, tenant: str | None, *, phone: str | None, as_json: bool) -> None:
    """Search as a phone does.

    The command searches by the beginning of a name, by a number, or by an LDAP filter in parentheses.
    """
    with site.open_store() as database:
        login = None
        if phone is not None:
            with database.begin() as connection:
                login = find_phone(connection, phone)
            if tenant not in (None, login.tenant):
                raise UserError(f'{login.name} is a phone of tenant "{login.tenant}"')
            tenant = login.tenant
        chosen = site.tenant(tenant)
        query = parse_query(wanted, chosen.naming_context().strip)
        library = Library(database, site.book_cache, site.file_cache, chosen, login)
        view = PhoneView(library.dit(callers=has_number_assertion(query.filter)), library.viewer, chosen.name)
        with _refusals():
            result = view.search(query.filter, chosen.base_dn, site.config.ldap.size_limit)
        if as_json:
            print_json([_json_object(view, entry) for entry in result.entries])
        elif result.entries:
            _print(view, result)
        else:
            hint(_nothing_found(database, site.page(chosen.name), chosen, wanted, phone))
        if not result.complete:
            hint(f"There are more: a phone gets the first {site.config.ldap.size_limit} (ldap.size_limit).")
        if phone is None:
            _hint_at_private_books(database, chosen.name, query)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn the refusal of a search into a UserError."""
    try:
        yield
    except DirectoryError as error:
        raise UserError(f"the search is refused: {error.diagnostic}") from None


def _json_object(view: PhoneView, entry: Entry) -> dict[str, Any]:
    return {
        "dn": entry.dn,
        "book": book_of(entry, view.context),
        "name": name_of(entry),
        "organization": text_of(entry, "o"),
        "numbers": [
            {"attribute": kind, "number": text}
            for kind in _NUMBERS
            for text in texts_of(entry, kind, view.viewer.number_formatter)
        ],
        "mail": texts_of(entry, "mail"),
    }


def _print(view: PhoneView, result: PhoneSearchResult) -> None:
    print_table(
        ("name", "organization", "numbers", "mail", "book"),
        (
            (
                name_of(entry),
                "\n".join(texts_of(entry, "o")),
                "\n".join(_numbers(entry, view.viewer.number_formatter)),
                "\n".join(texts_of(entry, "mail")),
                book_of(entry, view.context),
            )
            for entry in result.entries
        ),
    )


def _numbers(entry: Entry, formatter: NumberFormatter | None) -> Iterable[str]:
    """Return the numbers of an entry, each once and with its kinds."""
    kinds_of: dict[str, list[str]] = {}
    for attribute, kind in _NUMBERS.items():
        for number in texts_of(entry, attribute, formatter):
            kinds_of.setdefault(number, []).extend(filter(None, [kind]))
    return (f"{number} ({', '.join(kinds)})" if kinds else number for number, kinds in kinds_of.items())


def _nothing_found(database: Database, page: str, tenant: Tenant, wanted: str, phone: str | None) -> str:
    """Return the reason why nothing was found, or if the reason is unknown, the command that finds the reason.

    :param page: the URL of the tenant's page.
    """
    with database.begin() as connection:
        known = accounts.read_all(connection, tenant.name)
    if not tenant.file and not any(account.is_connected for account in known):
        return f"Nothing found: no account is connected yet. Connect one on {page}"
    if not tenant.file and all(account.last_sync is None for account in known if account.is_connected):
        return "Nothing found: the first sync hasn't finished yet."
    name = quote(phone) if phone else "NAME"
    return f"Nothing found. To see why: ldapgw explain {quote(wanted)} --phone {name}"


def _hint_at_private_books(database: Database, tenant: str, query: PhoneQuery) -> None:
    """Print how many books were not searched because the books are not shared."""
    is_number = has_number_assertion(query.filter)
    with database.begin() as connection:
        known = accounts.read_all(connection, tenant)
    seen = [TenantViewer().access_to(account.sub, account.sharing) for account in known if account.is_connected]
    count = sum(not access.is_searched(for_number=is_number) for access in seen)
    if count:
        books = "1 book that is not shared was" if count == 1 else f"{count} books that are not shared were"
        hint(f"{books} not searched. To search a person's own book, use --phone NAME with a phone of this person.")


@click.command(epilog=examples("ldapgw explain 0301234567 --phone desk1", "ldapgw explain müller --phone desk1 --json"))
@click.argument("wanted", metavar="TEXT_NUMBER_OR_FILTER")
@click.option("--phone", metavar="NAME", required=True, help="The phone that searches.")
@click.option("--base", metavar="DN", default="", help="The phone's search base. Default: the tenant's base DN.")
@as_json
@pass_site
def explain(site: Site, wanted: str, *, phone: str, base: str, as_json: bool) -> None:
    """Explain why a phone finds a contact or doesn't."""
    with site.open_store() as database:
        with database.begin() as connection:
            login = find_phone(connection, phone)
            known = accounts.read_all(connection, login.tenant)
        refused = wrong_password(login, now())
        explanation = _explain(site, database, login, known, wanted, base)
        with database.begin() as connection:
            explanation = read_number_notes(connection, login.tenant, explanation, known)
    if as_json:
        print_json({**explanation_json(explanation), "refused": refusal_json(refused)})
        return
    if refused is not None:
        print_line(f"{login.name} has a wrong password: {refusal_line(refused)}")
        print_line("")
    for line in report_lines(explanation):
        print_line(line)
    if not explanation.books:
        if any(account.is_connected for account in known):
            hint("To have this phone find contacts, give it an owner, or have somebody share contacts (ldapgw share).")
        else:
            hint(f"No account is connected yet. Connect one on {site.page(login.tenant)}")


def _explain(
    site: Site, database: Database, login: PhoneLogin, known: Iterable[Account], text: str, base: str
) -> Explanation:
    tenant = site.tenant(login.tenant)
    query = parse_query(text, tenant.naming_context().strip)
    library = Library(database, site.book_cache, site.file_cache, tenant, login)
    with _refusals():
        return explained(
            query,
            PhoneView(library.dit(callers=True), library.viewer, tenant.name),
            private=library.hidden_books(),
            states=book_sync_states(known, library.tenant_viewer, now(), lambda account: site.page(account.tenant)),
            size_limit=site.config.ldap.size_limit,
            base=base,
            reader=OPERATOR,
            model=login.model,
        )


# --- the numbers of contacts ------------------------------------------------------------------------------------------

# The command counts numbers by kind.  A number of the kind `_NOT_UNDERSTOOD` is a number that telephone networks may
# refuse, or a text that contains nothing to dial.  Each other kind is named after the `Rule` that changed the number.
_NOT_UNDERSTOOD = "not_understood"
_KINDS = (_NOT_UNDERSTOOD, *(rule.value for rule in Rule))
_MEANINGS = {_NOT_UNDERSTOOD: "telephone networks may refuse the number"} | {rule: REASONS[rule] for rule in Rule}


class _CheckedNumber(NamedTuple):
    """A number of a contact.

    :ivar kinds: the rules that change the number, and perhaps `_NOT_UNDERSTOOD`; empty if the number is dialled as
        stored.
    :ivar dialled: the number that is dialled; empty if there is nothing to dial.
    """

    account: Account
    contact: Contact
    kinds: tuple[str, ...]
    stored: str
    dialled: str

    @property
    def name(self) -> str:
        return self.contact.name or self.contact.organization

    @property
    def link(self) -> str:
        return contact_page(self.contact.uid, self.account.address)


@click.group(epilog=examples("ldapgw numbers check", "ldapgw numbers check --kind plus"))
def numbers() -> None:
    """Check the telephone numbers of contacts."""


@numbers.command(
    epilog=examples("ldapgw numbers check", "ldapgw numbers check --kind plus", "ldapgw numbers check --json")
)
@only_of_tenant
@click.option(
    "--kind",
    type=Choice(_KINDS),
    default=_NOT_UNDERSTOOD,
    show_default=True,
    metavar="KIND",
    help="List the numbers of this kind.",
)
@as_json
@pass_site
def check(site: Site, *, tenant: str | None, kind: str, as_json: bool) -> None:
    """Say how the stored numbers are dialed.

    The command counts, for each kind, the numbers that aren't dialed as people have stored them. It lists the numbers
    that can't be understood, with the pages of their contacts in Google Contacts.
    """
    tenants = site.config.tenant if tenant is None else (site.tenant(tenant),)
    total, as_stored, counts, listed = 0, 0, Counter[str](), []
    with site.open_store() as database:
        for number in (number for chosen in tenants for number in _checked_numbers(database, chosen)):
            total += 1
            as_stored += not number.kinds
            counts.update(number.kinds)
            if kind in number.kinds:
                listed.append(number)
    if as_json:
        print_json(
            {"numbers": total, "kinds": {each: counts[each] for each in _KINDS}, "listed": _number_objects(listed)}
        )
        return
    print_line(f"{total:,} numbers, {as_stored:,} of them dialed as they are stored.")
    if counts:
        rows = [(each, f"{counts[each]:,}", _MEANINGS[each]) for each in _KINDS if counts[each]]
        print_table(("kind", "numbers#", "meaning"), rows)
    if listed:
        print_line("")
        columns = ("account", "contact", "stored", "dialed", "page")
        print_table(columns, [_number_row(number) for number in listed], keep=("page",))
        if kind == _NOT_UNDERSTOOD:
            hint("Correct these numbers in Google Contacts; the next sync reads them again.")


def _checked_numbers(database: Database, tenant: Tenant) -> Iterator[_CheckedNumber]:
    """Yield the numbers of a tenant's accounts, read by the present rules."""
    with database.begin_read() as connection:
        known = accounts.read_all(connection, tenant.name)
    for account in known:
        with database.begin_read() as connection:
            [stored] = contacts.read(connection, [account.id])
        for contact in stored.contacts:
            read, _ = read_anew(contact, tenant.region)
            yield from _checked_numbers_of(account, read)


def _checked_numbers_of(account: Account, contact: Contact) -> Iterator[_CheckedNumber]:
    for phone in contact.phones:
        number = phone.number
        kinds = number.rules if is_understood(number) else (_NOT_UNDERSTOOD, *number.rules)
        yield _CheckedNumber(account, contact, kinds, phone.stored or number.typed, number_text(number))
    for left_out in contact.left_out:
        if left_out.reason is LeftOutReason.NOT_DIALABLE:
            yield _CheckedNumber(account, contact, (_NOT_UNDERSTOOD,), left_out.text, "")


def _number_row(number: _CheckedNumber) -> tuple[str, ...]:
    return number.account.address, number.name, " ".join(number.stored.split()), number.dialled or "–", number.link


def _number_objects(checked: list[_CheckedNumber]) -> list[dict[str, Any]]:
    return [
        {
            "tenant": number.account.tenant,
            "account": number.account.address,
            "contact": number.name,
            "kinds": list(number.kinds),
            "stored": number.stored,
            "dialed": number.dialled,
            "page": number.link,
        }
        for number in checked
    ]
