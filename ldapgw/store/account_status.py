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
from ldapgw.phrase import Moment, Phrase, Said, marked
from ldapgw.store.accounts import Account, SourceState, Trouble


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sync is.

    :ivar source: what is being fetched.
    :ivar fetched: persons so far.
    :ivar total: how many there are by Google's own count; None where it does not say.
    :ivar place: the source's, counted from 1, among `places` that are fetched one after the other.
    """

    source: Source
    fetched: int
    total: int | None
    place: int = 1
    places: int = 1


class ProgressBoard:
    """Who syncs writes it, pages read it.

    Mutable: what is written.

    :param told: called with the account's id after each change.
    """

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self._notes: dict[int, Progress] = {}

    def note(self, account_id: int, progress: Progress | None) -> None:
        """Write how far an account's sync is; None: it has ended."""
        if progress is not None:
            self._notes[account_id] = progress
        elif self._notes.pop(account_id, None) is None:
            return
        self._told(account_id)

    def of(self, account_id: int) -> Progress | None:
        """How far an account's sync is; None when none is running."""
        return self._notes.get(account_id)


# What each error code means and what to do about it.  ``page`` is the tenant's page, ``link`` what Google named.
_MESSAGES: Mapping[str, str] = {
    "consent_revoked": marked(
        "Google no longer accepts the consent of %(address)s, given on %(given)s. Connect again on %(page)s; until "
        "then the contacts stay as they are."
    ),
    "scope_missing": marked(
        "The box for contacts was not ticked at Google. Connect %(address)s again on %(page)s and tick “See and "
        "download your contacts”."
    ),
    "client_rejected": marked(
        "Google rejects the OAuth client of %(tenant)s, so none of its accounts is synced. The administrator has to "
        "check client id and secret in the Google console; users need not do anything."
    ),
    "api_disabled": marked(
        "The People API is not enabled in the Google project of %(tenant)s, so none of its accounts is synced. The "
        "administrator has to enable it %(link)s; users need not do anything."
    ),
    "quota": marked("Google asks us to slow down. The next sync comes later; nothing has to be done."),
    "google_unavailable": marked(
        "Google does not answer properly at the moment. We try again; nothing has to be done."
    ),
    "network": marked("Google could not be reached. Check the gateway's network and name service if this lasts."),
    "bad_response": marked("Google's answer made no sense. We try again; please report it if this lasts."),
    "suspicious_shrink": marked(
        "%(lost)s of %(before)s contacts of %(address)s would vanish. If that is right, accept it on %(page)s or with "
        "ldapgw sync %(address)s --accept-shrink; until then they stay."
    ),
    "internal": marked("The sync failed inside the gateway. The log says more; the contacts stay as they are."),
}
# More exactly, by who has ended a consent, and by the source that it is about.
_VARIANTS: Mapping[tuple[str, str], str] = {
    ("consent_revoked", "admin"): marked(
        "The Google Workspace of %(address)s no longer allows this app. Its administrator has to trust it in the Admin "
        "console (Security, API controls); then connect again on %(page)s. Until then the contacts stay as they are."
    ),
    ("consent_revoked", "testing"): marked(
        "The consent of %(address)s, given on %(given)s, has ended after 7 days, because the Google client is in "
        "“Testing”. The administrator has to publish the app in the Google console; then connect again on %(page)s. "
        "Until then the contacts stay as they are."
    ),
    ("internal", "database"): marked(
        "The gateway's database cannot be used, so nothing is synced and nothing can be changed. The administrator has "
        "to mend that, and the gateway's log says what it is; phones find what was known before."
    ),
    ("scope_missing", "directory"): marked(
        "The box for the company directory was not ticked at Google. Connect %(address)s again on %(page)s and tick "
        "“See and download your organization’s Google Workspace directory”."
    ),
    ("scope_missing", "other_contacts"): marked(
        "The box for “other contacts” was not ticked at Google. Connect %(address)s again on %(page)s and tick “See "
        "and download contact info automatically saved in your “Other contacts””."
    ),
    ("suspicious_shrink", "directory"): marked(
        "%(lost)s of %(before)s entries of the company directory would vanish. If that is right, accept it on %(page)s "
        "or with ldapgw sync %(address)s --accept-shrink; until then they stay."
    ),
}
# Of one source, while the rest of the account is up to date.
_OF_SOURCES: Mapping[object, str] = {
    "directory": marked("The company directory, which comes through %(address)s, is not up to date: %(why)s"),
    "labels": marked("The labels of %(address)s are not up to date: %(why)s"),
    "other_contacts": marked("The “other contacts” of %(address)s are not up to date: %(why)s"),
}
# On a page there is a button for it.
_ON_PAGE: Mapping[str, str] = {
    _MESSAGES["suspicious_shrink"]: marked(
        "%(lost)s of %(before)s contacts of %(address)s would vanish. If that is right, accept it on %(page)s; until "
        "then they stay."
    ),
    _VARIANTS["suspicious_shrink", "directory"]: marked(
        "%(lost)s of %(before)s entries of the company directory would vanish. If that is right, accept it on "
        "%(page)s; until then they stay."
    ),
}

# What is wrong with a tenant's client, and not with an account.
OF_THE_TENANT = frozenset({"client_rejected", "api_disabled"})

# Troubles that go away by themselves are no reason to call a person.
_PASSING = frozenset({"quota", "google_unavailable", "network", "bad_response"})

# A passing trouble becomes one that a person should know of when nothing was synced for this long.
STALE_SECONDS = 24 * 3600

HOUR = 3600
# How long a consent to a Google client in "Testing" lasts, and how much later its end may be noticed.
TESTING_SECONDS = 7 * 24 * HOUR
_NOTICED = 6 * HOUR


