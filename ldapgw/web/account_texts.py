# SPDX-License-Identifier: MIT
"""How an account stands, in words: what its page says of each state, source and choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ldapgw.contact import Sharing, Source
from ldapgw.phones.lookup import Hit
from ldapgw.phrase import Phrase, Said, marked
from ldapgw.store.account_status import HOUR, TESTING_SECONDS, Progress
from ldapgw.store.accounts import Account
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import BOXES


@dataclass(frozen=True, slots=True)
class State:
    """How an account does: a sign, the class of its colour, a few words and a sentence."""

    sign: str
    kind: str
    title: str
    sentence: str


# By the state of the account object; the empty one is a person who never connected.
STATES: Mapping[str, State] = {
    "ok": State(
        "✓",
        "good",
        marked("Connected"),
        marked("Your contacts are on the phones, and changes follow by themselves."),
    ),
    "syncing": State(
        "✓", "good", marked("Syncing now"), marked("Your contacts are on the phones; changes are being fetched.")
    ),
    "waiting": State(
        "✓",
        "good",
        marked("Connected, first sync under way"),
        marked("Your contacts will be on the phones in a minute."),
    ),
    "attention": State(
        "!", "warn", marked("Needs attention"), marked("Your contacts are on the phones as they last were.")
    ),
    "attention before the first sync": State(
        "!", "warn", marked("Needs attention"), marked("None of your contacts are on the phones yet.")
    ),
    "disconnected": State("✗", "bad", marked("Not connected"), marked("None of your contacts are on the phones.")),
    "": State(
        "✗",
        "quiet",
        marked("Not connected"),
        marked("You are signed in. Connect your contacts, and they are on the phones in a minute."),
    ),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to share a book, explained by what a colleague's phone shows.

    :ivar rings: whose name it shows when one of the contacts calls; empty: the number alone.
    :ivar finds: whether its search finds the contact.
    """

    value: Sharing
    title: str
    sentence: Said
    rings: bool
    finds: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What the page says of an account.

    :ivar shown: its account object (`account_status`), in the reader's language; None for one who never connected.
    :ivar reconnect: whether connecting again ``must`` or ``may`` be done; empty where it would mend nothing.
    :ivar missing: whether a source was not granted.
    :ivar testing: whether consent ends because the Google client is in "Testing".
    :ivar labels: each label's name, and whether its contacts are taken; those wanted that are not there have None.
    :ivar example: a contact of the book; a made-up one where there is none.
    :ivar boxes: those that Google will show, for one who never connected.
    """

    state: State
    shown: Mapping[str, Any] | None = None
    connected: bool = False
    reconnect: str = ""
    testing: bool = False
    missing: bool = False
    progress: Progress | None = None
    sources: tuple[tuple[str, str, str], ...] = ()
    labels: tuple[tuple[str, bool | None], ...] = ()
    choices: tuple[Choice, ...] = ()
    example: Hit | None = None
    boxes: tuple[str, ...] = ()


SOURCES: Mapping[str, str] = {
    Source.CONTACTS: marked("Your contacts"),
    Source.OTHER_CONTACTS: marked("Other contacts"),
    Source.DIRECTORY: marked("Company directory"),
}
_SOURCE_STATES: Mapping[str, tuple[str, str]] = {
    "on": ("good", marked("on")),
    "not granted": ("warn", marked("not granted")),
    "unavailable": ("quiet", marked("Google does not offer it to this account")),
}

# Troubles that another consent mends.
_CONSENT_TROUBLES = frozenset({"consent_revoked", "scope_missing"})
# Warnings of a consent that ends on a certain day.
_ENDING = frozenset({"testing_client", "consent_ends"})


def standing(
    tenant: WebTenant,
    account: Account | None,
    shown: Mapping[str, Any] | None,
    *,
    progress: Progress | None = None,
    labels: Iterable[str] = (),
    example: Hit | None = None,
) -> Standing:
    """What the page says of an account.

    :param shown: its account object; None for a person who has never connected.
    :param labels: the names of those that it has at Google.
    """
    if account is None or shown is None:
        return Standing(STATES[""], boxes=tuple(BOXES[source] for source in tenant.sources))
    return Standing(
        state=_state(shown),
        shown=shown,
        connected=account.connected,
        reconnect=_reconnect(shown),
        testing=_is_testing(account),
        missing="not granted" in shown["sources"].values(),
        progress=progress,
        sources=_sources(shown),
        labels=_labels(tenant, labels),
        choices=_choices(tenant),
        example=example,
    )


def _state(shown: Mapping[str, Any]) -> State:
    new = shown["state"] == "attention" and shown["last_sync"] is None
    return STATES["attention before the first sync" if new else shown["state"]]


def _reconnect(shown: Mapping[str, Any]) -> str:
    if shown["error"] and shown["error"]["code"] in _CONSENT_TROUBLES:
        return "must"
    ends = any(warning["code"] in _ENDING for warning in shown["warnings"])
    return "may" if ends or "not granted" in shown["sources"].values() else ""


def _is_testing(account: Account) -> bool:
    if account.refresh_expires_at is None or account.connected_at is None:
        return False
    return abs(account.refresh_expires_at - account.connected_at - TESTING_SECONDS) < HOUR


def _sources(shown: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Label, class and words of each source that takes part or should; none are known before the first sync."""
    return tuple(
        (SOURCES[name], *_SOURCE_STATES[state]) for name, state in shown["sources"].items() if state in _SOURCE_STATES
    )


def _labels(tenant: WebTenant, labels: Iterable[str]) -> tuple[tuple[str, bool | None], ...]:
    wanted = {name.casefold(): name for name in tenant.labels}
    there = sorted(labels, key=str.casefold)
    missing = wanted.keys() - {name.casefold() for name in there} - {"mycontacts", "starred"}
    found: list[tuple[str, bool | None]] = [(name, not wanted or name.casefold() in wanted) for name in there]
    return (*found, *((wanted[name], None) for name in sorted(missing)))


def _choices(tenant: WebTenant) -> tuple[Choice, ...]:
    return (
        Choice(
            Sharing.PRIVATE,
            marked("Private"),
            marked("Only your own phones find your contacts. A colleague’s phone shows only the number."),
            rings=False,
            finds=False,
        ),
        Choice(
            Sharing.CALLERS,
            marked("Callers’ names"),
            marked("When one of your contacts calls a colleague, their phone shows the name. They cannot search."),
            rings=True,
            finds=False,
        ),
        Choice(
            Sharing.SHARED,
            marked("Shared"),
            Phrase(
                marked("All phones of %(tenant)s find your contacts, with every number and address."),
                {"tenant": tenant.heading},
            ),
            rings=True,
            finds=True,
        ),
    )
