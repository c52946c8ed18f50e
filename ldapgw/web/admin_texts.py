# SPDX-License-Identifier: MIT
"""What the administration says of a tenant: its alarm, its certificate, its accounts, whom to remind.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ldapgw.phrase import Phrase, Timestamp, Translatable, gettext_noop
from ldapgw.store.account_status import error_message, state
from ldapgw.store.accounts import Account
from ldapgw.web.account_texts import ACCOUNT_STATE_TEXTS, AccountStateText

T = TypeVar("T")

# Rows of a table on one page; with a second one, nobody has to wait for a company of thousands.
ROWS_PER_PAGE = 50
# A consent that ends by itself is spoken of this long before.
EXPIRY_REMINDER_SECONDS = 3 * 86400.0
# Troubles that the account's owner has to mend, on their own page.
_OWNER_ERRORS = frozenset({"consent_revoked", "scope_missing", "suspicious_shrink"})

# By the code of a tenant's alarm: what is wrong and what to do.
ALARM_TEXTS: Mapping[str, tuple[str, str]] = {
    "client_rejected": (
        gettext_noop("Google rejects the OAuth client"),
        gettext_noop(
            "No account is synced; phones find what was known before. Compare client id and secret with those in the "
            "Google console, or enter the client anew below."
        ),
    ),
    "api_disabled": (
        gettext_noop("The People API is not enabled"),
        gettext_noop(
            "No account is synced; phones find what was known before. Enable the Google People API in the project of "
            "the OAuth client; the gateway notices within the hour, or at once after Sync now on somebody’s page."
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account in the list.

    :ivar trouble: what is wrong with it; empty where nothing is.
    """

    account: Account
    state: AccountStateText
    error: Translatable = ""


@dataclass(frozen=True, slots=True)
class ListPage(Generic[T]):
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
class CertificateStatus:
    """How long the certificate lasts: the class of its colour, and a sentence."""

    kind: str
    sentence: Translatable


def list_page(rows: Sequence[T], requested: str) -> ListPage[T]:
    """The page of a list that somebody asks for; the first one where there is no such page.

    :param asked: its number as it was sent.
    """
    pages = max(-(-len(rows) // ROWS_PER_PAGE), 1)
    number = next((at for at in range(1, pages + 1) if str(at) == requested), 1)
    return ListPage(tuple(rows[(number - 1) * ROWS_PER_PAGE : number * ROWS_PER_PAGE]), number, pages, len(rows))


def attention_first(accounts: Iterable[Account], now: float) -> list[Account]:
    """Those that need attention first, then by address."""
    return sorted(accounts, key=lambda one: (state(one, now) != "attention", one.address.casefold(), one.id))


def account_row(account: Account, page: str, now: float) -> AccountRow:
    """An account as the list shows it.

    :param page: the address of the tenant's page.
    """
    trouble = error_message(account.error, account, page) if account.is_connected and account.error is not None else ""
    return AccountRow(account, ACCOUNT_STATE_TEXTS[state(account, now)], trouble)


def reminder(account: Account, now: float) -> Translatable:
    """Why an account's owner has to be reminded, in a few words; empty where they need not."""
    if not account.is_connected:
        return ""
    if account.error is not None and account.error.code in _OWNER_ERRORS:
        return {
            "consent_revoked": gettext_noop("has to connect again"),
            "scope_missing": gettext_noop("has to tick the box for contacts"),
            "suspicious_shrink": gettext_noop("has to say whether many contacts may vanish"),
        }[account.error.code]
    ends = account.refresh_expires_at
    if ends is not None and ends - now < EXPIRY_REMINDER_SECONDS:
        return Phrase(gettext_noop("has to connect again before %(when)s"), {"when": Timestamp(ends)})
    return ""


def certificate_status(expires_at: float | None, near_expiry: float | None, now: float) -> CertificateStatus:
    """What is said of the certificate that phones are shown.

    :param ends: when it does; None: there is none.
    :param near: the same, where that is near.
    """
    if expires_at is None:
        return CertificateStatus("quiet", gettext_noop("There is none: phones speak LDAP without TLS."))
    values = {"when": Timestamp(expires_at)}
    if expires_at <= now:
        return CertificateStatus("bad", Phrase(gettext_noop("It has expired on %(when)s: renew it."), values))
    if near_expiry is not None:
        return CertificateStatus("warn", Phrase(gettext_noop("It expires on %(when)s: renew it."), values))
    return CertificateStatus("good", Phrase(gettext_noop("It is valid until %(when)s."), values))