def account_object(
    account: Account,
    wanted: Collection[Source],
    page: Said,
    now: float,
    certificate_ends: float | None = None,
    say: Callable[[Said], str] = str,
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
        "error": _error(account.trouble, account, page, say, commands=commands),
        "warnings": [
            {"code": code, "message": say(said)}
            for code, said in (*_warnings(account, page, now), *_expiry(certificate_ends, now))
        ],
        "skipped": dict(account.skipped),
        "sources": {name.value: _source_state(account, name, wanted).value for name in Source},
    }


def without_database(account: Account, since: float | None) -> Account:
    """An account as it is while the database cannot be used, whatever its last sync was like.

    :param since: in seconds since the epoch; None: it can be used.
    """
    if since is None or not account.connected:
        return account
    return replace(account, trouble=Trouble("internal", since, facts={"by": "database"}))


def state(account: Account, now: float) -> str:
    """One of ok, syncing, waiting, attention, disconnected."""
    if not account.connected:
        return "disconnected"
    if account.trouble is not None and not _passes(account, account.trouble, now):
        return "attention"
    if account.last_sync is None:
        return "waiting"
    return "syncing" if account.syncing else "ok"


def message(
    code: str,
    account: Account,
    page: Said,
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
        "given": Moment(account.connected_at) if account.connected_at is not None else "?",
        "link": Phrase(marked("at %(link)s"), {"link": link}) if link else Phrase(marked("in the Google console")),
        "before": facts.get("before", "?"),
        "lost": facts.get("lost", "?"),
    }
    variants = (_VARIANTS.get((code, str(fact))) for fact in (facts.get("by"), facts.get("source")))
    variant = next((text for text in variants if text), "")
    text = variant or _MESSAGES.get(code, _MESSAGES["internal"])
    told = Phrase(text if commands else _ON_PAGE.get(text, text), values)
    of_source = "" if variant else _OF_SOURCES.get(facts.get("source"), "")
    return Phrase(of_source, {"address": account.address, "why": told}) if of_source else told


def told(trouble: Trouble, account: Account, page: Said, *, commands: bool = True) -> Phrase:
    """A trouble of an account in plain words, with what to do."""
    facts = dict(trouble.facts)
    if trouble.code == "consent_revoked" and "by" not in facts and _ended_by_testing(account, trouble.since):
        facts["by"] = "testing"
    return message(trouble.code, account, page, trouble.link, facts, commands=commands)


def timestamp(seconds: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339, UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds is not None else None


def _error(
    trouble: Trouble | None, account: Account, page: Said, say: Callable[[Said], str], *, commands: bool
) -> dict[str, Any] | None:
    if trouble is None:
        return None
    return {
        "code": trouble.code,
        "message": say(told(trouble, account, page, commands=commands)),
        "since": timestamp(trouble.since),
    }


def _warnings(account: Account, page: Said, now: float) -> list[tuple[str, Phrase]]:
    found = []
    ends = account.refresh_expires_at
    if account.connected and ends is not None:
        values = {"when": Moment(ends), "page": page}
        if not _is_of_testing(account):
            text = marked("This consent was given until %(when)s. Connect again on %(page)s to go on.")
            found.append(("consent_ends", Phrase(text, values)))
        elif now < ends:
            text = marked(
                "The Google client is in “Testing”, so this consent ends on %(when)s. The administrator should publish "
                "the app in the Google console; then connect again on %(page)s."
            )
            found.append(("testing_client", Phrase(text, values)))
        else:
            text = marked(
                "The Google client is in “Testing”, so this consent has ended on %(when)s. The administrator should "
                "publish the app in the Google console; then connect again on %(page)s."
            )
            found.append(("testing_client", Phrase(text, values)))
    if account.connected and _is_stale(account, now):
        text = marked("There was no good sync since %(when)s; phones show what was known then.")
        if account.last_sync is None:
            text = marked("There was no good sync yet, since the consent of %(when)s.")
        found.append(("stale", Phrase(text, {"when": Moment(_fresh(account))})))
    return found


def _expiry(ends: float | None, now: float) -> list[tuple[str, Phrase]]:
    if ends is None:
        return []
    text = (
        marked(
            "The gateway's certificate has expired on %(when)s; phones that check it find nothing then. "
            "The administrator has to renew it."
        )
        if ends <= now
        else marked(
            "The gateway's certificate expires on %(when)s; phones that check it find nothing then. "
            "The administrator has to renew it."
        )
    )
    return [("certificate_expiry", Phrase(text, {"when": Moment(ends)}))]


def _is_of_testing(account: Account) -> bool:
    """Whether Google has said that the consent ends after seven days."""
    given, ends = account.connected_at, account.refresh_expires_at
    return given is not None and ends is not None and abs(ends - given - TESTING_SECONDS) < HOUR


def _ended_by_testing(account: Account, since: float) -> bool:
    """Whether a consent has ended after just seven days, as nothing else does; Google may not have said so."""
    given = account.connected_at
    return given is not None and -HOUR < since - given - TESTING_SECONDS < _NOTICED


def _passes(account: Account, trouble: Trouble, now: float) -> bool:
    """Whether a trouble may go away by itself."""
    return trouble.code in _PASSING and not _is_stale(account, now) and now - trouble.since <= STALE_SECONDS


def _fresh(account: Account) -> float:
    """When all was known last; before the first sync, since when it should be."""
    known = account.last_sync if account.last_sync is not None else account.connected_at
    return known if known is not None else 0.0


def _is_stale(account: Account, now: float) -> bool:
    return account.connected and now - _fresh(account) > STALE_SECONDS


def _source_state(account: Account, name: Source, wanted: Collection[Source]) -> SourceState:
    return account.sources.get(name, SourceState.OFF) if name in wanted else SourceState.OFF
