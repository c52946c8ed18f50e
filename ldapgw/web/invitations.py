# SPDX-License-Identifier: MIT
"""The people of the Workspace directory who have no account yet, and links that write an e-mail to all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from sqlalchemy import Connection

from ldapgw.contact import Source
from ldapgw.errors import DamagedStore
from ldapgw.store import accounts
from ldapgw.store.database import ascii_lower
from ldapgw.store.directory_accounts import find_directory_account, read_people
from ldapgw.web.dependencies import WebTenant

# The most people of the directory that a page reads, so that a very large directory does not keep the page waiting.
MAX_READ = 20_000
# The most characters of a link that writes an e-mail; some mail programs refuse longer links.
MAX_LINK = 2000


@dataclass(frozen=True, slots=True, repr=False)
class Colleague:
    """A person of the directory without an account; the name may be empty."""

    address: str
    name: str


@dataclass(frozen=True, slots=True, repr=False)
class MailLink:
    """A link that opens an e-mail to some people in the mail program.

    :ivar first: the position of the first recipient among all people, counted from 1.
    :ivar last: the position of the last recipient.
    """

    url: str
    first: int
    last: int


def read_unconnected(connection: Connection, tenant: WebTenant) -> tuple[Colleague, ...]:
    """Read the people of the tenant's Workspace directory who may connect and have no account, ordered by address.

    The function reads `MAX_READ` people of the directory at most.  A damaged directory, which the next sync repairs,
    counts as empty.
    """
    holder = find_directory_account(connection, tenant.name) if Source.DIRECTORY in tenant.sources else None
    if holder is None:
        return ()
    known = accounts.read_all(connection, tenant.name)
    taken = {ascii_lower(account.address) for account in known} | {account.sub for account in known}
    domains = {_domain(account.address) for account in known if account.hd} | {ascii_lower(holder.hd or "")}
    found: dict[str, Colleague] = {}
    try:
        for person in read_people(connection, holder.account_id, MAX_READ):
            if person.source_id not in taken and taken.isdisjoint(map(ascii_lower, person.emails)):
                address = next((email for email in person.emails if _may_connect(tenant, email, domains)), "")
                if address:
                    found[ascii_lower(address)] = Colleague(address, person.name)
    except DamagedStore:
        return ()
    return tuple(found[key] for key in sorted(found))


def mail_links(addresses: Sequence[str], subject: str, body: str) -> tuple[MailLink, ...]:
    """Return links that write to all addresses in Bcc, with at most `MAX_LINK` characters each if possible."""
    text = f"&subject={quote(subject, safe='')}&body={quote(body, safe='')}"
    links: list[MailLink] = []
    recipients: list[str] = []
    length = 0
    for number, address in enumerate(addresses, 1):
        recipient = quote(address, safe="@")
        if recipients and length + 1 + len(recipient) > MAX_LINK:
            links.append(_link(recipients, text, number - 1))
            recipients, length = [], 0
        length += len(recipient) + 1 if recipients else len(_link([recipient], text, number).url)
        recipients.append(recipient)
    return (*links, _link(recipients, text, len(addresses))) if recipients else ()


def _link(recipients: Sequence[str], text: str, last: int) -> MailLink:
    return MailLink(f"mailto:?bcc={','.join(recipients)}{text}", last - len(recipients) + 1, last)


def _may_connect(tenant: WebTenant, address: str, domains: set[str]) -> bool:
    """Return whether a person with an address may connect, and does not only share contacts with the company.

    The directory also has external contacts.  If everybody may connect, only the company's domains tell them apart.
    """
    is_for_all = "*" in tenant.allowed_users
    return tenant.still_admits(address, None) and (not is_for_all or _domain(address) in domains)


def _domain(address: str) -> str:
    return ascii_lower(address.rpartition("@")[2])
