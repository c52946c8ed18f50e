# SPDX-License-Identifier: MIT
"""The status of an account for ``status.json``, commands and pages: its state, and errors in plain words.

The functions are pure: they turn an `Account` into messages and into the account object of ``status.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from ldapgw.contact import Sharing, Source
from ldapgw.phrase import Phrase, Timestamp, Translatable, gettext_noop
from ldapgw.store.accounts import Account, ErrorStatus, SourceState
from ldapgw.store.phones import PhoneLogin, Refusal, wrong_password
from ldapgw.store.sync_tokens import DIRECTORY_SHRUNK, INCOMPLETE, NO_SYNC_TOKEN

# The meaning of each error code, with advice.  ``page`` is the tenant's page, ``link`` an address that Google named.
_MESSAGES: Mapping[str, str] = {
    "consent_revoked": gettext_noop(
        "Google no longer accepts the access that %(address)s granted on %(given)s. Reconnect on %(page)s. Until "
        "then, the contacts stay as they are."
    ),
    "scope_missing": gettext_noop(
        "The checkbox for contacts wasn’t checked on Google’s page. Reconnect %(address)s on %(page)s and check “See "
        "and download your contacts”."
    ),
    "client_rejected": gettext_noop(
        "Google rejects the OAuth client of %(tenant)s, so no account can sync. The administrator has to check "
        "the client ID and secret in the Google console. No one else needs to do anything."
    ),
    "api_disabled": gettext_noop(
        "The People API isn’t enabled in the Google project of %(tenant)s, so no account can sync. The "
        "administrator has to enable it %(link)s. No one else needs to do anything."
    ),
    "quota": gettext_noop(
        "Google has asked the gateway to slow down, so the next sync is delayed. You don’t need to do anything."
    ),
    "google_unavailable": gettext_noop(
        "Google has a problem at the moment. The gateway keeps trying, so you don’t need to do anything."
    ),
    "network": gettext_noop("The gateway can’t reach Google. If this lasts, check its network and DNS."),
    "bad_response": gettext_noop(
        "The gateway couldn’t understand Google’s answer, and keeps trying. If this lasts, please report it to the "
        "developers of ldapgw."
    ),
    "suspicious_shrink": gettext_noop(
        "A sync would remove %(lost)s of %(before)s contacts of %(address)s. If that’s right, confirm it on "
        "%(page)s or with ldapgw sync %(address)s --accept-shrink. Until then, the contacts stay."
    ),
    "google_refused": gettext_noop(
        "Google refuses access to the contacts of %(address)s. The Contacts service may be off: the Google Workspace "
        "administrator can turn it on for this user in the Admin console (Apps, Google Workspace, Contacts). The "
        "gateway tries again every hour. Until then, the contacts stay as they are."
    ),
    "internal": gettext_noop(
        "The sync failed because of a problem in the gateway. The gateway’s log has the details. The contacts "
        "stay as they are."
    ),
}
# An exceeded quota, if Google says which.
_LIMIT_MESSAGE = gettext_noop(
    "The gateway reached one of Google’s limits (%(limit)s for %(metric)s), so the next sync is delayed. You don’t "
    "need to do anything."
)
# More exact messages by error code and by the fact ``by`` (who ended a consent) or ``source``.
_VARIANTS: Mapping[tuple[str, str], str] = {
    ("consent_revoked", "admin"): gettext_noop(
        "The Google Workspace of %(address)s no longer allows this app. First, the Workspace administrator has to "
        "trust it in the Admin console (Security, API controls). Then reconnect on %(page)s. Until then, the "
        "contacts stay as they are."
    ),
    ("consent_revoked", "testing"): gettext_noop(
        "The access that %(address)s granted on %(given)s ended after 7 days, because the Google client is in "
        "“Testing”. First, the administrator has to publish the app in the Google console. Then reconnect on "
        "%(page)s. Until then, the contacts stay as they are."
    ),
    ("consent_revoked", "client"): gettext_noop(
        "The Google client of %(tenant)s has changed, so %(address)s has to grant access again. Reconnect on "
        "%(page)s. Until then, the contacts stay as they are."
    ),
    ("consent_revoked", "disabled"): gettext_noop(
        "Google has disabled the account %(address)s. Its administrator has to enable it. Then reconnect on "
        "%(page)s. Until then, the contacts stay as they are."
    ),
    ("consent_revoked", "session"): gettext_noop(
        "The session control of the Google Workspace ended the access that %(address)s granted on %(given)s. "
        "Reconnect on %(page)s. To prevent this, the Workspace administrator can trust this app and exempt "
        "trusted apps from session control in the Admin console (Security, Google Cloud session control)."
    ),
    ("google_refused", "client"): gettext_noop(
        "Google says that %(address)s granted access to a different Google client. If the client of %(tenant)s has "
        "changed, reconnect on %(page)s. The gateway tries again every hour. Until then, the contacts stay as they "
        "are."
    ),
    ("google_refused", "internal"): gettext_noop(
        "The Google client of %(tenant)s is limited to another Google Workspace, so %(address)s can’t sync. The "
        "administrator has to set the audience to “External” in the Google console. The gateway tries again every "
        "hour. Until then, the contacts stay as they are."
    ),
    ("google_refused", "policy"): gettext_noop(
        "A rule in the Google Workspace of %(address)s blocks this app. The Workspace administrator has to trust it "
        "in the Admin console (Security, API controls). The gateway tries again every hour. Until then, the contacts "
        "stay as they are."
    ),
    ("bad_response", "token"): gettext_noop(
        "Google refuses to renew the access of %(address)s and gives the reason “%(word)s”. The gateway keeps trying. "
        "If this lasts, reconnect on %(page)s, and please report it to the developers of ldapgw."
    ),
    ("internal", "database"): gettext_noop(
        "The gateway can’t use its database, so nothing can be synced or changed. The administrator has to fix "
        "this; the gateway’s log has the details. Phones still find the contacts from the last sync."
    ),
    ("scope_missing", "directory"): gettext_noop(
        "The checkbox for the company directory wasn’t checked on Google’s page. Reconnect %(address)s on %(page)s "
        "and check “See and download your organization’s Google Workspace directory”."
    ),
    ("scope_missing", "other_contacts"): gettext_noop(
        "The checkbox for “Other contacts” wasn’t checked on Google’s page. Reconnect %(address)s on %(page)s and "
        "check “See and download contact info automatically saved in your ‘Other contacts’”."
    ),
    ("suspicious_shrink", "directory"): gettext_noop(
        "A sync would remove %(lost)s of %(before)s entries of the company directory. If that’s right, confirm it "
        "on %(page)s or with ldapgw sync %(address)s --accept-shrink. Until then, the entries stay."
    ),
}
# Messages for the failure of one source, while the other sources of the account are up to date.
_SOURCE_MESSAGES: Mapping[object, str] = {
    "directory": gettext_noop("The company directory from %(address)s isn’t up to date. %(why)s"),
    "labels": gettext_noop("The labels of %(address)s aren’t up to date. %(why)s"),
    "other_contacts": gettext_noop("The “Other contacts” of %(address)s aren’t up to date. %(why)s"),
}
# Messages for listings that were odd and were applied all the same, by warning code and source.
_LISTING_MESSAGES: Mapping[tuple[str, Source], str] = {
    (INCOMPLETE, Source.CONTACTS): gettext_noop(
        "Google sent only %(listed)s of the %(total)s contacts of %(address)s. The missing ones stay on the "
        "phones until the next full sync."
    ),
    (INCOMPLETE, Source.OTHER_CONTACTS): gettext_noop(
        "Google sent only %(listed)s of the %(total)s “Other contacts” of %(address)s. The missing ones stay on "
        "the phones until the next full sync."
    ),
    (DIRECTORY_SHRUNK, Source.DIRECTORY): gettext_noop(
        "The last full sync removed %(lost)s of %(before)s entries of the company directory. If these entries should "
        "still be there, the Google Workspace administrator has to check the directory settings."
    ),
    (NO_SYNC_TOKEN, Source.CONTACTS): gettext_noop(
        "Google can’t tell the gateway what has changed in the contacts of %(address)s, so changes only arrive every "
        "few hours."
    ),
    (NO_SYNC_TOKEN, Source.OTHER_CONTACTS): gettext_noop(
        "Google can’t tell the gateway what has changed in the “Other contacts” of %(address)s, so changes only "
        "arrive every few hours."
    ),
    (NO_SYNC_TOKEN, Source.DIRECTORY): gettext_noop(
        "Google can’t tell the gateway what has changed in the company directory, so changes only arrive every few "
        "hours."
    ),
}
# Messages without a command, for a page, which has a button instead.
_PAGE_MESSAGES: Mapping[str, str] = {
    _MESSAGES["suspicious_shrink"]: gettext_noop(
        "A sync would remove %(lost)s of %(before)s contacts of %(address)s. If that’s right, confirm it on "
        "%(page)s. Until then, the contacts stay."
    ),
    _VARIANTS["suspicious_shrink", "directory"]: gettext_noop(
        "A sync would remove %(lost)s of %(before)s entries of the company directory. If that’s right, confirm it "
        "on %(page)s. Until then, the entries stay."
    ),
}

# Errors of a tenant's OAuth client, not of an account.
TENANT_ERROR_CODES = frozenset({"client_rejected", "api_disabled"})

# Errors that go away by themselves, so that nobody has to act.
_TRANSIENT_CODES = frozenset({"quota", "google_unavailable", "network", "bad_response"})

# A transient error needs attention when no sync has succeeded for this long.
STALE_SECONDS = 24 * 3600
# So does an error code of the token endpoint that we do not know, after this many failed syncs in a row.
UNKNOWN_REFUSALS = 5

HOUR = 3600
# How long a consent to a Google client in "Testing" lasts, and how much later a sync may notice its end.
TESTING_SECONDS = 7 * 24 * HOUR
_NOTICE_SECONDS = 6 * HOUR


def account_to_json(
    account: Account,
    wanted: Collection[Source],
    page: Translatable,
    now: float,
    certificate_ends: float | None = None,
    translate: Callable[[Translatable], str] = str,
    *,
    commands: bool = True,
    rejected: Iterable[tuple[str, Refusal]] = (),
) -> dict[str, Any]:
    """Describe an account as in ``status.json`` and ``ldapgw accounts --json``.

    :param wanted: the sources that the tenant's configuration names.
    :param page: the address of the tenant's page.
    :param now: seconds since the epoch.
    :param certificate_ends: when the LDAP server's certificate expires, if that is soon; seconds since the epoch.
    :param translate: renders a message in a language; the default is English.
    :param commands: whether messages may name commands.
    :param rejected: the account's phones that have a wrong password, by name, with their refused logins.
    """
    return {
        "account": account.address,
        "tenant": account.tenant,
        "state": state(account, now),
        "sharing": account.sharing.value,
        "shared_label": "" if account.sharing is Sharing.PRIVATE else account.shared_label,
        "contacts": account.contacts,
        "numbers": account.numbers,
        "last_sync": timestamp(account.last_sync),
        "next_sync": timestamp(account.next_sync),
        "error": _error(account.error, account, page, translate, commands=commands),
        "warnings": [
            {"code": code, "message": translate(message)}
            for code, message in (
                *_warnings(account, page, now),
                *_expiry(certificate_ends, now),
                *(("rejected_login", _rejected(phone, refused)) for phone, refused in rejected),
            )
        ],
        "skipped": dict(account.skipped),
        "sources": {name.value: _source_state(account, name, wanted).value for name in Source},
    }


def with_database_error(account: Account, since: float | None) -> Account:
    """Replace the error of a connected account while the database cannot be used.

    :param since: when the database began to fail, in seconds since the epoch; None: the database can be used.
    """
    if since is None or not account.is_connected:
        return account
    return replace(account, error=ErrorStatus("internal", since, facts={"by": "database"}))


STATES = ("ok", "syncing", "waiting", "attention", "disconnected")


def state(account: Account, now: float) -> str:
    """The state of an account: ok, syncing, waiting, attention or disconnected."""
    if not account.is_connected:
        return "disconnected"
    if account.error is not None and not _is_transient(account, account.error, now):
        return "attention"
    if account.last_sync is None:
        return "waiting"
    return "syncing" if account.syncing else "ok"


def code_message(
    code: str,
    account: Account,
    page: Translatable,
    link: str = "",
    facts: Mapping[str, object] = MappingProxyType({}),
    *,
    commands: bool = True,
) -> Phrase:
    """Explain an error code in plain words, with advice.

    :param link: address at Google where the error can be fixed; empty when Google named none.
    :param facts: details of the error (`ldapgw.store.accounts.ErrorStatus`).
    :param commands: whether the message may name a command.
    """
    values = {
        "address": account.address,
        "tenant": account.tenant,
        "page": page,
        "given": Timestamp(account.connected_at) if account.connected_at is not None else "?",
        "link": Phrase(gettext_noop("at %(link)s"), {"link": link})
        if link
        else Phrase(gettext_noop("in the Google console")),
        "before": facts.get("before", "?"),
        "lost": facts.get("lost", "?"),
        "word": facts.get("word", "?"),
        "limit": facts.get("limit", "?"),
        "metric": facts.get("metric", "?"),
    }
    variants = (_VARIANTS.get((code, str(fact))) for fact in (facts.get("by"), facts.get("source")))
    variant = next((text for text in variants if text), "")
    has_limit = code == "quota" and bool(facts.get("limit"))
    text = variant or (_LIMIT_MESSAGE if has_limit else _MESSAGES.get(code, _MESSAGES["internal"]))
    message = Phrase(text if commands else _PAGE_MESSAGES.get(text, text), values)
    source_text = "" if variant else _SOURCE_MESSAGES.get(facts.get("source"), "")
    return Phrase(source_text, {"address": account.address, "why": message}) if source_text else message


def error_message(error: ErrorStatus, account: Account, page: Translatable, *, commands: bool = True) -> Phrase:
    """Explain an account's error in plain words, with advice."""
    facts = dict(error.facts)
    if error.code == "consent_revoked":
        facts["by"] = consent_ended_by(error, account)
    return code_message(error.code, account, page, error.link, facts, commands=commands)


