# SPDX-License-Identifier: MIT
"""How far syncs are that are under way; kept in memory, for people who wait for their first one.

An account as an administrator, the page and ``status.json`` see it, with its trouble in plain words.

Pure: an `Account` goes in, the account object of ``status.json`` comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from ldapgw.contact import Source
from ldapgw.phrase import Phrase, Timestamp, Translatable, gettext_noop
from ldapgw.store.accounts import Account, ErrorStatus, SourceState


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """How far a sync is.

    :ivar source: what is being fetched.
    :ivar fetched: persons so far.
    :ivar total: how many there are by Google's own count; None where it does not say.
    :ivar place: the source's, counted from 1, among `places` that are fetched one after the other.
    """

    source: Source
    fetched: int
    total: int | None
    step: int = 1
    step_count: int = 1


class ProgressBoard:
    """Who syncs writes it, pages read it.

    Mutable: what is written.

    :param told: called with the account's id after each change.
    """

    def __init__(self, on_change: Callable[[int], None]) -> None:
        self._on_change = on_change
        self._notes: dict[int, SyncProgress] = {}

    def update(self, account_id: int, progress: SyncProgress | None) -> None:
        """Write how far an account's sync is; None: it has ended."""
        if progress is not None:
            self._notes[account_id] = progress
        elif self._notes.pop(account_id, None) is None:
            return
        self._on_change(account_id)

    def get(self, account_id: int) -> SyncProgress | None:
        """How far an account's sync is; None when none is running."""
        return self._notes.get(account_id)


# What each error code means and what to do about it.  ``page`` is the tenant's page, ``link`` what Google named.
_MESSAGES: Mapping[str, str] = {
    "consent_revoked": gettext_noop(
        "Google no longer accepts the consent of %(address)s, given on %(given)s. Connect again on %(page)s; until "
        "then the contacts stay as they are."
    ),
    "scope_missing": gettext_noop(
        "The box for contacts was not ticked at Google. Connect %(address)s again on %(page)s and tick “See and "
        "download your contacts”."
    ),
    "client_rejected": gettext_noop(
        "Google rejects the OAuth client of %(tenant)s, so none of its accounts is synced. The administrator has to "
        "check client id and secret in the Google console; users need not do anything."
    ),
    "api_disabled": gettext_noop(
        "The People API is not enabled in the Google project of %(tenant)s, so none of its accounts is synced. The "
        "administrator has to enable it %(link)s; users need not do anything."
    ),
    "quota": gettext_noop("Google asks us to slow down. The next sync comes later; nothing has to be done."),
    "google_unavailable": gettext_noop(
        "Google does not answer properly at the moment. We try again; nothing has to be done."
    ),
    "network": gettext_noop("Google could not be reached. Check the gateway's network and name service if this lasts."),
    "bad_response": gettext_noop("Google's answer made no sense. We try again; please report it if this lasts."),
    "suspicious_shrink": gettext_noop(
        "%(lost)s of %(before)s contacts of %(address)s would vanish. If that is right, accept it on %(page)s or with "
        "ldapgw sync %(address)s --accept-shrink; until then they stay."
    ),
    "internal": gettext_noop("The sync failed inside the gateway. The log says more; the contacts stay as they are."),
}
# More exactly, by who has ended a consent, and by the source that it is about.
_VARIANTS: Mapping[tuple[str, str], str] = {
    ("consent_revoked", "admin"): gettext_noop(
        "The Google Workspace of %(address)s no longer allows this app. Its administrator has to trust it in the Admin "
        "console (Security, API controls); then connect again on %(page)s. Until then the contacts stay as they are."
    ),
    ("consent_revoked", "testing"): gettext_noop(
        "The consent of %(address)s, given on %(given)s, has ended after 7 days, because the Google client is in "
        "“Testing”. The administrator has to publish the app in the Google console; then connect again on %(page)s. "
        "Until then the contacts stay as they are."
    ),
    ("internal", "database"): gettext_noop(
        "The gateway's database cannot be used, so nothing is synced and nothing can be changed. The administrator has "
        "to mend that, and the gateway's log says what it is; phones find what was known before."
    ),
    ("scope_missing", "directory"): gettext_noop(
        "The box for the company directory was not ticked at Google. Connect %(address)s again on %(page)s and tick "
        "“See and download your organization’s Google Workspace directory”."
    ),
    ("scope_missing", "other_contacts"): gettext_noop(
        "The box for “other contacts” was not ticked at Google. Connect %(address)s again on %(page)s and tick “See "
        "and download contact info automatically saved in your “Other contacts””."
    ),
    ("suspicious_shrink", "directory"): gettext_noop(
        "%(lost)s of %(before)s entries of the company directory would vanish. If that is right, accept it on %(page)s "
        "or with ldapgw sync %(address)s --accept-shrink; until then they stay."
    ),
}
# Of one source, while the rest of the account is up to date.
_SOURCE_MESSAGES: Mapping[object, str] = {
    "directory": gettext_noop("The company directory, which comes through %(address)s, is not up to date: %(why)s"),
    "labels": gettext_noop("The labels of %(address)s are not up to date: %(why)s"),
    "other_contacts": gettext_noop("The “other contacts” of %(address)s are not up to date: %(why)s"),
}
# On a page there is a button for it.
_PAGE_MESSAGES: Mapping[str, str] = {
    _MESSAGES["suspicious_shrink"]: gettext_noop(
        "%(lost)s of %(before)s contacts of %(address)s would vanish. If that is right, accept it on %(page)s; until "
        "then they stay."
    ),
    _VARIANTS["suspicious_shrink", "directory"]: gettext_noop(
        "%(lost)s of %(before)s entries of the company directory would vanish. If that is right, accept it on "
        "%(page)s; until then they stay."
    ),
}

