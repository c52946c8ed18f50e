# SPDX-License-Identifier: MIT
"""How an account stands, in words: what its page says of each state, source and choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ldapgw.contact import Sharing, Source
from ldapgw.phones.lookup import ContactSummary
from ldapgw.phrase import Phrase, Translatable, gettext_noop
from ldapgw.store.account_status import HOUR, TESTING_SECONDS, SyncProgress
from ldapgw.store.accounts import Account
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import CONSENT_CHECKBOXES


@dataclass(frozen=True, slots=True)
class AccountStateText:
    """How an account does: a sign, the class of its colour, a few words and a sentence."""

    sign: str
    kind: str
    title: str
    sentence: str


# By the state of the account object; the empty one is a person who never connected.
ACCOUNT_STATE_TEXTS: Mapping[str, AccountStateText] = {
    "ok": AccountStateText(
        "✓",
        "good",
        gettext_noop("Connected"),
        gettext_noop("Your contacts are on the phones, and changes follow by themselves."),
    ),
    "syncing": AccountStateText(
        "✓",
        "good",
        gettext_noop("Syncing now"),
        gettext_noop("Your contacts are on the phones; changes are being fetched."),
    ),
    "waiting": AccountStateText(
        "✓",
        "good",
        gettext_noop("Connected, first sync under way"),
        gettext_noop("Your contacts will be on the phones in a minute."),
    ),
    "attention": AccountStateText(
        "!", "warn", gettext_noop("Needs attention"), gettext_noop("Your contacts are on the phones as they last were.")
    ),
    "attention before the first sync": AccountStateText(
        "!", "warn", gettext_noop("Needs attention"), gettext_noop("None of your contacts are on the phones yet.")
    ),
    "disconnected": AccountStateText(
        "✗", "bad", gettext_noop("Not connected"), gettext_noop("None of your contacts are on the phones.")
    ),
    "": AccountStateText(
        "✗",
        "quiet",
        gettext_noop("Not connected"),
        gettext_noop("You are signed in. Connect your contacts, and they are on the phones in a minute."),
    ),
}


@dataclass(frozen=True, slots=True)
class SharingOption:
    """One way to share a book, explained by what a colleague's phone shows.

    :ivar rings: whose name it shows when one of the contacts calls; empty: the number alone.
    :ivar finds: whether its search finds the contact.
    """

    value: Sharing
    title: str
    sentence: Translatable
    shows_caller: bool
    is_searchable: bool


@dataclass(frozen=True, slots=True)
class AccountView:
    """What the page says of an account.

    :ivar shown: its account object (`account_status`), in the reader's language; None for one who never connected.
    :ivar reconnect: whether connecting again ``must`` or ``may`` be done; empty where it would mend nothing.
    :ivar missing: whether a source was not granted.
    :ivar testing: whether consent ends because the Google client is in "Testing".
    :ivar labels: each label's name, and whether its contacts are taken; those wanted that are not there have None.
    :ivar example: a contact of the book; a made-up one where there is none.
    :ivar boxes: those that Google will show, for one who never connected.
    """

    state: AccountStateText
    status: Mapping[str, Any] | None = None
    connected: bool = False
    reconnect: str = ""
    is_testing: bool = False
    has_missing_source: bool = False
    progress: SyncProgress | None = None
    sources: tuple[tuple[str, str, str], ...] = ()
    labels: tuple[tuple[str, bool | None], ...] = ()
    choices: tuple[SharingOption, ...] = ()
    example: ContactSummary | None = None
    boxes: tuple[str, ...] = ()


SOURCE_LABELS: Mapping[str, str] = {
    Source.CONTACTS: gettext_noop("Your contacts"),
    Source.OTHER_CONTACTS: gettext_noop("Other contacts"),
    Source.DIRECTORY: gettext_noop("Company directory"),
}
_SOURCE_STATES: Mapping[str, tuple[str, str]] = {
    "on": ("good", gettext_noop("on")),
    "not granted": ("warn", gettext_noop("not granted")),
    "unavailable": ("quiet", gettext_noop("Google does not offer it to this account")),
}

# Troubles that another consent mends.
_CONSENT_ERRORS = frozenset({"consent_revoked", "scope_missing"})
# Warnings of a consent that ends on a certain day.
_EXPIRY_WARNINGS = frozenset({"testing_client", "consent_ends"})


def account_view(
    tenant: WebTenant,
    account: Account | None,
    status: Mapping[str, Any] | None,
    *,
    progress: SyncProgress | None = None,
    labels: Iterable[str] = (),
    example: ContactSummary | None = None,
) -> AccountView:
    """What the page says of an account.

    :param shown: its account object; None for a person who has never connected.
    :param labels: the names of those that it has at Google.
    """
    if account is None or status is None:
        return AccountView(
            ACCOUNT_STATE_TEXTS[""], boxes=tuple(CONSENT_CHECKBOXES[source] for source in tenant.sources)
        )
    return AccountView(
        state=_state(status),
        status=status,
        connected=account.is_connected,
        reconnect=_reconnect(status),
        is_testing=_is_testing(account),
        has_missing_source="not granted" in status["sources"].values(),
        progress=progress,
        sources=_sources(status),
        labels=_labels(tenant, labels),
        choices=_choices(tenant),
        example=example,
    )


def _state(status: Mapping[str, Any]) -> AccountStateText:
    new = status["state"] == "attention" and status["last_sync"] is None
    return ACCOUNT_STATE_TEXTS["attention before the first sync" if new else status["state"]]


def _reconnect(status: Mapping[str, Any]) -> str:
    if status["error"] and status["error"]["code"] in _CONSENT_ERRORS:
        return "must"
    ends = any(warning["code"] in _EXPIRY_WARNINGS for warning in status["warnings"])
    return "may" if ends or "not granted" in status["sources"].values() else ""


def _is_testing(account: Account) -> bool:
    if account.refresh_expires_at is None or account.connected_at is None:
        return False
    return abs(account.refresh_expires_at - account.connected_at - TESTING_SECONDS) < HOUR


def _sources(status: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Label, class and words of each source that takes part or should; none are known before the first sync."""
    return tuple(
        (SOURCE_LABELS[name], *_SOURCE_STATES[state])
        for name, state in status["sources"].items()
        if state in _SOURCE_STATES
    )


