# SPDX-License-Identifier: MIT
"""``explain``: tells why a phone's search finds a contact or does not."""

from __future__ import annotations

from collections.abc import Iterable

import click

from ldapgw.cli.help import examples
from ldapgw.cli.library import Library
from ldapgw.cli.lookup import read_filter
from ldapgw.cli.output import print_json, print_line
from ldapgw.cli.phone_output import refusal_json, refusal_line
from ldapgw.cli.site import Site, as_json, find_phone, now, pass_site
from ldapgw.directory.access import TenantViewer
from ldapgw.errors import DirectoryError, UserError
from ldapgw.phones.explain.explain import explain as explained
from ldapgw.phones.explain.model import OPERATOR, BookSyncState, Explanation
from ldapgw.phones.explain.query import parse_query
from ldapgw.phones.explain.report import explanation_json, report_lines
from ldapgw.phones.explain.view import PhoneView
from ldapgw.phones.explainer import book_sync_states, read_number_notes
from ldapgw.server.tenants import naming_context
from ldapgw.store import accounts
from ldapgw.store.database import Database
from ldapgw.store.phones import PhoneLogin, wrong_password


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
        refused = wrong_password(login, now())
        explanation = _explain(site, database, login, wanted, base)
        with database.begin() as connection:
            known = accounts.read_all(connection, login.tenant)
            explanation = read_number_notes(connection, login.tenant, explanation, known)
    if as_json:
        print_json({**explanation_json(explanation), "refused": refusal_json(refused)})
        return
    if refused is not None:
        print_line(f"{login.name} has a wrong password: {refusal_line(refused)}")
        print_line("")
    for line in report_lines(explanation):
        print_line(line)


def _explain(site: Site, database: Database, login: PhoneLogin, text: str, base: str) -> Explanation:
    tenant = site.tenant(login.tenant)
    query = parse_query(text, read_filter, naming_context(tenant).strip)
    library = Library(database, tenant, login)
    try:
        return explained(
            query,
            PhoneView(library.dit(callers=True), library.viewer, tenant.name),
            private=library.hidden_books(),
            states=_states(site, database, login.tenant, library.tenant_viewer),
            size_limit=site.config.ldap.size_limit,
            base=base,
            reader=OPERATOR,
        )
    except DirectoryError as error:
        raise UserError(f"the search is refused: {error.diagnostic}") from None


def _states(site: Site, database: Database, tenant: str, viewer: TenantViewer) -> Iterable[BookSyncState]:
    """The sync states of the accounts whose books the phone sees."""
    with database.begin() as connection:
        known = accounts.read_all(connection, tenant)
    return book_sync_states(known, viewer, now(), lambda account: site.page(account.tenant))
