# SPDX-License-Identifier: MIT
"""``lookup``: what a phone would find, through the directory that phones search."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import click
from twisted.internet.defer import Deferred, execute
from twisted.python.failure import Failure

from ldapgw.catalog import Catalog, Served
from ldapgw.cli.options import as_json, only_tenant, pass_site
from ldapgw.cli.output import hint, print_json, print_table
from ldapgw.cli.phones import find_phone
from ldapgw.cli.site import Site
from ldapgw.config import Tenant
from ldapgw.contact import Sharing
from ldapgw.directory.dit import Dit, Features
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filters import Equality, Filter, Or, Scope, SearchRequest, Substrings
from ldapgw.directory.search import search
from ldapgw.directory.viewer import Access, Viewer
from ldapgw.errors import DirectoryError, ResultCode, UserError
from ldapgw.publisher import Publisher
from ldapgw.service import naming_context
from ldapgw.store import accounts
from ldapgw.store.database import Database
from ldapgw.store.worker import StoreWorker

_NAMES = ("cn", "sn", "o")
_NUMBERS = ("telephoneNumber", "mobile", "homePhone")

# What the attributes of numbers are for; the first holds many kinds.
_ALL_NUMBERS = {
    "telephoneNumber": "",
    "mobile": "mobile",
    "homePhone": "home",
    "facsimileTelephoneNumber": "fax",
    "pager": "pager",
}

# What people write between digits; no letter, so that "extension 204" is a text.
_NUMBER = re.compile(r"[0-9\s()./+*#–-]*[0-9][0-9\s()./+*#–-]*")


@click.command()
@click.argument("wanted", metavar="TEXT_OR_NUMBER")
@only_tenant
@click.option("--phone", metavar="NAME", help="Search as this phone; else as one that belongs to nobody.")
@as_json
@pass_site
def lookup(site: Site, wanted: str, tenant: str | None, *, phone: str | None, as_json: bool) -> None:
    """Search as a phone would, by the beginning of a name, a number, or an LDAP filter in parentheses."""
    with site.open_store() as database:
        if phone is not None:
            with database.begin() as connection:
                login = find_phone(connection, phone)
            if tenant not in (None, login.tenant):
                raise UserError(f'{login.name} is a phone of tenant "{login.tenant}"')
            tenant, phone = login.tenant, login.name
        chosen = site.tenant(tenant)
        asked = asked_filter(wanted)
        served = _serve(database, chosen)
        viewer = served.logins[phone.lower()].viewer if phone else Viewer(access=(Access(chosen.name),))
        found, complete = _search(site, served.dit, viewer, chosen, asked)
        if as_json:
            print_json([_object(chosen, entry) for entry in found])
        elif found:
            _print(chosen, found)
        else:
            hint("Nothing found.")
        if not complete:
            hint(f"There are more: a phone gets the first {site.config.ldap.size_limit} (ldap.size_limit).")
        if phone is None:
            _hint_at_books(database, chosen, wanted)


def asked_filter(wanted: str) -> Filter:
    """The filter that phones send for what a person types, or for a caller's number.

    :raises UserError: when a text in parentheses is no filter.
    """
    if wanted.strip().startswith("("):
        from ldapgw.ldap.fence import read_filter

        return read_filter(wanted)
    # Octets that are not UTF-8 reach the search as they were typed, as a phone's would.
    value = wanted.encode("utf-8", "surrogateescape")
    if is_number(wanted):
        return Or(tuple(Equality(attribute, value) for attribute in _NUMBERS))
    return Or(tuple(Substrings(attribute, value, (), None) for attribute in _NAMES))


def is_number(wanted: str) -> bool:
    """Whether a person means a telephone number."""
    return _NUMBER.fullmatch(wanted) is not None


def _serve(database: Database, tenant: Tenant) -> Served:
    """The tenant's directory as the gateway would publish it now.

    :raises StoreError: when the database cannot be used.
    """
    features = Features(vendor_version="", controls=(), extensions=(), features=(), sasl_mechanisms=())
    catalog = Catalog(Served(Dit((), features)), {})
    publisher = Publisher(
        store=StoreWorker(database, execute),
        catalog=catalog,
        contexts={tenant.name: naming_context(tenant)},
        features=features,
        run_off_thread=execute,
    )
    ended: list[Failure | None] = []
    Deferred.fromCoroutine(publisher.refresh()).addBoth(ended.append)
    if ended[0] is not None:
        ended[0].raiseException()
    return catalog.served


def _search(site: Site, dit: Dit, viewer: Viewer, tenant: Tenant, asked: Filter) -> tuple[list[Entry], bool]:
    """The entries, and whether these are all."""
    request = SearchRequest(tenant.base_dn, Scope.WHOLE_SUBTREE, asked, size_limit=site.config.ldap.size_limit)
    found: list[Entry] = []
    try:
        found.extend(entry for entry in search(dit, viewer, request) if entry is not None)
    except DirectoryError as error:
        if error.code is not ResultCode.SIZE_LIMIT_EXCEEDED:
            raise UserError(f"the search is refused: {error.diagnostic}") from None
        return found, False
    return found, True


def _object(tenant: Tenant, entry: Entry) -> dict[str, Any]:
    return {
        "dn": entry.dn,
        "book": _book(tenant, entry),
        "name": _name(entry),
        "organization": next(iter(_texts(entry, "o")), ""),
        "numbers": [{"attribute": kind, "number": text} for kind in _ALL_NUMBERS for text in _texts(entry, kind)],
        "mail": _texts(entry, "mail"),
    }


def _print(tenant: Tenant, found: Iterable[Entry]) -> None:
    print_table(
        ("name", "organization", "numbers", "mail", "book"),
        (
            (
                _name(entry),
                "\n".join(_texts(entry, "o")),
                "\n".join(_numbers(entry)),
                "\n".join(_texts(entry, "mail")),
                _book(tenant, entry),
            )
            for entry in found
        ),
    )


def _texts(entry: Entry, attribute: str) -> list[str]:
    return [value.decode("utf-8", "replace") for value in entry.attribute(attribute)]


def _name(entry: Entry) -> str:
    """What it is called; entries of the tree itself, which a filter may find, by the value of their RDN."""
    return next(iter(_texts(entry, "cn")), "") or Dn.parse(entry.dn).rdns[0][0][1]


def _book(tenant: Tenant, entry: Entry) -> str:
    """The name of the book that an entry is in; empty for the tenant's own entry, and for a caller's."""
    above = Dn.parse(entry.dn).rdns[: -len(Dn.parse(tenant.base_dn).rdns)]
    kind, name = above[-1][0] if above else ("", "")
    return name if kind == "ou" else ""


def _numbers(entry: Entry) -> Iterable[str]:
    """Each number once, with what it is for."""
    kinds: dict[str, list[str]] = {}
    for attribute, kind in _ALL_NUMBERS.items():
        for text in _texts(entry, attribute):
            kinds.setdefault(text, []).extend(filter(None, [kind]))
    return (f"{text} ({', '.join(those)})" if those else text for text, those in kinds.items())


def _hint_at_books(database: Database, tenant: Tenant, wanted: str) -> None:
    """Tell of the books that only their own phones can find anything in."""
    hidden = {Sharing.PRIVATE} if is_number(wanted) else {Sharing.PRIVATE, Sharing.CALLERS}
    with database.begin() as connection:
        known = accounts.read_all(connection, tenant.name)
    count = sum(account.connected and account.sharing in hidden for account in known)
    if count:
        books = "1 book that is not shared was" if count == 1 else f"{count} books that are not shared were"
        hint(f"{books} not looked at; search as one of their phones with --phone NAME.")
