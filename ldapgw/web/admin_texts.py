# SPDX-License-Identifier: MIT
"""The texts and lists of the administration page: alarms, the certificate, account rows and reminders.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ldapgw.google.people import CallEstimate
from ldapgw.phrase import Phrase, Timestamp, Translatable, gettext_noop
from ldapgw.store.account_status import error_message, state
from ldapgw.store.accounts import Account
from ldapgw.web.account_texts import ACCOUNT_STATE_TEXTS, AccountStateText, sharing_title

T = TypeVar("T")

# Rows of a list on one page; the list of a company with thousands of accounts is cut into pages.
ROWS_PER_PAGE = 50
# The reminder of an expiring consent appears this long before the end.
EXPIRY_REMINDER_SECONDS = 3 * 86400.0
# Errors that the account's owner must resolve on the account page.
_OWNER_ERRORS = frozenset({"consent_revoked", "scope_missing", "suspicious_shrink"})

# By the code of a tenant's alarm: the problem, and what to do.
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


_CALLS = gettext_noop(
    "Calls to Google while nothing changes: %(accounts)s accounts × %(calls)s every %(minutes)s minutes, that is "
    "%(rate)s a minute; %(limit)s are allowed."
)
_TOO_MANY_CALLS = gettext_noop(
    "Calls to Google while nothing changes: %(accounts)s accounts × %(calls)s every %(minutes)s minutes, that is "
    "%(rate)s a minute; only %(limit)s are allowed, so syncs come later. An interval of %(fitting)s minutes would fit."
)


_NOT_ADMITTED = gettext_noop(
    "This person is not in allowed_users any more, and the account is still synced and served. To end that, disconnect "
    "it (ldapgw disconnect); or name the person in the configuration again."
)


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A row of the list of accounts.

    :ivar sharing: who sees the account's book.
    :ivar error: the account's error; empty: none.
    """

    account: Account
    state: AccountStateText
    sharing: Translatable
    error: Translatable = ""


@dataclass(frozen=True, slots=True)
class ListPage(Generic[T]):
    """One page of a list.

    :ivar number: the number of this page, counted from 1.
    :ivar pages: the number of pages, at least 1.
    :ivar total: the number of rows on all pages.
    """

    rows: tuple[T, ...]
    number: int
    pages: int
    total: int


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """The validity of the certificate: the CSS class of the colour, and a sentence."""

    kind: str
    sentence: Translatable


def list_page(rows: Sequence[T], requested: str) -> ListPage[T]:
    """The requested page of a list; the first page if the requested page does not exist.

    :param requested: the page number as sent.
    """
    pages = max(-(-len(rows) // ROWS_PER_PAGE), 1)
    number = next((number for number in range(1, pages + 1) if str(number) == requested), 1)
    return ListPage(tuple(rows[(number - 1) * ROWS_PER_PAGE : number * ROWS_PER_PAGE]), number, pages, len(rows))


def attention_first(accounts: Iterable[Account], now: float) -> list[Account]:
    """The accounts sorted by address, accounts that need attention first."""
    return sorted(
        accounts,
        key=lambda account: (state(account, now) != "attention", account.address.casefold(), account.id),
    )


def account_row(account: Account, page: str, now: float, *, is_admitted: bool = True) -> AccountRow:
    """The row of an account.

    :param page: the URL of the tenant's page.
    :param is_admitted: whether its user may still connect.
    """
    error: Translatable = ""
    if account.is_connected and account.error is not None:
        error = error_message(account.error, account, page)
    elif account.is_connected and not is_admitted:
        error = _NOT_ADMITTED
    return AccountRow(
        account, ACCOUNT_STATE_TEXTS[state(account, now)], sharing_title(account.sharing, account.shared_label), error
    )


def reminder(account: Account, now: float) -> Translatable:
    """Why an account's owner must be reminded, in a few words; empty if no reminder is needed."""
    if not account.is_connected:
        return ""
    if account.error is not None and account.error.code in _OWNER_ERRORS:
        return {
            "consent_revoked": gettext_noop("has to connect again"),
            "scope_missing": gettext_noop("has to tick the box for contacts"),
            "suspicious_shrink": gettext_noop("has to say whether many contacts may vanish"),
        }[account.error.code]
    expiry = account.refresh_expires_at
    if expiry is not None and expiry - now < EXPIRY_REMINDER_SECONDS:
        return Phrase(gettext_noop("has to connect again before %(when)s"), {"when": Timestamp(expiry)})
    return ""


def calls_text(estimate: CallEstimate) -> Translatable:
    """How many calls the accounts make, and which interval would fit; empty where calls are not limited."""
    if estimate.limit is None or not estimate.accounts:
        return ""
    values = {
        "accounts": estimate.accounts,
        "calls": estimate.sources,
        "minutes": f"{estimate.interval / 60:g}",
        "rate": f"{estimate.calls_per_minute:.1f}",
        "limit": estimate.limit,
        "fitting": estimate.fitting_interval or 0,
    }
    return Phrase(_TOO_MANY_CALLS if estimate.fitting_interval else _CALLS, values)


def certificate_status(expires_at: float | None, near_expiry: float | None, now: float) -> CertificateStatus:
    """The validity of the LDAP certificate.

    :param expires_at: expiry in seconds since the epoch; None: no certificate.
    :param near_expiry: the same, but None if the expiry is not near.
    """
    if expires_at is None:
        return CertificateStatus("quiet", gettext_noop("There is none: phones speak LDAP without TLS."))
    values = {"when": Timestamp(expires_at)}
    if expires_at <= now:
        return CertificateStatus("bad", Phrase(gettext_noop("It has expired on %(when)s: renew it."), values))
    if near_expiry is not None:
        return CertificateStatus("warn", Phrase(gettext_noop("It expires on %(when)s: renew it."), values))
    return CertificateStatus("good", Phrase(gettext_noop("It is valid until %(when)s."), values))
