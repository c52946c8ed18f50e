# SPDX-License-Identifier: MIT
"""``numbers check``: reads the stored numbers by the present rules, and counts numbers not dialled as stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from ldapgw.cli.output import hint, print_json, print_line, print_table
from ldapgw.cli.root import Choice, examples
from ldapgw.cli.site import Site, as_json, only_of_tenant, pass_site
from ldapgw.contact import Contact, LeftOutReason
from ldapgw.google.endpoints import contact_page
from ldapgw.google.person_numbers import read_anew
from ldapgw.numbers.number import Rule
from ldapgw.numbers.stored_numbers import is_understood
from ldapgw.phones.number_texts import REASONS, number_text
from ldapgw.server.config import Tenant
from ldapgw.store import accounts, contacts
from ldapgw.store.accounts import Account
from ldapgw.store.database import Database

# This kind has the numbers that telephone networks may refuse, and the texts with nothing to dial.  Each other kind is
# a rule (`Rule`).
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
        for number in (number for chosen in tenants for number in _numbers(database, chosen)):
            total += 1
            as_stored += not number.kinds
            counts.update(number.kinds)
            if kind in number.kinds:
                listed.append(number)
    if as_json:
        print_json({"numbers": total, "kinds": {each: counts[each] for each in _KINDS}, "listed": _objects(listed)})
        return
    print_line(f"{total:,} numbers, {as_stored:,} of them dialed as they are stored.")
    if counts:
        rows = [(each, f"{counts[each]:,}", _MEANINGS[each]) for each in _KINDS if counts[each]]
        print_table(("kind", "numbers#", "meaning"), rows)
    if listed:
        print_line("")
        columns = ("account", "contact", "stored", "dialed", "page")
        print_table(columns, [_row(number) for number in listed], keep=("page",))
        if kind == _NOT_UNDERSTOOD:
            hint("Correct these numbers in Google Contacts; the next sync reads them again.")


def _numbers(database: Database, tenant: Tenant) -> Iterator[_CheckedNumber]:
    """Yield the numbers of a tenant's accounts, read by the present rules."""
    with database.begin_read() as connection:
        known = accounts.read_all(connection, tenant.name)
    for account in known:
        with database.begin_read() as connection:
            [stored] = contacts.read(connection, [account.id])
        for contact in stored.contacts:
            read, _ = read_anew(contact, tenant.region)
            yield from _numbers_of(account, read)


def _numbers_of(account: Account, contact: Contact) -> Iterator[_CheckedNumber]:
    for phone in contact.phones:
        number = phone.number
        kinds = number.rules if is_understood(number) else (_NOT_UNDERSTOOD, *number.rules)
        yield _CheckedNumber(account, contact, kinds, phone.stored or number.typed, number_text(number))
    for left_out in contact.left_out:
        if left_out.reason is LeftOutReason.NOT_DIALABLE:
            yield _CheckedNumber(account, contact, (_NOT_UNDERSTOOD,), left_out.text, "")


def _row(number: _CheckedNumber) -> tuple[str, ...]:
    return number.account.address, number.name, " ".join(number.stored.split()), number.dialled or "–", number.link


def _objects(checked: list[_CheckedNumber]) -> list[dict[str, Any]]:
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