# What is wrong with a tenant's client, and not with an account.
TENANT_ERROR_CODES = frozenset({"client_rejected", "api_disabled"})

# Troubles that go away by themselves are no reason to call a person.
_TRANSIENT_CODES = frozenset({"quota", "google_unavailable", "network", "bad_response"})

# A passing trouble becomes one that a person should know of when nothing was synced for this long.
STALE_SECONDS = 24 * 3600

HOUR = 3600
# How long a consent to a Google client in "Testing" lasts, and how much later its end may be noticed.
TESTING_SECONDS = 7 * 24 * HOUR
_NOTICED = 6 * HOUR


def account_to_json(
    account: Account,
    wanted: Collection[Source],
    page: Translatable,
    now: float,
    certificate_ends: float | None = None,
    translate: Callable[[Translatable], str] = str,
    *,
    commands: bool = True,
) -> dict[str, Any]:
    """An account as ``status.json`` and ``ldapgw accounts --json`` give it.

    :param wanted: the sources that the tenant's configuration names.
    :param page: the address of the tenant's page.
    :param now: seconds since the epoch.
    :param certificate_ends: when the certificate that phones are shown ends, where that is near.
    :param say: puts the messages into words, in English unless told otherwise.
    :param commands: whether the messages may name commands.
    """
    return {
        "account": account.address,
        "tenant": account.tenant,
        "state": state(account, now),
        "sharing": account.sharing.value,
        "contacts": account.contacts,
        "numbers": account.numbers,
        "last_sync": timestamp(account.last_sync),
        "next_sync": timestamp(account.next_sync),
        "error": _error(account.error, account, page, translate, commands=commands),
        "warnings": [
            {"code": code, "message": translate(said)}
            for code, said in (*_warnings(account, page, now), *_expiry(certificate_ends, now))
        ],
        "skipped": dict(account.skipped),
        "sources": {name.value: _source_state(account, name, wanted).value for name in Source},
    }


def with_database_error(account: Account, since: float | None) -> Account:
    """An account as it is while the database cannot be used, whatever its last sync was like.

    :param since: in seconds since the epoch; None: it can be used.
    """
    if since is None or not account.is_connected:
        return account
    return replace(account, error=ErrorStatus("internal", since, facts={"by": "database"}))


