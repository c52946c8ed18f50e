# SPDX-License-Identifier: MIT
"""The status of an account for ``status.json``, commands and pages: its state, and errors in plain words.

The functions are pure: they turn an `Account` into messages and into the account object of ``status.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from ldapgw.contact import Sharing, Source
from ldapgw.phrase import Phrase, Texts, Timestamp, Translatable, read_texts
from ldapgw.store.accounts import Account, ErrorStatus, SourceState
from ldapgw.store.phones import PhoneLogin, Refusal, wrong_password


class _PageTexts(Texts, frozen=True):
    """The messages of pages; each replaces a message that names a command, because the page has a button."""

    shrink: str
    directory_shrink: str


class _WarningTexts(Texts, frozen=True):
    """The messages of warnings."""

    consent_ends: str
    testing_client: str
    testing_client_ended: str
    stale: str
    never_synced: str
    rejected_login: str
    certificate_expired: str
    certificate_expires: str


class _StatusTexts(Texts, frozen=True):
    """The texts of an account's status.

    :ivar limit: the message for an exceeded quota if Google names the quota.
    :ivar messages: the meaning of each error code, with advice.
    :ivar variants: more exact messages, by error code and by the value of a fact of the error: ``by`` (the cause of the
        error) or ``source`` (the source that failed).
    :ivar sources: messages for the failure of one source, while the other sources of the account are up to date.
    :ivar listings: messages for oddities of listings, by warning code and source; such a listing was applied
        nevertheless.
    """

    limit: str
    at_link: str
    in_console: str
    messages: Mapping[str, str]
    variants: Mapping[str, Mapping[str, str]]
    sources: Mapping[str, str]
    listings: Mapping[str, Mapping[Source, str]]
    pages: _PageTexts
    warnings: _WarningTexts


_TEXTS = read_texts("store/texts/status", _StatusTexts)

_PAGE_MESSAGES: Mapping[str, str] = {
    _TEXTS.messages["suspicious_shrink"]: _TEXTS.pages.shrink,
    _TEXTS.variants["suspicious_shrink"]["directory"]: _TEXTS.pages.directory_shrink,
}

# Errors that go away by themselves, so that nobody has to act.
_TRANSIENT_CODES = frozenset({"quota", "google_unavailable", "network", "bad_response"})

# A transient error needs attention when no sync has succeeded for this long.
STALE_SECONDS = 24 * 3600
# An unknown error code of the token endpoint needs attention after this many failed syncs in a row.
UNKNOWN_REFUSALS = 5

HOUR = 3600
# A consent to a Google client in "Testing" ends after this time.  A sync notices the end within `_NOTICE_SECONDS`.
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
    :param certificate_ends: the time at which the LDAP server's certificate expires, in seconds since the epoch; None
        if this time is not near.
    :param translate: renders a message in a language; the default is English.
    :param commands: whether messages may name commands.
    :param rejected: the names of the account's phones that have a wrong password, with their refused logins.
    """
    error = account.error
    return {
        "account": account.address,
        "tenant": account.tenant,
        "state": state(account, now),
        "sharing": account.sharing.value,
        "shared_label": "" if account.sharing is Sharing.PRIVATE else account.shared_label,
        "delegated": account.is_connected and account.uses_delegation,
        "contacts": account.contacts,
        "numbers": account.numbers,
        "last_sync": timestamp(account.last_sync),
        "next_sync": timestamp(account.next_sync),
        "error": None
        if error is None
        else {
            "code": error.code,
            "message": translate(error_message(error, account, page, commands=commands)),
            "since": timestamp(error.since),
        },
        "warnings": [
            {"code": code, "message": translate(message)}
            for code, message in _warnings(account, page, now, certificate_ends, rejected)
        ],
        "skipped": dict(account.skipped),
        "sources": {name.value: _source_state(account, name, wanted).value for name in Source},
    }


def with_database_error(account: Account, since: float | None) -> Account:
    """Replace the error of a connected account while the database cannot be used.

    :param since: when the database began to fail, in seconds since the epoch, or None if the database can be used.
    """
    if since is None or not account.is_connected:
        return account
    return replace(account, error=ErrorStatus("internal", since, facts={"by": "database"}), alarm=None)


STATES = ("ok", "syncing", "waiting", "attention", "disconnected")


