# SPDX-License-Identifier: MIT
"""An account as an administrator, the page and ``status.json`` see it, with its trouble in plain words.

Pure: an `Account` goes in, the account object of ``status.json`` comes out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from ldapgw.contact import Source
from ldapgw.store.accounts import Account, SourceState, Trouble

# What each error code means and what to do about it.  {page} is the tenant's page, {link} what Google named.
_MESSAGES: Mapping[str, str] = {
    "consent_revoked": "Google no longer accepts the consent of {address}. Connect again on {page}; "
    "until then the contacts stay as they are.",
    "scope_missing": "The box for contacts was not ticked at Google. Connect again on {page} and tick "
    "“See and download your contacts”.",
    "client_rejected": "Google rejects this gateway's OAuth client. The administrator has to check client id and "
    "secret in the Google console; users need not do anything.",
    "api_disabled": "The People API is not enabled in the Google project. The administrator has to enable it{link}.",
    "quota": "Google asks us to slow down. The next sync comes later; nothing has to be done.",
    "google_unavailable": "Google does not answer properly at the moment. We try again; nothing has to be done.",
    "network": "Google could not be reached. Check the gateway's network and name service if this lasts.",
    "bad_response": "Google's answer made no sense. We try again; please report it if this lasts.",
    "suspicious_shrink": "More than half of the contacts would vanish. If that is right, accept it on {page} or with "
    "ldapgw sync {address} --accept-shrink.",
    "internal": "The sync failed inside the gateway. The log says more; the contacts stay as they are.",
}

# Troubles that go away by themselves are no reason to call a person.
_PASSING = frozenset({"quota", "google_unavailable", "network", "bad_response"})

# A passing trouble becomes one that a person should know of when nothing was synced for this long.
STALE_SECONDS = 24 * 3600

HOUR = 3600
# How long a consent to a Google client in "Testing" lasts.
TESTING_SECONDS = 7 * 24 * HOUR


def account_object(
    account: Account, wanted: Collection[Source], page: str, now: float, certificate_ends: float | None = None
) -> dict[str, Any]:
    """An account as ``status.json`` and ``ldapgw accounts --json`` give it.

    :param wanted: the sources that the tenant's configuration names.
    :param page: the address of the tenant's page.
    :param now: seconds since the epoch.
    :param certificate_ends: when the certificate that phones are shown ends, where that is near.
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
        "error": _error(account.trouble, account, page),
        "warnings": [*_warnings(account, page, now), *_expiry(certificate_ends, now)],
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


def message(code: str, account: Account, page: str, link: str = "") -> str:
    """An error code in plain words, with what to do."""
    return _MESSAGES.get(code, _MESSAGES["internal"]).format(
        address=account.address, page=page, link=f" at {link}" if link else " in the Google console"
    )


def timestamp(seconds: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339, UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds is not None else None


def _error(trouble: Trouble | None, account: Account, page: str) -> dict[str, Any] | None:
    if trouble is None:
        return None
    return {
        "code": trouble.code,
        "message": message(trouble.code, account, page, trouble.link),
        "since": timestamp(trouble.since),
    }


def _warnings(account: Account, page: str, now: float) -> list[dict[str, str]]:
    found = []
    if account.refresh_expires_at is not None and account.connected_at is not None:
        when = datetime.fromtimestamp(account.refresh_expires_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        if abs(account.refresh_expires_at - account.connected_at - TESTING_SECONDS) < HOUR:
            text = (
                f"The Google client is in “Testing”, so this consent ends on {when}. The administrator should publish "
                f"the app in the Google console; then connect again on {page}."
            )
            found.append({"code": "testing_client", "message": text})
        else:
            text = f"This consent was given until {when}. Connect again on {page} to go on."
            found.append({"code": "consent_ends", "message": text})
    if account.connected and _is_stale(account, now):
        found.append({"code": "stale", "message": "There was no good sync for more than a day."})
    return found


def _expiry(ends: float | None, now: float) -> list[dict[str, str]]:
    if ends is None:
        return []
    when = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%d %H:%M UTC")
    happens = f"has expired on {when}" if ends <= now else f"expires on {when}"
    text = (
        f"The gateway's certificate {happens}; phones that check it find nothing then. "
        "The administrator has to renew it."
    )
    return [{"code": "certificate_expiry", "message": text}]


def _is_stale(account: Account, now: float) -> bool:
    since = account.last_sync if account.last_sync is not None else account.connected_at
    return since is not None and now - since > STALE_SECONDS


def _source_state(account: Account, name: Source, wanted: Collection[Source]) -> SourceState:
    return account.sources.get(name, SourceState.OFF) if name in wanted else SourceState.OFF
