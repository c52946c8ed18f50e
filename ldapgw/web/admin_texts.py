# SPDX-License-Identifier: MIT
"""What the administration says of a tenant: its alarm, its certificate, its accounts, whom to remind.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ldapgw.phrase import Moment, Phrase, Said, marked
from ldapgw.store.account_status import state, told
from ldapgw.store.accounts import Account
from ldapgw.web.account_texts import STATES, State

T = TypeVar("T")

# Rows of a table on one page; with a second one, nobody has to wait for a company of thousands.
ROWS = 50
# A consent that ends by itself is spoken of this long before.
SOON_SECONDS = 3 * 86400.0
# Troubles that the account's owner has to mend, on their own page.
_OF_THE_OWNER = frozenset({"consent_revoked", "scope_missing", "suspicious_shrink"})

# By the code of a tenant's alarm: what is wrong and what to do.
ALARMS: Mapping[str, tuple[str, str]] = {
    "client_rejected": (
        marked("Google rejects the OAuth client"),
        marked(
            "No account is synced; phones find what was known before. Compare client id and secret with those in the "
            "Google console, or enter the client anew below."
        ),
    ),
    "api_disabled": (
        marked("The People API is not enabled"),
        marked(
            "No account is synced; phones find what was known before. Enable the Google People API in the project of "
            "the OAuth client; the gateway notices within the hour, or at once after Sync now on somebody’s page."
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """An account in the list.

    :ivar trouble: what is wrong with it; empty where nothing is.
    """

    account: Account
    state: State
    trouble: Said = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list.

    :ivar number: of this page, from 1.
    :ivar pages: how many there are, one at least.
    :ivar total: of the rows of all pages.
    """

    rows: tuple[T, ...]
    number: int
    pages: int
    total: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """How long the certificate lasts: the class of its colour, and a sentence."""

    kind: str
    sentence: Said


def page_of(rows: Sequence[T], asked: str) -> Page[T]:
    """The page of a list that somebody asks for; the first one where there is no such page.

    :param asked: its number as it was sent.
    """
    pages = max(-(-len(rows) // ROWS), 1)
    number = next((at for at in range(1, pages + 1) if str(at) == asked), 1)
    return Page(tuple(rows[(number - 1) * ROWS : number * ROWS]), number, pages, len(rows))


def in_order(accounts: Iterable[Account], now: float) -> list[Account]:
    """Those that need attention first, then by address."""
    return sorted(accounts, key=lambda one: (state(one, now) != "attention", one.address.casefold(), one.id))


def row(account: Account, page: str, now: float) -> Row:
    """An account as the list shows it.

    :param page: the address of the tenant's page.
    """
    trouble = told(account.trouble, account, page) if account.connected and account.trouble is not None else ""
    return Row(account, STATES[state(account, now)], trouble)


def reminder(account: Account, now: float) -> Said:
    """Why an account's owner has to be reminded, in a few words; empty where they need not."""
    if not account.connected:
        return ""
    if account.trouble is not None and account.trouble.code in _OF_THE_OWNER:
        return {
            "consent_revoked": marked("has to connect again"),
            "scope_missing": marked("has to tick the box for contacts"),
            "suspicious_shrink": marked("has to say whether many contacts may vanish"),
        }[account.trouble.code]
    ends = account.refresh_expires_at
    if ends is not None and ends - now < SOON_SECONDS:
        return Phrase(marked("has to connect again before %(when)s"), {"when": Moment(ends)})
    return ""


def certificate(ends: float | None, near: float | None, now: float) -> Certificate:
    """What is said of the certificate that phones are shown.

    :param ends: when it does; None: there is none.
    :param near: the same, where that is near.
    """
    if ends is None:
        return Certificate("quiet", marked("There is none: phones speak LDAP without TLS."))
    values = {"when": Moment(ends)}
    if ends <= now:
        return Certificate("bad", Phrase(marked("It has expired on %(when)s: renew it."), values))
    if near is not None:
        return Certificate("warn", Phrase(marked("It expires on %(when)s: renew it."), values))
    return Certificate("good", Phrase(marked("It is valid until %(when)s."), values))