def state(account: Account, now: float) -> str:
    """Return the state of an account: ok, syncing, waiting, attention or disconnected."""
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

    :param link: address at Google where the error can be fixed, or empty if Google named no address.
    :param facts: details of the error (`ldapgw.store.accounts.ErrorStatus`).
    :param commands: whether the message may name a command.
    """
    values = {
        "address": account.address,
        "page": page,
        "given": Timestamp(account.connected_at) if account.connected_at is not None else "?",
        "link": Phrase(_TEXTS.at_link, {"link": link}) if link else Phrase(_TEXTS.in_console),
        "before": facts.get("before", "?"),
        "lost": facts.get("lost", "?"),
        "word": facts.get("word", "?"),
        "limit": facts.get("limit", "?"),
        "metric": facts.get("metric", "?"),
    }
    variants = _TEXTS.variants.get(code, {})
    variant = variants.get(str(facts.get("by"))) or variants.get(str(facts.get("source")), "")
    has_limit = code == "quota" and bool(facts.get("limit"))
    text = variant or (_TEXTS.limit if has_limit else _TEXTS.messages.get(code, _TEXTS.messages["internal"]))
    message = Phrase(text if commands else _PAGE_MESSAGES.get(text, text), values)
    source_text = "" if variant else _TEXTS.sources.get(str(facts.get("source")), "")
    return Phrase(source_text, {"address": account.address, "why": message}) if source_text else message


def error_message(error: ErrorStatus, account: Account, page: Translatable, *, commands: bool = True) -> Phrase:
    """Explain an account's error in plain words, with advice."""
    facts = dict(error.facts)
    if error.code == "consent_revoked":
        facts["by"] = consent_ended_by(error, account)
    return code_message(error.code, account, page, error.link, facts, commands=commands)


def consent_ended_by(error: ErrorStatus, account: Account) -> str:
    """Return the cause of an ended consent: ``admin``, ``testing``, ``client``, ``disabled``, ``session``, or empty.

    :param error: an error with the code ``consent_revoked``.
    :returns: the cause, or empty if the cause is unknown.
    """
    if "by" in error.facts:
        return str(error.facts["by"])
    return "testing" if _ended_by_testing(account, error.since) else ""


def timestamp(seconds: float | None) -> str | None:
    """Format seconds since the epoch as RFC 3339, in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds is not None else None


def _warnings(
    account: Account,
    page: Translatable,
    now: float,
    certificate_ends: float | None,
    rejected: Iterable[tuple[str, Refusal]],
) -> Iterator[tuple[str, Phrase]]:
    texts = _TEXTS.warnings
    if account.alarm is not None and account.error != account.alarm:
        yield account.alarm.code, error_message(account.alarm, account, page)
    ends = account.refresh_expires_at
    if account.is_connected and ends is not None:
        values = {"when": Timestamp(ends), "page": page}
        if not is_of_testing(account):
            yield "consent_ends", Phrase(texts.consent_ends, values)
        else:
            text = texts.testing_client if now < ends else texts.testing_client_ended
            yield "testing_client", Phrase(text, values)
    if account.is_connected and _is_stale(account, now):
        text = texts.stale if account.last_sync is not None else texts.never_synced
        yield "stale", Phrase(text, {"when": Timestamp(_last_success(account))})
    for source, listing_warnings in account.warnings.items():
        for code, figures in listing_warnings.items():
            yield code, Phrase(_TEXTS.listings[code][source], {"address": account.address, **figures})
    if certificate_ends is not None:
        text = texts.certificate_expired if certificate_ends <= now else texts.certificate_expires
        yield "certificate_expiry", Phrase(text, {"when": Timestamp(certificate_ends)})
    for phone, refused in rejected:
        values = {"phone": phone, "when": Timestamp(refused.when, is_ago=True), "address": refused.address}
        yield "rejected_login", Phrase(texts.rejected_login, values)


def rejected_phones(logins: Iterable[PhoneLogin], now: float) -> Mapping[int | None, Sequence[tuple[str, Refusal]]]:
    """Return the phones that have a wrong password, with their refused logins, grouped by account id."""
    found: dict[int | None, list[tuple[str, Refusal]]] = {}
    for login in logins:
        refused = wrong_password(login, now)
        if refused is not None:
            found.setdefault(login.account_id, []).append((login.name, refused))
    return found


def is_of_testing(account: Account) -> bool:
    """Return whether, according to Google, the consent lasts seven days, as with a client in "Testing"."""
    given, ends = account.connected_at, account.refresh_expires_at
    return given is not None and ends is not None and abs(ends - given - TESTING_SECONDS) < HOUR


def _ended_by_testing(account: Account, since: float) -> bool:
    """Return whether a consent ended after seven days, as with a client in "Testing"."""
    given = account.connected_at
    return given is not None and -HOUR < since - given - TESTING_SECONDS < _NOTICE_SECONDS


def _is_transient(account: Account, error: ErrorStatus, now: float) -> bool:
    if error.facts.get("by") == "token" and account.failures < UNKNOWN_REFUSALS:
        return True
    return error.code in _TRANSIENT_CODES and not _is_stale(account, now) and now - error.since <= STALE_SECONDS


def _last_success(account: Account) -> float:
    """Return the end of the last successful sync, or the time of the connection if no sync has succeeded yet."""
    last_success = account.last_sync if account.last_sync is not None else account.connected_at
    return last_success if last_success is not None else 0.0


def _is_stale(account: Account, now: float) -> bool:
    return account.is_connected and now - _last_success(account) > STALE_SECONDS


def _source_state(account: Account, name: Source, wanted: Collection[Source]) -> SourceState:
    return account.sources.get(name, SourceState.OFF) if name in wanted else SourceState.OFF