def consent_ended_by(error: ErrorStatus, account: Account) -> str:
    """Who or what ended a consent: ``admin``, ``testing``, ``client``, ``disabled`` or ``session``; empty: not known.

    :param error: an error ``consent_revoked``.
    """
    if "by" in error.facts:
        return str(error.facts["by"])
    return "testing" if _ended_by_testing(account, error.since) else ""


def timestamp(seconds: float | None) -> str | None:
    """Format seconds since the epoch as RFC 3339, in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds is not None else None


def _error(
    error: ErrorStatus | None,
    account: Account,
    page: Translatable,
    translate: Callable[[Translatable], str],
    *,
    commands: bool,
) -> dict[str, Any] | None:
    if error is None:
        return None
    return {
        "code": error.code,
        "message": translate(error_message(error, account, page, commands=commands)),
        "since": timestamp(error.since),
    }


def _warnings(account: Account, page: Translatable, now: float) -> list[tuple[str, Phrase]]:
    warnings = []
    ends = account.refresh_expires_at
    if account.is_connected and ends is not None:
        values = {"when": Timestamp(ends), "page": page}
        if not is_of_testing(account):
            text = gettext_noop(
                "This access ends on %(when)s. To keep your contacts up to date, reconnect on %(page)s."
            )
            warnings.append(("consent_ends", Phrase(text, values)))
        elif now < ends:
            text = gettext_noop(
                "This access ends on %(when)s, because the Google client is in “Testing”. First, the administrator "
                "should publish the app in the Google console. Then reconnect on %(page)s."
            )
            warnings.append(("testing_client", Phrase(text, values)))
        else:
            text = gettext_noop(
                "This access ended on %(when)s, because the Google client is in “Testing”. First, the administrator "
                "should publish the app in the Google console. Then reconnect on %(page)s."
            )
            warnings.append(("testing_client", Phrase(text, values)))
    if account.is_connected and _is_stale(account, now):
        text = gettext_noop("No sync has succeeded since %(when)s. Phones still have the contacts from then.")
        if account.last_sync is None:
            text = gettext_noop("No sync has succeeded yet since the account was connected on %(when)s.")
        warnings.append(("stale", Phrase(text, {"when": Timestamp(_last_success(account))})))
    for source, listing_warnings in account.warnings.items():
        for code, figures in listing_warnings.items():
            message = Phrase(_LISTING_MESSAGES[code, source], {"address": account.address, **figures})
            warnings.append((code, message))
    return warnings


def _rejected(phone: str, refused: Refusal) -> Phrase:
    text = gettext_noop(
        "The phone %(phone)s uses a wrong password. The last try was %(when)s from %(address)s. Enter the "
        "password again in the phone, or create a new one."
    )
    return Phrase(text, {"phone": phone, "when": Timestamp(refused.when), "address": refused.address})


def rejected_phones(logins: Iterable[PhoneLogin], now: float) -> Mapping[int | None, Sequence[tuple[str, Refusal]]]:
    """The phones that have a wrong password, with their refused logins, by the account."""
    found: dict[int | None, list[tuple[str, Refusal]]] = {}
    for login in logins:
        refused = wrong_password(login, now)
        if refused is not None:
            found.setdefault(login.account_id, []).append((login.name, refused))
    return found


def _expiry(ends: float | None, now: float) -> list[tuple[str, Phrase]]:
    if ends is None:
        return []
    text = (
        gettext_noop(
            "The gateway’s certificate expired on %(when)s, so phones that check it find nothing. The administrator "
            "has to renew it."
        )
        if ends <= now
        else gettext_noop(
            "The gateway’s certificate expires on %(when)s. After that, phones that check it find nothing. The "
            "administrator has to renew it."
        )
    )
    return [("certificate_expiry", Phrase(text, {"when": Timestamp(ends)}))]


def is_of_testing(account: Account) -> bool:
    """Return whether the consent's term, as Google named it, is the seven days of a client in "Testing"."""
    given, ends = account.connected_at, account.refresh_expires_at
    return given is not None and ends is not None and abs(ends - given - TESTING_SECONDS) < HOUR


def _ended_by_testing(account: Account, since: float) -> bool:
    """Whether a consent ended after seven days, as only a client in "Testing" does; Google does not always say so."""
    given = account.connected_at
    return given is not None and -HOUR < since - given - TESTING_SECONDS < _NOTICE_SECONDS


def _is_transient(account: Account, error: ErrorStatus, now: float) -> bool:
    if error.facts.get("by") == "token" and account.failures < UNKNOWN_REFUSALS:
        return True
    return error.code in _TRANSIENT_CODES and not _is_stale(account, now) and now - error.since <= STALE_SECONDS


def _last_success(account: Account) -> float:
    """When the last successful sync ended; before the first sync, when the account was connected."""
    last_success = account.last_sync if account.last_sync is not None else account.connected_at
    return last_success if last_success is not None else 0.0


def _is_stale(account: Account, now: float) -> bool:
    return account.is_connected and now - _last_success(account) > STALE_SECONDS


def _source_state(account: Account, name: Source, wanted: Collection[Source]) -> SourceState:
    return account.sources.get(name, SourceState.OFF) if name in wanted else SourceState.OFF