def _labels(tenant: WebTenant, labels: Iterable[str]) -> tuple[tuple[str, bool | None], ...]:
    wanted = {name.casefold(): name for name in tenant.labels}
    there = sorted(labels, key=str.casefold)
    missing = wanted.keys() - {name.casefold() for name in there} - {"mycontacts", "starred"}
    found: list[tuple[str, bool | None]] = [(name, not wanted or name.casefold() in wanted) for name in there]
    return (*found, *((wanted[name], None) for name in sorted(missing)))


def _choices(tenant: WebTenant) -> tuple[SharingOption, ...]:
    return (
        SharingOption(
            Sharing.PRIVATE,
            gettext_noop("Private"),
            gettext_noop("Only your own phones find your contacts. A colleague’s phone shows only the number."),
            shows_caller=False,
            is_searchable=False,
        ),
        SharingOption(
            Sharing.CALLERS,
            gettext_noop("Callers’ names"),
            gettext_noop(
                "When one of your contacts calls a colleague, their phone shows the name. They cannot search."
            ),
            shows_caller=True,
            is_searchable=False,
        ),
        SharingOption(
            Sharing.SHARED,
            gettext_noop("Shared"),
            Phrase(
                gettext_noop("All phones of %(tenant)s find your contacts, with every number and address."),
                {"tenant": tenant.heading},
            ),
            shows_caller=True,
            is_searchable=True,
        ),
    )