def state(account: Account, now: float) -> str:
    """One of ok, syncing, waiting, attention, disconnected."""
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
    """An error code in plain words, with what to do.

    :param link: where to mend it, if Google said so.
    :param facts: what else is known of it (`ldapgw.store.accounts.Trouble`).
    :param commands: whether a command may be named.
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
    }
    variants = (_VARIANTS.get((code, str(fact))) for fact in (facts.get("by"), facts.get("source")))
    variant = next((text for text in variants if text), "")
    text = variant or _MESSAGES.get(code, _MESSAGES["internal"])
    told = Phrase(text if commands else _PAGE_MESSAGES.get(text, text), values)
    of_source = "" if variant else _SOURCE_MESSAGES.get(facts.get("source"), "")
    return Phrase(of_source, {"address": account.address, "why": told}) if of_source else told


def error_message(error: ErrorStatus, account: Account, page: Translatable, *, commands: bool = True) -> Phrase:
    """A trouble of an account in plain words, with what to do."""
    facts = dict(error.facts)
    if error.code == "consent_revoked" and "by" not in facts and _ended_by_testing(account, error.since):
        facts["by"] = "testing"
    return code_message(error.code, account, page, error.link, facts, commands=commands)


def timestamp(seconds: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339, UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds is not None else None


def _error(
    trouble: ErrorStatus | None,
    account: Account,
    page: Translatable,
    say: Callable[[Translatable], str],
    *,
    commands: bool,
) -> dict[str, Any] | None:
    if trouble is None:
        return None
    return {
        "code": trouble.code,
        "message": say(error_message(trouble, account, page, commands=commands)),
        "since": timestamp(trouble.since),
    }


def _warnings(account: Account, page: Translatable, now: float) -> list[tuple[str, Phrase]]:
    found = []
    ends = account.refresh_expires_at
    if account.is_connected and ends is not None:
        values = {"when": Timestamp(ends), "page": page}
        if not _is_of_testing(account):
            text = gettext_noop("This consent was given until %(when)s. Connect again on %(page)s to go on.")
            found.append(("consent_ends", Phrase(text, values)))
        elif now < ends:
            text = gettext_noop(
                "The Google client is in “Testing”, so this consent ends on %(when)s. The administrator should publish "
                "the app in the Google console; then connect again on %(page)s."
            )
            found.append(("testing_client", Phrase(text, values)))
        else:
            text = gettext_noop(
                "The Google client is in “Testing”, so this consent has ended on %(when)s. The administrator should "
                "publish the app in the Google console; then connect again on %(page)s."
            )
            found.append(("testing_client", Phrase(text, values)))
    if account.is_connected and _is_stale(account, now):
        text = gettext_noop("There was no good sync since %(when)s; phones show what was known then.")
        if account.last_sync is None:
            text = gettext_noop("There was no good sync yet, since the consent of %(when)s.")
        found.append(("stale", Phrase(text, {"when": Timestamp(_last_success(account))})))
    return found


def _expiry(ends: float | None, now: float) -> list[tuple[str, Phrase]]:
    if ends is None:
        return []
    text = (
        gettext_noop(
            "The gateway's certificate has expired on %(when)s; phones that check it find nothing then. "
            "The administrator has to renew it."
        )
        if ends <= now
        else gettext_noop(
            "The gateway's certificate expires on %(when)s; phones that check it find nothing then. "
            "The administrator has to renew it."
        )
    )
    return [("certificate_expiry", Phrase(text, {"when": Timestamp(ends)}))]


def _is_of_testing(account: Account) -> bool:
    """Whether Google has said that the consent ends after seven days."""
    given, ends = account.connected_at, account.refresh_expires_at
    return given is not None and ends is not None and abs(ends - given - TESTING_SECONDS) < HOUR


def _ended_by_testing(account: Account, since: float) -> bool:
    """Whether a consent has ended after just seven days, as nothing else does; Google may not have said so."""
    given = account.connected_at
    return given is not None and -HOUR < since - given - TESTING_SECONDS < _NOTICED


def _is_transient(account: Account, trouble: ErrorStatus, now: float) -> bool:
    """Whether a trouble may go away by itself."""
    return trouble.code in _TRANSIENT_CODES and not _is_stale(account, now) and now - trouble.since <= STALE_SECONDS


def _last_success(account: Account) -> float:
    """When all was known last; before the first sync, since when it should be."""
    known = account.last_sync if account.last_sync is not None else account.connected_at
    return known if known is not None else 0.0


def _is_stale(account: Account, now: float) -> bool:
    return account.is_connected and now - _last_success(account) > STALE_SECONDS


def _source_state(account: Account, name: Source, wanted: Collection[Source]) -> SourceState:
    return account.sources.get(name, SourceState.OFF) if name in wanted else SourceState.OFF
