# SPDX-License-Identifier: MIT
"""``lookup``: what a phone would find, through the directory that phones search."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from ldapgw.cli.library import Library
from ldapgw.cli.options import as_json, only_tenant, pass_site
from ldapgw.cli.output import hint, print_json, print_table
from ldapgw.cli.phones import find_phone
from ldapgw.cli.site import Site
from ldapgw.contact import Sharing
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Filter
from ldapgw.errors import DirectoryError, UserError
from ldapgw.phones.explain.query import PhoneQuery, parse_query
from ldapgw.phones.explain.terms import has_number_assertion
from ldapgw.phones.explain.view import PhoneSearchResult, PhoneView, book_of, name_of
from ldapgw.store import accounts
from ldapgw.store.database import Database

# What the attributes of numbers are for; the first holds many kinds.
_NUMBERS = {
    "telephoneNumber": "",
    "mobile": "mobile",
    "homePhone": "home",
    "facsimileTelephoneNumber": "fax",
    "pager": "pager",
}


@click.command()
@click.argument("wanted", metavar="TEXT_OR_NUMBER")
@only_tenant
@click.option("--phone", metavar="NAME", help="Search as this phone; else as one that belongs to nobody.")
@as_json
@pass_site
def lookup(site: Site, wanted: str, tenant: str | None, *, phone: str | None, as_json: bool) -> None:
    """Search as a phone would, by the beginning of a name, a number, or an LDAP filter in parentheses."""
    with site.open_store() as database:
        login = None
        if phone is not None:
            with database.begin() as connection:
                login = find_phone(connection, phone)
            if tenant not in (None, login.tenant):
                raise UserError(f'{login.name} is a phone of tenant "{login.tenant}"')
            tenant = login.tenant
        chosen = site.tenant(tenant)
        query = parse_query(wanted, read_filter)
        library = Library(database, chosen, login)
        sight = PhoneView(library.dit(callers=has_number_assertion(query.filter)), library.viewer, chosen.name)
        answer = run_search(sight, query, chosen.base_dn, site.config.ldap.size_limit)
        if as_json:
            print_json([_json_object(sight, entry) for entry in answer.entries])
        elif answer.entries:
            _print(sight, answer)
        else:
            hint("Nothing found.")
        if not answer.complete:
            hint(f"There are more: a phone gets the first {site.config.ldap.size_limit} (ldap.size_limit).")
        if phone is None:
            _hint_at_private_books(database, chosen.name, query)


def read_filter(text: str) -> Filter:
    """A filter from its text.

    :raises UserError: when it is none.
    """
    from ldapgw.ldap.filter_text import read_filter as read

    return read(text)


def run_search(sight: PhoneView, query: PhoneQuery, base: str, size_limit: int) -> PhoneSearchResult:
    """What a phone is answered.

    :raises UserError: when the search is refused.
    """
    try:
        return sight.search(query.filter, base, size_limit)
    except DirectoryError as error:
        raise UserError(f"the search is refused: {error.diagnostic}") from None


def _json_object(sight: PhoneView, entry: Entry) -> dict[str, Any]:
    return {
        "dn": entry.dn,
        "book": book_of(entry, sight.context),
        "name": name_of(entry),
        "organization": next(iter(_texts(entry, "o")), ""),
        "numbers": [{"attribute": kind, "number": text} for kind in _NUMBERS for text in _texts(entry, kind)],
        "mail": _texts(entry, "mail"),
    }


def _print(sight: PhoneView, answer: PhoneSearchResult) -> None:
    print_table(
        ("name", "organization", "numbers", "mail", "book"),
        (
            (
                name_of(entry),
                "\n".join(_texts(entry, "o")),
                "\n".join(_numbers(entry)),
                "\n".join(_texts(entry, "mail")),
                book_of(entry, sight.context),
            )
            for entry in answer.entries
        ),
    )


def _texts(entry: Entry, attribute: str) -> list[str]:
    return [value.decode("utf-8", "replace") for value in entry.attribute(attribute)]


def _numbers(entry: Entry) -> Iterable[str]:
    """Each number once, with what it is for."""
    kinds: dict[str, list[str]] = {}
    for attribute, kind in _NUMBERS.items():
        for text in _texts(entry, attribute):
            kinds.setdefault(text, []).extend(filter(None, [kind]))
    return (f"{text} ({', '.join(those)})" if those else text for text, those in kinds.items())


def _hint_at_private_books(database: Database, tenant: str, query: PhoneQuery) -> None:
    """Tell of the books that only their own phones can find anything in."""
    hidden = {Sharing.PRIVATE, *([] if has_number_assertion(query.filter) else [Sharing.CALLERS])}
    with database.begin() as connection:
        known = accounts.read_all(connection, tenant)
    count = sum(account.is_connected and account.sharing in hidden for account in known)
    if count:
        books = "1 book that is not shared was" if count == 1 else f"{count} books that are not shared were"
        hint(f"{books} not looked at; search as one of their phones with --phone NAME.")
