# SPDX-License-Identifier: MIT
"""An account as an administrator, the page and ``status.json`` see it, with its trouble in plain words.

Pure: an `Account` goes in, the account object of ``status.json`` comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from ldapgw.contact import Source
from ldapgw.store.accounts import Account, SourceState, Trouble
from ldapgw.words import Moment, Phrase, Said, marked

# What each error code means and what to do about it.  ``page`` is the tenant's page, ``link`` what Google named.
_MESSAGES: Mapping[str, str] = {
    "consent_revoked": marked(
        "Google no longer accepts the consent of %(address)s. Connect again on %(page)s; until then the contacts stay "
        "as they are."
    ),
    "scope_missing": marked(
        "The box for contacts was not ticked at Google. Connect again on %(page)s and tick “See and download your "
        "contacts”."
    ),
    "client_rejected": marked(
        "Google rejects this gateway's OAuth client. The administrator has to check client id and secret in the Google "
        "console; users need not do anything."
    ),
    "api_disabled": marked(
        "The People API is not enabled in the Google project. The administrator has to enable it %(link)s."
    ),
    "quota": marked("Google asks us to slow down. The next sync comes later; nothing has to be done."),
    "google_unavailable": marked(
        "Google does not answer properly at the moment. We try again; nothing has to be done."
    ),
    "network": marked("Google could not be reached. Check the gateway's network and name service if this lasts."),
    "bad_response": marked("Google's answer made no sense. We try again; please report it if this lasts."),
    "suspicious_shrink": marked(
        "More than half of the contacts would vanish. If that is right, accept it on %(page)s or with ldapgw sync "
        "%(address)s --accept-shrink."
    ),
    "internal": marked("The sync failed inside the gateway. The log says more; the contacts stay as they are."),
}

# Troubles that go away by themselves are no reason to call a person.
_PASSING = frozenset({"quota", "google_unavailable", "network", "bad_response"})

# A passing trouble becomes one that a person should know of when nothing was synced for this long.
STALE_SECONDS = 24 * 3600

HOUR = 3600
# How long a consent to a Google client in "Testing" lasts.
TESTING_SECONDS = 7 * 24 * HOUR


def account_object(
    account: Account,
    wanted: Collection[Source],
    page: Said,
    now: float,
    certificate_ends: float | None = None,
    say: Callable[[Said], str] = str,
) -> dict[str, Any]:
    """An account as ``status.json`` and ``ldapgw accounts --json`` give it.

    :param wanted: the sources that the tenant's configuration names.
    :param page: the address of the tenant's page.
    :param now: seconds since the epoch.
    :param certificate_ends: when the certificate that phones are shown ends, where that is near.
    :param say: puts the messages into words, in English unless told otherwise.
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
        "error": _error(account.trouble, account, page, say),
        "warnings": [
            {"code": code, "message": say(said)}
            for code, said in (*_warnings(account, page, now), *_expiry(certificate_ends, now))
        ],
        "skipped": dict(account.skipped),
        "sources": {name.value: _source_state(account, name, wanted).value for name in Source},
    }


def state(account: Account, now: float) -> str:
    """One of ok, syncing, waiting, attention, disconnected."""
    if not account.connected:
        return "disconnected"
    if account.trouble and (account.trouble.code not in _PASSING or _is_stale(account, now)):
        return "attention"
    if account.last_sync is None:
        return "waiting"
    return "syncing" if account.syncing else "ok"


def message(code: str, account: Account, page: Said, link: str = "") -> Phrase:
    """An error code in plain words, with what to do."""
    there = Phrase(marked("at %(link)s"), {"link": link}) if link else Phrase(marked("in the Google console"))
    return Phrase(_MESSAGES.get(code, _MESSAGES["internal"]), {"address": account.address, "page": page, "link": there})


def timestamp(seconds: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339, UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds is not None else None


def _error(trouble: Trouble | None, account: Account, page: Said, say: Callable[[Said], str]) -> dict[str, Any] | None:
    if trouble is None:
        return None
    return {
        "code": trouble.code,
        "message": say(message(trouble.code, account, page, trouble.link)),
        "since": timestamp(trouble.since),
    }


def _warnings(account: Account, page: Said, now: float) -> list[tuple[str, Phrase]]:
    found = []
    if account.refresh_expires_at is not None and account.connected_at is not None:
        values = {"when": Moment(account.refresh_expires_at), "page": page}
        if abs(account.refresh_expires_at - account.connected_at - TESTING_SECONDS) < HOUR:
            text = marked(
                "The Google client is in “Testing”, so this consent ends on %(when)s. The administrator should publish "
                "the app in the Google console; then connect again on %(page)s."
            )
            found.append(("testing_client", Phrase(text, values)))
        else:
            text = marked("This consent was given until %(when)s. Connect again on %(page)s to go on.")
            found.append(("consent_ends", Phrase(text, values)))
    if account.connected and _is_stale(account, now):
        found.append(("stale", Phrase(marked("There was no good sync for more than a day."))))
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


def _is_stale(account: Account, now: float) -> bool:
    since = account.last_sync if account.last_sync is not None else account.connected_at
    return since is not None and now - since > STALE_SECONDS


def _source_state(account: Account, name: Source, wanted: Collection[Source]) -> SourceState:
    return account.sources.get(name, SourceState.OFF) if name in wanted else SourceState.OFF
